//! Stands between a client and a server, and does to them what networks do.

use std::net::{IpAddr, SocketAddr};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio::task::{AbortHandle, JoinHandle};
use tokio::time::sleep;

/// Passes connections on. Dropping it takes no more.
pub struct Proxy {
    address: SocketAddr,
    network: Arc<watch::Sender<Network>>,
    connections: Arc<Mutex<Vec<AbortHandle>>>,
    listener: JoinHandle<()>,
}

/// How the network is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Network {
    /// As it should be.
    #[default]
    Whole,
    /// Connections end, and new ones end at once.
    Cut,
    /// Everything arrives so much later.
    Slow(Duration),
    /// So many bytes pass in either direction of a connection; then it ends, in the middle of
    /// something.
    Torn(usize),
    /// Nothing arrives any more, and no connection ends before this does.
    Silent,
}

impl Proxy {
    /// Listens at this address and passes on to `server`.
    pub async fn start(ip: IpAddr, server: SocketAddr) -> Proxy {
        let listener = TcpListener::bind((ip, 0)).await.expect("a free port");
        let address = listener.local_addr().expect("a bound address");
        let network = Arc::<watch::Sender<Network>>::default();
        let connections = Arc::<Mutex<Vec<AbortHandle>>>::default();
        let accepting = accept(listener, server, Arc::clone(&network), Arc::clone(&connections));
        Proxy { address, network, connections, listener: tokio::spawn(accepting) }
    }

    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// From now on the network is so.
    pub fn set(&self, network: Network) {
        let before = self.network.send_replace(network);
        if network == Network::Cut || before == Network::Silent {
            self.connections().drain(..).for_each(|connection| connection.abort());
        }
    }

    /// Cuts the connection that came last, and those that come from now on.
    pub fn part(&self) {
        self.network.send_replace(Network::Cut);
        self.connections().pop().expect("there is a connection to cut").abort();
    }

    /// Ends [`Proxy::part`].
    pub fn rejoin(&self) {
        self.set(Network::Whole);
    }

    fn connections(&self) -> std::sync::MutexGuard<'_, Vec<AbortHandle>> {
        self.connections.lock().expect("no panic holds it")
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        self.listener.abort();
        self.connections().drain(..).for_each(|connection| connection.abort());
    }
}

async fn accept(
    listener: TcpListener,
    server: SocketAddr,
    network: Arc<watch::Sender<Network>>,
    connections: Arc<Mutex<Vec<AbortHandle>>>,
) {
    loop {
        let (client, _) = listener.accept().await.expect("a connection");
        if *network.borrow() == Network::Cut {
            continue;
        }
        let passing = tokio::spawn(pass(client, server, network.subscribe()));
        let mut connections = connections.lock().expect("no panic holds it");
        connections.retain(|connection| !connection.is_finished());
        connections.push(passing.abort_handle());
    }
}

/// However it ends, both ends see it.
async fn pass(client: TcpStream, server: SocketAddr, network: watch::Receiver<Network>) {
    // Without a server the client is turned away.
    let Ok(server) = TcpStream::connect(server).await else { return };
    for stream in [&client, &server] {
        // Small messages go out at once; without it they are only slower.
        let _ = stream.set_nodelay(true);
    }
    let (from_client, to_client) = client.into_split();
    let (from_server, to_server) = server.into_split();
    tokio::select! {
        () = pump(from_client, to_server, network.clone()) => {}
        () = pump(from_server, to_client, network) => {}
    }
}

/// Passes on in one direction until an end closes, or the network tears.
async fn pump(
    mut from: OwnedReadHalf,
    mut to: OwnedWriteHalf,
    mut network: watch::Receiver<Network>,
) {
    let mut buffer = [0; 16 * 1024];
    let mut left = left(*network.borrow_and_update());
    loop {
        let now = *network.borrow();
        let read = tokio::select! {
            biased;
            changed = network.changed() => match changed {
                Ok(()) => {
                    left = self::left(*network.borrow_and_update());
                    continue;
                }
                Err(_dropped) => return,
            },
            read = from.read(&mut buffer), if now != Network::Silent => read,
        };
        let Ok(read @ 1..) = read else { return };
        if let Network::Slow(delay) = now {
            sleep(delay).await;
        }
        let passed = read.min(left);
        if to.write_all(&buffer[..passed]).await.is_err() {
            return;
        }
        left -= if matches!(now, Network::Torn(_)) { passed } else { 0 };
        if left == 0 {
            return;
        }
    }
}

/// How many bytes pass.
fn left(network: Network) -> usize {
    match network {
        Network::Torn(bytes) => bytes,
        _ => usize::MAX,
    }
}
