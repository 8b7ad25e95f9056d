//! Compares queries over Parquet files, which are executed directly, with the same rows in memory, which go through DataFusion. Expected:
//! the rows in memory, whose semantics are tested by `answers.rs` and the cases. The file has row groups with and without dictionaries,
//! both with nulls.

use std::sync::Arc;

use arrow::array::{ArrayRef, BooleanArray, Float64Array, Int32Array, Int64Array, StringArray, TimestampMicrosecondArray};
use arrow::record_batch::RecordBatch;
use engine::{Engine, Options, SystemClock, open};
use model::{Query, Scope};
use parquet::arrow::ArrowWriter;
use parquet::file::properties::WriterProperties;

use super::{ask, printed};

const ROWS: usize = 3000;

/// The test data.
fn batch() -> RecordBatch {
    let time: ArrayRef = Arc::new(
        TimestampMicrosecondArray::from_iter((0..ROWS).map(|n| (n % 97 != 5).then_some(1_790_000_000_000_000 + n as i64 * 60_000_000)))
            .with_timezone("UTC"),
    );
    let user: ArrayRef =
        Arc::new(StringArray::from_iter((0..ROWS).map(|n| (n % 11 != 3).then(|| format!("user{}@example.com", n * 7 % 40)))));
    let line: ArrayRef = Arc::new(StringArray::from_iter_values(
        (0..ROWS).map(|n| format!("powershell.exe -n {n} {}", if n % 50 == 7 { "MimiKatz --now" } else { "mimikatzen" })),
    ));
    let json: ArrayRef = Arc::new(StringArray::from_iter_values(
        (0..ROWS).map(|n| format!(r#"{{"geo":{{"lat":{}.5,"names":["a","b{}"]}},"ok":{}}}"#, n % 9, n % 3, n % 2 == 0)),
    ));
    let code: ArrayRef =
        Arc::new(StringArray::from_iter_values((0..ROWS).map(|n| if n < 1000 { "0" } else { ["0", "1", "50126"][n % 3] })));
    let sent: ArrayRef = Arc::new(Int64Array::from_iter((0..ROWS).map(|n| (n % 13 != 0).then_some((n * 7919 % 1009) as i64))));
    let port: ArrayRef = Arc::new(Int32Array::from_iter((0..ROWS).map(|n| (n % 7 != 0).then_some((n % 5) as i32 * 100))));
    let score: ArrayRef = Arc::new(Float64Array::from_iter((0..ROWS).map(|n| match n % 17 {
        0 => None,
        1 => Some(f64::NAN),
        _ => Some((n * 31 % 211) as f64 / 4.0),
    })));
    let flag: ArrayRef = Arc::new(BooleanArray::from_iter((0..ROWS).map(|n| (n % 5 != 0).then_some(n % 3 == 0))));
    let columns = [
        ("TimeGenerated", time),
        ("User", user),
        ("Line", line),
        ("Json", json),
        ("Code", code),
        ("Sent", sent),
        ("Port", port),
        ("Score", score),
        ("Flag", flag),
    ];
    RecordBatch::try_from_iter_with_nullable(columns.map(|(name, array)| (name, array, true))).unwrap()
}

fn write(path: &std::path::Path, properties: WriterProperties) {
    let batch = batch();
    let mut writer = ArrowWriter::try_new(std::fs::File::create(path).unwrap(), batch.schema(), Some(properties)).unwrap();
    writer.write(&batch).unwrap();
    writer.close().unwrap();
}

/// The order of rows must be equal, too.
const QUERIES: &[&str] = &[
    "T",
    "T | count",
    "T | where Code == '50126' | count",
    "T | where Code != '0' | project TimeGenerated, User, Sent",
    "T | where User == '' | project Line | take 7",
    "T | where User != 'user7@example.com' | summarize count() by User",
    "T | where isempty(User) or User has 'user14' | project User, Port",
    "T | where Code in ('1', '50126') and Sent > 500 | project Line, Sent, Score",
    "T | where TimeGenerated between (datetime(2026-09-21T23:00:00) .. datetime(2026-09-22T03:00:00)) | project TimeGenerated, Sent",
    "T | where TimeGenerated > datetime(2026-09-23T10:00:00) and Flag | summarize n = count(), s = sum(Sent), a = round(avg(Score), 6)",
    "T | where TimeGenerated < datetime(2020-01-01) | summarize n = count(), s = sum(Sent), m = max(User)",
    "T | where Line has_any ('mimikatz', 'other', 'third') | project Line",
    "T | where Line has 'mimikatz' | count",
    "T | where Line contains 'katz -' | project Line",
    "T | where Line !has 'mimikatzen' | count",
    "T | where isnull(Sent) or isnull(Port) | summarize count() by Port, Flag",
    "T | where not(Flag) | summarize n = count(), u = dcount(User), x = count_distinct(Port) by Code",
    "T | summarize count() by bin(TimeGenerated, 1h), Code | order by TimeGenerated asc, Code asc",
    "T | summarize make_set(User), make_list(Port), take_any(Line) by Code",
    "T | summarize min(TimeGenerated), max(TimeGenerated), min(User), max(Line), min(Port), max(Score) by Flag",
    "T | summarize arg_max(TimeGenerated, Line, Sent, User) by Code, Flag",
    "T | summarize arg_min(Sent, Line, Port) by User",
    "T | summarize arg_max(Score, Line), arg_max(Sent, *) by Code",
    "T | summarize dcount(User), dcount(Line), dcount(Sent), dcountif(User, Port > 100) by Port",
    "T | summarize percentile(Sent, 50), round(stdev(Sent), 6), countif(Line has 'now'), sumif(Sent, Code == '1')",
    "T | extend j = parse_json(Json) | summarize n = count(), b = countif(tobool(j.ok)) by lat = todouble(j.geo.lat) | order by lat asc",
    "T | extend j = parse_json(Json) | extend name = tostring(j.geo.names[1]) | summarize count() by name",
    "T | extend j = parse_json(Json) | where j.geo.lat > 5 | project j.geo.names, User",
    "T | extend h = extract(@'-n (\\d+)', 1, Line) | where h endswith '7' | project h, toint(h) + Port | take 20",
    "T | top 9 by Sent desc | project Sent",
    "T | where isnotnull(TimeGenerated) | top 9 by TimeGenerated desc",
    "T | top 9 by Sent asc nulls last | project Sent",
    "T | where Code == '1' | top 15 by Score desc | project Score",
    "union (T | where Flag | project TimeGenerated, Line), (T | where Code == '1' | project TimeGenerated, Line = User) | top 7 by TimeGenerated desc | project TimeGenerated",
    "T | where isnotnull(TimeGenerated) | top 6 by TimeGenerated asc | project TimeGenerated, Line",
    "T | where Code == '1' | top 6 by TimeGenerated desc nulls first | project TimeGenerated",
    "T | sort by User asc, Sent desc | take 12 | project User, Sent",
    "T | sort by User asc, TimeGenerated desc | project User, TimeGenerated, Line",
    "T | sort by Score asc | project Score, Port",
    "T | where Code == '1' | sort by User asc, TimeGenerated asc | extend p = prev(User), d = TimeGenerated - prev(TimeGenerated) | where p == User | summarize count(), max(d), dcount(User)",
    "T | sort by TimeGenerated asc | extend n = row_number() | where n % 500 == 0 | project n, Line",
    "T | distinct Code, Flag",
    "T | project a = strlen(User), b = strcat(User, '/', Code), c = Sent * 2 + Port | where a > 16 | summarize count(), sum(c) by b | top 5 by count_ desc",
    "T | join kind=inner (T | where Code == '50126' | summarize n = count() by User) on User | summarize count(), sum(n) by Code",
    "T | where User in ((T | where Sent > 1005 | distinct User)) | summarize count() by User",
    "union (T | where Code == '1' | project User, Sent), (T | where Flag | project User, Port) | summarize count(), sum(Sent), sum(Port) by User",
    "union withsource = S T, T | summarize count() by S, Code",
    "let A = materialize(T | where Flag); A | summarize count() by Code | join kind=inner (A | summarize s = sum(Sent) by Code) on Code",
    "T | where Sent > toscalar(T | summarize avg(Sent)) | count",
    "T | where 1 == 2",
    "T | where 1 == 1 | take 3",
    "T | mv-expand n = parse_json(Json).geo.names to typeof(string) | summarize count() by n",
    "T | summarize count() by Score | count",
    "T | summarize count() by round(Score, 0) | summarize sum(count_)",
    "T | where Score > 10.5 or Score < 1 | summarize count(), sum(Score)",
    "T | where tolower(User) startswith 'user1' and strlen(Line) > 30 | summarize make_set(Code, 2) by substring(User, 0, 6)",
    "T | as X | where Code == '1' | summarize count() by Flag",
    "T | extend r = iff(Flag, User, Code) | summarize count() by r",
    "T | make-series n = count() default = 0 on TimeGenerated step 1d by Code",
];

#[test]
fn file_and_memory_results_are_equal() {
    let folder = tempfile::tempdir().unwrap();
    let plain = Options { optimize: true, batch_size: 8192, partitions: 1, ..Options::default() };
    let group = |rows| WriterProperties::builder().set_max_row_group_row_count(Some(rows));
    let layouts = [
        ("one", group(100_000).build()),
        ("many", group(250).build()),
        ("plain", group(700).set_dictionary_enabled(false).build()),
        ("mixed", group(1000).set_dictionary_page_size_limit(600).set_data_page_size_limit(900).set_write_batch_size(50).build()),
    ];
    let all: Vec<(String, Engine)> = layouts
        .into_iter()
        .flat_map(|(name, properties)| {
            let place = folder.path().join(name);
            std::fs::create_dir(&place).unwrap();
            let path = place.join("T.parquet");
            write(&path, properties);
            let ways = [plain, Options { partitions: 4, ..plain }, Options { optimize: false, batch_size: 7, ..plain }];
            ways.map(|options| {
                let engine = Engine::new(None, Arc::new(SystemClock::default()), options).unwrap();
                (format!("{name} {options:?}"), engine.with_files([open(&path).unwrap()]))
            })
        })
        .collect();
    let memory = Engine::new(None, Arc::new(SystemClock::default()), plain).unwrap();
    // The file's rows, in memory.
    let whole = super::block_on(model::QueryEngine::query(&all[0].1, Query::new("T"))).unwrap();
    let table = model::InlineTable { schema: model::TableSchema::new("T", whole.columns.clone()), batches: whole.batches };
    let scope = Scope { tables: vec![Arc::new(table)], ..Scope::default() };
    for kql in QUERIES {
        let expected = match ask(&memory, Query::new(*kql).with_scope(scope.clone())) {
            Ok(answer) => printed(&answer),
            Err(why) => panic!("{kql}: {why}"),
        };
        for (name, engine) in &all {
            let mut found = printed(&ask(engine, Query::new(*kql)).unwrap_or_else(|why| panic!("{name}, {kql}: {why}")));
            let mut expected = expected.clone();
            if kql.contains("summarize") || kql.contains("join") || kql.contains("distinct") || kql.contains("make-series") {
                // The order is not guaranteed.
                found.sort();
                expected.sort();
            }
            assert_eq!(found, expected, "{name}: {kql}");
        }
    }
}
