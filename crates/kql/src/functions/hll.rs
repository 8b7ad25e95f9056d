//! `dcount_hll(hll)`, `hll_merge(hll, hll, …)`, `hll_isvalid(hll)` — read and merge results of the aggregate `hll`. See
//! [`crate::aggregates::sketch`].

use std::sync::Arc;

use arrow::array::{Array, AsArray, Int64Array, StringViewArray};
use model::Type;

use super::{Arg, Family, Resolved, ScalarFn, Signature, SignatureError, kernel};
use crate::aggregates::sketch::Sketch;

pub static FAMILY: Family = &[&DCOUNT_HLL, &HLL_MERGE, &IS_VALID];

static DCOUNT_HLL: ScalarFn = ScalarFn {
    name: "dcount_hll",
    summary: "The number of distinct values behind a result of `hll`",
    signature: Signature::Fixed { args: &[("hll", Type::Dynamic)], required: 1, returns: Type::Long },
    examples: &[(r#"dcount_hll(dynamic(["DgA="]))"#, "0")],
    prepare: |_| {
        Ok(kernel(|args| {
            let sketches = args.array(0);
            let counts = sketches.as_string_view().iter().map(|json| Some(Sketch::from_json(json?)?.count()));
            Arc::new(counts.collect::<Int64Array>())
        }))
    },
    ..ScalarFn::DEFAULT
};

static HLL_MERGE: ScalarFn = ScalarFn {
    name: "hll_merge",
    summary: "Several results of `hll` as one; nulls are ignored",
    parameters: &["hll"],
    signature: Signature::Custom(resolve),
    examples: &[(r#"dcount_hll(hll_merge(dynamic(["DgA="]), dynamic(["DgA="])))"#, "0")],
    prepare: |_| {
        Ok(kernel(|args| {
            let columns: Vec<_> = (0..args.len()).map(|index| args.array(index)).collect();
            let merged = (0..args.rows).map(|row| {
                let present = columns.iter().filter(|column| column.is_valid(row));
                let mut sketches = present.filter_map(|column| Sketch::from_json(column.as_string_view().value(row)));
                let mut all = sketches.next()?;
                sketches.for_each(|sketch| all.merge(&sketch));
                Some(all.to_json())
            });
            Arc::new(merged.collect::<StringViewArray>())
        }))
    },
    ..ScalarFn::DEFAULT
};

static IS_VALID: ScalarFn = ScalarFn {
    name: "hll_isvalid",
    summary: "True for a result of `hll`; whatever value is given besides, it could have been counted",
    signature: Signature::Custom(|args| {
        super::signatures::count(args, 1, Some(2))?;
        resolve(&args[..1])?;
        super::signatures::as_is(args, Type::Bool)
    }),
    examples: &[
        (r#"hll_isvalid(dynamic(["DgA="]))"#, "True"),
        (r#"hll_isvalid(dynamic(["DgA="]), 5)"#, "True"),
        ("hll_isvalid(dynamic([1]))", "False"),
    ],
    prepare: |_| {
        Ok(kernel(|args| {
            let sketches = args.texts(0);
            args.map_bools(|row| Some(sketches.opt(row).and_then(Sketch::from_json).is_some()))
        }))
    },
    ..ScalarFn::DEFAULT
};

fn resolve(args: &[Arg]) -> Result<Resolved, SignatureError> {
    if args.is_empty() {
        return Err(SignatureError::Count { least: 1, most: None });
    }
    match args.iter().position(|arg| arg.ty != Type::Dynamic) {
        Some(index) => Err(SignatureError::Type { index, wants: "a dynamic".into() }),
        None => Ok(Resolved { args: vec![Type::Dynamic; args.len()], returns: Type::Dynamic }),
    }
}
