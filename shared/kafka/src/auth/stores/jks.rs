//! JKS, Java's own store and the default of `keytool` before Java 9 (`sun.security.provider.JavaKeyStore` and
//! `KeyProtector` in OpenJDK, which are all the specification there is).
//!
//! All numbers are big-endian: magic, version, number of entries, the entries, and SHA-1 over password, a fixed text and
//! everything before. Each key is XORed with a stream of SHA-1 over password and salt.

use ring::digest::{Context, SHA1_FOR_LEGACY_USE_ONLY, SHA1_OUTPUT_LEN};
use rustls::pki_types::{CertificateDer, PrivateKeyDer, PrivatePkcs8KeyDer};

use super::der::{OCTET_STRING, SEQUENCE, element};
use super::{Content, Identity, StoreError};

/// How every store begins.
pub(super) const MAGIC: [u8; 4] = [0xfe, 0xed, 0xfe, 0xed];
/// What is hashed between the password and the store.
const WHITENER: &[u8] = b"Mighty Aphrodite";
/// The only version that names the types of certificates, in use since Java 1.2.
const VERSION: u32 = 2;
const KEY: u32 = 1;
const CERTIFICATE: u32 = 2;
/// 1.3.6.1.4.1.42.2.17.1.1, the cipher of keys, in DER.
const KEY_PROTECTOR: &[u8] = &[0x06, 0x0a, 0x2b, 0x06, 0x01, 0x04, 0x01, 0x2a, 0x02, 0x11, 0x01, 0x01];

/// Reads every key and every trusted certificate. Without a password there are no keys, and integrity is not checked.
pub(super) fn read(store: &[u8], password: Option<&str>) -> Result<Content, StoreError> {
    let password = password.map(utf16);
    let body = match &password {
        Some(password) => verified(store, password)?,
        None => store,
    };
    let mut input = Input(&body[MAGIC.len()..]);
    let version = input.number()?;
    if version != VERSION {
        return Err(StoreError::Damaged(format!("version {version} is not known")));
    }
    let mut content = Content::default();
    for _ in 0..input.number()? {
        let kind = input.number()?;
        let _alias = input.text()?;
        let _created = input.take(8)?;
        match kind {
            KEY => {
                let protected = input.block()?;
                let certificates = input.number()?;
                let chain = (0..certificates).map(|_| input.certificate()).collect::<Result<_, _>>()?;
                match &password {
                    Some(password) => {
                        let key = PrivateKeyDer::from(PrivatePkcs8KeyDer::from(unprotected(protected, password)?));
                        content.identities.push(Identity { chain, key });
                    }
                    None => content.has_locked_keys = true,
                }
            }
            CERTIFICATE => content.trusted.push(input.certificate()?),
            other => return Err(StoreError::Damaged(format!("there is no entry of kind {other}"))),
        }
    }
    Ok(content)
}

/// The store without its hash, which has to be right.
fn verified<'a>(store: &'a [u8], password: &[u8]) -> Result<&'a [u8], StoreError> {
    let end = store.len().checked_sub(SHA1_OUTPUT_LEN).filter(|end| *end >= MAGIC.len()).ok_or_else(cut)?;
    let (body, hash) = store.split_at(end);
    match is_sha1(hash, &[password, WHITENER, body]) {
        true => Ok(body),
        false => Err(StoreError::Password),
    }
}

/// The PKCS#8 key in an `EncryptedPrivateKeyInfo`: salt, ciphertext, and SHA-1 over password and plaintext.
fn unprotected(info: &[u8], password: &[u8]) -> Result<Vec<u8>, StoreError> {
    let (algorithm, rest) = element(SEQUENCE, element(SEQUENCE, info)?.0)?;
    if !algorithm.starts_with(KEY_PROTECTOR) {
        return Err(StoreError::Unusable("its key is protected by an unknown algorithm; convert it to PKCS#12".into()));
    }
    let (data, _) = element(OCTET_STRING, rest)?;
    let size = data.len().checked_sub(2 * SHA1_OUTPUT_LEN).ok_or_else(cut)?;
    let (salt, rest) = data.split_at(SHA1_OUTPUT_LEN);
    let (ciphertext, hash) = rest.split_at(size);
    let mut key = Vec::with_capacity(size);
    let mut stream = salt.to_vec();
    for block in ciphertext.chunks(SHA1_OUTPUT_LEN) {
        stream = sha1(&[password, &stream]);
        key.extend(block.iter().zip(&stream).map(|(cipher, stream)| cipher ^ stream));
    }
    // The store's password was right: this one entry has a password of its own.
    match is_sha1(hash, &[password, &key]) {
        true => Ok(key),
        false => Err(StoreError::Unusable("its key has another password than the store; give both the same".into())),
    }
}

fn sha1(parts: &[&[u8]]) -> Vec<u8> {
    let mut hash = Context::new(&SHA1_FOR_LEGACY_USE_ONLY);
    parts.iter().for_each(|part| hash.update(part));
    hash.finish().as_ref().to_vec()
}

fn is_sha1(hash: &[u8], parts: &[&[u8]]) -> bool {
    hash == sha1(parts)
}

/// Passwords are hashed as Java's `char`s.
fn utf16(password: &str) -> Vec<u8> {
    password.encode_utf16().flat_map(u16::to_be_bytes).collect()
}

fn cut() -> StoreError {
    StoreError::Damaged("it ends early".to_owned())
}

/// What is left to read.
struct Input<'a>(&'a [u8]);

impl<'a> Input<'a> {
    fn take(&mut self, size: usize) -> Result<&'a [u8], StoreError> {
        let (taken, rest) = self.0.split_at_checked(size).ok_or_else(cut)?;
        self.0 = rest;
        Ok(taken)
    }

    fn number(&mut self) -> Result<u32, StoreError> {
        let (number, rest) = self.0.split_first_chunk().ok_or_else(cut)?;
        self.0 = rest;
        Ok(u32::from_be_bytes(*number))
    }

    /// Bytes behind their number.
    fn block(&mut self) -> Result<&'a [u8], StoreError> {
        let size = self.number()?;
        self.take(usize::try_from(size).map_err(|_| cut())?)
    }

    /// A text behind the number of its bytes in 16 bits.
    fn text(&mut self) -> Result<&'a [u8], StoreError> {
        let size = self.take(2)?;
        self.take(usize::from(u16::from_be_bytes([size[0], size[1]])))
    }

    fn certificate(&mut self) -> Result<CertificateDer<'static>, StoreError> {
        let _type = self.text()?;
        Ok(CertificateDer::from(self.block()?.to_vec()))
    }
}
