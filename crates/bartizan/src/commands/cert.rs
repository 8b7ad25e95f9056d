//! `bartizan cert new` — a certificate with which an application proves itself (S1-56, S1-57). Needs no service.

use std::path::{Path, PathBuf};
use std::time::SystemTime;

use anyhow::Context as _;
use model::{SecretRef, Secrets as _, Span, Timestamp};
use serde_json::json;
use server::identity::{CertificateError, self_signed, write_private};
use uuid::Uuid;

use super::{Failure, Outcome, output};
use crate::service::secrets::SystemSecrets;

#[derive(clap::Subcommand)]
pub enum Command {
    /// Make an RSA key and a self-signed certificate, and print the manifest's `keyCredentials`.
    #[command(
        after_help = "Examples:\n  bartizan cert new 'MyCompanyName MyAppName Cert'\n  bartizan cert new Collector --bits 4096 --days 365 --out keys/collector --passphrase env:PFX_PASSPHRASE"
    )]
    New(New),
}

#[derive(clap::Args)]
pub struct New {
    /// The certificate's common name.
    name: String,
    /// Length of the RSA key: 2048, 3072 or 4096.
    #[arg(long, default_value_t = 2048)]
    bits: usize,
    /// Days until it expires.
    #[arg(long, default_value_t = 365, value_parser = clap::value_parser!(i64).range(1..=7300))]
    days: i64,
    /// Path of the files without extension. Default: the name in lower case with dashes.
    #[arg(long, value_name = "PATH")]
    out: Option<PathBuf>,
    /// Where the passphrase of the .pfx stands: `env:NAME`, `file:/path` or `exec:command`. Without one no .pfx is written.
    #[arg(long, value_name = "REFERENCE")]
    passphrase: Option<String>,
    /// Replace existing files.
    #[arg(long)]
    force: bool,
}

pub fn run(command: Command) -> Outcome {
    let Command::New(args) = command;
    let name = args.name.trim();
    if name.is_empty() || name.len() > 64 {
        // RFC 5280, appendix A: ub-common-name.
        return Err(Failure::Wrong("error: the name has 1 to 64 characters".to_owned()));
    }
    let passphrase = args.passphrase.clone().map(|reference| SystemSecrets.resolve(&SecretRef::new(reference))).transpose()?;
    let stem = args.out.clone().unwrap_or_else(|| PathBuf::from(file_name(name)));
    let file = |extension: &str| PathBuf::from(format!("{}.{extension}", stem.display()));
    let mut files = vec![file("key"), file("cer"), file("pem")];
    files.extend(passphrase.as_ref().map(|_| file("pfx")));
    if let Some(existing) = files.iter().find(|path| path.exists() && !args.force) {
        return Err(Failure::Wrong(format!("error: `{}` exists; choose another --out or use --force", existing.display())));
    }
    let now = Timestamp::from_system(SystemTime::now());
    let made = self_signed(name, args.bits, Span(args.days * Span::DAY.ticks()), now).map_err(|error| match error {
        CertificateError::TooShort(_) | CertificateError::KeySize(_) => Failure::Wrong(format!("error: {error}")),
        other => Failure::Broken(other.into()),
    })?;
    write(&file("key"), made.key_pem.reveal().as_bytes())?;
    write(&file("cer"), made.certificate_pem.as_bytes())?;
    write(&file("pem"), format!("{}{}", made.key_pem.reveal(), made.certificate_pem).as_bytes())?;
    if let Some(passphrase) = &passphrase {
        write(&file("pfx"), &made.pfx(passphrase)?)?;
    }
    eprintln!("thumbprint  {}", made.certificate.thumbprint());
    eprintln!("expires     {}", &made.certificate.until.to_string()[..10]);
    for (path, what) in
        files.iter().zip(["private key", "certificate to upload", "key and certificate", "key and certificate, with passphrase"])
    {
        eprintln!("{what:<40}{}", path.display());
    }
    output::json(&json!({ "keyCredentials": [made.certificate.key_credential(&Uuid::new_v4().to_string())] })).map_err(Failure::from)
}

/// Readable by the owner only, also the public parts.
fn write(path: &Path, bytes: &[u8]) -> anyhow::Result<()> {
    write_private(path, bytes).with_context(|| format!("cannot write `{}`", path.display()))
}

fn file_name(name: &str) -> String {
    let dashed: String = name.chars().map(|c| if c.is_ascii_alphanumeric() { c.to_ascii_lowercase() } else { '-' }).collect();
    let parts: Vec<&str> = dashed.split('-').filter(|part| !part.is_empty()).collect();
    if parts.is_empty() { "certificate".to_owned() } else { parts.join("-") }
}

#[cfg(test)]
mod tests {
    #[test]
    fn files_are_named_after_the_certificate() {
        assert_eq!(super::file_name("MyCompanyName MyAppName Cert"), "mycompanyname-myappname-cert");
        assert_eq!(super::file_name("../../etc/x"), "etc-x");
        assert_eq!(super::file_name("é"), "certificate");
    }
}
