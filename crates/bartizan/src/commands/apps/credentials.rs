//! Secrets and certificates: `bartizan apps add-secret`, `add-cert`, `remove-secret`, `remove-cert`.

use std::path::PathBuf;
use std::time::SystemTime;

use anyhow::Context as _;
use model::{SecretRef, Secrets as _, Span, Timestamp};
use reqwest::Method;
use serde_json::{Value, json};
use server::identity::{CertificateError, PublicCertificate};
use uuid::Uuid;

use super::super::output::{list, text};
use super::super::{Failure, Outcome};
use super::list::expiry;
use super::{One, path};
use crate::service::secrets::SystemSecrets;

#[derive(clap::Args)]
pub struct AddSecret {
    #[command(flatten)]
    one: One,
    /// What the secret is for.
    #[arg(long)]
    name: Option<String>,
    /// How long it is valid: 90d, 180d, 365d, 545d, 730d, or another number of days.
    #[arg(long, default_value = "180d", value_parser = days)]
    valid: i64,
}

#[derive(clap::Args)]
pub struct AddCert {
    #[command(flatten)]
    one: One,
    /// The certificate: .cer (DER or base64), .pem, or .pfx.
    file: PathBuf,
    /// Where the passphrase of a .pfx stands: `env:NAME`, `file:/path` or `exec:command`.
    #[arg(long, value_name = "REFERENCE")]
    passphrase: Option<String>,
    /// What the certificate is for. Default: its subject.
    #[arg(long)]
    name: Option<String>,
}

#[derive(clap::Args)]
pub struct RemoveKey {
    #[command(flatten)]
    one: One,
    /// Its key id, as `show` prints it.
    key_id: String,
}

/// Most days of validity: a hundred years.
const MAX_DAYS: i64 = 36_500;

fn days(text: &str) -> Result<i64, String> {
    let number = text.strip_suffix('d').unwrap_or(text).parse::<i64>().ok();
    number.filter(|days| (1..=MAX_DAYS).contains(days)).ok_or_else(|| "write a number of days, such as 180d".to_owned())
}

pub async fn add_secret(args: AddSecret) -> Outcome {
    let (client, app) = args.one.find().await?;
    let end = Timestamp::from_system(SystemTime::now()) + Span(args.valid * Span::DAY.ticks());
    let body = json!({ "passwordCredential": { "displayName": args.name, "endDateTime": end } });
    let added = client.graph(Method::POST, &format!("{}/addPassword", path(&app)), &[], Some(&body)).await?;
    eprintln!("key id   {}", text(&added, "keyId"));
    eprintln!("expires  {}", &end.to_string()[..10]);
    eprintln!("The secret follows. It is shown only now.");
    // Alone on standard output, so that it can be piped to where it is kept.
    println!("{}", text(&added, "secretText"));
    Ok(())
}

pub async fn add_cert(args: AddCert) -> Outcome {
    let bytes = std::fs::read(&args.file).with_context(|| format!("cannot read `{}`", args.file.display()))?;
    let passphrase = args.passphrase.clone().map(|reference| SystemSecrets.resolve(&SecretRef::new(reference))).transpose()?;
    let certificate = PublicCertificate::from_file(&bytes, passphrase.as_ref()).map_err(|error| {
        let hint = match (&error, &passphrase) {
            (CertificateError::Passphrase, None) => "; name it with --passphrase env:NAME",
            _ => "",
        };
        Failure::Wrong(format!("error: {}: {error}{hint}", args.file.display()))
    })?;
    let (client, app) = args.one.find().await?;
    // The collection is replaced as a whole; entries with a key id alone stay as they are.
    let mut keys: Vec<Value> = list(&app, "keyCredentials").iter().map(|known| json!({ "keyId": known["keyId"] })).collect();
    let key_id = Uuid::new_v4().to_string();
    let mut added = certificate.key_credential(&key_id);
    added["displayName"] = json!(args.name.as_ref().unwrap_or(&certificate.subject));
    keys.push(added);
    client.graph(Method::PATCH, &path(&app), &[], Some(&json!({ "keyCredentials": keys }))).await?;
    println!("key id      {key_id}");
    println!("thumbprint  {}", certificate.thumbprint());
    println!("expires     {}", expiry(certificate.until, Timestamp::from_system(SystemTime::now())));
    Ok(())
}

pub async fn remove_secret(args: RemoveKey) -> Outcome {
    let (client, app) = args.one.find().await?;
    let body = json!({ "keyId": args.key_id });
    client.graph(Method::POST, &format!("{}/removePassword", path(&app)), &[], Some(&body)).await?;
    println!("{} removed", args.key_id);
    Ok(())
}

pub async fn remove_cert(args: RemoveKey) -> Outcome {
    let (client, app) = args.one.find().await?;
    let known = list(&app, "keyCredentials");
    let kept: Vec<Value> = known
        .iter()
        .filter(|each| !text(each, "keyId").eq_ignore_ascii_case(&args.key_id))
        .map(|each| json!({ "keyId": each["keyId"] }))
        .collect();
    if kept.len() == known.len() {
        return Err(Failure::Wrong(format!("error: the application has no certificate `{}`", args.key_id)));
    }
    client.graph(Method::PATCH, &path(&app), &[], Some(&json!({ "keyCredentials": kept }))).await?;
    println!("{} removed", args.key_id);
    Ok(())
}

#[cfg(test)]
mod tests {
    #[test]
    fn validity_is_a_number_of_days() {
        assert_eq!(super::days("180d"), Ok(180));
        assert_eq!(super::days("7"), Ok(7));
        for wrong in ["", "0d", "-1", "1y", "999999d"] {
            assert!(super::days(wrong).is_err(), "{wrong}");
        }
    }
}
