//! The DirSync control on raw bytes, on purpose not by the product's own code (MS-ADTS section
//! 3.1.1.3.4.1.3).

use ldap3::controls::RawControl;
use ldap3::{Ldap, Scope, SearchEntry};

use crate::support::samba::BASE_DN;

const OID: &str = "1.2.840.113556.1.4.841";
/// LDAP_DIRSYNC_OBJECT_SECURITY: no replication right is needed, ordinary rights decide.
pub const OBJECT_SECURITY: u8 = 1;

/// Where the next [`poll`] goes on.
pub type Cookie = Vec<u8>;

/// Asks for the users that changed since `cookie`; with an empty one, for all of them.
pub async fn poll(
    ldap: &mut Ldap,
    flags: u8,
    cookie: &Cookie,
) -> ldap3::result::Result<(Vec<SearchEntry>, Cookie)> {
    let control =
        RawControl { ctype: OID.to_owned(), crit: true, val: Some(request(flags, cookie)) };
    let attributes = ["name", "userAccountControl", "isDeleted"];
    let found = ldap
        .with_controls(control)
        .search(BASE_DN, Scope::Subtree, "(objectClass=user)", attributes)
        .await?;
    let (entries, done) = found.success()?;
    let answer = done.ctrls.into_iter().find(|control| control.1.ctype == OID);
    let answer = answer.and_then(|control| control.1.val).expect("a DirSync answer");
    Ok((entries.into_iter().map(SearchEntry::construct).collect(), cookie_of(&answer)))
}

/// `SEQUENCE { flags INTEGER, maxBytes INTEGER, cookie OCTET STRING }`
fn request(flags: u8, cookie: &Cookie) -> Vec<u8> {
    let mut body = vec![0x02, 0x04, 0, 0, 0, flags, 0x02, 0x03, 0x10, 0, 0];
    body.extend(element(0x04, cookie));
    element(0x30, &body)
}

/// `SEQUENCE { moreResults INTEGER, unused INTEGER, cookie OCTET STRING }`
fn cookie_of(answer: &[u8]) -> Cookie {
    let (_, tag) = lber::parse::parse_tag(answer).expect("the answer is BER");
    let cookie = tag.expect_constructed().and_then(|mut fields| fields.pop());
    cookie.and_then(|field| field.expect_primitive()).expect("a cookie")
}

/// An element with a two-byte length, which is enough for every cookie of a small domain.
fn element(tag: u8, value: &[u8]) -> Vec<u8> {
    let length = u16::try_from(value.len()).expect("a short value").to_be_bytes();
    [&[tag, 0x82], &length[..], value].concat()
}
