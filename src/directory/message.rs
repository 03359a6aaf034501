//! The form of LDAP messages (RFC 4511 section 4.1.1), checked before the library reads them: it
//! takes any size and any depth, and panics on some that are no messages at all.

use ldap3::asn1::{PL, StructureTag};

use super::ber::split;

/// The largest message. A group of a hundred thousand members has a tenth of it.
pub const LARGEST: usize = 32 * 1024 * 1024;
/// How deep elements may be nested. LDAP needs less than ten levels.
const DEEPEST: usize = 16;
/// What an element takes in memory besides its content, roughly.
const ELEMENT: usize = 64;

const INTEGER: u8 = 0x02;
const OCTETS: u8 = 0x04;
const ENUMERATED: u8 = 0x0a;
const SEQUENCE: u8 = 0x30;
const CONTROLS: u8 = 0xa0;
/// Where AD puts the name of a notice of disconnection, which belongs inside.
const MISPLACED_NAME: u8 = 0x8a;

const BIND_RESPONSE: u8 = 0x61;
const SEARCH_ENTRY: u8 = 0x64;
const SEARCH_DONE: u8 = 0x65;
const SEARCH_REFERENCE: u8 = 0x73;
const EXTENDED_RESPONSE: u8 = 0x78;
const INTERMEDIATE: u8 = 0x79;

/// The length of the message that begins here; inner none while its head is incomplete, outer none
/// if it is no message.
pub fn length(bytes: &[u8]) -> Option<Option<usize>> {
    match *bytes {
        [] | [SEQUENCE] => Some(None),
        [SEQUENCE, short @ 0..=0x7f, ..] => Some(Some(2 + usize::from(short))),
        [SEQUENCE, long @ 0x81..=0x84, ref rest @ ..] => {
            let count = usize::from(long & 0x7f);
            let Some(digits) = rest.get(..count) else { return Some(None) };
            let length = digits.iter().fold(0_usize, |sum, digit| sum << 8 | usize::from(*digit));
            Some(length.checked_add(2 + count))
        }
        _ => None,
    }
}

/// Checks a message and says how heavy it is for who keeps what it carries: 0 for one that ends an
/// operation. None if it is malformed.
pub fn weigh(message: &[u8]) -> Option<usize> {
    let (SEQUENCE, content, []) = split(message)? else { return None };
    let (INTEGER, id, rest) = split(content)? else { return None };
    let (operation, body, after) = split(rest)?;
    let weight = weight(&rest[..rest.len() - after.len()], DEEPEST)?;
    match split(after) {
        None if after.is_empty() => {}
        Some((CONTROLS, list, [])) => controls(list)?,
        Some((MISPLACED_NAME, _, [])) if operation == EXTENDED_RESPONSE => {}
        _ => return None,
    }
    if !(1..=4).contains(&id.len()) {
        return None;
    }
    match operation {
        SEARCH_ENTRY | SEARCH_REFERENCE | INTERMEDIATE => Some(weight),
        BIND_RESPONSE | SEARCH_DONE | EXTENDED_RESPONSE => result(body).map(|()| 0),
        _ => None,
    }
}

/// What keeping an entry takes: as much as [`weigh`] said of its message.
pub fn weight_of(tag: &StructureTag) -> usize {
    ELEMENT
        + match &tag.payload {
            PL::P(content) => content.len(),
            PL::C(parts) => parts.iter().map(weight_of).sum(),
        }
}

fn weight(element: &[u8], levels: usize) -> Option<usize> {
    let (tag, content, _) = split(element)?;
    if tag & 0x1f == 0x1f {
        return None;
    }
    if tag & 0x20 == 0 {
        return Some(ELEMENT + content.len());
    }
    let levels = levels.checked_sub(1)?;
    let mut sum = ELEMENT;
    let mut rest = content;
    while !rest.is_empty() {
        let (_, _, after) = split(rest)?;
        sum += weight(&rest[..rest.len() - after.len()], levels)?;
        rest = after;
    }
    Some(sum)
}

/// `SEQUENCE { controlType LDAPOID, criticality BOOLEAN DEFAULT FALSE, controlValue OCTET STRING
/// OPTIONAL }`, any number of them.
fn controls(mut list: &[u8]) -> Option<()> {
    while !list.is_empty() {
        let (SEQUENCE, control, after) = split(list)? else { return None };
        let (OCTETS, name, rest) = split(control)? else { return None };
        str::from_utf8(name).ok()?;
        let rest = match split(rest) {
            Some((0x01, [_], rest)) => rest,
            _ => rest,
        };
        if !rest.is_empty() {
            let (OCTETS, _value, []) = split(rest)? else { return None };
        }
        list = after;
    }
    Some(())
}

/// `resultCode ENUMERATED, matchedDN LDAPDN, diagnosticMessage LDAPString, referral [3] OPTIONAL`,
/// and what bind and extended operations add.
fn result(body: &[u8]) -> Option<()> {
    let (ENUMERATED, code, rest) = split(body)? else { return None };
    let (OCTETS, matched, rest) = split(rest)? else { return None };
    let (OCTETS, text, mut rest) = split(rest)? else { return None };
    if !(1..=4).contains(&code.len()) {
        return None;
    }
    str::from_utf8(matched).and(str::from_utf8(text)).ok()?;
    while !rest.is_empty() {
        let (tag, content, after) = split(rest)?;
        match tag {
            0xa3 => referrals(content)?,
            // serverSaslCreds, responseValue
            0x87 | 0x8b => {}
            // responseName
            0x8a => str::from_utf8(content).map(|_| ()).ok()?,
            _ => return None,
        }
        rest = after;
    }
    Some(())
}

fn referrals(mut list: &[u8]) -> Option<()> {
    while !list.is_empty() {
        let (OCTETS, url, after) = split(list)? else { return None };
        str::from_utf8(url).ok()?;
        list = after;
    }
    Some(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::directory::ber::{integer, octets, sequence};

    fn tagged(tag: u8, parts: &[Vec<u8>]) -> Vec<u8> {
        let mut bytes = sequence(parts);
        bytes[0] = tag;
        bytes
    }

    fn done(parts: &[Vec<u8>]) -> Vec<u8> {
        let head = [vec![ENUMERATED, 1, 0], octets(b""), octets(b"")];
        sequence(&[integer(7), tagged(SEARCH_DONE, &[&head, parts].concat())])
    }

    #[test]
    fn a_message_is_as_long_as_it_says() {
        assert_eq!(length(&[]), Some(None));
        assert_eq!(length(&[SEQUENCE, 0x82, 1]), Some(None));
        assert_eq!(length(&[SEQUENCE, 0x82, 1, 0]), Some(Some(260)));
        assert_eq!(length(&[SEQUENCE, 0x84, 0xff, 0xff, 0xff, 0xff]), Some(Some(0x1_0000_0005)));
        for wrong in [&b"HTTP/1.1"[..], &[SEQUENCE, 0x80], &[SEQUENCE, 0x85, 0, 0, 0, 0, 1]] {
            assert_eq!(length(wrong), None);
        }
    }

    #[test]
    fn results_and_entries_pass_and_what_is_cut_does_not() {
        assert_eq!(weigh(&done(&[])), Some(0));
        let entry = sequence(&[
            integer(7),
            tagged(SEARCH_ENTRY, &[octets(b"CN=a"), sequence(&[])]),
            tagged(CONTROLS, &[sequence(&[octets(b"1.2"), vec![1, 1, 0], octets(b"v")])]),
        ]);
        assert_eq!(weigh(&entry), Some(3 * ELEMENT + 4));
        for length in 0..entry.len() {
            assert_eq!(weigh(&entry[..length]), None, "{length} bytes");
        }
    }

    #[test]
    fn what_the_library_would_panic_on_is_refused() {
        assert_eq!(weigh(&sequence(&[])), None);
        assert_eq!(weigh(&sequence(&[integer(1)])), None);
        assert_eq!(weigh(&done(&[tagged(0xa3, &[integer(1)])])), None);
        assert_eq!(weigh(&done(&[tagged(0x8a, &[vec![0xff]])])), None);
        let no_text = [vec![ENUMERATED, 1, 0], octets(b""), octets(&[0xff])];
        assert_eq!(weigh(&sequence(&[integer(1), tagged(SEARCH_DONE, &no_text)])), None);
        let modified = tagged(0x67, &[vec![ENUMERATED, 1, 0], octets(b""), octets(b"")]);
        assert_eq!(weigh(&sequence(&[integer(1), modified])), None, "never asked for");
    }

    #[test]
    fn depth_ends_somewhere() {
        let mut deep = octets(b"x");
        for _ in 0..10_000 {
            deep = sequence(&[deep]);
        }
        let message = sequence(&[integer(1), tagged(SEARCH_ENTRY, &[deep])]);
        assert_eq!(weigh(&message), None);
    }
}
