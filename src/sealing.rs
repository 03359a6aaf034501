//! Sealed passwords: from the moment one is handed over, only the consumers can read it.
//!
//! The watcher has the public half of their key and seals with HPKE (RFC 9180) in base mode:
//! DHKEM(X25519, HKDF-SHA256), HKDF-SHA256, ChaCha20-Poly1305. The directory, the account and the
//! id that the watcher drew are bound in, so a sealed password opens for that user alone. The
//! consumers may have several keys at once, while the watcher moves from one to the next.

mod password;
mod pem;

use std::{collections::BTreeMap, fmt, path::Path};

use base64::{Engine, prelude::BASE64_STANDARD};
use hpke::{
    Deserializable, Kem, OpModeR, OpModeS, Serializable, aead::ChaCha20Poly1305, kdf::HkdfSha256,
    kem::X25519HkdfSha256, single_shot_open, single_shot_seal,
};
use secrecy::zeroize::Zeroizing;
use thiserror::Error;
use uuid::Uuid;

pub use self::password::{MAX_PASSWORD, Password, PasswordError};
use crate::key_file::{self, KeyError};

type Suite = X25519HkdfSha256;
type PublicKey = <Suite as Kem>::PublicKey;
type PrivateKey = <Suite as Kem>::PrivateKey;

/// What HPKE calls `info`: nothing sealed for another purpose opens as a password.
const PURPOSE: &[u8] = b"entra-relay password v1";

/// Bytes of the encapsulated key that stands before the ciphertext (RFC 9180 section 7.1).
const ENCAPSULATED: usize = 32;

/// To whom a sealed password belongs. It opens for nobody else.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Binding<'a> {
    /// The directory, as events name it.
    pub source: &'a str,
    /// The account, as it was named when the password was handed over.
    pub account: &'a str,
    /// What the watcher drew for this password.
    pub candidate: Uuid,
}

impl Binding<'_> {
    /// The additional authenticated data. Lengths stand before the names, so that no two bindings
    /// have the same bytes.
    fn bytes(&self) -> Vec<u8> {
        let mut bytes = Vec::new();
        for name in [self.source, self.account] {
            bytes.extend((name.len() as u64).to_be_bytes());
            bytes.extend(name.as_bytes());
        }
        bytes.extend(self.candidate.as_bytes());
        bytes
    }
}

/// Why a sealed password does not open.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum OpenError {
    /// It is sealed to a key that is not here.
    #[error("the password is sealed to the key {0}, which is not among security.opening_key_files")]
    UnknownKey(String),
    /// It was altered, or sealed for another user or directory.
    #[error("the sealed password does not open for this user: it was altered, or is another's")]
    Refused,
}

/// Seals passwords to the consumers' key.
#[derive(Clone)]
pub struct Sealer {
    key: PublicKey,
    id: String,
}

impl Sealer {
    /// Reads the public key: SubjectPublicKeyInfo in PEM (RFC 8410 section 4).
    pub fn load(path: &Path) -> Result<Sealer, KeyError> {
        let text = key_file::read_public(path)?;
        let key = pem::read_public(&text).and_then(|bytes| PublicKey::from_bytes(&*bytes).ok());
        let expected = "an X25519 public key (SPKI in PEM)";
        Ok(Sealer::new(key.ok_or_else(|| KeyError::content(path, expected))?))
    }

    fn new(key: PublicKey) -> Sealer {
        let id = key_file::key_id(&key.to_bytes().into());
        Sealer { key, id }
    }

    /// Which key this is.
    pub fn key_id(&self) -> &str {
        &self.id
    }

    /// Seals a password: the encapsulated key and the ciphertext, in base64.
    pub fn seal(&self, password: &Password, binding: Binding<'_>) -> String {
        let plain = password.expose().as_bytes();
        let (encapsulated, ciphertext) = single_shot_seal::<ChaCha20Poly1305, HkdfSha256, Suite>(
            &OpModeS::Base,
            &self.key,
            PURPOSE,
            plain,
            &binding.bytes(),
        )
        .expect("a valid public key and a short text can be sealed");
        BASE64_STANDARD.encode([&*encapsulated.to_bytes(), &ciphertext].concat())
    }
}

impl fmt::Debug for Sealer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Sealer").field("id", &self.id).finish_non_exhaustive()
    }
}

/// Opens passwords. The keys are wiped from memory when this is dropped.
#[derive(Default)]
pub struct Opener {
    keys: BTreeMap<String, PrivateKey>,
}

impl Opener {
    /// Reads private keys: PKCS#8 in PEM (RFC 8410 section 7).
    pub fn load(paths: &[impl AsRef<Path>]) -> Result<Opener, KeyError> {
        let mut opener = Opener::default();
        for path in paths {
            let path = path.as_ref();
            let text = key_file::read_private(path)?;
            let key =
                pem::read_private(&text).and_then(|bytes| PrivateKey::from_bytes(&*bytes).ok());
            let expected = "an X25519 private key (PKCS#8 in PEM)";
            opener.trust(key.ok_or_else(|| KeyError::content(path, expected))?);
        }
        Ok(opener)
    }

    fn trust(&mut self, key: PrivateKey) {
        let public = Suite::sk_to_pk(&key);
        self.keys.insert(key_file::key_id(&public.to_bytes().into()), key);
    }

    /// Opens what [`Sealer::seal`] made, for whom it was sealed.
    pub fn open(
        &self,
        key_id: &str,
        sealed: &str,
        binding: Binding<'_>,
    ) -> Result<Password, OpenError> {
        if !key_file::is_key_id(key_id) {
            return Err(OpenError::Refused);
        }
        let key = self.keys.get(key_id).ok_or_else(|| OpenError::UnknownKey(key_id.into()))?;
        self.try_open(key, sealed, binding).ok_or(OpenError::Refused)
    }

    fn try_open(&self, key: &PrivateKey, sealed: &str, binding: Binding<'_>) -> Option<Password> {
        let bytes = BASE64_STANDARD.decode(sealed).ok()?;
        let (encapsulated, ciphertext) = bytes.split_at_checked(ENCAPSULATED)?;
        let encapsulated = <Suite as Kem>::EncappedKey::from_bytes(encapsulated).ok()?;
        let plain = single_shot_open::<ChaCha20Poly1305, HkdfSha256, Suite>(
            &OpModeR::Base,
            key,
            &encapsulated,
            PURPOSE,
            ciphertext,
            &binding.bytes(),
        );
        Password::from_bytes(Zeroizing::new(plain.ok()?)).ok()
    }
}

impl fmt::Debug for Opener {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_set().entries(self.keys.keys()).finish()
    }
}

/// Makes a pair in two new files: the private key for its owner alone, the public key for
/// everybody. If either file exists, nothing is written. Returns the key's id.
pub fn make_pair(private: &Path, public: &Path) -> Result<String, KeyError> {
    let (key, open) = Suite::gen_keypair();
    let secret = pem::write_private(&Zeroizing::new(key.to_bytes().into()));
    let sealer = Sealer::new(open);
    let open = pem::write_public(&sealer.key.to_bytes().into());
    key_file::write_pair((private, &secret), (public, &open))?;
    Ok(sealer.id)
}

#[cfg(test)]
mod tests;
