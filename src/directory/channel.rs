//! The way to a server: TCP, TLS, and a check of everything that the server sends.
//!
//! The library gets one end of a socket pair. What comes from the server is checked for size and
//! form, and then waits until the library's user has taken enough of what came before: a server
//! that is faster, or endless, waits too.

use std::{
    io,
    os::unix::net::UnixStream as StdUnixStream,
    sync::{Arc, OnceLock},
    time::Duration,
};

use bytes::BytesMut;
use ldap3::asn1::StructureTag;
use rustls::{ClientConfig, pki_types::ServerName};
use tokio::{
    io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt, copy, split},
    net::{TcpStream, UnixStream},
    sync::Semaphore,
    time::timeout,
};
use tokio_rustls::TlsConnector;
use tokio_util::task::AbortOnDropHandle;
use url::{Host, Url};

use super::{
    ber,
    error::{DirectoryError, one_line, tls_error},
    kerberos::Kerberos,
    message::{self, LARGEST},
};

/// How long connecting may take, and how long the TLS handshake.
const CONNECT: Duration = Duration::from_secs(10);
/// What may wait to be taken, in KiB.
const WINDOW: u32 = 64 * 1024;
/// RFC 4511 section 4.14.1.
const START_TLS: &[u8] = b"1.3.6.1.4.1.1466.20037";

/// A connection whose server is watched. Dropped, it is closed.
pub(super) struct Channel {
    window: Arc<Semaphore>,
    fault: Arc<OnceLock<String>>,
    _task: AbortOnDropHandle<()>,
}

impl Channel {
    /// Connects; with `tls` encrypted, by StartTLS where the URL says `ldap`, and then logged in by
    /// `kerberos`. Also returns the library's end.
    pub async fn open(
        url: &str,
        tls: Option<Arc<ClientConfig>>,
        kerberos: Option<&Kerberos>,
    ) -> Result<(Channel, StdUnixStream), DirectoryError> {
        let lost = |error: io::Error| DirectoryError::unreachable(url, error);
        let late = |_| DirectoryError::unreachable(url, "no answer in time");
        let parsed = Url::parse(url).ok();
        let parsed = parsed.as_ref().and_then(|url| Some((url.scheme(), url.host()?, url.port())));
        let Some((scheme, host, port)) = parsed else {
            return Err(DirectoryError::unreachable(url, "this is no URL of a server"));
        };
        let name = match &host {
            Host::Ipv6(address) => address.to_string(),
            host => host.to_string(),
        };
        let port = port.unwrap_or(if scheme == "ldaps" { 636 } else { 389 });
        let connecting = TcpStream::connect((name.as_str(), port));
        let mut stream = timeout(CONNECT, connecting).await.map_err(late)?.map_err(lost)?;
        stream.set_nodelay(true).map_err(lost)?;
        let Some(config) = tls else {
            return match kerberos {
                None => Channel::start(stream).map_err(lost),
                Some(_) => Err(unprotected(url)),
            };
        };
        if scheme != "ldaps" {
            timeout(CONNECT, start_tls(&mut stream, url)).await.map_err(late)??;
        }
        let server = ServerName::try_from(name.clone())
            .map_err(|_| DirectoryError::unreachable(url, "its name cannot be in a certificate"))?;
        let handshake = TlsConnector::from(config).connect(server, stream);
        let stream = timeout(CONNECT, handshake).await.map_err(late)?;
        let mut stream = stream.map_err(|error| tls_error(url, &error))?;
        if let Some(kerberos) = kerberos {
            let chain = stream.get_ref().1.peer_certificates().unwrap_or_default();
            let certificate = chain.first().map(|certificate| certificate.to_vec());
            kerberos.bind(&mut stream, url, &name, &certificate.unwrap_or_default()).await?;
        }
        Channel::start(stream).map_err(lost)
    }

    fn start<S>(stream: S) -> io::Result<(Channel, StdUnixStream)>
    where
        S: AsyncRead + AsyncWrite + Send + 'static,
    {
        let (near, far) = StdUnixStream::pair()?;
        far.set_nonblocking(true)?;
        let (mut requests, mut answers) = UnixStream::from_std(far)?.into_split();
        let (mut from_server, mut to_server) = split(stream);
        let window = Arc::new(Semaphore::new(WINDOW as usize));
        let fault = Arc::new(OnceLock::new());
        let (own_window, own_fault) = (Arc::clone(&window), Arc::clone(&fault));
        let task = tokio::spawn(async move {
            let ended = tokio::select! {
                sent = copy(&mut requests, &mut to_server) => sent.map(|_| ()),
                ended = inspect(&mut from_server, &mut answers, &own_window) => ended,
            };
            if let Err(error) = ended {
                own_fault.get_or_init(|| one_line(&error.to_string()));
            }
        });
        let task = AbortOnDropHandle::new(task);
        Ok((Channel { window, fault, _task: task }, near))
    }

    /// What is needed to say how the connection fared from elsewhere.
    pub fn watch(&self) -> Watch {
        Watch { window: Arc::clone(&self.window), fault: Arc::clone(&self.fault) }
    }
}

/// What a reader tells a channel, and hears from it.
#[derive(Clone)]
pub(super) struct Watch {
    window: Arc<Semaphore>,
    fault: Arc<OnceLock<String>>,
}

impl Watch {
    /// Tells that an entry was taken: as much again may come.
    pub fn taken(&self, entry: &StructureTag) {
        self.window.add_permits(permits(message::weight_of(entry)) as usize);
    }

    /// Why the channel closed, if it knows.
    pub fn fault(&self) -> Option<&str> {
        self.fault.get().map(String::as_str)
    }
}

fn permits(weight: usize) -> u32 {
    u32::try_from(weight.div_ceil(1024)).unwrap_or(u32::MAX)
}

/// Passes on what is a message; anything else ends the connection.
async fn inspect(
    from: &mut (impl AsyncRead + Unpin),
    to: &mut (impl AsyncWrite + Unpin),
    window: &Semaphore,
) -> io::Result<()> {
    let mut buffer = BytesMut::new();
    while let Some(message) = next_message(from, &mut buffer).await? {
        let weight = message::weigh(&message).ok_or_else(malformed)?;
        let permits = permits(weight);
        if permits > WINDOW {
            return Err(too_large());
        }
        let Ok(permit) = window.acquire_many(permits).await else { return Ok(()) };
        permit.forget();
        to.write_all(&message).await?;
    }
    Ok(())
}

/// The next whole message; none where the server has closed.
pub(super) async fn next_message(
    from: &mut (impl AsyncRead + Unpin),
    buffer: &mut BytesMut,
) -> io::Result<Option<BytesMut>> {
    loop {
        match message::length(buffer).ok_or_else(malformed)? {
            Some(length) if length > LARGEST => return Err(too_large()),
            Some(length) if buffer.len() >= length => return Ok(Some(buffer.split_to(length))),
            _ => {}
        }
        if from.read_buf(buffer).await? == 0 {
            return Ok(None);
        }
    }
}

/// Asks for TLS. Nothing may follow the answer: it would be taken for what came encrypted.
async fn start_tls(stream: &mut TcpStream, url: &str) -> Result<(), DirectoryError> {
    let lost = |error: io::Error| DirectoryError::unreachable(url, error);
    let request = ber::element(0x77, &ber::element(0x80, START_TLS));
    let request = ber::sequence(&[ber::integer(1), request]);
    stream.write_all(&request).await.map_err(lost)?;
    let mut buffer = BytesMut::new();
    let answer = next_message(stream, &mut buffer).await.map_err(lost)?;
    let code = answer.as_deref().and_then(result_code);
    if code == Some(0) && buffer.is_empty() {
        return Ok(());
    }
    Err(DirectoryError::Setup {
        what: format!(
            "{url} does not start TLS ({})",
            code.map_or("no valid answer".into(), |code| format!("result {code}"))
        ),
        remedy: "give the server a certificate, or write ldaps:// in directory.urls".into(),
    })
}

fn result_code(message: &[u8]) -> Option<u8> {
    message::weigh(message)?;
    let (_, content, _) = ber::split(message)?;
    let (_, _id, rest) = ber::split(content)?;
    let (0x78, body, _) = ber::split(rest)? else { return None };
    let (_, code, _) = ber::split(body)?;
    code.last().copied()
}

/// Without TLS the connection would have to be sealed with the ticket's key, which is not done.
fn unprotected(url: &str) -> DirectoryError {
    DirectoryError::Setup {
        what: format!("{url} has no TLS, which directory.bind.method kerberos needs"),
        remedy: "write ldaps:// in directory.urls, or set directory.tls.start_tls".into(),
    }
}

fn malformed() -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, "the server sent what is no LDAP message")
}

fn too_large() -> io::Error {
    let largest = LARGEST / 1024 / 1024;
    let text = format!("the server sent a message larger than {largest} MiB");
    io::Error::new(io::ErrorKind::InvalidData, text)
}
