//! The configuration as types. Names, defaults and units are those of `relay.yaml`, which shows
//! and explains every key.

mod apply;
mod directory;
mod graph;
mod process;
mod queue;
mod safety;

use serde::{Deserialize, Serialize};

pub use apply::*;
pub use directory::*;
pub use graph::*;
pub use process::*;
pub use queue::*;
pub use safety::*;

/// The whole of `relay.yaml`.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Config {
    /// The directory that is watched.
    pub directory: Directory,
    /// Which of its users take part.
    pub scope: Scope,
    /// Where the watcher keeps its ledger.
    pub state: State,
    /// What happened to each user, as `explain` tells it.
    pub journal: Journal,
    /// The queue.
    pub broker: Broker,
    /// Microsoft Graph.
    pub graph: Graph,
    /// What the consumers do.
    pub apply: Apply,
    /// How long a user that Entra does not have yet is waited for.
    pub parking: Parking,
    /// Limits on what may change at once.
    pub guard: Guard,
    /// Intake of new passwords.
    pub passwords: Passwords,
    /// Keys.
    pub security: Security,
    /// The read-only HTTP listener.
    pub admin: Admin,
    /// What is sent now and then to see whether all else would get through.
    pub canary: Canary,
    /// Where traces go.
    pub traces: Traces,
    /// The socket through which the command line reaches a running process.
    pub control: Control,
}
