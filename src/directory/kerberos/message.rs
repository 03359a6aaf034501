//! The messages of Kerberos (RFC 4120 section 5) that a client sends and reads.

use std::fmt;

use jiff::Timestamp;
use secrecy::zeroize::Zeroizing;

use super::{
    crypto::{Key, Kind, usage},
    der::{
        application, field, flags, get, of_application, of_integer, of_octets, of_sequence,
        of_text, text, time,
    },
};
use crate::directory::ber::{integer, octets, sequence, split};

const VERSION: u32 = 5;
const AS_REQUEST: u8 = 10;
const AS_REPLY: u8 = 11;
const TGS_REQUEST: u8 = 12;
const TGS_REPLY: u8 = 13;
const AP_REQUEST: u8 = 14;
const AP_REPLY: u8 = 15;
const ERROR: u8 = 30;
const PA_TGS_REQUEST: u32 = 1;
const PA_ENC_TIMESTAMP: u32 = 2;
const NAME_PRINCIPAL: u32 = 1;
const NAME_SERVICE: u32 = 2;
const NAME_HOST: u32 = 3;
/// As late as the protocol can say: the KDC's own limit counts.
const LATEST: &str = "20370913024805Z";

/// Who has a key: an account.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Principal {
    /// Its name, in parts.
    pub name: Vec<String>,
    /// The domain.
    pub realm: String,
}

impl fmt::Display for Principal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}@{}", self.name.join("/"), self.realm)
    }
}

fn principal_name<T: AsRef<str>>(kind: u32, parts: &[T]) -> Vec<u8> {
    let parts: Vec<_> = parts.iter().map(|part| text(part.as_ref())).collect();
    sequence(&[field(0, &integer(kind)), field(1, &sequence(&parts))])
}

/// A service that a ticket is asked for.
#[derive(Debug, Clone, Copy)]
pub enum Service<'a> {
    /// The one that issues tickets for others.
    Tickets,
    /// LDAP on this host.
    Ldap(&'a str),
}

impl Service<'_> {
    fn parts<'a>(&'a self, realm: &'a str) -> [&'a str; 2] {
        match self {
            Service::Tickets => ["krbtgt", realm],
            Service::Ldap(host) => ["ldap", host],
        }
    }

    fn name(&self, realm: &str) -> Vec<u8> {
        let kind = match self {
            Service::Tickets => NAME_SERVICE,
            Service::Ldap(_) => NAME_HOST,
        };
        principal_name(kind, &self.parts(realm))
    }
}

/// A moment, as messages tell it.
pub struct Moment {
    time: Vec<u8>,
    microseconds: Vec<u8>,
}

impl Moment {
    /// This one.
    pub fn now() -> Moment {
        let now = Timestamp::now();
        let microseconds = now.subsec_microsecond().unsigned_abs();
        Moment {
            time: time(&now.strftime("%Y%m%d%H%M%SZ").to_string()),
            microseconds: integer(microseconds),
        }
    }
}

fn encrypted(key: &Key, usage: i32, plain: &[u8]) -> Vec<u8> {
    let kind = integer(key.kind() as u32);
    let encrypted = octets(&key.encrypt(usage, plain));
    sequence(&[field(0, &kind), field(2, &encrypted)])
}

fn decrypted(key: &Key, usage: i32, data: &[u8]) -> Option<Zeroizing<Vec<u8>>> {
    let fields = of_sequence(data)?;
    if of_integer(get(fields, 0)?)? != key.kind() as i64 {
        return None;
    }
    key.decrypt(usage, of_octets(get(fields, 2)?)?)
}

/// `KDC-REQ-BODY`.
fn body(client: Option<&Principal>, realm: &str, service: Service<'_>, nonce: u32) -> Vec<u8> {
    let kinds: Vec<_> = Kind::ALL.iter().map(|kind| integer(*kind as u32)).collect();
    let client = client.map(|client| field(1, &principal_name(NAME_PRINCIPAL, &client.name)));
    sequence(&[
        field(0, &flags(0)),
        client.unwrap_or_default(),
        field(2, &text(realm)),
        field(3, &service.name(realm)),
        field(5, &time(LATEST)),
        field(7, &integer(nonce)),
        field(8, &sequence(&kinds)),
    ])
}

fn request(number: u8, proof_type: u32, proof: &[u8], body: &[u8]) -> Vec<u8> {
    let proof = sequence(&[field(1, &integer(proof_type)), field(2, &octets(proof))]);
    application(
        number,
        &[
            field(1, &integer(VERSION)),
            field(2, &integer(number.into())),
            field(3, &sequence(&[proof])),
            field(4, body),
        ],
    )
}

/// Asks for the ticket that other tickets are asked for with. The time, encrypted, proves that the
/// account's key is known (section 5.2.7.2).
pub fn as_request(client: &Principal, key: &Key, nonce: u32) -> Vec<u8> {
    let now = Moment::now();
    let proof = sequence(&[field(0, &now.time), field(1, &now.microseconds)]);
    let proof = encrypted(key, usage::TIMESTAMP, &proof);
    let body = body(Some(client), &client.realm, Service::Tickets, nonce);
    request(AS_REQUEST, PA_ENC_TIMESTAMP, &proof, &body)
}

/// Asks for a ticket for `service`, with the one that the account has.
pub fn tgs_request(ticket: &Ticket, realm: &str, service: Service<'_>, nonce: u32) -> Vec<u8> {
    let body = body(None, realm, service, nonce);
    let key = &ticket.key;
    let checksum = (key.kind().checksum_type(), &*key.checksum(usage::TGS_CHECKSUM, &body));
    let moment = Moment::now();
    let proof = ap_request(ticket, usage::TGS_AUTHENTICATOR, checksum, &moment, 0, 0);
    request(TGS_REQUEST, PA_TGS_REQUEST, &proof, &body)
}

/// Shows a ticket to the service that it is for, and proves that its key is known.
pub fn ap_request(
    ticket: &Ticket,
    usage: i32,
    (checksum_type, checksum): (u32, &[u8]),
    moment: &Moment,
    sequence_number: u32,
    options: u32,
) -> Vec<u8> {
    let checksum = sequence(&[field(0, &integer(checksum_type)), field(1, &octets(checksum))]);
    let authenticator = application(
        2,
        &[
            field(0, &integer(VERSION)),
            field(1, &ticket.realm),
            field(2, &ticket.client),
            field(3, &checksum),
            field(4, &moment.microseconds),
            field(5, &moment.time),
            field(7, &integer(sequence_number)),
        ],
    );
    application(
        AP_REQUEST,
        &[
            field(0, &integer(VERSION)),
            field(1, &integer(AP_REQUEST.into())),
            field(2, &flags(options)),
            field(3, &ticket.ticket),
            field(4, &encrypted(&ticket.key, usage, &authenticator)),
        ],
    )
}

/// A ticket with its key, and whose it is. All but the key is passed on as it came.
#[derive(Debug)]
pub struct Ticket {
    /// The key that the service finds in the ticket.
    pub key: Key,
    ticket: Vec<u8>,
    realm: Vec<u8>,
    client: Vec<u8>,
}

/// What a KDC refuses with.
#[derive(Debug, PartialEq, Eq)]
pub struct Refusal {
    /// The number (RFC 4120 section 7.5.9).
    pub code: i64,
    /// What else it says.
    pub text: String,
}

/// Reads a refusal; none if the message is none.
pub fn refusal(message: &[u8]) -> Option<Refusal> {
    let fields = of_application(ERROR, message)?;
    let code = of_integer(get(fields, 6)?)?;
    let text = get(fields, 11).and_then(of_text).unwrap_or_default().to_owned();
    Some(Refusal { code, text })
}

/// Reads the answer to [`as_request`].
pub fn as_reply(message: &[u8], key: &Key, realm: &str, nonce: u32) -> Option<Ticket> {
    let fields = of_application(AS_REPLY, message)?;
    ticket(fields, key, usage::AS_REPLY, realm, Service::Tickets, nonce)
}

/// Reads the answer to [`tgs_request`].
pub fn tgs_reply(
    message: &[u8],
    key: &Key,
    realm: &str,
    service: Service<'_>,
    nonce: u32,
) -> Option<Ticket> {
    let fields = of_application(TGS_REPLY, message)?;
    ticket(fields, key, usage::TGS_REPLY, realm, service, nonce)
}

/// `KDC-REP`. That it answers this request, and is for this service, stands in what is encrypted.
fn ticket(
    fields: &[u8],
    key: &Key,
    usage: i32,
    realm: &str,
    service: Service<'_>,
    nonce: u32,
) -> Option<Ticket> {
    let part = decrypted(key, usage, get(fields, 6)?)?;
    Some(Ticket {
        key: session_key(&part, &service.parts(realm), nonce)?,
        ticket: get(fields, 5)?.to_vec(),
        realm: get(fields, 3)?.to_vec(),
        client: get(fields, 4)?.to_vec(),
    })
}

/// `EncKDCRepPart`.
fn session_key(part: &[u8], wanted: &[&str], nonce: u32) -> Option<Key> {
    // Some KDCs give both replies the number of the second (section 5.4.2).
    let part = of_application(25, part).or_else(|| of_application(26, part))?;
    let found = names(get(part, 10)?)?;
    let same = found.len() == wanted.len()
        && found.iter().zip(wanted).all(|(found, wanted)| found.eq_ignore_ascii_case(wanted));
    if !same || of_integer(get(part, 2)?)? != i64::from(nonce) {
        return None;
    }
    encryption_key(get(part, 0)?)
}

fn names(principal: &[u8]) -> Option<Vec<&str>> {
    let mut list = of_sequence(get(of_sequence(principal)?, 1)?)?;
    let mut names = Vec::new();
    while !list.is_empty() {
        let (_, _, rest) = split(list)?;
        names.push(of_text(&list[..list.len() - rest.len()])?);
        list = rest;
    }
    Some(names)
}

fn encryption_key(bytes: &[u8]) -> Option<Key> {
    let fields = of_sequence(bytes)?;
    Key::new(of_integer(get(fields, 0)?)?, of_octets(get(fields, 1)?)?)
}

/// Reads the answer to [`ap_request`], which proves that the service could open the ticket: inner
/// the key that it chose for what follows, if it did.
pub fn ap_reply(message: &[u8], key: &Key, moment: &Moment) -> Option<Option<Key>> {
    let fields = of_application(AP_REPLY, message)?;
    let part = decrypted(key, usage::AP_REPLY, get(fields, 2)?)?;
    subkey(&part, moment)
}

/// `EncAPRepPart`.
fn subkey(part: &[u8], moment: &Moment) -> Option<Option<Key>> {
    let part = of_application(27, part)?;
    if get(part, 0)? != moment.time || get(part, 1)? != moment.microseconds {
        return None;
    }
    match get(part, 2) {
        None => Some(None),
        Some(key) => encryption_key(key).map(Some),
    }
}

#[cfg(test)]
pub mod tests {
    use super::*;

    const REALM: &str = "CORP.EXAMPLE";

    pub fn key(byte: u8) -> Key {
        Key::new(18, &[byte; 32]).expect("a key")
    }

    /// A ticket whose key is known.
    pub fn ticket() -> Ticket {
        let ticket = application(1, &[field(0, &integer(VERSION))]);
        let client = principal_name(NAME_PRINCIPAL, &["svc"]);
        Ticket { key: key(3), ticket, realm: text(REALM), client }
    }

    /// The proof of a server that could open the ticket with this key.
    pub fn proof(key: &Key, moment: &Moment, subkey: Option<&[u8]>) -> Vec<u8> {
        let subkey = subkey
            .map(|value| field(2, &sequence(&[field(0, &integer(18)), field(1, &octets(value))])));
        let part = [field(0, &moment.time), field(1, &moment.microseconds)];
        let part = application(27, &[&part[..], &[subkey.unwrap_or_default()]].concat());
        application(AP_REPLY, &[field(2, &encrypted(key, usage::AP_REPLY, &part))])
    }

    /// The moment that a request tells, as the server that opens it with this key sees it.
    pub fn moment_of(request: &[u8], key: &Key) -> Option<Moment> {
        let part = get(of_application(AP_REQUEST, request)?, 4)?;
        let part = decrypted(key, usage::AUTHENTICATOR, part)?;
        let part = of_application(2, &part)?;
        Some(Moment { time: get(part, 5)?.to_vec(), microseconds: get(part, 4)?.to_vec() })
    }

    /// Takes messages, and what is encrypted in them, that nobody meant.
    pub fn decode(bytes: &[u8]) {
        refusal(bytes);
        as_reply(bytes, &key(1), REALM, 1);
        tgs_reply(bytes, &key(1), REALM, Service::Ldap("dc1"), 1);
        session_key(bytes, &["ldap", "dc1"], 1);
        let moment = Moment { time: time("20260131235959Z"), microseconds: integer(7) };
        ap_reply(bytes, &key(1), &moment);
        subkey(bytes, &moment);
    }

    fn reply(nonce: u32, service: &[&str]) -> Vec<u8> {
        let session = sequence(&[field(0, &integer(18)), field(1, &octets(&[3; 32]))]);
        let part = application(
            26,
            &[
                field(0, &session),
                field(2, &integer(nonce)),
                field(10, &principal_name(NAME_HOST, service)),
            ],
        );
        let ticket = ticket();
        application(
            TGS_REPLY,
            &[
                field(3, &ticket.realm),
                field(4, &ticket.client),
                field(5, &ticket.ticket),
                field(6, &encrypted(&key(1), usage::TGS_REPLY, &part)),
            ],
        )
    }

    #[test]
    fn a_ticket_is_taken_only_for_what_was_asked() {
        let read = |reply: &[u8], key: &Key, nonce| {
            tgs_reply(reply, key, REALM, Service::Ldap("dc1.corp.example"), nonce)
        };
        let good = reply(7, &["ldap", "DC1.corp.example"]);
        assert_eq!(read(&good, &key(1), 7).expect("a ticket").key, key(3));
        assert!(read(&good, &key(1), 8).is_none(), "an old answer");
        assert!(read(&good, &key(2), 7).is_none(), "of somebody else");
        assert!(read(&reply(7, &["ldap", "dc2.corp.example"]), &key(1), 7).is_none());
        assert!(read(&reply(7, &["ldap"]), &key(1), 7).is_none());
        for length in 0..good.len() {
            assert!(read(&good[..length], &key(1), 7).is_none(), "{length} bytes");
        }
    }

    #[test]
    fn a_server_proves_that_it_opened_this_very_request() {
        let (ticket, moment) = (ticket(), Moment::now());
        let request = ap_request(&ticket, usage::AUTHENTICATOR, (1, b""), &moment, 1, 0);
        let seen = moment_of(&request, &ticket.key).expect("opened");
        assert_eq!(ap_reply(&proof(&ticket.key, &seen, None), &ticket.key, &moment), Some(None));
        let subkey = ap_reply(&proof(&ticket.key, &seen, Some(&[5; 32])), &ticket.key, &moment);
        assert_eq!(subkey, Some(Some(key(5))));
        let odd = ap_reply(&proof(&ticket.key, &seen, Some(&[5; 31])), &ticket.key, &moment);
        assert_eq!(odd, None);
        assert_eq!(ap_reply(&proof(&key(9), &seen, None), &ticket.key, &moment), None);
        let other = Moment { time: time("20260131235959Z"), microseconds: integer(7) };
        assert_eq!(ap_reply(&proof(&ticket.key, &other, None), &ticket.key, &moment), None);
    }

    #[test]
    fn a_refusal_is_read() {
        let fields = [field(6, &integer(37)), field(9, &text(REALM)), field(11, &text("skew"))];
        let bytes = application(ERROR, &fields);
        let expected = Refusal { code: 37, text: "skew".into() };
        assert_eq!(refusal(&bytes), Some(expected));
        assert_eq!(refusal(&reply(7, &["ldap", "dc1"])), None);
    }
}
