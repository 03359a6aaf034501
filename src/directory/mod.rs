//! The directory: an LDAP session, what changed since a cursor, and what the attributes mean.
//!
//! The cursor is the truth; the doorbell only says when to look.

pub mod attributes;
mod ber;
mod channel;
mod controller;
mod dirsync;
pub mod dn;
mod domain;
mod doorbell;
mod entry;
mod error;
mod feed;
#[cfg_attr(not(feature = "kerberos"), path = "no_kerberos.rs")]
mod kerberos;
mod link;
mod members;
mod message;
mod paging;
mod people;
mod persistent_search;
mod servers;
mod session;
mod source;
mod syncrepl;
#[cfg(test)]
mod tests;
mod trial;

use std::{fmt, time::Duration};

use async_trait::async_trait;
use jiff::Timestamp;
use uuid::Uuid;

pub use controller::Confidential;
pub use dirsync::ActiveDirectory;
pub use domain::Domain;
pub use doorbell::{Bell, Ringer};
pub use entry::{Attributes, Class, Entry};
pub use error::DirectoryError;
pub use link::Link;
pub use session::Login;
pub use source::Source;
pub use trial::Trial;

/// How far the directory was read. Opaque bytes that the server understands.
#[derive(Clone, PartialEq, Eq)]
pub struct Cursor(pub Vec<u8>);

impl fmt::Debug for Cursor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Cursor({} bytes)", self.0.len())
    }
}

/// One answer to "what changed?".
#[derive(Debug)]
pub struct Changes {
    /// The changed objects, each with the attributes that changed and their values now.
    pub entries: Vec<Entry>,
    /// To ask for what comes after these.
    pub next: Cursor,
    /// Whether the server has more right now.
    pub more: bool,
}

/// A directory that can be followed. The answers tell the state of now, not a log: asking twice
/// may give different entries, and an entry may come again.
#[async_trait]
pub trait Directory: Send {
    /// A short name of the server in use, for logs.
    fn server(&self) -> &str;

    /// A cursor from which only later changes are told.
    async fn now(&mut self) -> Result<Cursor, DirectoryError>;

    /// What changed after `cursor`.
    async fn changes(&mut self, cursor: &Cursor) -> Result<Changes, DirectoryError>;

    /// Every user, page by page: the first page where `page` is none, else the page after it.
    /// Entries are complete. `next` is none on the last page.
    async fn users(&mut self, page: Option<Page>) -> Result<UsersPage, DirectoryError>;

    /// One object, complete, if it exists, is not deleted, and is a user.
    async fn read(&mut self, object: Uuid) -> Result<Option<Entry>, DirectoryError>;

    /// Whether users are below containers that can be read: else their names alone tell where they
    /// are.
    fn has_containers(&self) -> bool {
        false
    }

    /// Whether no cursor outlives its connection: then reading everything is how the source goes on
    /// after each, and no sign that something was missed.
    fn forgets(&self) -> bool {
        false
    }

    /// Every container, page by page, as [`Directory::users`].
    async fn containers(&mut self, _page: Option<Page>) -> Result<UsersPage, DirectoryError> {
        Ok(UsersPage { entries: Vec::new(), next: None })
    }

    /// Every group that is a member of a group, page by page.
    async fn nested_groups(&mut self, _page: Option<Page>) -> Result<UsersPage, DirectoryError> {
        Ok(UsersPage { entries: Vec::new(), next: None })
    }

    /// The objectGUIDs of a group's direct members; none if there is no such group.
    async fn members(&mut self, _group: Uuid) -> Result<Option<Vec<Uuid>>, DirectoryError> {
        Ok(None)
    }

    /// The objectGUID of what has this distinguished name, whatever it is.
    async fn find(&mut self, _dn: &str) -> Result<Option<Uuid>, DirectoryError> {
        Ok(None)
    }

    /// What time it is by the server's clock; none where it does not tell.
    async fn time(&mut self) -> Result<Option<Timestamp>, DirectoryError> {
        Ok(None)
    }

    /// When a user's password expires, or expired, as the directory reckons it with all its
    /// policies; none where it never does.
    async fn password_expires(
        &mut self,
        _object: Uuid,
    ) -> Result<Option<Timestamp>, DirectoryError> {
        Ok(None)
    }

    /// The one user whose attribute has this value; none if there is none, or more than one, or the
    /// directory cannot be searched so.
    async fn find_user(
        &mut self,
        attribute: &str,
        value: &str,
    ) -> Result<Option<Uuid>, DirectoryError> {
        let _ = (attribute, value);
        Ok(None)
    }

    /// A number that moves when anything changes; none where there is none.
    async fn doorbell(&mut self) -> Result<Option<u64>, DirectoryError> {
        Ok(None)
    }

    /// How many changes the server's database has had, where it counts them. A quick answer also
    /// shows that the server still is there.
    async fn usn(&mut self) -> Result<Option<u64>, DirectoryError> {
        Ok(None)
    }

    /// Starts what rings when something changes, on a connection of its own; none where only
    /// [`Directory::doorbell`] tells.
    fn bell(&self) -> Option<Bell> {
        None
    }

    /// Which copy of the directory this is, as found when the connection was made.
    fn replica(&self) -> Replica {
        Replica { server: self.server().to_owned(), ..Replica::default() }
    }

    /// Whether the object is known to have been deleted, not just missing here. Servers that
    /// remember no deletions say no.
    async fn is_tombstone(&mut self, _object: Uuid) -> Result<bool, DirectoryError> {
        Ok(false)
    }
}

/// Which copy of the directory a server has. A cursor is sure to be good only for the copy and the
/// selection that it was won with.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Replica {
    /// The server's own name, whatever URL leads to it.
    pub server: String,
    /// The history of its database, where it has one: another after it was restored the right way
    /// (invocationId, MS-ADTS 3.1.1.1.9).
    pub invocation: Option<Uuid>,
    /// How many changes its database has had, where it counts them. Never goes back, unless the
    /// database was put back in time.
    pub usn: Option<u64>,
    /// How long it remembers deletions, where it does.
    pub tombstones: Option<Duration>,
    /// Another one where another filter or other attributes are selected.
    pub selection: String,
}

/// Where a paged read stands. Opaque, and good for the connection that gave it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Page(pub Vec<u8>);

/// One page of users.
#[derive(Debug)]
pub struct UsersPage {
    /// The users, complete.
    pub entries: Vec<Entry>,
    /// The page after this one.
    pub next: Option<Page>,
}
