//! `bartizan restore BACKUP` — puts a backup into an empty data directory. Every file is checked before the first is written, and again as
//! it is copied.

use std::fs::{self, File};
use std::io;
use std::os::unix::fs::{MetadataExt as _, chown};
use std::path::{Path, PathBuf};

use anyhow::Context as _;

use super::backup::contents::{self, DamagedBackup, sync_folder, verify, write_new};
use super::{Failure, Outcome};
use crate::config;
use crate::service::lock::{DirectoryLock, UNFINISHED_RESTORE};

#[derive(clap::Args)]
#[command(
    after_help = "Examples:\n  bartizan restore /backups/today --data-dir /var/lib/bartizan\n  bartizan restore /backups/today --check\n\nExit code 0: restored; 1: the backup is damaged, or the data directory is not empty; 2: it could not be written."
)]
pub struct Args {
    /// A folder that `bartizan backup` made.
    #[arg(value_name = "BACKUP")]
    from: PathBuf,
    /// The data directory. It must be empty, or not exist. Default: the one under $XDG_DATA_HOME/bartizan.
    #[arg(long, value_name = "D")]
    data_dir: Option<PathBuf>,
    /// Check the files of the backup only.
    #[arg(long)]
    check: bool,
}

/// What a directory may hold and still count as empty.
const LOCK: &str = "lock";

pub fn run(args: Args) -> Outcome {
    let (about, sums) = verify(&args.from).map_err(|error| match error {
        DamagedBackup::Read { .. } => Failure::Broken(error.into()),
        damaged => Failure::Wrong(format!("error: {}", model::chain(&damaged))),
    })?;
    if args.check {
        println!("{} files are as they were made, as of {}", about.files, about.began);
        return Ok(());
    }
    let data_dir = match args.data_dir {
        Some(path) => path,
        None => config::default_data_dir(|name| std::env::var(name).ok())?,
    };
    let _lock = DirectoryLock::take(&data_dir)?;
    let read = |cause| anyhow::Error::new(cause).context(format!("cannot read `{}`", data_dir.display()));
    for entry in fs::read_dir(&data_dir).map_err(read)? {
        if entry.map_err(read)?.file_name() != LOCK {
            return Err(Failure::Wrong(format!(
                "error: `{}` is not empty; a backup goes into an empty data directory",
                data_dir.display()
            )));
        }
    }
    write_new(&data_dir, Path::new(UNFINISHED_RESTORE), io::empty())
        .with_context(|| format!("cannot write into `{}`", data_dir.display()))?;
    for (name, sum) in sums.names().filter(|(name, _)| *name != contents::ABOUT) {
        let source = File::open(args.from.join(name)).with_context(|| format!("cannot read `{name}` of the backup"))?;
        let (found, _) = write_new(&data_dir, Path::new(name), source).with_context(|| format!("cannot write `{name}`"))?;
        if found != sum {
            return Err(Failure::Wrong(format!("error: {}", DamagedBackup::Checksum(name.to_owned()))));
        }
    }
    give_to_owner(&data_dir, sums.names().map(|(name, _)| name)).context("cannot give the files to the owner of the data directory")?;
    fs::remove_file(data_dir.join(UNFINISHED_RESTORE)).and_then(|()| sync_folder(&data_dir)).context("cannot finish the restore")?;
    println!("{} files restored into `{}`, as of {}", about.files, data_dir.display(), about.began);
    for name in &about.missing {
        println!("warning: `{name}` was missing when the backup was made; its rows are not restored");
    }
    Ok(())
}

/// Root may restore into the directory of the service's user, who then must be able to use every file.
fn give_to_owner<'a>(data_dir: &Path, names: impl Iterator<Item = &'a str>) -> io::Result<()> {
    let owner = fs::metadata(data_dir)?;
    if fs::metadata(data_dir.join(UNFINISHED_RESTORE))?.uid() == owner.uid() {
        return Ok(());
    }
    for name in names.filter(|name| *name != contents::ABOUT).chain([LOCK]) {
        let below = Path::new(name).ancestors().filter(|part| !part.as_os_str().is_empty());
        for part in below {
            chown(data_dir.join(part), Some(owner.uid()), Some(owner.gid()))?;
        }
    }
    Ok(())
}
