//! Every metric of the process, with its help text.
//!
//! Labels are bounded and never hold a user. Label sets that are known are initialised to zero,
//! so that a rate over them is defined from the first scrape.

mod canary;
mod journal;
mod latest;
mod outcome;
#[cfg(test)]
mod table;

use std::{
    collections::BTreeMap,
    sync::{
        LazyLock, Mutex, PoisonError,
        atomic::{AtomicI64, Ordering},
    },
    time::Instant,
};

use jiff::Timestamp;
use prometheus::{
    Encoder, Gauge, Histogram, HistogramOpts, HistogramVec, IntCounter, IntCounterVec, IntGauge,
    IntGaugeVec, Opts, Registry, TextEncoder, core::Collector, process_collector::ProcessCollector,
};

use canary::CanaryMetrics;
pub use journal::Journal;
use latest::LastDisable;
pub use outcome::{Outcome, PasswordOutcome, RefreshOutcome};

use crate::{
    config::Role,
    event::{Kind, Lane},
    graph::Operation,
    queue::{dead_letter::DeadReason, refresh::Why},
    watcher::guard::Loss,
};

/// From a hundredth of a second to an hour: how long a change takes.
const LATENCY_BUCKETS: [f64; 15] =
    [0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0, 300.0, 900.0, 3600.0];

/// Statuses that are counted from zero: no answer, done, throttled, away. Others come as they do.
const FIRST_STATUSES: [&str; 5] = ["0", "200", "204", "429", "503"];

/// What is done about another writer.
const FIGHTS: [&str; 2] = ["given_up", "blocked_again"];

/// The metrics of this process.
pub static METRICS: LazyLock<Metrics> = LazyLock::new(Metrics::new);

/// All metrics; see each one's help text.
pub struct Metrics {
    registry: Registry,
    build: IntGaugeVec,
    propagation: HistogramVec,
    last_disable: LastDisable,
    /// The journal of what happened to each user.
    pub journal: Journal,
    canary: CanaryMetrics,
    /// Time from a doorbell to the end of reading what changed.
    pub detection: Histogram,
    published: IntCounterVec,
    settled: IntCounterVec,
    dead_lettered: IntCounterVec,
    dead_letters: IntGaugeVec,
    queue_messages: IntGaugeVec,
    parked_messages: IntGauge,
    oldest_unsettled: IntGaugeVec,
    /// By lane, in the order of [`Lane::ALL`].
    unsettled_since: Mutex<[Option<Instant>; 2]>,
    /// Whether the watcher is connected to a domain controller.
    pub directory_connected: IntGauge,
    /// Whether what rings when the directory changes is connected.
    pub doorbell_connected: IntGauge,
    /// Whether the process is connected to its broker.
    pub broker_connected: IntGauge,
    cursor_age: IntGauge,
    cursor_moved: AtomicI64,
    graph_requests: IntCounterVec,
    /// Time until Graph answered.
    pub graph_seconds: Histogram,
    ceded: IntCounter,
    write_fights: IntCounterVec,
    /// Answers 429.
    pub graph_throttled: IntCounter,
    /// The part of the quota of writes that is left now.
    pub quota_available: Gauge,
    credential_expires: IntGaugeVec,
    /// Whether consumption is paused, by an outage of Graph or because Graph asked to wait.
    pub graph_paused: IntGauge,
    /// Whether applying is paused by command.
    pub paused: IntGauge,
    /// Whether directory and Entra were never compared since the last baseline.
    pub unreconciled: IntGauge,
    compared_at: IntGauge,
    postponed: IntGauge,
    refreshed: IntCounterVec,
    passwords: IntCounterVec,
    /// How often "must change at next logon" came without the password's value.
    pub must_change_without_value: IntCounter,
    guard_held_total: IntCounterVec,
    guard_held: IntGauge,
}

impl Metrics {
    fn new() -> Metrics {
        let registry = Registry::new();
        registry
            .register(Box::new(ProcessCollector::for_self()))
            .expect("the first in the registry has no namesake");
        let metrics = Metrics {
            build: add(
                &registry,
                IntGaugeVec::new(
                    Opts::new("relay_build_info", "1, for the version and the role of the process"),
                    &["version", "role"],
                ),
            ),
            propagation: add(
                &registry,
                HistogramVec::new(
                    histogram(
                        "relay_propagation_seconds",
                        "Time from observing a change to Graph accepting it, by kind of event",
                    ),
                    &["kind"],
                ),
            ),
            last_disable: LastDisable::new(&registry),
            journal: Journal::new(&registry),
            canary: CanaryMetrics::new(&registry),
            detection: add(
                &registry,
                Histogram::with_opts(histogram(
                    "relay_detection_seconds",
                    "Time from a doorbell to the end of reading what changed",
                )),
            ),
            published: add(
                &registry,
                IntCounterVec::new(
                    Opts::new(
                        "relay_events_published_total",
                        "Events confirmed by the queue, by type",
                    ),
                    &["type"],
                ),
            ),
            settled: add(
                &registry,
                IntCounterVec::new(
                    Opts::new(
                        "relay_events_settled_total",
                        "Events that left the queue, by type and outcome",
                    ),
                    &["type", "outcome"],
                ),
            ),
            dead_lettered: add(
                &registry,
                IntCounterVec::new(
                    Opts::new(
                        "relay_dead_lettered_total",
                        "Events given up by this process, by reason",
                    ),
                    &["reason"],
                ),
            ),
            dead_letters: add(
                &registry,
                IntGaugeVec::new(
                    Opts::new(
                        "relay_dead_letters",
                        "Dead letters in the queue, by reason (uncounted: too many to look at all)",
                    ),
                    &["reason"],
                ),
            ),
            queue_messages: add(
                &registry,
                IntGaugeVec::new(
                    Opts::new(
                        "relay_queue_messages",
                        "Messages that wait in a lane, in nobody's hands (embedded queue: all of it)",
                    ),
                    &["lane"],
                ),
            ),
            parked_messages: add(
                &registry,
                IntGauge::new(
                    "relay_parked_messages",
                    "Messages that wait for their user to come into being in Entra",
                ),
            ),
            oldest_unsettled: add(
                &registry,
                IntGaugeVec::new(
                    Opts::new(
                        "relay_oldest_unsettled_seconds",
                        "Seconds since the oldest event in hand was received, by lane",
                    ),
                    &["lane"],
                ),
            ),
            unsettled_since: Mutex::default(),
            directory_connected: add(
                &registry,
                IntGauge::new(
                    "relay_directory_connected",
                    "1 while the watcher is connected to a directory server",
                ),
            ),
            doorbell_connected: add(
                &registry,
                IntGauge::new(
                    "relay_doorbell_connected",
                    "1 while the directory can ring for a change; without, the sweep finds it",
                ),
            ),
            broker_connected: add(
                &registry,
                IntGauge::new(
                    "relay_broker_connected",
                    "1 while the process is connected to its broker",
                ),
            ),
            cursor_age: add(
                &registry,
                IntGauge::new(
                    "relay_cursor_age_seconds",
                    "Seconds since the watcher last knew that it had read everything",
                ),
            ),
            cursor_moved: AtomicI64::new(0),
            graph_requests: add(
                &registry,
                IntCounterVec::new(
                    Opts::new(
                        "relay_graph_requests_total",
                        "Requests to Graph, by operation and HTTP status (0: no answer)",
                    ),
                    &["operation", "status"],
                ),
            ),
            graph_seconds: add(
                &registry,
                Histogram::with_opts(histogram(
                    "relay_graph_request_seconds",
                    "Time until Graph answered a request",
                )),
            ),
            ceded: add(
                &registry,
                IntCounter::new(
                    "relay_ceded_properties_total",
                    "Changes of properties left to the tool that masters them in Entra",
                ),
            ),
            write_fights: add(
                &registry,
                IntCounterVec::new(
                    Opts::new(
                        "relay_write_fights_total",
                        "Users found enabled that were blocked for the directory, by what was done",
                    ),
                    &["outcome"],
                ),
            ),
            graph_throttled: add(
                &registry,
                IntCounter::new("relay_graph_throttled_total", "Answers 429 from Graph"),
            ),
            quota_available: add(
                &registry,
                Gauge::new(
                    "relay_quota_available_ratio",
                    "Part of graph.quota, as far as this process has it, that is left for writes",
                ),
            ),
            credential_expires: add(
                &registry,
                IntGaugeVec::new(
                    Opts::new(
                        "relay_graph_credential_expires_timestamp_seconds",
                        "When the credential expires, where it says so, by kind of credential",
                    ),
                    &["credential"],
                ),
            ),
            graph_paused: add(
                &registry,
                IntGauge::new(
                    "relay_graph_paused",
                    "1 while consumption waits for Graph to come back",
                ),
            ),
            paused: add(
                &registry,
                IntGauge::new("relay_paused", "1 while applying is paused by command"),
            ),
            unreconciled: add(
                &registry,
                IntGauge::new(
                    "relay_unreconciled",
                    "1 after a baseline until directory and Entra have been compared",
                ),
            ),
            compared_at: add(
                &registry,
                IntGauge::new(
                    "relay_full_read_timestamp_seconds",
                    "When everything was last read and compared, in Unix time (0: not yet)",
                ),
            ),
            postponed: add(
                &registry,
                IntGauge::new(
                    "relay_postponed",
                    "Changes towards more access that wait until a domain controller has caught up",
                ),
            ),
            refreshed: add(
                &registry,
                IntCounterVec::new(
                    Opts::new(
                        "relay_refresh_total",
                        "Requests to tell a user again, by cause and outcome",
                    ),
                    &["why", "outcome"],
                ),
            ),
            passwords: add(
                &registry,
                IntCounterVec::new(
                    Opts::new(
                        "relay_passwords_total",
                        "Passwords that a domain controller handed over, by what became of them",
                    ),
                    &["outcome"],
                ),
            ),
            must_change_without_value: add(
                &registry,
                IntCounter::new(
                    "relay_must_change_without_value_total",
                    "Users who must change a password whose value is not at hand; Entra is not told",
                ),
            ),
            guard_held_total: add(
                &registry,
                IntCounterVec::new(
                    Opts::new(
                        "relay_guard_held_total",
                        "Changes over a limit of the guard, held and not told, by kind",
                    ),
                    &["kind"],
                ),
            ),
            guard_held: add(
                &registry,
                IntGauge::new(
                    "relay_guard_held",
                    "Users of whom the guard holds a change until it is approved or rejected",
                ),
            ),
            registry,
        };
        metrics.initialise();
        metrics
    }

    fn initialise(&self) {
        self.quota_available.set(1.0);
        for kind in Kind::ALL {
            self.propagation.with_label_values(&[kind.as_str()]);
            self.published.with_label_values(&[kind.as_str()]);
            for outcome in Outcome::ALL {
                self.settled.with_label_values(&[kind.as_str(), outcome.as_str()]);
            }
        }
        for reason in DeadReason::ALL {
            self.dead_lettered.with_label_values(&[reason.as_str()]);
        }
        for operation in Operation::ALL {
            for status in FIRST_STATUSES {
                self.graph_requests.with_label_values(&[operation.as_str(), status]);
            }
        }
        self.dead_letters(&BTreeMap::new(), 0);
        for lane in Lane::ALL {
            self.queue_messages.with_label_values(&[lane.as_str()]);
            self.oldest_unsettled.with_label_values(&[lane.as_str()]);
        }
        for outcome in PasswordOutcome::ALL {
            self.passwords.with_label_values(&[outcome.as_str()]);
        }
        for outcome in RefreshOutcome::ALL {
            for why in WHYS {
                self.refreshed.with_label_values(&[why.as_str(), outcome.as_str()]);
            }
        }
        for outcome in FIGHTS {
            self.write_fights.with_label_values(&[outcome]);
        }
        for loss in Loss::ALL {
            self.guard_held_total.with_label_values(&[loss.as_str()]);
        }
    }

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

    /// Since when the oldest event in hand is unsettled, if there is one.
    pub fn oldest_unsettled(&self, lane: Lane, since: Option<Instant>) {
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
    pub fn canary(&self, hops: Option<[(&str, std::time::Duration); 4]>) {
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

const WHYS: [Why; 5] = [Why::Parked, Why::Replayed, Why::TooOld, Why::Sync, Why::Reconcile];

fn histogram(name: &str, help: &str) -> HistogramOpts {
    HistogramOpts::new(name, help).buckets(LATENCY_BUCKETS.to_vec())
}

fn add<C: Collector + Clone + 'static>(registry: &Registry, metric: prometheus::Result<C>) -> C {
    let metric = metric.expect("names and labels in this file are valid");
    registry.register(Box::new(metric.clone())).expect("names in this file are unique");
    metric
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
        metrics.oldest_unsettled(Lane::Bulk, Instant::now().checked_sub(minute));
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
