//! Simple binds (MS-ADTS 5.1.1.1.1).

use ldap3_proto::{
    LdapResultCode,
    proto::{LdapBindCred, LdapBindRequest},
};

use super::{
    dn::Name,
    draft::ACCOUNT_DISABLED,
    object::Slot,
    password,
    refusal::Refusal,
    schema::{Attr, Class},
    server::{Directory, Rights},
    store::Store,
};

impl Directory {
    /// Checks who binds. `None` is the anonymous user: a bind without a password is one, whatever
    /// name it gives.
    pub fn bind(&self, request: &LdapBindRequest) -> Result<Option<Rights>, Refusal> {
        if request.version != 3 {
            let message = "00000057: LdapErr: comment: only version 3 is spoken";
            return Err(Refusal::new(LdapResultCode::ProtocolError, message));
        }
        let LdapBindCred::Simple(password) = &request.cred else {
            let message = "00002027: LdapErr: comment: only simple binds are known";
            return Err(Refusal::new(LdapResultCode::AuthMethodNotSupported, message));
        };
        if password.is_empty() {
            return Ok(None);
        }
        let store = self.read();
        let account = account(&store, &request.dn).ok_or_else(|| refused("525"))?;
        if store.passwords.get(&account) != Some(&password::digest(password)) {
            return Err(refused("52e"));
        }
        let control = store.get(account).number(Attr::UserAccountControl).unwrap_or(0);
        if control & ACCOUNT_DISABLED != 0 {
            return Err(refused("533"));
        }
        Ok(Some(self.rights(account)))
    }
}

/// The account of this name: `DOMAIN\name`, `name@domain`, a distinguished name or a plain name.
fn account(store: &Store, name: &str) -> Option<Slot> {
    let sam = |name: &str| store.find_one(Attr::SamAccountName, name);
    let found = if let Some((domain, name)) = name.split_once('\\') {
        sam(name).filter(|_| domain.eq_ignore_ascii_case(&store.domain.netbios))
    } else if let Some((local, domain)) = name.split_once('@') {
        // Every account has an implicit UPN of its sAMAccountName and the DNS name.
        let implicit = || sam(local).filter(|_| domain.eq_ignore_ascii_case(&store.domain.dns));
        store.find_one(Attr::UserPrincipalName, name).or_else(implicit)
    } else {
        let named = Name::parse(name).and_then(|name| store.resolve(&name));
        named.or_else(|| sam(name)).filter(|&slot| !store.get(slot).deleted)
    };
    found.filter(|&slot| store.get(slot).class == Class::User)
}

/// `invalidCredentials`, with the Windows error that says why.
fn refused(data: &str) -> Refusal {
    let message = format!("80090308: LdapErr: comment: AcceptSecurityContext error, data {data}");
    Refusal::new(LdapResultCode::InvalidCredentials, message)
}
