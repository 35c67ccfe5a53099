//! The certificates of a stack: an authority of its own, the brokers', and clients'.

use std::path::{Path, PathBuf};

use anyhow::Context;
use p12_keystore::{Certificate as StoredCertificate, KeyStore, KeyStoreEntry, PrivateKey, PrivateKeyChain};
use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, DnType, IsCa, KeyPair};

/// Password of every PKCS#12 store.
pub const STORE_PASSWORD: &str = "stack-store";
/// Common name of the client's certificate; brokers know it as `User:CN=migrator`.
pub(crate) const CLIENT: &str = "migrator";
/// Common name of another client's certificate, which brokers know as `User:CN=application`: rules count for it.
const APPLICATION: &str = "application";

/// The files of a stack's certificates.
#[derive(Debug, Clone)]
pub struct Certificates {
    dir: PathBuf,
}

impl Certificates {
    /// Makes everything anew in `dir`.
    ///
    /// # Errors
    /// When a file cannot be written.
    pub(crate) fn make(dir: &Path) -> anyhow::Result<Self> {
        std::fs::create_dir_all(dir)?;
        let certificates = Self { dir: dir.to_owned() };
        let authority = authority("stack authority")?;
        std::fs::write(certificates.authority(), authority.pem())?;
        std::fs::write(certificates.broker_p12(), Signed::by(&authority, "broker")?.pkcs12()?)?;
        let client = Signed::by(&authority, CLIENT)?;
        std::fs::write(certificates.client(), client.pem())?;
        std::fs::write(certificates.client_p12(), client.pkcs12()?)?;
        std::fs::write(certificates.application(), Signed::by(&authority, APPLICATION)?.pem())?;
        std::fs::write(certificates.authority_p12(), trusting(&authority)?)?;
        let stranger = self::authority("another authority")?;
        std::fs::write(certificates.stranger(), Signed::by(&stranger, CLIENT)?.pem())?;
        Ok(certificates)
    }

    /// The authority that brokers and clients trust, in PEM.
    pub fn authority(&self) -> PathBuf {
        self.dir.join("authority.pem")
    }

    /// The same as a PKCS#12 trust store.
    pub fn authority_p12(&self) -> PathBuf {
        self.dir.join("authority.p12")
    }

    /// Key and chain of every broker, as a PKCS#12 key store. Kafka up to 2.8 takes no unencrypted key in PEM.
    pub(crate) fn broker_p12(&self) -> PathBuf {
        self.dir.join("broker.p12")
    }

    /// Key and chain of a client, in PEM.
    pub fn client(&self) -> PathBuf {
        self.dir.join("client.pem")
    }

    /// The same as a PKCS#12 key store.
    pub fn client_p12(&self) -> PathBuf {
        self.dir.join("client.p12")
    }

    /// Key and chain of a client that is no super user of the clusters, in PEM.
    pub fn application(&self) -> PathBuf {
        self.dir.join("application.pem")
    }

    /// Key and chain of a client whose authority nobody trusts, in PEM.
    pub fn stranger(&self) -> PathBuf {
        self.dir.join("stranger.pem")
    }
}

type Authority = CertifiedIssuer<'static, KeyPair>;

fn authority(name: &str) -> anyhow::Result<Authority> {
    let mut params = CertificateParams::new(Vec::new())?;
    params.distinguished_name.push(DnType::CommonName, name);
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    Ok(CertifiedIssuer::self_signed(params, KeyPair::generate()?)?)
}

/// A key with the chain to its authority.
struct Signed {
    key: KeyPair,
    chain: [rcgen::Certificate; 1],
    authority: String,
    authority_der: Vec<u8>,
}

impl Signed {
    /// A certificate for this machine, which serves and connects.
    fn by(authority: &Authority, name: &str) -> anyhow::Result<Self> {
        let mut params = CertificateParams::new(["localhost".to_owned(), "127.0.0.1".to_owned()])?;
        // What rcgen puts there by itself is a name of its own.
        params.distinguished_name = rcgen::DistinguishedName::new();
        params.distinguished_name.push(DnType::CommonName, name);
        let key = KeyPair::generate()?;
        let chain = [params.signed_by(&key, authority)?];
        Ok(Self { key, chain, authority: authority.pem(), authority_der: authority.der().to_vec() })
    }

    fn pem(&self) -> String {
        self.key.serialize_pem() + &self.chain[0].pem() + &self.authority
    }

    fn pkcs12(&self) -> anyhow::Result<Vec<u8>> {
        let key = PrivateKey::from_der(&self.key.serialize_der())?;
        let chain = [self.chain[0].der().to_vec(), self.authority_der.clone()];
        let chain = chain.iter().map(|der| StoredCertificate::from_der(der)).collect::<Result<Vec<_>, _>>()?;
        store("key", KeyStoreEntry::PrivateKeyChain(PrivateKeyChain::new("1", key, chain)))
    }
}

fn trusting(authority: &Authority) -> anyhow::Result<Vec<u8>> {
    store("authority", KeyStoreEntry::Certificate(StoredCertificate::from_der(authority.der())?))
}

fn store(alias: &str, entry: KeyStoreEntry) -> anyhow::Result<Vec<u8>> {
    let mut store = KeyStore::new();
    store.add_entry(alias, entry);
    store.writer(STORE_PASSWORD).write().context("writing a PKCS#12 store")
}
