//! What is said on the control socket. Both ends come from the same program, so this is no
//! contract with anybody else and has no version.

use serde::{Deserialize, Serialize};
use uuid::Uuid;

use crate::{
    queue::{carried::Carried, letters, refresh::Why},
    watcher::{explain, orders},
};

/// The longest request, in bytes.
pub const MAX_REQUEST: usize = 256 << 10;

/// The longest reply, in bytes: a whole event, with room for what surrounds it.
pub const MAX_REPLY: usize = 8 << 20;

/// What is asked for.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Request {
    /// Something with the dead letters.
    DeadLetters(letters::Command),
    /// Something for the watcher's one writer.
    Watcher(orders::Order),
    /// Has users told again.
    Refresh {
        /// objectGUIDs.
        objects: Vec<Uuid>,
        /// Why.
        why: Why,
    },
    /// Tells what happened to a user.
    Explain(explain::Question),
    /// Follows the events, without end.
    Tail,
    /// Stops applying.
    Pause,
    /// Goes on applying.
    Resume,
}

/// What is answered, any number of these; [`Reply::End`] or [`Reply::Failed`] comes last.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Reply {
    /// On the dead letters.
    DeadLetters(letters::Answer),
    /// By the watcher.
    Watcher(orders::Answer),
    /// What happened to a user.
    Story(Box<explain::Story>),
    /// A copy of an event's message.
    Copy(Carried),
    /// It is paused, or goes on, as was asked for.
    Switched {
        /// Whether it was different before.
        changed: bool,
        /// Whether a process runs that heeds it now.
        running: bool,
    },
    /// All is said.
    End,
    /// It did not work: why.
    Failed(String),
}
