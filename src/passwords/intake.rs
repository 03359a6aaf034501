//! What is done with a password that is handed over: it is sealed at once, and kept so.

use std::{sync::Arc, time::Instant};

use jiff::{SignedDuration, Timestamp};
use uuid::Uuid;

use super::{Submission, http::Answer, limit::Limit};
use crate::{
    ops::metrics::{METRICS, PasswordOutcome},
    sealing::{Binding, Sealer},
    watcher::candidate::Candidate,
};

/// How far the clock of a domain controller may be from ours. Kerberos asks for five minutes.
const CLOCK_SKEW: SignedDuration = SignedDuration::from_mins(10);

/// Where sealed passwords are kept. An outer seam, so that this module needs no watcher.
pub trait Shelf: Send + Sync {
    /// Keeps one, durably. An error says why not.
    fn keep(&self, candidate: Candidate) -> Result<(), String>;
}

/// Takes passwords in.
pub struct Intake {
    source: String,
    sealer: Sealer,
    shelf: Arc<dyn Shelf>,
    limit: Limit,
}

impl Intake {
    /// Seals what comes for the directory `source`, and keeps it on `shelf`.
    pub fn new(source: &str, sealer: Sealer, shelf: Arc<dyn Shelf>) -> Intake {
        let limit = Limit::new(Instant::now());
        Intake { source: source.to_owned(), sealer, shelf, limit }
    }

    /// Takes one in.
    pub(super) async fn take_in(&self, submission: Submission) -> Answer {
        let now = Timestamp::now();
        let at = submission.at.unwrap_or(now);
        if now.duration_since(at).abs() > CLOCK_SKEW {
            tracing::warn!(%at, "a password's time is not near ours: compare the clocks");
            METRICS.password(PasswordOutcome::Refused);
            return Answer::Malformed;
        }
        if !self.limit.take(Instant::now()) {
            METRICS.password(PasswordOutcome::TooMany);
            return Answer::TooMany;
        }
        let candidate = self.seal(submission, at, now);
        let shelf = Arc::clone(&self.shelf);
        let kept = tokio::task::spawn_blocking(move || shelf.keep(candidate)).await;
        match kept.map_err(|panic| panic.to_string()).and_then(|kept| kept) {
            Ok(()) => {
                METRICS.password(PasswordOutcome::Taken);
                Answer::Accepted
            }
            Err(error) => {
                tracing::warn!(error, "a password is not kept");
                METRICS.password(PasswordOutcome::TooMany);
                Answer::Unavailable
            }
        }
    }

    fn seal(&self, submission: Submission, at: Timestamp, received: Timestamp) -> Candidate {
        let Submission { account, committed, version, password, .. } = submission;
        let (id, account) = (Uuid::new_v4(), account.to_string());
        let binding = Binding { source: &self.source, account: &account, candidate: id };
        let sealed = self.sealer.seal(&password, binding);
        let key_id = self.sealer.key_id().to_owned();
        Candidate { id, account, at, received, committed, version, key_id, sealed }
    }
}
