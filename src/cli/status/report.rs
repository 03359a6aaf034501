//! The screen: what each process said, and what waits.

use jiff::Timestamp;
use serde::Serialize;

use crate::ops::status::{Queues, Told};

/// The whole screen.
#[derive(Debug, Serialize)]
pub struct Report {
    /// When it was made.
    pub time: Timestamp,
    /// The processes that were asked.
    pub processes: Vec<Process>,
    /// What waits.
    pub queues: Queues,
    /// What cannot be seen from here, and what would show it.
    pub unseen: Vec<String>,
}

/// A process, or where none answers.
#[derive(Debug, Serialize)]
pub struct Process {
    /// Its admin listener.
    pub address: String,
    /// Why nothing else is known of it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub error: Option<String>,
    /// What it said.
    #[serde(flatten)]
    pub told: Option<Told>,
}
