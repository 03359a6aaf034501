//! A batch in the making: entries are compared with the ledger, the guard decides, and what is told
//! gets its sequences and its signatures.

use std::{
    borrow::Cow,
    collections::{BTreeMap, BTreeSet},
};

use jiff::Timestamp;
use uuid::Uuid;

use super::{
    change::Change,
    clock,
    diff::{Arrival, Circumstances, Rules, Step, blocks, observe, signals_password},
    guard::{Holdings, Loss, Reading, Round, Verdict, Weight, Weights, release},
    named::Named,
    passwords::Found,
    pipeline::{Pipeline, WatchError},
    record::{Part, Record},
    refresh::Before,
    store::{Batch, Due, StoreError},
};
use crate::{
    directory::{Directory, Entry, dn::normalised},
    event::{Detail, Event, Kind, Reason},
    ops::metrics::{METRICS, PasswordOutcome},
    queue::Message,
};

/// What an entry shows.
struct Seen<'a> {
    entry: Cow<'a, Entry>,
    step: Step,
    /// The configured groups that the user is in, directly or through others.
    groups: BTreeSet<Uuid>,
}

/// A batch in the making.
pub(super) struct Draft<'a> {
    pub(super) pipeline: &'a Pipeline,
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
    pub(super) batch: Batch,
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
    pub(super) fn waiting(mut self, until: Option<Timestamp>) -> Draft<'a> {
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
        let before = if self.holding { store.held(entry.object)? } else { Holdings::new() };
        let mut seen = self.see(directory, known.as_ref(), Cow::Borrowed(entry), arrival).await?;
        if seen.step == Step::Read {
            seen = match directory.read(entry.object).await? {
                Some(whole) => {
                    self.see(directory, known.as_ref(), Cow::Owned(whole), arrival).await?
                }
                None => Seen { step: Step::Ignore, ..seen },
            };
        }
        if self.lacks_values(&seen, &before) {
            seen = match directory.read(entry.object).await? {
                Some(now) => {
                    let entry = seen.entry.with_values_of(&now, rules.mappings.inputs());
                    self.see(directory, known.as_ref(), Cow::Owned(entry), arrival).await?
                }
                // Deleted meanwhile. Should it come back, the attributes are told then.
                None => Seen { step: seen.step.without_attributes(known.as_ref()), ..seen },
            };
        }
        let Seen { entry, step, groups } = seen;
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
        let takes_passwords = record.part == Part::Inside && !record.deleted;
        let mut spent = Vec::new();
        if let Some(passwords) = passwords.as_ref().filter(|_| takes_passwords) {
            let (object, now) = (entry.object, self.now);
            let found = passwords.find(store, directory, &entry, &record, &details, now).await?;
            let sealed = match found {
                Some(Found { sealed, handed, places }) => {
                    record.told.handed = Some(handed);
                    record.told.kept = passwords.keep(directory, object, &sealed, now).await?;
                    spent = places;
                    Some(sealed)
                }
                None if details.iter().any(|detail| detail.kind() == Kind::PasswordChanged) => None,
                None => {
                    let states = (known.as_ref(), &mut record);
                    passwords.expired(directory, object, states, now).await?
                }
            };
            if let Some(sealed) = sealed {
                put_password(&mut details, Detail::PasswordSet(Box::new(sealed)));
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
        let modified = |detail: &Detail| detail.kind() == Kind::AttributesModified;
        let values = match details.iter().any(modified) {
            true => rules.values(&entry),
            false => BTreeMap::new(),
        };
        Ok(Some(Change {
            object: entry.object,
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
            values,
            groups: rules.groups.iter().map(|group| (normalised(group), member(group))).collect(),
        }))
    }

    /// Observes an entry under the circumstances of its object.
    async fn see<'e>(
        &self,
        directory: &mut dyn Directory,
        known: Option<&Record>,
        entry: Cow<'e, Entry>,
        arrival: Arrival,
    ) -> Result<Seen<'e>, WatchError> {
        let groups = self.groups_of(entry.object)?;
        let references = self.pointings(directory, known, &entry, arrival).await?;
        let circumstances = Circumstances {
            now: self.now,
            arrival,
            password_signal: self.password_signal,
            lockout_duration: self.lockout_duration,
            named: &self.named,
            groups: &groups,
            references: &references,
        };
        let step = observe(&self.pipeline.rules, known, &entry, circumstances);
        Ok(Seen { entry, step, groups })
    }

    /// Whether more values have to be known than the entry tells: those that are told together with
    /// the ones that changed, or may be told once one of them is held no longer.
    fn lacks_values(&self, seen: &Seen<'_>, before: &Holdings) -> bool {
        let Seen { entry, step, .. } = seen;
        let mappings = &self.pipeline.rules.mappings;
        let unknown = |name: &String| entry.values(name).is_none();
        let is_shown = |name: &String| entry.values(name).is_some_and(|values| !values.is_empty());
        let changed = match step {
            Step::Change { details, .. } => details.as_slice(),
            Step::Ignore | Step::Read => &[],
        };
        let mut names = changed.iter().filter_map(|detail| match detail {
            Detail::AttributesModified { attributes, .. } => Some(attributes.keys()),
            _ => None,
        });
        names.any(|mut names| names.any(|name| mappings.companions(name).iter().any(unknown)))
            || !entry.complete
                && before.get(&Loss::Blank).is_some_and(|held| held.names.iter().any(is_shown))
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
    pub(super) fn finish(mut self, reading: &mut Reading) -> Result<Batch, StoreError> {
        let Pipeline { guard, rules: Rules { mappings, .. }, .. } = self.pipeline;
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
            change.accompany(mappings);
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
                self.add(change.object, &mut change.record, detail.clone(), Before::default());
            }
            if let Some(again) = &change.again {
                for detail in again.details(&change, mappings, self.now) {
                    let before = again.before(detail.kind());
                    self.add(change.object, &mut change.record, detail, before);
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

    fn add(&mut self, object: Uuid, record: &mut Record, detail: Detail, before: Before) {
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
        event.waiting = before.waiting;
        event.trace = before.trace.or_else(|| self.pipeline.traces.begin(event.id));
        let mut message = Message::from_event(&event);
        self.pipeline.keys.sign(&mut message);
        self.batch.messages.push(message);
    }
}

/// Whether the clock decides about what is told.
fn is_of_expiry(detail: &Detail) -> bool {
    matches!(
        detail,
        Detail::AccountDisabled { reason: Reason::Expired }
            | Detail::AccountEnabled { ended: Reason::Expired }
    )
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
