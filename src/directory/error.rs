//! What can go wrong with a directory server, by what to do about it.

use ldap3::LdapError;
use thiserror::Error;

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

/// Explains the failure of a connection or of its TLS handshake.
pub(super) fn connect_error(server: &str, error: &LdapError) -> DirectoryError {
    let text = source_text(error);
    if text.contains("certificate") || text.contains("UnknownIssuer") {
        return DirectoryError::Setup {
            what: format!("the certificate of {server} is not trusted: {text}"),
            remedy: "name the CA that signed it in directory.tls.ca_file, and connect by a name \
                     that the certificate has"
                .into(),
        };
    }
    DirectoryError::unreachable(server, text)
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
    const CHECK: &str = "check directory.bind.user and the password file";
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

/// The text of an error with that of its deepest source, which holds the true cause.
pub(super) fn source_text(error: &(dyn std::error::Error + 'static)) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(cause) = source {
        let cause_text = cause.to_string();
        if !text.contains(&cause_text) {
            text = format!("{text}: {cause_text}");
        }
        source = cause.source();
    }
    one_line(&text)
}

/// What a server said, fit for one line of a log.
pub(super) fn one_line(text: &str) -> String {
    let text: String =
        text.chars().map(|c| if c.is_control() { ' ' } else { c }).take(300).collect();
    text.trim().to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

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
