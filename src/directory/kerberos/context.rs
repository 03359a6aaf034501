//! The tokens that GSSAPI exchanges for Kerberos (RFC 4121): who we are, who the server is, and a
//! few bytes that both then vouch for.

use super::{
    crypto::{CHECKSUM, Key, usage},
    message::{self, Moment, Ticket},
};
use crate::directory::ber;

/// 1.2.840.113554.1.2.2.
const MECHANISM: &[u8] = &[0x2a, 0x86, 0x48, 0x86, 0xf7, 0x12, 0x01, 0x02, 0x02];
const REQUEST: [u8; 2] = [1, 0];
const REPLY: [u8; 2] = [2, 0];
const WRAP: [u8; 2] = [5, 4];
/// The authenticator's checksum is none, but carries what follows (section 4.1.1).
const CHECKSUM_TYPE: u32 = 0x8003;
/// Mutual authentication, replay and sequence detection, confidentiality, integrity: what is there,
/// not what will be used, which the bind agrees on at its end (RFC 4752 section 3.1).
const FLAGS: u32 = 0x02 | 0x04 | 0x08 | 0x10 | 0x20;
/// The server, too, has to show who it is (RFC 4120 section 5.5.1).
const MUTUAL_REQUIRED: u32 = 0x2000_0000;
const HEADER: usize = 16;
const SENT_BY_ACCEPTOR: u8 = 0x01;
const SEALED: u8 = 0x02;
const ACCEPTOR_SUBKEY: u8 = 0x04;
const FILLER: u8 = 0xff;

/// A login that the server has yet to answer.
pub struct Request {
    key: Key,
    moment: Moment,
    sequence_number: u32,
}

impl Request {
    /// Begins: the token that shows the ticket, on the TLS connection of this binding.
    pub fn new(ticket: &Ticket, binding: &[u8; 16]) -> (Request, Vec<u8>) {
        let checksum =
            [&(binding.len() as u32).to_le_bytes()[..], binding, &FLAGS.to_le_bytes()].concat();
        let (moment, sequence_number) = (Moment::now(), rand::random_range(1..1 << 30));
        let token = message::ap_request(
            ticket,
            usage::AUTHENTICATOR,
            (CHECKSUM_TYPE, &checksum),
            &moment,
            sequence_number,
            MUTUAL_REQUIRED,
        );
        let inner = [&ber::element(0x06, MECHANISM)[..], &REQUEST, &token].concat();
        let request = Request { key: ticket.key.clone(), moment, sequence_number };
        (request, ber::element(0x60, &inner))
    }

    /// Takes the server's token. None if it does not prove that the ticket's service has sent it.
    pub fn answered(self, token: &[u8]) -> Option<Context> {
        let (0x60, inner, []) = ber::split(token)? else { return None };
        let (0x06, MECHANISM, rest) = ber::split(inner)? else { return None };
        let message = rest.strip_prefix(&REPLY)?;
        let subkey = message::ap_reply(message, &self.key, &self.moment)?;
        Some(Context { key: self.key, subkey, sequence_number: self.sequence_number })
    }
}

/// A login in which both sides know each other.
pub struct Context {
    key: Key,
    /// The server's choice.
    subkey: Option<Key>,
    sequence_number: u32,
}

impl Context {
    /// Opens what the server has signed (section 4.2.6.2). None if it has not, or has sealed it.
    pub fn unwrap(&self, token: &[u8]) -> Option<Vec<u8>> {
        let (header, body) = token.split_first_chunk::<HEADER>()?;
        let [0x05, 0x04, flags, FILLER, length @ .., _, _, _, _, _, _, _, _] = *header else {
            return None;
        };
        let [length, rotation] = [[length[0], length[1]], [length[2], length[3]]]
            .map(|bytes| usize::from(u16::from_be_bytes(bytes)));
        if flags & (SENT_BY_ACCEPTOR | SEALED) != SENT_BY_ACCEPTOR || length != CHECKSUM {
            return None;
        }
        let key = if flags & ACCEPTOR_SUBKEY == 0 { &self.key } else { self.subkey.as_ref()? };
        let mut body = body.to_vec();
        let rotation = rotation.checked_rem(body.len())?;
        body.rotate_left(rotation);
        let checksum = body.split_off(body.len().checked_sub(CHECKSUM)?);
        let expected = key.checksum(usage::FROM_ACCEPTOR, &signed(&body, header));
        (checksum == expected).then_some(body)
    }

    /// Signs the first bytes that are sent.
    pub fn wrap(&self, data: &[u8]) -> Vec<u8> {
        let (key, flags) = match &self.subkey {
            Some(subkey) => (subkey, ACCEPTOR_SUBKEY),
            None => (&self.key, 0),
        };
        let mut header = [0; HEADER];
        header[..2].copy_from_slice(&WRAP);
        header[2..4].copy_from_slice(&[flags, FILLER]);
        header[12..].copy_from_slice(&self.sequence_number.to_be_bytes());
        let checksum = key.checksum(usage::FROM_INITIATOR, &signed(data, &header));
        header[4..6].copy_from_slice(&(CHECKSUM as u16).to_be_bytes());
        [&header[..], data, &checksum].concat()
    }
}

/// What a checksum is over: the data, and the header as if it did not know of the checksum.
fn signed(data: &[u8], header: &[u8; HEADER]) -> Vec<u8> {
    let mut header = *header;
    header[4..8].fill(0);
    [data, &header].concat()
}

#[cfg(test)]
pub mod tests {
    use super::*;

    fn key(byte: u8) -> Key {
        Key::new(18, &[byte; 32]).expect("a key")
    }

    fn context(subkey: Option<Key>) -> Context {
        Context { key: key(1), subkey, sequence_number: 7 }
    }

    /// As a server signs.
    pub fn signed_by_server(key: &Key, flags: u8, rotation: u16, data: &[u8]) -> Vec<u8> {
        let mut header = [5, 4, flags, 0xff, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 9];
        let mut body = data.to_vec();
        body.extend(key.checksum(usage::FROM_ACCEPTOR, &signed(data, &header)));
        let length = body.len();
        body.rotate_right(usize::from(rotation) % length);
        header[5] = 12;
        header[6..8].copy_from_slice(&rotation.to_be_bytes());
        [&header[..], &body].concat()
    }

    /// Takes tokens that nobody meant.
    pub fn decode(bytes: &[u8]) {
        context(Some(key(2))).unwrap(bytes);
        let moment = Moment::now();
        Request { key: key(1), moment, sequence_number: 7 }.answered(bytes);
    }

    #[test]
    fn what_the_server_signs_is_taken_and_nothing_else() {
        let with = context(Some(key(2)));
        let layers = [7, 0, 1, 2];
        for rotation in [0, 3, 12, 28] {
            let token = signed_by_server(&key(2), 5, rotation, &layers);
            assert_eq!(with.unwrap(&token).as_deref(), Some(&layers[..]), "{rotation}");
        }
        let token = signed_by_server(&key(1), 1, 0, &layers);
        assert_eq!(context(None).unwrap(&token).as_deref(), Some(&layers[..]));
        assert!(context(None).unwrap(&signed_by_server(&key(2), 5, 0, &layers)).is_none());
        assert!(with.unwrap(&signed_by_server(&key(2), 4, 0, &layers)).is_none(), "our own");
        assert!(with.unwrap(&signed_by_server(&key(2), 7, 0, &layers)).is_none(), "sealed");
        assert!(with.unwrap(&with.wrap(&layers)).is_none(), "sent back");
        let token = signed_by_server(&key(2), 5, 0, &layers);
        for at in 0..token.len() {
            assert!(with.unwrap(&token[..at]).is_none(), "{at} bytes");
            // How far it is rotated is not signed, and may be said in more ways than one.
            if (6..8).contains(&at) {
                continue;
            }
            let mut changed = token.clone();
            changed[at] ^= 1;
            assert!(with.unwrap(&changed).is_none(), "byte {at}");
        }
    }
}
