//! Secret addresses (a chat webhook, a pager key): the forms a contact may use, and how they are resolved.
//!
//! ```text
//! secret:NAME       a secret that the configuration names under `oncall.secrets`
//! sealed:TEXT       an address that came through the API, encrypted before it was stored
//! env: file: exec:  a reference; only in the operator's own documents or as allowed by `oncall.references`
//! ```
//!
//! A contact can be written by anyone with the role Contributor, and resolving a reference reads a file or variable or runs a command as
//! the service. References are therefore checked twice: when a document is applied, and again when the address is resolved, so that objects
//! stored by an earlier version are checked too. Commands are allowed in the operator's own documents and configuration only.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Component, Path};
use std::sync::Arc;

use aws_lc_rs::aead::{AES_256_GCM, Aad, LessSafeKey, NONCE_LEN, Nonce, UnboundKey};
use base64::Engine as _;
use base64::prelude::BASE64_URL_SAFE_NO_PAD;
use hmac::{Hmac, Mac};
use model::{Secret, SecretError, SecretKind, SecretRef, Secrets};
use sha2::{Digest, Sha256};

use crate::check::Problem;
use crate::directory::Directory;
use crate::settings::OnCallConfig;

/// Prefix of an encrypted address that came through the API.
const SEALED: &str = "sealed:";
/// Prefix of the name of a configured secret.
const NAMED: &str = "secret:";

/// Forms of a secret address in a contact.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Form {
    /// `secret:NAME`.
    Named(String),
    /// `sealed:TEXT`; the text.
    Sealed(String),
    /// `env:`, `file:` or `exec:`.
    Reference(SecretRef),
}

impl Form {
    /// `None` if the text is the address itself, or not an address.
    pub fn parse(text: &str) -> Option<Self> {
        if let Some(name) = text.strip_prefix(NAMED).filter(|name| !name.is_empty()) {
            return Some(Self::Named(name.to_owned()));
        }
        if let Some(sealed) = text.strip_prefix(SEALED).filter(|sealed| !sealed.is_empty()) {
            return Some(Self::Sealed(sealed.to_owned()));
        }
        let reference = SecretRef::new(text);
        reference.parts().is_some().then_some(Self::Reference(reference))
    }
}

/// Why an address cannot be resolved. Never contains the address.
#[derive(Debug, thiserror::Error)]
pub enum AddressError {
    #[error("the address is a secret and stands here in the open")]
    InTheOpen,
    #[error("`oncall.secrets` names no `{0}`")]
    NoName(String),
    #[error("`{0}` is no reference that the operator allows")]
    NotAllowed(String),
    #[error("the sealed address was sealed by another service or for another channel")]
    NotOurs,
    #[error("the address cannot be read")]
    Secret(#[source] SecretError),
}

impl AddressError {
    /// How to fix it.
    pub fn help(&self) -> &'static str {
        match self {
            Self::InTheOpen => "Write `secret:NAME` and name the secret under `oncall.secrets`",
            Self::NoName(_) => "Name it in the service's configuration",
            Self::NotAllowed(_) => {
                "Write `secret:NAME` and name the secret under `oncall.secrets`, or send the address itself: it is sealed before it is stored"
            }
            Self::NotOurs => "Send the address itself: it is sealed before it is stored",
            Self::Secret(_) => "",
        }
    }
}

/// Why the configuration is rejected.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub enum ReferenceError {
    #[error("`oncall.secrets.{0}` holds no reference; write `env:NAME`, `file:/path` or `exec:command`")]
    Secret(String),
    #[error("`oncall.references` holds `{0}`; write `env:NAME`, `env:PREFIX_*`, or `file:` and an absolute path of a file or folder")]
    Pattern(String),
}

/// Resolves secret addresses.
pub struct Addresses {
    named: BTreeMap<String, SecretRef>,
    /// References in the operator's own documents, as written.
    own: BTreeSet<SecretRef>,
    patterns: Vec<Pattern>,
    sealer: Sealer,
    secrets: Arc<dyn Secrets>,
}

/// A pattern of references that API documents may use.
enum Pattern {
    Variable(String),
    /// Variables with this prefix.
    Variables(String),
    /// A file, or everything below a folder.
    Below(String),
}

impl Addresses {
    /// `own` is the directory of the documents in `oncall.apply`; `key` has at least 32 random bytes and survives restarts.
    pub fn new(config: &OnCallConfig, own: &Directory, key: &Secret<Vec<u8>>, secrets: Arc<dyn Secrets>) -> Result<Self, ReferenceError> {
        if let Some((name, _)) = config.secrets.iter().find(|(_, reference)| reference.parts().is_none()) {
            return Err(ReferenceError::Secret(name.clone()));
        }
        let patterns = config.references.iter().map(|text| pattern(text)).collect::<Result<_, _>>()?;
        let contacts = own.users.values().flat_map(|user| user.contacts.values());
        let own = contacts
            .filter_map(|contact| match Form::parse(&contact.address) {
                Some(Form::Reference(reference)) => Some(reference),
                _ => None,
            })
            .collect();
        Ok(Self { named: config.secrets.clone(), own, patterns, sealer: Sealer::new(key), secrets })
    }

    /// Resolves a contact's address. May read a file or run a command configured by the operator.
    pub fn resolve(&self, channel: &str, text: &str) -> Result<Secret<String>, AddressError> {
        let reference = match Form::parse(text).ok_or(AddressError::InTheOpen)? {
            Form::Sealed(sealed) => return self.sealer.open(channel, &sealed).ok_or(AddressError::NotOurs),
            Form::Named(name) => self.named.get(&name).cloned().ok_or(AddressError::NoName(name))?,
            Form::Reference(reference) => {
                self.check_reference(&reference)?;
                self.check_links(&reference)?;
                reference
            }
        };
        self.secrets.resolve(&reference).map_err(AddressError::Secret)
    }

    /// Whether `text` is allowed in a contact of `channel`. Performs no I/O.
    fn check(&self, channel: &str, text: &str) -> Result<(), AddressError> {
        match Form::parse(text) {
            // Invalid addresses are reported by `check`.
            None => Ok(()),
            Some(Form::Sealed(sealed)) => self.sealer.open(channel, &sealed).map(drop).ok_or(AddressError::NotOurs),
            Some(Form::Named(name)) if self.named.contains_key(&name) => Ok(()),
            Some(Form::Named(name)) => Err(AddressError::NoName(name)),
            Some(Form::Reference(reference)) => self.check_reference(&reference),
        }
    }

    fn check_reference(&self, reference: &SecretRef) -> Result<(), AddressError> {
        let (kind, place) = reference.parts().ok_or(AddressError::InTheOpen)?;
        let allowed = self.own.contains(reference) || self.patterns.iter().any(|pattern| pattern.allows(kind, place));
        if allowed { Ok(()) } else { Err(AddressError::NotAllowed(format!("{reference:?}"))) }
    }

    /// Rejects symbolic links that leave an allowed folder.
    fn check_links(&self, reference: &SecretRef) -> Result<(), AddressError> {
        let Some((SecretKind::File, place)) = reference.parts() else { return Ok(()) };
        if self.own.contains(reference) {
            return Ok(());
        }
        let real = |path: &str| std::fs::canonicalize(path).ok();
        // A missing file is reported when it is read.
        let Some(file) = real(place) else { return Ok(()) };
        let below = self.patterns.iter().any(|pattern| match pattern {
            Pattern::Below(folder) => real(folder).is_some_and(|folder| file.starts_with(folder)),
            _ => false,
        });
        if below { Ok(()) } else { Err(AddressError::NotAllowed(format!("{reference:?}"))) }
    }

    /// The document with plain-text addresses encrypted. Invalid addresses are left for `check` to report.
    pub fn seal(&self, directory: &Directory) -> Directory {
        let mut sealed = directory.clone();
        for contact in sealed.users.values_mut().flat_map(|user| user.contacts.values_mut()) {
            let Some(kind) = crate::channels::find(&contact.channel).filter(|kind| kind.secret_address) else { continue };
            if Form::parse(&contact.address).is_none() && (kind.check_address)(&contact.address).is_ok() {
                contact.address = self.sealer.seal(kind.name, &contact.address);
            }
        }
        sealed
    }

    /// Contacts whose addresses this service may not or cannot read.
    pub fn problems(&self, directory: &Directory) -> Vec<Problem> {
        let mut found = Vec::new();
        for (name, user) in &directory.users {
            for (contact, reached) in &user.contacts {
                if !crate::channels::find(&reached.channel).is_some_and(|kind| kind.secret_address) {
                    continue;
                }
                if let Err(error) = self.check(&reached.channel, &reached.address) {
                    let path = format!("users.{name}.contacts.{contact}");
                    found.push(Problem { path, problem: error.to_string(), help: error.help().to_owned() });
                }
            }
        }
        found
    }
}

impl Pattern {
    fn allows(&self, kind: SecretKind, place: &str) -> bool {
        match (self, kind) {
            (Self::Variable(name), SecretKind::Env) => name == place,
            (Self::Variables(prefix), SecretKind::Env) => place.starts_with(prefix),
            (Self::Below(folder), SecretKind::File) => {
                let path = Path::new(place);
                path.is_absolute() && plain(path) && path.starts_with(folder)
            }
            _ => false,
        }
    }
}

/// Whether the path has no `..` or `.`, which would defeat a check by prefix.
fn plain(path: &Path) -> bool {
    path.components().all(|part| matches!(part, Component::RootDir | Component::Normal(_)))
}

fn pattern(text: &str) -> Result<Pattern, ReferenceError> {
    let wrong = || ReferenceError::Pattern(text.to_owned());
    match SecretRef::new(text).parts() {
        Some((SecretKind::Env, name)) => match name.strip_suffix('*') {
            // An empty prefix would allow the whole environment.
            Some("") => Err(wrong()),
            Some(prefix) if !prefix.contains('*') => Ok(Pattern::Variables(prefix.to_owned())),
            None if !name.contains('*') => Ok(Pattern::Variable(name.to_owned())),
            _ => Err(wrong()),
        },
        Some((SecretKind::File, path)) => {
            let path = path.trim_end_matches('*').trim_end_matches('/');
            let fits = Path::new(path).is_absolute() && plain(Path::new(path)) && !path.contains('*');
            if fits { Ok(Pattern::Below(path.to_owned())) } else { Err(wrong()) }
        }
        _ => Err(wrong()),
    }
}

/// Encrypts addresses for the store: AES-256-GCM with a key of the service, bound to the channel's name.
struct Sealer {
    key: LessSafeKey,
    nonces: Secret<Vec<u8>>,
}

impl Sealer {
    fn new(key: &Secret<Vec<u8>>) -> Self {
        let derive = |purpose: &[u8]| {
            let mut mac = <Hmac<Sha256> as Mac>::new_from_slice(key.reveal()).expect("HMAC takes any key");
            mac.update(purpose);
            mac.finalize().into_bytes()
        };
        let key =
            UnboundKey::new(&AES_256_GCM, &derive(b"bartizan/oncall/seal/key/1")).expect("SHA-256 gives the 32 bytes that the key takes");
        Self { key: LessSafeKey::new(key), nonces: Secret::new(derive(b"bartizan/oncall/seal/nonce/1").to_vec()) }
    }

    /// The nonce is derived from the plain text: the same address gives the same ciphertext, so that applying a document twice changes
    /// nothing, and no nonce is used for two texts.
    fn seal(&self, channel: &str, address: &str) -> String {
        let mut mac = <Hmac<Sha256> as Mac>::new_from_slice(self.nonces.reveal()).expect("HMAC takes any key");
        mac.update(&Sha256::digest(channel));
        mac.update(address.as_bytes());
        let mut nonce = [0u8; NONCE_LEN];
        nonce.copy_from_slice(&mac.finalize().into_bytes()[..NONCE_LEN]);
        let mut text = address.as_bytes().to_vec();
        let sealed = self.key.seal_in_place_append_tag(Nonce::assume_unique_for_key(nonce), Aad::from(channel.as_bytes()), &mut text);
        // Fails only for texts of gigabytes; documents are far shorter.
        sealed.expect("an address is short enough to be sealed");
        format!("{SEALED}{}", BASE64_URL_SAFE_NO_PAD.encode([&nonce[..], &text].concat()))
    }

    fn open(&self, channel: &str, sealed: &str) -> Option<Secret<String>> {
        let bytes = BASE64_URL_SAFE_NO_PAD.decode(sealed.trim()).ok()?;
        let (nonce, text) = bytes.split_at_checked(NONCE_LEN)?;
        let mut text = text.to_vec();
        let nonce = Nonce::try_assume_unique_for_key(nonce).ok()?;
        let open = self.key.open_in_place(nonce, Aad::from(channel.as_bytes()), &mut text).ok()?;
        Some(Secret::new(String::from_utf8(open.to_vec()).ok()?))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::document::parse;

    /// Returns the reference as its value.
    struct Echo;

    impl Secrets for Echo {
        fn resolve(&self, reference: &SecretRef) -> Result<Secret<String>, SecretError> {
            Ok(Secret::new(format!("read {reference:?}")))
        }
    }

    fn addresses(config: &str, own: &str, key: u8) -> Result<Addresses, ReferenceError> {
        let config: OnCallConfig = serde_yaml_ng::from_str(config).unwrap();
        Addresses::new(&config, &parse("own", own).unwrap(), &Secret::new(vec![key; 32]), Arc::new(Echo))
    }

    fn contact(address: &str) -> Directory {
        parse("api", &format!("users: {{ann: {{name: Ann, contacts: {{room: {{slack: {address:?}}}}}}}}}")).unwrap()
    }

    const CONFIG: &str = "{secrets: {room: 'exec:vault read room'}, references: ['env:ONCALL_*', 'env:ROOM', 'file:/etc/contacts']}";
    const OWN: &str = "users: {bo: {name: Bo, contacts: {room: {slack: 'exec:/usr/bin/pass room'}, file: {slack: 'file:/own/../x'}}}}";

    #[test]
    fn references_come_from_the_operator_alone() {
        let addresses = addresses(CONFIG, OWN, 1).unwrap();
        for (text, read) in [
            ("secret:room", "read exec:vault read room"),
            ("exec:/usr/bin/pass room", "read exec:/usr/bin/pass room"),
            ("file:/own/../x", "read file:/own/../x"),
            ("env:ONCALL_SLACK", "read env:ONCALL_SLACK"),
            ("env:ROOM", "read env:ROOM"),
            ("file:/etc/contacts/soc/room", "read file:/etc/contacts/soc/room"),
        ] {
            assert_eq!(addresses.resolve("slack", text).unwrap().reveal(), read);
            assert_eq!(addresses.problems(&contact(text)), [], "{text}");
        }
        for text in [
            "exec:/bin/sh",
            "exec:/usr/bin/pass other",
            "exec:vault read room",
            "env:PATH",
            "env:ROOMS",
            "file:/etc/passwd",
            "file:/etc/contacts/../passwd",
            "file:/etc/contacts/./../passwd",
            "file:/etc/contactsx",
            "file:etc/contacts/x",
            "secret:other",
            "sealed:AAAA",
        ] {
            assert!(addresses.resolve("slack", text).is_err(), "{text}");
            assert_eq!(addresses.problems(&contact(text)).len(), 1, "{text}");
        }
    }

    #[test]
    fn a_link_below_an_allowed_folder_leads_nowhere_else() {
        let folder = tempfile::tempdir().unwrap();
        let (allowed, other) = (folder.path().join("allowed"), folder.path().join("other"));
        std::fs::create_dir_all(&allowed).unwrap();
        std::fs::write(&other, "https://example.org").unwrap();
        std::fs::write(allowed.join("file"), "https://example.org").unwrap();
        std::os::unix::fs::symlink(&other, allowed.join("link")).unwrap();
        let addresses = addresses(&format!("{{references: ['file:{}']}}", allowed.display()), "{}", 1).unwrap();
        assert!(addresses.resolve("slack", &format!("file:{}/file", allowed.display())).is_ok());
        assert!(matches!(addresses.resolve("slack", &format!("file:{}/link", allowed.display())), Err(AddressError::NotAllowed(_))));
    }

    #[test]
    fn a_sealed_address_belongs_to_one_service_and_one_channel() {
        let ours = addresses("{}", "{}", 1).unwrap();
        let room = "https://hooks.slack.com/services/T0/B0/x";
        let sealed = ours.seal(&contact(room)).users["ann"].contacts["room"].address.clone();
        assert!(sealed.starts_with("sealed:") && !sealed.contains("hooks"), "{sealed}");
        assert_eq!(ours.seal(&contact(room)), ours.seal(&contact(room)), "applied twice, it is the same");
        assert_eq!(ours.seal(&contact(&sealed)), contact(&sealed), "and sealed once");
        assert_eq!(ours.resolve("slack", &sealed).unwrap().reveal(), room);
        assert!(matches!(ours.resolve("teams", &sealed), Err(AddressError::NotOurs)));
        assert!(matches!(addresses("{}", "{}", 2).unwrap().resolve("slack", &sealed), Err(AddressError::NotOurs)));
        let mut changed = sealed.clone().into_bytes();
        *changed.last_mut().unwrap() ^= 1;
        assert!(ours.resolve("slack", std::str::from_utf8(&changed).unwrap()).is_err());
        assert!(matches!(ours.resolve("slack", room), Err(AddressError::InTheOpen)));
    }

    #[test]
    fn patterns_that_allow_too_much_are_refused() {
        for wrong in ["exec:/bin/*", "env:*", "file:relative", "file:/a/../b", "SLACK", "env:A*B", "secret:x"] {
            assert_eq!(addresses(&format!("{{references: ['{wrong}']}}"), "{}", 1).err(), Some(ReferenceError::Pattern(wrong.to_owned())));
        }
        assert_eq!(addresses("{secrets: {room: hunter2}}", "{}", 1).err(), Some(ReferenceError::Secret("room".to_owned())));
    }
}
