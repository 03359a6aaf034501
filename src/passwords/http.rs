//! What is said between both ends: one HTTP/1.1 request and its answer (RFC 9112).
//!
//! ```text
//! POST /v1/password HTTP/1.1
//! relay-account: alice                     sAMAccountName, SID or objectGUID
//! relay-time: 2026-01-31T08:00:00.5Z       when it was set, by the domain controller's clock
//! relay-committed: true                    the change is done; else it may yet be refused
//! relay-version: 3                         msDS-KeyVersionNumber, where it is known
//! content-length: 12
//!
//! the password
//! ```
//!
//! This is read and written here, not by an HTTP library, whose buffers nobody wipes.

use std::{fmt::Write as _, io};

use jiff::Timestamp;
use secrecy::zeroize::Zeroizing;
use tokio::io::{AsyncRead, AsyncReadExt};

use super::Account;
use crate::sealing::{MAX_PASSWORD, Password};

const PATH: &str = "/v1/password";
const MAX_HEAD: usize = 4096;
const MAX_HEADERS: usize = 32;

/// The longest answer that is read, in bytes. Ours has a tenth of it.
const MAX_ANSWER: usize = 1024;

/// A password that is handed over.
#[derive(Debug)]
pub struct Submission {
    /// Whose it is.
    pub account: Account,
    /// When it was set, by the domain controller's clock; none for now.
    pub at: Option<Timestamp>,
    /// Whether the change is done; else it may yet be refused.
    pub committed: bool,
    /// `msDS-KeyVersionNumber` (MS-ADTS section 3.1.1.4.5.16), which counts the user's passwords.
    pub version: Option<u64>,
    /// The value.
    pub password: Password,
}

/// What the intake answers. It depends on the request and on the intake, never on the user.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Answer {
    /// Taken in.
    Accepted,
    /// No request that it understands.
    Malformed,
    /// Too much at once.
    TooMany,
    /// It cannot be kept now.
    Unavailable,
}

impl Answer {
    /// The whole response.
    pub fn response(self) -> &'static [u8] {
        match self {
            Answer::Accepted => {
                b"HTTP/1.1 202 Accepted\r\ncontent-length: 0\r\nconnection: close\r\n\r\n"
            }
            Answer::Malformed => {
                b"HTTP/1.1 400 Bad Request\r\ncontent-length: 0\r\nconnection: close\r\n\r\n"
            }
            Answer::TooMany => {
                b"HTTP/1.1 429 Too Many Requests\r\ncontent-length: 0\r\nconnection: close\r\n\r\n"
            }
            Answer::Unavailable => {
                b"HTTP/1.1 503 Service Unavailable\r\ncontent-length: 0\r\nconnection: close\r\n\r\n"
            }
        }
    }
}

impl Submission {
    /// The whole request.
    pub fn request(&self) -> Zeroizing<Vec<u8>> {
        let account = match &self.account {
            Account::Guid(guid) => guid.to_string(),
            Account::Sid(name) | Account::Name(name) => name.clone(),
        };
        let mut head =
            format!("POST {PATH} HTTP/1.1\r\nhost: relay\r\nrelay-account: {account}\r\n");
        if let Some(at) = self.at {
            let _infallible = write!(head, "relay-time: {at}\r\n");
        }
        if self.committed {
            head += "relay-committed: true\r\n";
        }
        if let Some(version) = self.version {
            let _infallible = write!(head, "relay-version: {version}\r\n");
        }
        let value = self.password.expose().as_bytes();
        let _infallible = write!(head, "content-length: {}\r\n\r\n", value.len());
        // With its room from the start, it is in one place only.
        let mut request = Zeroizing::new(Vec::with_capacity(head.len() + value.len()));
        request.extend_from_slice(head.as_bytes());
        request.extend_from_slice(value);
        request
    }

    /// Reads a request; none if it is none of ours, or too long.
    pub async fn read(stream: &mut (impl AsyncRead + Unpin)) -> io::Result<Option<Submission>> {
        let mut buffer = Zeroizing::new(vec![0; MAX_HEAD + MAX_PASSWORD]);
        let mut filled = 0;
        loop {
            match Submission::parse(&buffer[..filled]) {
                Parsed::Whole(submission) => return Ok(Some(submission)),
                Parsed::Partial if filled < buffer.len() => {}
                Parsed::Partial | Parsed::Malformed => return Ok(None),
            }
            match stream.read(&mut buffer[filled..]).await? {
                0 => return Ok(None),
                read => filled += read,
            }
        }
    }

    fn parse(bytes: &[u8]) -> Parsed {
        let mut headers = [httparse::EMPTY_HEADER; MAX_HEADERS];
        let mut request = httparse::Request::new(&mut headers);
        let head = match request.parse(bytes) {
            Ok(httparse::Status::Complete(length)) => length,
            Ok(httparse::Status::Partial) if bytes.len() < MAX_HEAD => return Parsed::Partial,
            Ok(httparse::Status::Partial) | Err(_) => return Parsed::Malformed,
        };
        if (request.method, request.path) != (Some("POST"), Some(PATH)) {
            return Parsed::Malformed;
        }
        let header = |name: &str| {
            let found =
                request.headers.iter().find(|header| header.name.eq_ignore_ascii_case(name));
            found.map(|header| std::str::from_utf8(header.value).unwrap_or_default().trim())
        };
        let length = header("content-length").and_then(|text| text.parse().ok());
        let Some(length) = length.filter(|length| (1..=MAX_PASSWORD).contains(length)) else {
            return Parsed::Malformed;
        };
        let Some(value) = bytes[head..].get(..length) else { return Parsed::Partial };
        // A header that is there and says nothing sensible makes the whole request doubtful.
        let read = || {
            let at = header("relay-time").map(|text| text.parse().ok());
            let version = header("relay-version").map(|text| text.parse().ok());
            let committed = header("relay-committed").map(|text| text.parse().ok());
            Some(Submission {
                account: Account::parse(header("relay-account")?)?,
                at: at.map_or(Some(None), |at| at.map(Some))?,
                committed: committed.unwrap_or(Some(false))?,
                version: version.map_or(Some(None), |version| version.map(Some))?,
                password: Password::from_bytes(Zeroizing::new(value.to_vec())).ok()?,
            })
        };
        read().map_or(Parsed::Malformed, Parsed::Whole)
    }
}

enum Parsed {
    Whole(Submission),
    Partial,
    Malformed,
}

/// Reads an answer: its status code.
pub async fn read_status(stream: &mut (impl AsyncRead + Unpin)) -> io::Result<u16> {
    let mut buffer = [0; MAX_ANSWER];
    let mut filled = 0;
    loop {
        let mut headers = [httparse::EMPTY_HEADER; MAX_HEADERS];
        let mut response = httparse::Response::new(&mut headers);
        match response.parse(&buffer[..filled]) {
            Ok(httparse::Status::Complete(_)) => {
                return response.code.ok_or_else(|| io::ErrorKind::InvalidData.into());
            }
            Ok(httparse::Status::Partial) if filled < buffer.len() => {}
            Ok(httparse::Status::Partial) | Err(_) => return Err(io::ErrorKind::InvalidData.into()),
        }
        match stream.read(&mut buffer[filled..]).await? {
            0 => return Err(io::ErrorKind::UnexpectedEof.into()),
            read => filled += read,
        }
    }
}
