//! `healthcheck`: asks the admin listener of the process that runs here. For containers, which have
//! no other program to ask with.

use std::{
    io,
    net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr},
    path::Path,
    process::ExitCode,
    time::Duration,
};

use anyhow::Context;
use clap::Args;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
    time::timeout,
};

use crate::config::{self, Role};

/// The longest wait for the answer.
const TIMEOUT: Duration = Duration::from_secs(4);

/// The most that is read of an answer.
const LONGEST: u64 = 64 * 1024;

/// `entra-relay healthcheck`
#[derive(Debug, Args)]
pub struct Arguments {
    /// Fails also while the process waits for its first connections.
    #[arg(long)]
    ready: bool,
}

/// Exits with 0 if every loop of the process turns, with 1 if not, or if nobody answers.
pub async fn main(arguments: &Arguments, path: &Path) -> anyhow::Result<ExitCode> {
    let config = config::load(path, std::env::vars(), Role::Tool)?;
    let listener: SocketAddr =
        config.admin.listen.parse().expect("the configuration was checked when it was read");
    let address = reachable(listener);
    let paths = if arguments.ready { &["/livez", "/readyz"][..] } else { &["/livez"] };
    for path in paths {
        let answer = timeout(TIMEOUT, get(address, path)).await;
        let (status, body) = answer
            .unwrap_or_else(|_elapsed| Err(io::ErrorKind::TimedOut.into()))
            .with_context(|| format!("no process answers at http://{address}{path}"))?;
        anyhow::ensure!(status == 200, "{path} answers {status}: {}", body.trim());
    }
    Ok(ExitCode::SUCCESS)
}

/// Where a listener is reached from this host: one on every address, by loopback.
fn reachable(mut listener: SocketAddr) -> SocketAddr {
    match listener.ip() {
        IpAddr::V4(Ipv4Addr::UNSPECIFIED) => listener.set_ip(Ipv4Addr::LOCALHOST.into()),
        IpAddr::V6(Ipv6Addr::UNSPECIFIED) => listener.set_ip(Ipv6Addr::LOCALHOST.into()),
        _ => {}
    }
    listener
}

/// Status and body. By HTTP 1.0 the answer ends with the connection and comes in one piece.
async fn get(address: SocketAddr, path: &str) -> io::Result<(u16, String)> {
    let mut stream = TcpStream::connect(address).await?;
    let request = format!("GET {path} HTTP/1.0\r\nHost: {address}\r\n\r\n");
    stream.write_all(request.as_bytes()).await?;
    let mut answer = Vec::new();
    stream.take(LONGEST).read_to_end(&mut answer).await?;
    let answer = String::from_utf8_lossy(&answer);
    let (head, body) = answer.split_once("\r\n\r\n").unwrap_or_default();
    let status = head.split(' ').nth(1).and_then(|status| status.parse().ok());
    status
        .map(|status| (status, body.to_owned()))
        .ok_or_else(|| io::Error::new(io::ErrorKind::InvalidData, "the answer is not HTTP"))
}

#[cfg(test)]
mod tests {
    use tokio::net::TcpListener;

    use super::*;

    #[test]
    fn a_listener_on_every_address_is_asked_by_loopback() {
        for (listener, address) in [
            ("0.0.0.0:9464", "127.0.0.1:9464"),
            ("[::]:9464", "[::1]:9464"),
            ("10.1.2.3:9464", "10.1.2.3:9464"),
        ] {
            assert_eq!(reachable(listener.parse().unwrap()), address.parse().unwrap());
        }
    }

    #[tokio::test]
    async fn what_does_not_speak_http_is_an_error() {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        tokio::spawn(async move {
            let (mut stream, _) = listener.accept().await.unwrap();
            let mut request = [0; 16];
            stream.read_exact(&mut request).await.unwrap();
            stream.write_all(b"220 ready for mail\r\n").await.unwrap();
        });
        assert!(get(address, "/livez").await.is_err());
    }
}
