//! Shared by the fuzz targets: a schema, a mutator that keeps most queries parseable, and a small interpreter.

use std::time::{Duration, Instant};

use arrow::array::{Array, ArrayRef, AsArray, UInt32Array};
use arrow::compute::{concat_batches, filter_record_batch};
use arrow::datatypes::{Field as ArrowField, Schema, SchemaRef};
use arrow::record_batch::{RecordBatch, RecordBatchOptions};
use kql::Value;
use kql::aggregates::{Emit, Start};
use kql::check::TableSchemas;
use kql::eval::{Evaluator, Runtime, fold};
use kql::plan::{Expr, Field, Plan, Rel, RelOp};
use kql::syntax::lexer::lex;
use model::Timestamp;

/// Tables that queries may reference.
pub fn schemas() -> TableSchemas {
    let columns =
        |columns: &[(&str, &str)]| columns.iter().map(|(name, ty)| vec![(*name).to_owned(), (*ty).to_owned()]).collect::<Vec<_>>();
    let events = columns(&[
        ("TimeGenerated", "datetime"),
        ("User", "string"),
        ("IP", "string"),
        ("Port", "int"),
        ("Bytes", "long"),
        ("Score", "real"),
        ("Ok", "bool"),
        ("Id", "guid"),
        ("Took", "timespan"),
        ("Price", "decimal"),
        ("More", "dynamic"),
    ]);
    let users = columns(&[("User", "string"), ("Team", "string"), ("Since", "datetime")]);
    let all: std::collections::HashMap<&str, _> = [("Events", events), ("Users", users)].into();
    serde::from_json(&all)
}

/// The schemas are JSON.
mod serde {
    use std::collections::HashMap;

    use kql::check::TableSchemas;

    pub fn from_json(tables: &HashMap<&str, Vec<Vec<String>>>) -> TableSchemas {
        serde_json::to_value(tables).and_then(serde_json::from_value).expect("a schema of ours")
    }
}

pub const NOW: Timestamp = Timestamp::UNIX_EPOCH;

/// Panics if `work` takes longer than `limit`.
pub fn within(limit: Duration, what: &str, work: impl FnOnce()) {
    let started = Instant::now();
    work();
    assert!(started.elapsed() < limit, "{what} took {:?}", started.elapsed());
}

/// Tokens that the mutator may insert.
const WORDS: &[&str] = &[
    "(",
    ")",
    "[",
    "]",
    "{",
    "}",
    "|",
    ";",
    ",",
    "=",
    "==",
    "=~",
    "!=",
    "<",
    ">=",
    "+",
    "-",
    "*",
    "/",
    "%",
    "..",
    "*",
    ":",
    "=>",
    ".",
    "\"\"",
    "'a'",
    "@'\\'",
    "h'x'",
    "0",
    "1",
    "-1",
    "9223372036854775807",
    "1e308",
    "1d",
    "-1tick",
    "datetime(2024-01-01)",
    "datetime(null)",
    "guid(null)",
    "decimal(1.5)",
    "real(nan)",
    "int(null)",
    "dynamic([1,2])",
    "dynamic({\"a\":1})",
    "true",
    "long",
    "string",
    "dynamic",
    "real",
    "and",
    "or",
    "not",
    "in",
    "!in",
    "in~",
    "has",
    "contains",
    "startswith",
    "matches regex",
    "between",
    "has_any",
    "by",
    "on",
    "asc",
    "desc",
    "nulls first",
    "kind=inner",
    "kind=leftouter",
    "with",
    "step",
    "from",
    "to",
    "typeof(long)",
    "where",
    "extend",
    "project",
    "summarize",
    "join",
    "union",
    "sort by",
    "top 3 by",
    "take 5",
    "mv-expand",
    "mv-apply",
    "parse",
    "parse-kv",
    "make-series",
    "scan",
    "partition by",
    "evaluate",
    "render",
    "serialize",
    "distinct",
    "count",
    "count()",
    "sum(Bytes)",
    "dcount(User)",
    "make_list(IP)",
    "arg_max(Bytes, *)",
    "toscalar",
    "materialize",
    "let",
    "print",
    "range",
    "datatable",
    "search",
    "find",
    "lookup",
    "as",
    "invoke",
    "getschema",
    "sample 3",
    "Events",
    "Users",
    "User",
    "IP",
    "Bytes",
    "Score",
    "More",
    "TimeGenerated",
    "$left",
    "$right",
    "bin(TimeGenerated, 1h)",
    "tostring(More)",
    "split(IP, '.')",
    "extract('([0-9]+)', 1, IP)",
    "series_fir(dynamic([1,2,3]), dynamic([1]))",
    "strcat(User, IP)",
    "prev(Bytes)",
];

struct Random(u64);

impl Random {
    fn below(&mut self, n: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        (self.0 % n.max(1) as u64) as usize
    }
}

/// Mutates a text token by token, so that most results still parse and reach the later stages.
pub fn change(data: &mut [u8], size: usize, most: usize, seed: u32) -> usize {
    let mut random = Random(u64::from(seed) << 1 | 1);
    let Ok(text) = std::str::from_utf8(&data[..size]) else { return libfuzzer_sys::fuzzer_mutate(data, size, most) };
    if text.is_empty() || random.below(8) == 0 {
        return libfuzzer_sys::fuzzer_mutate(data, size, most);
    }
    let (tokens, _) = lex(text);
    let mut pieces: Vec<String> =
        tokens.iter().map(|token| text[token.start..token.end].to_owned()).filter(|piece| !piece.is_empty()).collect();
    for _ in 0..=random.below(3) {
        if pieces.is_empty() {
            pieces.push("print".to_owned());
        }
        let (at, other) = (random.below(pieces.len()), random.below(pieces.len()));
        match random.below(8) {
            0 => drop(pieces.remove(at)),
            1 => pieces.insert(at, pieces[at].clone()),
            2 => pieces.swap(at, other),
            3 => pieces[at] = pieces[other].clone(),
            4 | 5 => pieces.insert(at, WORDS[random.below(WORDS.len())].to_owned()),
            6 => pieces[at] = WORDS[random.below(WORDS.len())].to_owned(),
            _ => {
                // Copies a range of tokens to another position.
                let length = 1 + random.below(6);
                let stretch: Vec<String> = pieces.iter().skip(other).take(length).cloned().collect();
                pieces.splice(at..at, stretch);
            }
        }
    }
    let changed = pieces.join(" ");
    let size = changed.len().min(most).min(data.len());
    data[..size].copy_from_slice(&changed.as_bytes()[..size]);
    size
}

/// Maximum rows kept per step of the interpreter.
const ROWS: usize = 64;

/// Runs the supported parts of a plan: projections, filters, aggregates and every table operator, over a few rows of edge-case values.
/// Returns `None` if an operator is implemented by the engine.
pub fn run(plan: &Plan) -> Option<RecordBatch> {
    if !plan.subqueries.is_empty() {
        return None;
    }
    rows(&plan.root, &Runtime { now: NOW })
}

fn schema_of(fields: &[Field]) -> SchemaRef {
    std::sync::Arc::new(Schema::new(
        fields.iter().map(|field| ArrowField::new(field.id.to_string(), field.ty.arrow(), true)).collect::<Vec<_>>(),
    ))
}

fn batch(fields: &[Field], columns: Vec<ArrayRef>, rows: usize) -> RecordBatch {
    let options = RecordBatchOptions::new().with_row_count(Some(rows));
    RecordBatch::try_new_with_options(schema_of(fields), columns, &options).expect("columns as their fields say")
}

fn select(from: &RecordBatch, fields: &[Field]) -> RecordBatch {
    let column = |field: &Field| from.column_by_name(&field.id.to_string()).expect("an operator gives all its fields").clone();
    batch(fields, fields.iter().map(column).collect(), from.num_rows())
}

fn rows(rel: &Rel, runtime: &Runtime) -> Option<RecordBatch> {
    let made = match &rel.op {
        RelOp::Values { rows } => {
            let rows = &rows[..rows.len().min(ROWS)];
            let column = |(at, field): (usize, &Field)| {
                let cells: Vec<Value> = rows.iter().map(|row| row.get(at).cloned().unwrap_or(Value::Null(field.ty))).collect();
                Value::array(&cells, field.ty)
            };
            batch(&rel.fields, rel.fields.iter().enumerate().map(column).collect(), rows.len())
        }
        RelOp::Scan { .. } => batch(&rel.fields, rel.fields.iter().map(|field| odd_values(field.ty)).collect(), ODD),
        RelOp::Filter { input, predicate } => {
            let from = rows(input, runtime)?;
            let keep = Evaluator::new(predicate, &input.fields, runtime).ok()?.eval(&from).ok()?;
            filter_record_batch(&from, keep.as_boolean()).expect("as many truths as rows")
        }
        RelOp::Project { input, exprs } => {
            let from = rows(input, runtime)?;
            let column = |source: &Expr| Evaluator::new(source, &input.fields, runtime).ok()?.eval(&from).ok();
            batch(&rel.fields, exprs.iter().map(column).collect::<Option<_>>()?, from.num_rows())
        }
        RelOp::Take { input, count } => {
            let count = fold(count, runtime)?.as_i64()?;
            let from = rows(input, runtime)?;
            from.slice(0, usize::try_from(count).unwrap_or(0).min(from.num_rows()))
        }
        RelOp::Sort { input, .. } => rows(input, runtime)?,
        RelOp::Aggregate { input, keys, aggregates } => {
            let from = rows(input, runtime)?;
            for key in keys {
                Evaluator::new(key, &input.fields, runtime).ok()?.eval(&from).ok()?;
            }
            // Even and odd rows form two groups, whose states are merged from halves; grouping keys are left to the engine.
            let groups: Vec<usize> = (0..from.num_rows()).map(|row| row % 2).collect();
            for call in aggregates {
                let types: Vec<_> = call.args.iter().map(|arg| arg.ty).collect();
                let constants: Vec<_> = call.args.iter().map(|arg| fold(arg, runtime)).collect();
                let start = Start { types: &types, constants: &constants, returns: call.ty };
                let args: Option<Vec<ArrayRef>> =
                    call.args.iter().map(|arg| Evaluator::new(arg, &input.fields, runtime).ok()?.eval(&from).ok()).collect();
                let args = args?;
                let mut part = (call.function.start)(&start).ok()?;
                part.update(&args, &groups, None, 2);
                let state = part.state(Emit::All);
                let mut whole = (call.function.start)(&start).ok()?;
                whole.merge(&state, &[0, 1], 2);
                whole.update(&args, &groups, None, 2);
                let answer = whole.evaluate(Emit::All);
                assert_eq!((answer.len(), answer.data_type()), (2, &call.ty.arrow()), "{}", call.function.name);
            }
            return None;
        }
        RelOp::Op { op, inputs } => {
            let batches = inputs.iter().map(|input| rows(input, runtime)).collect::<Option<Vec<_>>>()?;
            let takes: Vec<Vec<Field>> = inputs.iter().map(|input| input.fields.clone()).collect();
            let mut state = op.start(&takes, &rel.fields, runtime).ok()?;
            let mut out = Vec::new();
            for (index, from) in batches.iter().enumerate().rev() {
                state.push(index, from, &mut out).ok()?;
            }
            state.finish(&mut out).ok()?;
            let out: Vec<RecordBatch> = out.iter().map(|made| select(made, &rel.fields)).collect();
            concat_batches(&schema_of(&rel.fields), &out).expect("batches of one schema")
        }
        _ => return None,
    };
    Some(made.slice(0, made.num_rows().min(ROWS)))
}

/// Number of edge-case values.
const ODD: usize = 6;

/// Edge-case values of a type.
fn odd_values(ty: kql::Type) -> ArrayRef {
    use kql::Type;
    let values: [Value; ODD] = match ty {
        Type::Bool => [true, false, true, false, true, false].map(Value::Bool),
        Type::Int => [0, 1, -1, i32::MAX, i32::MIN, 7].map(Value::Int),
        Type::Long => [0, 1, -1, i64::MAX, i64::MIN, 7].map(Value::Long),
        Type::Real => [0.0, -0.0, f64::NAN, f64::INFINITY, f64::MIN_POSITIVE, 1.5].map(Value::Real),
        Type::Datetime => [0, 1, 621_355_968_000_000_000, 3_155_378_975_999_999_999, 638_000_000_000_000_000, 5].map(Value::Datetime),
        Type::Timespan => [0, 1, -1, i64::MAX, i64::MIN, 36_000_000_000].map(Value::Timespan),
        Type::String => ["", "a", "10.0.0.1", "é😀\u{0}", "k=v; a=\"b c\"", "2024-01-01"].map(|text| Value::String(text.to_owned())),
        Type::Guid => ["00000000-0000-0000-0000-000000000000"; ODD].map(|text| Value::Guid(text.to_owned())),
        Type::Dynamic => {
            ["[1,\"a\",null]", "{\"a\":{\"b\":[1.5]}}", "\"text\"", "[]", "{}", "12"].map(|text| Value::Dynamic(text.to_owned()))
        }
        Type::Decimal => std::array::from_fn(|_| Value::Null(Type::Decimal)),
    };
    let array = Value::array(&values, ty);
    // Ends with a null, if the type has one.
    let indices = UInt32Array::from(vec![Some(0), Some(1), Some(2), Some(3), Some(4), if ty == Type::String { Some(5) } else { None }]);
    arrow::compute::take(&array, &indices, None).expect("indices within")
}
