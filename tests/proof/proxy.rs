//! Graph behind a proxy that opens TLS with a certificate authority of its own, as companies have.

use std::net::SocketAddr;
use std::sync::{Arc, Mutex};

use entra_relay::sandbox::graph::{Options, SandboxGraph};
use rustls::ServerConfig;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use tokio::io::{
    AsyncBufReadExt, AsyncRead, AsyncWrite, AsyncWriteExt, BufReader, copy_bidirectional,
};
use tokio::net::{TcpListener, TcpStream};
use tokio_rustls::TlsAcceptor;

use crate::support::ca::ServerCertificate;
use crate::support::relay::{Relay, Setup};
use crate::support::wait::eventually;

const GRAPH: &str = "graph.microsoft.com";
const AUTHORITY: &str = "login.microsoftonline.com";

/// Whom the proxy was asked to connect to.
type Targets = Arc<Mutex<Vec<String>>>;

#[tokio::test]
async fn graph_is_reached_through_a_proxy_with_its_own_authority() {
    let graph = SandboxGraph::start(Options::default()).await.unwrap();
    let (setup, targets) = behind_a_proxy(&graph, AUTHORITY).await;
    let mut relay = setup.start(&["run"]);
    relay.ready().await;
    eventually("the probe has its answer", async || probed(&relay).await).await;
    let targets = targets.lock().unwrap().clone();
    assert!(targets.contains(&format!("{GRAPH}:443")), "{targets:?}");
    assert!(targets.contains(&format!("{AUTHORITY}:443")), "{targets:?}");
}

#[tokio::test]
async fn what_needs_no_proxy_does_not_go_through_it() {
    // Nobody has this name (RFC 6761 section 6.4), so only a proxy leads there.
    const NEARBY: &str = "login.nearby.invalid";
    let graph = SandboxGraph::start(Options::default()).await.unwrap();
    for (no_proxy, status) in [("elsewhere.example", 200), ("elsewhere.example,.nearby.invalid", 0)]
    {
        let (setup, targets) = behind_a_proxy(&graph, NEARBY).await;
        let setup = setup.environment("NO_PROXY", no_proxy);
        let relay = setup.start(&["run"]);
        let tokens =
            format!("relay_graph_requests_total{{operation=\"token\",status=\"{status}\"}}");
        eventually(no_proxy, async || relay.metric(&tokens).await.is_some_and(|n| n >= 1.0)).await;
        let targets = targets.lock().unwrap().clone();
        assert_eq!(targets.contains(&format!("{NEARBY}:443")), status == 200, "{targets:?}");
    }
}

/// Reaches Graph, and `authority` as its token service, through a proxy that notes whom it is asked for.
async fn behind_a_proxy(graph: &SandboxGraph, authority: &str) -> (Setup, Targets) {
    let setup = Setup::new();
    let names = [GRAPH, authority].map(str::to_owned);
    let certificate = ServerCertificate::issue(setup.folder(), &names);
    let server = graph.authority().strip_prefix("http://").unwrap().parse().unwrap();
    let targets = Targets::default();
    let proxy = start_proxy(&certificate, server, targets.clone()).await;
    let setup = setup
        .graph(graph)
        .set("directory.source", "sandbox")
        .set("broker.kind", "embedded")
        .set("graph.endpoint", format!("https://{GRAPH}/v1.0"))
        .set("graph.authority", format!("https://{authority}"))
        .set("graph.tls.ca_file", &certificate.ca)
        .environment("HTTPS_PROXY", &format!("http://{proxy}"));
    (setup, targets)
}

async fn probed(relay: &Relay<'_>) -> Result<(), String> {
    let (_, metrics) = relay.get("/metrics").await.map_err(|error| error.to_string())?;
    let line = "relay_graph_requests_total{operation=\"probe\",status=\"200\"} 1";
    if metrics.contains(line) { Ok(()) } else { Err(relay.output()) }
}

/// Starts a proxy (RFC 9110 section 9.3.6) that plays every host itself.
async fn start_proxy(
    certificate: &ServerCertificate,
    server: SocketAddr,
    targets: Targets,
) -> SocketAddr {
    let acceptor = acceptor(certificate);
    listen(move |client| splice(client, acceptor.clone(), server, targets.clone())).await
}

/// Serves every connection so. What goes wrong is the client's to notice.
async fn listen<F>(serve: impl Fn(TcpStream) -> F + Send + 'static) -> SocketAddr
where
    F: Future<Output = std::io::Result<()>> + Send + 'static,
{
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move {
        while let Ok((client, _)) = listener.accept().await {
            tokio::spawn(serve(client));
        }
    });
    address
}

fn acceptor(certificate: &ServerCertificate) -> TlsAcceptor {
    let chain = vec![CertificateDer::from_pem_file(&certificate.certificate).unwrap()];
    let key = PrivateKeyDer::from_pem_file(&certificate.key).unwrap();
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let config = ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(chain, key)
        .unwrap();
    TlsAcceptor::from(Arc::new(config))
}

/// Opens the TLS of one tunnel.
async fn splice(
    client: TcpStream,
    acceptor: TlsAcceptor,
    server: SocketAddr,
    targets: Targets,
) -> std::io::Result<()> {
    let mut client = BufReader::new(client);
    let mut line = String::new();
    client.read_line(&mut line).await?;
    let target = line.strip_prefix("CONNECT ").and_then(|rest| rest.split(' ').next());
    targets.lock().unwrap().push(target.unwrap_or_default().to_owned());
    while line != "\r\n" {
        line.clear();
        client.read_line(&mut line).await?;
    }
    client.write_all(b"HTTP/1.1 200 Connection established\r\n\r\n").await?;
    open_tls(client, acceptor, server).await
}

/// Opens TLS and passes on what was in it.
async fn open_tls(
    client: impl AsyncRead + AsyncWrite + Unpin + Send,
    acceptor: TlsAcceptor,
    server: SocketAddr,
) -> std::io::Result<()> {
    let mut plain = acceptor.accept(client).await?;
    let mut graph = TcpStream::connect(server).await?;
    copy_bidirectional(&mut plain, &mut graph).await.map(drop)
}
