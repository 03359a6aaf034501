//! What is said on the control socket. Both ends come from the same program, so this is no
//! contract with anybody else and has no version.

use serde::{Deserialize, Serialize};

use crate::queue::letters;

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
}

/// What is answered, any number of these; [`Reply::End`] or [`Reply::Failed`] comes last.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Reply {
    /// On the dead letters.
    DeadLetters(letters::Answer),
    /// All is said.
    End,
    /// It did not work: why.
    Failed(String),
}
