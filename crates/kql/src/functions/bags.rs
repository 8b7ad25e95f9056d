//! Property bags: `bag_pack`, `bag_keys`, `bag_merge`, `bag_has_key`, `bag_remove_keys`, `bag_set_key`, `bag_zip`, `treepath`,
//! `dynamic_to_json`. Source of truth: the public KQL reference, one page each; recorded: merging keeps the first value of a key.

use hashbrown::HashSet;
use model::Type;

use super::arrays::{dynamics, json_at, push_array};
use super::jsonpath::Path;
use super::signatures::{all, count, wants};
use super::{Arg, Family, Resolved, ScalarFn, Signature, SignatureError, kernel};
use crate::dynamic::{self, MAX_DEPTH, elements, entries, push_string, unquote};

pub static FAMILY: Family = &[
    &BAG_PACK,
    &BAG_PACK_FILLED,
    &BAG_KEYS,
    &BAG_MERGE,
    &BAG_HAS_KEY,
    &BAG_REMOVE_KEYS,
    &BAG_SET_KEY,
    &BAG_ZIP,
    &TREEPATH,
    &DYNAMIC_TO_JSON,
];

/// Writes a bag one property at a time.
pub(super) struct Bag<'a> {
    out: &'a mut String,
    empty: bool,
}

impl<'a> Bag<'a> {
    pub fn new(out: &'a mut String) -> Self {
        out.push('{');
        Self { out, empty: true }
    }

    /// Adds a property; `value` is JSON.
    pub fn put(&mut self, key: &str, value: &str) {
        let mut quoted = String::new();
        push_string(&mut quoted, key);
        self.put_quoted(&quoted, value);
    }

    /// Adds a property; `value` is text.
    pub fn put_text(&mut self, key: &str, value: &str) {
        let mut quoted = String::new();
        push_string(&mut quoted, value);
        self.put(key, &quoted);
    }

    pub fn put_quoted(&mut self, key: &str, value: &str) {
        if !self.empty {
            self.out.push(',');
        }
        self.empty = false;
        self.out.push_str(key);
        self.out.push(':');
        self.out.push_str(value);
    }

    pub fn close(self) -> Option<()> {
        self.out.push('}');
        Some(())
    }
}

static BAG_PACK: ScalarFn = ScalarFn {
    name: "bag_pack",
    aliases: &["pack", "pack_dictionary"],
    summary: "A property bag of keys and values in turn",
    parameters: &["key", "value"],
    signature: Signature::Custom(|args| {
        count(args, 2, None)?;
        if !args.len().is_multiple_of(2) {
            return Err(SignatureError::Count { least: args.len() + 1, most: None });
        }
        Ok(Resolved {
            args: args.iter().enumerate().map(|(index, arg)| if index % 2 == 0 { Type::String } else { arg.ty }).collect(),
            returns: Type::Dynamic,
        })
    }),
    examples: &[(r#"bag_pack("Level", "Information", "ProcessID", 1234)"#, r#"{"Level":"Information","ProcessID":1234}"#)],
    prepare: |prepare| {
        let types = prepare.types.to_vec();
        Ok(kernel(move |args| {
            args.map_json(|row, out| {
                let mut seen = HashSet::new();
                let mut bag = Bag::new(out);
                for index in (0..args.len()).step_by(2) {
                    let key = args.texts(index).get(row);
                    if seen.insert(key) {
                        bag.put(key, &json_at(args, index + 1, row, types[index + 1]));
                    }
                }
                bag.close()
            })
        }))
    },
    ..ScalarFn::DEFAULT
};

/// A node or an edge of a graph as a bag.
static BAG_PACK_FILLED: ScalarFn = ScalarFn {
    name: "$bag_pack_filled",
    summary: "As `bag_pack`, without nulls and empty strings",
    signature: Signature::Custom(|args| {
        Ok(Resolved {
            args: args.iter().enumerate().map(|(index, arg)| if index % 2 == 0 { Type::String } else { arg.ty }).collect(),
            returns: Type::Dynamic,
        })
    }),
    prepare: |prepare| {
        let types = prepare.types.to_vec();
        Ok(kernel(move |args| {
            args.map_json(|row, out| {
                let mut bag = Bag::new(out);
                for index in (0..args.len()).step_by(2) {
                    let value = json_at(args, index + 1, row, types[index + 1]);
                    if !matches!(&*value, "null" | "\"\"") {
                        bag.put(args.texts(index).get(row), &value);
                    }
                }
                bag.close()
            })
        }))
    },
    ..ScalarFn::DEFAULT
};

static BAG_KEYS: ScalarFn = ScalarFn {
    name: "bag_keys",
    summary: "The keys of a property bag, as an array",
    signature: all(&[("object", Type::Dynamic)], Type::Dynamic),
    examples: &[
        (r#"bag_keys(dynamic({"a":1,"b":{"c":2}}))"#, r#"["a","b"]"#),
        ("bag_keys(dynamic({}))", "[]"),
        ("bag_keys(dynamic([1]))", ""),
    ],
    prepare: |_| {
        Ok(kernel(|args| {
            let object = args.texts(0);
            args.map_json(|row, out| {
                push_array(out, entries(object.opt(row)?)?.map(|(key, _)| key));
                Some(())
            })
        }))
    },
    ..ScalarFn::DEFAULT
};

static BAG_MERGE: ScalarFn = ScalarFn {
    name: "bag_merge",
    summary: "One bag of the properties of all; of a key that several have, the first value",
    parameters: &["bag"],
    signature: Signature::Custom(|args| dynamics(args, 1)),
    examples: &[(r#"bag_merge(dynamic({"a":1}), dynamic({"a":2,"b":3}))"#, r#"{"a":1,"b":3}"#)],
    prepare: |_| {
        Ok(kernel(|args| {
            let bags: Vec<_> = (0..args.len()).map(|index| args.texts(index)).collect();
            args.map_json(|row, out| {
                let found: Vec<_> = bags.iter().filter_map(|bag| entries(bag.opt(row)?)).collect();
                if found.is_empty() {
                    return None;
                }
                let mut seen = HashSet::new();
                let mut bag = Bag::new(out);
                for (key, value) in found.into_iter().flatten() {
                    if seen.insert(key) {
                        bag.put_quoted(key, value);
                    }
                }
                bag.close()
            })
        }))
    },
    ..ScalarFn::DEFAULT
};

static BAG_HAS_KEY: ScalarFn = ScalarFn {
    name: "bag_has_key",
    summary: "True where the bag has this key; a key that begins with `$` is a path",
    signature: all(&[("bag", Type::Dynamic), ("key", Type::String)], Type::Bool),
    examples: &[(r#"bag_has_key(dynamic({"a":1}), "a")"#, "True"), (r#"bag_has_key(dynamic({"a":{"b":1}}), "$.a.b")"#, "True")],
    prepare: |_| {
        Ok(kernel(|args| {
            let (bag, key) = (args.texts(0), args.texts(1));
            args.map_bools(|row| {
                let (bag, key) = (bag.opt(row)?, key.get(row));
                entries(bag)?;
                Some(if key.starts_with('$') {
                    Path::parse(key).is_some_and(|path| path.find(bag).is_some())
                } else {
                    dynamic::property(bag, key).is_some()
                })
            })
        }))
    },
    ..ScalarFn::DEFAULT
};

static BAG_REMOVE_KEYS: ScalarFn = ScalarFn {
    name: "bag_remove_keys",
    summary: "The bag without some keys; a key that begins with `$` is a path",
    signature: all(&[("bag", Type::Dynamic), ("keys", Type::Dynamic)], Type::Dynamic),
    examples: &[(r#"bag_remove_keys(dynamic({"a":1,"b":{"c":2,"d":3}}), dynamic(["a","$.b.c"]))"#, r#"{"b":{"d":3}}"#)],
    prepare: |_| {
        Ok(kernel(|args| {
            let (bag, keys) = (args.texts(0), args.texts(1));
            args.map_json(|row, out| {
                let paths: Vec<Vec<String>> = elements(keys.opt(row)?)?
                    .map(|key| {
                        let key = unquote(key);
                        match Path::parse(&key).filter(|_| key.starts_with('$')).and_then(|path| path.names()) {
                            Some(names) => names,
                            None => vec![key.into_owned()],
                        }
                    })
                    .collect();
                remove(bag.opt(row)?, &paths.iter().map(Vec::as_slice).collect::<Vec<_>>(), 0, out)
            })
        }))
    },
    ..ScalarFn::DEFAULT
};

fn remove(json: &str, paths: &[&[String]], depth: usize, out: &mut String) -> Option<()> {
    let all = entries(json).filter(|_| depth < MAX_DEPTH)?;
    let mut bag = Bag::new(out);
    for (key, value) in all {
        let name = unquote(key);
        let below: Vec<&[String]> =
            paths.iter().filter(|path| path.first().is_some_and(|first| *first == name)).map(|path| &path[1..]).collect();
        if below.iter().any(|path| path.is_empty()) {
            continue;
        }
        let mut inner = String::new();
        match (below.is_empty(), entries(value)) {
            (false, Some(_)) => {
                remove(value, &below, depth + 1, &mut inner)?;
                bag.put_quoted(key, &inner);
            }
            _ => bag.put_quoted(key, value),
        }
    }
    bag.close()
}

static BAG_SET_KEY: ScalarFn = ScalarFn {
    name: "bag_set_key",
    summary: "The bag with a key set to a value; a key that begins with `$` is a path",
    parameters: &["bag", "key"],
    signature: Signature::Custom(|args| {
        count(args, 3, Some(3))?;
        if args[0].ty != Type::Dynamic {
            return Err(wants(0, "dynamic"));
        }
        Ok(Resolved { args: vec![Type::Dynamic, Type::String, args[2].ty], returns: Type::Dynamic })
    }),
    examples: &[
        (r#"bag_set_key(dynamic({"a":1}), "a", 2)"#, r#"{"a":2}"#),
        (r#"bag_set_key(dynamic({"a":{"b":1}}), "$.a.c", "x")"#, r#"{"a":{"b":1,"c":"x"}}"#),
    ],
    prepare: |prepare| {
        let ty = prepare.types[2];
        Ok(kernel(move |args| {
            let (bag, key) = (args.texts(0), args.texts(1));
            args.map_json(|row, out| {
                let key = key.get(row);
                let path = match Path::parse(key).filter(|_| key.starts_with('$')) {
                    Some(path) => path.names()?,
                    None => vec![key.to_owned()],
                };
                set(bag.opt(row)?, &path, &json_at(args, 2, row, ty), out)
            })
        }))
    },
    ..ScalarFn::DEFAULT
};

fn set(json: &str, path: &[String], value: &str, out: &mut String) -> Option<()> {
    let (name, rest) = path.split_first()?;
    let all = entries(json).filter(|_| path.len() < MAX_DEPTH)?;
    let (mut found, mut bag) = (false, Bag::new(out));
    for (key, old) in all {
        if unquote(key) != *name {
            bag.put_quoted(key, old);
        } else if rest.is_empty() {
            found = true;
            bag.put_quoted(key, value);
        } else {
            found = true;
            let mut inner = String::new();
            set(old, rest, value, &mut inner)?;
            bag.put_quoted(key, &inner);
        }
    }
    if !found {
        let mut inner = value.to_owned();
        for name in rest.iter().rev() {
            let mut outer = String::new();
            let mut one = Bag::new(&mut outer);
            one.put(name, &inner);
            one.close();
            inner = outer;
        }
        bag.put(name, &inner);
    }
    bag.close()
}

static BAG_ZIP: ScalarFn = ScalarFn {
    name: "bag_zip",
    summary: "A bag of an array of keys and an array of values; values that are missing are null",
    signature: all(&[("keys", Type::Dynamic), ("values", Type::Dynamic)], Type::Dynamic),
    examples: &[(r#"bag_zip(dynamic(["a","b"]), dynamic([1]))"#, r#"{"a":1,"b":null}"#)],
    prepare: |_| {
        Ok(kernel(|args| {
            let (keys, values) = (args.texts(0), args.texts(1));
            args.map_json(|row, out| {
                // Recorded: values that are not an array are treated as an empty array.
                let (keys, mut values) = (elements(keys.opt(row)?)?, elements(values.opt(row).unwrap_or("[]")).into_iter().flatten());
                let mut bag = Bag::new(out);
                for key in keys {
                    let value = values.next().unwrap_or("null");
                    if dynamic::kind(key) == dynamic::Kind::String {
                        bag.put_quoted(key, value);
                    }
                }
                bag.close()
            })
        }))
    },
    ..ScalarFn::DEFAULT
};

static TREEPATH: ScalarFn = ScalarFn {
    name: "treepath",
    summary: "The paths of all leaves and bags in a dynamic value",
    signature: all(&[("object", Type::Dynamic)], Type::Dynamic),
    examples: &[
        (r#"treepath(dynamic({"a":{"b":1}}))"#, r#"["['a']","['a']['b']"]"#),
        (r#"treepath(dynamic({"a":[{"b":1}]}))"#, r#"["['a']","['a'][0]","['a'][0]['b']"]"#),
    ],
    prepare: |_| {
        Ok(kernel(|args| {
            let object = args.texts(0);
            args.map_json(|row, out| {
                let mut paths = Vec::new();
                tree(object.opt(row)?, String::new(), 0, &mut paths);
                push_array(out, paths.iter().map(String::as_str));
                Some(())
            })
        }))
    },
    ..ScalarFn::DEFAULT
};

fn tree(json: &str, path: String, depth: usize, paths: &mut Vec<String>) {
    if depth > MAX_DEPTH || paths.len() > 100_000 {
        return;
    }
    if !path.is_empty() {
        let mut quoted = String::new();
        push_string(&mut quoted, &path);
        if !paths.contains(&quoted) {
            paths.push(quoted);
        }
    }
    for (key, value) in entries(json).into_iter().flatten() {
        tree(value, format!("{path}['{}']", unquote(key)), depth + 1, paths);
    }
    // All elements of an array share one path.
    for element in elements(json).into_iter().flatten() {
        tree(element, format!("{path}[0]"), depth + 1, paths);
    }
}

static DYNAMIC_TO_JSON: ScalarFn = ScalarFn {
    name: "dynamic_to_json",
    summary: "JSON text with the keys of all bags in order, so that equal values have equal texts",
    parameters: &["keys", "values"],
    signature: Signature::Custom(|args: &[Arg]| {
        count(args, 1, Some(1))?;
        Ok(Resolved { args: vec![Type::Dynamic], returns: Type::String })
    }),
    examples: &[(r#"dynamic_to_json(dynamic({"b":1,"a":[2,{"d":3,"c":4}]}))"#, r#"{"a":[2,{"c":4,"d":3}],"b":1}"#)],
    prepare: |_| {
        Ok(kernel(|args| {
            let value = args.texts(0);
            args.map_texts(|row, out| {
                if let Some(json) = value.opt(row)
                    && dynamic::sorted(json, 0, out).is_none()
                {
                    out.clear();
                }
            })
        }))
    },
    ..ScalarFn::DEFAULT
};
