//! A connection to a server that answers with whatever it likes ends in an error, soon, and takes
//! no memory to speak of.

use ldap3::Scope;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream},
};

use crate::{
    config::{Secret, model},
    directory::{
        DirectoryError, Login, ber,
        servers::Servers,
        session::{Credential, Query, Session},
    },
};

const BOUND: &[u8] = &[0x30, 12, 2, 1, 1, 0x61, 7, 0x0a, 1, 0, 4, 0, 4, 0];

/// What a search gives at a server that lets everybody in and then sends `answer`, again and again
/// if it is to be `endless`.
async fn search(answer: Vec<u8>, endless: bool) -> (usize, Result<(), DirectoryError>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let url = format!("ldap://{}", listener.local_addr().expect("an address"));
    let server = tokio::spawn(async move {
        let (mut stream, _) = listener.accept().await.expect("a connection");
        request(&mut stream).await;
        stream.write_all(BOUND).await.expect("written");
        request(&mut stream).await;
        // The other side may close in the middle of it.
        while stream.write_all(&answer).await.is_ok() && endless {}
    });
    let login = Login {
        servers: Servers::from_config(&model::Directory::default()),
        user: "cn=relay".into(),
        credential: Credential::Password(Secret::new("secret".to_owned())),
        ca_file: None,
        start_tls: false,
    };
    let mut session = Session::open(&url, &login).await.expect("bound");
    let mut entries = 0;
    let query = Query {
        base: "",
        scope: Scope::Subtree,
        filter: "(objectClass=*)",
        attributes: &[],
        controls: Vec::new(),
    };
    let found = session.search(query, |_| entries += 1).await.map(|_| ());
    drop(session);
    server.await.expect("the server ends");
    (entries, found)
}

async fn request(stream: &mut TcpStream) {
    let mut bytes = [0; 4096];
    assert_ne!(stream.read(&mut bytes).await.expect("a request"), 0);
}

fn entry(value: &[u8]) -> Vec<u8> {
    let mut values = ber::sequence(&[ber::octets(value)]);
    values[0] = 0x31;
    let attribute = ber::sequence(&[ber::octets(b"cn"), values]);
    let mut entry = ber::sequence(&[ber::octets(b"cn=a"), ber::sequence(&[attribute])]);
    entry[0] = 0x64;
    ber::sequence(&[ber::integer(2), entry])
}

async fn fails(answer: Vec<u8>, endless: bool, why: &str) {
    let (_, found) = search(answer, endless).await;
    let error = found.expect_err("an error").to_string();
    assert!(error.contains(why), "{error}");
}

#[tokio::test]
async fn a_sound_answer_is_taken() {
    let mut done = ber::sequence(&[vec![0x0a, 1, 0], ber::octets(b""), ber::octets(b"")]);
    done[0] = 0x65;
    let answer = [entry(b"x"), entry(&[0xff; 70_000]), ber::sequence(&[ber::integer(2), done])];
    let (entries, found) = search(answer.concat(), false).await;
    found.expect("success");
    assert_eq!(entries, 2);
}

#[tokio::test]
async fn what_is_no_message_ends_the_connection() {
    fails(b"HTTP/1.1 400 Bad Request\r\n\r\n".to_vec(), false, "no LDAP message").await;
    let mut deep = ber::octets(b"x");
    for _ in 0..20_000 {
        deep = ber::sequence(&[deep]);
    }
    deep[0] = 0x64;
    let deep = ber::sequence(&[ber::integer(2), deep]);
    fails(deep, false, "no LDAP message").await;
    let modified = [0x30, 12, 2, 1, 2, 0x67, 7, 0x0a, 1, 0, 4, 0, 4, 0];
    fails(modified.to_vec(), false, "no LDAP message").await;
    let cut = entry(b"x");
    fails(cut[..cut.len() - 1].to_vec(), false, "cannot reach").await;
}

#[tokio::test]
async fn what_is_too_large_is_not_waited_for() {
    let hundred_megabytes = [&[0x30, 0x84, 6, 0, 0, 0][..], &[0; 100]].concat();
    fails(hundred_megabytes, false, "larger than 32 MiB").await;
    // Many tiny elements take more memory than their bytes say.
    let mut tiny = ber::sequence(&vec![ber::octets(b""); 2_000_000]);
    tiny[0] = 0x64;
    fails(ber::sequence(&[ber::integer(2), tiny]), false, "larger than").await;
}

#[tokio::test]
async fn an_endless_answer_ends() {
    fails(entry(&vec![b'x'; 8 * 1024 * 1024]), true, "more than 1024 MiB").await;
}

/// Another server would be asked with the credentials that are for this one.
#[tokio::test]
async fn referrals_lead_nowhere() {
    let elsewhere = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let url = format!("ldap://{}/dc=example", elsewhere.local_addr().expect("an address"));
    // SearchResultReference and SearchResultDone with a referral (RFC 4511 sections 4.5.2, 4.1.10).
    let mut reference = ber::sequence(&[ber::octets(url.as_bytes())]);
    reference[0] = 0x73;
    let mut referral = ber::sequence(&[ber::octets(url.as_bytes())]);
    referral[0] = 0xa3;
    let empty = || ber::octets(b"");
    let mut done = ber::sequence(&[ber::enumerated(10), empty(), empty(), referral]);
    done[0] = 0x65;
    let message = |operation| ber::sequence(&[ber::integer(2), operation]);
    let answer = [message(reference), entry(b"x"), message(done)].concat();
    let (entries, found) = search(answer, false).await;
    found.expect("an answer");
    assert_eq!(entries, 1);
    let asked = futures_util::FutureExt::now_or_never(elsewhere.accept());
    assert!(asked.is_none(), "nobody came");
}
