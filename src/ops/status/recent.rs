//! The latest changes, and how long they took: what the metrics cannot hold.

use std::{
    collections::VecDeque,
    sync::{
        Mutex, MutexGuard, PoisonError,
        atomic::{AtomicBool, Ordering::Relaxed},
    },
};

use jiff::Timestamp;
use serde::Serialize;

use super::spread::Spread;
use crate::{
    event::{Event, Kind},
    ops::metrics::Outcome,
    queue::Message,
};

/// The most changes that are kept of each half.
const KEPT: usize = 30;

/// The most characters of a name.
const LONGEST_NAME: usize = 80;

/// What this process did lately.
pub static RECENT: Recent = Recent::new();

/// The latest changes of both halves.
#[derive(Debug, Default)]
pub struct Recent {
    names: AtomicBool,
    told: Mutex<Half>,
    settled: Mutex<Half>,
}

/// The latest of one half.
#[derive(Debug, Clone, Default)]
pub struct Half {
    /// How long changes took since the history's last step.
    pub spread: Spread,
    /// The latest first.
    pub changes: VecDeque<Change>,
}

/// A change, as far as a half got with it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Change {
    /// When it got there.
    pub time: Timestamp,
    /// Its type in short form: `account.disabled`.
    pub kind: &'static str,
    /// `told` by the watcher; else how the consumer settled it.
    pub result: &'static str,
    /// Why it was given up.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reason: Option<&'static str>,
    /// Milliseconds since the watcher saw it.
    pub latency_ms: u64,
    /// Whose it is, where names are to be shown.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub user: Option<String>,
}

impl Recent {
    const fn new() -> Recent {
        const EMPTY: Half = Half { spread: Spread::new(), changes: VecDeque::new() };
        Recent {
            names: AtomicBool::new(false),
            told: Mutex::new(EMPTY),
            settled: Mutex::new(EMPTY),
        }
    }

    /// From now on names are kept.
    pub fn show_names(&self) {
        self.names.store(true, Relaxed);
    }

    /// The queue confirmed these messages. Of many at once the last ones stand for all.
    pub fn told(&self, messages: &[Message], now: Timestamp) {
        let last = &messages[messages.len().saturating_sub(KEPT)..];
        let mut told = lock(&self.told);
        for message in last {
            if let Ok(event) = Event::from_json(&message.body)
                && event.kind() != Kind::Canary
            {
                told.spread.note(seconds_since(event.time, now));
                told.push(self.change(&event, "told", None, now));
            }
        }
    }

    /// Graph accepted a change that was observed at `observed`.
    pub fn reached(&self, observed: Timestamp) {
        lock(&self.settled).spread.note(seconds_since(observed, Timestamp::now()));
    }

    /// A consumer settled an event.
    pub fn settled(&self, event: &Event, outcome: Outcome, reason: Option<&'static str>) {
        if event.kind() != Kind::Canary {
            let change = self.change(event, outcome.as_str(), reason, Timestamp::now());
            lock(&self.settled).push(change);
        }
    }

    /// What there is of the watcher's half and of the consumer's.
    pub(super) fn seen(&self) -> [Half; 2] {
        [lock(&self.told).clone(), lock(&self.settled).clone()]
    }

    /// As [`Recent::seen`], of the latencies, which begin anew.
    pub(super) fn turn(&self) -> [Spread; 2] {
        [&self.told, &self.settled].map(|half| std::mem::take(&mut lock(half).spread))
    }

    fn change(
        &self,
        event: &Event,
        result: &'static str,
        reason: Option<&'static str>,
        time: Timestamp,
    ) -> Change {
        let identity = &event.identity;
        let name = identity.user_principal_name.as_ref().or(identity.sam_account_name.as_ref());
        let user = name.filter(|_| self.names.load(Relaxed));
        let latency_ms = (seconds_since(event.time, time) * 1e3).round() as u64;
        Change {
            time,
            kind: event.kind().as_str(),
            result,
            reason,
            latency_ms,
            user: user.map(|name| name.chars().take(LONGEST_NAME).collect()),
        }
    }
}

impl Half {
    fn push(&mut self, change: Change) {
        self.changes.truncate(KEPT - 1);
        self.changes.push_front(change);
    }
}

/// The clocks of two processes may differ: nothing comes before it began.
fn seconds_since(then: Timestamp, now: Timestamp) -> f64 {
    now.duration_since(then).as_secs_f64().max(0.0)
}

fn lock(half: &Mutex<Half>) -> MutexGuard<'_, Half> {
    half.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use uuid::Uuid;

    use super::*;
    use crate::event::{Detail, Identity, Reason};

    fn event(name: &str, detail: Detail) -> Event {
        let identity = Identity { user_principal_name: Some(name.into()), ..Identity::default() };
        Event::new("ldap:///dc=x", Uuid::from_u128(1), 1, Timestamp::now(), identity, detail)
    }

    #[test]
    fn the_latest_changes_are_kept_and_names_only_where_wanted() {
        let disabled = Detail::AccountDisabled { reason: Reason::Disabled };
        let recent = Recent::default();
        let late = event("alice@x", disabled.clone());
        (0..100).for_each(|_| recent.settled(&late, Outcome::Applied, None));
        let [told, settled] = recent.seen();
        assert!(told.changes.is_empty());
        assert_eq!(settled.changes.len(), KEPT);
        assert_eq!(
            (settled.changes[0].kind, &settled.changes[0].user),
            ("account.disabled", &None)
        );
        recent.show_names();
        recent.settled(&event(&"n".repeat(500), disabled.clone()), Outcome::Parked, None);
        let change = recent.seen()[1].changes[0].clone();
        assert_eq!((change.result, change.user.map(|it| it.len())), ("parked", Some(LONGEST_NAME)));

        recent.settled(&event("c", Detail::Canary { flight: Uuid::nil() }), Outcome::Skipped, None);
        let messages = vec![Message::from_event(&event("b", disabled)); 100];
        recent.told(&messages, Timestamp::now());
        recent.reached(Timestamp::now());
        assert_eq!(recent.seen()[1].changes[0].result, "parked", "a canary is no change");
        assert_eq!(recent.turn().map(|spread| spread.count()), [KEPT as u64, 1]);
        assert_eq!(recent.turn().map(|spread| spread.count()), [0, 0]);
        assert_eq!(recent.seen()[0].changes.len(), KEPT);
    }
}
