//! Bitwise operations on integers: `binary_and`, `binary_or`, `binary_xor`, `binary_not`, shifts, `bitset_count_ones`, `tohex`. Source of
//! truth: the public KQL reference, one page each.

use model::Type;

use super::signatures::{all, count, wants};
use super::{Family, Resolved, ScalarFn, Signature, kernel};

pub static FAMILY: Family = &[&AND, &OR, &XOR, &NOT, &SHIFT_LEFT, &SHIFT_RIGHT, &COUNT_ONES, &TO_HEX];

macro_rules! of_two {
    ($name:ident, $call:literal, $summary:literal, $example:expr, $compute:expr) => {
        static $name: ScalarFn = ScalarFn {
            name: $call,
            summary: $summary,
            signature: all(&[("value1", Type::Long), ("value2", Type::Long)], Type::Long),
            examples: &[$example],
            prepare: |_| {
                Ok(kernel(|args| {
                    let (x, y) = (args.longs(0), args.longs(1));
                    let compute: fn(i64, i64) -> Option<i64> = $compute;
                    args.map_longs(|row| compute(x.get(row)?, y.get(row)?))
                }))
            },
            ..ScalarFn::DEFAULT
        };
    };
}

of_two!(AND, "binary_and", "Bits that are set in both numbers", ("binary_and(6, 3)", "2"), |x, y| Some(x & y));
of_two!(OR, "binary_or", "Bits that are set in one of the numbers", ("binary_or(5, 3)", "7"), |x, y| Some(x | y));
of_two!(XOR, "binary_xor", "Bits that are set in exactly one of the numbers", ("binary_xor(1, 2)", "3"), |x, y| Some(x ^ y));
of_two!(
    SHIFT_LEFT,
    "binary_shift_left",
    "The bits moved to the left, by the amount modulo 64; null by a negative amount",
    ("binary_shift_left(1, 2)", "4"),
    |x, y| (y >= 0).then(|| x.wrapping_shl((y % 64) as u32))
);
of_two!(
    SHIFT_RIGHT,
    "binary_shift_right",
    "The bits moved to the right, by the amount modulo 64; null by a negative amount",
    ("binary_shift_right(4, 2)", "1"),
    |x, y| (y >= 0).then(|| x.wrapping_shr((y % 64) as u32))
);

static NOT: ScalarFn = ScalarFn {
    name: "binary_not",
    summary: "The number with every bit turned around",
    signature: all(&[("value", Type::Long)], Type::Long),
    examples: &[("binary_not(100)", "-101")],
    prepare: |_| {
        Ok(kernel(|args| {
            let x = args.longs(0);
            args.map_longs(|row| x.get(row).map(|x| !x))
        }))
    },
    ..ScalarFn::DEFAULT
};

static COUNT_ONES: ScalarFn = ScalarFn {
    name: "bitset_count_ones",
    summary: "How many bits of the number are set",
    signature: all(&[("value", Type::Long)], Type::Long),
    examples: &[("bitset_count_ones(42)", "3")],
    prepare: |_| {
        Ok(kernel(|args| {
            let x = args.longs(0);
            args.map_longs(|row| x.get(row).map(|x| x.count_ones().into()))
        }))
    },
    ..ScalarFn::DEFAULT
};

static TO_HEX: ScalarFn = ScalarFn {
    name: "tohex",
    summary: "The number in hexadecimal digits, at least so many; a negative number as two's complement of its type",
    signature: Signature::Custom(|args| {
        count(args, 1, Some(2))?;
        if !matches!(args[0].ty, Type::Int | Type::Long | Type::Dynamic) {
            return Err(wants(0, "int or long"));
        }
        let first = if args[0].ty == Type::Int { Type::Int } else { Type::Long };
        Ok(Resolved { args: [first, Type::Long][..args.len()].to_vec(), returns: Type::String })
    }),
    examples: &[
        ("tohex(256)", "100"),
        ("tohex(-256)", "ffffffffffffff00"),
        ("tohex(toint(-256), 8)", "ffffff00"),
        ("tohex(256, 8)", "00000100"),
    ],
    prepare: |prepare| {
        let short = prepare.types[0] == Type::Int;
        Ok(kernel(move |args| {
            args.map_texts(|row, out| {
                let digits =
                    if short { args.ints(0).get(row).map(|n| format!("{n:x}")) } else { args.longs(0).get(row).map(|n| format!("{n:x}")) };
                let Some(digits) = digits else { return };
                let least = if args.len() > 1 { args.longs(1).get(row).unwrap_or(0).clamp(0, 64) as usize } else { 0 };
                out.extend(std::iter::repeat_n('0', least.saturating_sub(digits.len())));
                out.push_str(&digits);
            })
        }))
    },
    ..ScalarFn::DEFAULT
};
