//! docs/reference/tables.md.

use std::fmt::Write as _;

const INTRODUCTION: &str = "
Every workspace has these tables, with the columns that Azure Monitor documents
(learn.microsoft.com/azure/azure-monitor/reference/tables-index). Tables of your own end in `_CL`; they are created through the API
(`PUT …/workspaces/{workspace}/tables/{table}`) or by `bartizan ingest`. Each row has further columns that are not listed here:
`TenantId`, `Type` and `_ResourceId` where the table declares them.
";

pub fn page() -> String {
    let mut text = format!("# Tables\n\n{}{INTRODUCTION}", super::made_from("`content/tables`"));
    for table in workspace::published_tables() {
        let _ = writeln!(text, "\n## {}\n", table.name);
        let columns: Vec<String> = table.columns.iter().map(|column| format!("`{}` {}", column.name, column.ty.name())).collect();
        let _ = writeln!(text, "{}", columns.join(", "));
    }
    text
}
