//! Tests of operators over hand-written batches. Expected results are recorded from Microsoft's engine or taken from the public KQL
//! reference, as stated in each test.

use arrow::record_batch::RecordBatch;
use model::{Timestamp, Type};

use super::layout::{build, schema};
use super::make_series::{MakeSeries, SeriesAggregate};
use super::mv_expand::{MvExpand, MvItem, MvKind};
use super::parse::{Parse, ParseKind, ParsePart};
use super::parse_kv::{Delimiters, KvColumn, KvForm, ParseKv};
use super::plugins::{self, Argument, Call, PluginError};
use super::sample::SampleDistinct;
use super::scan::{Declared, Scan, StateColumn, Step, StepOutput};
use super::top_hitters::TopHitters;
use super::top_nested::{NestedLevel, TopNested};
use super::{EvalError, Runtime, TableOp};
use crate::plan::{AggregateCall, ColumnId, Expr, Field};
use crate::value::text;
use crate::{Value, aggregates, functions};

fn runtime() -> Runtime {
    Runtime { now: Timestamp::UNIX_EPOCH }
}

fn field(id: u32, name: &str, ty: Type) -> Field {
    Field { id: ColumnId(id), name: name.into(), ty }
}

fn text(text: &str) -> Value {
    Value::String(text.to_owned())
}

fn json(text: &str) -> Value {
    Value::Dynamic(text.to_owned())
}

fn time(text: &str) -> Value {
    text::parse(text, Type::Datetime)
}

fn constant(value: Value) -> Expr {
    Expr::constant(value)
}

fn call(name: &str, args: Vec<Expr>, ty: Type) -> Expr {
    Expr::call(functions::find(name).unwrap_or_else(|| panic!("`{name}` is missing")), args, ty)
}

fn aggregate(name: &str, args: Vec<Expr>, ty: Type) -> AggregateCall {
    AggregateCall { function: aggregates::find(name).expect("an aggregate"), args, ty }
}

fn batch(fields: &[Field], rows: &[Vec<Value>]) -> RecordBatch {
    let columns = fields.iter().enumerate().map(|(at, field)| {
        let cells: Vec<Value> = rows.iter().map(|row| row[at].clone()).collect();
        Value::array(&cells, field.ty)
    });
    build(schema(fields), columns.collect(), rows.len()).expect("columns of one length")
}

/// Rows with cells formatted as by `tostring`; a null is `null`.
fn printed(fields: &[Field], batches: &[RecordBatch]) -> Vec<Vec<String>> {
    let cell = |batch: &RecordBatch, row: usize, at: usize| match Value::from_cell(batch.column(at), row, fields[at].ty) {
        Value::Null(_) => "null".to_owned(),
        value => value.to_text(),
    };
    batches
        .iter()
        .flat_map(|batch| (0..batch.num_rows()).map(|row| (0..fields.len()).map(|at| cell(batch, row, at)).collect()).collect::<Vec<_>>())
        .collect()
}

/// Runs an operator with all rows in one batch and with one row per batch, and asserts that the results are equal.
fn try_run(op: &dyn TableOp, inputs: &[(&[Field], &[Vec<Value>])], outputs: &[Field]) -> Result<Vec<Vec<String>>, EvalError> {
    let mut answers = Vec::new();
    for one_by_one in [false, true] {
        let fields: Vec<Vec<Field>> = inputs.iter().map(|(fields, _)| fields.to_vec()).collect();
        let mut state = op.start(&fields, outputs, &runtime())?;
        let mut out = Vec::new();
        for (input, (fields, rows)) in inputs.iter().enumerate().rev() {
            let size = if one_by_one { 1 } else { rows.len().max(1) };
            for rows in rows.chunks(size) {
                state.push(input, &batch(fields, rows), &mut out)?;
            }
        }
        state.finish(&mut out)?;
        for batch in &out {
            assert_eq!(batch.schema(), schema(outputs), "{op:?}");
        }
        answers.push(printed(outputs, &out));
    }
    assert_eq!(answers[0], answers[1], "{op:?} depends on how rows are cut into batches");
    Ok(answers.swap_remove(0))
}

fn run(op: &dyn TableOp, input: (&[Field], &[Vec<Value>]), outputs: &[Field]) -> Vec<Vec<String>> {
    try_run(op, &[input], outputs).expect("the operator runs")
}

fn rows(text: &[&[&str]]) -> Vec<Vec<String>> {
    text.iter().map(|row| row.iter().map(|cell| (*cell).to_owned()).collect()).collect()
}

fn mv_expand(kind: MvKind, items: &[(u32, Type)], index: bool, limit: Option<i64>) -> MvExpand {
    MvExpand {
        items: items
            .iter()
            .map(|(id, ty)| MvItem { expr: Expr::column(&field(*id, "", Type::Dynamic)), id: ColumnId(id + 10), ty: *ty })
            .collect(),
        kind,
        index: index.then_some(ColumnId(20)),
        limit: limit.map(|n| constant(Value::Long(n))),
    }
}

#[test]
fn mv_expand_returns_a_row_per_element() {
    let input = [field(0, "a", Type::Long), field(1, "d", Type::Dynamic), field(2, "e", Type::Dynamic)];
    let outputs = [input[0].clone(), field(11, "d", Type::Dynamic)];
    // Recorded: `datatable(d:dynamic)[ dynamic({"k":1}), dynamic(null), dynamic([1,2,3]) ] | mv-expand d`; an empty array gives no row
    // (recorded with `"t":[]`).
    let data = vec![
        vec![Value::Long(1), json(r#"{"k":1,"l":[2]}"#), json("[5,4,3]")],
        vec![Value::Long(2), Value::Null(Type::Dynamic), json("[]")],
        vec![Value::Long(3), json("[1,2,3]"), json(r#"["x"]"#)],
        vec![Value::Long(4), json("[]"), json("[]")],
        vec![Value::Long(5), json(r#""x""#), json("[]")],
    ];
    let got = run(&mv_expand(MvKind::Bag, &[(1, Type::Dynamic)], false, None), (&input, &data), &outputs);
    let expected: &[&[&str]] =
        &[&["1", r#"{"k":1}"#], &["1", r#"{"l":[2]}"#], &["2", "null"], &["3", "1"], &["3", "2"], &["3", "3"], &["5", "x"]];
    assert_eq!(got, rows(expected));

    // The reference, "zipped two columns", and kind=array; the index starts at 0.
    let outputs = [input[0].clone(), field(11, "d", Type::Dynamic), field(12, "e", Type::Int), field(20, "i", Type::Long)];
    let got = run(&mv_expand(MvKind::Array, &[(1, Type::Dynamic), (2, Type::Int)], true, Some(2)), (&input, &data), &outputs);
    let expected: &[&[&str]] = &[
        &["1", r#"["k",1]"#, "5", "0"],
        &["1", r#"["l",[2]]"#, "4", "1"],
        &["2", "null", "null", "0"],
        // A string is not an int: types are applied without parsing.
        &["3", "1", "null", "0"],
        &["3", "2", "null", "1"],
        &["5", "x", "null", "0"],
    ];
    assert_eq!(got, rows(expected));
}

fn parse(kind: ParseKind, filter: bool, parts: &[&str], texts: &[&str]) -> Vec<Vec<String>> {
    // `*`, `'text'`, or `name:type`.
    let mut next = 10;
    let mut outputs = Vec::new();
    let parts = parts.iter().map(|part| {
        if *part == "*" {
            return ParsePart::Star;
        }
        if let Some(text) = part.strip_prefix('\'').and_then(|part| part.strip_suffix('\'')) {
            return ParsePart::Text(text.to_owned());
        }
        let ty = Type::parse(part.split(':').nth(1).unwrap_or("string")).expect("a type");
        next += 1;
        outputs.push(field(next, part, ty));
        ParsePart::Column { id: ColumnId(next), ty }
    });
    let input = [field(0, "s", Type::String)];
    let op = Parse { source: Expr::column(&input[0]), kind, parts: parts.collect(), filter };
    let data: Vec<Vec<Value>> = texts.iter().map(|s| vec![text(s)]).collect();
    run(&op, (&input, &data), &outputs)
}

#[test]
fn parse_extracts_text_between_literals() {
    let simple = |parts: &[&str], texts: &[&str]| parse(ParseKind::Simple, false, parts, texts);
    // Recorded from Microsoft's engine.
    assert_eq!(
        simple(&["'name='", "name", "' age='", "age:int"], &["name=alice age=30", "name=bob age=25", "garbage"]),
        rows(&[&["alice", "30"], &["bob", "25"], &["", "null"]])
    );
    assert_eq!(simple(&["'  '", "a", "'  '", "b", "'  '", "c"], &["  spaced  out  text  "]), rows(&[&["spaced", "out", "text  "]]));
    assert_eq!(simple(&["p", "'X'", "q", "'X'", "r"], &["aXbXc"]), rows(&[&["a", "b", "c"]]));
    assert_eq!(simple(&["'<<'", "k", "'>>=<<'", "v", "'>>'"], &["<<key>>=<<value>>"]), rows(&[&["key", "value"]]));
    assert_eq!(simple(&["'negative='", "n:int", "' positive='", "p"], &["negative=-42 positive=+17"]), rows(&[&["-42", "+17"]]));
    // From the reference: strict fails the row, relaxed the column, `parse-where` drops the row; a number may be followed by `*`.
    let parts = ["*", "'total='", "total:long", "*", "'slice='", "slice:long", "', '", "*"];
    let texts = ["E (total=27, slice=bad, x", "E (total=27, slice=20, x"];
    assert_eq!(simple(&parts, &texts), rows(&[&["null", "null"], &["27", "20"]]));
    assert_eq!(parse(ParseKind::Relaxed, false, &parts, &texts), rows(&[&["27", "null"], &["27", "20"]]));
    assert_eq!(parse(ParseKind::Simple, true, &parts, &texts), rows(&[&["27", "20"]]));
}

#[test]
fn parse_supports_regular_expressions() {
    let regex = |flags: &str, parts: &[&str], texts: &[&str]| parse(ParseKind::Regex { flags: flags.to_owned() }, false, parts, texts);
    // Recorded from Microsoft's engine: numbers match digits only, strings are greedy.
    assert_eq!(regex("", &["'[A-Z]+'", "mid", "'[a-z]*'"], &["ABCdef", "123XYZ"]), rows(&[&["def"], &[""]]));
    assert_eq!(regex("", &["'v'", "a:int", "'.'", "b:int", "'.'", "c:int"], &["v1.2.3"]), rows(&[&["1", "2", "3"]]));
    assert_eq!(regex("", &["letters", r"'\d+'", "rest"], &["abc123def"]), rows(&[&["abc12", "def"]]));
    // From the reference: without `U` the column extends to the last comma; a group in the pattern is not a column.
    let parts = ["*", "'resource(Name|Id)='", "r", "','", "*"];
    let one = ["x resourceName=P, a=1, b=2"];
    assert_eq!(regex("", &parts, &one), rows(&[&["P, a=1"]]));
    assert_eq!(regex("Ui", &["*", "'RESOURCENAME='", "r", "','", "*"], &one), rows(&[&["P"]]));
}

fn parse_kv(form: KvForm, columns: &[(&str, Type)], s: &str) -> Vec<String> {
    let input = [field(0, "s", Type::String)];
    let outputs: Vec<Field> = columns.iter().zip(10..).map(|((name, ty), id)| field(id, name, *ty)).collect();
    let columns = outputs.iter().map(|field| KvColumn { key: field.name.to_string(), id: field.id, ty: field.ty }).collect();
    let op = ParseKv { source: Expr::column(&input[0]), columns, form };
    run(&op, (&input, &[vec![text(s)]]), &outputs).swap_remove(0)
}

#[test]
fn parse_kv_reads_pairs() {
    let form = |pair: &str, kv: &str, quote: Option<(char, char)>, escape: Option<char>, greedy: bool| KvForm::Delimited {
        delimiters: Some(Delimiters { pair: pair.to_owned(), kv: kv.to_owned() }),
        quotes: quote.into_iter().collect(),
        escapes: escape.into_iter().collect(),
        greedy,
    };
    let strings = |names: &[&'static str]| names.iter().map(|name| (*name, Type::String)).collect::<Vec<_>>();
    // Recorded from Microsoft's engine.
    assert_eq!(parse_kv(form(",", "=", None, None, false), &[("a", Type::Long), ("c", Type::Long)], "a=1, b=2, c=3"), ["1", "3"]);
    assert_eq!(parse_kv(form("][", "=", None, None, false), &strings(&["k1", "k2", "k3"]), "[k1=v1][k2=v2]"), ["", "v2]", ""]);
    assert_eq!(parse_kv(form(" ", "=", None, None, false), &strings(&["key", "a"]), "key=value=extra"), ["value=extra", ""]);
    assert_eq!(parse_kv(form(" ", "=", None, None, false), &strings(&["k", "world"]), "k=hello world=foo bar"), ["hello", "foo"]);
    assert_eq!(
        parse_kv(
            form(";", "=", Some(('\'', '\'')), None, false),
            &strings(&["key", "other"]),
            "key='quoted value';other='nested ;semicolon'"
        ),
        ["quoted value", "nested ;semicolon"]
    );
    assert_eq!(parse_kv(form(";", "=", None, None, false), &[("a", Type::Int)], "a=1;a=2"), ["1"]);
    assert_eq!(parse_kv(form(";", "=", None, None, false), &[("x", Type::Real), ("y", Type::Real)], "x=1.5e3;y=NaN"), ["1500.0", "NaN"]);
    // From the reference.
    assert_eq!(
        parse_kv(
            form(" ", "=", Some(('"', '"')), Some('\\'), false),
            &strings(&["src", "failure"]),
            r#"src=1 failure="the host sent \"bye!\"" t=2"#
        ),
        ["1", "the host sent \"bye!\""]
    );
    assert_eq!(
        parse_kv(
            form(" ", "=", Some(('(', ')')), None, false),
            &strings(&["event time", "src"]),
            "src=1 (event time)=(2021-01-01 10:00:54)"
        ),
        ["2021-01-01 10:00:54", "1"]
    );
    let greedy = "name=John Doe phone=555 5555 city=New York";
    assert_eq!(
        parse_kv(form(" ", "=", None, None, true), &strings(&["name", "phone", "city"]), greedy),
        ["John Doe", "555 5555", "New York"]
    );
    let free = KvForm::Delimited { delimiters: None, quotes: vec![('\'', '\'')], escapes: vec!['\\'], greedy: false };
    assert_eq!(
        parse_kv(
            free,
            &strings(&["Text", "ThreadId", "Machine"]),
            r"2021-01-01T10:00:34 [INFO] ThreadId:458745723, Machine:Node001, Text: 'The service \' is up'"
        ),
        ["The service ' is up", "458745723", "Node001"]
    );
    let regex = KvForm::Regex(r#""([\w ]+)\s*:\s*([^"]*)""#.to_owned());
    let line = r#"["referer url: https://h/r?d=1", "request url: https://h/?h=2"]"#;
    assert_eq!(parse_kv(regex, &strings(&["request url", "referer url"]), line), ["https://h/?h=2", "https://h/r?d=1"]);
}

#[test]
fn make_series_fills_its_axis() {
    let input = [field(0, "t", Type::Datetime), field(1, "v", Type::Long), field(2, "g", Type::String)];
    let value = Expr::column(&input[1]);
    let day = constant(Value::Timespan(model::TICKS_PER_DAY));
    let mut op = MakeSeries {
        aggregates: vec![SeriesAggregate { call: aggregate("sum", vec![value.clone()], Type::Long), default: None, id: ColumnId(10) }],
        axis: Expr::column(&input[0]),
        axis_id: ColumnId(11),
        from: Some(constant(time("2020-01-01"))),
        to: Some(constant(time("2020-01-04"))),
        step: day,
        in_range: false,
        nonempty: false,
        by: vec![(Expr::column(&input[2]), ColumnId(12))],
    };
    let outputs = [field(12, "g", Type::String), field(10, "s", Type::Dynamic), field(11, "t", Type::Dynamic)];
    let row = |t: &str, v: i64, g: &str| vec![time(t), Value::Long(v), text(g)];
    let data = vec![row("2020-01-01", 10, "a"), row("2020-01-02", 20, "b"), row("2020-01-03", 30, "a"), row("2020-01-05", 9, "c")];
    let days = r#"["2020-01-01T00:00:00.0000000Z","2020-01-02T00:00:00.0000000Z","2020-01-03T00:00:00.0000000Z"]"#;
    // Recorded from Microsoft's engine (without the row beyond the end).
    assert_eq!(run(&op, (&input, &data), &outputs), rows(&[&["a", "[10,0,30]", days], &["b", "[0,20,0]", days]]));

    // From the reference: `in range` includes its end, and steps are multiples of the step.
    op.by.clear();
    op.in_range = true;
    op.from = Some(constant(time("2020-01-01T06:00")));
    op.to = Some(constant(time("2020-01-03T06:00")));
    op.aggregates[0].default = Some(Value::Long(-1));
    assert_eq!(run(&op, (&input, &data), &outputs[1..]), rows(&[&["[10,20,30]", days]]));

    // Recorded: an axis without steps gives no rows.
    op.in_range = false;
    op.to = op.from.clone();
    assert_eq!(run(&op, (&input, &data), &outputs[1..]), rows(&[]));

    // Without bounds each series has its own; the default of an average is a real; from the reference: `kind=nonempty`.
    op.from = None;
    op.to = None;
    op.by = vec![(Expr::column(&input[2]), ColumnId(12))];
    op.aggregates[0] = SeriesAggregate { call: aggregate("avg", vec![value], Type::Real), default: Some(Value::Long(0)), id: ColumnId(10) };
    let got = run(&op, (&input, &data), &outputs[..2]);
    assert_eq!(got, rows(&[&["a", "[10.0,0.0,30.0]"], &["b", "[20.0]"], &["c", "[9.0]"]]));
    op.by.clear();
    op.nonempty = true;
    op.from = Some(constant(time("2020-01-01")));
    op.to = Some(constant(time("2020-01-03")));
    assert_eq!(run(&op, (&input, &[]), &outputs[1..2]), rows(&[&["[0.0,0.0]"]]));
    // A series that is too long is rejected.
    op.step = constant(Value::Timespan(1));
    assert!(matches!(try_run(&op, &[(&input, &data)], &outputs[1..2]), Err(EvalError::Limit(_))));
}

#[test]
fn make_series_counts_along_numbers() {
    let input = [field(0, "x", Type::Long)];
    let op = MakeSeries {
        aggregates: vec![SeriesAggregate {
            call: aggregate("sum", vec![Expr::column(&input[0])], Type::Long),
            default: Some(Value::Long(0)),
            id: ColumnId(10),
        }],
        axis: Expr::column(&input[0]),
        axis_id: ColumnId(11),
        from: Some(constant(Value::Long(1))),
        to: Some(constant(Value::Long(5))),
        step: constant(Value::Long(1)),
        in_range: false,
        nonempty: false,
        by: Vec::new(),
    };
    let data: Vec<Vec<Value>> = (1..=5).map(|n| vec![Value::Long(n)]).collect();
    // Recorded: the end is exclusive.
    assert_eq!(
        run(&op, (&input, &data), &[field(10, "s", Type::Dynamic), field(11, "x", Type::Dynamic)]),
        rows(&[&["[1,2,3,4]", "[1,2,3,4]"]])
    );
}

#[test]
fn scan_remembers_its_steps() {
    let input = [field(0, "t", Type::Long), field(1, "e", Type::String)];
    let (t, e) = (Expr::column(&input[0]), Expr::column(&input[1]));
    let declared = field(10, "cum", Type::Long);
    let mine = field(20, "s.cum", Type::Long);
    let mut op = Scan {
        declared: vec![Declared { id: declared.id, ty: Type::Long, default: Some(constant(Value::Long(0))) }],
        steps: vec![Step {
            optional: false,
            output: StepOutput::All,
            condition: constant(Value::Bool(true)),
            assignments: vec![(0, call("+", vec![Expr::column(&mine), t.clone()], Type::Long))],
            state: vec![(mine, StateColumn::Declared(0))],
        }],
        match_id: None,
        partition: Vec::new(),
    };
    let outputs = [input[0].clone(), declared.clone()];
    let data: Vec<Vec<Value>> = (1..=5).map(|n| vec![Value::Long(n), text("")]).collect();
    // The reference, "cumulative sum".
    let expected: &[&[&str]] = &[&["1", "1"], &["2", "3"], &["3", "6"], &["4", "10"], &["5", "15"]];
    assert_eq!(run(&op, (&input, &data), &outputs), rows(expected));
    // Recorded: the declared column itself has its default value on every row.
    op.steps[0].assignments[0].1 = call("+", vec![Expr::column(&declared), t.clone()], Type::Long);
    let expected: &[&[&str]] = &[&["1", "1"], &["2", "2"], &["3", "3"], &["4", "4"], &["5", "5"]];
    assert_eq!(run(&op, (&input, &data), &outputs), rows(expected));

    // The reference, "events between start and stop", with its match ids.
    let started = field(21, "s1.t", Type::Long);
    let is = |what: &str| call("==", vec![e.clone(), constant(text(what))], Type::Bool);
    let is_not = |what: &str| call("!=", vec![e.clone(), constant(text(what))], Type::Bool);
    let near = call("<=", vec![call("-", vec![t.clone(), Expr::column(&started)], Type::Long), constant(Value::Long(5))], Type::Bool);
    let and = |a: Expr, b: Expr| call("and", vec![a, b], Type::Bool);
    let step = |condition: Expr, state: Vec<(Field, StateColumn)>| Step {
        optional: false,
        output: StepOutput::All,
        condition,
        assignments: Vec::new(),
        state,
    };
    let op = Scan {
        declared: Vec::new(),
        steps: vec![
            step(is("Start"), vec![(started, StateColumn::Input(input[0].id))]),
            step(and(and(is_not("Start"), is_not("Stop")), near.clone()), Vec::new()),
            step(and(is("Stop"), near), Vec::new()),
        ],
        match_id: Some(ColumnId(30)),
        partition: Vec::new(),
    };
    let events = [(0, "A"), (1, "Start"), (2, "B"), (3, "D"), (4, "Stop"), (6, "C"), (8, "Start"), (11, "E"), (12, "Stop")];
    let data: Vec<Vec<Value>> = events.iter().map(|(t, e)| vec![Value::Long(*t), text(e)]).collect();
    let outputs = [input[0].clone(), input[1].clone(), field(30, "m_id", Type::Long)];
    let expected: &[&[&str]] = &[
        &["1", "Start", "0"],
        &["2", "B", "0"],
        &["3", "D", "0"],
        &["4", "Stop", "0"],
        &["8", "Start", "1"],
        &["11", "E", "1"],
        &["12", "Stop", "1"],
    ];
    assert_eq!(run(&op, (&input, &data), &outputs), rows(expected));
}

fn pairs() -> ([Field; 3], Vec<Vec<Value>>) {
    let input = [field(0, "cat", Type::String), field(1, "sub", Type::String), field(2, "v", Type::Long)];
    let row = |cat: &str, sub: &str, v: i64| vec![text(cat), text(sub), Value::Long(v)];
    (input, vec![row("a", "x", 10), row("a", "y", 20), row("a", "y", 5), row("b", "x", 30), row("b", "z", 5), row("c", "x", 1)])
}

#[test]
fn top_nested_ranks_within_ranks() {
    let (input, data) = pairs();
    let level = |count: i64, of: usize, id: u32| NestedLevel {
        count: Some(constant(Value::Long(count))),
        of: Expr::column(&input[of]),
        of_id: ColumnId(id),
        by: aggregate("sum", vec![Expr::column(&input[2])], Type::Long),
        by_id: ColumnId(id + 1),
        ascending: false,
        nulls_first: false,
        others: None,
    };
    let mut op = TopNested { levels: vec![level(2, 0, 10), level(1, 1, 12)] };
    let outputs =
        [field(10, "cat", Type::String), field(11, "Tot", Type::Long), field(12, "sub", Type::String), field(13, "SubTot", Type::Long)];
    // Recorded from Microsoft's engine.
    assert_eq!(run(&op, (&input, &data), &outputs), rows(&[&["b", "35", "x", "30"], &["a", "35", "y", "25"]]));
    // From the reference: one additional row per level, for everything not in the top.
    op.levels[0].count = Some(constant(Value::Long(1)));
    op.levels[0].others = Some(constant(text("rest")));
    op.levels[1].others = Some(constant(text("other subs")));
    let expected: &[&[&str]] = &[&["b", "35", "x", "30"], &["b", "35", "other subs", "5"], &["rest", "36", "other subs", "36"]];
    assert_eq!(run(&op, (&input, &data), &outputs), rows(expected));
}

#[test]
fn top_hitters_and_samples_match_the_engine() {
    let input = [field(0, "g", Type::String), field(1, "v", Type::Long)];
    let row = |(g, v): &(&str, i64)| vec![text(g), Value::Long(*v)];
    let mut op = TopHitters {
        count: constant(Value::Long(3)),
        of: Expr::column(&input[0]),
        of_id: ColumnId(10),
        by: Some(Expr::column(&input[1])),
        value_id: ColumnId(11),
    };
    let outputs = [field(10, "g", Type::String), field(11, "n", Type::Long)];
    // Recorded from Microsoft's engine.
    let data: Vec<Vec<Value>> = [("a", 1), ("a", 2), ("b", 3), ("c", 4), ("c", 5), ("c", 6), ("d", 7), ("d", 8)].iter().map(row).collect();
    assert_eq!(run(&op, (&input, &data), &outputs), rows(&[&["b", "3"], &["d", "15"], &["c", "15"]]));
    op.by = None;
    op.count = constant(Value::Long(2));
    let once: Vec<Vec<Value>> = [("a", 10), ("b", 20), ("c", 30), ("d", 1)].iter().map(row).collect();
    assert_eq!(run(&op, (&input, &once), &outputs), rows(&[&["d", "1"], &["c", "1"]]));
    let distinct = SampleDistinct { count: constant(Value::Long(3)), of: Expr::column(&input[0]), id: ColumnId(12) };
    assert_eq!(run(&distinct, (&input, &data), &[field(12, "g", Type::String)]), rows(&[&["a"], &["b"], &["c"]]));
}

/// Calls a plug-in like the binder and runs its operator: returns column names and rows.
fn evaluate(
    name: &str,
    args: Vec<Option<Argument>>,
    inputs: &[(&[Field], &[Vec<Value>])],
    schema: Option<&[(String, Type)]>,
    schema_star: bool,
) -> Result<(Vec<String>, Vec<Vec<String>>), PluginError> {
    let plugin = plugins::find(name).expect("a plug-in");
    let mut next = 100;
    let mut fresh = || {
        next += 1;
        ColumnId(next)
    };
    let seen = [batch(inputs[0].0, inputs[0].1)];
    let rows = (plugin.needs_rows && schema.is_none()).then_some(&seen[..]);
    let bound = (plugin.bind)(Call { args: &args, input: inputs[0].0, rows, schema, schema_star, fresh: &mut fresh, runtime: runtime() })?;
    let names = bound.fields.iter().map(|field| format!("{}:{}", field.name, field.ty)).collect();
    Ok((names, try_run(&*bound.op, inputs, &bound.fields).expect("the plug-in runs")))
}

fn column(field: &Field) -> Option<Argument> {
    Some(Argument::Expr { expr: Expr::column(field), name: field.name.to_string() })
}

#[test]
fn bag_unpack_expands_properties_to_columns() {
    let input = [field(0, "Name", Type::String), field(1, "d", Type::Dynamic)];
    let row = |name: &str, d: &str| vec![text(name), json(d)];
    let data = vec![row("James", r#"{"Name":"John","Age":20}"#), row("David", r#"{"Name":"Dave","Age":40,"h":1.5}"#)];
    let unpack = |conflict: Option<&str>| {
        let conflict = conflict.map(|conflict| Argument::Const(text(conflict)));
        evaluate("bag_unpack", vec![column(&input[1]), None, conflict], &[(&input, &data)], None, false)
    };
    // The reference, `columnsConflict`.
    let (names, got) = unpack(Some("keep_source")).unwrap();
    assert_eq!(names, ["Name:string", "Age:long", "h:real"]);
    assert_eq!(got, rows(&[&["James", "20", "null"], &["David", "40", "1.5"]]));
    let (names, _) = unpack(Some("replace_source")).unwrap();
    assert_eq!(names, ["Name:string", "Age:long", "h:real"]);
    assert!(matches!(unpack(None), Err(PluginError::Columns(_))));
    // Recorded: the property `d` takes the position of the column `d`.
    let only = [field(1, "d", Type::Dynamic)];
    let data = vec![vec![json(r#"{"a":1,"b":"two","c":[3],"d":{"e":4}}"#)]];
    let (names, got) = evaluate("bag_unpack", vec![column(&only[0])], &[(&only, &data)], None, false).unwrap();
    assert_eq!(names, ["d:dynamic", "a:long", "b:string", "c:dynamic"]);
    assert_eq!(got, rows(&[&[r#"{"e":4}"#, "1", "two", "[3]"]]));
    // The reference, "output schema" with a wildcard.
    let input = [field(1, "d", Type::Dynamic), field(2, "Description", Type::String)];
    let data = vec![vec![json(r#"{"Name":"John","Age":20,"height":180}"#), text("Student")]];
    let schema = [("Name".to_owned(), Type::String), ("Age".to_owned(), Type::Long)];
    let (names, got) = evaluate("bag_unpack", vec![column(&input[0])], &[(&input, &data)], Some(&schema), true).unwrap();
    assert_eq!(names, ["Description:string", "Name:string", "Age:long"]);
    assert_eq!(got, rows(&[&["Student", "John", "20"]]));
}

#[test]
fn pivot_expands_values_to_columns() {
    // Computed by hand, with the shape of the reference's examples.
    let (input, data) = pairs();
    let sum = || Some(Argument::Aggregate { call: aggregate("sum", vec![Expr::column(&input[2])], Type::Long), name: "sum_v".to_owned() });
    let (names, got) = evaluate("pivot", vec![column(&input[1]), sum()], &[(&input, &data)], None, false).unwrap();
    assert_eq!(names, ["cat:string", "x:long", "y:long", "z:long"]);
    assert_eq!(got, rows(&[&["a", "10", "25", "0"], &["b", "30", "0", "5"], &["c", "1", "0", "0"]]));
    let schema = [("cat".to_owned(), Type::String), ("y".to_owned(), Type::Long)];
    let (names, got) = evaluate("pivot", vec![column(&input[1]), sum()], &[(&input, &data)], Some(&schema), false).unwrap();
    assert_eq!(names, ["cat:string", "y:long"]);
    assert_eq!(got, rows(&[&["a", "25"], &["b", "0"], &["c", "0"]]));
    // `count()` is the default aggregate; all other columns are keys.
    let two = [input[0].clone(), input[1].clone()];
    let short: Vec<Vec<Value>> = data.iter().map(|row| row[..2].to_vec()).collect();
    let (names, got) = evaluate("pivot", vec![column(&two[0])], &[(&two, &short)], None, false).unwrap();
    assert_eq!(names, ["sub:string", "a:long", "b:long", "c:long"]);
    assert_eq!(got, rows(&[&["x", "1", "1", "1"], &["y", "2", "0", "0"], &["z", "0", "1", "0"]]));
}

#[test]
fn addresses_are_looked_up_in_networks() {
    // The reference, pages `ipv4-lookup-plugin` and `ipv6-lookup-plugin`.
    let input = [field(0, "ip", Type::String)];
    let table = [field(5, "network", Type::String), field(6, "name", Type::String)];
    let networks = [
        ("5.8.0.0/19", "Russia"),
        ("2.20.183.0/24", "United Kingdom"),
        ("46.36.200.51/32", "Cook Islands"),
        ("2404:6800:4001::/48", "Japan"),
    ];
    let networks: Vec<Vec<Value>> = networks.iter().map(|(network, name)| vec![text(network), text(name)]).collect();
    let lookup = |name: &str, ips: &[&str], unmatched: bool| {
        let ips: Vec<Vec<Value>> = ips.iter().map(|ip| vec![text(ip)]).collect();
        let flag = Argument::Expr { expr: constant(Value::Bool(unmatched)), name: "return_unmatched".to_owned() };
        let args = vec![Some(Argument::Table(table.to_vec())), column(&input[0]), column(&table[0]), Some(flag)];
        evaluate(name, args, &[(&input, &ips), (&table, &networks)], None, false).unwrap()
    };
    let (names, got) = lookup("ipv4_lookup", &["2.20.183.12", "5.8.1.2", "192.165.12.17", "2404:6800:4001:1::2"], true);
    assert_eq!(names, ["ip:string", "network:string", "name:string"]);
    let expected: &[&[&str]] = &[
        &["2.20.183.12", "2.20.183.0/24", "United Kingdom"],
        &["5.8.1.2", "5.8.0.0/19", "Russia"],
        &["192.165.12.17", "", ""],
        &["2404:6800:4001:1::2", "", ""],
    ];
    assert_eq!(got, rows(expected));
    // The page of `ipv6_lookup` shows the table's columns before the input's, in both of its examples.
    let (names, got) = lookup("ipv6_lookup", &["2404:6800:4001:0:0:8a2e:370:7334", "a5e:f127:8a9d:146d:e102:b5d3:c755:abcd"], false);
    assert_eq!(names, ["network:string", "name:string", "ip:string"]);
    assert_eq!(got, rows(&[&["2404:6800:4001::/48", "Japan", "2404:6800:4001:0:0:8a2e:370:7334"]]));
}

#[test]
fn activity_is_counted_along_a_timeline() {
    // The reference, page `activity-counts-metrics-plugin`.
    let input = [field(0, "UserId", Type::String), field(1, "Day", Type::Long)];
    let days = ["ADJB", "CTJ", "HTTJBS", "S"];
    let data: Vec<Vec<Value>> =
        days.iter().zip(1..).flat_map(|(ids, day)| ids.chars().map(move |id| vec![text(&id.to_string()), Value::Long(day)])).collect();
    let number = |n: i64| Some(Argument::Expr { expr: constant(Value::Long(n)), name: String::new() });
    let args = vec![column(&input[0]), column(&input[1]), number(1), number(4), number(1)];
    let (names, got) = evaluate("activity_counts_metrics", args, &[(&input, &data)], None, false).unwrap();
    assert_eq!(names, ["Day:long", "count:long", "dcount:long", "new_dcount:long", "aggregated_dcount:long"]);
    let expected: &[&[&str]] =
        &[&["1", "4", "4", "4", "4"], &["2", "3", "3", "2", "6"], &["3", "6", "5", "2", "8"], &["4", "1", "1", "0", "8"]];
    assert_eq!(got, rows(expected));
}

#[test]
fn percentiles_roll_over_bins() {
    // The reference, page `rolling-percentile-plugin`, with hours as numbers: ten days of 24 values, windows of three days.
    let input = [field(0, "val", Type::Long), field(1, "hour", Type::Long), field(2, "half", Type::String)];
    let data: Vec<Vec<Value>> =
        (0..240).map(|n| vec![Value::Long(n + 1), Value::Long(n), text(if n % 2 == 0 { "Odd" } else { "Even" })]).collect();
    let number = |n: i64| Some(Argument::Expr { expr: constant(Value::Long(n)), name: String::new() });
    let args = vec![column(&input[0]), number(50), column(&input[1]), number(24), number(3), column(&input[2])];
    let (names, got) = evaluate("rolling_percentile", args, &[(&input, &data)], None, false).unwrap();
    assert_eq!(names, ["hour:long", "half:string", "rolling_3_percentile_val_50:long"]);
    let even: Vec<&str> = got.iter().filter(|row| row[1] == "Even").map(|row| row[2].as_str()).collect();
    assert_eq!(even, ["12", "24", "36", "60", "84", "108", "132", "156", "180", "204"]);
}

#[test]
fn every_plugin_has_an_example_and_a_summary() {
    for plugin in plugins::PLUGINS {
        assert!(!plugin.examples.is_empty() && !plugin.summary.is_empty(), "{plugin:?}");
        assert!(plugin.required <= plugin.args.len() || plugin.repeats, "{plugin:?}");
        assert!(plugins::find(plugin.name).is_some_and(|found| std::ptr::eq(found, *plugin)), "{plugin:?}");
    }
}
