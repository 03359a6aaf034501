//! A loopback address for each server, so that servers with fixed ports run side by side.

use std::io::ErrorKind;
use std::net::{Ipv4Addr, SocketAddr, TcpListener};

/// Whoever listens on this port of an address has the address. Below the range that the kernel
/// takes ports for outgoing connections from.
const LOCK_PORT: u16 = 20_000;

/// An address 127.0.0.N that no other test, of this or another process, uses while this value lives.
pub struct Loopback {
    ip: Ipv4Addr,
    _lock: TcpListener,
}

impl Loopback {
    /// Takes an address on which `ports` are free.
    ///
    /// # Panics
    /// When there is none, or when the ports are reserved for root and this process is not.
    pub fn take(ports: &[u16]) -> Loopback {
        // Processes start their search apart from each other.
        let start = std::process::id();
        (0..240)
            .map(|step| 10 + ((start + step) % 240) as u8)
            .find_map(|last| Loopback::try_take(Ipv4Addr::new(127, 0, 0, last), ports))
            .expect("one of 240 loopback addresses is free")
    }

    fn try_take(ip: Ipv4Addr, ports: &[u16]) -> Option<Loopback> {
        let lock = TcpListener::bind((ip, LOCK_PORT)).ok()?;
        let loopback = Loopback { ip, _lock: lock };
        let [epmd, distribution] = loopback.own_ports();
        let own = [epmd, distribution].map(|port| SocketAddr::from((Ipv4Addr::LOCALHOST, port)));
        let fixed = ports.iter().map(|port| SocketAddr::from((ip, *port)));
        fixed.chain(own).all(is_free).then_some(loopback)
    }

    /// The address.
    pub fn ip(&self) -> Ipv4Addr {
        self.ip
    }

    /// Two ports of 127.0.0.1 that go with the address, for what can listen only there.
    pub fn own_ports(&self) -> [u16; 2] {
        let first = LOCK_PORT + 2 * u16::from(self.ip.octets()[3]);
        [first, first + 1]
    }
}

/// Whether nobody listens on `address`.
///
/// # Panics
/// When the port is reserved for root and this process is not.
pub fn is_free(address: SocketAddr) -> bool {
    match TcpListener::bind(address) {
        Ok(_listener) => true,
        Err(error) if error.kind() == ErrorKind::PermissionDenied => {
            panic!("{address} may be used by root only: run the tests as root")
        }
        Err(_in_use) => false,
    }
}
