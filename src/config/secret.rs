//! A value that is never shown.

use std::{fmt, io::Read, path::Path};

use secrecy::{ExposeSecret, SecretString};
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use thiserror::Error;

use crate::guarded_file;

/// The largest secret file that is read, in bytes.
const MAX_FILE: u64 = 64 * 1024;

/// A secret: redacted in every output, wiped from memory when dropped.
#[derive(Clone)]
pub struct Secret(SecretString);

/// Why a secret could not be read.
#[derive(Debug, Error)]
pub enum SecretError {
    /// The file cannot be read, or others could have written it.
    #[error("cannot read the secret file {path}: {source}")]
    Read {
        /// The file.
        path: String,
        /// The cause.
        source: std::io::Error,
    },
    /// The file is empty, too large, or no text.
    #[error("the secret file {path} {what}")]
    Content {
        /// The file.
        path: String,
        /// What is wrong.
        what: &'static str,
    },
}

impl Secret {
    /// Wraps a value.
    pub fn new(value: String) -> Secret {
        Secret(value.into())
    }

    /// Reads a secret from a file. One trailing line end is not part of it.
    pub fn read(path: &Path) -> Result<Secret, SecretError> {
        let name = || path.display().to_string();
        let read = || {
            let mut text = String::new();
            guarded_file::open_secret(path)?.take(MAX_FILE + 1).read_to_string(&mut text)?;
            Ok(text)
        };
        let mut text = read().map_err(|source| SecretError::Read { path: name(), source })?;
        if text.len() as u64 > MAX_FILE {
            return Err(SecretError::Content { path: name(), what: "is too large for a secret" });
        }
        let kept = text
            .strip_suffix('\n')
            .map_or(text.len(), |line| line.strip_suffix('\r').unwrap_or(line).len());
        text.truncate(kept);
        if text.is_empty() {
            return Err(SecretError::Content { path: name(), what: "is empty" });
        }
        Ok(Secret::new(text))
    }

    /// The value, for the one place that sends it.
    pub fn expose(&self) -> &str {
        self.0.expose_secret()
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("[redacted]")
    }
}

impl Serialize for Secret {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str("[redacted]")
    }
}

impl<'de> Deserialize<'de> for Secret {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer).map(Secret::new)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn is_never_shown() {
        let secret = Secret::new("hunter2".into());
        assert_eq!(format!("{secret:?}"), "[redacted]");
        assert!(!serde_json::to_string(&secret).expect("json").contains("hunter2"));
    }

    #[test]
    fn a_file_loses_one_line_end_only() {
        let dir = tempfile::tempdir().expect("tempdir");
        let path = dir.path().join("s");
        for (content, value) in [("a b \n", "a b "), ("x\r\n", "x"), ("y\n\n", "y\n"), ("z", "z")] {
            std::fs::write(&path, content).expect("write");
            assert_eq!(Secret::read(&path).expect("read").expose(), value);
        }
        std::fs::write(&path, "\n").expect("write");
        assert!(Secret::read(&path).expect_err("empty").to_string().contains("is empty"));
        assert!(Secret::read(&dir.path().join("none")).is_err());
    }
}
