//! Where passwords are handed over: a Unix socket, or TLS with client certificates.

use std::{io, path::PathBuf, sync::Arc, time::Duration};

use rustls::{
    RootCertStore, ServerConfig,
    pki_types::{CertificateDer, PrivateKeyDer},
    server::WebPkiClientVerifier,
};
use tokio::{
    io::{AsyncRead, AsyncWrite, AsyncWriteExt},
    net::TcpListener,
    sync::Semaphore,
    time::{sleep, timeout},
};
use tokio_rustls::TlsAcceptor;
use tokio_util::{sync::CancellationToken, task::TaskTracker};
use tracing::{debug, warn};

use super::{Intake, Submission, http::Answer};
use crate::{
    config::model::Passwords,
    net::tls,
    ops::{
        control::{Peer, Socket},
        metrics::{METRICS, PasswordOutcome},
    },
};

/// Connections at once; more wait.
const MAX_CONNECTIONS: usize = 64;

/// How long a caller may take for everything.
const CALLER_TIMEOUT: Duration = Duration::from_secs(5);

/// The port of an `https://` address that names none.
const HTTPS: u16 = 443;

/// Where an intake listens.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Address {
    /// `unix:PATH`
    Unix(PathBuf),
    /// `https://HOST:PORT`
    Https {
        /// Name or IP address.
        host: String,
        /// Port.
        port: u16,
    },
}

impl Address {
    /// Reads an address; none if it is neither.
    pub fn parse(text: &str) -> Option<Address> {
        if let Some(path) = text.strip_prefix("unix:") {
            return (!path.is_empty()).then(|| Address::Unix(path.into()));
        }
        let url = url::Url::parse(text).ok().filter(|url| url.scheme() == "https")?;
        let host = url.host_str()?.trim_matches(['[', ']']).to_owned();
        Some(Address::Https { host, port: url.port().unwrap_or(HTTPS) })
    }
}

enum Listener {
    Unix { socket: Socket, owner: Peer },
    Tls { listener: TcpListener, acceptor: TlsAcceptor },
}

/// A listener that is bound but does not serve yet.
pub struct Server {
    listener: Listener,
    intake: Arc<Intake>,
}

impl Server {
    /// Binds `passwords.listen`, so that what is in the way is told before anything else starts.
    pub async fn bind(config: &Passwords, intake: Arc<Intake>) -> io::Result<Server> {
        let listener = match Address::parse(&config.listen) {
            Some(Address::Unix(path)) => {
                let socket = Socket::bind(&path, "passwords.listen")?;
                Listener::Unix { socket, owner: Peer::own()? }
            }
            Some(Address::Https { host, port }) => {
                let listener = TcpListener::bind((host.as_str(), port)).await.map_err(|cause| {
                    let text = format!("cannot listen on passwords.listen, {host}:{port}: {cause}");
                    io::Error::new(cause.kind(), text)
                })?;
                Listener::Tls { listener, acceptor: acceptor(config)? }
            }
            None => {
                return Err(invalid("passwords.listen is neither unix:PATH nor https://HOST:PORT"));
            }
        };
        Ok(Server { listener, intake })
    }

    /// Serves until the shutdown.
    pub async fn serve(self, shutdown: CancellationToken) {
        let connections = TaskTracker::new();
        let room = Arc::new(Semaphore::new(MAX_CONNECTIONS));
        while let Some(accepted) =
            shutdown.run_until_cancelled(self.accept(&connections, &room)).await
        {
            if let Err(error) = accepted {
                // Out of file descriptors, most likely: it would come again at once.
                warn!(%error, "the password intake accepts no connection");
                sleep(Duration::from_secs(1)).await;
            }
        }
        drop(self.listener);
        connections.close();
        connections.wait().await;
    }

    async fn accept(&self, connections: &TaskTracker, room: &Arc<Semaphore>) -> io::Result<()> {
        // Nobody closes the semaphore.
        let place = Arc::clone(room).acquire_owned().await.map_err(io::Error::other)?;
        let intake = Arc::clone(&self.intake);
        match &self.listener {
            Listener::Unix { socket, owner } => {
                let (stream, _) = socket.listener.accept().await?;
                let peer = Peer::of(&stream)?;
                if !peer.may_command(owner) {
                    METRICS.password(PasswordOutcome::Refused);
                    warn!(%peer, "refused a password of another user than root and this one");
                    return Ok(());
                }
                connections.spawn(async move {
                    converse(async { Ok(stream) }, &intake).await;
                    drop(place);
                });
            }
            Listener::Tls { listener, acceptor } => {
                let (stream, from) = listener.accept().await?;
                let handshake = acceptor.accept(stream);
                connections.spawn(async move {
                    debug!(%from, "a connection to the password intake");
                    converse(handshake, &intake).await;
                    drop(place);
                });
            }
        }
        Ok(())
    }
}

/// One request and its answer.
async fn converse<S: AsyncRead + AsyncWrite + Unpin>(
    connect: impl Future<Output = io::Result<S>>,
    intake: &Intake,
) {
    let conversation = async {
        let mut stream = connect.await?;
        let answer = match Submission::read(&mut stream).await? {
            Some(submission) => intake.take_in(submission).await,
            None => {
                METRICS.password(PasswordOutcome::Refused);
                Answer::Malformed
            }
        };
        stream.write_all(answer.response()).await?;
        stream.shutdown().await
    };
    match timeout(CALLER_TIMEOUT, conversation).await {
        Ok(Ok(())) => {}
        Ok(Err(error)) => debug!(%error, "a connection to the password intake ended"),
        Err(_elapsed) => debug!("a caller of the password intake took too long"),
    }
}

fn acceptor(config: &Passwords) -> io::Result<TlsAcceptor> {
    let (Some(certificate), Some(key), Some(ca)) =
        (&config.tls.certificate_file, &config.tls.private_key_file, &config.tls.client_ca_file)
    else {
        return Err(invalid(
            "passwords.tls needs certificate_file, private_key_file, client_ca_file",
        ));
    };
    let mut roots = RootCertStore::empty();
    for certificate in tls::read_ca_file(ca).map_err(io::Error::other)? {
        roots.add(certificate).map_err(io::Error::other)?;
    }
    tls::install_provider();
    let verifier =
        WebPkiClientVerifier::builder(Arc::new(roots)).build().map_err(io::Error::other)?;
    let (chain, key) = key_pair(certificate, key)?;
    let server = ServerConfig::builder()
        .with_client_cert_verifier(verifier)
        .with_single_cert(chain, key)
        .map_err(|error| invalid(&format!("passwords.tls: {error}")))?;
    Ok(TlsAcceptor::from(Arc::new(server)))
}

/// Reads a certificate with its chain, and its key.
pub(super) fn key_pair(
    certificate: &std::path::Path,
    key: &std::path::Path,
) -> io::Result<(Vec<CertificateDer<'static>>, PrivateKeyDer<'static>)> {
    let chain = tls::read_ca_file(certificate).map_err(io::Error::other)?;
    let key = tls::read_private_key(key).map_err(|error| {
        invalid(&format!("cannot use the private key {}: {error}", key.display()))
    })?;
    Ok((chain, key))
}

fn invalid(text: &str) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidInput, text.to_owned())
}
