//! The journal: what happened to each user, for `explain`.
//!
//! The watcher keeps it because it is the one process with a disk: consumers send it what became of
//! each event (see [`crate::queue::journal`]), and its own steps go in beside that. It is a file of
//! its own, and a thread writes it: whoever tells a change or settles an event never waits for it,
//! and a journal that is lost or full costs nobody a change. What there is no room for is dropped
//! and counted. It is bounded in age and in size; the oldest entries of all users go first.
//!
//! Entries hold names of attributes, never values, so what `apply.never` and `apply.anonymize` keep
//! inside cannot show up here, nor can a password.

mod file;
pub mod notes;
mod thread;

use std::{
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};

use jiff::Timestamp;
use thiserror::Error;
use uuid::Uuid;

use self::{file::File, thread::Thread};
use crate::{
    config::Config,
    net::backoff::Backoff,
    ops::metrics::METRICS,
    queue::{
        Broker, Queue, QueueError,
        journal::{self, Entry},
    },
};

/// Messages of consumers that are in hand at once.
const PREFETCH: u16 = 32;

/// Why the journal cannot be used.
#[derive(Debug, Error)]
pub enum JournalError {
    /// The file cannot be opened or made.
    #[error(
        "cannot open the journal {path}: {cause}; check journal.path and the rights on its folder"
    )]
    Open {
        /// The file.
        path: PathBuf,
        /// The cause.
        cause: String,
    },
    /// Reading or writing failed.
    #[error("the journal failed: {0}")]
    Failed(String),
}

impl<E: Into<redb::Error>> From<E> for JournalError {
    fn from(cause: E) -> JournalError {
        JournalError::Failed(cause.into().to_string())
    }
}

/// How much is kept.
#[derive(Debug, Clone, Copy)]
pub struct Bounds {
    /// For how long.
    pub keep: Duration,
    /// About how many bytes the file may have.
    pub max_bytes: u64,
}

/// The journal. Cheap to clone; the file is closed with the last clone.
#[derive(Debug, Clone, Default)]
pub struct Journal(Option<Open>);

#[derive(Debug, Clone)]
struct Open {
    file: Arc<File>,
    thread: Arc<Thread>,
}

impl Journal {
    /// As the configuration says. One that cannot be opened is done without: it must not keep a
    /// watcher from telling changes.
    pub fn from_config(config: &Config) -> Journal {
        let Some((path, bounds)) = settings(config) else { return Journal::default() };
        Journal::open(&path, bounds).unwrap_or_else(|error| {
            tracing::error!(%error, "no journal is kept");
            Journal::default()
        })
    }

    /// Opens the file, and makes it, with its folder, if it is missing.
    pub fn open(path: &Path, bounds: Bounds) -> Result<Journal, JournalError> {
        let file = Arc::new(File::open(path)?);
        let thread = Thread::start(Arc::clone(&file), bounds)?;
        Ok(Journal(Some(Open { file, thread: Arc::new(thread) })))
    }

    /// Whether anything is kept.
    pub fn is_kept(&self) -> bool {
        self.0.is_some()
    }

    /// Notes what happened, without waiting.
    pub fn note(&self, entries: Vec<Entry>) {
        if let Some(open) = &self.0
            && !entries.is_empty()
        {
            open.thread.note(entries);
        }
    }

    /// Keeps entries, and returns once they are on disk.
    pub async fn keep(&self, entries: Vec<Entry>) -> Result<(), JournalError> {
        match &self.0 {
            Some(open) => open.thread.keep(entries).await,
            None => Ok(()),
        }
    }

    /// The last entries of an object, the oldest first; everything that was noted before counts.
    pub async fn read(
        &self,
        object: Uuid,
        since: Option<Timestamp>,
        limit: usize,
    ) -> Result<Vec<Entry>, JournalError> {
        let Some(open) = &self.0 else { return Ok(Vec::new()) };
        open.thread.keep(Vec::new()).await?;
        super::pipeline::blocking(|| {
            open.file.with(|database| file::read(database, object, since, limit))
        })
    }

    /// Receives what became of events from the consumers, through every outage of the queue.
    pub async fn receive(&self, broker: &dyn Broker) -> std::convert::Infallible {
        if !self.is_kept() {
            // What is sent all the same goes by itself after a while.
            std::future::pending::<()>().await;
        }
        let mut backoff = Backoff::reconnect();
        loop {
            let received = async {
                broker.declare().await?;
                let mut subscriber = broker.subscribe(Queue::Outcomes, PREFETCH).await?;
                loop {
                    let delivery = subscriber.receive().await?;
                    backoff.reset();
                    match journal::from_message(&delivery.message) {
                        Some(entries) => {
                            if let Err(error) = self.keep(entries).await {
                                tracing::warn!(%error, "reports of consumers are not kept");
                            }
                        }
                        None => {
                            let id = delivery.message.id;
                            tracing::warn!(%id, "what is no report of a consumer is dropped");
                            METRICS.journal.dropped(1);
                        }
                    }
                    delivery.receipt.ack().await?;
                }
            };
            let Err::<std::convert::Infallible, QueueError>(error) = received.await;
            tracing::warn!(%error, "reports of consumers are not received, subscribing again");
            backoff.wait().await;
        }
    }
}

/// Where the journal is, and its bounds; none where none is kept.
pub fn settings(config: &Config) -> Option<(PathBuf, Bounds)> {
    let model = &config.journal;
    let bounds = Bounds { keep: model.keep, max_bytes: model.max_size.0 };
    model.is_kept().then(|| (model.path(&config.state), bounds))
}

#[cfg(test)]
mod tests;
