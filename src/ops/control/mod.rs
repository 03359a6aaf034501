//! The control socket: how the command line reaches a running process.
//!
//! A Unix socket with mode 0600, on which the peer must be the same user or root. One request per
//! connection; both directions are JSON, one value a line, with bounded lines. See [`protocol`].

mod audit;
mod client;
mod peer;
pub mod protocol;
mod server;
mod service;
mod socket;

pub(crate) use self::socket::Socket;
pub use self::{
    client::{Client, ClientError},
    peer::Peer,
    server::Server,
    service::{Service, Watching},
};
