//! What the other parts tell the metrics, and the text that Prometheus reads.

use std::{
    collections::BTreeMap,
    sync::{PoisonError, atomic::Ordering},
    time::{Duration, Instant},
};

use jiff::Timestamp;
use prometheus::{Encoder, TextEncoder};

use super::{FIGHTS, Metrics, Outcome, PasswordOutcome, RefreshOutcome};
use crate::{
    config::Role,
    event::{Kind, Lane},
    queue::{dead_letter::DeadReason, refresh::Why},
    watcher::guard::Loss,
};

impl Metrics {
    /// The process plays this role.
    pub fn started(&self, role: Role) {
        self.build.with_label_values(&[env!("CARGO_PKG_VERSION"), role.as_str()]).set(1);
    }

    /// The queue confirmed an event.
    pub fn published(&self, kind: Kind) {
        self.published.with_label_values(&[kind.as_str()]).inc();
    }

    /// An event left the queue. `kind` is none where the body was no event.
    pub fn settled(&self, kind: Option<Kind>, outcome: Outcome) {
        let kind = kind.map_or("unknown", Kind::as_str);
        self.settled.with_label_values(&[kind, outcome.as_str()]).inc();
    }

    /// Graph accepted a change that was observed at `observed`.
    pub fn propagated(&self, kind: Kind, observed: Timestamp) {
        let seconds = Timestamp::now().duration_since(observed).as_secs_f64().max(0.0);
        self.propagation.with_label_values(&[kind.as_str()]).observe(seconds);
        if kind == Kind::AccountDisabled {
            self.last_disable.note(seconds);
        }
    }

    /// An event was given up.
    pub fn dead_lettered(&self, reason: DeadReason) {
        self.dead_lettered.with_label_values(&[reason.as_str()]).inc();
    }

    /// How many dead letters there are of each reason, and how many of unknown reason.
    pub fn dead_letters(&self, counts: &BTreeMap<DeadReason, u64>, uncounted: u64) {
        let set = |reason: &str, letters: u64| {
            let letters = i64::try_from(letters).unwrap_or(i64::MAX);
            self.dead_letters.with_label_values(&[reason]).set(letters);
        };
        for reason in DeadReason::ALL {
            set(reason.as_str(), counts.get(&reason).copied().unwrap_or_default());
        }
        set("uncounted", uncounted);
    }

    /// How many messages wait in a lane.
    pub fn queue_messages(&self, lane: Lane, messages: u64) {
        let messages = i64::try_from(messages).unwrap_or(i64::MAX);
        self.queue_messages.with_label_values(&[lane.as_str()]).set(messages);
    }

    /// How many messages are parked.
    pub fn parked_messages(&self, messages: u64) {
        self.parked_messages.set(i64::try_from(messages).unwrap_or(i64::MAX));
    }

    /// So many events are in hand; since when the oldest is unsettled, if there is one.
    pub fn in_hand(&self, lane: Lane, events: usize, since: Option<Instant>) {
        let events = i64::try_from(events).unwrap_or(i64::MAX);
        self.in_hand.with_label_values(&[lane.as_str()]).set(events);
        let mut unsettled = self.unsettled_since.lock().unwrap_or_else(PoisonError::into_inner);
        unsettled[lane as usize] = since;
    }

    /// A request to Graph ended; status 0 where no answer came.
    pub fn graph_request(&self, operation: &str, status: u16, seconds: f64) {
        self.graph_requests.with_label_values(&[operation, &status.to_string()]).inc();
        self.graph_seconds.observe(seconds);
        if status == 429 {
            self.graph_throttled.inc();
        }
    }

    /// Properties were left to their source, another tool.
    pub fn ceded(&self, properties: usize) {
        self.ceded.inc_by(properties as u64);
    }

    /// A user was enabled in Entra whom the directory holds disabled: blocked again, or given up.
    pub fn write_fight(&self, goes_on: bool) {
        self.write_fights.with_label_values(&[FIGHTS[usize::from(goes_on)]]).inc();
    }

    /// When a credential expires, in seconds of Unix time.
    pub fn credential_expires(&self, credential: &str, at: i64) {
        self.credential_expires.with_label_values(&[credential]).set(at);
    }

    /// Counts a password that was handed over.
    pub fn password(&self, outcome: PasswordOutcome) {
        self.passwords(outcome, 1);
    }

    /// Counts passwords that were handed over.
    pub fn passwords(&self, outcome: PasswordOutcome, number: usize) {
        self.passwords.with_label_values(&[outcome.as_str()]).inc_by(number as u64);
    }

    /// A request to tell a user again was handled; `why` is none where it could not be read.
    pub fn refreshed(&self, why: Option<Why>, outcome: RefreshOutcome) {
        let why = why.map_or("unknown", Why::as_str);
        self.refreshed.with_label_values(&[why, outcome.as_str()]).inc();
    }

    /// The guard holds changes of a kind.
    pub fn guard_holds(&self, loss: Loss, changes: u32) {
        self.guard_held_total.with_label_values(&[loss.as_str()]).inc_by(changes.into());
    }

    /// Everything was read and compared.
    pub fn compared(&self) {
        self.compared_at.set(Timestamp::now().as_second());
    }

    /// How many changes towards more access wait.
    pub fn postponed(&self, changes: u64) {
        self.postponed.set(i64::try_from(changes).unwrap_or(i64::MAX));
    }

    /// A canary is back, or lost.
    pub fn canary(&self, hops: Option<[(&str, Duration); 4]>) {
        self.canary.note(hops);
    }

    /// Of how many users something is held.
    pub fn guard_held(&self, users: u64) {
        self.guard_held.set(i64::try_from(users).unwrap_or(i64::MAX));
    }

    /// The watcher knows that it has read everything up to now.
    pub fn cursor_moved(&self) {
        self.cursor_moved.store(Timestamp::now().as_second(), Ordering::Relaxed);
    }

    /// The text format of Prometheus.
    pub fn render(&self) -> String {
        let moved = self.cursor_moved.load(Ordering::Relaxed);
        if moved > 0 {
            self.cursor_age.set((Timestamp::now().as_second() - moved).max(0));
        }
        let unsettled = *self.unsettled_since.lock().unwrap_or_else(PoisonError::into_inner);
        for (lane, since) in Lane::ALL.into_iter().zip(unsettled) {
            let age = since.map_or(0, |since| since.elapsed().as_secs());
            let age = i64::try_from(age).unwrap_or(i64::MAX);
            self.oldest_unsettled.with_label_values(&[lane.as_str()]).set(age);
        }
        let mut text = Vec::new();
        TextEncoder::new()
            .encode(&self.registry.gather(), &mut text)
            .expect("metrics with valid names always encode");
        String::from_utf8(text).expect("the text format is UTF-8")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn known_labels_start_at_zero_and_users_are_never_labels() {
        let metrics = Metrics::new();
        let text = metrics.render();
        assert!(text.contains("relay_events_published_total{type=\"account.disabled\"} 0"));
        assert!(text.contains("relay_dead_lettered_total{reason=\"user_not_found\"} 0"));
        metrics.published(Kind::AccountDisabled);
        metrics.graph_request("patch_user", 429, 0.1);
        let minute = std::time::Duration::from_secs(60);
        metrics.in_hand(Lane::Bulk, 1, Instant::now().checked_sub(minute));
        assert!(text.contains("relay_quota_available_ratio 1"));
        let expiry = "relay_graph_credential_expires_timestamp_seconds";
        assert!(!text.contains(expiry), "not known is not zero");
        metrics.credential_expires("certificate", 7);
        let text = metrics.render();
        assert!(text.contains("expires_timestamp_seconds{credential=\"certificate\"} 7"));
        assert!(text.contains("relay_events_published_total{type=\"account.disabled\"} 1"));
        assert!(text.contains("relay_graph_throttled_total 1"));
        assert!(text.contains("relay_oldest_unsettled_seconds{lane=\"bulk\"} 6"));
        assert!(text.contains("relay_oldest_unsettled_seconds{lane=\"urgent\"} 0"));
    }
}
