//! The controls and messages of RFC 4533, section 2.

use ldap3::{
    asn1::{PL, StructureTag},
    controls::{Control, RawControl},
};
use uuid::Uuid;

use crate::directory::ber;

/// Sync Request Control.
pub const REQUEST: &str = "1.3.6.1.4.1.4203.1.9.1.1";
/// Sync State Control.
const STATE: &str = "1.3.6.1.4.1.4203.1.9.1.2";
/// Sync Info Message.
const INFO: &[u8] = b"1.3.6.1.4.1.4203.1.9.1.4";

const REFRESH_AND_PERSIST: u8 = 3;
const OCTETS: u8 = 0x04;
const BOOLEAN: u8 = 0x01;
const SEQUENCE: u8 = 0x30;

/// `SEQUENCE { mode ENUMERATED, cookie OCTET STRING OPTIONAL, reloadHint BOOLEAN DEFAULT FALSE }`.
/// The hint asks a server that cannot tell the changes alone to say so instead of telling all.
pub fn request(cookie: &[u8]) -> RawControl {
    let mut parts = vec![ber::enumerated(REFRESH_AND_PERSIST)];
    if !cookie.is_empty() {
        parts.extend([ber::octets(cookie), ber::boolean(true)]);
    }
    RawControl { ctype: REQUEST.into(), crit: true, val: Some(ber::sequence(&parts)) }
}

/// What is said of an entry.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum State {
    /// It is still there, unchanged.
    Present,
    /// It was added or modified; this is how it is now.
    Change,
    /// It is gone.
    Delete,
}

/// `SEQUENCE { state ENUMERATED, entryUUID OCTET STRING (SIZE(16)), cookie OCTET STRING OPTIONAL }`.
#[derive(Debug, PartialEq, Eq)]
pub struct StateControl {
    pub state: State,
    pub object: Uuid,
    pub cookie: Option<Vec<u8>>,
}

impl StateControl {
    /// The control among those of an entry; none if it is missing or malformed.
    pub fn of(controls: &[Control]) -> Option<StateControl> {
        let control = controls.iter().find(|control| control.1.ctype == STATE)?;
        StateControl::parse(control.1.val.as_deref()?)
    }

    fn parse(value: &[u8]) -> Option<StateControl> {
        let (SEQUENCE, content, _) = ber::split(value)? else { return None };
        let (0x0a, state, rest) = ber::split(content)? else { return None };
        let (OCTETS, object, rest) = ber::split(rest)? else { return None };
        let state = match state {
            [0] => State::Present,
            [1 | 2] => State::Change,
            [3] => State::Delete,
            _ => return None,
        };
        let (cookie, _) = optional(rest, OCTETS)?;
        let object = Uuid::from_slice(object).ok()?;
        Some(StateControl { state, object, cookie: cookie.map(<[u8]>::to_vec) })
    }
}

/// A Sync Info Message.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Info {
    pub cookie: Option<Vec<u8>>,
    /// Whether the server has told everything up to now.
    pub refreshed: bool,
    /// Whether who is not listed is gone.
    pub lists_present: bool,
    pub deleted: Vec<Uuid>,
}

impl Info {
    /// Reads an IntermediateResponse (RFC 4511 section 4.13): outer none if it is malformed, inner
    /// none if it is of another kind.
    pub fn of(tag: StructureTag) -> Option<Option<Info>> {
        let PL::C(parts) = tag.payload else { return None };
        let mut name = None;
        let mut value = None;
        for part in parts {
            let PL::P(bytes) = part.payload else { return None };
            match part.id {
                0 => name = Some(bytes),
                1 => value = Some(bytes),
                _ => {}
            }
        }
        if name.as_deref() != Some(INFO) {
            return Some(None);
        }
        Info::parse(&value?).map(Some)
    }

    fn parse(value: &[u8]) -> Option<Info> {
        let (tag, content, _) = ber::split(value)?;
        let mut info = Info::default();
        if tag == 0x80 {
            info.cookie = Some(content.to_vec());
            return Some(info);
        }
        let (cookie, rest) = optional(content, OCTETS)?;
        info.cookie = cookie.map(<[u8]>::to_vec);
        let (flag, rest) = optional(rest, BOOLEAN)?;
        let flag = flag.map(|flag| flag != [0]);
        match tag {
            // refreshDelete and refreshPresent: refreshDone BOOLEAN DEFAULT TRUE
            0xa1 => info.refreshed = flag.unwrap_or(true),
            0xa2 => {
                info.refreshed = flag.unwrap_or(true);
                info.lists_present = true;
            }
            // syncIdSet: refreshDeletes BOOLEAN DEFAULT FALSE
            0xa3 if flag == Some(true) => info.deleted = uuids(rest)?,
            0xa3 => info.lists_present = true,
            _ => return None,
        }
        Some(info)
    }
}

/// `SET OF OCTET STRING (SIZE(16))`.
fn uuids(bytes: &[u8]) -> Option<Vec<Uuid>> {
    let (0x31, mut rest, _) = ber::split(bytes)? else { return None };
    let mut found = Vec::new();
    while !rest.is_empty() {
        let (OCTETS, uuid, after) = ber::split(rest)? else { return None };
        found.push(Uuid::from_slice(uuid).ok()?);
        rest = after;
    }
    Some(found)
}

/// The element with this tag if it comes first, and what follows; none if the bytes are malformed.
fn optional(bytes: &[u8], wanted: u8) -> Option<(Option<&[u8]>, &[u8])> {
    if bytes.first() != Some(&wanted) {
        return Some((None, bytes));
    }
    let (_, content, rest) = ber::split(bytes)?;
    Some((Some(content), rest))
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;

    pub fn decode(bytes: &[u8]) {
        StateControl::parse(bytes);
        Info::parse(bytes);
    }

    fn tagged(tag: u8, parts: &[Vec<u8>]) -> Vec<u8> {
        let mut bytes = ber::sequence(parts);
        bytes[0] = tag;
        bytes
    }

    #[test]
    fn a_cookie_asks_to_be_refused_rather_than_told_everything() {
        assert_eq!(request(b"").val.expect("a value"), [0x30, 3, 0x0a, 1, 3]);
        let value = request(b"c").val.expect("a value");
        assert_eq!(value, [0x30, 9, 0x0a, 1, 3, 4, 1, b'c', 1, 1, 0xff]);
    }

    #[test]
    fn states_are_read_or_refused() {
        let uuid = Uuid::from_u128(7);
        let control = |state, more: &[Vec<u8>]| {
            let parts = [vec![0x0a, 1, state], ber::octets(uuid.as_bytes())];
            StateControl::parse(&ber::sequence(&[&parts, more].concat()))
        };
        let cookie = control(2, &[ber::octets(b"csn")]).expect("a state");
        assert_eq!(
            cookie,
            StateControl { state: State::Change, object: uuid, cookie: Some(b"csn".to_vec()) }
        );
        assert_eq!(control(0, &[]).expect("a state").state, State::Present);
        assert_eq!(control(3, &[]).expect("a state").state, State::Delete);
        assert_eq!(control(4, &[]), None);
        assert_eq!(StateControl::parse(&[0x30, 5, 0x0a, 1, 1, 4, 0]), None, "no uuid");
    }

    #[test]
    fn every_kind_of_info_is_read() {
        let read = |tag, parts: &[Vec<u8>]| Info::parse(&tagged(tag, parts));
        assert_eq!(Info::parse(&[0x80, 1, b'c']).expect("info").cookie, Some(b"c".to_vec()));
        let done = read(0xa1, &[ber::octets(b"c")]).expect("info");
        assert!(done.refreshed && !done.lists_present && done.cookie.is_some());
        assert!(!read(0xa1, &[ber::boolean(false)]).expect("info").refreshed);
        assert!(read(0xa2, &[]).expect("info").lists_present);
        let set = tagged(0x31, &[ber::octets(&[1; 16]), ber::octets(&[2; 16])]);
        let gone = read(0xa3, &[ber::boolean(true), set.clone()]).expect("info");
        assert_eq!(gone.deleted, [Uuid::from_bytes([1; 16]), Uuid::from_bytes([2; 16])]);
        let there = read(0xa3, &[set]).expect("info");
        assert!(there.lists_present && there.deleted.is_empty());
        assert_eq!(read(0xa3, &[ber::boolean(true), vec![0x31, 2, 4, 0]]), None);
        assert_eq!(read(0xa4, &[]), None);
    }
}
