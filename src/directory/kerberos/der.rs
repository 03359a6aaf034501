//! The forms that the messages of Kerberos are made of (RFC 4120 section 5.2, in DER): sequences
//! whose fields carry a number each.

use crate::directory::ber::{self, split};

const INTEGER: u8 = 0x02;
const OCTETS: u8 = 0x04;
const GENERAL_STRING: u8 = 0x1b;
const SEQUENCE: u8 = 0x30;

/// `[number] EXPLICIT`.
pub fn field(number: u8, element: &[u8]) -> Vec<u8> {
    ber::element(0xa0 | number, element)
}

/// `[APPLICATION number] SEQUENCE`.
pub fn application(number: u8, fields: &[Vec<u8>]) -> Vec<u8> {
    ber::element(0x60 | number, &ber::sequence(fields))
}

/// `KerberosString`.
pub fn text(value: &str) -> Vec<u8> {
    ber::element(GENERAL_STRING, value.as_bytes())
}

/// `KerberosTime`, as `20260131235959Z`.
pub fn time(value: &str) -> Vec<u8> {
    ber::element(0x18, value.as_bytes())
}

/// `KerberosFlags`.
pub fn flags(value: u32) -> Vec<u8> {
    ber::element(0x03, &[&[0][..], &value.to_be_bytes()].concat())
}

/// The content of `[APPLICATION number] SEQUENCE`, if that is all there is.
pub fn of_application(number: u8, bytes: &[u8]) -> Option<&[u8]> {
    let (tag, content, []) = split(bytes)? else { return None };
    if tag == 0x60 | number { of_sequence(content) } else { None }
}

/// The content of `SEQUENCE`, if that is all there is.
pub fn of_sequence(bytes: &[u8]) -> Option<&[u8]> {
    match split(bytes)? {
        (SEQUENCE, content, []) => Some(content),
        _ => None,
    }
}

/// What the field of this number holds: one element.
pub fn get(mut fields: &[u8], number: u8) -> Option<&[u8]> {
    loop {
        let (tag, content, rest) = split(fields)?;
        if tag == 0xa0 | number {
            return Some(content);
        }
        fields = rest;
    }
}

/// The value of `INTEGER`, where it is in the range of the protocol's numbers.
pub fn of_integer(bytes: &[u8]) -> Option<i64> {
    let (INTEGER, [first, rest @ ..], []) = split(bytes)? else { return None };
    let start = i64::from(first.cast_signed());
    (rest.len() < 8).then(|| rest.iter().fold(start, |sum, byte| sum << 8 | i64::from(*byte)))
}

/// The value of `OCTET STRING`.
pub fn of_octets(bytes: &[u8]) -> Option<&[u8]> {
    match split(bytes)? {
        (OCTETS, content, []) => Some(content),
        _ => None,
    }
}

/// The value of `KerberosString`.
pub fn of_text(bytes: &[u8]) -> Option<&str> {
    match split(bytes)? {
        (GENERAL_STRING, content, []) => str::from_utf8(content).ok(),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fields_are_found_by_their_number() {
        let message = application(14, &[field(0, &ber::integer(5)), field(3, &text("a"))]);
        let fields = of_application(14, &message).expect("fields");
        assert_eq!(get(fields, 0).and_then(of_integer), Some(5));
        assert_eq!(get(fields, 3).and_then(of_text), Some("a"));
        assert_eq!(get(fields, 1), None);
        assert_eq!(of_application(15, &message), None);
        assert_eq!(of_application(14, &[&message[..], &[0]].concat()), None);
    }

    #[test]
    fn integers_have_a_sign_and_an_end() {
        assert_eq!(of_integer(&ber::integer(u32::MAX)), Some(0xffff_ffff));
        assert_eq!(of_integer(&[2, 1, 0xff]), Some(-1));
        assert_eq!(of_integer(&[2, 2, 0x80, 0]), Some(-32768));
        assert_eq!(of_integer(&[2, 0]), None);
        assert_eq!(of_integer(&[2, 9, 0, 0, 0, 0, 0, 0, 0, 0, 0]), None);
        assert_eq!(
            of_integer(&[2, 8, 0x7f, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff]),
            Some(i64::MAX)
        );
    }
}
