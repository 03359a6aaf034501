//! An in-process LDAP server that behaves like Active Directory.
//!
//! It speaks LDAP over TCP like a domain controller that was given a small (or a large) domain of
//! invented people: binds, searches, writes, DirSync and change notification, with the refusals that
//! trip up a careless client. Nothing is kept on disk.
//!
//! | layer | modules |
//! | --- | --- |
//! | wire | `server`, `connection`, `codec`, `control`, `refusal` |
//! | operations | `bind`, `searches`, `notify`, `rootdse`; `add`, `modify`, `draft`, `lifecycle` |
//! | searching | `filter`, `plan`, `search`, `paging`; `dirsync`, `delta` |
//! | contents | `store`, `read`, `object`, `links`, `schema`, `value`, `dn`, `sid` |
//! | filling | `populate`, `people`, `password`, `time` |

mod add;
mod bind;
mod codec;
mod connection;
mod control;
mod delta;
mod dirsync;
mod dn;
mod draft;
mod faults;
mod filter;
mod lifecycle;
mod links;
mod modify;
mod notify;
mod object;
mod paging;
mod password;
mod people;
mod plan;
mod populate;
mod read;
mod refusal;
mod rootdse;
mod schema;
mod search;
mod searches;
mod server;
mod sid;
mod snapshot;
mod store;
#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a test fails by panicking")]
mod tests;
mod time;
mod value;

use std::{
    io,
    net::{Ipv4Addr, SocketAddr},
    sync::Arc,
};

use tokio::net::TcpListener;
use tokio_util::sync::{CancellationToken, DropGuard};

use server::Directory;
pub use snapshot::UserSnapshot;

/// How the directory is set up.
#[derive(Debug, Clone)]
pub struct Options {
    /// Where to listen; port 0 takes a free one.
    pub listen: SocketAddr,
    /// The distinguished name of the domain, made of `DC=` steps.
    pub base_dn: String,
    /// How many people to invent. The built-in accounts and the relay's come on top.
    pub users: usize,
    /// Decides who is invented: the same seed gives the same people with the same GUIDs.
    pub seed: u64,
    /// The most objects in one DirSync reply, whatever size the client allows.
    pub dirsync_batch: usize,
    /// Whether the relay's account has `DS-Replication-Get-Changes`, which DirSync without
    /// `OBJECT_SECURITY` needs.
    pub service_can_replicate: bool,
    /// Whether the relay's account may see deleted objects. If not, deletions are silent.
    pub service_sees_deleted: bool,
    /// The password of the relay's account.
    pub service_password: String,
    /// The password of the account that may write.
    pub administrator_password: String,
}

impl Default for Options {
    fn default() -> Self {
        Options {
            listen: SocketAddr::from((Ipv4Addr::LOCALHOST, 0)),
            base_dn: "DC=corp,DC=example".to_owned(),
            users: 500,
            seed: 1,
            dirsync_batch: 1_000,
            service_can_replicate: false,
            service_sees_deleted: true,
            service_password: "Sandbox-Relay-1".to_owned(),
            administrator_password: "Sandbox-Admin-1".to_owned(),
        }
    }
}

/// A running server. It stops, with all its connections, when this is dropped.
#[derive(Debug)]
pub struct SandboxDirectory {
    directory: Arc<Directory>,
    address: SocketAddr,
    bind_name: String,
    administrator_name: String,
    _stop: DropGuard,
}

impl SandboxDirectory {
    /// Fills the directory and starts to listen.
    ///
    /// # Errors
    /// `InvalidInput` when the base DN is not made of `DC=` steps; else what listening failed with.
    pub async fn start(options: Options) -> io::Result<Self> {
        let listener = TcpListener::bind(options.listen).await?;
        let address = listener.local_addr()?;
        let directory = Directory::new(options).map(Arc::new).ok_or_else(|| {
            io::Error::new(io::ErrorKind::InvalidInput, "base_dn must be made of DC= steps")
        })?;
        let dns = directory.read().domain.dns.clone();
        let stop = CancellationToken::new();
        tokio::spawn(server::listen(listener, directory.clone(), stop.clone()));
        Ok(SandboxDirectory {
            directory,
            address,
            bind_name: format!("{}@{dns}", populate::SERVICE),
            administrator_name: format!("{}@{dns}", populate::ADMINISTRATOR),
            _stop: stop.drop_guard(),
        })
    }

    /// Where it listens: `ldap://127.0.0.1:PORT`.
    pub fn url(&self) -> String {
        format!("ldap://{}", self.address)
    }

    /// The distinguished name of the domain.
    pub fn base_dn(&self) -> &str {
        &self.directory.options.base_dn
    }

    /// The relay's account, as a user principal name.
    pub fn bind_name(&self) -> &str {
        &self.bind_name
    }

    /// The password of the relay's account.
    pub fn bind_password(&self) -> &str {
        &self.directory.options.service_password
    }

    /// The account that may write, as a user principal name.
    pub fn administrator_name(&self) -> &str {
        &self.administrator_name
    }

    /// The password of the account that may write.
    pub fn administrator_password(&self) -> &str {
        &self.directory.options.administrator_password
    }

    /// Every user as it is now, deleted ones included, in the order of their creation.
    pub fn users(&self) -> Vec<UserSnapshot> {
        snapshot::users(&self.directory.read())
    }

    /// Fault switch: cuts every open connection, once.
    pub fn drop_connections(&self) {
        self.directory.drop_connections();
    }

    /// Fault switch: answers every DirSync request with this LDAP result code; `None` ends that.
    pub fn refuse_dirsync(&self, code: Option<u32>) {
        self.directory.faults.refuse_dirsync(code);
    }

    /// Fault switch: holds change notifications back, or lets the held ones go.
    pub fn hold_notifications(&self, hold: bool) {
        self.directory.faults.hold_notifications(hold);
    }
}
