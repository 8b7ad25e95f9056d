//! What a backup holds: `SHA256SUMS` names every file with its checksum, and `backup.json` says when and by which version it was made.

use std::collections::BTreeMap;
use std::fs::{self, DirBuilder, File, OpenOptions};
use std::io::{self, Read, Write};
use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _};
use std::path::{Component, Path, PathBuf};

use model::Timestamp;
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

pub const ABOUT: &str = "backup.json";
const SUMS: &str = "SHA256SUMS";
const VERSION: u32 = 1;

/// `backup.json`.
#[derive(Debug, Serialize, Deserialize)]
pub struct About {
    version: u32,
    /// The version of Bartizan that made it.
    bartizan: String,
    /// Every row that was acknowledged before this time is in the backup.
    pub began: String,
    /// Without this file.
    pub files: usize,
    pub bytes: u64,
    /// Data files that were missing in the data directory.
    pub missing: Vec<String>,
}

impl About {
    pub fn new(began: Timestamp, files: usize, bytes: u64, missing: Vec<String>) -> Self {
        Self { version: VERSION, bartizan: env!("CARGO_PKG_VERSION").to_owned(), began: began.to_string(), files, bytes, missing }
    }
}

/// Why a folder is no usable backup.
#[derive(Debug, thiserror::Error)]
pub enum DamagedBackup {
    #[error("`{0}` is no complete backup: it has no `SHA256SUMS`")]
    Incomplete(PathBuf),
    #[error("`SHA256SUMS` is damaged in line {0}")]
    Line(usize),
    #[error("`{0}` of the backup is missing")]
    Missing(String),
    #[error("`{0}` of the backup is damaged: its checksum is wrong")]
    Checksum(String),
    #[error("`backup.json` is not what `bartizan backup` writes")]
    About(#[source] serde_json::Error),
    #[error("the backup has format {0}; this version of Bartizan reads {VERSION}")]
    Version(u32),
    #[error("`SHA256SUMS` is damaged: it names {found} files of {expected}")]
    Count { found: usize, expected: usize },
    #[error("cannot read `{name}` of the backup")]
    Read {
        name: String,
        #[source]
        cause: io::Error,
    },
}

/// Checksums in hexadecimal, by path within the backup.
#[derive(Debug, Default)]
pub struct Sums(BTreeMap<String, String>);

impl Sums {
    pub fn len(&self) -> usize {
        self.0.len()
    }

    pub fn names(&self) -> impl Iterator<Item = (&str, &str)> {
        self.0.iter().map(|(name, sum)| (name.as_str(), sum.as_str()))
    }

    pub fn add(&mut self, name: &Path, sum: String) -> anyhow::Result<()> {
        let text = name.to_str().filter(|text| is_inside(text));
        let text = text.ok_or_else(|| anyhow::anyhow!("`{}` is no name for a file of a backup", name.display()))?;
        self.0.insert(text.to_owned(), sum);
        Ok(())
    }

    /// Writes `SHA256SUMS`, in the format of `sha256sum`.
    pub fn write(&self, folder: &Path) -> io::Result<()> {
        let text: String = self.0.iter().map(|(name, sum)| format!("{sum}  {name}\n")).collect();
        write_new(folder, Path::new(SUMS), text.as_bytes()).map(drop)
    }

    fn read(folder: &Path) -> Result<Self, DamagedBackup> {
        let text = fs::read_to_string(folder.join(SUMS)).map_err(|cause| match cause.kind() {
            io::ErrorKind::NotFound => DamagedBackup::Incomplete(folder.to_owned()),
            io::ErrorKind::InvalidData => DamagedBackup::Line(1),
            _ => DamagedBackup::Read { name: SUMS.to_owned(), cause },
        })?;
        let line = |(at, line): (usize, &str)| match line.split_once("  ") {
            Some((sum, name)) if sum.len() == 64 && is_inside(name) => Ok((name.to_owned(), sum.to_owned())),
            _ => Err(DamagedBackup::Line(at + 1)),
        };
        text.lines().enumerate().map(line).collect::<Result<_, _>>().map(Self)
    }
}

/// Reads the checksums of a backup and checks every file against them. The first that is missing or damaged is named.
pub fn verify(folder: &Path) -> Result<(About, Sums), DamagedBackup> {
    let sums = Sums::read(folder)?;
    for (name, sum) in sums.names() {
        match checksum(&folder.join(name)) {
            Ok((found, _)) if found == sum => {}
            Ok(_) => return Err(DamagedBackup::Checksum(name.to_owned())),
            Err(cause) if cause.kind() == io::ErrorKind::NotFound => return Err(DamagedBackup::Missing(name.to_owned())),
            Err(cause) => return Err(DamagedBackup::Read { name: name.to_owned(), cause }),
        }
    }
    let bytes = fs::read(folder.join(ABOUT)).map_err(|_| DamagedBackup::Missing(ABOUT.to_owned()))?;
    let about: About = serde_json::from_slice(&bytes).map_err(DamagedBackup::About)?;
    if about.version != VERSION {
        return Err(DamagedBackup::Version(about.version));
    }
    // Lines that were lost leave no wrong checksum behind.
    if sums.len() != about.files + 1 {
        return Err(DamagedBackup::Count { found: sums.len(), expected: about.files + 1 });
    }
    Ok((about, sums))
}

/// Whether a path stays within the backup, and fits a line of `SHA256SUMS`.
fn is_inside(name: &str) -> bool {
    let plain = |part| matches!(part, Component::Normal(_));
    !name.is_empty() && !name.contains(['\n', '\r', '\\']) && Path::new(name).components().all(plain)
}

/// SHA-256 of a file in hexadecimal, and its length.
pub fn checksum(path: &Path) -> io::Result<(String, u64)> {
    copy(File::open(path)?, io::sink())
}

/// Writes a new file with mode 0600 and its folders with 0700, and syncs them. Returns checksum and length.
pub fn write_new(folder: &Path, name: &Path, content: impl Read) -> io::Result<(String, u64)> {
    let path = folder.join(name);
    let parent = path.parent().unwrap_or(folder);
    private_folder(parent)?;
    let mut file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(&path)?;
    let written = copy(content, &mut file)?;
    file.sync_all()?;
    // Parents up to the folder itself: each may be new.
    let mut above = Some(parent);
    while let Some(each) = above.filter(|each| each.starts_with(folder)) {
        sync_folder(each)?;
        above = each.parent();
    }
    Ok(written)
}

fn copy(mut from: impl Read, mut to: impl Write) -> io::Result<(String, u64)> {
    let (mut hash, mut length, mut buffer) = (Sha256::new(), 0, vec![0; 1 << 20]);
    loop {
        let read = match from.read(&mut buffer) {
            Ok(0) => break,
            Ok(read) => read,
            Err(cause) if cause.kind() == io::ErrorKind::Interrupted => continue,
            Err(cause) => return Err(cause),
        };
        hash.update(&buffer[..read]);
        to.write_all(&buffer[..read])?;
        length += read as u64;
    }
    Ok((hash.finalize().iter().map(|byte| format!("{byte:02x}")).collect(), length))
}

/// Creates a folder and its parents, accessible by its owner only.
pub fn private_folder(path: &Path) -> io::Result<()> {
    DirBuilder::new().recursive(true).mode(0o700).create(path)
}

pub fn sync_folder(path: &Path) -> io::Result<()> {
    File::open(path)?.sync_all()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn made(folder: &Path) {
        let mut sums = Sums::default();
        for (name, text) in [("keys/a", "one"), ("tables/w/T.1/x.parquet", "two")] {
            let (sum, _) = write_new(folder, Path::new(name), text.as_bytes()).unwrap();
            sums.add(Path::new(name), sum).unwrap();
        }
        let about = serde_json::to_vec(&About::new(Timestamp::UNIX_EPOCH, 2, 6, Vec::new())).unwrap();
        let (sum, _) = write_new(folder, Path::new(ABOUT), about.as_slice()).unwrap();
        sums.add(Path::new(ABOUT), sum).unwrap();
        sums.write(folder).unwrap();
    }

    #[test]
    fn each_kind_of_damage_is_refused_by_name() {
        type Damage = fn(&Path);
        let cases: [(Damage, &str); 6] = [
            (|folder| fs::write(folder.join("keys/a"), "onf").unwrap(), "`keys/a` of the backup is damaged: its checksum is wrong"),
            (|folder| fs::remove_file(folder.join("keys/a")).unwrap(), "`keys/a` of the backup is missing"),
            (|folder| fs::remove_file(folder.join(SUMS)).unwrap(), "is no complete backup: it has no `SHA256SUMS`"),
            (|folder| fs::write(folder.join(SUMS), "x").unwrap(), "`SHA256SUMS` is damaged in line 1"),
            (|folder| fs::write(folder.join(SUMS), format!("{}  ../x\n", "0".repeat(64))).unwrap(), "`SHA256SUMS` is damaged in line 1"),
            (
                |folder| {
                    let text = fs::read_to_string(folder.join(SUMS)).unwrap();
                    fs::write(folder.join(SUMS), text.split_inclusive('\n').take(2).collect::<String>()).unwrap();
                },
                "`SHA256SUMS` is damaged: it names 2 files of 3",
            ),
        ];
        for (damage, expected) in cases {
            let folder = tempfile::tempdir().unwrap();
            made(folder.path());
            verify(folder.path()).unwrap();
            damage(folder.path());
            let error = verify(folder.path()).unwrap_err().to_string();
            assert!(error.contains(expected), "{error}");
        }
    }
}
