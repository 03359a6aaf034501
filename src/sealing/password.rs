//! A password in the clear, for as long as it has to be.

use std::fmt;

use secrecy::{ExposeSecret, SecretString, zeroize::Zeroizing};
use thiserror::Error;

/// The longest password, in bytes: 256 characters (the limit of AD and of Entra), each of up to
/// four bytes in UTF-8.
pub const MAX_PASSWORD: usize = 1024;

/// Why bytes are no password.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
pub enum PasswordError {
    /// Nothing is there.
    #[error("the password is empty")]
    Empty,
    /// More than [`MAX_PASSWORD`] bytes.
    #[error("the password has more than {MAX_PASSWORD} bytes")]
    TooLong,
    /// Not UTF-8.
    #[error("the password is not UTF-8 text")]
    NoText,
}

/// A password: redacted in every output, wiped from memory when dropped.
pub struct Password(SecretString);

impl Password {
    /// Takes a password over. The bytes given are wiped.
    pub fn from_bytes(bytes: Zeroizing<Vec<u8>>) -> Result<Password, PasswordError> {
        if bytes.is_empty() {
            return Err(PasswordError::Empty);
        }
        if bytes.len() > MAX_PASSWORD {
            return Err(PasswordError::TooLong);
        }
        let text = std::str::from_utf8(&bytes).map_err(|_| PasswordError::NoText)?;
        Ok(Password(text.into()))
    }

    /// The value, for the one place that passes it on.
    pub fn expose(&self) -> &str {
        self.0.expose_secret()
    }
}

impl fmt::Debug for Password {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("[redacted]")
    }
}
