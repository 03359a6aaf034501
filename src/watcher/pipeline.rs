//! Observe, stage, publish, commit: how a change reaches the queue exactly once in meaning.
//!
//! State moves only after a confirm. Between any two steps the process may die: what is staged is
//! published again, byte for byte, before the directory is read again; what is not staged is read
//! again.

use std::{collections::HashSet, sync::Arc, time::Duration};

use jiff::Timestamp;
use thiserror::Error;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use super::{
    canary::Canary,
    census::Census,
    diff::{Arrival, Rules},
    draft::Draft,
    footing::{Footing, later},
    guard::{Guard, Reading},
    journal::{Journal, notes},
    passwords::Passwords,
    spans::Steps,
    store::{Batch, Store, StoreError},
};
use crate::{
    directory::{Cursor, Directory, DirectoryError, Entry},
    event::{Kind, Lane},
    net::backoff::Backoff,
    ops::{metrics::METRICS, status::RECENT, traces::Traces},
    queue::{Message, Publisher, Queue},
    signing::Keys,
};

/// More than any directory has: a server that gives a next page for ever is broken.
const MOST_PAGES: usize = 100_000;

/// The time, as a parameter.
pub type Clock = Arc<dyn Fn() -> Timestamp + Send + Sync>;

/// Why the watcher cannot go on with what it was doing.
#[derive(Debug, Error)]
pub enum WatchError {
    /// The directory failed: connect again.
    #[error(transparent)]
    Directory(#[from] DirectoryError),
    /// The store failed: stop.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The process is asked to stop.
    #[error("stopping")]
    Stopping,
}

/// From the directory to the queue, over the store.
pub struct Pipeline {
    /// The canary that is on its way.
    pub canary: Arc<Canary>,
    /// The directory's name in events.
    pub source: String,
    /// What is told.
    pub rules: Rules,
    /// Ledger, cursor, outbox.
    pub store: Store,
    /// Sign what is told, and recognize it when it comes back.
    pub keys: Keys,
    /// What is held rather than told.
    pub guard: Guard,
    /// How often everything is read and compared.
    pub full_read_interval: Duration,
    /// How long whatever gives access waits where the server may lag.
    pub settle: Duration,
    /// How many users are in scope.
    pub census: Census,
    /// What is done with passwords that are handed over, if any are.
    pub passwords: Option<Passwords>,
    /// What happened to each user.
    pub journal: Journal,
    /// What became of each change.
    pub traces: Traces,
    /// The queue.
    pub publisher: Arc<dyn Publisher>,
    /// The time.
    pub clock: Clock,
    /// Ends the waiting for the queue.
    pub shutdown: CancellationToken,
}

/// How a read goes on over several replies.
#[derive(Debug)]
pub(super) struct Passage {
    /// What it means that somebody is not in the ledger.
    pub arrival: Arrival,
    /// Until when whatever gives access waits, if it does.
    pub waits: Option<Timestamp>,
    /// What the guard held of it.
    pub reading: Reading,
}

impl Default for Passage {
    fn default() -> Passage {
        Passage { arrival: Arrival::Created, waits: None, reading: Reading::default() }
    }
}

impl Pipeline {
    /// Publishes what an earlier run staged. It must be done before the directory is read.
    pub async fn recover(&self) -> Result<(), WatchError> {
        if self.store.is_staged()? {
            tracing::info!("publishing again what was not confirmed before");
            self.flush(Steps::after(None)).await?;
        }
        Ok(())
    }

    /// Reads and tells everything that changed after the stored cursor. Returns how long the
    /// directory was kept busy by that.
    pub async fn follow(&self, directory: &mut dyn Directory) -> Result<Duration, WatchError> {
        let started = (self.clock)();
        let cursor = self.store.cursor()?;
        let is_edited = self.store.configuration()?.is_none_or(|c| c != self.rules.configuration());
        if cursor.is_none() || is_edited {
            let passage = match cursor {
                None => Passage { arrival: Arrival::Baseline, ..Passage::default() },
                Some(_) => Passage {
                    arrival: Arrival::Rescoped,
                    waits: Some(later(started, self.settle)),
                    ..Passage::default()
                },
            };
            self.baseline(directory, passage).await?;
            return Ok(Duration::ZERO);
        }
        let Some((mut cursor, footing)) = self.orient(directory).await? else {
            return Ok(Duration::ZERO);
        };
        let mut passage = Passage::default();
        // What is noted of this visit holds for what was committed before it.
        let noted = self.store.footing()?.is_some_and(|noted| !noted.is_stale(started));
        let mut busy = Duration::ZERO;
        loop {
            let asked = Instant::now();
            let changes = match directory.changes(&cursor).await {
                Err(DirectoryError::CursorRejected(cause)) => {
                    tracing::warn!(%cause, server = directory.server(),
                        "cursor rejected, reading and comparing everything");
                    self.renounce(directory, footing).await?;
                    return Ok(busy);
                }
                other => other?,
            };
            busy += asked.elapsed();
            let moved = !changes.entries.is_empty();
            if moved || changes.next != cursor || !noted {
                let next = Some((changes.next.clone(), footing.clone()));
                self.take(directory, changes.entries, next, &mut passage).await?;
            }
            cursor = changes.next;
            if !changes.more {
                self.settle_due(directory, &mut passage.reading).await?;
                METRICS.cursor_moved();
                if moved {
                    let took = (self.clock)().duration_since(started).as_secs_f64();
                    METRICS.detection.observe(took.max(0.0));
                }
                return Ok(busy);
            }
        }
    }

    /// Reads every user into the ledger, and tells nothing of who is new to it. The cursor is taken
    /// first, so that what changes meanwhile is read again afterwards. It is stored last: until then
    /// a restart begins anew, and what it then finds changed is told. The same is done where the
    /// configuration looks after others than before.
    async fn baseline(
        &self,
        directory: &mut dyn Directory,
        mut passage: Passage,
    ) -> Result<(), WatchError> {
        let started = (self.clock)();
        let interrupted = !self.store.is_empty()?;
        let cursor = directory.now().await?;
        self.read_surroundings(directory).await?;
        let mut users = 0;
        let mut pages = 0;
        let mut page = None;
        loop {
            let found = directory.users(page).await?;
            users += found.entries.len();
            self.take(directory, found.entries, None, &mut passage).await?;
            match found.next {
                Some(next) => page = Some(next),
                None => break,
            }
            pages += 1;
            if pages > MOST_PAGES {
                let cause = format!("there is still more after {MOST_PAGES} pages");
                return Err(DirectoryError::Failed { doing: "reading all users", cause }.into());
            }
        }
        // Whoever has gone since the earlier start is found by comparing.
        let compared = (!interrupted).then_some(started);
        let replica = directory.replica();
        let footing = Footing::on(directory.server(), &replica, started);
        let next = Some((cursor, Footing { compared, ..footing }));
        self.take(directory, Vec::new(), next, &mut passage).await?;
        self.settle_configuration()?;
        self.settle_due(directory, &mut passage.reading).await?;
        METRICS.cursor_moved();
        tracing::info!(users, server = directory.server(), "read the whole directory");
        Ok(())
    }

    /// Tells what entries mean and moves on to `cursor`. An object that comes twice begins a new
    /// round: what is known of it by then depends on what the guard let through before.
    pub(super) async fn take(
        &self,
        directory: &mut dyn Directory,
        entries: Vec<Entry>,
        next: Option<(Cursor, Footing)>,
        passage: &mut Passage,
    ) -> Result<(), WatchError> {
        let entries = self.surround(directory, entries).await?;
        let entries = self.with_referring(directory, entries).await?;
        let Passage { arrival, waits, reading } = passage;
        let mut draft = Draft::new(self)?.waiting(*waits);
        let mut seen = HashSet::new();
        for entry in entries {
            if !seen.insert(entry.object) {
                self.tell(draft, reading).await?;
                draft = Draft::new(self)?.waiting(*waits);
                seen = HashSet::from([entry.object]);
            }
            if let Some(change) = draft.compare(directory, &entry, *arrival).await? {
                draft.changes.push(change);
            }
        }
        if let Some((cursor, footing)) = next {
            draft.batch.cursor = Some(cursor);
            draft.batch.footing = Some(footing);
        }
        self.tell(draft, reading).await?;
        Ok(())
    }

    /// Tells a draft, in one batch, as far as the guard lets it through.
    pub(super) async fn tell(
        &self,
        draft: Draft<'_>,
        reading: &mut Reading,
    ) -> Result<Batch, WatchError> {
        let batch = draft.finish(reading)?;
        if !batch.messages.is_empty() {
            let began = Timestamp::now();
            blocking(|| self.store.stage(&batch))?;
            log_observed(&batch);
            self.flush(Steps::after(Some((began, Timestamp::now())))).await?;
        } else if batch != Batch::default() {
            blocking(|| self.store.apply(&batch))?;
        }
        self.note(&batch);
        if !batch.postponed.is_empty() {
            METRICS.postponed(self.store.postponements()?);
        }
        if !batch.held.is_empty() {
            METRICS.guard_held(self.store.held_users()?);
        }
        Ok(batch)
    }

    /// Notes what is seen and not told.
    fn note(&self, batch: &Batch) {
        let now = (self.clock)();
        let held = batch.held.iter().flat_map(|(object, held)| notes::held(*object, held));
        let postponed =
            batch.postponed.iter().map(|(object, until)| notes::postponed(*object, *until, now));
        self.journal.note(held.chain(postponed).collect());
    }

    /// Publishes the outbox until every message is confirmed, then commits it.
    async fn flush(&self, mut steps: Steps) -> Result<(), WatchError> {
        let messages = self.store.outbox()?;
        let sent = (self.clock)();
        for lane in Lane::ALL {
            let batch: Vec<_> =
                messages.iter().filter(|message| lane_of(message) == lane).cloned().collect();
            let began = Timestamp::now();
            self.publish(Queue::Lane(lane), &batch).await?;
            steps.published(lane, began);
        }
        let began = Timestamp::now();
        blocking(|| self.store.commit())?;
        steps.tell(&self.traces, &messages, began);
        if self.journal.is_kept() {
            let confirmed = (self.clock)();
            let told = messages.iter().filter_map(|it| notes::told(it, sent, confirmed));
            self.journal.note(told.collect());
        }
        RECENT.told(&messages, (self.clock)());
        for message in &messages {
            if let Some(kind) = Kind::from_type_name(&message.kind) {
                METRICS.published(kind);
            }
        }
        Ok(())
    }

    /// Publishes until every message is confirmed.
    pub(super) async fn publish(
        &self,
        queue: Queue,
        messages: &[Message],
    ) -> Result<(), WatchError> {
        let mut backoff = Backoff::new(Duration::from_millis(100), Duration::from_secs(5));
        while let Err(error) = self.publisher.publish(queue, messages).await {
            let delay = backoff.next_delay();
            tracing::warn!(%error, messages = messages.len(), retry_in = ?delay,
                "not published yet");
            tokio::select! {
                () = tokio::time::sleep(delay) => {}
                () = self.shutdown.cancelled() => return Err(WatchError::Stopping),
            }
        }
        Ok(())
    }
}

/// From here on the events are safe: told once, under these ids, whatever happens.
fn log_observed(batch: &Batch) {
    for Message { id, object, kind, .. } in &batch.messages {
        let kind = Kind::from_type_name(kind).map(Kind::as_str);
        let record = batch.records.get(object);
        let user = record.and_then(|record| record.identity.sam_account_name.as_deref());
        tracing::info!(event = %id, %object, kind, user, "change observed");
    }
}

fn lane_of(message: &Message) -> Lane {
    Kind::from_type_name(&message.kind).map_or(Lane::Urgent, Kind::lane)
}

/// Runs what waits for the disk without holding up the other tasks of this thread.
pub(super) fn blocking<T>(work: impl FnOnce() -> T) -> T {
    use tokio::runtime::{Handle, RuntimeFlavor::MultiThread};
    match Handle::try_current() {
        Ok(handle) if handle.runtime_flavor() == MultiThread => tokio::task::block_in_place(work),
        _ => work(),
    }
}
