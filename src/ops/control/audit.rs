//! The line that remains of a command that changes something.

use serde::Serialize;

use super::peer::Peer;

/// Written at the command's end, however it ends: dropped untold, it was interrupted.
pub struct Audit {
    who: String,
    what: &'static str,
    /// What the command was about.
    subject: String,
    outcome: String,
}

impl Audit {
    /// Somebody begins something.
    pub fn begin(peer: &Peer, what: &'static str, subject: &impl Serialize) -> Audit {
        let subject = serde_json::to_string(subject).unwrap_or_default();
        Audit { who: peer.to_string(), what, subject, outcome: "interrupted".into() }
    }

    /// How far it has come.
    pub fn note(&mut self, outcome: impl Into<String>) {
        self.outcome = outcome.into();
    }
}

impl Drop for Audit {
    fn drop(&mut self) {
        let Audit { who, what, subject, outcome } = self;
        tracing::info!(target: "audit", who, what, subject, outcome, "command carried out");
    }
}
