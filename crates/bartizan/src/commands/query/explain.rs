//! Formats query errors for people.

use model::QueryError;

/// Formats an error with problem, position and help.
pub fn explain(text: &str, why: &QueryError) -> String {
    let QueryError::Wrong(diagnostics) = why else { return format!("error: {why}") };
    let described = diagnostics.iter().map(|diagnostic| {
        let start = (0..=diagnostic.start.min(text.len())).rev().find(|&at| text.is_char_boundary(at)).unwrap_or(0);
        let before = &text[..start];
        let line = before.rsplit('\n').next().unwrap_or_default();
        let whole = text[start - line.len()..].lines().next().unwrap_or_default();
        let wide = text.get(start..diagnostic.end).map_or(1, |part| part.lines().next().unwrap_or_default().chars().count().max(1));
        let help = diagnostic.help.as_ref().map(|help| format!("\n = {help}")).unwrap_or_default();
        format!(
            "error[{}]: {}\n ┌ line {}\n │ {whole}\n   {}{}{help}",
            diagnostic.code,
            diagnostic.message,
            before.matches('\n').count() + 1,
            " ".repeat(line.chars().count()),
            "^".repeat(wide),
        )
    });
    described.collect::<Vec<_>>().join("\n")
}
