//! Every metric of the process, with its help text; `notes` is what the other parts call.
//!
//! Labels are bounded and never hold a user. Label sets that are known are initialised to zero,
//! so that a rate over them is defined from the first scrape.

mod canary;
mod journal;
mod latest;
mod notes;
mod outcome;
#[cfg(test)]
mod table;
mod traces;

use std::{
    collections::BTreeMap,
    sync::{LazyLock, Mutex, atomic::AtomicI64},
    time::Instant,
};

use prometheus::{
    Gauge, Histogram, HistogramOpts, HistogramVec, IntCounter, IntCounterVec, IntGauge,
    IntGaugeVec, Opts, Registry, core::Collector, process_collector::ProcessCollector,
};

use canary::CanaryMetrics;
pub use journal::Journal;
use latest::LastDisable;
pub use outcome::{Outcome, PasswordOutcome, RefreshOutcome};
pub use traces::Traces;

use crate::{
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
    /// What is sent to a collector of traces.
    pub traces: Traces,
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
    in_hand: IntGaugeVec,
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
    /// Whether Graph does not answer the probe either.
    pub graph_down: IntGauge,
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
            traces: Traces::new(&registry),
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
            in_hand: add(
                &registry,
                IntGaugeVec::new(
                    Opts::new(
                        "relay_in_hand_events",
                        "Events that were received and are not settled yet, by lane",
                    ),
                    &["lane"],
                ),
            ),
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
            graph_down: add(
                &registry,
                IntGauge::new(
                    "relay_graph_down",
                    "1 while Graph does not answer even a request that concerns no user",
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
            self.in_hand.with_label_values(&[lane.as_str()]);
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
