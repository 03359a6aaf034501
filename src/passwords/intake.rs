//! What is done with a password that is handed over: it is sealed at once, and kept so.

use std::{
    path::{Path, PathBuf},
    sync::{Arc, Mutex, PoisonError},
    time::Instant,
};

use jiff::{SignedDuration, Timestamp};
use uuid::Uuid;

use super::{Submission, http::Answer, limit::Limit};
use crate::{
    key_file::KeyError,
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
    key: SealingKey,
    shelf: Arc<dyn Shelf>,
    limit: Limit,
}

impl Intake {
    /// Seals what comes for the directory `source` to the public key in this file, and keeps it on
    /// `shelf`.
    pub fn new(source: &str, key: &Path, shelf: Arc<dyn Shelf>) -> Result<Intake, KeyError> {
        let limit = Limit::new(Instant::now());
        Ok(Intake { source: source.to_owned(), key: SealingKey::load(key)?, shelf, limit })
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
        let sealer = self.key.now();
        let sealed = sealer.seal(&password, binding);
        let key_id = sealer.key_id().to_owned();
        Candidate { id, account, at, received, committed, version, key_id, sealed }
    }
}

/// The key that passwords are sealed to. Its file is read for each of them, so that the key can be
/// changed without a pause in which passwords are lost.
struct SealingKey {
    file: PathBuf,
    last: Mutex<Sealer>,
}

impl SealingKey {
    fn load(file: &Path) -> Result<SealingKey, KeyError> {
        let sealer = Sealer::load(file)?;
        tracing::info!(key = sealer.key_id(), "passwords are sealed to this key");
        Ok(SealingKey { file: file.to_owned(), last: Mutex::new(sealer) })
    }

    /// The key as it is now, or as it was last where it cannot be read.
    fn now(&self) -> Sealer {
        let mut last = self.last.lock().unwrap_or_else(PoisonError::into_inner);
        match Sealer::load(&self.file) {
            Ok(sealer) => {
                if sealer.key_id() != last.key_id() {
                    tracing::info!(key = sealer.key_id(), "passwords are sealed to another key");
                    *last = sealer;
                }
            }
            Err(error) => {
                tracing::warn!(%error, key = last.key_id(), "passwords are sealed to the key before");
            }
        }
        last.clone()
    }
}
