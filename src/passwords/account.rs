//! Whose password it is, as whoever hands it over says.

use std::fmt;

use uuid::Uuid;

use crate::event::Identity;

/// The longest name, in bytes: far more than any account has.
const MAX_NAME: usize = 512;

/// A user, by one of the names that a domain controller has at hand. Written `guid:…`, `sid:…` or
/// `name:…`: that is what is bound into a sealed password.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Account {
    /// objectGUID.
    Guid(Uuid),
    /// objectSid in its string form.
    Sid(String),
    /// sAMAccountName in lower case.
    Name(String),
}

impl Account {
    /// Reads a name: an objectGUID, a SID, or else a sAMAccountName, which may stand after a
    /// domain: `CORP\alice`. None if it is none of them.
    pub fn parse(text: &str) -> Option<Account> {
        let text = text.trim();
        if text.is_empty() || text.len() > MAX_NAME || text.chars().any(char::is_control) {
            return None;
        }
        if let Some((_domain, name)) = text.rsplit_once('\\') {
            // On its way it loses the domain, and must not become another kind of name.
            return Account::parse(name).filter(|account| matches!(account, Account::Name(_)));
        }
        if let Ok(guid) = Uuid::try_parse(text) {
            return Some(Account::Guid(guid));
        }
        if text.get(..4).is_some_and(|start| start.eq_ignore_ascii_case("S-1-")) {
            return Some(Account::Sid(text.to_uppercase()));
        }
        Some(Account::Name(text.to_lowercase()))
    }

    /// Every account under which a user may have been named.
    pub fn all_of(object: Uuid, identity: &Identity) -> Vec<Account> {
        let sid = identity.sid.as_ref().map(|sid| Account::Sid(sid.to_uppercase()));
        let name = identity.sam_account_name.as_ref();
        let name = name.map(|name| Account::Name(name.to_lowercase()));
        [Some(Account::Guid(object)), sid, name].into_iter().flatten().collect()
    }
}

impl fmt::Display for Account {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Account::Guid(guid) => write!(f, "guid:{guid}"),
            Account::Sid(sid) => write!(f, "sid:{sid}"),
            Account::Name(name) => write!(f, "name:{name}"),
        }
    }
}
