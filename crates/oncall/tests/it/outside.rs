//! Mail in both directions for external peers: `tests/oncall/mail.py` runs these with third-party servers and clients. On their own they do
//! nothing.

use std::sync::Arc;

use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};

use crate::fakes::{Kept, message};

/// `BARTIZAN_MAIL_OUT`: the channel's settings as JSON. `BARTIZAN_MAIL_TO`: the recipient. Prints the outcome.
#[tokio::test]
async fn mail_goes_out() {
    let (Ok(settings), Ok(to)) = (std::env::var("BARTIZAN_MAIL_OUT"), std::env::var("BARTIZAN_MAIL_TO")) else {
        println!("run by tests/oncall/mail.py");
        return;
    };
    let channel = crate::email::channel(serde_json::from_str(&settings).unwrap());
    match channel.send(&message(&to)).await {
        Ok(receipt) => println!("\noutcome taken {}", receipt.provider_id.unwrap_or_default()),
        Err(error) => println!("\noutcome {error:?}"),
    }
}

/// `BARTIZAN_MAIL_IN`: a PEM file with certificate and key. Accepts mail until standard input ends; prints the address, and then each
/// answer.
#[tokio::test]
async fn mail_comes_in() {
    let Ok(pem) = std::env::var("BARTIZAN_MAIL_IN") else {
        println!("run by tests/oncall/mail.py");
        return;
    };
    let certificates = CertificateDer::pem_file_iter(&pem).unwrap().map(Result::unwrap).collect();
    let tls = rustls::ServerConfig::builder_with_provider(Arc::new(rustls::crypto::aws_lc_rs::default_provider()))
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(certificates, PrivateKeyDer::from_pem_file(&pem).unwrap())
        .unwrap();
    let kept = Arc::new(Kept::default());
    let (address, stop, done) = crate::mail_in::start_with(kept.clone(), Some(Arc::new(tls))).await;
    println!("\nlistening {}", address.port());
    tokio::task::spawn_blocking(|| std::io::copy(&mut std::io::stdin(), &mut std::io::sink())).await.unwrap().unwrap();
    stop.cancel();
    done.await.unwrap();
    for answer in kept.answers.lock().unwrap().iter() {
        println!("answer {}", serde_json::to_string(&(&answer.subject, &answer.action, &answer.user, &answer.from)).unwrap());
    }
}
