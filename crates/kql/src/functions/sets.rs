//! Sets: `set_union`, `set_intersect`, `set_difference`, `set_has_element`, `set_equals`, `jaccard_index`. Elements are equal if they have
//! the same kind and value (recorded: `2` is not `"2"`). Order is that of first appearance.

use hashbrown::HashSet;
use model::Type;

use super::arrays::{dynamics, json_at, push_array};
use super::signatures::{all, count, wants};
use super::{Family, Resolved, ScalarFn, Signature, kernel};
use crate::dynamic::{self, elements};

pub static FAMILY: Family = &[&SET_UNION, &SET_INTERSECT, &SET_DIFFERENCE, &SET_HAS_ELEMENT, &SET_EQUALS, &JACCARD_INDEX];

/// A text that is equal for equal elements.
fn key(element: &str) -> String {
    let mut key = String::new();
    match dynamic::kind(element) {
        dynamic::Kind::Long(n) => key = n.to_string(),
        dynamic::Kind::Real(x) if x.fract() == 0.0 && x.abs() < 9e15 => key = (x as i64).to_string(),
        dynamic::Kind::String => dynamic::push_string(&mut key, &dynamic::unquote(element)),
        _ => {
            if dynamic::sorted(element, 0, &mut key).is_none() {
                key = element.to_owned();
            }
        }
    }
    key
}

fn keys(json: &str) -> Option<HashSet<String>> {
    Some(elements(json)?.map(key).collect())
}

static SET_UNION: ScalarFn = ScalarFn {
    name: "set_union",
    summary: "All different elements of all arrays",
    parameters: &["set1", "set2"],
    signature: Signature::Custom(|args| dynamics(args, 1)),
    examples: &[("set_union(dynamic([1,2,1]), dynamic([2,3]))", "[1,2,3]")],
    prepare: |_| {
        Ok(kernel(|args| {
            let arrays: Vec<_> = (0..args.len()).map(|index| args.texts(index)).collect();
            args.map_json(|row, out| {
                let mut seen = HashSet::new();
                let mut all = Vec::new();
                for array in &arrays {
                    all.extend(elements(array.opt(row)?)?.filter(|element| seen.insert(key(element))));
                }
                push_array(out, all);
                Some(())
            })
        }))
    },
    ..ScalarFn::DEFAULT
};

static SET_INTERSECT: ScalarFn = ScalarFn {
    name: "set_intersect",
    summary: "The different elements that are in all arrays",
    parameters: &["set1", "set2"],
    signature: Signature::Custom(|args| dynamics(args, 1)),
    examples: &[("set_intersect(dynamic([1,2,3]), dynamic([3,2]))", "[2,3]"), ("set_intersect(dynamic([1]), dynamic([4]))", "[]")],
    prepare: |_| {
        Ok(kernel(|args| {
            let arrays: Vec<_> = (0..args.len()).map(|index| args.texts(index)).collect();
            args.map_json(|row, out| {
                let others: Vec<HashSet<String>> = arrays[1..].iter().map(|array| keys(array.opt(row)?)).collect::<Option<_>>()?;
                let mut seen = HashSet::new();
                push_array(
                    out,
                    elements(arrays[0].opt(row)?)?.filter(|element| {
                        let key = key(element);
                        others.iter().all(|other| other.contains(&key)) && seen.insert(key)
                    }),
                );
                Some(())
            })
        }))
    },
    ..ScalarFn::DEFAULT
};

static SET_DIFFERENCE: ScalarFn = ScalarFn {
    name: "set_difference",
    summary: "The different elements of the first array that are in no other",
    parameters: &["set1", "set2"],
    signature: Signature::Custom(|args| dynamics(args, 1)),
    examples: &[("set_difference(dynamic([1,2,1,3]), dynamic([2]))", "[1,3]")],
    prepare: |_| {
        Ok(kernel(|args| {
            let arrays: Vec<_> = (0..args.len()).map(|index| args.texts(index)).collect();
            args.map_json(|row, out| {
                let others: Vec<HashSet<String>> = arrays[1..].iter().map(|array| keys(array.opt(row)?)).collect::<Option<_>>()?;
                let mut seen = HashSet::new();
                push_array(
                    out,
                    elements(arrays[0].opt(row)?)?.filter(|element| {
                        let key = key(element);
                        !others.iter().any(|other| other.contains(&key)) && seen.insert(key)
                    }),
                );
                Some(())
            })
        }))
    },
    ..ScalarFn::DEFAULT
};

static SET_HAS_ELEMENT: ScalarFn = ScalarFn {
    name: "set_has_element",
    summary: "True where the array has this element",
    parameters: &["set", "value"],
    signature: Signature::Custom(|args| {
        count(args, 2, Some(2))?;
        if args[0].ty != Type::Dynamic {
            return Err(wants(0, "dynamic"));
        }
        Ok(Resolved { args: vec![Type::Dynamic, args[1].ty], returns: Type::Bool })
    }),
    examples: &[(r#"set_has_element(dynamic(["this","example"]), "example")"#, "True"), (r#"set_has_element(dynamic([2]), "2")"#, "False")],
    prepare: |prepare| {
        let ty = prepare.types[1];
        Ok(kernel(move |args| {
            let array = args.texts(0);
            args.map_bools(|row| {
                let value = json_at(args, 1, row, ty);
                Some(elements(array.opt(row)?)?.any(|element| dynamic::equal(element, &value)))
            })
        }))
    },
    ..ScalarFn::DEFAULT
};

static SET_EQUALS: ScalarFn = ScalarFn {
    name: "set_equals",
    summary: "True where both arrays have the same different elements",
    signature: all(&[("set1", Type::Dynamic), ("set2", Type::Dynamic)], Type::Bool),
    examples: &[("set_equals(dynamic([1,2]), dynamic([2,1,1]))", "True")],
    prepare: |_| {
        Ok(kernel(|args| {
            let (a, b) = (args.texts(0), args.texts(1));
            args.map_bools(|row| Some(keys(a.opt(row)?)? == keys(b.opt(row)?)?))
        }))
    },
    ..ScalarFn::DEFAULT
};

static JACCARD_INDEX: ScalarFn = ScalarFn {
    name: "jaccard_index",
    summary: "How alike two sets are: the size of their intersection over that of their union",
    signature: all(&[("set1", Type::Dynamic), ("set2", Type::Dynamic)], Type::Real),
    examples: &[("jaccard_index(dynamic([1,2,3,4]), dynamic([3,4,5,6]))", "0.3333333333333333")],
    prepare: |_| {
        Ok(kernel(|args| {
            let (a, b) = (args.texts(0), args.texts(1));
            args.map_reals(|row| {
                let (a, b) = (keys(a.opt(row)?)?, keys(b.opt(row)?)?);
                Some(a.intersection(&b).count() as f64 / a.union(&b).count() as f64)
            })
        }))
    },
    ..ScalarFn::DEFAULT
};
