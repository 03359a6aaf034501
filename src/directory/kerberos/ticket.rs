//! The two requests that win a ticket for the directory server (RFC 4120 sections 3.1 and 3.3).

use super::{
    Parties,
    kdc::Kdc,
    keytab::Keys,
    message::{self, Refusal, Service, Ticket},
    refusal::{self, TYPE_NOT_SUPPORTED},
};
use crate::directory::error::DirectoryError;

/// Wins a ticket for LDAP on the server. The KDC counts a wrong key as it counts a wrong password,
/// so that another one is tried only where it does not know the first one's type.
pub async fn win(kdc: &Kdc, account: &Keys, to: Parties<'_>) -> Result<Ticket, DirectoryError> {
    let realm = &account.principal.realm;
    let refused = |refusal| refusal::of_kdc(to, &refusal);
    let mut not_supported = None;
    for key in &account.keys {
        let nonce = nonce();
        let answer = kdc.ask(&message::as_request(&account.principal, key, nonce)).await?;
        match message::refusal(&answer) {
            Some(refusal) if refusal.code == TYPE_NOT_SUPPORTED => not_supported = Some(refusal),
            Some(refusal) => return Err(refused(refusal)),
            None => {
                let granting = message::as_reply(&answer, key, realm, nonce)
                    .ok_or_else(|| to.nonsense("the KDC's answer is no ticket of the account"))?;
                return service(kdc, &granting, realm, to).await;
            }
        }
    }
    let none = Refusal { code: TYPE_NOT_SUPPORTED, text: String::new() };
    Err(refused(not_supported.unwrap_or(none)))
}

async fn service(
    kdc: &Kdc,
    granting: &Ticket,
    realm: &str,
    to: Parties<'_>,
) -> Result<Ticket, DirectoryError> {
    let (service, nonce) = (Service::Ldap(to.host), nonce());
    let answer = kdc.ask(&message::tgs_request(granting, realm, service, nonce)).await?;
    if let Some(refusal) = message::refusal(&answer) {
        return Err(refusal::of_kdc(to, &refusal));
    }
    message::tgs_reply(&answer, &granting.key, realm, service, nonce)
        .ok_or_else(|| to.nonsense("the KDC's answer is no ticket for the server"))
}

/// Positive also where it is taken for a number with a sign.
fn nonce() -> u32 {
    rand::random_range(1..=i32::MAX.cast_unsigned())
}
