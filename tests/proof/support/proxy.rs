//! Stands between a client and a server, and can part them.

use std::net::{IpAddr, SocketAddr};
use std::sync::{
    Arc, Mutex,
    atomic::{AtomicBool, Ordering},
};

use tokio::io::copy_bidirectional;
use tokio::net::{TcpListener, TcpStream};
use tokio::task::{AbortHandle, JoinHandle};

/// Passes connections on. Dropping it takes no more.
pub struct Proxy {
    address: SocketAddr,
    shared: Arc<Shared>,
    listener: JoinHandle<()>,
}

#[derive(Default)]
struct Shared {
    closed: AtomicBool,
    connections: Mutex<Vec<AbortHandle>>,
}

impl Proxy {
    /// Listens at this address and passes on to `server`.
    pub async fn start(ip: IpAddr, server: SocketAddr) -> Proxy {
        let listener = TcpListener::bind((ip, 0)).await.expect("a free port");
        let address = listener.local_addr().expect("a bound address");
        let shared = Arc::<Shared>::default();
        let listener = tokio::spawn(accept(listener, server, Arc::clone(&shared)));
        Proxy { address, shared, listener }
    }

    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Cuts the connection that came last, and those that come from now on.
    pub fn part(&self) {
        self.shared.closed.store(true, Ordering::SeqCst);
        let last = self.shared.connections.lock().expect("no panic holds it").pop();
        last.expect("there is a connection to cut").abort();
    }

    /// Ends [`Proxy::part`].
    pub fn rejoin(&self) {
        self.shared.closed.store(false, Ordering::SeqCst);
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        self.listener.abort();
    }
}

async fn accept(listener: TcpListener, server: SocketAddr, shared: Arc<Shared>) {
    loop {
        let (mut client, _) = listener.accept().await.expect("a connection");
        if shared.closed.load(Ordering::SeqCst) {
            continue;
        }
        let passing = tokio::spawn(async move {
            let mut server = TcpStream::connect(server).await.expect("the server is there");
            // However it ends, both ends see it.
            let _ = copy_bidirectional(&mut client, &mut server).await;
        });
        shared.connections.lock().expect("no panic holds it").push(passing.abort_handle());
    }
}
