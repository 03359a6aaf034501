//! Results page by page (RFC 2696).

use ldap3::controls::RawControl;

use super::{Page, ber, session::Done};

const OID: &str = "1.2.840.113556.1.4.319";
/// AD's own limit of a page.
const SIZE: u32 = 1000;

/// The control that asks for the first page, or for the one that `page` names.
pub(super) fn request(page: Option<Page>) -> RawControl {
    let cookie = page.map(|page| page.0).unwrap_or_default();
    let value = ber::sequence(&[ber::integer(SIZE), ber::octets(&cookie)]);
    RawControl { ctype: OID.into(), crit: true, val: Some(value) }
}

/// The page after the one that `done` ended; none after the last.
pub(super) fn next(done: &Done) -> Option<Page> {
    let cookie = done.control(OID).and_then(cookie)?;
    (!cookie.is_empty()).then(|| Page(cookie.to_vec()))
}

/// `SEQUENCE { size INTEGER, cookie OCTET STRING }`.
fn cookie(value: &[u8]) -> Option<&[u8]> {
    let (0x30, content, _) = ber::split(value)? else { return None };
    let (0x02, _size, rest) = ber::split(content)? else { return None };
    let (0x04, cookie, _) = ber::split(rest)? else { return None };
    Some(cookie)
}

#[cfg(test)]
pub(super) mod tests {
    pub fn decode(bytes: &[u8]) {
        super::cookie(bytes);
    }
}
