//! `tables`: custom tables, and what was added to Microsoft's.

use async_trait::async_trait;
use model::{CatalogError, Column, Span, TableName, TableSchema, Type};
use schemars::JsonSchema;
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use serde_json::{Value, json};
use store::StoreError;

use crate::check::Findings;
use crate::checks::tables::{as_azure_has_it, columns, parse_type};
use crate::error::ApplyError;
use crate::kind::{Access, Kind, Level, Outside, Removal, Stored, Writing};
use crate::kinds::data_collection_rules::tables_of;
use crate::plan::Plan;
use crate::stored::World;

pub static KIND: Tables = Tables;
pub type Body = Table;

/// Columns that the workspace adds to every custom table.
const STANDARD: [(&str, Type); 3] = [("TenantId", Type::String), ("Type", Type::String), ("_ResourceId", Type::String)];
/// Azure's range of the total retention, in days.
const RETENTION_DAYS: std::ops::RangeInclusive<i64> = 4..=4_383;

/// A custom table, or what was added to one of Microsoft's. Columns that a document no longer has stay.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Table {
    /// In the order in which `take` shows them. A custom table needs `TimeGenerated`.
    #[serde(default)]
    pub columns: Vec<TableColumn>,
    /// How long rows are kept, 4 to 4383 days. Default: as the workspace. Example: `90d`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub retention: Option<Span>,
    /// Names and numbers of columns that Azure would refuse are allowed.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub lenient: bool,
}

#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct TableColumn {
    pub name: String,
    /// `string`, `int`, `long`, `real`, `bool`, `datetime`, `guid` or `dynamic`.
    #[serde(rename = "type")]
    #[schemars(with = "String")]
    pub ty: ColumnType,
}

/// A type that tables store, by any of its names.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ColumnType(pub Type);

impl Serialize for ColumnType {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.0.name())
    }
}

impl<'de> Deserialize<'de> for ColumnType {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let name = String::deserialize(deserializer)?;
        parse_type(&name).map(ColumnType).ok_or_else(|| {
            let known = ["string", "int", "long", "real", "bool", "datetime", "guid", "dynamic"];
            serde::de::Error::custom(format!("unknown variant `{name}`, expected one of `{}`", known.join("`, `")))
        })
    }
}

impl Table {
    fn of(columns: &[Column], retention: Option<Span>, lenient: bool) -> Self {
        let columns = columns.iter().map(|column| TableColumn { name: column.name.clone(), ty: ColumnType(column.ty) });
        Self { columns: columns.collect(), retention, lenient }
    }

    fn columns(&self) -> Vec<Column> {
        self.columns.iter().map(|column| Column::new(&column.name, column.ty.0)).collect()
    }

    fn body(&self) -> Value {
        json!(self)
    }
}

/// A body that was parsed before.
fn read(body: &Value) -> Table {
    serde_json::from_value(body.clone()).unwrap_or(Table { columns: Vec::new(), retention: None, lenient: false })
}

/// The columns of a table that a document has: without those of the workspace and of the published definition.
fn own_columns(world: &World, table: &TableSchema) -> Vec<Column> {
    let published = world.catalog.published(table.name.as_str());
    let own = |column: &&Column| match &published {
        Some(published) => published.column(&column.name).is_none(),
        None => !STANDARD.iter().any(|(name, ty)| *name == column.name && *ty == column.ty),
    };
    table.columns.iter().filter(own).cloned().collect()
}

/// The table as it will be once `body` is applied.
pub(crate) fn schema_of(name: &str, body: &Value, stored: Option<&TableSchema>) -> TableSchema {
    let mut all = stored.map_or_else(Vec::new, |table| table.columns.clone());
    let standard = STANDARD.map(|(name, ty)| Column::new(name, ty));
    for column in read(body).columns().into_iter().chain(standard) {
        if all.iter().all(|known| known.name != column.name) {
            all.push(column);
        }
    }
    TableSchema::new(name, all)
}

pub struct Tables;

#[async_trait]
impl Kind for Tables {
    fn name(&self) -> &'static str {
        "tables"
    }

    fn singular(&self) -> &'static str {
        "table"
    }

    fn summary(&self) -> &'static str {
        "Custom tables: columns and retention"
    }

    fn access(&self) -> Access {
        Access {
            level: Level::Workspace,
            read: "Microsoft.OperationalInsights/workspaces/tables/read",
            write: "Microsoft.OperationalInsights/workspaces/tables/write",
            delete: "Microsoft.OperationalInsights/workspaces/tables/delete",
            owner: false,
        }
    }

    fn ignores_case(&self) -> bool {
        false
    }

    async fn list(&self, world: &World) -> Result<Vec<Stored>, StoreError> {
        let mut all = Vec::new();
        for table in world.catalog.tables() {
            let (name, columns) = (table.name.as_str(), own_columns(world, &table));
            let (published, retention) = (world.catalog.published(name), world.catalog.own_retention(name));
            if published.is_some() && columns.is_empty() && retention.is_none() {
                continue;
            }
            // What Azure refuses in a new table has been allowed in this one.
            let lenient = as_azure_has_it(&columns, &table.name, published.as_deref()).is_err();
            let removal = if published.is_some() { Removal::PartOfService } else { Removal::Allowed };
            all.push(Stored { removal, ..Stored::of(name, Table::of(&columns, retention, lenient).body()) });
        }
        Ok(all)
    }

    async fn settle(&self, world: &World, name: &str, before: Option<&Value>, wanted: Value) -> Result<Value, StoreError> {
        let (mut table, before) = (read(&wanted), before.map(read));
        let published = world.catalog.published(name);
        table.columns.retain(|column| match &published {
            Some(published) => published.column(&column.name).is_none_or(|known| known.ty != column.ty.0),
            None => !STANDARD.iter().any(|(name, ty)| *name == column.name && *ty == column.ty.0),
        });
        if let Some(before) = before {
            // Columns stay and keep their places; a wanted type replaces the known one, for the check to see.
            let (mut columns, mut wanted) = (before.columns, table.columns);
            for column in &mut columns {
                if let Some(at) = wanted.iter().position(|other| other.name == column.name) {
                    column.ty = wanted.remove(at).ty;
                }
            }
            columns.append(&mut wanted);
            table.columns = columns;
            table.lenient |= before.lenient;
        }
        table.lenient &= as_azure_has_it(&table.columns(), &TableName::new(name), published.as_deref()).is_err();
        Ok(table.body())
    }

    fn check_name(&self, name: &str) -> Option<&'static str> {
        let fits = name.len() <= 63
            && name.starts_with(|c: char| c.is_ascii_alphabetic())
            && name.chars().all(|c| c.is_ascii_alphanumeric() || c == '_');
        (!fits).then_some("Use letters, digits and `_`, starting with a letter, at most 63")
    }

    async fn check(&self, plan: &Plan<'_>, found: &mut Findings) {
        for (name, body) in plan.wanted.of("tables") {
            let path = format!("tables.{name}");
            let (table, stored, at) = (read(body), plan.world.catalog.table(name), TableName::new(name));
            if let Some(days) = table.retention.map(|span| span.ticks() as f64 / Span::DAY.ticks() as f64)
                && !(days.fract() == 0.0 && RETENTION_DAYS.contains(&(days as i64)))
            {
                found.add(format!("{path}.retention"), "the retention must be 4 to 4383 whole days", "Write for example `90d`");
            }
            if stored.is_some() && table.columns.is_empty() {
                continue;
            }
            for (index, column) in table.columns.iter().enumerate() {
                let known = stored.as_ref().and_then(|stored| stored.column(&column.name)).map_or(column.ty.0, |known| known.ty);
                if known != column.ty.0 {
                    let problem = format!("column `{}` is a {} and cannot become a {}", column.name, known.name(), column.ty.0.name());
                    found.add(format!("{path}.columns[{index}].type"), problem, "Add a column of another name");
                }
            }
            let checked = columns(&json!({ "columns": body["columns"] }), &at, stored.as_deref())
                .and_then(|columns| if table.lenient { Ok(()) } else { as_azure_has_it(&columns, &at, stored.as_deref()) });
            if let Err(refusal) = checked {
                found.refused(&path, &refusal);
            }
        }
        for deleted in plan.deleted("tables") {
            let feeding = |body: &Value| tables_of(body).iter().any(|table| table == deleted);
            if let Some((rule, _)) = plan.after("data_collection_rules").find(|(_, body)| feeding(body)) {
                let problem = format!("the table cannot be deleted: data collection rule `{rule}` writes to it");
                found.add(format!("tables.{deleted}"), problem, "Delete the rule too, or keep the table");
            }
        }
    }

    fn outside(&self) -> Outside {
        Outside::Catalog
    }

    async fn put(&self, at: &mut Writing<'_>, name: &str, before: Option<&Value>, after: &Value) -> Result<(), ApplyError> {
        let (table, known, before) = (TableName::new(name), read(after), before.map(read));
        let failed = |cause| ApplyError::Catalog { kind: "tables", name: name.to_owned(), cause };
        if !known.columns.is_empty() {
            at.world.catalog.define(&table, known.columns()).await.map_err(failed)?;
        }
        if before.as_ref().and_then(|table| table.retention) != known.retention {
            at.world.catalog.set_retention(&table, known.retention).await.map_err(failed)?;
        }
        let shape =
            |table: &Table| -> Value { table.columns.iter().map(|column| format!("{}:{}", column.name, column.ty.0.name())).collect() };
        let retention = |table: &Table| table.retention.map(Span::to_iso);
        let changes = json!({
            "columns": [before.as_ref().map(shape), shape(&known)],
            "retention": [before.as_ref().and_then(retention), retention(&known)],
        });
        let action = if before.is_some() { "changed" } else { "created" };
        Ok(at.record("table", name, action, changes).await?)
    }

    async fn delete(&self, at: &mut Writing<'_>, name: &str, _: &Value) -> Result<(), ApplyError> {
        Ok(at.record("table", name, "deleted", json!({})).await?)
    }

    async fn remove(&self, world: &World, name: &str) -> Result<(), CatalogError> {
        match world.catalog.drop_table(&TableName::new(name)).await {
            Err(CatalogError::NoTable(_)) => Ok(()),
            done => done,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn types_have_one_name() {
        let table: Table =
            serde_json::from_value(json!({ "columns": [{ "name": "a", "type": "DateTime" }, { "name": "b", "type": "boolean" }] }))
                .unwrap();
        assert_eq!(table.body(), json!({ "columns": [{ "name": "a", "type": "datetime" }, { "name": "b", "type": "bool" }] }));
        let error = serde_json::from_value::<Table>(json!({ "columns": [{ "name": "a", "type": "decimal" }] })).unwrap_err();
        assert!(error.to_string().starts_with("unknown variant `decimal`, expected one of `string`"), "{error}");
    }

    #[test]
    fn a_table_keeps_its_columns_and_gains_those_of_the_document() {
        let stored = TableSchema::new("T_CL", vec![Column::new("TimeGenerated", Type::Datetime), Column::new("Old", Type::Long)]);
        let body = json!({ "columns": [{ "name": "TimeGenerated", "type": "datetime" }, { "name": "New", "type": "guid" }] });
        let columns = schema_of("T_CL", &body, Some(&stored)).columns;
        let names: Vec<&str> = columns.iter().map(|column| column.name.as_str()).collect();
        assert_eq!(names, ["TimeGenerated", "Old", "New", "TenantId", "Type", "_ResourceId"]);
    }
}
