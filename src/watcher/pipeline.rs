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
use uuid::Uuid;

use super::{
    diff::{Arrival, Circumstances, Rules, Step, observe, signals_password},
    record::Record,
    store::{Batch, Store, StoreError},
};
use crate::{
    directory::{Cursor, Directory, DirectoryError, Entry},
    event::{Detail, Event, Kind, Lane},
    net::backoff::Backoff,
    ops::metrics::METRICS,
    queue::{Message, Publisher, Queue},
    signing::Keys,
};

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
    /// The directory's name in events.
    pub source: String,
    /// What is told.
    pub rules: Rules,
    /// Ledger, cursor, outbox.
    pub store: Store,
    /// Sign what is told, and recognize it when it comes back.
    pub keys: Keys,
    /// The queue.
    pub publisher: Arc<dyn Publisher>,
    /// The time.
    pub clock: Clock,
    /// Ends the waiting for the queue.
    pub shutdown: CancellationToken,
}

impl Pipeline {
    /// Publishes what an earlier run staged. It must be done before the directory is read.
    pub async fn recover(&self) -> Result<(), WatchError> {
        if self.store.is_staged()? {
            tracing::info!("publishing again what was not confirmed before");
            self.flush().await?;
        }
        Ok(())
    }

    /// Reads and tells everything that changed after the stored cursor. Returns how long the
    /// directory was kept busy by that.
    pub async fn follow(&self, directory: &mut dyn Directory) -> Result<Duration, WatchError> {
        let Some(mut cursor) = self.store.cursor()? else {
            self.baseline(directory).await?;
            return Ok(Duration::ZERO);
        };
        let started = (self.clock)();
        let mut busy = Duration::ZERO;
        loop {
            let asked = Instant::now();
            let changes = match directory.changes(&cursor).await {
                Err(DirectoryError::CursorRejected(cause)) => {
                    tracing::warn!(%cause, server = directory.server(),
                        "cursor rejected, reading and comparing everything");
                    self.baseline(directory).await?;
                    return Ok(busy);
                }
                other => other?,
            };
            busy += asked.elapsed();
            let moved = !changes.entries.is_empty();
            if moved || changes.next != cursor {
                let next = Some(changes.next.clone());
                self.take(directory, changes.entries, next, Arrival::Created).await?;
            }
            cursor = changes.next;
            if !changes.more {
                METRICS.cursor_moved();
                if moved {
                    let took = (self.clock)().duration_since(started).as_secs_f64();
                    METRICS.detection.observe(took.max(0.0));
                }
                return Ok(busy);
            }
        }
    }

    /// Reads every user, against the ledger. The cursor is taken first, so that what changes
    /// meanwhile is read again afterwards. It is stored last: until then a restart begins anew.
    ///
    /// With an empty ledger nothing is told. Otherwise what differs is, and who is missing in a
    /// read that completed is deleted.
    pub async fn baseline(&self, directory: &mut dyn Directory) -> Result<(), WatchError> {
        let first = self.store.cursor()?.is_none();
        let arrival = if first { Arrival::Baseline } else { Arrival::Created };
        // With nothing to compare there is no need to remember whom we saw.
        let mut seen = (!self.store.is_empty()?).then(HashSet::new);
        let cursor = directory.now().await?;
        let mut users = 0;
        let mut page = None;
        loop {
            let found = directory.users(page).await?;
            users += found.entries.len();
            if let Some(seen) = &mut seen {
                seen.extend(found.entries.iter().map(|entry| entry.object));
            }
            self.take(directory, found.entries, None, arrival).await?;
            page = found.next;
            if page.is_none() {
                break;
            }
        }
        if let Some(seen) = seen {
            self.tell_missing(directory, &seen).await?;
        }
        self.take(directory, Vec::new(), Some(cursor), arrival).await?;
        METRICS.cursor_moved();
        tracing::info!(users, server = directory.server(), "read the whole directory");
        Ok(())
    }

    /// Whoever the ledger holds as alive and a whole read did not show is asked for by name once
    /// more, for users can be created and moved while pages are read.
    async fn tell_missing(
        &self,
        directory: &mut dyn Directory,
        seen: &HashSet<Uuid>,
    ) -> Result<(), WatchError> {
        const PAGE: usize = 1000;
        let mut after = None;
        loop {
            let alive = self.store.alive(after, PAGE)?;
            let Some(last) = alive.last().copied() else { return Ok(()) };
            let mut gone = Vec::new();
            for object in alive.into_iter().filter(|object| !seen.contains(object)) {
                gone.push(match directory.read(object).await? {
                    Some(entry) => entry,
                    None => Entry::deleted(object),
                });
            }
            self.take(directory, gone, None, Arrival::Created).await?;
            after = Some(last);
        }
    }

    /// Tells what entries mean and moves on to `cursor`.
    async fn take(
        &self,
        directory: &mut dyn Directory,
        entries: Vec<Entry>,
        cursor: Option<Cursor>,
        arrival: Arrival,
    ) -> Result<(), WatchError> {
        let now = (self.clock)();
        let mut draft = Draft::new(self, now)?;
        draft.batch.cursor = cursor;
        let known_signal = self.store.password_signal()?;
        for entry in entries {
            let known = draft.known(&entry)?;
            draft.batch.password_signal |= !known_signal && signals_password(&entry);
            let circumstances = Circumstances {
                now,
                arrival,
                password_signal: known_signal || draft.batch.password_signal,
            };
            let mut step = observe(&self.rules, known.as_ref(), &entry, circumstances);
            if step == Step::Read {
                step = match directory.read(entry.object).await? {
                    Some(whole) => observe(&self.rules, known.as_ref(), &whole, circumstances),
                    None => Step::Ignore,
                };
            }
            if let Step::Change { record, details } = step {
                draft.add(entry.object, *record, details);
            }
        }
        let batch = draft.batch;
        if batch.messages.is_empty() {
            return Ok(blocking(|| self.store.apply(&batch))?);
        }
        blocking(|| self.store.stage(&batch))?;
        self.flush().await
    }

    /// Publishes the outbox until every message is confirmed, then commits it.
    async fn flush(&self) -> Result<(), WatchError> {
        let messages = self.store.outbox()?;
        let mut backoff = Backoff::new(Duration::from_millis(100), Duration::from_secs(10));
        for lane in Lane::ALL {
            let batch: Vec<_> =
                messages.iter().filter(|message| lane_of(message) == lane).cloned().collect();
            while let Err(error) = self.publisher.publish(Queue::Lane(lane), &batch).await {
                let delay = backoff.next_delay();
                tracing::warn!(%error, events = messages.len(), retry_in = ?delay,
                    "events are not published yet and stay in the outbox");
                tokio::select! {
                    () = tokio::time::sleep(delay) => {}
                    () = self.shutdown.cancelled() => return Err(WatchError::Stopping),
                }
            }
        }
        blocking(|| self.store.commit())?;
        for message in &messages {
            if let Some(kind) = Kind::from_type_name(&message.kind) {
                METRICS.published(kind);
            }
        }
        Ok(())
    }
}

fn lane_of(message: &Message) -> Lane {
    Kind::from_type_name(&message.kind).map_or(Lane::Urgent, Kind::lane)
}

/// A batch in the making.
struct Draft<'a> {
    pipeline: &'a Pipeline,
    now: Timestamp,
    sequence: u64,
    batch: Batch,
}

impl<'a> Draft<'a> {
    fn new(pipeline: &'a Pipeline, now: Timestamp) -> Result<Draft<'a>, StoreError> {
        let sequence = pipeline.store.sequence()?;
        Ok(Draft { pipeline, now, sequence, batch: Batch::default() })
    }

    /// What is known of an object, this batch included.
    fn known(&self, entry: &Entry) -> Result<Option<Record>, StoreError> {
        match self.batch.records.get(&entry.object) {
            Some(record) => Ok(Some(record.clone())),
            None => self.pipeline.store.record(entry.object),
        }
    }

    fn add(&mut self, object: Uuid, mut record: Record, details: Vec<Detail>) {
        for detail in details {
            // Grows even if the store was lost, for the clock does.
            let clock = u64::try_from(self.now.as_microsecond()).unwrap_or(0);
            self.sequence = clock.max(self.sequence + 1);
            self.batch.sequence = Some(self.sequence);
            record.told.sequence = self.sequence;
            let event = Event::new(
                &self.pipeline.source,
                object,
                self.sequence,
                self.now,
                record.identity.clone(),
                detail,
            );
            tracing::info!(event = %event.id, %object, kind = event.kind().as_str(),
                user = record.identity.sam_account_name.as_deref(), "change observed");
            let mut message = Message::from_event(&event);
            self.pipeline.keys.sign(&mut message);
            self.batch.messages.push(message);
        }
        self.batch.records.insert(object, record);
    }
}

/// Runs what waits for the disk without holding up the other tasks of this thread.
fn blocking<T>(work: impl FnOnce() -> T) -> T {
    use tokio::runtime::{Handle, RuntimeFlavor::MultiThread};
    match Handle::try_current() {
        Ok(handle) if handle.runtime_flavor() == MultiThread => tokio::task::block_in_place(work),
        _ => work(),
    }
}
