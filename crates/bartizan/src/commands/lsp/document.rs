//! An open document, and conversion of the protocol's positions: lines, and UTF-16 units within a line.

use std::ops::Range;

use serde_json::{Value as Json, json};

pub struct Document {
    pub text: String,
    pub version: Json,
}

impl Document {
    /// The byte offset of a position; positions beyond the line or document are clamped.
    pub fn offset(&self, position: &Json) -> usize {
        let line = position["line"].as_u64().unwrap_or(0) as usize;
        let units = position["character"].as_u64().unwrap_or(0) as usize;
        let start = match line {
            0 => 0,
            _ => match self.text.match_indices('\n').nth(line - 1) {
                Some((at, _)) => at + 1,
                None => return self.text.len(),
            },
        };
        let rest = &self.text[start..];
        let whole = rest.split('\n').next().unwrap_or_default();
        let whole = whole.strip_suffix('\r').unwrap_or(whole);
        start + kql::check::byte_offset(whole, units)
    }

    pub fn position(&self, offset: usize) -> Json {
        let mut end = offset.min(self.text.len());
        while !self.text.is_char_boundary(end) {
            end -= 1;
        }
        let before = &self.text[..end];
        let start = before.rfind('\n').map_or(0, |at| at + 1);
        json!({"line": before.matches('\n').count(), "character": before[start..].encode_utf16().count()})
    }

    pub fn range(&self, place: &Range<usize>) -> Json {
        json!({"start": self.position(place.start), "end": self.position(place.end)})
    }

    /// Applies a `TextDocumentContentChangeEvent`, of a range or of the whole document.
    pub fn change(&mut self, change: &Json) {
        let text = change["text"].as_str().unwrap_or_default();
        match change.get("range").filter(|range| range.is_object()) {
            Some(range) => {
                let (start, end) = (self.offset(&range["start"]), self.offset(&range["end"]));
                self.text.replace_range(start.min(end)..end.max(start), text);
            }
            None => self.text = text.to_owned(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn places_are_lines_and_utf_16_units() {
        let document = Document { text: "a😀b\r\nété\n".to_owned(), version: Json::Null };
        // From the protocol's own example: in `a𐐀b`, a is 1 unit and the second character is 2.
        for (line, character, offset) in [(0, 0, 0), (0, 1, 1), (0, 3, 5), (0, 99, 6), (1, 0, 8), (1, 2, 11), (2, 0, 14), (9, 0, 14)] {
            assert_eq!(document.offset(&json!({"line": line, "character": character})), offset, "{line}:{character}");
        }
        assert_eq!(document.position(5), json!({"line": 0, "character": 3}));
        assert_eq!(document.position(11), json!({"line": 1, "character": 2}));
    }

    #[test]
    fn parts_of_a_text_change() {
        let mut document = Document { text: "é | take 1\nx".to_owned(), version: Json::Null };
        let range = json!({"start": {"line": 0, "character": 9}, "end": {"line": 1, "character": 0}});
        document.change(&json!({"range": range, "text": "25\n"}));
        assert_eq!(document.text, "é | take 25\nx");
        document.change(&json!({"text": "T"}));
        assert_eq!(document.text, "T");
    }
}
