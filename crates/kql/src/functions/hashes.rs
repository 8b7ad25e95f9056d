//! Hashes: `hash` and `hash_xxhash64`, `hash_combine`, `hash_many`, `hash_sha256`, `hash_sha1`, `hash_md5`. Source of truth: the public KQL
//! reference, one page each; digests are computed over the value as formatted by `tostring`, `hash` of a text is xxHash64 of its bytes. How
//! Kusto combines hashes is unpublished, and its reference warns against storing the results: here each value is hashed with the previous
//! result as the seed, so that the order matters.

use md5::Md5;
use model::Type;
use sha1::Sha1;
use sha2::{Digest, Sha256};
use xxhash_rust::xxh64::xxh64;

use super::signatures::{as_is, count, texts, wants};
use super::{Column, Family, Resolved, ScalarFn, Signature, kernel};
use crate::Value;

pub static FAMILY: Family = &[&HASH, &COMBINE, &MANY, &SHA256, &SHA1, &MD5];

/// The result of `hash` for a value.
pub(crate) fn hash_of(value: &Value) -> i64 {
    let hash = match value {
        Value::Bool(b) => xxh64(&[u8::from(*b)], 0),
        Value::Int(n) => xxh64(&n.to_le_bytes(), 0),
        Value::Long(n) | Value::Datetime(n) | Value::Timespan(n) => xxh64(&n.to_le_bytes(), 0),
        Value::Real(x) => xxh64(&x.to_le_bytes(), 0),
        other => xxh64(other.to_text().as_bytes(), 0),
    };
    hash as i64
}

static HASH: ScalarFn = ScalarFn {
    name: "hash",
    aliases: &["hash_xxhash64"],
    summary: "A 64-bit hash of the value, or its remainder by a number",
    parameters: &["source", "mod"],
    signature: Signature::Custom(|args| {
        count(args, 1, Some(2))?;
        if args.get(1).is_some_and(|arg| !matches!(arg.ty, Type::Int | Type::Long | Type::Dynamic)) {
            return Err(wants(1, "long"));
        }
        Ok(Resolved { args: [args[0].ty, Type::Long][..args.len()].to_vec(), returns: Type::Long })
    }),
    examples: &[(r#"hash("World")"#, "1846988464401551951"), (r#"hash("World", 100)"#, "51")],
    prepare: |prepare| {
        let ty = prepare.types[0];
        Ok(kernel(move |args| {
            args.map_longs(|row| {
                let column = &args.arrays[0];
                let value = Value::from_cell(column.inner(), if column.is_scalar() { 0 } else { row }, ty);
                let hash = hash_of(&value);
                if args.len() < 2 {
                    return Some(hash);
                }
                let modulus = args.longs(1).get(row)?;
                (modulus > 0).then(|| hash.wrapping_rem_euclid(modulus))
            })
        }))
    },
    ..ScalarFn::DEFAULT
};

fn combined(hashes: impl Iterator<Item = i64>) -> i64 {
    hashes.fold(0, |seed, hash| xxh64(&hash.to_le_bytes(), seed)) as i64
}

static COMBINE: ScalarFn = ScalarFn {
    name: "hash_combine",
    summary: "One hash of several",
    signature: Signature::Custom(|args| {
        count(args, 1, None)?;
        match args.iter().position(|arg| !matches!(arg.ty, Type::Int | Type::Long | Type::Dynamic)) {
            Some(index) => Err(wants(index, "long")),
            None => Ok(Resolved { args: vec![Type::Long; args.len()], returns: Type::Long }),
        }
    }),
    examples: &[
        (r#"hash_combine(hash("a"), hash("b")) == hash_combine(hash("b"), hash("a"))"#, "False"),
        (r#"hash_combine(1, 2) == hash_combine(1, 2)"#, "True"),
    ],
    prepare: |_| {
        Ok(kernel(|args| {
            args.map_longs(|row| {
                let hashes = (0..args.len()).map(|index| args.longs(index).get(row)).collect::<Option<Vec<i64>>>()?;
                Some(combined(hashes.into_iter()))
            })
        }))
    },
    ..ScalarFn::DEFAULT
};

static MANY: ScalarFn = ScalarFn {
    name: "hash_many",
    summary: "One hash of several values: that of all their hashes",
    signature: Signature::Custom(|args| {
        count(args, 1, None)?;
        as_is(args, Type::Long)
    }),
    // From the reference: both pages show the same result.
    examples: &[(r#"hash_many("Hello", "World") == hash_combine(hash("Hello"), hash("World"))"#, "True")],
    prepare: |prepare| {
        let types = prepare.types.to_vec();
        Ok(kernel(move |args| {
            args.map_longs(|row| {
                let of = |(column, ty): (&Column, &Type)| {
                    hash_of(&Value::from_cell(column.inner(), if column.is_scalar() { 0 } else { row }, *ty))
                };
                Some(combined(args.arrays.iter().zip(&types).map(of)))
            })
        }))
    },
    ..ScalarFn::DEFAULT
};

macro_rules! digest {
    ($name:ident, $call:literal, $digest:ty, $summary:literal, $example:expr) => {
        static $name: ScalarFn = ScalarFn {
            name: $call,
            summary: $summary,
            signature: Signature::Custom(|args| texts(args, 1, Some(1), Type::String)),
            examples: &[$example],
            prepare: |_| {
                Ok(kernel(|args| {
                    let source = args.texts(0);
                    args.map_texts(|row, out| {
                        // Recorded: the digest of the empty text is empty.
                        let text = source.get(row);
                        if !text.is_empty() {
                            out.push_str(&hex::encode(<$digest>::digest(text.as_bytes())));
                        }
                    })
                }))
            },
            ..ScalarFn::DEFAULT
        };
    };
}

digest!(
    SHA256,
    "hash_sha256",
    Sha256,
    "The SHA-256 digest of the text, in hexadecimal digits",
    (r#"hash_sha256("World")"#, "78ae647dc5544d227130a0682a51e30bc7777fbb6d8a8f17007463a3ecd1d524")
);
digest!(
    SHA1,
    "hash_sha1",
    Sha1,
    "The SHA-1 digest of the text, in hexadecimal digits",
    (r#"hash_sha1("World")"#, "70c07ec18ef89c5309bbb0937f3a6342411e1fdd")
);
digest!(
    MD5,
    "hash_md5",
    Md5,
    "The MD5 digest of the text, in hexadecimal digits",
    (r#"hash_md5(datetime(2020-01-01))"#, "786c530672d1f8db31fee25ea8a9390b")
);
