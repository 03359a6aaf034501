//! What `samba-tool user syncpasswords` gives to its script: the user in LDIF (RFC 2849).

use std::num::ParseIntError;

use base64::{Engine, prelude::BASE64_STANDARD};
use secrecy::zeroize::Zeroizing;
use thiserror::Error;

use super::{Account, Submission};
use crate::sealing::{Password, PasswordError};

/// Why the LDIF cannot be used.
#[derive(Debug, Error)]
pub enum LdifError {
    /// The user is not named.
    #[error("there is no objectGUID in the LDIF")]
    Nobody,
    /// A value is in damaged base64.
    #[error("a value of {0} is no base64")]
    Base64(&'static str),
    /// The version is no number.
    #[error("msDS-KeyVersionNumber is no number: {0}")]
    Version(#[from] ParseIntError),
    /// The value is no password.
    #[error(transparent)]
    Password(#[from] PasswordError),
}

/// The password in an LDIF record; none if it holds none, as after a change of something else, or
/// where the domain controller cannot decrypt it.
pub fn read_ldif(text: &str) -> Result<Option<Submission>, LdifError> {
    // A line that begins with a space goes on from the line before.
    let mut unfolded = Zeroizing::new(String::with_capacity(text.len()));
    for line in text.lines() {
        match line.strip_prefix(' ') {
            Some(rest) => unfolded.push_str(rest),
            None => {
                unfolded.push('\n');
                unfolded.push_str(line);
            }
        }
    }
    let Some(password) = value(&unfolded, "virtualClearTextUTF8")? else { return Ok(None) };
    let guid = value(&unfolded, "objectGUID")?.ok_or(LdifError::Nobody)?;
    let guid = std::str::from_utf8(&guid).ok().and_then(Account::parse);
    let version = value(&unfolded, "msDS-KeyVersionNumber")?;
    let version =
        version.map(|bytes| String::from_utf8_lossy(&bytes).trim().parse()).transpose()?;
    Ok(Some(Submission {
        account: guid.ok_or(LdifError::Nobody)?,
        at: None,
        committed: true,
        version,
        password: Password::from_bytes(password)?,
    }))
}

/// The first value of an attribute: `name: text`, or `name:: base64`.
fn value(text: &str, name: &'static str) -> Result<Option<Zeroizing<Vec<u8>>>, LdifError> {
    let of_name = |line: &str| {
        let (found, _) = line.split_once(':')?;
        found.eq_ignore_ascii_case(name).then_some(found.len() + 1)
    };
    let Some(rest) = text.lines().find_map(|line| Some(&line[of_name(line)?..])) else {
        return Ok(None);
    };
    let bytes = match rest.strip_prefix(':') {
        Some(encoded) => {
            let decoded = BASE64_STANDARD.decode(encoded.trim());
            decoded.map_err(|_| LdifError::Base64(name))?
        }
        None => rest.strip_prefix(' ').unwrap_or(rest).as_bytes().to_vec(),
    };
    Ok(Some(Zeroizing::new(bytes)))
}
