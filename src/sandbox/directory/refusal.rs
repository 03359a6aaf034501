//! Why an operation is refused, in the words of LDAP.

use ldap3_proto::{LdapResultCode, proto::LdapResult};

/// A result other than success. The message starts with a Windows error number, as Active
/// Directory's do, for clients look for it.
#[derive(Debug, Clone, PartialEq)]
pub struct Refusal {
    /// The result code.
    pub code: LdapResultCode,
    /// What to tell the client.
    pub message: String,
    /// The closest existing object, where a name could not be found.
    pub matched: String,
}

impl Refusal {
    /// A refusal without a matched name.
    pub fn new(code: LdapResultCode, message: impl Into<String>) -> Refusal {
        Refusal { code, message: message.into(), matched: String::new() }
    }

    /// `noSuchObject`
    pub fn no_such_object(matched: String) -> Refusal {
        let message = "0000208D: NameErr: problem 2001 (NO_OBJECT)".to_owned();
        Refusal { code: LdapResultCode::NoSuchObject, message, matched }
    }

    /// `insufficientAccessRights`
    pub fn access_denied() -> Refusal {
        let message = "00002098: SecErr: problem 4003 (INSUFF_ACCESS_RIGHTS)";
        Refusal::new(LdapResultCode::InsufficentAccessRights, message)
    }

    /// `unwillingToPerform`, and why.
    pub fn unwilling(message: impl Into<String>) -> Refusal {
        Refusal::new(LdapResultCode::UnwillingToPerform, message)
    }

    /// `constraintViolation`, and why.
    pub fn constraint(message: impl Into<String>) -> Refusal {
        Refusal::new(LdapResultCode::ConstraintViolation, message)
    }
}

/// The result to send for an outcome.
pub fn result(outcome: Result<(), Refusal>) -> LdapResult {
    let refusal =
        outcome.err().unwrap_or_else(|| Refusal::new(LdapResultCode::Success, String::new()));
    LdapResult {
        code: refusal.code,
        matcheddn: refusal.matched,
        message: refusal.message,
        referral: Vec::new(),
    }
}
