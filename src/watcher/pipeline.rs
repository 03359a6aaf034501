//! Observe, stage, publish, commit: how a change reaches the queue exactly once in meaning.
//!
//! State moves only after a confirm. Between any two steps the process may die: what is staged is
//! published again, byte for byte, before the directory is read again; what is not staged is read
//! again.

use std::{
    collections::{BTreeSet, HashSet},
    sync::Arc,
    time::Duration,
};

use jiff::Timestamp;
use thiserror::Error;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

use super::{
    census::Census,
    change::Change,
    clock,
    diff::{Arrival, Circumstances, Rules, Step, blocks, observe, signals_password},
    footing::{Footing, later},
    guard::{Guard, Holdings, Reading, Round, Verdict, Weight, Weights, release},
    named::Named,
    passwords::{Found, Passwords},
    record::{Part, Record},
    store::{Batch, Due, Store, StoreError},
};
use crate::{
    directory::{Cursor, Directory, DirectoryError, Entry},
    event::{Detail, Event, Kind, Lane, Reason, Waiting},
    net::backoff::Backoff,
    ops::metrics::{METRICS, PasswordOutcome},
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
            self.flush().await?;
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
            blocking(|| self.store.stage(&batch))?;
            log_observed(&batch);
            self.flush().await?;
        } else if batch != Batch::default() {
            blocking(|| self.store.apply(&batch))?;
        }
        if !batch.postponed.is_empty() {
            METRICS.postponed(self.store.postponements()?);
        }
        if !batch.held.is_empty() {
            METRICS.guard_held(self.store.held_users()?);
        }
        Ok(batch)
    }

    /// Publishes the outbox until every message is confirmed, then commits it.
    async fn flush(&self) -> Result<(), WatchError> {
        let messages = self.store.outbox()?;
        for lane in Lane::ALL {
            let batch: Vec<_> =
                messages.iter().filter(|message| lane_of(message) == lane).cloned().collect();
            self.publish(Queue::Lane(lane), &batch).await?;
        }
        blocking(|| self.store.commit())?;
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

/// Puts a password where its change is told, of which it says all; else before whatever gives
/// access.
fn put_password(details: &mut Vec<Detail>, password: Detail) {
    match details.iter().position(|detail| detail.kind() == Kind::PasswordChanged) {
        Some(change) => details[change] = password,
        None => {
            let known = [Kind::UserCreated, Kind::UserRenamed];
            let first =
                |detail: &&Detail| known.contains(&detail.kind()) || blocks(detail).is_some();
            let place = details.iter().take_while(first).count();
            details.insert(place, password);
        }
    }
}

/// Whether the user must now change a password that is not at hand.
fn lacks_value(known: Option<&Record>, record: &Record, details: &[Detail]) -> bool {
    let told = |kind| details.iter().any(|detail: &Detail| detail.kind() == kind);
    known.is_some_and(|known| !known.must_change_password() || told(Kind::PasswordChanged))
        && record.must_change_password()
        && !record.deleted
        && !told(Kind::PasswordSet)
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

/// Whether the clock decides about what is told.
fn is_of_expiry(detail: &Detail) -> bool {
    matches!(
        detail,
        Detail::AccountDisabled { reason: Reason::Expired }
            | Detail::AccountEnabled { ended: Reason::Expired }
    )
}

/// A batch in the making.
pub(super) struct Draft<'a> {
    pipeline: &'a Pipeline,
    now: Timestamp,
    sequence: u64,
    password_signal: bool,
    named: Named,
    lockout_duration: Option<i64>,
    /// Whether anything is held of anybody.
    holding: bool,
    /// Until when whatever gives access waits, if it does.
    waits: Option<Timestamp>,
    /// Whether our clock and the directory's disagree, once that was asked.
    clock_is_off: Option<bool>,
    batch: Batch,
    /// What is to be told, each object once.
    pub(super) changes: Vec<Change>,
}

impl<'a> Draft<'a> {
    pub(super) fn new(pipeline: &'a Pipeline) -> Result<Draft<'a>, StoreError> {
        let store = &pipeline.store;
        let now = (pipeline.clock)();
        Ok(Draft {
            pipeline,
            now,
            waits: store.footing()?.and_then(|footing| footing.settling(now)),
            sequence: store.sequence()?,
            password_signal: store.password_signal()?,
            named: store.named(pipeline.rules.names())?,
            lockout_duration: pipeline.lockout_duration()?,
            holding: store.held_users()? > 0,
            clock_is_off: None,
            batch: Batch::default(),
            changes: Vec::new(),
        })
    }

    /// Lets whatever gives access wait until then, or longer.
    fn waiting(mut self, until: Option<Timestamp>) -> Draft<'a> {
        self.waits = self.waits.max(until.filter(|until| *until > self.now));
        self
    }

    /// Compares an entry with the ledger. None where it is of nobody who is known or enters.
    pub(super) async fn compare(
        &mut self,
        directory: &mut dyn Directory,
        entry: &Entry,
        arrival: Arrival,
    ) -> Result<Option<Change>, WatchError> {
        let Pipeline { store, rules, passwords, .. } = self.pipeline;
        let known = store.record(entry.object)?;
        if !self.password_signal && signals_password(entry) {
            self.password_signal = true;
            self.batch.password_signal = true;
        }
        let groups = self.groups_of(entry.object)?;
        let circumstances = Circumstances {
            now: self.now,
            arrival,
            password_signal: self.password_signal,
            lockout_duration: self.lockout_duration,
            named: &self.named,
            groups: &groups,
        };
        let mut step = observe(rules, known.as_ref(), entry, circumstances);
        let mut whole = None;
        if step == Step::Read {
            whole = directory.read(entry.object).await?;
            step = whole
                .as_ref()
                .map_or(Step::Ignore, |whole| observe(rules, known.as_ref(), whole, circumstances));
        }
        let before = if self.holding { store.held(entry.object)? } else { Holdings::new() };
        let (mut record, mut details) = match (step, &known) {
            (Step::Change { record, details }, _) => (*record, details),
            (_, Some(known)) => (known.clone(), Vec::new()),
            (_, None) => return Ok(None),
        };
        let by_clock = before.values().any(|held| held.by_clock);
        if (by_clock || details.iter().any(is_of_expiry)) && self.clock_is_off.is_none() {
            self.clock_is_off = Some(clock::is_off(directory, self.now).await?);
        }
        let mut held = before.clone();
        if self.clock_is_off == Some(false) {
            held.retain(|_, held| !held.by_clock);
        }
        let takes_part = record.part != Part::None;
        let state = takes_part.then(|| record.blocked_to_consumers(self.now));
        let entry = whole.as_ref().unwrap_or(entry);
        let takes_passwords = record.part == Part::Inside && !record.deleted;
        let mut spent = Vec::new();
        if let Some(passwords) = passwords.as_ref().filter(|_| takes_passwords) {
            let found =
                passwords.find(store, directory, entry, &record, &details, self.now).await?;
            if let Some(Found { detail, handed, places }) = found {
                record.told.handed = Some(handed);
                spent = places;
                put_password(&mut details, detail);
            }
        }
        if takes_passwords && lacks_value(known.as_ref(), &record, &details) {
            tracing::info!(object = %entry.object,
                "must change the password at the next logon: Entra is not told, for it takes this \
                 only together with a password");
            METRICS.must_change_without_value.inc();
        }
        let shown = |name: &str| entry.values(name).is_some_and(|values| !values.is_empty());
        let member = |name: &str| self.named.object(name).is_some_and(|g| groups.contains(&g));
        release(&mut held, state, shown, member);
        let object = entry.object;
        Ok(Some(Change {
            object,
            known,
            record,
            details,
            before,
            held,
            takes_part,
            enters: true,
            approved: BTreeSet::new(),
            again: None,
            spent,
        }))
    }

    /// The configured groups that somebody is in, directly or through others.
    fn groups_of(&self, object: Uuid) -> Result<BTreeSet<Uuid>, StoreError> {
        let Pipeline { store, rules, .. } = self.pipeline;
        let (mut seen, mut open) = (BTreeSet::new(), Vec::new());
        if rules.follows_groups() {
            open.push(object);
        }
        while let Some(member) = open.pop() {
            open.extend(store.groups_of(member)?.into_iter().filter(|group| seen.insert(*group)));
        }
        Ok(seen)
    }

    /// Decides what is told, and under which sequences.
    fn finish(mut self, reading: &mut Reading) -> Result<Batch, StoreError> {
        let guard = &self.pipeline.guard;
        let mut weights = Weights::new();
        let clock_is_off = self.clock_is_off == Some(true);
        for change in &self.changes {
            change.weigh(guard, clock_is_off, &mut weights);
        }
        let mut verdict = Verdict::new();
        if !weights.is_empty() {
            let Pipeline { store, census, .. } = self.pipeline;
            let mut counts = store.counts()?;
            let round = Round { now: self.now, weights: &weights, clock_is_off };
            let in_scope = || census.users(store, self.now);
            verdict = guard.decide(&mut counts, reading, round, in_scope)?;
            self.batch.counts = Some(counts);
        }
        for (loss, batch) in &verdict {
            let Weight { users, amount } = weights[loss];
            METRICS.guard_holds(*loss, amount);
            tracing::warn!(
                kind = loss.as_str(),
                batch,
                users,
                amount,
                "over the guard's limit: held and not told"
            );
        }
        for mut change in std::mem::take(&mut self.changes) {
            change.sift(guard, &verdict, self.now, clock_is_off);
            if let Some(until) = self.waits
                && change.postpone()
            {
                self.batch.postponed.insert(change.object, until);
            }
            if let Some(superseded) = change.spent.len().checked_sub(1) {
                METRICS.password(PasswordOutcome::Told);
                METRICS.passwords(PasswordOutcome::Superseded, superseded);
                self.batch.spent.append(&mut change.spent);
            }
            for detail in &change.details {
                self.add(change.object, &mut change.record, detail.clone(), None);
            }
            if let Some(again) = &change.again {
                for detail in again.details(&change, self.now) {
                    self.add(change.object, &mut change.record, detail, again.waiting());
                }
            }
            if change.held != change.before {
                self.batch.held.insert(change.object, change.held);
            }
            if change.enters && change.known.as_ref() != Some(&change.record) {
                let times = change.record.due(self.now);
                self.batch.due.extend(times.map(|time| Due::at(time, change.object)));
                self.batch.records.insert(change.object, change.record);
            }
        }
        if let (Some(until), false) = (self.waits, self.batch.postponed.is_empty()) {
            let users = self.batch.postponed.len();
            tracing::info!(users, %until, "what gives access waits: the server may lag");
        }
        Ok(self.batch)
    }

    fn add(&mut self, object: Uuid, record: &mut Record, detail: Detail, waiting: Option<Waiting>) {
        // Grows even if the store was lost, for the clock does.
        let clock = u64::try_from(self.now.as_microsecond()).unwrap_or(0);
        self.sequence = clock.max(self.sequence + 1);
        self.batch.sequence = Some(self.sequence);
        record.told.note(&detail, self.sequence);
        let mut event = Event::new(
            &self.pipeline.source,
            object,
            self.sequence,
            self.now,
            record.identity.clone(),
            detail,
        );
        event.waiting = waiting;
        let mut message = Message::from_event(&event);
        self.pipeline.keys.sign(&mut message);
        self.batch.messages.push(message);
    }
}

/// Runs what waits for the disk without holding up the other tasks of this thread.
pub(super) fn blocking<T>(work: impl FnOnce() -> T) -> T {
    use tokio::runtime::{Handle, RuntimeFlavor::MultiThread};
    match Handle::try_current() {
        Ok(handle) if handle.runtime_flavor() == MultiThread => tokio::task::block_in_place(work),
        _ => work(),
    }
}
