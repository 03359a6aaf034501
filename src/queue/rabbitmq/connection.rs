//! One connection, from the first byte to the first fault.

use std::{
    fmt,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
};

use futures_util::{Stream, StreamExt};
use lapin::{
    AsyncTcpStream, Channel, Connection, ConnectionProperties, Event,
    protocol::constants::REPLY_SUCCESS, tcp::RustlsConnector,
};
use rustls::ClientConfig;
use tokio::sync::watch;
use tokio_util::task::AbortOnDropHandle;
use tracing::{debug, info, warn};

use super::{
    address::Address,
    fault::{Fault, code, within},
    topology,
};
use crate::{config::model, net::tls, queue::QueueError, queue::presence::Presence};

/// Knows how to connect.
pub(super) struct Connector {
    address: Address,
    tls: Option<Arc<ClientConfig>>,
    partitions: u16,
    /// Cleared once the broker refuses it, which it logs each time.
    declares: AtomicBool,
}

impl Connector {
    /// Checks the settings and reads the secrets.
    pub(super) fn new(config: &model::Broker) -> Result<Connector, QueueError> {
        let address = Address::new(config)?;
        let tls = address.is_tls().then(|| tls::client_config(config.tls.ca_file.as_deref()));
        let tls = tls.transpose().map_err(|error| QueueError::Setup(error.to_string()))?;
        let partitions = config.partitions.max(1);
        Ok(Connector { address, tls, partitions, declares: AtomicBool::new(true) })
    }

    /// Partitions of each lane.
    pub(super) fn partitions(&self) -> u16 {
        self.partitions
    }

    /// Connects and declares what is missing. `purpose` is shown in the broker's list of
    /// connections.
    pub(super) async fn connect(&self, purpose: &'static str) -> Result<Link, QueueError> {
        let link = self.open(purpose).await?;
        if self.declares.load(Ordering::Relaxed) {
            let may = topology::declare(&link, self.partitions).await?;
            self.declares.store(may, Ordering::Relaxed);
        } else {
            topology::verify(&link, self.partitions).await?;
        }
        info!(broker = %self.address, purpose, "connected to the broker");
        Ok(link)
    }

    /// Connects, and leaves the broker as it is.
    pub(super) async fn open(&self, purpose: &'static str) -> Result<Link, QueueError> {
        let uri = self.address.with_password()?;
        let name = format!("entra-relay {purpose}");
        let properties = ConnectionProperties::default().with_connection_name(name.into());
        let runtime = lapin::runtime::default_runtime().map_err(Fault::Error)?;
        let tls = self.tls.clone();
        let open = Connection::connector(
            uri,
            runtime,
            async move |uri, runtime| {
                let address =
                    runtime.to_socket_addrs((uri.authority.host.clone(), uri.authority.port));
                let stream = AsyncTcpStream::connect(&runtime, address).await?;
                Ok(match &tls {
                    Some(tls) => {
                        let connector = RustlsConnector::from(tls.clone());
                        stream.into_rustls(&connector, &uri.authority.host).await?
                    }
                    None => stream,
                })
            },
            properties,
        );
        let connection =
            within("connection.open", open).await.map_err(|fault| self.refusal(fault))?;
        Ok(Link::new(connection, purpose))
    }

    /// Where the broker is and who we are to it.
    pub(super) fn address(&self) -> &Address {
        &self.address
    }

    /// Why no connection came about, and what to do.
    fn refusal(&self, fault: Fault) -> QueueError {
        let broker = &self.address;
        match fault.code() {
            Some(code::ACCESS_REFUSED) => QueueError::Setup(format!(
                "the broker does not accept the login ({broker}): {fault}; \
                 check the user in broker.url and broker.password_file"
            )),
            Some(code::NOT_ALLOWED) => QueueError::Setup(format!(
                "the broker does not let us into the virtual host ({broker}): {fault}; \
                 create it (rabbitmqctl add_vhost) and give the user permission \
                 (rabbitmqctl set_permissions), or correct broker.url"
            )),
            _ if fault.is_certificate() => QueueError::Setup(format!(
                "the broker's certificate is not trusted ({broker}): {fault}; \
                 set broker.tls.ca_file to the CA that signed it, or correct the host in broker.url"
            )),
            _ => QueueError::Unavailable(format!("{broker}: {fault}")),
        }
    }
}

impl fmt::Debug for Connector {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.address)
    }
}

/// The state of a connection, as the server and the socket tell it.
#[derive(Debug, Clone, PartialEq, Eq)]
enum State {
    Up,
    /// An alarm on the server: it reads nothing more from a connection that published.
    Blocked(String),
    Down,
}

/// A connection. Dropped, it closes.
pub(super) struct Link {
    connection: Connection,
    state: watch::Receiver<State>,
    _monitor: AbortOnDropHandle<()>,
}

impl fmt::Debug for Link {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Link").field("state", &*self.state.borrow()).finish_non_exhaustive()
    }
}

impl Link {
    fn new(connection: Connection, purpose: &'static str) -> Link {
        let (sender, state) = watch::channel(State::Up);
        let monitor = monitor(connection.events_listener(), sender, Presence::new(), purpose);
        Link { connection, state, _monitor: AbortOnDropHandle::new(tokio::spawn(monitor)) }
    }

    /// Opens a channel.
    pub(super) async fn channel(&self) -> Result<Channel, Fault> {
        within("channel.open", self.connection.create_channel()).await
    }

    /// Closes the connection; the server forgets its consumers at once.
    pub(super) async fn close(&self) -> Result<(), Fault> {
        within("connection.close", self.connection.close(REPLY_SUCCESS, "bye".into())).await
    }

    /// Whether no fault was seen yet.
    pub(super) fn is_up(&self) -> bool {
        self.connection.status().connected() && *self.state.borrow() != State::Down
    }

    /// The server's reason, while it blocks this connection.
    pub(super) fn alarm(&self) -> Option<String> {
        match &*self.state.borrow() {
            State::Blocked(reason) => Some(reason.clone()),
            _ => None,
        }
    }

    /// Waits until the server blocks this connection, and tells its reason.
    pub(super) async fn blocked(&self) -> String {
        let mut state = self.state.clone();
        loop {
            if let Some(reason) = self.alarm() {
                return reason;
            }
            if state.changed().await.is_err() {
                // The monitor has ended with the connection: never blocked again.
                std::future::pending::<()>().await;
            }
        }
    }
}

/// Follows what the connection tells about itself.
async fn monitor(
    events: impl Stream<Item = Event>,
    state: watch::Sender<State>,
    presence: Presence,
    purpose: &'static str,
) {
    let mut events = std::pin::pin!(events);
    while let Some(event) = events.next().await {
        match event {
            Event::ConnectionBlocked(reason) => {
                warn!(purpose, reason, "the broker blocks this connection");
                state.send_replace(State::Blocked(reason));
            }
            Event::ConnectionUnblocked => {
                info!(purpose, "the broker accepts messages again");
                state.send_replace(State::Up);
            }
            Event::Error(error) => {
                debug!(purpose, %error, "the connection to the broker had a fault");
                break;
            }
            _ => {}
        }
    }
    drop(presence);
    state.send_replace(State::Down);
}
