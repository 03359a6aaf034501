//! The end that asks.

use std::{io, path::PathBuf, time::Duration};

use futures_util::{SinkExt, StreamExt};
use thiserror::Error;
use tokio::{net::UnixStream, time::timeout};
use tokio_util::codec::{Framed, LinesCodec};

use super::protocol::{MAX_REPLY, Reply, Request};
use crate::config::model;

/// How long the running process may take for the connection and the request; its answers may take
/// longer.
const TIMEOUT: Duration = Duration::from_secs(10);

/// Why a running process could not be asked.
#[derive(Debug, Error)]
pub enum ClientError {
    /// The configuration names no Unix socket.
    #[error("control.listen is not unix:PATH")]
    Address,
    /// There is a socket, but not for us.
    #[error("{} belongs to a process of another user: be that user, or root", .0.display())]
    Forbidden(PathBuf),
    /// The connection does not work.
    #[error("the running process cannot be reached by {}: {cause}", .path.display())]
    Connection {
        /// The socket.
        path: PathBuf,
        /// What happened.
        cause: io::Error,
    },
}

/// A connection to a running process.
#[derive(Debug)]
pub struct Client {
    lines: Framed<UnixStream, LinesCodec>,
    path: PathBuf,
}

impl Client {
    /// Connects; none if no process serves the socket.
    pub async fn connect(config: &model::Control) -> Result<Option<Client>, ClientError> {
        let path = config.path().ok_or(ClientError::Address)?.to_owned();
        let stream = match timeout(TIMEOUT, UnixStream::connect(&path)).await {
            Ok(Ok(stream)) => stream,
            Ok(Err(error)) => {
                return match error.kind() {
                    io::ErrorKind::NotFound | io::ErrorKind::ConnectionRefused => Ok(None),
                    io::ErrorKind::PermissionDenied => Err(ClientError::Forbidden(path)),
                    _ => Err(ClientError::Connection { path, cause: error }),
                };
            }
            Err(_elapsed) => {
                let cause = io::ErrorKind::TimedOut.into();
                return Err(ClientError::Connection { path, cause });
            }
        };
        let lines = Framed::new(stream, LinesCodec::new_with_max_length(MAX_REPLY));
        Ok(Some(Client { lines, path }))
    }

    /// Asks.
    pub async fn send(&mut self, request: &Request) -> Result<(), ClientError> {
        let line = serde_json::to_string(request).map_err(|error| self.broken(error.into()))?;
        match timeout(TIMEOUT, self.lines.send(line)).await {
            Ok(Ok(())) => Ok(()),
            Ok(Err(error)) => Err(self.broken(io::Error::other(error))),
            Err(_elapsed) => Err(self.broken(io::ErrorKind::TimedOut.into())),
        }
    }

    /// The next reply. How long it takes is the work's matter; a process that dies is noticed.
    pub async fn receive(&mut self) -> Result<Reply, ClientError> {
        match self.lines.next().await {
            Some(Ok(line)) => {
                serde_json::from_str(&line).map_err(|error| self.broken(error.into()))
            }
            Some(Err(error)) => Err(self.broken(io::Error::other(error))),
            None => Err(self.broken(io::Error::other("it ended in the middle of its answer"))),
        }
    }

    fn broken(&self, cause: io::Error) -> ClientError {
        ClientError::Connection { path: self.path.clone(), cause }
    }
}
