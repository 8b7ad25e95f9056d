//! docs/reference/tables.md.

use std::fmt::Write as _;

const INTRODUCTION: &str = "
Every workspace has the tables described below, with the columns that Azure Monitor documents
(learn.microsoft.com/azure/azure-monitor/reference/tables-index). The other tables that Microsoft documents
([`content/published-tables.txt`](../../content/published-tables.txt)) can be named as well: queries and rules on them find no rows, and their
first rows create them. Wildcards, `search` and `find` cover created tables only. Tables of your own end in `_CL`; they are created through
the API (`PUT …/workspaces/{workspace}/tables/{table}`) or by `bartizan ingest`, and get the columns `TenantId`, `Type`, `_ResourceId`,
`_BilledSize` and `_IsBillable`.
";

pub fn page() -> String {
    let mut text = format!("# Tables\n\n{}{INTRODUCTION}", super::made_from("`content/tables`"));
    for table in workspace::built_in_tables() {
        let _ = writeln!(text, "\n## {}\n", table.name);
        let columns: Vec<String> = table.columns.iter().map(|column| format!("`{}` {}", column.name, column.ty.name())).collect();
        let _ = writeln!(text, "{}", columns.join(", "));
    }
    text
}
