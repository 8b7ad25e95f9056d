//! `buildschema` — the minimal schema that admits all values of a dynamic column; null if there are none.
//!
//! A type is its name, a bag is a bag of schemas, an array is a bag whose only key is `` `indexer` ``, and alternatives are an array.
//! Source: the public KQL reference, page `buildschema-aggregation-function`.

use std::sync::Arc;

use arrow::array::{ArrayRef, AsArray, BooleanArray, StringViewArray};
use arrow::datatypes::DataType;
use model::Type;

use super::predicate::present;
use super::{AggregateFn, Emit, Family, Groups, Naming, Start, argument};
use crate::dynamic::{self, Kind, MAX_DEPTH};
use crate::functions::{Resolved, Signature, SignatureError};

pub static FAMILY: Family = &[&BUILDSCHEMA];

const INDEXER: &str = "\"`indexer`\"";

static BUILDSCHEMA: AggregateFn = AggregateFn {
    name: "buildschema",
    summary: "The least schema that admits all values of a dynamic column",
    parameters: &["dynamic_expr"],
    signature: Signature::Custom(|args| {
        argument::count(args, 1, 1)?;
        match args[0].ty {
            Type::Dynamic => Ok(Resolved { args: vec![Type::Dynamic], returns: Type::Dynamic }),
            _ => Err(SignatureError::Type { index: 0, wants: "a dynamic".into() }),
        }
    }),
    naming: Naming::Prefix("schema"),
    state: |_: &Start| vec![DataType::Utf8View],
    start: |_| Ok(Box::new(Schemas::default())),
    examples: &[(
        r#"datatable(v:dynamic)[dynamic({"x":1,"y":3.5}), dynamic({"x":"some","z":[1]}), dynamic({"y":{"w":"z"},"t":["a"],"z":["b"]})] | summarize buildschema(v)"#,
        r#"{"x":["long","string"],"y":["double",{"w":"string"}],"z":{"`indexer`":["long","string"]},"t":{"`indexer`":"string"}}"#,
    )],
    ..AggregateFn::DEFAULT
};

/// The alternatives at one position, in order of first appearance.
#[derive(Clone, Debug, Default)]
struct Schema {
    names: Vec<Box<str>>,
    /// Keys are stored quoted.
    bag: Option<Vec<(Box<str>, Schema)>>,
    array: Option<Box<Schema>>,
    /// Order of first appearance: `0` is the bag, `1` the array, else the index of a type name + 2.
    order: Vec<usize>,
}

impl Schema {
    fn name(&mut self, name: &str) {
        if !self.names.iter().any(|known| &**known == name) {
            self.order.push(self.names.len() + 2);
            self.names.push(name.into());
        }
    }

    fn bag(&mut self) -> &mut Vec<(Box<str>, Schema)> {
        if self.bag.is_none() {
            self.order.push(0);
        }
        self.bag.get_or_insert_default()
    }

    fn array(&mut self) -> &mut Schema {
        if self.array.is_none() {
            self.order.push(1);
        }
        self.array.get_or_insert_default()
    }

    /// Extends the schema to admit a value.
    fn admit(&mut self, json: &str, depth: usize) {
        if depth > MAX_DEPTH {
            return;
        }
        match dynamic::kind(json) {
            Kind::Object => {
                self.bag();
                for (key, value) in dynamic::entries(json).into_iter().flatten() {
                    self.property(key).admit(value, depth + 1);
                }
            }
            Kind::Array => {
                let elements = self.array();
                dynamic::elements(json).into_iter().flatten().for_each(|element| elements.admit(element, depth + 1));
            }
            Kind::Null | Kind::Invalid => self.name("null"),
            Kind::Bool(_) => self.name("bool"),
            Kind::Long(_) => self.name("long"),
            Kind::Real(_) => self.name("double"),
            Kind::String => self.name("string"),
        }
    }

    fn property(&mut self, key: &str) -> &mut Schema {
        let bag = self.bag();
        let at = bag.iter().position(|(known, _)| &**known == key).unwrap_or_else(|| {
            bag.push((key.into(), Schema::default()));
            bag.len() - 1
        });
        &mut bag[at].1
    }

    /// Extends the schema to admit everything a serialised schema admits.
    fn merge(&mut self, printed: &str, depth: usize) {
        if depth > 2 * MAX_DEPTH {
            return;
        }
        match dynamic::kind(printed) {
            Kind::String => self.name(&dynamic::unquote(printed)),
            Kind::Array => dynamic::elements(printed).into_iter().flatten().for_each(|one| self.merge(one, depth + 1)),
            Kind::Object => {
                let entries: Vec<_> = dynamic::entries(printed).into_iter().flatten().collect();
                if let [(INDEXER, element)] = entries[..] {
                    self.array().merge(element, depth + 1);
                } else {
                    self.bag();
                    for (key, schema) in entries {
                        self.property(key).merge(schema, depth + 1);
                    }
                }
            }
            _ => {}
        }
    }

    fn print(&self, out: &mut String) {
        let several = self.order.len() != 1;
        if several {
            out.push('[');
        }
        for (at, which) in self.order.iter().enumerate() {
            if at > 0 {
                out.push(',');
            }
            match which {
                0 => {
                    out.push('{');
                    for (at, (key, schema)) in self.bag.iter().flatten().enumerate() {
                        if at > 0 {
                            out.push(',');
                        }
                        out.push_str(key);
                        out.push(':');
                        schema.print(out);
                    }
                    out.push('}');
                }
                1 => {
                    out.push('{');
                    out.push_str(INDEXER);
                    out.push(':');
                    self.array.iter().for_each(|element| element.print(out));
                    out.push('}');
                }
                name => dynamic::push_string(out, &self.names[name - 2]),
            }
        }
        if several {
            out.push(']');
        }
    }

    fn size(&self) -> usize {
        size_of::<Schema>()
            + self.names.len() * 24
            + self.bag.iter().flatten().map(|(key, schema)| key.len() + size_of::<Box<str>>() + schema.size()).sum::<usize>()
            + self.array.as_ref().map_or(0, |element| element.size())
    }
}

#[derive(Default)]
struct Schemas {
    groups: Vec<Option<Schema>>,
}

impl Groups for Schemas {
    fn update(&mut self, args: &[ArrayRef], groups: &[usize], filter: Option<&BooleanArray>, total: usize) {
        self.groups.resize(total, None);
        let values = args[0].as_string_view();
        for (row, group) in present(values, groups, filter) {
            self.groups[group].get_or_insert_default().admit(values.value(row), 0);
        }
    }

    fn merge(&mut self, state: &[ArrayRef], groups: &[usize], total: usize) {
        self.groups.resize(total, None);
        let printed = state[0].as_string_view();
        for (row, group) in present(printed, groups, None) {
            self.groups[group].get_or_insert_default().merge(printed.value(row), 0);
        }
    }

    fn state(&mut self, which: Emit) -> Vec<ArrayRef> {
        vec![self.evaluate(which)]
    }

    fn evaluate(&mut self, which: Emit) -> ArrayRef {
        let printed = which.take(&mut self.groups).into_iter().map(|schema| {
            schema.map(|schema| {
                let mut out = String::new();
                schema.print(&mut out);
                out
            })
        });
        Arc::new(printed.collect::<StringViewArray>())
    }

    fn size(&self) -> usize {
        self.groups.iter().map(|schema| schema.as_ref().map_or(size_of::<Option<Schema>>(), Schema::size)).sum()
    }
}
