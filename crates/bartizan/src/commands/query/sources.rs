//! Data sources of a query: the workspace of a data directory (through its service, if running) or files.

use std::fs::{File, TryLockError};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use anyhow::{Context, bail};
use engine::{Engine, FileFormat, FileTable, Folders, Input, Options, Progress, QueryConfig, Store, SystemClock};
use kql::check::TableSchemas;
use model::{ByteSize, Catalog, ExternalData, QueryEngine, Span, Window, WorkspaceName};
use workspace::Workspace;

use crate::commands::published;
use crate::commands::service::Service;
use crate::commands::session_file::SessionFile;

/// Data sources of a query.
#[derive(Default)]
pub struct Sources {
    /// Paths, patterns, `name=pattern`, or `-`.
    pub files: Vec<String>,
    pub data_dir: Option<PathBuf>,
    /// Folders that `externaldata` may read.
    pub external: Vec<PathBuf>,
    /// Format of standard input.
    pub input_format: Option<FileFormat>,
    pub limits: LimitArgs,
    /// Only rows of files whose `TimeGenerated`, which is also their ingestion time, is within; Parquet files are not filtered.
    pub seen: Option<Window>,
}

/// Other limits than the default ones, for engines outside the service.
#[derive(Clone, Debug, Default, clap::Args)]
pub struct LimitArgs {
    /// How long the question may take, such as `90s`. Default: 10 minutes.
    #[arg(long, value_name = "SPAN")]
    time: Option<Span>,
    /// Memory it may hold before it goes on on disk, such as `4GiB`. Default: 1GiB.
    #[arg(long, value_name = "SIZE")]
    memory: Option<ByteSize>,
    /// Disk it may use for what memory cannot hold. Default: 10GiB.
    #[arg(long, value_name = "SIZE")]
    disk: Option<ByteSize>,
}

impl LimitArgs {
    fn config(&self) -> QueryConfig {
        let defaults = QueryConfig::default();
        QueryConfig {
            time: self.time.unwrap_or(defaults.time),
            memory: self.memory.unwrap_or(defaults.memory),
            disk: self.disk.unwrap_or(defaults.disk),
            ..defaults
        }
    }
}

/// An engine over the opened sources.
pub struct Opened {
    pub engine: Arc<dyn QueryEngine>,
    /// Its tables, for completion. Empty if a service does not provide them.
    pub tables: TableSchemas,
    /// The lock of the data directory, held while reading it.
    _lock: Option<File>,
}

/// Files that form one table.
#[derive(Debug)]
struct Group {
    name: String,
    inputs: Vec<Input>,
}

impl Sources {
    pub async fn open(&self, options: Options, progress: &Progress) -> anyhow::Result<Opened> {
        let clock = Arc::new(SystemClock::default());
        let outside = self.external();
        let Some(data_dir) = &self.data_dir else {
            let mut tables = self.read(progress)?;
            if let Some(seen) = self.seen {
                for table in &mut tables {
                    if let Some(rows) = table.in_memory() {
                        *table = table.with_rows(crate::commands::rules::fixtures::seen_rows(rows.clone(), seen)?);
                    }
                }
            }
            let known: TableSchemas =
                tables.iter().map(|table| (table.schema().name.as_str().to_owned(), table.schema().columns.clone())).collect();
            // A rule over several published tables runs even if only one of them is given: the others have no rows.
            let store = published::store();
            let engine = outside?.into_iter().fold(
                Engine::new(Some(store), clock, options)?.with_files(tables).with_config(self.limits.config(), None)?,
                Engine::with_external,
            );
            return Ok(Opened { engine: Arc::new(engine), tables: known.with_unlisted(published::UNLISTED), _lock: None });
        };
        let path = data_dir.join("lock");
        let lock = match File::open(&path) {
            Ok(lock) => lock,
            // Another machine or another person's directory: the service is asked in the name of whoever has logged in.
            Err(_) if self.external.is_empty() && SessionFile::read()?.is_some() => {
                let service = Service::connect(data_dir).await?;
                let tables = Service::tables(data_dir).await.unwrap_or_default();
                return Ok(Opened { engine: Arc::new(service), tables, _lock: None });
            }
            Err(cause) => return Err(cause).with_context(|| format!("`{}` is no data directory of a service", data_dir.display())),
        };
        match lock.try_lock() {
            // With a running service, its configuration decides what may be read.
            Err(TryLockError::WouldBlock) if !self.external.is_empty() => {
                bail!("a service holds `{}`: what `externaldata` may read stands in its configuration, `external`", data_dir.display())
            }
            Err(TryLockError::WouldBlock) => {
                let service = Service::connect(data_dir).await?;
                let tables = Service::tables(data_dir).await.unwrap_or_default();
                return Ok(Opened { engine: Arc::new(service), tables, _lock: None });
            }
            Err(TryLockError::Error(cause)) => return Err(cause).with_context(|| format!("cannot lock `{}`", path.display())),
            Ok(()) => {}
        }
        let name = workspace_name(data_dir)?;
        let (config, disk) = (workspace::WorkspaceConfig::default(), Arc::new(workspace::SystemDisk));
        let health = model::HealthRegister::default();
        let opened =
            Arc::new(Workspace::open(data_dir, workspace::Options { name, config, id: None, disk, clock: clock.clone(), health })?);
        let known: TableSchemas = opened.tables().iter().map(|table| (table.name.as_str().to_owned(), table.columns.clone())).collect();
        let engine = Engine::new(Some(Store { catalog: opened.clone(), snapshots: opened }), clock, options)?;
        let engine = engine.with_config(self.limits.config(), Some(&data_dir.join("tmp")))?;
        let engine = outside?.into_iter().fold(engine, Engine::with_external);
        Ok(Opened { engine: Arc::new(engine), tables: known.with_unlisted(published::UNLISTED), _lock: Some(lock) })
    }

    /// The port for `externaldata`, if anything is allowed.
    fn external(&self) -> anyhow::Result<Option<Arc<dyn ExternalData>>> {
        if self.external.is_empty() { Ok(None) } else { Ok(Some(Arc::new(Folders::new(&self.external)?))) }
    }

    fn read(&self, progress: &Progress) -> anyhow::Result<Vec<FileTable>> {
        let mut groups: Vec<Group> = Vec::new();
        // Names as they were given, where they are published in another spelling.
        let mut aliases: Vec<(String, &'static str)> = Vec::new();
        for file in &self.files {
            for mut group in self.groups(file)? {
                if let Some(name) = published::spelling(&group.name)
                    && name != group.name
                {
                    let given = std::mem::replace(&mut group.name, name.to_owned());
                    aliases.push((given, name));
                }
                if groups.iter().any(|known| known.name == group.name) {
                    bail!(
                        "two files give table `{}`: name one of them, as in `--file other=…`, or read both as one with a pattern, as in `--file '{}=…*'`",
                        group.name,
                        group.name
                    );
                }
                groups.push(group);
            }
        }
        let open = |group: &Group| engine::open_all(&group.name, &group.inputs, published::columns(&group.name).as_deref(), progress);
        let mut tables: Vec<FileTable> = groups.iter().map(|group| open(group).map_err(anyhow::Error::from)).collect::<Result<_, _>>()?;
        let alias = |(given, name): &(String, &str)| Some(tables.iter().find(|table| table.schema().name.as_str() == *name)?.alias(given));
        let aliases: Vec<FileTable> = aliases.iter().filter_map(alias).collect();
        tables.extend(aliases);
        Ok(tables)
    }

    /// The tables of one `--file`: one per file, or a single one if it is named.
    fn groups(&self, file: &str) -> anyhow::Result<Vec<Group>> {
        let (name, pattern) = match file.split_once('=') {
            Some((name, pattern)) if is_name(name) && !Path::new(file).exists() => (Some(name), pattern),
            _ => (None, file),
        };
        if pattern == "-" {
            let format =
                self.input_format.context("what standard input holds is said by `--input-format`: csv, tsv, ndjson, json or parquet")?;
            return Ok(vec![Group { name: name.unwrap_or("stdin").to_owned(), inputs: vec![Input::Stdin(format)] }]);
        }
        let paths = matching(pattern)?;
        Ok(match name {
            Some(name) => vec![Group { name: name.to_owned(), inputs: paths.into_iter().map(Input::File).collect() }],
            None => paths.into_iter().map(|path| Group { name: engine::table_name(&path), inputs: vec![Input::File(path)] }).collect(),
        })
    }
}

/// The files that match a pattern, sorted; an existing path matches itself.
pub fn matching(pattern: &str) -> anyhow::Result<Vec<PathBuf>> {
    if Path::new(pattern).exists() || !pattern.contains(['*', '?', '[']) {
        return Ok(vec![PathBuf::from(pattern)]);
    }
    let paths = glob::glob(pattern).with_context(|| format!("`{pattern}` is no pattern"))?;
    let mut found = Vec::new();
    for path in paths {
        let path = path.with_context(|| format!("cannot look for `{pattern}`"))?;
        if path.is_file() {
            found.push(path);
        }
    }
    if found.is_empty() {
        bail!("no file is called like `{pattern}`");
    }
    Ok(found)
}

fn is_name(text: &str) -> bool {
    text.starts_with(|c: char| c.is_ascii_alphabetic() || c == '_') && text.chars().all(|c| c.is_ascii_alphanumeric() || c == '_')
}

/// The only workspace of a data directory.
fn workspace_name(data_dir: &Path) -> anyhow::Result<WorkspaceName> {
    let folder = data_dir.join("tables");
    let mut names = Vec::new();
    for entry in std::fs::read_dir(&folder).with_context(|| format!("cannot read `{}`", folder.display()))? {
        let entry = entry?;
        if entry.file_type()?.is_dir() {
            names.push(entry.file_name().to_string_lossy().into_owned());
        }
    }
    match names.as_slice() {
        [name] => Ok(WorkspaceName::new(name)),
        [] => bail!("`{}` holds no workspace", data_dir.display()),
        _ => bail!("`{}` holds several workspaces: {}", data_dir.display(), names.join(", ")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_gives_the_published_table_whatever_the_case_of_its_name() {
        let folder = tempfile::tempdir().unwrap();
        let at = |name: &str| folder.path().join(name).display().to_string();
        std::fs::write(at("signinlogs.csv"), "ResultType\n50126\n").unwrap();
        let sources = Sources { files: vec![at("signinlogs.csv")], ..Sources::default() };
        let tables = sources.read(&Progress::default()).unwrap();
        let names: Vec<&str> = tables.iter().map(|table| table.schema().name.as_str()).collect();
        assert_eq!(names, ["SigninLogs", "signinlogs"]);
        for table in &tables {
            let column = table.schema().columns.iter().find(|column| column.name == "ResultType");
            assert_eq!(column.map(|column| column.ty), Some(model::Type::String));
        }
        std::fs::write(at("SigninLogs.csv"), "ResultType\n0\n").unwrap();
        let sources = Sources { files: vec![at("SigninLogs.csv"), at("signinlogs.csv")], ..Sources::default() };
        assert!(sources.read(&Progress::default()).unwrap_err().to_string().starts_with("two files give table `SigninLogs`"));
    }

    fn names(file: &str) -> Result<Vec<(String, usize)>, String> {
        let sources = Sources { input_format: Some(FileFormat::Csv), ..Sources::default() };
        let groups = sources.groups(file).map_err(|error| error.to_string())?;
        Ok(groups.into_iter().map(|group| (group.name, group.inputs.len())).collect())
    }

    #[test]
    fn patterns_give_a_table_a_file_and_names_one_for_all() {
        let folder = tempfile::tempdir().unwrap();
        for name in ["a.csv", "b-1.csv.gz", "c.txt"] {
            std::fs::write(folder.path().join(name), "x\n1\n").unwrap();
        }
        let at = |name: &str| folder.path().join(name).display().to_string();
        assert_eq!(names(&at("*.csv*")).unwrap(), [("a".to_owned(), 1), ("b_1".to_owned(), 1)]);
        assert_eq!(names(&format!("T={}", at("*.csv*"))).unwrap(), [("T".to_owned(), 2)]);
        assert_eq!(names(&format!("T={}", at("a.csv"))).unwrap(), [("T".to_owned(), 1)]);
        assert_eq!(names("-").unwrap(), [("stdin".to_owned(), 1)]);
        assert_eq!(names("T=-").unwrap(), [("T".to_owned(), 1)]);
        assert!(names(&at("*.parquet")).unwrap_err().starts_with("no file is called like"));
    }
}
