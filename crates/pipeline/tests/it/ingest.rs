//! Tests of the ingest path.

use std::sync::atomic::Ordering;

use pipeline::{BodyError, IngestError};

use crate::world::{RULE, pipeline, rule, upload};

#[tokio::test]
async fn a_stream_feeds_its_flows_in_one_append() {
    let (world, pipeline) = pipeline(&[("source | where n > 0", "Custom-T_CL"), ("source", "Custom-T_CL")]);
    let body = r#"[{"n": 1, "Who": "ann", "Raw": {"a": [1]}}, {"n": 0, "Who": "bob"}, {"n": "x"}, 7]"#;
    let ingested = pipeline.ingest(upload(body)).await.unwrap();
    assert_eq!((ingested.rows, ingested.dead), (4, 1));
    assert_eq!(world.appends.lock().unwrap().len(), 1);
    assert_eq!(world.rows("T_CL", &["n", "Who", "Raw"]), ["1|ann|{\"a\":[1]}", "1|ann|{\"a\":[1]}", "0|bob|", "||"]);
    // Noon, in ticks since year 1: the arrival replaces the missing time.
    let noon = model::Timestamp::parse_iso("2026-03-01T12:00:00Z").unwrap().ticks().to_string();
    assert!(world.rows("T_CL", &["TimeGenerated"]).iter().all(|time| *time == noon));
    let letters = world.rows("DCRLogErrors", &["Record_CF", "Message", "InputStreamId", "ClientRequestId", "_ResourceId"]);
    let tail = format!("Custom-S|request 1|{RULE}");
    let ids = world.rows("DCRLogErrors", &["CorrelationId"]);
    assert!(ids.iter().all(|id| *id == upload("[]").correlation_id.to_string()), "{ids:?}");
    let note = "|1 values of column `n` did not fit and were stored as null; the first: `x` is no int";
    assert_eq!(letters, [format!("7|the record is no JSON object|{tail}"), format!("{note}|{tail}")]);
}

/// github.com/elizaOS/eliza/pull/18079: an unpaired surrogate in a value and in a key.
#[tokio::test]
async fn unpaired_surrogates_are_replaced() {
    let (world, pipeline) = pipeline(&[("source", "Custom-T_CL")]);
    let body = r#"[{"Who": "a\ud83d", "Raw": {"\ude00": "\ud83d", "ok": "\ud83d\ude00"}}, {"W\ud83dho": 1, "n": 2}]"#;
    let ingested = pipeline.ingest(upload(body)).await.unwrap();
    assert_eq!((ingested.rows, ingested.dead), (2, 0));
    let rows = world.rows("T_CL", &["n", "Who", "Raw"]);
    assert_eq!(rows, [r#"|a\u{fffd}|{"\ufffd":"\ufffd","ok":"\ud83d\ude00"}"#.replace(r"\u{fffd}", "\u{fffd}"), "2||".to_owned()]);
}

/// learn.microsoft.com/azure/data-explorer/ingest-invalid-data; rows without a time follow Log Analytics.
#[tokio::test]
async fn out_of_range_time_becomes_the_arrival() {
    let (world, pipeline) = pipeline(&[("source", "Custom-T_CL")]);
    let body = r#"[{"TimeGenerated": 1772366400.5, "n": 1}, {"TimeGenerated": "/Date(1772366400000)/", "n": 1.5}, {"TimeGenerated": "Sun, 01 Mar 2026 11:00:00 GMT", "n": 3}]"#;
    let ingested = pipeline.ingest(upload(body)).await.unwrap();
    assert_eq!((ingested.rows, ingested.dead), (3, 0));
    let ticks = |iso: &str| model::Timestamp::parse_iso(iso).unwrap().ticks();
    let (noon, eleven) = (ticks("2026-03-01T12:00:00Z"), ticks("2026-03-01T11:00:00Z"));
    assert_eq!(world.rows("T_CL", &["TimeGenerated", "n"]), [format!("{noon}|1"), format!("{noon}|"), format!("{eleven}|3")]);
    let notes = world.rows("DCRLogErrors", &["OperationName", "Message"]);
    assert_eq!(
        notes,
        [
            "Note|2 values of column `TimeGenerated` did not fit and were stored as the time of arrival; the first: `1772366400.5` is no datetime",
            "Note|1 values of column `n` did not fit and were stored as null; the first: `1.5` is no int",
        ]
    );
}

#[tokio::test]
async fn blank_rows_become_dead_letters() {
    let (world, pipeline) = pipeline(&[("source | count them", "Custom-T_CL")]);
    let ingested = pipeline.ingest(upload(r#"[{"n": 1}, {"n": 2}]"#)).await.unwrap();
    assert_eq!((ingested.rows, ingested.dead), (0, 2));
    assert_eq!(world.rows("T_CL", &["n"]).len(), 0);
    let letters = world.rows("DCRLogErrors", &["Record_CF", "Message"]);
    assert_eq!(letters[0], r#"{"n": 1}|no column of the records is in table `T_CL`"#);
}

#[tokio::test]
async fn oversized_bodies_are_rejected_before_decoding() {
    let (world, pipeline) = pipeline(&[("source | where n > 0", "Custom-T_CL")]);
    let refused = async |body: String| match pipeline.ingest(upload(&body)).await.unwrap_err() {
        IngestError::Body(error) => error,
        other => panic!("{other}"),
    };
    // Without limits, 4 MB of numbers would be two million dead letters, and three-byte records would expand a hundredfold.
    assert_eq!(refused(format!("[{}1]", "1,".repeat(1_999_999))).await, BodyError::TooManyStrays);
    assert_eq!(refused(format!("[{}{{}}]", "{},".repeat(pipeline::MAX_RECORDS))).await, BodyError::TooManyRecords);
    assert!(world.appends.lock().unwrap().is_empty());
    // At the limit of non-object elements: each becomes a dead letter, and the valid record is stored.
    let ingested = pipeline.ingest(upload(&format!("[{}{{\"n\": 1}}]", "1,".repeat(pipeline::MAX_STRAYS)))).await.unwrap();
    assert_eq!((ingested.rows, ingested.dead), (1, pipeline::MAX_STRAYS));
}

#[tokio::test]
async fn a_transform_that_fails_loses_no_record() {
    let (world, pipeline) = pipeline(&[("source | extend boom = 1 / n", "Custom-T_CL"), ("source | where n > 0", "Custom-T_CL")]);
    let ingested = pipeline.ingest(upload(r#"[{"n": 1}, {"n": 2}]"#)).await.unwrap();
    assert_eq!((ingested.rows, ingested.dead), (2, 2));
    assert_eq!(
        world.rows("DCRLogErrors", &["Record_CF", "Message"]),
        [r#"{"n": 1}|the transform failed: it went boom"#, r#"{"n": 2}|the transform failed: it went boom"#]
    );
}

#[tokio::test]
async fn temporary_failures_reject_the_whole_request() {
    let (world, pipeline) = pipeline(&[("source | where n > 0", "Custom-T_CL"), ("source | hungry", "Custom-T_CL")]);
    assert!(matches!(pipeline.ingest(upload(r#"[{"n": 1}]"#)).await, Err(IngestError::Busy { .. })));
    pipeline.put_rule(RULE, rule(&[("source", "Custom-T_CL")]));
    world.full.store(true, Ordering::SeqCst);
    let error = pipeline.ingest(upload(r#"[{"n": 1}]"#)).await.unwrap_err();
    assert_eq!(error.to_string(), "records are not taken now: the disk is full; try again in 10 s");
    assert!(world.appends.lock().unwrap().is_empty());
}

#[tokio::test]
async fn a_missing_table_keeps_the_records() {
    let (world, pipeline) = pipeline(&[("source", "Custom-Gone_CL")]);
    let ingested = pipeline.ingest(upload(r#"[{"n": 1}]"#)).await.unwrap();
    assert_eq!((ingested.rows, ingested.dead), (0, 1));
    assert_eq!(world.rows("DCRLogErrors", &["Message"]), ["there is no table `Gone_CL`"]);
}

#[tokio::test]
async fn changes_of_values_are_noted() {
    let (world, pipeline) = pipeline(&[("source", "Custom-T_CL")]);
    let long = "x".repeat(70_000);
    let body = format!(r#"[{{"TimeGenerated": "2020-01-01T00:00:00Z", "Who": "{long}"}}]"#);
    let ingested = pipeline.ingest(upload(&body)).await.unwrap();
    assert_eq!((ingested.rows, ingested.dead), (1, 0));
    assert_eq!(world.rows("T_CL", &["Who"])[0].len(), 65_536);
    let notes = world.rows("DCRLogErrors", &["OperationName", "Message"]);
    assert_eq!(notes[0], "Note|table `T_CL`: 1 values of column `Who` were longer than 64 KB and were cut");
    assert!(notes[1].contains("were more than 2 days old"), "{notes:?}");
}

#[tokio::test]
async fn deduplication_key_includes_the_body() {
    let (world, pipeline) = pipeline(&[("source", "Custom-T_CL")]);
    for body in [r#"[{"n": 1}]"#, r#"[{"n": 1}]"#, r#"[{"n": 2}]"#] {
        pipeline.ingest(upload(body)).await.unwrap();
    }
    pipeline.ingest(pipeline::Ingest { key: None, ..upload("[]") }).await.unwrap();
    let keys: Vec<_> = world.appends.lock().unwrap().iter().map(|append| append.key.clone()).collect();
    assert!(keys[0].is_some() && keys[0] == keys[1] && keys[1] != keys[2] && keys[3].is_none(), "{keys:?}");
}

#[tokio::test]
async fn rejections_have_distinct_errors() {
    let (world, pipeline) = pipeline(&[("source", "Custom-T_CL")]);
    let to = |rule: &str, stream: &str| pipeline::Ingest { rule: rule.to_owned(), stream: stream.to_owned(), ..upload("[]") };
    assert!(matches!(pipeline.ingest(to("dcr-2", "Custom-S")).await, Err(IngestError::UnknownRule(_))));
    assert!(matches!(pipeline.ingest(to(RULE, "Custom-Other")).await, Err(IngestError::UnknownStream { .. })));
    assert!(pipeline.ingest(to(&RULE.to_uppercase(), "Custom-S")).await.is_ok());
    assert!(matches!(pipeline.ingest(upload("{}")).await, Err(IngestError::Body(BodyError::NotAnArray))));
    assert!(matches!(pipeline.ingest(upload(&"[".repeat(1000))).await, Err(IngestError::Body(BodyError::TooDeep))));
    assert!(matches!(pipeline.ingest(upload("[1,")).await, Err(IngestError::Body(BodyError::Syntax { .. }))));
    assert_eq!(world.rows("T_CL", &["n"]).len(), 0);
}

#[tokio::test]
async fn a_rule_is_checked_against_tables_and_language() {
    let (_, pipeline) = pipeline(&[("source", "Custom-T_CL")]);
    let flows = [
        ("source", "Custom-Gone_CL"),
        ("source | nonsense", "Custom-T_CL"),
        ("source | project Nothing", "Custom-T_CL"),
        ("source", "Custom-T_CL"),
    ];
    let errors: Vec<String> = pipeline.check(&rule(&flows)).await.iter().map(ToString::to_string).collect();
    assert_eq!(
        errors,
        [
            "`properties.dataFlows[0].outputStream` names table `Gone_CL`, which does not exist",
            "`properties.dataFlows[1].transformKql` is wrong at offset 9: what is this",
            "`properties.dataFlows[2].transformKql` gives no column that table `T_CL` has",
        ]
    );
}
