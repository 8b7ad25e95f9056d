//! Which tables Azure Monitor does not bill.

/// Source: learn.microsoft.com/azure/azure-monitor/logs/cost-logs and …/azure/sentinel/billing, "Free data sources".
const FREE: [&str; 8] =
    ["AzureActivity", "Heartbeat", "Operation", "SecurityAlert", "SecurityIncident", "SentinelAudit", "SentinelHealth", "Usage"];

/// True if ingesting rows into the table is billed.
pub fn is_billable(table: &str) -> bool {
    !FREE.contains(&table)
}
