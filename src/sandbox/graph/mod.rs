//! An in-process Microsoft Graph, strict on what the relay calls.
//!
//! One tenant with its users and groups, one app registration, the token endpoint and the part of
//! Graph v1.0 that the relay uses, over HTTP on loopback. It refuses what Graph refuses, with
//! Graph's statuses, codes and headers: permissions, directory roles, types, lengths, properties
//! mastered on premises, duplicates, quotas. Faults can be switched on while it runs, and every
//! request is in its log.
//!
//! | file | concern |
//! | --- | --- |
//! | `properties`, `forms` | the table of user properties, and what their values look like |
//! | `record`, `user`, `group`, `store` | objects, compactly, with indexes |
//! | `connection`, `server`, `exchange` | TCP and HTTP around one request |
//! | `signin`, `assertion`, `token`, `permissions`, `roles` | who may do what |
//! | `resource`, `call` | from a path to the function that serves it |
//! | `users`, `members`, `deleted`, `references`, `assignments` | those functions |
//! | `changes`, `update` | what a body asks for, and writing it |
//! | `query`, `filter`, `lexer` | query options |
//! | `error`, `throttle`, `faults`, `log` | refusals, quotas, faults, the log |

mod assertion;
mod assignments;
#[cfg(test)]
mod bench;
mod call;
mod changes;
mod connection;
mod deleted;
#[cfg(test)]
mod description;
mod error;
mod exchange;
mod faults;
mod filter;
mod forms;
mod group;
#[cfg(test)]
mod in_process;
mod lexer;
mod log;
mod members;
mod options;
mod permissions;
mod properties;
mod query;
mod record;
mod references;
mod resource;
mod roles;
mod server;
mod signin;
mod store;
#[cfg(test)]
mod tests;
mod throttle;
mod token;
mod update;
mod user;
mod users;

use std::collections::BTreeSet;
use std::fmt;
use std::net::SocketAddr;
use std::sync::Arc;

use jiff::Timestamp;
use tokio::net::TcpListener;
use tokio_util::sync::DropGuard;
use uuid::Uuid;

use self::connection::{Connection, Cuttable};
use self::group::Group;
use self::server::{Shared, State};

pub use self::faults::{FaultSet, Faults};
pub use self::group::GroupKind;
pub use self::log::{LoggedBody, LoggedRequest};
pub use self::options::{Federation, Options, Rules};
pub use self::permissions::RELAY_PERMISSIONS;
pub use self::roles::DirectoryRole;
pub use self::user::{NewUser, User};

/// A running simulator; clones share it, and it stops when the last one is dropped.
#[derive(Clone)]
pub struct SandboxGraph {
    shared: Arc<Shared>,
    address: SocketAddr,
    _stop: Arc<DropGuard>,
}

impl SandboxGraph {
    /// Starts listening.
    ///
    /// # Errors
    ///
    /// If the address cannot be listened on.
    pub async fn start(options: Options) -> std::io::Result<Self> {
        let listener = TcpListener::bind(options.listen).await?;
        let address = listener.local_addr()?;
        let shared = Arc::new(Shared::new(options));
        let app =
            server::router(Arc::clone(&shared)).into_make_service_with_connect_info::<Connection>();
        let closing = shared.closing.clone();
        let server = axum::serve(Cuttable(listener), app)
            .with_graceful_shutdown(closing.clone().cancelled_owned());
        tokio::spawn(async move {
            if let Err(error) = server.await {
                tracing::error!(%error, "the sandbox graph stopped");
            }
        });
        Ok(Self { shared, address, _stop: Arc::new(closing.drop_guard()) })
    }

    /// The service root, `http://127.0.0.1:PORT/v1.0`.
    pub fn endpoint(&self) -> String {
        format!("{}/v1.0", self.authority())
    }

    /// The address of the token endpoint without tenant, `http://127.0.0.1:PORT`.
    pub fn authority(&self) -> String {
        format!("http://{}", self.address)
    }

    /// How the tenant was set up.
    pub fn options(&self) -> &Options {
        &self.shared.options
    }

    /// The switches for faults.
    pub fn faults(&self) -> &Faults {
        &self.shared.faults
    }

    /// Puts a user into the tenant, unchecked, and returns its object id.
    pub fn add_user(&self, user: NewUser) -> Uuid {
        let user = user.build();
        let id = user.id();
        self.change(|state| state.store.insert(user));
        id
    }

    /// Sets a property of a user, unchecked, as another tool than the relay would.
    ///
    /// # Panics
    ///
    /// If there is no such property.
    pub fn set(&self, user: Uuid, property: &str, value: impl Into<serde_json::Value>) {
        let known = properties::Prop::named(property);
        let prop = known.unwrap_or_else(|| panic!("{property} is no property"));
        let value = value.into();
        self.change(|state| state.store.update(user, |user| user.record.set([(prop, value)])));
    }

    /// Deletes a user, unchecked, as another tool than the relay would.
    pub fn delete(&self, user: Uuid) {
        self.change(|state| state.store.delete(user, Timestamp::now()));
    }

    /// The user with that object id.
    pub fn user(&self, id: Uuid) -> Option<User> {
        self.shared.state().store.user(id).cloned()
    }

    /// The user with that principal name, in any case.
    pub fn user_by_upn(&self, user_principal_name: &str) -> Option<User> {
        self.shared.state().store.having(properties::UPN, user_principal_name).next().cloned()
    }

    /// A snapshot of every user, in the order of their object ids.
    pub fn users(&self) -> Vec<User> {
        self.shared.state().store.users_after(None).cloned().collect()
    }

    /// How many users there are.
    pub fn user_count(&self) -> usize {
        self.shared.state().store.len()
    }

    /// A snapshot of the users that were deleted and can be restored.
    pub fn deleted_users(&self) -> Vec<User> {
        self.shared.state().store.deleted_users(Timestamp::now()).cloned().collect()
    }

    /// Puts a group into the tenant and returns its object id.
    pub fn add_group(&self, kind: GroupKind) -> Uuid {
        let id = Uuid::new_v4();
        self.change(|state| {
            state.store.groups.insert(id, Group { kind, members: BTreeSet::new() })
        });
        id
    }

    /// The object ids of a group's members; none if there is no such group.
    pub fn members(&self, group: Uuid) -> Option<BTreeSet<Uuid>> {
        self.shared.state().store.groups.get(&group).map(|group| group.members.clone())
    }

    /// Puts a user into a group or takes it out, unchecked, as another tool than the relay would.
    pub fn set_member(&self, group: Uuid, user: Uuid, member: bool) {
        self.change(|state| {
            let members = state.store.groups.get_mut(&group).map(|group| &mut group.members);
            match members {
                Some(members) if member => drop(members.insert(user)),
                Some(members) => drop(members.remove(&user)),
                None => {}
            }
        });
    }

    /// Replaces the app's permissions; they are in tokens issued from now on, as in Entra.
    pub fn set_app_roles(&self, roles: impl IntoIterator<Item = impl Into<String>>) {
        let roles = roles.into_iter().map(Into::into).collect();
        self.change(|state| state.app_roles = roles);
    }

    /// Replaces the directory roles of the app's service principal, at once.
    pub fn set_directory_roles(&self, roles: impl Into<Vec<DirectoryRole>>) {
        let roles = roles.into();
        self.change(|state| state.directory_roles = roles);
    }

    /// Expires every token issued so far.
    pub fn expire_tokens(&self) {
        self.shared.tokens.expire();
    }

    /// The requests that are in the log, in the order in which they took effect.
    pub fn log(&self) -> Vec<LoggedRequest> {
        self.log_since(0)
    }

    /// The requests in the log behind this [`LoggedRequest::order`].
    pub fn log_since(&self, order: u64) -> Vec<LoggedRequest> {
        self.shared.state().log.since(order)
    }

    /// The number of the latest request in the log; 0 before the first.
    pub fn last_order(&self) -> u64 {
        self.shared.state().log.last()
    }

    /// Waits until a condition holds; it is asked now and after every request or seeding.
    /// The caller sets the time limit.
    pub async fn wait_until(&self, mut condition: impl FnMut(&Self) -> bool) {
        let mut changes = self.shared.changes.subscribe();
        loop {
            changes.borrow_and_update();
            if condition(self) {
                return;
            }
            // The sender lives in `self`, so this only returns on a change.
            let _ = changes.changed().await;
        }
    }

    fn change<T>(&self, change: impl FnOnce(&mut State) -> T) {
        change(&mut self.shared.state());
        self.shared.changed();
    }
}

impl fmt::Debug for SandboxGraph {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SandboxGraph").field("address", &self.address).finish_non_exhaustive()
    }
}
