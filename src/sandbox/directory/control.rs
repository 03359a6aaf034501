//! Request controls, read from their BER.
//!
//! The codec's own types lose what matters here: whether DirSync was marked critical, and whether
//! its flags came as the signed 32-bit number that Active Directory insists on.

use ldap3_lber::{
    Parser,
    structure::{PL, StructureTag},
};
use ldap3_proto::LdapResultCode;

use super::refusal::Refusal;

/// DirSync (MS-ADTS 3.1.1.3.4.1.3)
pub const DIRSYNC: &str = "1.2.840.113556.1.4.841";
/// Paged results (RFC 2696)
pub const PAGED: &str = "1.2.840.113556.1.4.319";
/// Change notification (MS-ADTS 3.1.1.3.4.1.9)
pub const NOTIFICATION: &str = "1.2.840.113556.1.4.528";
/// Show deleted objects (MS-ADTS 3.1.1.3.4.1.14)
pub const SHOW_DELETED: &str = "1.2.840.113556.1.4.417";
/// Show recycled objects (MS-ADTS 3.1.1.3.4.1.26), which includes deleted ones.
pub const SHOW_RECYCLED: &str = "1.2.840.113556.1.4.2064";
/// No referrals (MS-ADTS 3.1.1.3.4.1.4)
pub const DOMAIN_SCOPE: &str = "1.2.840.113556.1.4.1339";
/// Parts of the security descriptor to return (MS-ADTS 3.1.1.3.4.1.11); objects have none here.
pub const SD_FLAGS: &str = "1.2.840.113556.1.4.801";

/// Names with GUIDs (MS-ADTS 3.1.1.3.4.1.5), always in text.
pub const EXTENDED_DN: &str = "1.2.840.113556.1.4.529";

/// What rootDSE lists as `supportedControl`.
pub const SUPPORTED: &[&str] = &[
    DIRSYNC,
    PAGED,
    NOTIFICATION,
    SHOW_DELETED,
    SHOW_RECYCLED,
    DOMAIN_SCOPE,
    SD_FLAGS,
    EXTENDED_DN,
];

/// The controls of one request that this server knows.
#[derive(Debug, Default, PartialEq)]
pub struct Controls {
    /// Report changes since a cookie.
    pub dirsync: Option<DirSync>,
    /// Return the result in pages.
    pub paged: Option<Paged>,
    /// Report changes as they happen.
    pub notification: bool,
    /// Treat tombstones like other objects.
    pub show_deleted: bool,
    /// Send no referrals.
    pub domain_scope: bool,
    /// Write names with GUIDs.
    pub extended_dn: bool,
}

/// The value of a DirSync request control.
#[derive(Debug, PartialEq)]
pub struct DirSync {
    /// The flags of MS-ADTS 3.1.1.3.4.1.3.
    pub flags: u32,
    /// How large the reply may become, in bytes; zero leaves it to the server.
    pub max_bytes: usize,
    /// Where to go on; empty for the beginning.
    pub cookie: Vec<u8>,
}

/// The value of a paged results control.
#[derive(Debug, PartialEq)]
pub struct Paged {
    /// How many entries the client wants in a page.
    pub size: usize,
    /// Where to go on; empty for the beginning.
    pub cookie: Vec<u8>,
}

impl Controls {
    /// Reads the `[0] Controls` of a message. An unknown control is ignored unless critical.
    pub fn decode(tags: Vec<StructureTag>) -> Result<Controls, Refusal> {
        let mut controls = Controls::default();
        for tag in tags {
            let raw = Raw::decode(tag).ok_or_else(malformed)?;
            match raw.oid.as_str() {
                DIRSYNC => controls.dirsync = Some(dirsync(&raw)?),
                PAGED => controls.paged = Some(paged(&raw)?),
                NOTIFICATION => controls.notification = true,
                SHOW_DELETED | SHOW_RECYCLED => controls.show_deleted = true,
                DOMAIN_SCOPE => controls.domain_scope = true,
                EXTENDED_DN => controls.extended_dn = true,
                SD_FLAGS => {}
                _ if raw.critical => {
                    return Err(unavailable(format!("control {} is not supported", raw.oid)));
                }
                _ => {}
            }
        }
        Ok(controls)
    }
}

/// `unavailableCriticalExtension`, and why.
pub fn unavailable(reason: impl AsRef<str>) -> Refusal {
    let message =
        format!("00002040: SvcErr: problem 5010 (UNAVAIL_EXTENSION), {}", reason.as_ref());
    Refusal::new(LdapResultCode::UnavailableCriticalExtension, message)
}

fn malformed() -> Refusal {
    let message = "00000057: LdapErr: comment: Error decoding a control";
    Refusal::new(LdapResultCode::ProtocolError, message)
}

struct Raw {
    oid: String,
    critical: bool,
    value: Option<Vec<u8>>,
}

impl Raw {
    fn decode(tag: StructureTag) -> Option<Raw> {
        let mut parts = tag.expect_constructed()?.into_iter();
        let oid = String::from_utf8(parts.next()?.expect_primitive()?).ok()?;
        let mut raw = Raw { oid, critical: false, value: None };
        for part in parts {
            match (part.id, part.payload) {
                (1, PL::P(flag)) => raw.critical = flag.first().is_some_and(|byte| *byte != 0),
                (4, PL::P(value)) => raw.value = Some(value),
                _ => return None,
            }
        }
        Some(raw)
    }

    /// The elements of the SEQUENCE that the value holds.
    fn sequence<const N: usize>(&self) -> Option<[Vec<u8>; N]> {
        let (_, tag) = Parser::new(4).parse(self.value.as_ref()?).ok()?;
        let parts: Option<Vec<_>> =
            tag.expect_constructed()?.into_iter().map(StructureTag::expect_primitive).collect();
        parts?.try_into().ok()
    }
}

fn dirsync(raw: &Raw) -> Result<DirSync, Refusal> {
    if !raw.critical {
        let message = "00000057: LdapErr: comment: the DirSync control must be critical";
        return Err(Refusal::new(LdapResultCode::OperationsError, message));
    }
    let [flags, max_bytes, cookie] = raw.sequence().ok_or_else(malformed)?;
    let number = |bytes: &[u8]| {
        let number = integer(bytes).ok_or_else(malformed)?;
        i32::try_from(number).map_err(|_| unavailable("an INTEGER of DirSync exceeds 32 bits"))
    };
    let max_bytes = usize::try_from(number(&max_bytes)?).unwrap_or(0);
    Ok(DirSync { flags: number(&flags)? as u32, max_bytes, cookie })
}

fn paged(raw: &Raw) -> Result<Paged, Refusal> {
    let [size, cookie] = raw.sequence().ok_or_else(malformed)?;
    let size = integer(&size).and_then(|size| usize::try_from(size).ok()).ok_or_else(malformed)?;
    Ok(Paged { size, cookie })
}

/// A signed INTEGER of at most eight bytes.
fn integer(bytes: &[u8]) -> Option<i64> {
    let first = *bytes.first()?;
    let start: i64 = if first & 0x80 == 0 { 0 } else { -1 };
    (bytes.len() <= 8)
        .then(|| bytes.iter().fold(start, |number, byte| number << 8 | i64::from(*byte)))
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a test fails by panicking")]
mod tests {
    use super::*;

    fn raw(value: &[u8]) -> Raw {
        Raw { oid: DIRSYNC.to_owned(), critical: true, value: Some(value.to_vec()) }
    }

    #[test]
    fn dirsync_flags_are_a_signed_32_bit_number() {
        let value = [0x30, 13, 2, 4, 0x80, 0, 8, 1, 2, 3, 0x10, 0, 0, 4, 0];
        let read = dirsync(&raw(&value)).unwrap();
        assert_eq!(read, DirSync { flags: 0x8000_0801, max_bytes: 1 << 20, cookie: vec![] });

        let unsigned = [0x30, 14, 2, 5, 0, 0x80, 0, 8, 1, 2, 3, 0x10, 0, 0, 4, 0];
        let refusal = dirsync(&raw(&unsigned)).unwrap_err();
        assert_eq!(refusal.code, LdapResultCode::UnavailableCriticalExtension);
    }

    #[test]
    fn garbage_is_a_protocol_error() {
        for value in [&b""[..], &[0x30, 0], &[4, 1, 1], &[0x30, 3, 2, 9, 1]] {
            assert_eq!(dirsync(&raw(value)).unwrap_err().code, LdapResultCode::ProtocolError);
        }
    }

    #[test]
    fn integers_keep_their_sign() {
        assert_eq!(integer(&[0x80, 0, 0, 1]), Some(-0x7fff_ffff));
        assert_eq!(integer(&[0, 0x80]), Some(128));
        assert_eq!(integer(&[0xff; 9]), None);
        assert_eq!(integer(&[]), None);
    }
}
