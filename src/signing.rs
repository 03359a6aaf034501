//! Signatures: who can write to the queue cannot speak for the watcher.
//!
//! The watcher signs the exact bytes of each body with ed25519 (RFC 8032); signature and key id
//! travel as headers beside it. Consumers know the public keys, several at once while the watcher
//! moves from one key to the next. The watcher knows them too, so that it recognizes its own
//! events when they come back to it.

use std::{collections::BTreeMap, fmt, path::Path, sync::Arc};

use base64::{Engine, prelude::BASE64_STANDARD};
use ed25519_dalek::{
    Signature, Signer as _, SigningKey, VerifyingKey,
    pkcs8::{
        DecodePrivateKey, DecodePublicKey, EncodePrivateKey, EncodePublicKey, KeypairBytes,
        spki::der::pem::LineEnding,
    },
};
use thiserror::Error;

pub use crate::key_file::KeyError;
use crate::{
    config::{Role, model::Security},
    key_file,
    queue::Message,
};

/// The header with the signature over the body, in base64.
pub const SIGNATURE: &str = "relay-signature";

/// The header with the id of the key that signed.
pub const KEY_ID: &str = "relay-key-id";

/// Why a message is not taken for the watcher's.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum SignatureError {
    /// Neither header is there.
    #[error("the message is not signed")]
    Unsigned,
    /// A header is missing beside the other one, or has no valid form.
    #[error("the header {0} is missing or not valid")]
    Header(&'static str),
    /// Signed by a key that is not trusted here.
    #[error("the message is signed by the key {0}, which is not trusted here")]
    UnknownKey(String),
    /// The signature does not belong to these bytes.
    #[error("the message is not what the key {0} signed")]
    Altered(String),
}

/// The keys of a process, as the configuration names them.
#[derive(Debug, Clone, Default)]
pub struct Keys {
    /// Signs, where this process watches and has a key.
    pub signer: Option<Arc<Signer>>,
    /// Trusts `security.verify_key_files` and the signer.
    pub verifier: Arc<Verifier>,
}

impl Keys {
    /// Reads the key files that `role` needs: only a watcher touches the private key.
    pub fn load(config: &Security, role: Role) -> Result<Keys, KeyError> {
        let signing_key = config.signing_key_file.as_ref().filter(|_| role.watches());
        let signer = signing_key.map(|path| Signer::load(path)).transpose()?;
        let mut verifier = Verifier::load(&config.verify_key_files)?;
        if let Some(signer) = &signer {
            tracing::info!(key = signer.key_id(), "signing events");
            verifier.trust(signer.key.verifying_key());
        }
        verifier.allow_unsigned = config.allow_unsigned;
        Ok(Keys { signer: signer.map(Arc::new), verifier: Arc::new(verifier) })
    }

    /// The keys of who signs so and trusts nobody else.
    #[cfg(test)]
    pub(crate) fn of(signer: Signer) -> Keys {
        let mut verifier = Verifier::default();
        verifier.trust(signer.key.verifying_key());
        Keys { signer: Some(Arc::new(signer)), verifier: Arc::new(verifier) }
    }

    /// Signs a message if there is a key to do so.
    pub fn sign(&self, message: &mut Message) {
        if let Some(signer) = &self.signer {
            signer.sign(message);
        }
    }
}

/// Signs messages. The key is wiped from memory when it is dropped.
pub struct Signer {
    key: SigningKey,
    id: String,
}

impl Signer {
    /// Makes a new key.
    pub fn generate() -> Signer {
        Signer::new(SigningKey::generate(&mut rand::rng()))
    }

    /// Reads a private key: PKCS#8 in PEM (RFC 8410 section 7).
    pub fn load(path: &Path) -> Result<Signer, KeyError> {
        let pem = key_file::read_private(path)?;
        let key = SigningKey::from_pkcs8_pem(&pem)
            .map_err(|_| KeyError::content(path, "an ed25519 private key (PKCS#8 in PEM)"))?;
        Ok(Signer::new(key))
    }

    fn new(key: SigningKey) -> Signer {
        let id = key_id(&key.verifying_key());
        Signer { key, id }
    }

    /// Writes the pair to two new files: the private key for its owner alone, the public key for
    /// everybody. If either file exists, nothing is written.
    pub fn save(&self, private: &Path, public: &Path) -> Result<(), KeyError> {
        // Without the public key in it, every OpenSSL reads the file.
        let secret = KeypairBytes { secret_key: self.key.to_bytes(), public_key: None };
        let secret = secret.to_pkcs8_pem(LineEnding::LF).expect("any 32 bytes are a private key");
        let verifying_key = self.key.verifying_key().to_public_key_pem(LineEnding::LF);
        let open = verifying_key.expect("a public key is a point with an encoding");
        key_file::write_pair((private, &secret), (public, &open))
    }

    /// Which key this is.
    pub fn key_id(&self) -> &str {
        &self.id
    }

    /// Sets the headers that prove whose message it is. The body must not change afterwards.
    pub fn sign(&self, message: &mut Message) {
        let signature = BASE64_STANDARD.encode(self.key.sign(&message.body).to_bytes());
        message.headers.insert(SIGNATURE.to_owned(), signature);
        message.headers.insert(KEY_ID.to_owned(), self.id.clone());
    }
}

impl fmt::Debug for Signer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Signer").field("id", &self.id).finish_non_exhaustive()
    }
}

/// Recognizes messages of trusted signers.
#[derive(Debug, Clone, Default)]
pub struct Verifier {
    keys: BTreeMap<String, VerifyingKey>,
    /// Lets messages pass that claim no signature. A wrong one is refused all the same.
    allow_unsigned: bool,
}

impl Verifier {
    /// Reads public keys: SubjectPublicKeyInfo in PEM (RFC 8410 section 4).
    pub fn load(paths: &[impl AsRef<Path>]) -> Result<Verifier, KeyError> {
        let mut verifier = Verifier::default();
        for path in paths {
            let path = path.as_ref();
            let pem = key_file::read_public(path)?;
            let key = VerifyingKey::from_public_key_pem(&pem)
                .map_err(|_| KeyError::content(path, "an ed25519 public key (SPKI in PEM)"))?;
            verifier.trust(key);
        }
        Ok(verifier)
    }

    fn trust(&mut self, key: VerifyingKey) {
        self.keys.insert(key_id(&key), key);
    }

    /// Whether the key of this id is one of those.
    pub fn trusts(&self, key_id: &str) -> bool {
        self.keys.contains_key(key_id)
    }

    /// Whether the message is one of a trusted signer, or no signature is asked for: with no key
    /// at all nothing can be verified, so every message passes.
    pub fn verify(&self, message: &Message) -> Result<(), SignatureError> {
        if self.keys.is_empty() {
            return Ok(());
        }
        let (signature, id) = match (message.headers.get(SIGNATURE), message.headers.get(KEY_ID)) {
            (Some(signature), Some(id)) => (signature, id),
            (None, None) if self.allow_unsigned => return Ok(()),
            (None, None) => return Err(SignatureError::Unsigned),
            (None, Some(_)) => return Err(SignatureError::Header(SIGNATURE)),
            (Some(_), None) => return Err(SignatureError::Header(KEY_ID)),
        };
        // It will be shown, so it must be what it claims to be.
        if !key_file::is_key_id(id) {
            return Err(SignatureError::Header(KEY_ID));
        }
        let signature = BASE64_STANDARD.decode(signature).ok();
        let signature = signature.and_then(|bytes| Signature::from_slice(&bytes).ok());
        let signature = signature.ok_or(SignatureError::Header(SIGNATURE))?;
        let key = self.keys.get(id).ok_or_else(|| SignatureError::UnknownKey(id.clone()))?;
        // Strict: no second signature can be made out of a first one (RFC 8032 section 8.4).
        key.verify_strict(&message.body, &signature)
            .map_err(|_| SignatureError::Altered(id.clone()))
    }
}

fn key_id(key: &VerifyingKey) -> String {
    key_file::key_id(key.as_bytes())
}

#[cfg(test)]
mod tests;
