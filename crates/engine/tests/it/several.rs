//! Queries with several result tables, and `externaldata`.

use std::sync::Arc;

use async_trait::async_trait;
use engine::{Engine, Options, SystemClock};
use model::{Answer, ByteSize, ExternalData, ExternalError, Limits, Query, QueryError};

use super::{ask, block_on, printed, ways};

/// All tables of a result: name, columns, rows; asserted to be equal with all execution options.
fn tables(kql: &str) -> Vec<(String, String, Vec<String>)> {
    let of = |engine: &Engine| {
        let answer = ask(engine, Query::new(kql)).unwrap_or_else(|why| panic!("{kql}: {why}"));
        let first = (answer.name.clone().unwrap_or_default(), answer.columns.clone(), answer.batches.clone());
        let further = answer.more.into_iter().map(|table| (table.name, table.columns, table.batches));
        let all = std::iter::once(first).chain(further).map(|(name, columns, batches)| {
            let names = columns.iter().map(|column| format!("{}:{}", column.name, column.ty)).collect::<Vec<_>>().join(" ");
            let mut rows = printed(&Answer { columns, batches, ..Answer::default() });
            rows.sort();
            (name, names, rows)
        });
        all.collect::<Vec<_>>()
    };
    let answers: Vec<_> = ways().iter().map(of).collect();
    answers.iter().for_each(|other| assert_eq!(&answers[0], other, "{kql}"));
    answers.into_iter().next().unwrap()
}

fn table(name: &str, columns: &str, rows: &[&str]) -> (String, String, Vec<String>) {
    (name.to_owned(), columns.to_owned(), rows.iter().map(|row| (*row).to_owned()).collect())
}

#[test]
fn fork_returns_a_table_per_subquery() {
    // fork-operator: tables are named explicitly, by `as`, or `GenericResult`.
    assert_eq!(
        tables(
            "range x from 1 to 5 step 1 | extend r = rand() | fork Big = (where x > 3 | project x) (where x < 2 | project x | as Small) (count)"
        ),
        [table("Big", "x:long", &["4", "5"]), table("Small", "x:long", &["1"]), table("GenericResult", "Count:long", &["5"]),]
    );
}

#[test]
fn the_input_of_several_tables_is_run_once() {
    // fork-operator: the input stream is cached; both subqueries see the same random numbers.
    let kql = "range x from 1 to 3 step 1 | project r = rand() | fork (summarize s = make_list(r)) (summarize s = make_list(r))";
    for engine in ways() {
        let answer = ask(engine, Query::new(kql)).unwrap();
        let second = answer.more.first().cloned().unwrap();
        let second = Answer { columns: second.columns, batches: second.batches, ..Answer::default() };
        assert_eq!(printed(&answer), printed(&second));
    }
}

#[test]
fn facet_returns_a_table_per_column_and_the_rest() {
    // facet-operator: the table of `with` comes first.
    assert_eq!(
        tables("datatable(State:string, Kind:long)['A', 1, 'A', 2, 'B', 2] | facet by State, Kind with (where Kind == 1)"),
        [
            table("", "State:string Kind:long", &["A|1"]),
            table("GenericResult", "State:string count_State:long", &["A|2", "B|1"]),
            table("GenericResult", "Kind:long count_Kind:long", &["1|1", "2|2"]),
        ]
    );
}

#[test]
fn preview_returns_rows_and_their_count() {
    // preview-plugin.
    let both = tables("range x from 1 to 50 step 1 | sort by x asc | evaluate preview(2)");
    assert_eq!((both[0].2.len(), both[1].clone()), (2, table("GenericResult", "Count:long", &["50"])));
}

#[test]
fn limits_apply_to_all_tables_together() {
    let limits = Limits { rows: Some(6), ..Limits::default() };
    let kql = "range x from 1 to 5 step 1 | fork (take 5) (take 5) (take 5)";
    let answer = ask(&ways()[0], Query { limits, ..Query::new(kql) }).unwrap();
    assert!(matches!(answer.partial, Some(QueryError::Rows(6))), "{:?}", answer.partial);
    let rows: Vec<usize> = answer.more.iter().map(|table| table.batches.iter().map(|batch| batch.num_rows()).sum()).collect();
    assert_eq!((answer.rows(), rows), (5, vec![1, 0]));
}

/// A single file, and how often it was read.
#[derive(Default)]
struct List(std::sync::atomic::AtomicUsize);

#[async_trait]
impl ExternalData for List {
    async fn read(&self, location: &str, _: ByteSize) -> Result<Vec<u8>, ExternalError> {
        self.0.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
        if location == "https://lists.example.org/users.csv" {
            Ok(b"name,n\nann,1\nbob,2\n".to_vec())
        } else {
            Err(ExternalError::Refused(location.to_owned()))
        }
    }
}

#[test]
fn externaldata_reads_only_allowed_locations() {
    let list = Arc::new(List::default());
    let engine = Engine::new(None, Arc::new(SystemClock::default()), Options::default()).unwrap().with_external(list.clone());
    let users = r#"externaldata(name:string, n:long) ["https://lists.example.org/users.csv"] with (ignoreFirstRecord=true)"#;
    let answer =
        ask(&engine, Query::new(format!("let U = {users}; U | where n > 1 | union (U | where n < 2) | sort by n asc | project name")))
            .unwrap();
    assert_eq!(printed(&answer), ["ann", "bob"]);
    // It is read once, however often the query references it.
    assert_eq!(list.0.load(std::sync::atomic::Ordering::Relaxed), 1);
    let refused = ask(&engine, Query::new(users.replace("users", "others"))).unwrap_err();
    assert!(refused.to_string().contains("none of the places that the operator allows"), "{refused}");
    // Without the port the operator is rejected.
    let refused = ask(&ways()[0], Query::new(users)).unwrap_err();
    assert!(refused.to_string().contains("not allowed here"), "{refused}");
    // A check does not read data.
    assert!(block_on(model::QueryEngine::check(&engine, &Query::new(users))).unwrap().is_some());
    assert_eq!(list.0.load(std::sync::atomic::Ordering::Relaxed), 2);
}
