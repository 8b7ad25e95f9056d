//! Cache of parsed stored functions: queries of a workspace call the same parsers repeatedly.
//!
//! The cache is keyed by content, so a changed function is a new entry and no invalidation is needed.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, OnceLock, PoisonError};

use model::{Diagnostic, StoredFunction};

use crate::syntax::ast;

/// Maximum total size of cached texts; beyond it the cache is cleared.
const MAX_BYTES: usize = 16 << 20;

/// A stored function's text, parsed.
pub(super) struct ParsedFunction {
    /// `None` if the text is not a function.
    pub function: Option<ast::Function>,
    pub diagnostics: Vec<Diagnostic>,
}

#[derive(Default)]
struct Cache {
    functions: HashMap<String, Arc<ParsedFunction>>,
    bytes: usize,
}

/// Parses the function, or returns it from the cache.
pub(super) fn parse(stored: &StoredFunction) -> Arc<ParsedFunction> {
    static CACHE: OnceLock<Mutex<Cache>> = OnceLock::new();
    let cache = || CACHE.get_or_init(Mutex::default).lock().unwrap_or_else(PoisonError::into_inner);
    let text = format!("let f = ({}) {{ {}\n}};", stored.parameters, stored.body);
    if let Some(known) = cache().functions.get(&text) {
        return known.clone();
    }
    let parsed = crate::syntax::parse(&text);
    let function = parsed.script.statements.into_iter().find_map(|statement| match statement.kind {
        ast::StatementKind::Let { value: ast::LetValue::Function(function), .. } => Some(function),
        _ => None,
    });
    let parsed = Arc::new(ParsedFunction { function, diagnostics: parsed.diagnostics });
    let mut cache = cache();
    if cache.bytes + text.len() > MAX_BYTES {
        *cache = Cache::default();
    }
    if text.len() <= MAX_BYTES {
        cache.bytes += text.len();
        cache.functions.insert(text, parsed.clone());
    }
    parsed
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn texts_are_cached_by_content() {
        let stored = |body: &str| StoredFunction { name: "F".to_owned(), parameters: "n:long".to_owned(), body: body.to_owned() };
        let first = parse(&stored("T | where N > n"));
        assert!(first.function.is_some() && first.diagnostics.is_empty());
        assert!(Arc::ptr_eq(&first, &parse(&stored("T | where N > n"))));
        assert!(!Arc::ptr_eq(&first, &parse(&stored("T | where N < n"))));
        assert!(!parse(&stored("T | where (")).diagnostics.is_empty());
    }
}
