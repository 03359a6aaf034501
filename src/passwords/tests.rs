//! A watcher's intake, and whoever hands passwords over to it.

use std::{
    io::{Read, Write},
    os::unix::net::UnixStream,
    sync::{Arc, Mutex, MutexGuard},
    time::Duration,
};

use futures_util::FutureExt;
use secrecy::zeroize::Zeroizing;
use tempfile::TempDir;
use tokio_util::sync::CancellationToken;

use super::*;
use crate::{
    config::model::Passwords,
    fuzz::{fuzz, lines},
    sealing::{Binding, Opener, Password, make_pair},
    watcher::candidate::Candidate,
};

#[derive(Default)]
struct Kept(Mutex<Vec<Candidate>>, Mutex<Option<&'static str>>);

impl Kept {
    fn all(&self) -> MutexGuard<'_, Vec<Candidate>> {
        self.0.lock().expect("lock")
    }
}

impl Shelf for Kept {
    fn keep(&self, candidate: Candidate) -> Result<(), String> {
        match *self.1.lock().expect("lock") {
            Some(error) => Err(error.into()),
            None => {
                self.all().push(candidate);
                Ok(())
            }
        }
    }
}

struct World {
    folder: TempDir,
    kept: Arc<Kept>,
    address: Address,
    shutdown: CancellationToken,
}

impl World {
    async fn new() -> World {
        let folder = tempfile::tempdir().expect("folder");
        make_pair(&folder.path().join("opening.key"), &folder.path().join("sealing.pub"))
            .expect("keys");
        let kept = Arc::new(Kept::default());
        let key = folder.path().join("sealing.pub");
        let intake = Intake::new("ldap:///dc=x", &key, Arc::clone(&kept) as _).expect("a key");
        let intake = Arc::new(intake);
        let listen = format!("unix:{}", folder.path().join("password.sock").display());
        let config = Passwords { listen: listen.clone(), ..Passwords::default() };
        let server = Server::bind(&config, intake).await.expect("bound");
        let shutdown = CancellationToken::new();
        tokio::spawn(server.serve(shutdown.clone()));
        let address = Address::parse(&listen).expect("an address");
        World { folder, kept, address, shutdown }
    }

    async fn submit(&self, submission: &Submission) -> Result<(), SubmitError> {
        submit(&self.address, &ClientTls::default(), submission, Duration::from_secs(10)).await
    }

    /// What the intake answers to these bytes.
    async fn answer(&self, request: Vec<u8>) -> String {
        let Address::Unix(path) = self.address.clone() else { panic!("a Unix socket") };
        let ask = move || {
            let mut stream = UnixStream::connect(path).expect("connected");
            // It may have answered and closed before the end.
            let _enough = stream.write_all(&request);
            let _enough = stream.shutdown(std::net::Shutdown::Write);
            let mut answer = String::new();
            let _reset = stream.read_to_string(&mut answer);
            answer
        };
        tokio::task::spawn_blocking(ask).await.expect("no panic")
    }
}

impl Drop for World {
    fn drop(&mut self) {
        self.shutdown.cancel();
    }
}

fn password(text: &str) -> Password {
    Password::from_bytes(Zeroizing::new(text.as_bytes().to_vec())).expect("a password")
}

fn submission(user: &str, value: &str) -> Submission {
    let account = Account::parse(user).expect("a name");
    let at = Some(jiff::Timestamp::now());
    Submission { account, at, committed: false, version: None, password: password(value) }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_password_is_kept_sealed_and_opens_as_it_was() {
    let world = World::new().await;
    let value = "päss \" \r\n word:";
    let handed =
        Submission { committed: true, version: Some(7), ..submission("CORP\\Älice", value) };
    world.submit(&handed).await.expect("taken");
    let kept = world.kept.all();
    let [candidate] = &kept[..] else { panic!("one: {kept:?}") };
    assert_eq!((&*candidate.account, candidate.version), ("name:älice", Some(7)));
    assert_eq!((Some(candidate.at), candidate.committed), (handed.at, true));
    let opener = Opener::load(&[world.folder.path().join("opening.key")]).expect("keys");
    let binding =
        Binding { source: "ldap:///dc=x", account: "name:älice", candidate: candidate.id };
    let opened = opener.open(&candidate.key_id, &candidate.sealed, binding).expect("opens");
    assert_eq!(opened.expose(), value);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_key_can_be_changed_without_a_pause() {
    let world = World::new().await;
    let at = |name: &str| world.folder.path().join(name);
    let ids = || world.kept.all().iter().map(|kept| kept.key_id.clone()).collect::<Vec<_>>();
    let next = make_pair(&at("next.key"), &at("next.pub")).expect("keys");
    world.submit(&submission("alice", "secret")).await.expect("taken");
    std::fs::write(at("half.pub"), "-----BEGIN").expect("written");
    std::fs::rename(at("half.pub"), at("sealing.pub")).expect("renamed");
    world.submit(&submission("alice", "secret")).await.expect("taken");
    std::fs::rename(at("next.pub"), at("sealing.pub")).expect("renamed");
    world.submit(&submission("alice", "secret")).await.expect("taken");
    let ids = ids();
    assert!(ids[0] == ids[1] && ids[0] != ids[2] && ids[2] == next, "{ids:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_malformed_is_answered_alike_and_kept_never() {
    let world = World::new().await;
    let good = submission("alice", "secret").request();
    let text = String::from_utf8(good.to_vec()).expect("text");
    for bad in [
        text.replace("POST", "PUT"),
        text.replace("/v1/password", "/"),
        text.replace("content-length: 6", "content-length: 7"),
        text.replace("content-length: 6", "content-length: 0"),
        text.replace("content-length: 6", "content-length: 99999999999999999999"),
        text.replace("alice", ""),
        text.replace("relay-time: 2", "relay-time: yesterday"),
        text.replace("relay-time: 2", "relay-time: 1"),
        text.replace("relay-account", &"x".repeat(5000)),
        text.replace("host: relay", &"a: b\r\n".repeat(40)),
        "\0\0\0\0".repeat(9000),
        String::new(),
    ] {
        let answer = world.answer(bad.clone().into_bytes()).await;
        assert!(answer.is_empty() || answer.starts_with("HTTP/1.1 400 "), "{bad:?}: {answer:?}");
    }
    assert!(world.kept.all().is_empty());
    let answer = world.answer(good.to_vec()).await;
    assert!(answer.starts_with("HTTP/1.1 202 "), "{answer:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_cannot_be_kept_is_told_to_the_caller() {
    let world = World::new().await;
    *world.kept.1.lock().expect("lock") = Some("the disk is full");
    let refused = world.submit(&submission("alice", "secret")).await.expect_err("not kept");
    assert!(matches!(refused, SubmitError::Answer(503)), "{refused}");
    world.shutdown.cancel();
    let nobody = Address::Unix(world.folder.path().join("nobody.sock"));
    let tls = ClientTls::default();
    let refused = submit(&nobody, &tls, &submission("a", "b"), Duration::from_secs(9)).await;
    assert!(matches!(refused, Err(SubmitError::Connection(_))), "{refused:?}");
}

#[test]
fn a_flood_is_limited() {
    let start = std::time::Instant::now();
    let limit = limit::Limit::new(start);
    assert_eq!((0..5000).filter(|_| limit.take(start)).count(), 1000);
    let later = start + Duration::from_secs(1);
    assert_eq!((0..5000).filter(|_| limit.take(later)).count(), 100);
}

#[test]
fn users_are_named_in_three_ways() {
    let name = |text: &str| Account::parse(text).map(|account| account.to_string());
    assert_eq!(name(" CORP\\Alice ").as_deref(), Some("name:alice"));
    assert_eq!(name("s-1-5-21-7").as_deref(), Some("sid:S-1-5-21-7"));
    let guid = "0f8fad5b-d9cb-469f-a165-70867728950e";
    assert_eq!(name(&format!("{{{guid}}}")), Some(format!("guid:{guid}")));
    assert_eq!((name(""), name("a\nb"), name("CORP\\")), (None, None, None));
    for other in [guid, "S-1-5-21-7"] {
        assert_eq!(name(&format!("CORP\\{other}")), None, "no name of an account in a domain");
    }
}

#[test]
fn complexity_is_three_of_five_classes() {
    for good in ["Passw0rd", "pass-w0rd", "PASS-W0RD", "Passw-rd", "密パx1"] {
        assert!(is_complex(good), "{good}");
    }
    for bad in ["password", "Password", "passw0rd", "", "12345678", "密码密码"] {
        assert!(!is_complex(bad), "{bad}");
    }
}

#[test]
fn ldif_is_read_with_folded_and_encoded_values() {
    let ldif = "# a comment\ndn: CN=a\nobjectGUID: 0f8fad5b-d9cb-469f-a165-70867728950e\n\
                msDS-KeyVersionNumber: 12\nvirtualClearTextUTF8:: cMOkc3\n MgIndvcmQ=\n";
    let read = read_ldif(ldif).expect("read").expect("a password");
    assert_eq!(read.password.expose(), "päss \"word");
    assert_eq!((read.version, read.committed), (Some(12), true));
    let plain = ldif.replace(":: cMOkc3\n MgIndvcmQ=", ":  x: y");
    assert_eq!(read_ldif(&plain).expect("read").expect("a password").password.expose(), " x: y");
    assert!(read_ldif("dn: CN=a\npwdLastSet: 0\n").expect("read").is_none());
    assert!(read_ldif(&ldif.replace("objectGUID", "x")).is_err());
    assert!(read_ldif(&ldif.replace("cMOkc3", "%")).is_err());
}

#[test]
fn no_bytes_make_a_reader_panic() {
    let corpus = lines(include_str!("../../tests/corpus/passwords.txt"));
    let mut taken = 0;
    fuzz("passwords", &corpus, |bytes| {
        let read = |bytes: &[u8]| {
            let read = Submission::read(&mut &*bytes).now_or_never();
            read.expect("all bytes are there").expect("no I/O")
        };
        if let Some(submission) = read(bytes) {
            taken += 1;
            let again = read(&submission.request()).expect("its own form");
            assert_eq!(again.account, submission.account);
        }
        let _status = http::read_status(&mut &*bytes).now_or_never().expect("at once");
        if let Ok(text) = str::from_utf8(bytes) {
            taken += usize::from(matches!(read_ldif(text), Ok(Some(_))));
            Account::parse(text);
            Address::parse(text);
        }
    });
    assert!(taken >= corpus.len() - 1, "the corpus is sound");
}
