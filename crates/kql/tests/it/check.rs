//! Compares validity and result columns with those of Microsoft's binder, recorded for each published query.

use kql::check::{TableSchemas, check};
use model::{StoredFunction, Timestamp};

use crate::shared;

/// Minimum agreement in percent.
const VERDICTS: usize = 98;
const COLUMNS: usize = 98;

/// Errors and types according to the checker, which differ from the engine's. Source: results of Microsoft's parser for the same texts.
#[test]
fn calls_match_the_checker() {
    let schemas: TableSchemas = serde_json::from_str(
        r#"{"T": [["Time", "datetime"], ["Name", "string"], ["Count", "long"], ["Bag", "dynamic"]], "U": [["Name", "string"], ["Count", "real"]]}"#,
    )
    .expect("a table schema");
    let schemas = schemas.with_functions([StoredFunction {
        name: "Busy".to_owned(),
        parameters: "least:long=10".to_owned(),
        body: "T | where Count >= least | project Name".to_owned(),
    }]);
    let shown = |text: &str| {
        let bound = check(text, &schemas, Timestamp::UNIX_EPOCH);
        match (bound.diagnostics.first(), bound.columns) {
            (Some(_), _) => "refused".to_owned(),
            (None, None) => "open".to_owned(),
            (None, Some(columns)) => {
                let shown: Vec<String> = columns.iter().map(|(name, ty)| format!("{name}:{}", ty.map_or("?", |ty| ty.name()))).collect();
                shown.join(", ")
            }
        }
    };
    for (text, expected) in [
        // Argument types: a dynamic is accepted as text only.
        ("T | project tolower(Count), strlen(Bag)", "Column1:string, strlen_Bag:long"),
        ("T | project strlen(Count)", "refused"),
        ("T | project startofday(Bag.t)", "refused"),
        ("T | summarize sum(Bag)", "refused"),
        ("T | summarize max(Bag.x)", "refused"),
        ("T | where Bag.x", "refused"),
        ("T | project y = iff(true, Bag, 1)", "y:long"),
        // The engine's behaviour (recorded); the parser accepts it.
        ("T | project x = iff(true, Name, 1)", "refused"),
        ("T | project bag_keys(split(Name, ','))", "refused"),
        ("T | project strcat_array(bag_pack('a', 1), ',')", "refused"),
        ("T | project datetime_diff('dayz', Time, now())", "refused"),
        ("T | project extract(Name, 1, Name)", "refused"),
        ("let f = (p:string) { print extract(p, 1, 'x') }; f('a')", "print_0:string"),
        // Functions that cannot run here also have types.
        ("T | project welch_test(1, 2, 3, 4, 5, 6)", "Column1:real"),
        ("T | summarize covariance(Count, Count)", "covariance_Count_Count:real"),
        (
            "T | project series_decompose_forecast(Bag, 1) | project series_decompose_forecast_Bag_trend",
            "series_decompose_forecast_Bag_trend:dynamic",
        ),
        // Operators.
        ("T | where Name == 1 | project Name", "Name:string"),
        ("T | where Name < 'a'", "refused"),
        ("T | project Bag + 1, Bag - Time", "Column1:long, Column2:timespan"),
        ("T | join U on Count", "refused"),
        ("T | join U on $right.Name == $left.Name", "refused"),
        ("T | join kind=inner kind=leftouter U on Name", "refused"),
        ("T | take Count | project Name", "Name:string"),
        ("T | project n = row_number()", "n:long"),
        ("T | summarize Name by Name", "refused"),
        // Functions defined in the text, and functions of the workspace.
        ("let f = (a:string) { a }; print f(1)", "print_0:string"),
        ("let f = (t:(*)) { t | project Name }; f(T)", "refused"),
        ("let f = (n:string) { table(n) | project Name, Nope }; f('T')", "Name:string, Nope:?"),
        ("let f = (n:long, t:(Name:string)) { t }; f(1, T)", "refused"),
        ("let f = (x:long) { f(x) }; print f(1)", "refused"),
        ("let x = 1; let x = 2; print x", "refused"),
        ("let X = T; X()", "refused"),
        ("Busy", "Name:string"),
        ("Busy(5) | count", "Count:long"),
        ("Busy('a', 2)", "refused"),
        ("Busy(nope=2)", "refused"),
        // External names.
        ("union isfuzzy=true Missing, (T | project Name) | project Other", "Other:?"),
        ("union Missing, T", "refused"),
        ("_GetWatchlist('x') | project SearchKey, Anything", "SearchKey:string, Anything:?"),
        ("declare query_parameters(x:string = 5); T", "refused"),
        ("T | project column_ifexists('Nope', 1), column_ifexists('Count', 'a')", "Column1:long, Count:string"),
        ("alias database D = cluster('a').database('b'); T | project Name", "Name:string"),
        ("restrict access to (T); T | project Name", "Name:string"),
    ] {
        assert_eq!(shown(text), expected, "{text}");
    }
}

#[test]
fn published_queries_match_the_official_binder() {
    let Some(schema) = shared::text("schemas/tables.json") else { return };
    let schemas: TableSchemas = serde_json::from_str(&schema).expect("a table schema");
    let Some(rows) = shared::corpus() else { return };
    let (mut judged, mut agreed, mut shaped, mut same) = (0, 0, 0, 0);
    let mut wrong = Vec::new();
    for row in &rows {
        let bound = check(shared::query(row), &schemas, Timestamp::UNIX_EPOCH);
        let Some(errors) = row["official"]["errors"].as_array() else { continue };
        judged += 1;
        if errors.is_empty() == bound.diagnostics.is_empty() {
            agreed += 1;
        } else {
            wrong.push(format!("{}: official {:?}, ours {:?}", row["id"], errors.first(), bound.diagnostics.first().map(|d| &d.message)));
        }
        let (true, Some(columns)) = (errors.is_empty() && bound.diagnostics.is_empty(), row["official"]["columns"].as_array()) else {
            continue;
        };
        // If Microsoft's binder does not know a type, the schema is open at that point.
        let Some(ours) = &bound.columns else { continue };
        shaped += 1;
        let official: Vec<_> =
            columns.iter().map(|column| (column[0].as_str().unwrap_or_default(), column[1].as_str().unwrap_or_default())).collect();
        let fits = official.len() == ours.len()
            && official.iter().zip(ours).all(|((name, ty), (our_name, our_type))| {
                name == our_name && (*ty == "unknown" || our_type.is_none_or(|our_type| our_type.name() == *ty))
            });
        if fits {
            same += 1;
        } else {
            wrong.push(format!("{}: official {official:?}, ours {ours:?}", row["id"]));
        }
    }
    println!("verdicts: {agreed} of {judged} agree; columns: {same} of {shaped}");
    for line in wrong.iter().take(40) {
        println!("  {}", line.chars().take(400).collect::<String>());
    }
    assert!(agreed * 100 >= judged * VERDICTS && same * 100 >= shaped * COLUMNS);
}
