//! Key files, with the care that a private one needs, and the ids by which keys are known.

use std::{
    fs::{self, File},
    io::{self, ErrorKind, Read, Write},
    os::unix::fs::OpenOptionsExt,
    path::Path,
};

use secrecy::zeroize::Zeroizing;
use sha2::{Digest, Sha256};
use thiserror::Error;

use crate::guarded_file;

/// Hexadecimal digits of a key id.
const KEY_ID_DIGITS: usize = 16;

/// Far more than a key in PEM has, in bytes.
const MAX_FILE: u64 = 16 * 1024;

/// Why a key file cannot be used.
#[derive(Debug, Error)]
pub enum KeyError {
    /// It cannot be read, or others could put their own key into it.
    #[error("cannot read the key file {path}: {source}")]
    Read {
        /// The file.
        path: String,
        /// The cause.
        source: io::Error,
    },
    /// It cannot be written.
    #[error("cannot write the key file {path}: {source}")]
    Write {
        /// The file.
        path: String,
        /// The cause.
        source: io::Error,
    },
    /// It is there already, and a key in use must not be lost.
    #[error("the key file {0} exists and is left as it is; name another folder")]
    Exists(String),
    /// It holds something else.
    #[error("the key file {path} does not hold {expected}; entra-relay keygen makes both halves")]
    Content {
        /// The file.
        path: String,
        /// What should be in it.
        expected: &'static str,
    },
}

impl KeyError {
    pub(crate) fn content(path: &Path, expected: &'static str) -> KeyError {
        KeyError::Content { path: path.display().to_string(), expected }
    }
}

/// The id of a key: the first digits of the SHA-256 over the bytes of its public half.
pub(crate) fn key_id(public: &[u8; 32]) -> String {
    let hash = Sha256::digest(public);
    hash.iter().take(KEY_ID_DIGITS / 2).map(|byte| format!("{byte:02x}")).collect()
}

/// Whether this has the form of a key id: what others claim is shown only if it has.
pub(crate) fn is_key_id(text: &str) -> bool {
    text.len() == KEY_ID_DIGITS && text.bytes().all(|digit| digit.is_ascii_hexdigit())
}

/// Reads a private key.
pub(crate) fn read_private(path: &Path) -> Result<Zeroizing<String>, KeyError> {
    read(path, guarded_file::open_secret)
}

/// Reads a public key. Who can change it decides whose events are believed, and who can open
/// passwords.
pub(crate) fn read_public(path: &Path) -> Result<Zeroizing<String>, KeyError> {
    read(path, guarded_file::open)
}

fn read(
    path: &Path,
    open: impl FnOnce(&Path) -> io::Result<File>,
) -> Result<Zeroizing<String>, KeyError> {
    let read = || {
        // With its room from the start, the text is in one place only and can be wiped.
        let mut text = Zeroizing::new(String::with_capacity(MAX_FILE as usize));
        open(path)?.take(MAX_FILE).read_to_string(&mut text)?;
        Ok(text)
    };
    read().map_err(|source| KeyError::Read { path: path.display().to_string(), source })
}

/// Writes both halves of a pair into new files, or neither.
pub(crate) fn write_pair(
    (private, secret): (&Path, &str),
    (public, open): (&Path, &str),
) -> Result<(), KeyError> {
    write_new(private, 0o600, secret)?;
    write_new(public, 0o644, open).inspect_err(|_| drop(fs::remove_file(private)))
}

fn write_new(path: &Path, mode: u32, text: &str) -> Result<(), KeyError> {
    let name = || path.display().to_string();
    let mut file =
        File::options().write(true).create_new(true).mode(mode).open(path).map_err(|source| {
            match source.kind() {
                ErrorKind::AlreadyExists => KeyError::Exists(name()),
                _ => KeyError::Write { path: name(), source },
            }
        })?;
    let written = file.write_all(text.as_bytes()).and_then(|()| file.sync_all());
    written.map_err(|source| {
        // Half a key is none; it would only stand in the way of the next attempt.
        drop(fs::remove_file(path));
        KeyError::Write { path: name(), source }
    })
}
