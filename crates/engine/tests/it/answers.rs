//! Semantics of operators that differ from DataFusion's. Expected results were recorded from Microsoft's engine if marked `[M]`
//! (`conformance/kql/measured.jsonl` of the shared material), and are from the public KQL reference otherwise.

use super::rows;

const NULLS: &str =
    "let L = datatable(k:long, lv:string)[1,'a', 2,'b', long(null),'n']; let R = datatable(k:long, rv:string)[1,'x', long(null),'m'];";

#[test]
fn null_keys_of_a_join_match() {
    // [M] m1edfbca059
    assert_eq!(rows(&format!("{NULLS} L | join kind=inner R on k | project lv, rv | sort by lv asc")), ["a|x", "n|m"]);
    assert_eq!(rows(&format!("{NULLS} L | join kind=leftanti R on k | project lv")), ["b"]);
    assert_eq!(rows(&format!("{NULLS} L | join kind=leftsemi R on k | project lv | sort by lv asc")), ["a", "n"]);
}

#[test]
fn unmatched_outer_join_strings_are_empty() {
    // join-operator: [M] unmatched columns of a leftouter join are '' for strings and null otherwise.
    assert_eq!(rows(&format!("{NULLS} L | join kind=leftouter R on k | where lv == 'b' | project rv == '', isnull(k1)")), ["True|True"]);
    assert_eq!(rows(&format!("{NULLS} R | join kind=rightouter L on k | where rv == '' | project lv")), ["b"]);
    assert_eq!(rows(&format!("{NULLS} L | join kind=fullouter R on k | where rv != 'x' | project lv | sort by lv asc")), ["b", "n"]);
}

#[test]
fn innerunique_keeps_the_first_left_row_of_a_key() {
    // join-innerunique#1 of the documented cases.
    let tables = "let X = datatable(k:string, v:long)['b',2, 'b',3, 'c',4]; let Y = datatable(k:string, w:long)['b',10, 'c',20, 'c',30];";
    assert_eq!(rows(&format!("{tables} X | join Y on k | project k, v, w | sort by w asc")), ["b|2|10", "c|4|20", "c|4|30"]);
}

#[test]
fn null_comparisons_match_kusto() {
    // null-values: null != x is true, null == null is null, and `where` drops null; `not` does not turn one into the other.
    let table = "datatable(x:long)[1, long(null), 3]";
    assert_eq!(rows(&format!("{table} | where x != 1 | count")), ["2"]);
    assert_eq!(rows(&format!("{table} | where x == long(null) | count")), ["0"]);
    assert_eq!(rows(&format!("{table} | where not(x == 1) | count")), ["2"]);
    assert_eq!(rows(&format!("{table} | where x == 1 or x != 3 | count")), ["2"]);
    assert_eq!(rows(&format!("{table} | extend b = x != 1 | where b | count")), ["2"]);
}

#[test]
fn sort_puts_null_and_nan_together() {
    // sort-operator: NaN is next to null.
    let table = "datatable(x:real)[1.0, real(nan), real(null), -1.0]";
    assert_eq!(rows(&format!("{table} | sort by x asc")), ["", "NaN", "-1.0", "1.0"]);
    assert_eq!(rows(&format!("{table} | sort by x desc")), ["1.0", "-1.0", "NaN", ""]);
    assert_eq!(rows(&format!("{table} | sort by x asc nulls last")), ["-1.0", "1.0", "NaN", ""]);
}

#[test]
fn order_is_preserved_for_consumers() {
    // serialize-operator: a sorted row set is serialized; take, windows and lists read it in order.
    let table = "range x from 1 to 20 step 1 | extend g = x % 3";
    assert_eq!(rows(&format!("{table} | sort by x desc | take 2 | project x")), ["20", "19"]);
    assert_eq!(rows(&format!("{table} | sort by x desc | where g == 0 | extend n = row_number() | where n == 2 | project x")), ["15"]);
    assert_eq!(
        rows(&format!("{table} | where x < 8 | sort by x desc | summarize l = make_list(x) by g | sort by g asc | project l")),
        ["[6,3]", "[7,4,1]", "[5,2]"]
    );
    // The sort is stable.
    assert_eq!(rows(&format!("{table} | where x < 7 | sort by x desc | sort by g asc | project x")), ["6", "3", "4", "1", "5", "2"]);
    assert_eq!(rows(&format!("{table} | sort by g asc, x desc | take 2 | project x")), ["18", "15"]);
}

#[test]
fn summarize_without_rows() {
    // [M] trap 8: without keys one row, with keys none.
    assert_eq!(rows("datatable(x:long, g:string)[] | summarize count(), sum(x)"), ["0|0"]);
    assert_eq!(rows("datatable(x:long, g:string)[] | summarize count() by g"), Vec::<String>::new());
    assert_eq!(rows("datatable(x:long)[1, 2] | where x > 5 | count"), ["0"]);
}

#[test]
fn a_subquery_is_a_constant() {
    // toscalar-function, in-operator.
    assert_eq!(rows("let T = range x from 1 to 5 step 1; T | where x == toscalar(T | summarize max(x)) | project x"), ["5"]);
    assert_eq!(
        rows("let T = range x from 1 to 5 step 1; T | where x in ((T | where x > 3 | project x)) | summarize make_list(x)"),
        ["[4,5]"]
    );
}

#[test]
fn subquery_runs_per_group() {
    // mv-apply-operator, partition-operator.
    let table = "datatable(g:string, a:dynamic)['p', dynamic([1,5,3]), 'r', dynamic([4,2])]";
    assert_eq!(
        rows(&format!("{table} | mv-apply x = a to typeof(long) on (top 1 by x desc) | project g, x | sort by g asc")),
        ["p|5", "r|4"]
    );
    assert_eq!(
        rows(&format!("{table} | mv-apply x = a to typeof(long) on (summarize s = sum(x)) | project g, s | sort by g asc")),
        ["p|9", "r|6"]
    );
}

#[test]
fn shared_relations_run_once() {
    // materialize-function: both uses see the same random number.
    assert_eq!(
        rows("let T = materialize(print r = rand()); T | extend k = 1 | join kind=inner (T | extend k = 1) on k | project r == r1"),
        ["True"]
    );
}
