//! Each limit has its own error, and the engine answers the next query.

use model::{ByteSize, Limits, Query, QueryError, Span};

use super::{ask, printed, ways};

fn limited(kql: &str, limits: Limits) -> Query {
    Query { limits, ..Query::new(kql) }
}

#[test]
fn rows_and_bytes_cut_the_answer_and_say_so() {
    let engine = &ways()[0];
    let answer = ask(engine, limited("range x from 1 to 1000000 step 1", Limits { rows: 10, ..Limits::default() })).unwrap();
    assert_eq!(answer.rows(), 10);
    assert!(matches!(answer.partial, Some(QueryError::Rows(10))), "{:?}", answer.partial);
    let answer =
        ask(engine, limited("range x from 1 to 1000000 step 1", Limits { bytes: ByteSize(100_000), ..Limits::default() })).unwrap();
    assert!(matches!(answer.partial, Some(QueryError::Bytes(_))), "{:?}", answer.partial);
    assert!(answer.rows() <= 100_000 / 8);
}

#[test]
fn time_memory_and_cancellation_end_a_query() {
    let engine = &ways()[0];
    let endless = "range x from 1 to 1000000000000 step 1 | summarize count()";
    let ended = ask(engine, limited(endless, Limits { time: Span::millis(50), ..Limits::default() }));
    assert!(matches!(ended, Err(QueryError::Time(_))), "{ended:?}");
    let query = limited(endless, Limits::default());
    query.cancel.cancel();
    assert!(matches!(ask(engine, query), Err(QueryError::Cancelled)));
    let greedy = "range x from 1 to 1000000 step 1 | serialize n = prev(x) | summarize sum(n)";
    let ended = ask(engine, limited(greedy, Limits { memory: ByteSize(1 << 20), ..Limits::default() }));
    assert!(matches!(ended, Err(QueryError::Memory(_))), "{ended:?}");
    assert_eq!(printed(&ask(engine, Query::new("print 1 + 1")).unwrap()), ["2"]);
}

#[test]
fn a_wrong_query_is_told_what_is_wrong() {
    let Err(QueryError::Wrong(diagnostics)) = ask(&ways()[0], Query::new("print x = 1 | where y == 2")) else { panic!("accepted") };
    assert!(diagnostics[0].message.contains('y'), "{}", diagnostics[0].message);
    assert_eq!(diagnostics[0].start, 20);
}
