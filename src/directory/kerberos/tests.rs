//! Kerberos without a domain: what nobody meant, and servers that are not who they say.

use tokio::{
    io::{AsyncReadExt, AsyncWriteExt, DuplexStream, duplex},
    net::TcpListener,
};

use super::{
    Parties, bind,
    context::{self, tests::signed_by_server},
    crypto::Key,
    kdc::Kdc,
    keytab, message,
    message::tests::{key, moment_of, proof, ticket},
};
use crate::directory::{
    DirectoryError,
    ber::{element, integer, octets, sequence, split},
};

const TO: Parties<'_> = Parties { user: "svc@CORP.EXAMPLE", url: "ldaps://dc1", host: "dc1" };
const IN_PROGRESS: u8 = 14;

/// Everything that reads what a KDC, a server or a file tells.
pub fn decode(bytes: &[u8]) {
    keytab::tests::decode(bytes);
    context::tests::decode(bytes);
    bind::tests::decode(bytes);
    message::tests::decode(bytes);
}

/// A server that answers the first step with `first`, made of the token that came, then with the
/// other answers.
async fn bind_at(
    first: impl FnOnce(&[u8]) -> Vec<u8> + Send + 'static,
    others: Vec<Vec<u8>>,
) -> Result<(), DirectoryError> {
    let (mut near, mut far) = duplex(64 * 1024);
    let server = tokio::spawn(async move {
        let token = request(&mut far).await;
        far.write_all(&first(&token)).await.expect("written");
        for answer in others {
            request(&mut far).await;
            far.write_all(&answer).await.expect("written");
        }
    });
    let bound = bind::show(&mut near, &ticket(), &[0; 16], TO).await;
    drop(near);
    server.abort();
    bound
}

/// The token of a bind request.
async fn request(stream: &mut DuplexStream) -> Vec<u8> {
    let mut bytes = vec![0; 4096];
    let length = stream.read(&mut bytes).await.expect("a request");
    let (_, message, _) = split(&bytes[..length]).expect("a message");
    let (_, _id, rest) = split(message).expect("an id");
    let (0x60, bind, _) = split(rest).expect("an operation") else { panic!("no bind: {rest:?}") };
    let (_, _version, rest) = split(bind).expect("a version");
    let (_, _name, rest) = split(rest).expect("a name");
    let (0xa3, sasl, _) = split(rest).expect("credentials") else { panic!("no SASL: {rest:?}") };
    let (_, mechanism, rest) = split(sasl).expect("a mechanism");
    assert_eq!(mechanism, b"GSSAPI");
    split(rest).expect("a token").1.to_vec()
}

fn answer(code: u8, token: &[u8]) -> Vec<u8> {
    let result = [element(0x0a, &[code]), octets(b""), octets(b""), element(0x87, token)];
    sequence(&[integer(1), element(0x61, &result.concat())])
}

/// The proof of who has this key, for a request whose mechanism and number are skipped.
fn proven(key: &Key, token: &[u8]) -> Vec<u8> {
    let (_, inner, _) = split(token).expect("a token");
    let (_, mechanism, rest) = split(inner).expect("a mechanism");
    let moment = moment_of(&rest[2..], &message::tests::key(3)).expect("the moment");
    let proof = proof(key, &moment, Some(&[5; 32]));
    let inner = [&element(0x06, mechanism)[..], &[2, 0], &proof].concat();
    answer(IN_PROGRESS, &element(0x60, &inner))
}

fn offer(layers: u8) -> Vec<u8> {
    answer(IN_PROGRESS, &signed_by_server(&key(5), 5, 0, &[layers, 0, 0, 0]))
}

#[tokio::test]
async fn a_server_that_can_open_the_ticket_is_believed() {
    bind_at(|token| proven(&key(3), token), vec![offer(7), answer(0, b"")]).await.expect("bound");
}

#[tokio::test]
async fn a_server_that_is_not_who_it_says_is_not_believed() {
    let fails = |bound: Result<(), DirectoryError>, why: &str| {
        let told = bound.expect_err("an error").to_string();
        assert!(told.contains(why), "{told}");
    };
    fails(bind_at(|_| answer(0, b""), vec![]).await, "does not end where it should");
    fails(bind_at(|_| answer(IN_PROGRESS, b""), vec![]).await, "does not prove");
    fails(bind_at(|token| proven(&key(4), token), vec![]).await, "does not prove");
    let unsigned = answer(IN_PROGRESS, &[7, 0, 0, 0]);
    fails(bind_at(|token| proven(&key(3), token), vec![unsigned]).await, "not signed");
    fails(bind_at(|token| proven(&key(3), token), vec![offer(6)]).await, "security layer");
    let too_early = answer(0, b"");
    fails(bind_at(|token| proven(&key(3), token), vec![too_early]).await, "should");
    let more = [offer(7), offer(7)].concat();
    fails(bind_at(|token| proven(&key(3), token), vec![more]).await, "more follows");
    fails(bind_at(|_| b"HTTP/1.1 400".to_vec(), vec![]).await, "no LDAP message");
    fails(bind_at(|_| answer(49, b""), vec![]).await, "does not accept the ticket");
}

#[tokio::test]
async fn a_kdc_that_answers_too_much_or_too_little_is_unreachable() {
    for (bytes, why) in [
        (&[0xff, 0xff, 0xff, 0xff, 0, 0][..], "too large"),
        (&[0, 0, 1, 0, 0, 0][..], "early eof"),
        (&[0, 0][..], "unexpected end of file"),
    ] {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let address = listener.local_addr().expect("an address").to_string();
        let server = tokio::spawn(async move {
            let (mut stream, _) = listener.accept().await.expect("a connection");
            let mut request = [0; 7];
            stream.read_exact(&mut request).await.expect("a request");
            stream.write_all(bytes).await.expect("written");
            request
        });
        let error = Kdc::new(Some(&address), "").ask(b"abc").await.expect_err("an error");
        assert!(!error.is_setup() && error.to_string().contains(why), "{error}");
        assert_eq!(&server.await.expect("a server"), b"\0\0\0\x03abc");
    }
}
