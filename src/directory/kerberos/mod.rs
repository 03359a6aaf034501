//! Login by Kerberos (RFC 4120): the key in a keytab wins a ticket for the server, which SASL
//! GSSAPI (RFC 4752) shows it.
//!
//! | file | what it does |
//! | --- | --- |
//! | `keytab` | the account's keys, from the file |
//! | `crypto` | encryption and checksums (RFC 3962) |
//! | `der` | the fields of a message |
//! | `message` | requests, replies, refusals (RFC 4120 section 5) |
//! | `kdc` | the way to who issues tickets |
//! | `ticket` | a ticket for the account, and with it one for the server |
//! | `context` | the tokens of GSSAPI (RFC 4121) |
//! | `binding` | which TLS connection the login belongs to (RFC 5929) |
//! | `bind` | the bind itself |
//! | `refusal` | every refusal in words, with its remedy |
//!
//! The LDAP library's own GSSAPI is no help: its connection here is a socket pair, so it does not
//! know of TLS. The bind is done before the library gets the connection, always inside TLS, bound to
//! the server's certificate and without a security layer, which servers refuse there.

mod bind;
mod binding;
mod context;
mod crypto;
mod der;
mod kdc;
mod keytab;
mod message;
mod refusal;
#[cfg(test)]
pub mod tests;
mod ticket;

use std::{path::PathBuf, time::Duration};

use super::error::DirectoryError;
use crate::config::model::Bind;

/// How long the KDC, and the server, may take for one answer.
const ANSWER: Duration = Duration::from_secs(10);

/// An account whose key is in a keytab. The file is read anew at every login, and every login gets
/// tickets of its own.
#[derive(Debug, Clone)]
pub struct Kerberos {
    user: String,
    keytab_file: PathBuf,
    kdc: Option<String>,
}

impl Kerberos {
    /// As the configuration says.
    pub fn from_config(bind: &Bind) -> Kerberos {
        Kerberos {
            user: bind.user.clone(),
            keytab_file: bind.keytab_file.clone().unwrap_or_default(),
            kdc: bind.kdc.clone(),
        }
    }
}

/// Who is to be logged in where, for what is told of a failure.
#[derive(Clone, Copy)]
struct Parties<'a> {
    user: &'a str,
    url: &'a str,
    host: &'a str,
}

impl Parties<'_> {
    /// An answer that is none.
    fn nonsense(&self, what: &str) -> DirectoryError {
        DirectoryError::unreachable(self.url, format!("the login by Kerberos failed: {what}"))
    }
}
