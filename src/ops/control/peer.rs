//! Who is at the other end.

use std::{fmt, io};

use tokio::net::UnixStream;

/// The user who asks for something, as the kernel tells it (`SO_PEERCRED`).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Peer {
    uid: u32,
}

impl Peer {
    /// Who has connected to a socket.
    pub fn of(stream: &UnixStream) -> io::Result<Peer> {
        Ok(Peer { uid: stream.peer_cred()?.uid() })
    }

    /// This process.
    pub fn own() -> io::Result<Peer> {
        let (one, _other) = UnixStream::pair()?;
        Peer::of(&one)
    }

    /// Whether it may command `owner`'s process: the same user, or root.
    pub fn may_command(&self, owner: &Peer) -> bool {
        self.uid == 0 || self.uid == owner.uid
    }
}

/// As an audit line names it: the user id, and the name where the local accounts have one.
impl fmt::Display for Peer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let accounts = std::fs::read_to_string("/etc/passwd").unwrap_or_default();
        write!(f, "{} (uid {})", name_of(self.uid, &accounts).unwrap_or("?"), self.uid)
    }
}

/// The name in passwd(5) form: `name:password:uid:...`.
fn name_of(uid: u32, accounts: &str) -> Option<&str> {
    accounts.lines().find_map(|line| {
        let mut fields = line.split(':');
        let name = fields.next()?;
        (fields.nth(1)?.parse() == Ok(uid)).then_some(name)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_user_is_named_as_the_accounts_say() {
        let accounts = "root:x:0:0::/root:/bin/sh\nbroken\nrelay:x:101:101::/:/bin/false\n";
        assert_eq!(name_of(101, accounts), Some("relay"));
        assert_eq!(name_of(10, accounts), None);
    }

    #[test]
    fn the_same_user_and_root_may_command() {
        let peer = |uid| Peer { uid };
        assert!(peer(7).may_command(&peer(7)) && peer(0).may_command(&peer(7)));
        assert!(!peer(8).may_command(&peer(7)));
    }
}
