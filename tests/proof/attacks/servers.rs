//! No secret goes to a server that is not the right one, nor past the first address.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};

use entra_relay::config::{Secret, model};
use entra_relay::directory::{Domain, Login, Trial};
use entra_relay::graph::GraphClient;
use entra_relay::net::tls::install_provider;
use entra_relay::passwords::{Account, Address, ClientTls, Submission, submit};
use entra_relay::queue;
use entra_relay::sealing::Password;
use rcgen::{
    BasicConstraints, Certificate, CertificateParams, DnType, IsCa, Issuer, KeyPair, date_time_ymd,
};
use rustls::ServerConfig;
use rustls::pki_types::{PrivateKeyDer, PrivatePkcs8KeyDer};
use serde_json::json;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio_rustls::TlsAcceptor;

use crate::support::wait::DEADLINE;

/// What no server here may get.
const SECRET: &str = "S3cret-of-the-relay";

/// A ServerHello of TLS 1.1 (RFC 4346 section 7.4.1.3), whatever the client offered.
fn hello_of_tls_1_1() -> Vec<u8> {
    let (head, random) = ([0x16, 3, 2, 0, 42, 2, 0, 0, 38, 3, 2], [7; 32]);
    let tail = [0, 0, 0x2f, 0];
    [&head[..], &random, &tail].concat()
}

/// What is wrong with a server.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Flaw {
    Nothing,
    ForeignAuthority,
    SelfSigned,
    OtherName,
    Expired,
    OldVersion,
}

/// An authority that the relay trusts, and its file.
struct Trust {
    issuer: Issuer<'static, KeyPair>,
    file: PathBuf,
}

fn authority() -> (Certificate, Issuer<'static, KeyPair>) {
    let key = KeyPair::generate().unwrap();
    let mut params = CertificateParams::default();
    params.distinguished_name.push(DnType::CommonName, "the authority");
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    let certificate = params.self_signed(&key).unwrap();
    (certificate, Issuer::new(params, key))
}

impl Trust {
    fn new(folder: &Path) -> Trust {
        let (certificate, issuer) = authority();
        let file = folder.join("ca.pem");
        std::fs::write(&file, certificate.pem()).unwrap();
        Trust { issuer, file }
    }

    fn acceptor(&self, flaw: Flaw) -> TlsAcceptor {
        install_provider();
        let name = if flaw == Flaw::OtherName { "other.example" } else { "localhost" };
        let mut params = CertificateParams::new([name.to_owned()]).unwrap();
        if flaw == Flaw::Expired {
            params.not_before = date_time_ymd(2020, 1, 1);
            params.not_after = date_time_ymd(2021, 1, 1);
        }
        let key = KeyPair::generate().unwrap();
        let certificate = match flaw {
            Flaw::SelfSigned => params.self_signed(&key),
            Flaw::ForeignAuthority => params.signed_by(&key, &authority().1),
            _ => params.signed_by(&key, &self.issuer),
        };
        let key = PrivateKeyDer::Pkcs8(PrivatePkcs8KeyDer::from(key.serialize_der()));
        let config = ServerConfig::builder().with_no_client_auth();
        let config = config.with_single_cert(vec![certificate.unwrap().der().clone()], key);
        TlsAcceptor::from(Arc::new(config.unwrap()))
    }
}

/// A server that keeps what it gets: of TLS, what was encrypted.
struct Listener {
    address: SocketAddr,
    got: Arc<Mutex<Vec<u8>>>,
}

impl Listener {
    async fn start<F>(serve: impl Fn(TcpStream, Arc<Mutex<Vec<u8>>>) -> F + Send + 'static) -> Self
    where
        F: Future<Output = ()> + Send + 'static,
    {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let got = Arc::new(Mutex::new(Vec::new()));
        let log = Arc::clone(&got);
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                tokio::spawn(serve(stream, Arc::clone(&log)));
            }
        });
        Listener { address, got }
    }

    /// A server that speaks TLS and then only listens, for a moment.
    async fn tls(trust: &Trust, flaw: Flaw) -> Listener {
        let acceptor = trust.acceptor(flaw);
        Listener::start(move |mut stream, log| {
            let acceptor = acceptor.clone();
            async move {
                if flaw == Flaw::OldVersion {
                    let mut hello = [0; 4096];
                    let _sent = stream.read(&mut hello).await;
                    let _sent = stream.write_all(&hello_of_tls_1_1()).await;
                    keep(&mut stream, &log).await;
                } else if let Ok(mut stream) = acceptor.accept(stream).await {
                    keep(&mut stream, &log).await;
                }
            }
        })
        .await
    }

    /// A server without TLS that gives each request its answer, and keeps everything.
    async fn plain(answer: impl Fn(&[u8]) -> Vec<u8> + Clone + Send + 'static) -> Listener {
        Listener::start(move |mut stream, log| {
            let answer = answer.clone();
            async move {
                let mut buffer = [0; 8192];
                while let Ok(length @ 1..) = stream.read(&mut buffer).await {
                    log.lock().unwrap().extend_from_slice(&buffer[..length]);
                    if stream.write_all(&answer(&buffer[..length])).await.is_err() {
                        break;
                    }
                }
            }
        })
        .await
    }

    fn got(&self) -> Vec<u8> {
        self.got.lock().unwrap().clone()
    }

    fn url(&self, scheme: &str) -> String {
        format!("{scheme}://localhost:{}", self.address.port())
    }
}

/// Keeps what comes first, and ends.
async fn keep(stream: &mut (impl AsyncRead + Unpin), log: &Mutex<Vec<u8>>) {
    let mut buffer = [0; 4096];
    if let Ok(length) = stream.read(&mut buffer).await {
        log.lock().unwrap().extend_from_slice(&buffer[..length]);
    }
}

fn holds_secret(bytes: &[u8]) -> bool {
    bytes.windows(SECRET.len()).any(|window| window == SECRET.as_bytes())
}

fn secret() -> Option<Secret> {
    Some(Secret::new(SECRET.into()))
}

async fn bind(url: &str, ca_file: &Path, start_tls: bool) -> String {
    let mut config =
        model::Directory { base_dn: "DC=corp,DC=example".into(), ..Default::default() };
    config.bind.user = "svc-relay@corp.example".into();
    config.bind.password = secret();
    config.tls.ca_file = Some(ca_file.to_owned());
    config.tls.start_tls = start_tls;
    let domain = Domain::from_config(&config, []);
    let opened = Trial::open(url, &Login::from_config(&config), &domain).await;
    opened.err().expect("no directory").to_string()
}

async fn connect(url: &str, ca_file: &Path) -> String {
    let mut config = model::Broker {
        url: url.replace("://", "://relay@") + "/relay",
        password: secret(),
        ..Default::default()
    };
    config.tls.ca_file = Some(ca_file.to_owned());
    queue::open(&config).unwrap().declare().await.expect_err("no broker").to_string()
}

fn graph(endpoint: &str, authority: &str, ca_file: Option<&Path>) -> GraphClient {
    let mut config = model::Graph {
        endpoint: format!("{endpoint}/v1.0"),
        authority: authority.to_owned(),
        tenant_id: "contoso".into(),
        client_id: "app".into(),
        client_secret: secret(),
        ..Default::default()
    };
    config.tls.ca_file = ca_file.map(Path::to_owned);
    GraphClient::new(&config).unwrap()
}

async fn probe(endpoint: &str, authority: &str, ca_file: Option<&Path>) -> String {
    graph(endpoint, authority, ca_file).probe().await.expect_err("no Graph").to_string()
}

async fn hand_over(url: &str, ca_file: &Path) -> String {
    let submission = Submission {
        account: Account::parse("alice").unwrap(),
        at: None,
        committed: true,
        version: None,
        password: Password::from_bytes(SECRET.as_bytes().to_vec().into()).unwrap(),
    };
    let tls = ClientTls { ca_file: Some(ca_file.to_owned()), ..ClientTls::default() };
    let address = Address::parse(url).unwrap();
    submit(&address, &tls, &submission, DEADLINE).await.expect_err("no watcher").to_string()
}

/// An answer of HTTP without a body.
fn http(status: &str, header: &str) -> Vec<u8> {
    format!("HTTP/1.1 {status}\r\n{header}\r\ncontent-length: 0\r\n\r\n").into_bytes()
}

/// A token, which is a secret itself.
fn grant() -> Vec<u8> {
    let grant = json!({ "token_type": "Bearer", "access_token": SECRET, "expires_in": 3600 });
    let grant = grant.to_string();
    let head = format!("HTTP/1.1 200 OK\r\ncontent-length: {}\r\n\r\n", grant.len());
    (head + &grant).into_bytes()
}

#[tokio::test]
async fn no_bad_server_gets_a_secret() {
    let folder = tempfile::tempdir().unwrap();
    let trust = Trust::new(folder.path());
    for flaw in [
        Flaw::Nothing,
        Flaw::ForeignAuthority,
        Flaw::SelfSigned,
        Flaw::OtherName,
        Flaw::Expired,
        Flaw::OldVersion,
    ] {
        let ca = &trust.file;
        for client in ["directory", "broker", "graph", "token", "password"] {
            let server = Listener::tls(&trust, flaw).await;
            let token = Listener::plain(|_| grant()).await;
            let https = server.url("https");
            let told = match client {
                "directory" => bind(&server.url("ldaps"), ca, false).await,
                "broker" => connect(&server.url("amqps"), ca).await,
                "graph" => probe(&https, &token.url("http"), Some(ca)).await,
                "token" => probe(&https, &https, Some(ca)).await,
                _ => hand_over(&https, ca).await,
            };
            let got = server.got();
            if flaw == Flaw::Nothing {
                // The broker speaks first, so it has no secret yet.
                assert!(!got.is_empty(), "{client}: {told}");
                assert_eq!(holds_secret(&got), client != "broker", "{client}: {told}");
            } else {
                // Of the old version it gets an alert (RFC 8446 section 6).
                let is_alert = flaw == Flaw::OldVersion && got.first() == Some(&0x15);
                assert!(got.is_empty() || is_alert, "{flaw:?}, {client}: {told}");
                let cause = if flaw == Flaw::OldVersion { "" } else { "certificate" };
                assert!(told.contains(cause) && !told.contains(SECRET), "{flaw:?}: {told}");
            }
        }
    }
}

#[tokio::test]
async fn start_tls_that_is_stripped_gets_no_password() {
    let folder = tempfile::tempdir().unwrap();
    let trust = Trust::new(folder.path());
    // An ExtendedResponse and a BindResponse (RFC 4511 sections 4.12 and 4.2.2).
    let extended = |code: u8| vec![0x30, 12, 2, 1, 1, 0x78, 7, 0x0a, 1, code, 4, 0, 4, 0];
    let bound: [u8; 14] = [0x30, 12, 2, 1, 1, 0x61, 7, 0x0a, 1, 0, 4, 0, 4, 0];
    for (code, appended, told) in [
        (2, &[][..], "does not start TLS (result 2)"),
        (52, &[], "does not start TLS (result 52)"),
        // Success, and then it goes on as if nothing were encrypted.
        (0, &[], "does not answer with TLS"),
        // What is slipped in behind the answer would be taken for encrypted.
        (0, &bound, "does not start TLS"),
    ] {
        let answers = [extended(code), appended.to_vec()].concat();
        let server = Listener::plain(move |request| match request.first() {
            Some(0x30) => answers.clone(),
            _ => bound.to_vec(),
        })
        .await;
        let error = bind(&server.url("ldap"), &trust.file, true).await;
        assert!(error.contains(told), "{error}");
        let got = server.got();
        assert!(!got.is_empty() && !holds_secret(&got), "{error}");
        assert!(!got.windows(9).any(|window| window == b"svc-relay"), "not even the name");
    }
}

#[tokio::test]
async fn redirects_lead_nowhere() {
    let elsewhere = Listener::plain(|_| http("200 OK", "x: y")).await;
    let location = format!("location: {}/", elsewhere.url("http"));
    for status in ["301 Moved", "302 Found", "303 See Other", "307 Temporary", "308 Permanent"] {
        let location = location.clone();
        let moved = Listener::plain(move |_| http(status, &location)).await.url("http");
        let error = probe(&moved, &moved, None).await;
        assert!(error.contains(&status[..3]), "{error}");
        let granting = Listener::plain(|_| grant()).await;
        let error = probe(&moved, &granting.url("http"), None).await;
        assert!(error.contains(&status[..3]), "{error}");
    }
    assert!(elsewhere.got().is_empty());
}
