use rcgen::{CertificateParams, KeyPair};

use super::local::{LEAF_LIFETIME, RENEW_BEFORE};
use super::*;

fn names() -> Vec<String> {
    ["localhost", "127.0.0.1", "::1"].map(str::to_owned).to_vec()
}

fn now() -> Timestamp {
    Timestamp::parse_iso("2026-11-20T12:00:00Z").unwrap()
}

fn open(folder: &Path, names: &[String], now: Timestamp) -> Arc<ServerCertificate> {
    ServerCertificate::open(folder, names, None, now).unwrap()
}

fn read(folder: &Path, name: &str) -> Vec<u8> {
    std::fs::read(folder.join(name)).unwrap()
}

/// The certificate served for SNI `name`.
fn shown(certificate: &ServerCertificate, name: Option<&str>) -> Vec<u8> {
    certificate.current.read().unwrap().choose(name, &certificate.names).cert[0].to_vec()
}

/// Writes a self-signed certificate that is not ours to `cert` and `key`; returns its DER.
fn foreign(cert: &Path, key: &Path, names: &[&str]) -> Vec<u8> {
    let pair = KeyPair::generate().unwrap();
    let names: Vec<String> = names.iter().map(|name| (*name).to_owned()).collect();
    let made = CertificateParams::new(names).unwrap().self_signed(&pair).unwrap();
    std::fs::write(key, pair.serialize_pem()).unwrap();
    std::fs::write(cert, made.pem()).unwrap();
    made.der().to_vec()
}

#[test]
fn certificates_are_kept_until_they_near_their_end() {
    let folder = tempfile::tempdir().unwrap();
    open(folder.path(), &names(), now());
    let (ca, leaf) = (read(folder.path(), "ca.pem"), read(folder.path(), "server.pem"));
    open(folder.path(), &names(), now() + Span::DAY);
    assert_eq!((read(folder.path(), "ca.pem"), read(folder.path(), "server.pem")), (ca.clone(), leaf.clone()));
    // A month before expiry the leaf is renewed; the authority stays, so clients notice nothing.
    let late = open(folder.path(), &names(), now() + LEAF_LIFETIME - RENEW_BEFORE + Span::DAY);
    assert_eq!(read(folder.path(), "ca.pem"), ca);
    assert_ne!(read(folder.path(), "server.pem"), leaf);
    late.config().unwrap();
}

#[test]
fn a_new_name_or_authority_means_a_new_certificate() {
    let folder = tempfile::tempdir().unwrap();
    open(folder.path(), &names(), now());
    let first = read(folder.path(), "server.pem");
    let more = [names(), vec!["soc.example".to_owned()]].concat();
    open(folder.path(), &more, now());
    let second = read(folder.path(), "server.pem");
    assert_ne!(second, first);
    std::fs::remove_file(folder.path().join("ca.key")).unwrap();
    open(folder.path(), &more, now());
    assert_ne!(read(folder.path(), "server.pem"), second);
}

#[test]
fn rubbish_is_named_not_overwritten() {
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("ca.pem"), "rubbish").unwrap();
    std::fs::write(folder.path().join("ca.key"), "rubbish").unwrap();
    let error = ServerCertificate::open(folder.path(), &names(), None, Timestamp::UNIX_EPOCH).unwrap_err();
    assert!(error.to_string().contains("ca.pem"), "{error}");
}

#[test]
fn an_operators_certificate_serves_its_names_and_ours_the_local_ones() {
    let folder = tempfile::tempdir().unwrap();
    let own = folder.path().join("tls");
    let (cert, key) = (folder.path().join("cert.pem"), folder.path().join("key.pem"));
    let theirs = foreign(&cert, &key, &["soc.example.org", "*.lab.example.org"]);
    let files = TlsFiles { cert: cert.clone(), key: key.clone(), ca: None };
    let all = [vec!["soc.example.org".to_owned()], names()].concat();
    let certificate = ServerCertificate::open(&own, &all, Some(&files), now()).unwrap();
    for name in [Some("soc.example.org"), Some("SOC.example.org"), Some("a.lab.example.org"), Some("unknown.example")] {
        assert_eq!(shown(&certificate, name), theirs, "{name:?}");
    }
    // The foreign certificate covers no address, so a client that connects to one gets ours.
    for name in [Some("localhost"), None] {
        assert_ne!(shown(&certificate, name), theirs, "{name:?}");
    }
    assert!(!certificate.current.read().unwrap().operator.as_ref().unwrap().covers("b.a.lab.example.org"));
    assert_eq!(certificate.ca_path(), cert, "the chain ends in what signed itself");
    // Renewed by the operator's tools: picked up without a restart. A half-written pair keeps the old one.
    std::fs::write(&key, KeyPair::generate().unwrap().serialize_pem()).unwrap();
    assert!(matches!(certificate.reload(now()), Err(TlsError::OtherKey { .. })));
    certificate.keep_fresh(now());
    assert_eq!(shown(&certificate, Some("soc.example.org")), theirs);
    let renewed = foreign(&cert, &key, &["soc.example.org"]);
    certificate.keep_fresh(now());
    assert_eq!(shown(&certificate, Some("soc.example.org")), renewed);
    assert!(!certificate.reload(now()).unwrap());
}

#[test]
fn files_that_are_not_ours_are_never_written() {
    let folder = tempfile::tempdir().unwrap();
    let path = |name: &str| folder.path().join(name);
    let theirs = foreign(&path("server.pem"), &path("server.key"), &["soc.example.org"]);
    foreign(&path("ca.pem"), &path("unused.key"), &["an authority"]);
    let before = ["server.pem", "server.key", "ca.pem"].map(|name| read(folder.path(), name));
    // Neither a missing name nor expiry makes us overwrite it.
    for at in [now(), now() + Span(20_000 * Span::DAY.ticks())] {
        let certificate = open(folder.path(), &[vec!["other.example".to_owned()], names()].concat(), at);
        assert_eq!(shown(&certificate, Some("soc.example.org")), theirs);
        assert_ne!(shown(&certificate, Some("localhost")), theirs);
        certificate.renew(at).unwrap();
        assert_eq!(certificate.ca_path(), path("ca.pem"));
    }
    assert_eq!(["server.pem", "server.key", "ca.pem"].map(|name| read(folder.path(), name)), before);
    assert!(path("local.pem").exists() && path("local-ca.pem").exists());
}
