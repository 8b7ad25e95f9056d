//! Copies of certificates and keys in the data directory, so that lost or damaged ones are detected and restored at the next start.
//!
//! `copies/inventory.json` lists every file under `tls/` and `keys/` with its checksum at the last start, and `copies/` has a copy of each.
//! A file that is missing, empty or changed without a new modification time is restored; one written since is assumed to be intentional,
//! and reported. To make the service create a new key, remove the file and its copy.

use std::collections::BTreeMap;
use std::fs;
use std::io;
use std::os::unix::fs::{DirBuilderExt, MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};

use model::{Condition, ConditionSeverity, HealthRegister};
use serde::{Deserialize, Serialize};
use server::identity::write_private;

const FOLDERS: [&str; 2] = ["tls", "keys"];
const INVENTORY: &str = "copies/inventory.json";

/// State at the last start.
#[derive(Default, Serialize, Deserialize)]
struct Inventory {
    version: u32,
    /// By path relative to the data directory.
    files: BTreeMap<String, Entry>,
    /// Whether `connect.json` existed.
    connect: bool,
}

#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
struct Entry {
    length: u64,
    crc32: u32,
    /// Nanoseconds.
    modified: i64,
}

impl Entry {
    fn of(path: &Path) -> io::Result<Self> {
        let (bytes, metadata) = (fs::read(path)?, fs::metadata(path)?);
        let modified = metadata.mtime() * 1_000_000_000 + metadata.mtime_nsec();
        Ok(Self { length: bytes.len() as u64, crc32: crc32fast::hash(&bytes), modified })
    }

    fn same_content(&self, other: &Self) -> bool {
        (self.length, self.crc32) == (other.length, other.crc32)
    }
}

/// Called before anything in the data directory is used: restores files where possible, and reports the rest.
pub fn check(data_dir: &Path, health: &HealthRegister) {
    tighten(data_dir, health);
    let inventory = match read_inventory(data_dir) {
        Ok(Some(inventory)) => inventory,
        Ok(None) => {
            // There are copies without the inventory, so it was lost.
            if FOLDERS.iter().any(|folder| data_dir.join("copies").join(folder).exists()) {
                report(
                    health,
                    INVENTORY,
                    ConditionSeverity::Notice,
                    "is missing: whether keys or certificates were changed cannot be told this time",
                );
            }
            return;
        }
        Err(()) => {
            report(
                health,
                INVENTORY,
                ConditionSeverity::Notice,
                "is damaged: whether keys or certificates were changed cannot be told this time",
            );
            return;
        }
    };
    for (name, entry) in &inventory.files {
        let path = data_dir.join(name);
        let found = Entry::of(&path).ok();
        let reason = match &found {
            Some(found) if found.same_content(entry) => {
                mend_copy(data_dir, name, entry, health);
                continue;
            }
            Some(found) if found.length > 0 && found.modified != entry.modified && is_plausible(&path) => {
                report(
                    health,
                    name,
                    ConditionSeverity::Notice,
                    "was changed since the last start and is used as it is; its old content is in `copies/`",
                );
                continue;
            }
            Some(found) if found.length == 0 => "is empty",
            Some(_) => "is damaged",
            None => "is missing",
        };
        restore(data_dir, name, entry, reason, found.is_some(), health);
    }
    if inventory.connect {
        let readable =
            fs::read(data_dir.join("connect.json")).ok().and_then(|bytes| serde_json::from_slice::<serde_json::Value>(&bytes).ok());
        if readable.is_none() {
            let action = "give clients the new `client_secret`; the old one no longer works";
            let condition = Condition::new("connect-file-lost", "connect.json", ConditionSeverity::Degraded)
                .summary("`connect.json` is missing or damaged: it is written anew, with a new secret of the first application")
                .action(action);
            tracing::error!("{}; {action}", condition.summary);
            health.report(condition);
        }
    }
}

/// Called after a successful start: updates the inventory and the copies.
pub fn keep(data_dir: &Path) -> io::Result<()> {
    let mut inventory = Inventory { version: 1, files: BTreeMap::new(), connect: true };
    for folder in FOLDERS {
        for entry in fs::read_dir(data_dir.join(folder)).into_iter().flatten().flatten() {
            let (path, name) = (entry.path(), format!("{folder}/{}", entry.file_name().to_string_lossy()));
            if !path.is_file() || name.ends_with(".new") {
                continue;
            }
            let now = Entry::of(&path)?;
            let copy = data_dir.join("copies").join(&name);
            if !Entry::of(&copy).is_ok_and(|copy| copy.same_content(&now)) {
                create_private_folder(&data_dir.join("copies"))?;
                write_private(&copy, &fs::read(&path)?)?;
            }
            inventory.files.insert(name, now);
        }
    }
    let text = serde_json::to_value(&inventory).map_err(io::Error::other)?;
    let sealed = serde_json::json!({ "crc32": crc32fast::hash(text.to_string().as_bytes()), "content": text });
    let bytes = sealed.to_string().into_bytes();
    // Usually unchanged, so nothing is written.
    if fs::read(data_dir.join(INVENTORY)).is_ok_and(|known| known == bytes) {
        return Ok(());
    }
    write_private(&data_dir.join(INVENTORY), &bytes)
}

fn read_inventory(data_dir: &Path) -> Result<Option<Inventory>, ()> {
    let bytes = match fs::read(data_dir.join(INVENTORY)) {
        Ok(bytes) => bytes,
        Err(cause) if cause.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(_) => return Err(()),
    };
    let sealed: serde_json::Value = serde_json::from_slice(&bytes).map_err(drop)?;
    let (Some(crc32), Some(content)) = (sealed["crc32"].as_u64(), sealed.get("content")) else { return Err(()) };
    if crc32 != u64::from(crc32fast::hash(content.to_string().as_bytes())) {
        return Err(());
    }
    serde_json::from_value(content.clone()).map(Some).map_err(drop)
}

/// Repairs a damaged copy.
fn mend_copy(data_dir: &Path, name: &str, entry: &Entry, health: &HealthRegister) {
    let copy = data_dir.join("copies").join(name);
    if !Entry::of(&copy).is_ok_and(|copy| copy.same_content(entry)) {
        report(health, &format!("copies/{name}"), ConditionSeverity::Notice, "is missing or damaged and is written anew; nothing is lost");
    }
}

fn restore(data_dir: &Path, name: &str, entry: &Entry, reason: &str, there: bool, health: &HealthRegister) {
    let (path, copy) = (data_dir.join(name), data_dir.join("copies").join(name));
    if there {
        let target = data_dir.join("quarantine").join(format!("{}-{}.bad", name.replace('/', "-"), uuid::Uuid::new_v4().simple()));
        let moved = create_private_folder(&data_dir.join("quarantine")).and_then(|()| fs::rename(&path, &target));
        if let Err(cause) = moved {
            tracing::error!(file = name, error = %cause, "cannot set a damaged file aside");
            return;
        }
    }
    let good = Entry::of(&copy).is_ok_and(|copy| copy.same_content(entry));
    let restored = if good { fs::read(&copy).and_then(|bytes| write_private(&path, &bytes)) } else { Err(io::ErrorKind::NotFound.into()) };
    match restored {
        Ok(()) => report(health, name, ConditionSeverity::Notice, &format!("{reason}; its copy took its place, nothing is lost")),
        Err(_) => report(health, name, ConditionSeverity::Degraded, &format!("{reason} and so is its copy: {}", loss(name))),
    }
}

/// Consequence of replacing a lost file.
fn loss(name: &str) -> &'static str {
    match name {
        "tls/ca.pem" | "tls/ca.key" => "a new certificate authority is made, which clients must be told to trust",
        _ if name.starts_with("tls/") => "a new certificate is made",
        "keys/workspace.key" => "a new workspace key is made: senders of the Data Collector API need it",
        "keys/accounts" => "a new key of second factors is made: people sign in with a recovery code and set up their apps again",
        "keys/oncall-links" => "a new key of links is made: links in pages that were sent no longer work",
        "keys/vapid" => "a new key of Web Push is made: browsers must subscribe again",
        _ => "a new one is made: tokens that were given out no longer work",
    }
}

/// Whether a changed file may have been written by the operator: PEM text, or a key of plausible length.
fn is_plausible(path: &Path) -> bool {
    let Ok(text) = fs::read_to_string(path) else { return false };
    match path.extension().and_then(|extension| extension.to_str()) {
        Some("pem") => text.contains("-----BEGIN ") && text.contains("-----END "),
        Some("key") if path.parent().is_some_and(|folder| folder.ends_with("tls")) => text.contains("PRIVATE KEY-----"),
        _ => text.len() >= 32 && !text.contains('\0'),
    }
}

fn report(health: &HealthRegister, file: &str, severity: ConditionSeverity, what: &str) {
    let action = "if nobody changed it, check the disk; a file with the service's own content is in `copies/`";
    tracing::error!(file, "`{file}` {what}; {action}");
    health.report(Condition::new("key-file-changed", file, severity).summary(format!("`{file}` {what}")).action(action));
}

/// Creates a folder accessible by its owner only.
pub fn create_private_folder(path: &Path) -> io::Result<()> {
    fs::DirBuilder::new().recursive(true).mode(0o700).create(path)
}

/// Restricts files with rows, state or secrets to their owner, even if created by an earlier version or another program.
fn tighten(data_dir: &Path, health: &HealthRegister) {
    let folders = ["wal", "tables", "keys", "copies", "quarantine", "tmp", "reserve"].map(|name| (data_dir.join(name), 0o700));
    let mut files: Vec<PathBuf> =
        ["state.db", "state.db-wal", "state.db-shm", "audit.head", "connect.json"].map(|name| data_dir.join(name)).to_vec();
    for folder in FOLDERS {
        let entries = fs::read_dir(data_dir.join(folder)).into_iter().flatten().flatten();
        files.extend(entries.map(|entry| entry.path()).filter(|path| folder == "keys" || path.extension().is_some_and(|e| e == "key")));
    }
    for (path, mode) in folders.into_iter().chain(files.into_iter().map(|path| (path, 0o600))) {
        let Ok(metadata) = fs::symlink_metadata(&path) else { continue };
        if metadata.is_symlink() || metadata.permissions().mode() & 0o077 == 0 {
            continue;
        }
        let name = path.strip_prefix(data_dir).unwrap_or(&path).display().to_string();
        match fs::set_permissions(&path, fs::Permissions::from_mode(mode)) {
            Ok(()) => {
                tracing::warn!(file = name, "others on this machine could read this; now only its owner can");
                let condition = Condition::new("file-mode", name.as_str(), ConditionSeverity::Notice)
                    .summary(format!("others on this machine could read `{name}` until this start"))
                    .action("where others use this machine, replace the secrets that were in it");
                health.report(condition);
            }
            Err(cause) => tracing::warn!(file = name, error = %cause, "others on this machine can read this"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn directory() -> tempfile::TempDir {
        let folder = tempfile::tempdir().unwrap();
        write_private(&folder.path().join("tls/ca.pem"), b"-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n").unwrap();
        write_private(&folder.path().join("keys/workspace.key"), &[b'k'; 88]).unwrap();
        write_private(&folder.path().join("connect.json"), b"{}").unwrap();
        keep(folder.path()).unwrap();
        folder
    }

    fn found(folder: &Path) -> Vec<(String, ConditionSeverity)> {
        let health = HealthRegister::default();
        check(folder, &health);
        health.conditions().into_iter().map(|each| (each.subject, each.severity)).collect()
    }

    #[test]
    fn lost_and_damaged_files_are_put_back_and_named() {
        for name in ["tls/ca.pem", "keys/workspace.key"] {
            let harms: [fn(&Path); 3] = [
                |path| fs::remove_file(path).unwrap(),
                |path| fs::write(path, "").unwrap(),
                |path| {
                    let (modified, mut bytes) = (fs::metadata(path).unwrap().modified().unwrap(), fs::read(path).unwrap());
                    bytes[30] ^= 1;
                    fs::write(path, bytes).unwrap();
                    fs::File::options().write(true).open(path).unwrap().set_modified(modified).unwrap();
                },
            ];
            for harm in harms {
                let folder = directory();
                let before = fs::read(folder.path().join(name)).unwrap();
                harm(&folder.path().join(name));
                assert_eq!(found(folder.path()), [(name.to_owned(), ConditionSeverity::Notice)]);
                assert_eq!(fs::read(folder.path().join(name)).unwrap(), before);
                assert!(found(folder.path()).is_empty());
            }
        }
    }

    #[test]
    fn what_a_person_put_there_stays() {
        let folder = directory();
        fs::write(folder.path().join("keys/workspace.key"), [b'n'; 88]).unwrap();
        assert_eq!(found(folder.path()), [("keys/workspace.key".to_owned(), ConditionSeverity::Notice)]);
        assert_eq!(fs::read(folder.path().join("keys/workspace.key")).unwrap(), [b'n'; 88]);
        keep(folder.path()).unwrap();
        assert!(found(folder.path()).is_empty());
    }

    #[test]
    fn without_a_copy_the_loss_is_named() {
        let folder = directory();
        fs::remove_file(folder.path().join("keys/workspace.key")).unwrap();
        fs::remove_file(folder.path().join("copies/keys/workspace.key")).unwrap();
        assert_eq!(found(folder.path()), [("keys/workspace.key".to_owned(), ConditionSeverity::Degraded)]);
        let folder = directory();
        fs::remove_file(folder.path().join("connect.json")).unwrap();
        assert_eq!(found(folder.path()), [("connect.json".to_owned(), ConditionSeverity::Degraded)]);
    }

    #[test]
    fn what_others_could_read_is_closed_and_named() {
        let folder = directory();
        fs::set_permissions(folder.path().join("connect.json"), fs::Permissions::from_mode(0o644)).unwrap();
        assert_eq!(found(folder.path()), [("connect.json".to_owned(), ConditionSeverity::Notice)]);
        assert_eq!(fs::metadata(folder.path().join("connect.json")).unwrap().permissions().mode() & 0o777, 0o600);
    }
}
