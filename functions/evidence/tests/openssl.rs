//! Evidence has to hold for tools that know nothing of msk-kraft: OpenSSL verifies the raw parts, and a key that OpenSSL
//! made signs them.

#![allow(
    clippy::unwrap_used,
    clippy::print_stdout,
    reason = "clippy's exception for tests does not cover helpers in tests/"
)]

use std::path::Path;
use std::process::{Command, Output};

use evidence::{Envelope, Key, KeyKind, verify, verify_with};

/// A migration that ended with a difference that somebody accepted.
const BUNDLE: &str = "{\"acceptances\":[{\"check\":\"counts_and_offsets\",\"subject\":\"orders/3\",\"reason\":\"two heartbeats \u{e4}\",\
    \"by\":\"ada@ops\"}],\"migration_id\":\"m-1\",\"validation\":{\"counts_and_offsets\":{\"outcome\":\"ACCEPTED\"},\
    \"overall\":\"PASSED_WITH_EXCEPTIONS\"}}";

/// Whether an OpenSSL is there that can sign with Ed25519 from files (3.0 and later).
fn openssl_is_there() -> bool {
    let version = Command::new("openssl").arg("version").output();
    let text = version.map(|output| String::from_utf8_lossy(&output.stdout).into_owned()).unwrap_or_default();
    let usable = text.strip_prefix("OpenSSL ").is_some_and(|rest| !rest.starts_with("0.") && !rest.starts_with("1."));
    if !usable {
        println!("skipped: there is no OpenSSL 3 here (found {text:?})");
    }
    usable
}

fn openssl(folder: &Path, arguments: &[&str]) -> Output {
    Command::new("openssl").current_dir(folder).args(arguments).output().unwrap()
}

fn store(folder: &Path, envelope: &Envelope) {
    std::fs::write(folder.join("bundle.json"), &envelope.bundle_json).unwrap();
    std::fs::write(folder.join("bundle.sig"), envelope.signature().unwrap()).unwrap();
    std::fs::write(folder.join("public_key.pem"), &envelope.public_key_pem).unwrap();
}

const VERIFY: [&str; 10] = [
    "pkeyutl",
    "-verify",
    "-pubin",
    "-inkey",
    "public_key.pem",
    "-rawin",
    "-in",
    "bundle.json",
    "-sigfile",
    "bundle.sig",
];

#[test]
fn openssl_verifies_the_raw_parts_and_refuses_altered_ones() {
    if !openssl_is_there() {
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    store(folder.path(), &Envelope::seal(BUNDLE.to_owned(), &Key::demo()).unwrap());
    let output = openssl(folder.path(), &VERIFY);
    assert!(output.status.success(), "{output:?}");
    // Neither what it came to can be changed, nor who accepted what.
    for (from, to) in [("PASSED_WITH_EXCEPTIONS", "PASSED"), ("ada@ops", "bob@ops"), ("orders/3", "orders/4")] {
        let altered = BUNDLE.replace(from, to);
        assert_ne!(altered, BUNDLE);
        std::fs::write(folder.path().join("bundle.json"), altered).unwrap();
        assert!(!openssl(folder.path(), &VERIFY).status.success(), "{from}");
    }
}

#[test]
fn a_key_made_by_openssl_signs() {
    if !openssl_is_there() {
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let made = openssl(folder.path(), &["genpkey", "-algorithm", "ed25519", "-out", "key.pem"]);
    assert!(made.status.success(), "{made:?}");
    let key = Key::load(folder.path().join("key.pem").to_str()).unwrap();
    assert_eq!(key.kind(), KeyKind::Configured);
    let public = openssl(folder.path(), &["pkey", "-in", "key.pem", "-pubout"]);
    let public = String::from_utf8(public.stdout).unwrap();
    let envelope = Envelope::seal(BUNDLE.to_owned(), &key).unwrap();
    let evidence = envelope.to_json().unwrap();
    assert_eq!(verify(&evidence).unwrap().signing_key, KeyKind::Configured);
    assert!(verify_with(&evidence, &public).is_ok());
    store(folder.path(), &envelope);
    assert!(openssl(folder.path(), &VERIFY).status.success());
}
