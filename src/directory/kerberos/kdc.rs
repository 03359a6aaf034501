//! The way to who issues tickets: TCP (RFC 4120 section 7.2.2), for tickets of AD do not fit into
//! UDP.

use std::io;

use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
    time::timeout,
};

use super::ANSWER;
use crate::directory::error::{DirectoryError, one_line};

const PORT: u16 = 88;
/// The largest answer, in bytes. A ticket tells all groups of an account, 64 KiB at most.
const LARGEST: u32 = 256 * 1024;

/// A key distribution center.
pub struct Kdc {
    address: String,
}

impl Kdc {
    /// The configured one, or else the directory server, which every domain controller is too.
    pub fn new(configured: Option<&str>, server: &str) -> Kdc {
        let host = configured.unwrap_or(server);
        let has_port = configured.is_some_and(|kdc| {
            kdc.rsplit_once(':').is_some_and(|(host, _)| !host.contains(':') || host.ends_with(']'))
        });
        let is_bare_ipv6 = !has_port && host.contains(':') && !host.starts_with('[');
        Kdc {
            address: match (has_port, is_bare_ipv6) {
                (true, _) => host.to_owned(),
                (false, true) => format!("[{host}]:{PORT}"),
                (false, false) => format!("{host}:{PORT}"),
            },
        }
    }

    /// Sends a request and waits for the answer.
    pub async fn ask(&self, request: &[u8]) -> Result<Vec<u8>, DirectoryError> {
        let name = format!("the Kerberos KDC {}", self.address);
        let answer = timeout(ANSWER, self.exchange(request)).await;
        answer
            .map_err(|_| DirectoryError::unreachable(&name, "no answer in time"))?
            .map_err(|error| DirectoryError::unreachable(&name, one_line(&error.to_string())))
    }

    async fn exchange(&self, request: &[u8]) -> io::Result<Vec<u8>> {
        let mut stream = TcpStream::connect(&self.address).await?;
        let length = (request.len() as u32).to_be_bytes();
        stream.write_all(&[&length[..], request].concat()).await?;
        let length = stream.read_u32().await?;
        if length > LARGEST {
            return Err(io::Error::new(io::ErrorKind::InvalidData, "its answer is too large"));
        }
        let mut answer = vec![0; length as usize];
        stream.read_exact(&mut answer).await?;
        Ok(answer)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_port_is_88_unless_it_is_said() {
        let address = |configured, server| Kdc::new(configured, server).address;
        assert_eq!(address(None, "dc1.corp.example"), "dc1.corp.example:88");
        assert_eq!(address(None, "fd00::1"), "[fd00::1]:88");
        assert_eq!(address(Some("kdc"), "dc1"), "kdc:88");
        assert_eq!(address(Some("kdc:8888"), "dc1"), "kdc:8888");
        assert_eq!(address(Some("[fd00::1]:8888"), "dc1"), "[fd00::1]:8888");
        assert_eq!(address(Some("[fd00::1]"), "dc1"), "[fd00::1]:88");
        assert_eq!(address(Some("fd00::1"), "dc1"), "[fd00::1]:88");
    }
}
