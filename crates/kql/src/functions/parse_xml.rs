//! `parse_xml(text)`: converts XML to a bag. An attribute becomes `@name`, text beside attributes or children becomes `#text`, repeated
//! children become an array; an element with only text is that text, an empty one is null. Invalid XML gives null. Source of truth: the
//! public KQL reference, `parse-xml-function`; the format is that of Json.NET.

use model::Type;
use quick_xml::Reader;
use quick_xml::escape::{resolve_predefined_entity, unescape};
use quick_xml::events::{BytesStart, Event};

use super::bags::Bag;
use super::signatures::all;
use super::{Family, ScalarFn, kernel};
use crate::dynamic::{MAX_DEPTH, push_string};

pub static FAMILY: Family = &[&PARSE_XML];

static PARSE_XML: ScalarFn = ScalarFn {
    name: "parse_xml",
    summary: "XML as a bag: attributes as `@name`, text as `#text`, repeated children as an array",
    signature: all(&[("xml", Type::String)], Type::Dynamic),
    examples: &[
        (r#"parse_xml("<a><b x='1'>t</b><b/><c>&lt;2</c></a>")"#, r##"{"a":{"b":[{"@x":"1","#text":"t"},null],"c":"<2"}}"##),
        (r#"parse_xml("<a>unclosed")"#, ""),
        (r##"parse_xml('<Data Name="User">joe</Data>').Data["#text"]"##, "joe"),
    ],
    prepare: |_| {
        Ok(kernel(|args| {
            let source = args.texts(0);
            args.map_json(|row, out| convert(source.get(row), out))
        }))
    },
    ..ScalarFn::DEFAULT
};

/// An element being read: its name, properties so far, and text.
struct Element {
    name: String,
    properties: Vec<(String, Vec<String>)>,
    text: String,
}

impl Element {
    fn open(start: &BytesStart) -> Option<Element> {
        let mut element = Element { name: start.name().as_ref().to_owned(), properties: Vec::new(), text: String::new() };
        for attribute in start.attributes() {
            let attribute = attribute.ok()?;
            let mut json = String::new();
            push_string(&mut json, &unescape(&attribute.value).unwrap_or(attribute.value.clone()));
            let key: &str = attribute.key.as_ref();
            element.put(format!("@{key}"), json);
        }
        Some(element)
    }

    fn put(&mut self, name: String, json: String) {
        match self.properties.iter_mut().find(|(known, _)| *known == name) {
            Some((_, values)) => values.push(json),
            None => self.properties.push((name, vec![json])),
        }
    }

    fn close(self) -> (String, String) {
        let text = self.text.trim();
        let mut json = String::new();
        if self.properties.is_empty() {
            if text.is_empty() {
                json.push_str("null");
            } else if is_whole(text) {
                json.push_str(text);
            } else {
                push_string(&mut json, text);
            }
            return (self.name, json);
        }
        let mut bag = Bag::new(&mut json);
        for (name, values) in &self.properties {
            match &values[..] {
                [one] => bag.put(name, one),
                many => bag.put(name, &format!("[{}]", many.join(","))),
            }
        }
        if !text.is_empty() {
            bag.put_text("#text", text);
        }
        bag.close();
        (self.name, json)
    }
}

/// Recorded: text that is an integer becomes a number in the bag.
fn is_whole(text: &str) -> bool {
    text.parse::<i64>().is_ok_and(|number| number.to_string() == text)
}

fn convert(source: &str, out: &mut String) -> Option<()> {
    let mut reader = Reader::from_str(source.trim_start_matches('\u{feff}').trim());
    // A nameless element collects the root and its surroundings.
    let mut open = vec![Element { name: String::new(), properties: Vec::new(), text: String::new() }];
    loop {
        match reader.read_event().ok()? {
            Event::Start(start) if open.len() <= MAX_DEPTH => open.push(Element::open(&start)?),
            Event::Start(_) => return None,
            Event::Empty(start) => {
                let (name, json) = Element::open(&start)?.close();
                open.last_mut()?.put(name, json);
            }
            Event::End(_) => {
                let (name, json) = open.pop()?.close();
                open.last_mut()?.put(name, json);
            }
            Event::Text(text) => open.last_mut()?.text.push_str(&text.xml10_content()),
            Event::CData(text) => open.last_mut()?.text.push_str(&text.xml10_content()),
            Event::GeneralRef(reference) => {
                let text = &mut open.last_mut()?.text;
                match reference.resolve_char_ref() {
                    Ok(Some(c)) => text.push(c),
                    _ => text.push_str(resolve_predefined_entity(&reference.xml10_content()).unwrap_or("")),
                }
            }
            Event::Eof => break,
            _ => {}
        }
    }
    let root = open.pop().filter(|_| open.is_empty())?;
    if root.properties.len() != 1 || !root.text.trim().is_empty() {
        return None;
    }
    out.push_str(&root.close().1);
    Some(())
}
