//! Files readable by their owner only: keys and `connect.json`.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::Path;

/// Atomically replaces `path` with a file of mode 0600: written to a temporary file, synced, renamed. Readers never see a partial file, and
/// permissions are never wider in between. Creates the folder with mode 0700.
///
/// The temporary file has a random name and is created exclusively, so that an existing link or file is never followed or overwritten.
pub fn write_private(path: &Path, bytes: &[u8]) -> io::Result<()> {
    let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
    fs::DirBuilder::new().recursive(true).mode(0o700).create(folder)?;
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    let fresh = folder.join(format!(".{name}.{}.new", uuid::Uuid::new_v4().simple()));
    let mut file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(&fresh)?;
    let written = file.write_all(bytes).and_then(|()| file.sync_all()).and_then(|()| fs::rename(&fresh, path));
    if let Err(cause) = written {
        let _ = fs::remove_file(&fresh);
        return Err(cause);
    }
    File::open(folder)?.sync_all()
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    #[test]
    fn is_readable_by_owner_only() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("keys/a");
        super::write_private(&path, b"1").unwrap();
        super::write_private(&path, b"2").unwrap();
        assert_eq!(std::fs::read(&path).unwrap(), b"2");
        assert_eq!(std::fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
    }

    /// Regression test: a symlink at a predictable name was followed, and secrets were written to its target.
    #[test]
    fn a_link_in_the_way_is_not_followed() {
        let folder = tempfile::tempdir().unwrap();
        let bait = folder.path().join("bait");
        std::fs::write(&bait, "kept").unwrap();
        for name in ["connect.json", "connect.json.new"] {
            std::os::unix::fs::symlink(&bait, folder.path().join(name)).unwrap();
        }
        super::write_private(&folder.path().join("connect.json"), b"secret").unwrap();
        assert_eq!(std::fs::read(&bait).unwrap(), b"kept");
        assert_eq!(std::fs::read(folder.path().join("connect.json")).unwrap(), b"secret");
        assert!(!std::fs::symlink_metadata(folder.path().join("connect.json")).unwrap().is_symlink());
    }
}
