//! The thread that writes the journal.

use std::{
    sync::{
        Arc,
        mpsc::{Receiver, RecvTimeoutError, SyncSender, TrySendError, sync_channel},
    },
    thread::JoinHandle,
    time::{Duration, Instant},
};

use jiff::Timestamp;
use tokio::sync::oneshot;
use tracing::{error, warn};

use super::{
    Bounds, JournalError,
    file::{self, File},
};
use crate::{ops::metrics::METRICS, queue::journal::Entry};

/// Requests that wait for the thread; each carries what was told at once.
const WAITING: usize = 1024;

/// How long notes wait for others that share their transaction.
const LINGER: Duration = Duration::from_millis(500);

/// The most entries that share a transaction.
const MAX_BATCH: usize = 5000;

enum Request {
    Note(Vec<Entry>),
    Keep(Vec<Entry>, oneshot::Sender<Result<(), String>>),
}

/// The running thread. Dropped, it writes what was noted, and ends.
#[derive(Debug)]
pub(super) struct Thread {
    /// None only while it is dropped.
    requests: Option<SyncSender<Request>>,
    handle: Option<JoinHandle<()>>,
}

impl Thread {
    pub(super) fn start(file: Arc<File>, bounds: Bounds) -> Result<Thread, JournalError> {
        let (requests, receiver) = sync_channel(WAITING);
        let handle = std::thread::Builder::new()
            .name("journal".into())
            .spawn(move || run(&file, bounds, &receiver))
            .map_err(|error| JournalError::Failed(format!("no thread: {error}")))?;
        Ok(Thread { requests: Some(requests), handle: Some(handle) })
    }

    /// Notes entries if there is room.
    pub(super) fn note(&self, entries: Vec<Entry>) {
        let Some(requests) = &self.requests else { return };
        if let Err(TrySendError::Full(refused) | TrySendError::Disconnected(refused)) =
            requests.try_send(Request::Note(entries))
        {
            let (Request::Note(entries) | Request::Keep(entries, _)) = refused;
            METRICS.journal.dropped(entries.len());
        }
    }

    /// Has entries written at once, with all that was noted before.
    pub(super) async fn keep(&self, entries: Vec<Entry>) -> Result<(), JournalError> {
        let gone = || JournalError::Failed("its thread has ended".into());
        let (reply, answer) = oneshot::channel();
        let mut request = Request::Keep(entries, reply);
        let requests = self.requests.as_ref().ok_or_else(gone)?;
        loop {
            match requests.try_send(request) {
                Ok(()) => break,
                Err(TrySendError::Full(back)) => request = back,
                Err(TrySendError::Disconnected(_)) => return Err(gone()),
            }
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        answer.await.map_err(|_| gone())?.map_err(JournalError::Failed)
    }
}

impl Drop for Thread {
    fn drop(&mut self) {
        drop(self.requests.take());
        if let Some(Err(_)) = self.handle.take().map(JoinHandle::join) {
            error!("the journal's thread has panicked");
        }
    }
}

fn run(file: &File, bounds: Bounds, requests: &Receiver<Request>) {
    while let Ok(first) = requests.recv() {
        let (mut entries, mut replies) = (Vec::new(), Vec::new());
        let until = Instant::now() + LINGER;
        let mut next = Ok(first);
        while let Ok(request) = next {
            match request {
                Request::Note(more) => entries.extend(more),
                Request::Keep(more, reply) => {
                    entries.extend(more);
                    replies.push(reply);
                }
            }
            next = match (entries.len() < MAX_BATCH, replies.is_empty()) {
                (false, _) => break,
                // Whoever waits is not kept waiting for others that may come.
                (true, false) => requests.try_recv().map_err(|_| RecvTimeoutError::Timeout),
                (true, true) => {
                    requests.recv_timeout(until.saturating_duration_since(Instant::now()))
                }
            };
        }
        commit(file, bounds, &entries, replies);
    }
}

fn commit(
    file: &File,
    bounds: Bounds,
    entries: &[Entry],
    replies: Vec<oneshot::Sender<Result<(), String>>>,
) {
    let result = match entries {
        [] => Ok(()),
        entries => file
            .with(|database| file::write(database, entries, bounds, Timestamp::now()))
            .map(|bytes| METRICS.journal.holds(bytes)),
    };
    if let Err(error) = &result {
        warn!(%error, entries = entries.len(), "the journal cannot be written");
        METRICS.journal.dropped(entries.len());
    }
    for reply in replies {
        // Who does not wait any longer does not need the answer.
        let _asker_gone = reply.send(result.as_ref().copied().map_err(ToString::to_string));
    }
}
