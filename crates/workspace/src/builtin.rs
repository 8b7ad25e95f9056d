//! The built-in tables of every workspace, as documented by Azure Monitor. To add one, add a file in `content/tables` and a line here.

use std::sync::OnceLock;

use model::{Column, TableName, TableSchema, Type};
use serde::Deserialize;

macro_rules! tables {
    ($($name:ident),* $(,)?) => {
        /// Name and YAML text of every table definition.
        const TABLES: &[(&str, &str)] = &[$((stringify!($name), include_str!(concat!("../../../content/tables/", stringify!($name), ".yaml")))),*];
    };
}

tables! {
    AADNonInteractiveUserSignInLogs,
    AADServicePrincipalSignInLogs,
    AWSCloudTrail,
    AlertEvidence,
    AlertInfo,
    AuditLogs,
    AzureActivity,
    BehaviorAnalytics,
    CloudAppEvents,
    CommonSecurityLog,
    DCRLogErrors,
    DeviceEvents,
    DeviceFileEvents,
    DeviceImageLoadEvents,
    DeviceInfo,
    DeviceLogonEvents,
    DeviceNetworkEvents,
    DeviceNetworkInfo,
    DeviceProcessEvents,
    DeviceRegistryEvents,
    DnsEvents,
    EmailAttachmentInfo,
    EmailEvents,
    EmailUrlInfo,
    Event,
    FireworkV2_CL,
    Heartbeat,
    IdentityInfo,
    IdentityLogonEvents,
    LAQueryLogs,
    OfficeActivity,
    Operation,
    Perf,
    SecurityAlert,
    SecurityEvent,
    SecurityIncident,
    SentinelAudit,
    SentinelHealth,
    SigninLogs,
    Syslog,
    ThreatIntelIndicators,
    ThreatIntelObjects,
    ThreatIntelligenceIndicator,
    UrlClickEvents,
    Usage,
    W3CIISLog,
    Watchlist,
    WindowsEvent,
}

/// A table definition as written in YAML.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Definition {
    name: TableName,
    /// In the order in which `take` shows them.
    columns: serde_yaml_ng::Mapping,
}

/// The built-in tables, by name. Unreadable definitions are skipped; a test asserts that there are none.
pub fn tables() -> &'static [TableSchema] {
    static READ: OnceLock<Vec<TableSchema>> = OnceLock::new();
    READ.get_or_init(|| TABLES.iter().filter_map(|(name, text)| read(text).filter(|table| table.name.as_str() == *name)).collect())
}

/// True if `table` is a built-in table.
pub fn is_built_in(table: &str) -> bool {
    TABLES.iter().any(|(name, _)| *name == table)
}

fn read(text: &str) -> Option<TableSchema> {
    let Definition { name, columns } = serde_yaml_ng::from_str(text).ok()?;
    let columns =
        columns.into_iter().map(|(name, ty)| Some(Column::new(name.as_str()?, Type::parse(ty.as_str()?)?))).collect::<Option<Vec<_>>>()?;
    Some(TableSchema { name, columns })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_definition_parses() {
        let tables = tables();
        assert_eq!(tables.len(), TABLES.len());
        for table in tables {
            assert_eq!(table.column("TimeGenerated").map(|column| column.ty), Some(Type::Datetime), "{}", table.name);
        }
        // Flare's published table definition has 42 columns, two of which differ only in case.
        let firework = tables.iter().find(|table| table.name.as_str() == "FireworkV2_CL").unwrap();
        assert_eq!(firework.columns.len(), 42);
        assert!(firework.column("Url").is_some() && firework.column("url").is_some());
    }
}
