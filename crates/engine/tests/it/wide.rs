//! Unions of many tables with many columns: results are computed arithmetically and must not depend on whether the union is wide.

use model::Query;

use super::{ask, printed, ways};

/// Enough tables to make a union of all their columns wide: table `i` has `n` (its number), `who` (its name), and columns of its own.
const TABLES: usize = 60;

/// Columns of its own per table; those of every fourth table are dynamic, so that `search` covers them too.
const OWN: usize = 6;

/// A `union` of all tables, each with a distinct row and a row common to all.
fn tables() -> String {
    let table = |i: usize| {
        let own = (0..OWN).map(|c| format!("c{i}_{c}:{}", if c % 4 == 3 { "dynamic" } else { "string" })).collect::<Vec<_>>().join(", ");
        let cells = |row: &str| {
            (0..OWN)
                .map(|c| if c % 4 == 3 { format!("dynamic([\"d{i}x{c}{row}\"])") } else { format!("'s{i}x{c}{row}'") })
                .collect::<Vec<_>>()
                .join(", ")
        };
        format!("let T{i} = datatable(n:long, who:string, {own})[{i}, 'table{i}', {}, -1, 'all', {}];\n", cells("own"), cells("any"))
    };
    let names: Vec<String> = (0..TABLES).map(|i| format!("T{i}")).collect();
    format!("{}let All = view() {{ union {} }};\n", (0..TABLES).map(table).collect::<String>(), names.join(", "))
}

fn rows(tail: &str) -> Vec<String> {
    let kql = format!("{}{tail}", tables());
    let answers: Vec<Vec<String>> =
        ways().iter().map(|engine| printed(&ask(engine, Query::new(&kql)).unwrap_or_else(|why| panic!("{tail}: {why}")))).collect();
    let sorted = |rows: &Vec<String>| {
        let mut rows = rows.clone();
        rows.sort();
        rows
    };
    answers.iter().for_each(|other| assert_eq!(sorted(&answers[0]), sorted(other), "{tail}"));
    sorted(&answers[0])
}

#[test]
fn columns_that_a_table_lacks_are_null_or_empty() {
    // Every row has the columns of one table and null in all others.
    assert_eq!(rows("All | count"), [(2 * TABLES).to_string()]);
    assert_eq!(rows("All | where isnotempty(c7_0) | project n, c7_0, c8_0"), ["-1|s7x0any|", "7|s7x0own|"]);
    assert_eq!(rows("All | where isnull(c7_3) and n == 8 | project who"), ["table8"]);
    let wide = rows("All | where n == 5");
    assert_eq!((wide.len(), wide[0].split('|').count()), (1, 2 + TABLES * OWN));
    assert_eq!(wide[0].split('|').filter(|cell| !cell.is_empty()).collect::<Vec<_>>()[..3], ["5", "table5", "s5x0own"]);
}

#[test]
fn wide_union_filters_are_pushed_down() {
    assert_eq!(rows("search in (All) 's9x1own' | project n"), ["9"]);
    assert_eq!(rows("search in (All) 'd9x3any' | project who"), ["all"]);
    assert_eq!(rows("search in (All) 'nowhere' | count"), ["0"]);
    assert_eq!(rows("All | where c3_0 == '' and c4_0 == '' and who == 'all' | count"), [(TABLES - 2).to_string()]);
    assert_eq!(rows("All | where not(c3_0 has 's3x0own' or c4_0 has 's4x0own') | count"), [(2 * TABLES - 2).to_string()]);
}

#[test]
fn wide_union_supports_order_and_limits() {
    assert_eq!(rows("All | sort by n desc | take 1 | project n"), [(TABLES - 1).to_string()]);
    assert_eq!(rows("All | top 2 by n desc | summarize sum(n)"), [(2 * TABLES - 3).to_string()]);
    assert_eq!(rows("All | take 7 | count"), ["7"]);
    assert_eq!(rows("All | as hint.materialized=true A | join kind=inner (A | where n == 3) on n | project who1"), ["table3"]);
}
