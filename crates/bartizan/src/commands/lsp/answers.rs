//! Handles requests: maps the protocol to the editor functions of the `kql` crate.

use kql::check::{TableSchemas, check, utf16_offset};
use kql::editor::{self, ItemKind, SymbolKind};
use kql::syntax::codes::is_tolerated;
use model::Timestamp;
use serde_json::{Value as Json, json};

use super::document::Document;

/// A request about an open document.
pub struct Asked<'a> {
    pub document: &'a Document,
    pub params: &'a Json,
    pub uri: &'a str,
    pub tables: &'a TableSchemas,
    pub now: Timestamp,
}

impl Asked<'_> {
    fn text(&self) -> &str {
        &self.document.text
    }

    /// The requested position.
    fn offset(&self) -> usize {
        self.document.offset(&self.params["position"])
    }
}

/// A result, or an error code of the protocol with a message.
pub type Answer = Result<Json, (i64, String)>;

const REQUEST_FAILED: i64 = -32803;

pub fn find(method: &str) -> Option<fn(&Asked) -> Answer> {
    Some(match method {
        "textDocument/completion" => completion,
        "textDocument/hover" => hover,
        "textDocument/signatureHelp" => signature_help,
        "textDocument/definition" => definition,
        "textDocument/documentSymbol" => symbols,
        "textDocument/formatting" => formatting,
        "textDocument/prepareRename" => prepare_rename,
        "textDocument/rename" => rename,
        "textDocument/codeAction" => code_actions,
        _ => return None,
    })
}

pub fn diagnostics(document: &Document, tables: &TableSchemas, now: Timestamp) -> Json {
    if document.text.trim().is_empty() {
        return json!([]);
    }
    let bound = check(&document.text, tables, now);
    let wrong = bound.diagnostics.iter().map(|wrong| {
        let help = wrong.help.as_ref().map(|help| format!("\n{help}")).unwrap_or_default();
        json!({
            "range": document.range(&(wrong.start..wrong.end)),
            "severity": if is_tolerated(wrong.code) { 2 } else { 1 },
            "code": wrong.code,
            "source": "kql",
            "message": format!("{}{help}", wrong.message),
        })
    });
    wrong.collect()
}

/// Maximum items of a response: the list is marked incomplete, so that the client asks again as the user types.
const MOST: usize = 300;

fn completion(asked: &Asked) -> Answer {
    let found = editor::complete(asked.text(), asked.offset(), asked.tables, asked.now);
    let range = asked.document.range(&found.replaces);
    let incomplete = found.items.len() > MOST;
    let items = found.items.iter().take(MOST).enumerate().map(|(index, item)| {
        let mut shown = json!({
            "label": item.label,
            "kind": kind(item.kind),
            "detail": item.detail,
            "sortText": format!("{index:05}"),
            "filterText": item.label,
            "textEdit": {"range": range, "newText": item.insert},
        });
        if !item.documentation.is_empty() {
            shown["documentation"] = json!({"kind": "markdown", "value": item.documentation});
        }
        shown
    });
    Ok(json!({"isIncomplete": incomplete, "items": items.collect::<Vec<_>>()}))
}

/// `CompletionItemKind`.
fn kind(kind: ItemKind) -> u8 {
    match kind {
        ItemKind::Column => 5,
        ItemKind::Variable => 6,
        ItemKind::Table => 7,
        ItemKind::Function | ItemKind::Aggregate | ItemKind::Window => 3,
        ItemKind::Plugin => 9,
        ItemKind::Operator => 24,
        ItemKind::Keyword => 14,
        ItemKind::Option => 10,
        ItemKind::Value => 20,
        ItemKind::Type => 25,
    }
}

fn hover(asked: &Asked) -> Answer {
    let found = editor::hover(asked.text(), asked.offset(), asked.tables, asked.now);
    Ok(found.map_or(
        Json::Null,
        |found| json!({"contents": {"kind": "markdown", "value": found.markdown}, "range": asked.document.range(&found.place)}),
    ))
}

fn signature_help(asked: &Asked) -> Answer {
    let Some(help) = editor::signature_help(asked.text(), asked.offset(), asked.tables, asked.now) else { return Ok(Json::Null) };
    let signatures = help.calls.iter().map(|call| {
        let (label, places) = call.label(&help.name);
        let parameters = places.iter().map(|(start, end)| json!({"label": [utf16_offset(&label, *start), utf16_offset(&label, *end)]}));
        json!({"parameters": parameters.collect::<Vec<_>>(), "documentation": {"kind": "markdown", "value": help.summary}, "label": label})
    });
    // After the last parameter none is active, which the protocol expresses by an index out of range.
    let parameter = help.parameter.unwrap_or_else(|| help.calls.get(help.active).map_or(0, |call| call.parameters.len()));
    Ok(json!({"signatures": signatures.collect::<Vec<_>>(), "activeSignature": help.active, "activeParameter": parameter}))
}

fn definition(asked: &Asked) -> Answer {
    let place = editor::definition(asked.text(), asked.offset(), asked.tables, asked.now);
    Ok(place.map_or(Json::Null, |place| json!({"uri": asked.uri, "range": asked.document.range(&place)})))
}

fn symbols(asked: &Asked) -> Answer {
    let shown = editor::symbols(asked.text()).into_iter().map(|symbol| {
        // `SymbolKind`.
        let kind = match symbol.kind {
            SymbolKind::Function => 12,
            SymbolKind::Table | SymbolKind::As => 23,
            SymbolKind::Value | SymbolKind::Parameter | SymbolKind::QueryParameter => 13,
        };
        json!({
            "name": symbol.name,
            "kind": kind,
            "range": asked.document.range(&symbol.whole),
            "selectionRange": asked.document.range(&symbol.place),
        })
    });
    Ok(shown.collect())
}

fn formatting(asked: &Asked) -> Answer {
    Ok(match editor::format(asked.text()) {
        Some(tidy) if tidy != asked.text() => json!([{"range": asked.document.range(&(0..asked.text().len())), "newText": tidy}]),
        Some(_) => json!([]),
        None => return Err((REQUEST_FAILED, "a string is not closed or a character means nothing here: mend that first".to_owned())),
    })
}

fn prepare_rename(asked: &Asked) -> Answer {
    let place = editor::renameable(asked.text(), asked.offset(), asked.tables, asked.now);
    Ok(place.map_or(Json::Null, |place| asked.document.range(&place)))
}

fn rename(asked: &Asked) -> Answer {
    let new = asked.params["newName"].as_str().unwrap_or_default();
    let edits = editor::rename(asked.text(), asked.offset(), new, asked.tables, asked.now);
    let edits = edits.map_err(|error| (REQUEST_FAILED, error.to_string()))?;
    let edits: Vec<Json> = edits.iter().map(|edit| json!({"range": asked.document.range(&edit.place), "newText": edit.text})).collect();
    let mut changes = serde_json::Map::new();
    changes.insert(asked.uri.to_owned(), edits.into());
    Ok(json!({"changes": changes}))
}

/// `did you mean` as a code action.
fn code_actions(asked: &Asked) -> Answer {
    let (start, end) = (asked.document.offset(&asked.params["range"]["start"]), asked.document.offset(&asked.params["range"]["end"]));
    let bound = check(asked.text(), asked.tables, asked.now);
    let actions = bound.diagnostics.iter().filter(|wrong| wrong.start <= end && start <= wrong.end).filter_map(|wrong| {
        let meant = wrong.help.as_deref()?.strip_prefix("did you mean `")?.split('`').next()?.to_owned();
        let mut changes = serde_json::Map::new();
        changes.insert(asked.uri.to_owned(), json!([{"range": asked.document.range(&(wrong.start..wrong.end)), "newText": meant}]));
        Some(json!({"title": format!("Write `{meant}`"), "kind": "quickfix", "edit": {"changes": changes}}))
    });
    Ok(actions.collect())
}
