//! `bartizan backup DIR` — copies a data directory into a new folder, also while its service runs.
//!
//! The state database is copied first, then the files of the tables, so that the tables hold everything that the database has sent to them
//! (see docs/adr/0035-backup.md). `SHA256SUMS` is written last: a folder without it is no complete backup. `sha256sum -c` reads it as well.

pub mod contents;

use std::fs;
use std::io::{self, Read};
use std::path::{Path, PathBuf};

use anyhow::Context as _;
use workspace::HeldContent;

use self::contents::{About, Sums, private_folder, sync_folder, write_new};
use super::{Failure, Outcome};
use crate::config;
use crate::service::lock::{DirectoryLock, LockError};

#[derive(clap::Args)]
#[command(
    after_help = "Examples:\n  bartizan backup /backups/bartizan-$(date +%F)\n  bartizan backup --data-dir /var/lib/bartizan /backups/today && tar -C /backups -czf today.tar.gz today\n\nHolds secrets: keys, certificates and connect.json. The configuration is not included. Exit code 0: complete; 1: the folder is not empty; 2: it could not be made."
)]
pub struct Args {
    /// The folder to make. It may exist if it is empty.
    #[arg(value_name = "DIR")]
    to: PathBuf,
    /// The data directory. Default: the one under $XDG_DATA_HOME/bartizan.
    #[arg(long, value_name = "D")]
    data_dir: Option<PathBuf>,
}

/// Folders copied file by file.
const FOLDERS: [&str; 2] = ["tls", "keys"];
const CONNECT: &str = "connect.json";
const AUDIT_HEAD: &str = "audit.head";

pub fn run(args: Args) -> Outcome {
    let data_dir = match args.data_dir {
        Some(path) => path,
        None => config::default_data_dir(|name| std::env::var(name).ok())?,
    };
    if !data_dir.join("state.db").exists() {
        return Err(Failure::Broken(anyhow::anyhow!("`{}` is no data directory: it has no `state.db`", data_dir.display())));
    }
    let existed = args.to.exists();
    if existed && fs::read_dir(&args.to).with_context(|| format!("cannot read `{}`", args.to.display()))?.next().is_some() {
        return Err(Failure::Wrong(format!("error: `{}` is not empty; name a new folder", args.to.display())));
    }
    let made = backup(&data_dir, &args.to);
    if made.is_err() && !existed {
        let _ = fs::remove_dir_all(&args.to);
    }
    let about = made?;
    println!("{} files, {} bytes, as of {}", about.files, about.bytes, about.began);
    for name in &about.missing {
        println!("warning: `{name}` is missing in the data directory as well: `bartizan doctor` says more");
    }
    Ok(())
}

fn backup(data_dir: &Path, to: &Path) -> anyhow::Result<About> {
    // Without a service nothing may start one meanwhile; with one, its files are held instead.
    let stopped = match DirectoryLock::take(data_dir) {
        Ok(lock) => Some(lock),
        Err(LockError::Taken(_)) => None,
        Err(error) => return Err(error.into()),
    };
    let began = model::Timestamp::from_system(std::time::SystemTime::now());
    let mut copy = Copy { to, sums: Sums::default(), bytes: 0 };
    private_folder(to)?;
    // Before the database: an entry is stored before the head of the audit trail names it.
    copy.file_if_there(&data_dir.join(AUDIT_HEAD), Path::new(AUDIT_HEAD))?;
    if stopped.is_some() {
        // As it is: opening the database would change it.
        copy.file(&data_dir.join("state.db"), Path::new("state.db"))?;
        copy.file_if_there(&data_dir.join("state.db-wal"), Path::new("state.db-wal"))?;
    } else {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        runtime.block_on(store::copy_beside(data_dir, &to.join("state.db"))).context("cannot copy the state database")?;
        copy.count(Path::new("state.db"))?;
    }
    let held = workspace::hold(data_dir).context("cannot hold the files of the tables")?;
    for file in &held.files {
        match &file.content {
            HeldContent::Bytes(bytes) => copy.bytes(bytes.as_slice(), &file.name)?,
            HeldContent::Link(link) => copy.file(link, &file.name)?,
        }
    }
    let missing = held.missing.iter().map(|name| name.display().to_string()).collect();
    drop(held);
    for folder in FOLDERS {
        let mut paths: Vec<PathBuf> = match fs::read_dir(data_dir.join(folder)) {
            Ok(entries) => entries.map(|entry| entry.map(|entry| entry.path())).collect::<io::Result<_>>()?,
            Err(cause) if cause.kind() == io::ErrorKind::NotFound => continue,
            Err(cause) => return Err(cause).with_context(|| format!("cannot read `{folder}`")),
        };
        paths.retain(|path| path.is_file() && path.extension().is_none_or(|extension| extension != "new"));
        paths.sort();
        for path in paths {
            let name = Path::new(folder).join(path.file_name().unwrap_or_default());
            copy.file(&path, &name)?;
        }
    }
    copy.file_if_there(&data_dir.join(CONNECT), Path::new(CONNECT))?;
    drop(stopped);
    let about = About::new(began, copy.sums.len(), copy.bytes, missing);
    copy.bytes(serde_json::to_vec_pretty(&about)?.as_slice(), Path::new(contents::ABOUT))?;
    copy.sums.write(to)?;
    sync_folder(to)?;
    Ok(about)
}

/// Writes the files of a backup and their checksums.
struct Copy<'a> {
    to: &'a Path,
    sums: Sums,
    bytes: u64,
}

impl Copy<'_> {
    fn bytes(&mut self, content: impl Read, name: &Path) -> anyhow::Result<()> {
        let (sum, bytes) = write_new(self.to, name, content).with_context(|| format!("cannot write `{}` of the backup", name.display()))?;
        self.bytes += bytes;
        self.sums.add(name, sum)
    }

    fn file(&mut self, path: &Path, name: &Path) -> anyhow::Result<()> {
        let file = fs::File::open(path).with_context(|| format!("cannot read `{}`", path.display()))?;
        self.bytes(file, name)
    }

    fn file_if_there(&mut self, path: &Path, name: &Path) -> anyhow::Result<()> {
        if path.exists() { self.file(path, name) } else { Ok(()) }
    }

    /// Counts a file that is in the backup already.
    fn count(&mut self, name: &Path) -> anyhow::Result<()> {
        let path = self.to.join(name);
        let (sum, bytes) = contents::checksum(&path).with_context(|| format!("cannot read `{}`", path.display()))?;
        self.bytes += bytes;
        self.sums.add(name, sum)
    }
}
