//! Cells of generated tables: boundary values of a type, and values that are meaningful to functions.

use kql::Type;

use crate::Random;

/// Boundary values of a type, as KQL literals.
pub fn edges(ty: Type) -> &'static [&'static str] {
    match ty {
        Type::Bool => &["true", "false", "bool(null)"],
        Type::Int => &["int(0)", "int(1)", "int(-1)", "int(7)", "int(2147483647)", "int(null)"],
        Type::Long => &["0", "1", "-1", "7", "42", "3", "100", "9223372036854775807", "long(null)"],
        Type::Real => &["0.0", "1.5", "-2.25", "100.0", "0.5", "real(nan)", "real(-0.0)", "real(+inf)", "real(null)"],
        Type::Decimal => &["decimal(0)", "decimal(1.5)", "decimal(-3)", "decimal(100.25)", "decimal(null)"],
        Type::String => &["''", "'a'", "'b'", "'A b'", "'x-1'", "'é😀'", "'10.0.0.1'", "'2024-01-01'", "'k=v; a=b'", "'{\"a\":1}'"],
        Type::Datetime => &[
            "datetime(2024-01-01)",
            "datetime(2024-01-01 12:00)",
            "datetime(2024-02-29 12:34:56.7890123)",
            "datetime(0001-01-01)",
            "datetime(9999-12-31 23:59:59.9999999)",
            "datetime(null)",
        ],
        Type::Timespan => &["0s", "1d", "-1h", "time(1.02:03:04.5000001)", "1tick", "time(null)"],
        Type::Guid => &["guid(00000000-0000-0000-0000-000000000000)", "guid(74be27de-1e4e-49d9-b579-fe0b331d3642)", "guid(null)"],
        Type::Dynamic => &[
            "dynamic(null)",
            "dynamic([1,2,3])",
            "dynamic([\"a\",\"b\",null])",
            "dynamic({\"a\":1,\"b\":\"x\"})",
            "dynamic({\"a\":{\"b\":[1.5]}})",
            "dynamic(\"text\")",
            "dynamic(12)",
            "dynamic([])",
            "dynamic({})",
        ],
    }
}

/// Cell texts to draw from, besides boundary values.
#[derive(Clone, Debug, Default)]
pub struct Pool {
    pub likely: Vec<String>,
}

impl Pool {
    /// A cell of type `ty`.
    pub fn draw(&self, ty: Type, random: &mut Random) -> String {
        let edges = edges(ty);
        if !self.likely.is_empty() && random.below(10) < 7 {
            return self.likely[random.below(self.likely.len() as u64) as usize].clone();
        }
        edges[random.below(edges.len() as u64) as usize].to_owned()
    }
}

/// How many rows a generated table has.
pub fn rows(random: &mut Random) -> usize {
    [0, 1, 2, 5, 9, 9, 20, 40][random.below(8) as usize]
}
