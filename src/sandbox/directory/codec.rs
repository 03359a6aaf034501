//! LDAP messages on the wire (RFC 4511 section 4.1.1).
//!
//! The operations are read and written by `ldap3_proto`. Two parts of a request are taken out before
//! and read here, because that codec loses part of them: the filter and the controls. It also checks
//! the size of a message only after buffering it.

use std::io;

use bytes::{Bytes, BytesMut};
use ldap3_lber::{
    Parser,
    common::TagClass,
    structure::{PL, StructureTag},
    write,
};
use ldap3_proto::proto::{LdapMsg, LdapOp};
use tokio_util::codec::Decoder;

use super::{control::Controls, filter::Filter, refusal::Refusal};

/// The largest message accepted, in bytes: ample for a photo, small for a server on loopback.
const MAX_MESSAGE: usize = 1 << 20;
/// How deep the BER of a message may be nested.
const MAX_DEPTH: usize = 64;

/// A request as it arrived.
#[derive(Debug)]
pub struct Request {
    /// The message id.
    pub id: i32,
    /// What to do. A search has a placeholder for its filter.
    pub op: LdapOp,
    /// The filter of a search.
    pub filter: Option<Filter>,
    /// The controls, or why they cannot be honoured.
    pub controls: Result<Controls, Refusal>,
}

/// Reads requests; an error means that the stream cannot be read any further.
#[derive(Debug, Default)]
pub struct Codec;

impl Decoder for Codec {
    type Item = Request;
    type Error = io::Error;

    fn decode(&mut self, buffer: &mut BytesMut) -> io::Result<Option<Request>> {
        let Some(length) = message_length(buffer)? else { return Ok(None) };
        if buffer.len() < length {
            buffer.reserve(length - buffer.len());
            return Ok(None);
        }
        let message = buffer.split_to(length);
        let (rest, tag) = Parser::new(MAX_DEPTH)
            .parse(&message)
            .map_err(|_| malformed("the BER cannot be parsed"))?;
        if !rest.is_empty() {
            return Err(malformed("the message does not fill its length"));
        }
        request(tag).map(Some)
    }
}

fn malformed(reason: &str) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, reason.to_owned())
}

/// The length of the message at the start of the buffer, header included, once it can be told.
fn message_length(buffer: &[u8]) -> io::Result<Option<usize>> {
    let [tag, first, rest @ ..] = buffer else { return Ok(None) };
    if *tag != 0x30 {
        return Err(malformed("not an LDAP message"));
    }
    let (header, content) = match first {
        short @ 0..=0x7f => (2, usize::from(*short)),
        0x81..=0x84 => {
            let count = usize::from(first & 0x7f);
            let Some(length) = rest.get(..count) else { return Ok(None) };
            let length = length.iter().fold(0, |length, byte| length << 8 | usize::from(*byte));
            (2 + count, length)
        }
        _ => return Err(malformed("the length of the message is not definite")),
    };
    if content > MAX_MESSAGE {
        return Err(malformed("the message is too long"));
    }
    Ok(Some(header + content))
}

fn request(tag: StructureTag) -> io::Result<Request> {
    let bad = |reason: &'static str| move || malformed(reason);
    let mut parts = tag.expect_constructed().ok_or_else(bad("the message is no sequence"))?;
    let controls = match parts.len() {
        3 => parts.pop().and_then(StructureTag::expect_constructed).unwrap_or_default(),
        _ => Vec::new(),
    };
    let op = parts.last_mut().ok_or_else(bad("the message is empty"))?;
    if !matches!(op.id, 0 | 2 | 3 | 6 | 8 | 10 | 12 | 14 | 16 | 23) {
        return Err(malformed("not a request"));
    }
    let filter = if op.id == 3 { Some(take_filter(op)?) } else { None };
    let outer = StructureTag { class: TagClass::Universal, id: 16, payload: PL::C(parts) };
    let message = LdapMsg::try_from(outer).map_err(|_| malformed("the request is malformed"))?;
    let controls = Controls::decode(controls);
    Ok(Request { id: message.msgid, op: message.op, filter, controls })
}

/// Takes the filter out of a search request and leaves `(objectClass=*)` in its place.
fn take_filter(op: &mut StructureTag) -> io::Result<Filter> {
    let PL::C(fields) = &mut op.payload else { return Err(malformed("the search is empty")) };
    let place = fields.get_mut(6).ok_or_else(|| malformed("the search has no filter"))?;
    let payload = PL::P(b"objectClass".to_vec());
    let filter =
        std::mem::replace(place, StructureTag { class: TagClass::Context, id: 7, payload });
    Filter::decode(filter).map_err(|error| malformed(&error.to_string()))
}

/// The bytes of these messages, one after another.
pub fn encode(messages: impl IntoIterator<Item = LdapMsg>) -> io::Result<Bytes> {
    let mut buffer = BytesMut::new();
    for message in messages {
        write::encode_into(&mut buffer, message.into())?;
    }
    Ok(buffer.freeze())
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a test fails by panicking")]
mod tests {
    use super::*;

    #[test]
    fn a_message_is_read_only_when_complete() {
        // Unbind, message id 1.
        let bytes = [0x30, 5, 2, 1, 1, 0x42, 0];
        for cut in 0..bytes.len() {
            let mut buffer = BytesMut::from(&bytes[..cut]);
            assert!(Codec.decode(&mut buffer).unwrap().is_none(), "{cut}");
        }
        let mut buffer = BytesMut::from(&bytes[..]);
        let request = Codec.decode(&mut buffer).unwrap().unwrap();
        assert_eq!((request.id, request.op), (1, LdapOp::UnbindRequest));
    }

    #[test]
    fn an_oversized_message_is_refused_by_its_header() {
        let mut buffer = BytesMut::from(&[0x30, 0x84, 0x7f, 0xff, 0xff, 0xff][..]);
        assert!(Codec.decode(&mut buffer).is_err());
    }

    #[test]
    fn deep_nesting_is_refused() {
        let mut bytes = vec![0x30, 0];
        for _ in 0..100 {
            let length = bytes.len() as u16;
            let mut outer = vec![0x30, 0x82];
            outer.extend(length.to_be_bytes());
            outer.extend(&bytes);
            bytes = outer;
        }
        assert!(Codec.decode(&mut BytesMut::from(&bytes[..])).is_err());
    }
}
