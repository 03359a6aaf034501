//! What can go wrong with a directory server, by what to do about it.

use std::io;

use thiserror::Error;

use crate::text;

/// Why the directory could not be read.
#[derive(Debug, Error)]
pub enum DirectoryError {
    /// No server answers, or the connection broke: wait and try again.
    #[error("cannot reach {server}: {cause}")]
    Unreachable {
        /// The server's URL.
        server: String,
        /// The cause.
        cause: String,
    },
    /// The server does not let the relay's account in.
    #[error("{server} refuses the login of {user}: {cause}; {remedy}")]
    Credentials {
        /// The server's URL.
        server: String,
        /// The account.
        user: String,
        /// What the server said, in words.
        cause: String,
        /// What to do.
        remedy: &'static str,
    },
    /// Set up in a way that no retry mends.
    #[error("{what}; {remedy}")]
    Setup {
        /// What is wrong.
        what: String,
        /// What to do.
        remedy: String,
    },
    /// The server does not know this cursor: everything has to be read and compared.
    #[error("the server does not accept the cursor: {0}")]
    CursorRejected(String),
    /// The server answered with a failure, or with something that is no valid answer.
    #[error("{doing} failed: {cause}")]
    Failed {
        /// The operation.
        doing: &'static str,
        /// The cause.
        cause: String,
    },
}

impl DirectoryError {
    /// Whether a person has to mend something before it can work.
    pub fn is_setup(&self) -> bool {
        matches!(self, DirectoryError::Credentials { .. } | DirectoryError::Setup { .. })
    }

    pub(super) fn unreachable(server: &str, cause: impl ToString) -> DirectoryError {
        DirectoryError::Unreachable { server: server.to_owned(), cause: cause.to_string() }
    }

    pub(super) fn failed(doing: &'static str, cause: impl ToString) -> DirectoryError {
        DirectoryError::Failed { doing, cause: cause.to_string() }
    }
}

/// Explains a TLS handshake that failed.
pub(super) fn tls_error(server: &str, error: &io::Error) -> DirectoryError {
    use rustls::CertificateError as Flaw;
    let cause = error.get_ref().and_then(|cause| cause.downcast_ref::<rustls::Error>());
    let (what, remedy) = match cause {
        Some(rustls::Error::InvalidCertificate(flaw)) => match flaw {
            // A CA of the same name with another key, such as one that was made anew.
            Flaw::UnknownIssuer | Flaw::BadSignature => (
                "is signed by a CA that is not trusted",
                "name the PEM file of that CA in directory.tls.ca_file",
            ),
            Flaw::NotValidForName | Flaw::NotValidForNameContext { .. } => (
                "is for another name",
                "write in directory.urls a name that stands in the certificate",
            ),
            Flaw::Expired | Flaw::ExpiredContext { .. } => (
                "has expired",
                "renew the certificate on the server, or name another server in directory.urls",
            ),
            Flaw::NotValidYet | Flaw::NotValidYetContext { .. } => {
                ("is not valid yet", "set the clocks of this machine and of the server")
            }
            _ => (
                "cannot be used",
                "give the server a certificate that is signed by a CA, and name that CA in \
                 directory.tls.ca_file",
            ),
        },
        Some(rustls::Error::InvalidMessage(_)) => {
            return DirectoryError::Setup {
                what: format!("{server} does not answer with TLS"),
                remedy: "write ldap:// in directory.urls with directory.tls.start_tls, or the \
                         port of ldaps"
                    .into(),
            };
        }
        _ => return DirectoryError::unreachable(server, one_line(&error.to_string())),
    };
    DirectoryError::Setup {
        what: format!("the certificate of {server} {what} ({})", one_line(&error.to_string())),
        remedy: remedy.into(),
    }
}

/// Explains a refused bind. AD tells the cause as `data 52e` in its diagnostic message
/// (MS-ADTS 5.1.1.1 and the Win32 error codes).
pub(super) fn bind_error(server: &str, user: &str, code: u32, text: &str) -> DirectoryError {
    let credentials = |cause: String, remedy| DirectoryError::Credentials {
        server: server.to_owned(),
        user: user.to_owned(),
        cause,
        remedy,
    };
    const CHECK: &str = "check directory.bind: the user and the password file, or whether the \
                         server knows the client certificate";
    let cause = |words: &str| format!("{words} (result {code})");
    let sub_code = text.split("data ").nth(1).and_then(|rest| rest.split([',', ' ', '\0']).next());
    match (code, sub_code) {
        (49, Some("532" | "773")) => credentials(
            cause("the account's password has expired or must be changed"),
            "set a new password and exempt the service account from expiry",
        ),
        (49, Some("533")) => credentials(cause("the account is disabled"), "enable the account"),
        (49, Some("701")) => credentials(cause("the account has expired"), "extend the account"),
        (49, Some("775")) => credentials(cause("the account is locked out"), "unlock the account"),
        (49, Some("525")) => credentials(cause("there is no such account"), CHECK),
        (49, _) => credentials(cause("wrong user name or password"), CHECK),
        (8, _) => credentials(
            cause("the server wants an encrypted connection"),
            "write ldaps:// in directory.urls, or set directory.tls.start_tls",
        ),
        (51 | 52, _) => DirectoryError::unreachable(server, cause("the server is busy")),
        _ => credentials(format!("result {code}: {}", one_line(text)), CHECK),
    }
}

/// What a server said, fit for one line of a log.
pub(super) fn one_line(text: &str) -> String {
    text::one_line(text, 300)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_certificate_that_is_refused_says_why_and_which_key_mends_it() {
        use rustls::{CertificateError as Flaw, Error, InvalidMessage};
        let told = |cause| {
            let error = io::Error::new(io::ErrorKind::InvalidData, cause);
            let error = tls_error("ldaps://dc1", &error);
            assert!(error.is_setup(), "{error}");
            error.to_string()
        };
        for (flaw, words, key) in [
            (Flaw::UnknownIssuer, "not trusted", "directory.tls.ca_file"),
            (Flaw::BadSignature, "not trusted", "directory.tls.ca_file"),
            (Flaw::NotValidForName, "another name", "directory.urls"),
            (Flaw::Expired, "expired", "directory.urls"),
            (Flaw::NotValidYet, "not valid yet", "clocks"),
            (Flaw::BadEncoding, "cannot be used", "directory.tls.ca_file"),
        ] {
            let text = told(Error::InvalidCertificate(flaw));
            assert!(text.contains(words) && text.contains(key), "{text}");
        }
        let text = told(Error::InvalidMessage(InvalidMessage::InvalidContentType));
        assert!(text.contains("does not answer with TLS"), "{text}");
        let refused = tls_error("ldaps://dc1", &io::Error::from(io::ErrorKind::ConnectionReset));
        assert!(!refused.is_setup());
    }

    #[test]
    fn a_refused_bind_says_why_and_what_to_do() {
        let told = |code, text: &str| bind_error("ldaps://dc1", "svc", code, text).to_string();
        let windows = "80090308: LdapErr: DSID-0C09044E, comment: AcceptSecurityContext error, data 52e, v2580\0";
        assert!(told(49, windows).contains("wrong user name or password"));
        assert!(told(49, &windows.replace("52e", "775")).contains("locked out"));
        assert!(told(49, &windows.replace("52e", "533")).contains("disabled"));
        assert!(told(8, "").contains("ldaps://"));
        assert!(!told(1, "a\0b\nc").contains('\n'));
    }
}
