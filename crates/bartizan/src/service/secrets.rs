//! Resolves secrets by reference: environment, files, commands.

use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use model::{Secret, SecretError, SecretKind, SecretRef, Secrets};

/// Maximum length of a secret; a longer file is most likely the wrong one.
const MAX: u64 = 64 * 1024;
/// Timeout of a command.
const PATIENCE: Duration = Duration::from_secs(10);

/// Resolves secrets on each call without caching, so that a rotated secret is used from the next call on.
pub struct SystemSecrets;

impl Secrets for SystemSecrets {
    fn resolve(&self, reference: &SecretRef) -> Result<Secret<String>, SecretError> {
        let (kind, place) = reference.parts().ok_or(SecretError::NotAReference)?;
        let text = match kind {
            SecretKind::Env => std::env::var(place).map_err(|_| SecretError::NoVariable(place.to_owned()))?,
            SecretKind::File => file(place).map_err(|cause| SecretError::Unreadable { place: place.to_owned(), cause })?,
            SecretKind::Exec => command(place).map_err(|cause| SecretError::Unreadable { place: place.to_owned(), cause })?,
        };
        let line = text.lines().next().unwrap_or_default().trim();
        if line.is_empty() { Err(SecretError::Empty(format!("{reference:?}"))) } else { Ok(Secret::new(line.to_owned())) }
    }
}

fn file(path: &str) -> std::io::Result<String> {
    use std::io::Read;
    let mut text = String::new();
    std::fs::File::open(path)?.take(MAX).read_to_string(&mut text)?;
    Ok(text)
}

/// Runs a program with its arguments, split at spaces and without a shell, and returns its output.
fn command(line: &str) -> std::io::Result<String> {
    use std::io::{Error, ErrorKind, Read};
    let mut words = line.split_whitespace();
    let program = words.next().ok_or_else(|| Error::from(ErrorKind::NotFound))?;
    let mut child = Command::new(program).args(words).stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::null()).spawn()?;
    let output = child.stdout.take();
    let reader = std::thread::spawn(move || {
        let mut text = String::new();
        output.map(|output| output.take(MAX).read_to_string(&mut text)).transpose().map(|_| text)
    });
    let until = Instant::now() + PATIENCE;
    let status = loop {
        match child.try_wait()? {
            Some(status) => break status,
            None if Instant::now() >= until => {
                child.kill()?;
                child.wait()?;
                return Err(Error::new(ErrorKind::TimedOut, format!("it took over {} s", PATIENCE.as_secs())));
            }
            None => std::thread::sleep(Duration::from_millis(5)),
        }
    };
    if !status.success() {
        return Err(Error::other(format!("it ended with {status}")));
    }
    reader.join().unwrap_or_else(|_| Err(Error::from(ErrorKind::InvalidData)))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn resolve(reference: &str) -> Result<String, String> {
        SystemSecrets.resolve(&SecretRef::new(reference)).map(|secret| secret.reveal().clone()).map_err(|error| error.to_string())
    }

    #[test]
    fn each_place_gives_its_first_line() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("secret");
        std::fs::write(&path, "  hunter2 \nsecond line\n").unwrap();
        assert_eq!(resolve(&format!("file:{}", path.display())).unwrap(), "hunter2");
        assert_eq!(resolve("exec:echo hunter2").unwrap(), "hunter2");
        assert_eq!(resolve("env:PATH").unwrap(), std::env::var("PATH").unwrap());
    }

    #[test]
    fn a_secret_itself_is_refused_and_not_repeated() {
        let message = resolve("hunter2").unwrap_err();
        assert!(message.contains("env:NAME") && !message.contains("hunter2"), "{message}");
        assert!(resolve("env:BARTIZAN_NO_SUCH_VARIABLE").unwrap_err().contains("BARTIZAN_NO_SUCH_VARIABLE"));
        assert!(resolve("file:/nowhere/at/all").is_err() && resolve("exec:false").is_err() && resolve("exec:true").is_err());
    }
}
