//! Hands a password over.

use std::{io, path::PathBuf, sync::Arc, time::Duration};

use rustls::{ClientConfig, RootCertStore, pki_types::ServerName};
use thiserror::Error;
use tokio::{
    io::{AsyncRead, AsyncWrite, AsyncWriteExt},
    net::{TcpStream, UnixStream},
    time::timeout,
};
use tokio_rustls::TlsConnector;

use super::{Address, Submission, http::read_status, listen::key_pair};
use crate::net::tls;

/// Why a password was not taken over.
#[derive(Debug, Error)]
pub enum SubmitError {
    /// No answer came in time.
    #[error("no answer within {0:?}")]
    Late(Duration),
    /// The watcher cannot be reached.
    #[error("the watcher cannot be reached: {0}; is it running, with passwords.enabled?")]
    Connection(#[from] io::Error),
    /// It was reached and does not take it.
    #[error("the watcher does not take the password: HTTP {0}")]
    Answer(u16),
}

/// By what the caller of an `https://` intake is known.
#[derive(Debug, Default)]
pub struct ClientTls {
    /// Whom it trusts; the system's certificates if none is named.
    pub ca_file: Option<PathBuf>,
    /// Its own certificate, with the chain.
    pub certificate_file: Option<PathBuf>,
    /// The key of that.
    pub private_key_file: Option<PathBuf>,
}

/// Hands a password over, and waits no longer than `limit` for the answer.
pub async fn submit(
    address: &Address,
    tls: &ClientTls,
    submission: &Submission,
    limit: Duration,
) -> Result<(), SubmitError> {
    let exchange = async {
        match address {
            Address::Unix(path) => exchange(UnixStream::connect(path).await?, submission).await,
            Address::Https { host, port } => {
                let connector = TlsConnector::from(Arc::new(client_config(tls)?));
                let name = ServerName::try_from(host.clone()).map_err(io::Error::other)?;
                let stream = TcpStream::connect((host.as_str(), *port)).await?;
                exchange(connector.connect(name, stream).await?, submission).await
            }
        }
    };
    let status = timeout(limit, exchange).await.map_err(|_elapsed| SubmitError::Late(limit))??;
    if (200..300).contains(&status) { Ok(()) } else { Err(SubmitError::Answer(status)) }
}

async fn exchange<S>(mut stream: S, submission: &Submission) -> io::Result<u16>
where
    S: AsyncRead + AsyncWrite + Unpin,
{
    stream.write_all(&submission.request()).await?;
    stream.flush().await?;
    read_status(&mut stream).await
}

fn client_config(tls: &ClientTls) -> io::Result<ClientConfig> {
    let roots: RootCertStore = tls::roots(tls.ca_file.as_deref()).map_err(io::Error::other)?;
    tls::install_provider();
    let builder = ClientConfig::builder().with_root_certificates(roots);
    match (&tls.certificate_file, &tls.private_key_file) {
        (Some(certificate), Some(key)) => {
            let (chain, key) = key_pair(certificate, key)?;
            builder.with_client_auth_cert(chain, key).map_err(io::Error::other)
        }
        _ => Ok(builder.with_no_client_auth()),
    }
}
