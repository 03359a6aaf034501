//! Every refusal in words, with what to do about it.

use super::{Parties, message::Refusal};
use crate::directory::error::{DirectoryError, one_line};

/// KDC_ERR_ETYPE_NOSUPP.
pub const TYPE_NOT_SUPPORTED: i64 = 14;

const WRONG_KEY: &str = "export the keytab anew: with every new password the account gets new keys";

/// Explains what a KDC answers (RFC 4120 section 7.5.9).
pub fn of_kdc(to: Parties<'_>, refusal: &Refusal) -> DirectoryError {
    let Refusal { code, text } = refusal;
    let words = |words: &str| format!("{words} (Kerberos error {code})");
    let credentials = |cause, remedy| credentials(to, words(cause), remedy);
    let setup = |what: &str, remedy: &str| DirectoryError::Setup {
        what: format!("the login of {} at {} by Kerberos fails: {}", to.user, to.url, words(what)),
        remedy: remedy.into(),
    };
    match code {
        6 => credentials("there is no such account", "correct directory.bind.user, NAME@REALM"),
        7 => setup(
            &format!("there is no service ldap/{}", to.host),
            "write in directory.urls the server's own name, such as dc1.corp.example, no address \
             and no alias; or give the server's account this service principal name",
        ),
        12 | 18 => credentials(
            "the account is disabled, expired, locked out, or must not log in from here or now",
            "mend that at the account",
        ),
        14 => setup(
            "the KDC does not take the types of encryption that both could use",
            "let the account and the server use AES, set the account's password anew, which makes \
             its AES keys, and export the keytab anew",
        ),
        23 => credentials(
            "the account's password has expired or must be changed",
            "set a new password, exempt the service account from expiry, and export the keytab anew",
        ),
        24 | 31 => credentials("the key in the keytab is not the account's", WRONG_KEY),
        37 => setup(
            "the clocks of this machine and of the domain are too far apart",
            "set both by NTP: five minutes are the limit",
        ),
        68 => setup(
            "the KDC is not of the account's domain",
            "correct the realm in directory.bind.user, or directory.bind.kdc",
        ),
        _ => {
            let cause = format!("Kerberos error {code} {}", one_line(text));
            DirectoryError::failed("the login by Kerberos", cause.trim_end())
        }
    }
}

/// Explains what the directory server answers to a ticket (RFC 4511 section 4.2.2).
pub fn of_server(to: Parties<'_>, code: u32, text: &str) -> DirectoryError {
    let text = one_line(text);
    let setup = |what: &str, remedy: &str| DirectoryError::Setup {
        what: format!("{} {what} (result {code}: {text})", to.url),
        remedy: remedy.into(),
    };
    match code {
        7 => setup(
            "offers no login by Kerberos",
            "give it SASL GSSAPI, or use simple or external in directory.bind.method",
        ),
        8 | 53 => setup(
            "takes no login by Kerberos inside TLS",
            "on Samba before 4.21 set `ldap server require strong auth = allow_sasl_over_tls`",
        ),
        51 | 52 => DirectoryError::unreachable(to.url, format!("the server is busy: {text}")),
        // SEC_E_BAD_BINDINGS.
        49 if text.contains("80090346") => setup(
            "says that this is the TLS connection of somebody else",
            "connect to it directly: something between opens TLS",
        ),
        49 => credentials(
            to,
            format!("it does not accept the ticket (result {code}: {text})"),
            "see the server's log: its own key may have changed, its clock may differ, or something \
             between opens TLS",
        ),
        _ => DirectoryError::failed("the login by Kerberos", format!("result {code}: {text}")),
    }
}

/// Explains that a server wants to sign or seal what TLS protects already.
pub fn layer_demanded(to: Parties<'_>) -> DirectoryError {
    DirectoryError::Setup {
        what: format!("{} insists on a security layer of SASL", to.url),
        remedy: "let the server take SASL without one inside TLS".into(),
    }
}

fn credentials(to: Parties<'_>, cause: String, remedy: &'static str) -> DirectoryError {
    DirectoryError::Credentials {
        server: to.url.to_owned(),
        user: to.user.to_owned(),
        cause,
        remedy,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const TO: Parties<'_> = Parties { user: "svc@CORP.EXAMPLE", url: "ldaps://dc1", host: "dc1" };

    #[test]
    fn a_refused_ticket_says_why_and_what_to_do() {
        for (code, words) in [
            (6, "directory.bind.user"),
            (7, "ldap/dc1"),
            (14, "AES"),
            (18, "disabled"),
            (23, "expired"),
            (24, "export the keytab anew"),
            (37, "NTP"),
            (68, "realm"),
        ] {
            let error = of_kdc(TO, &Refusal { code, text: String::new() });
            let told = error.to_string();
            assert!(error.is_setup() && told.contains(words), "{told}");
            assert!(told.contains("svc@CORP.EXAMPLE") && told.contains("ldaps://dc1"), "{told}");
        }
        let other = of_kdc(TO, &Refusal { code: 60, text: "try\nlater".into() });
        assert!(!other.is_setup() && other.to_string().ends_with("error 60 try later"), "{other}");
    }

    #[test]
    fn a_refused_bind_says_why_and_what_to_do() {
        let told = |code, text| of_server(TO, code, text).to_string();
        assert!(told(8, "").contains("allow_sasl_over_tls"));
        assert!(told(7, "").contains("simple or external"));
        assert!(told(49, "AcceptSecurityContext error, data 80090346, v4f7c").contains("between"));
        assert!(told(49, "").contains("server's log"));
        assert!(!of_server(TO, 51, "").is_setup());
    }
}
