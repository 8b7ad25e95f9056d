//! Embedded migrations. To add one, add a file in `migrations/` and a line here; never edit a released one.

use sqlx::SqlSafeStr;
use sqlx::migrate::{Migration, MigrationType, Migrator};

macro_rules! migrations {
    ($($version:literal $name:literal),* $(,)?) => {
        /// Versions, names and texts.
        const MIGRATIONS: &[(i64, &str, &str)] = &[$(($version, $name, include_str!(concat!("../migrations/", $name, ".sql")))),*];
    };
}

migrations! {
    1 "0001_core",
    2 "0002_alerts",
    3 "0003_incidents",
    4 "0004_analytics_rules",
    5 "0005_identity",
    6 "0006_data_collection_rules",
    7 "0007_audit_chain",
    8 "0008_oncall",
    9 "0009_oncall_opt_outs",
    10 "0010_rule_files",
    11 "0011_people",
    12 "0012_audit_chain_version",
}

pub(crate) fn migrator() -> Migrator {
    let all = MIGRATIONS
        .iter()
        .map(|(version, name, text)| Migration::new(*version, (*name).into(), MigrationType::Simple, (*text).into_sql_str(), false));
    Migrator::with_migrations(all.collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_file_is_listed_once_under_its_number() {
        let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/migrations");
        let mut files: Vec<String> = std::fs::read_dir(folder)
            .unwrap()
            .map(|entry| entry.unwrap().file_name().to_string_lossy().trim_end_matches(".sql").to_owned())
            .collect();
        files.sort();
        let listed: Vec<&str> = MIGRATIONS.iter().map(|(_, name, _)| *name).collect();
        assert_eq!(files, listed);
        for (index, (version, name, _)) in MIGRATIONS.iter().enumerate() {
            assert_eq!(*version, index as i64 + 1, "{name}");
            assert!(name.starts_with(&format!("{version:04}_")), "{name}");
        }
    }
}
