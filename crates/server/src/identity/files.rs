//! Files that only their owner may read: keys and the file that tells clients how to connect.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::Path;

/// Writes a whole file with mode 0600, synced, and renames it over `path`: readers see the old or the new, never half, never with
/// looser rights in between. Creates the folder with mode 0700.
///
/// The new file has a name that nobody can guess and is created exclusively: a link or file put in its way is never followed or written to.
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
    fn nobody_else_may_read_it() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("keys/a");
        super::write_private(&path, b"1").unwrap();
        super::write_private(&path, b"2").unwrap();
        assert_eq!(std::fs::read(&path).unwrap(), b"2");
        assert_eq!(std::fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
    }

    /// A link at a name that could be guessed was followed, and the secrets written to where it pointed.
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
