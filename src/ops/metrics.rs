//! Every metric of the process, with its help text.
//!
//! Labels are bounded and never hold a user. Label sets that are known are initialised to zero,
//! so that a rate over them is defined from the first scrape.

use std::{
    collections::BTreeMap,
    sync::{
        LazyLock,
        atomic::{AtomicI64, Ordering},
    },
};

use jiff::Timestamp;
use prometheus::{
    Encoder, Histogram, HistogramOpts, HistogramVec, IntCounter, IntCounterVec, IntGauge,
    IntGaugeVec, Opts, Registry, TextEncoder, core::Collector,
};

use crate::{
    event::{Kind, Lane},
    queue::dead_letter::DeadReason,
};

/// From a hundredth of a second to an hour: how long a change takes.
const LATENCY_BUCKETS: [f64; 15] =
    [0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0, 300.0, 900.0, 3600.0];

/// How an event was settled.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Outcome {
    /// Graph accepted it, or already was as the event says.
    Applied,
    /// Merged into a later event of the same user.
    Coalesced,
    /// The configuration says to do nothing, or a newer event was applied before.
    Skipped,
    /// Given up.
    DeadLettered,
}

impl Outcome {
    const ALL: [Outcome; 4] =
        [Outcome::Applied, Outcome::Coalesced, Outcome::Skipped, Outcome::DeadLettered];

    fn as_str(self) -> &'static str {
        match self {
            Outcome::Applied => "applied",
            Outcome::Coalesced => "coalesced",
            Outcome::Skipped => "skipped",
            Outcome::DeadLettered => "dead_lettered",
        }
    }
}

/// The metrics of this process.
pub static METRICS: LazyLock<Metrics> = LazyLock::new(Metrics::new);

/// All metrics; see each one's help text.
pub struct Metrics {
    registry: Registry,
    propagation: HistogramVec,
    /// Time from a doorbell to the end of reading what changed.
    pub detection: Histogram,
    published: IntCounterVec,
    settled: IntCounterVec,
    dead_lettered: IntCounterVec,
    dead_letters: IntGaugeVec,
    queue_messages: IntGaugeVec,
    /// Whether the watcher is connected to a domain controller.
    pub directory_connected: IntGauge,
    /// Whether the process is connected to its broker.
    pub broker_connected: IntGauge,
    cursor_age: IntGauge,
    cursor_moved: AtomicI64,
    graph_requests: IntCounterVec,
    /// Time until Graph answered.
    pub graph_seconds: Histogram,
    /// Answers 429.
    pub graph_throttled: IntCounter,
    /// Whether consumption is paused by an outage of Graph.
    pub graph_paused: IntGauge,
    /// Whether directory and Entra were never compared since the last baseline.
    pub unreconciled: IntGauge,
}

impl Metrics {
    fn new() -> Metrics {
        let registry = Registry::new();
        let metrics = Metrics {
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
                        "Messages that wait in a lane, unsettled ones included",
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
            graph_throttled: add(
                &registry,
                IntCounter::new("relay_graph_throttled_total", "Answers 429 from Graph"),
            ),
            graph_paused: add(
                &registry,
                IntGauge::new(
                    "relay_graph_paused",
                    "1 while consumption waits for Graph to come back",
                ),
            ),
            unreconciled: add(
                &registry,
                IntGauge::new(
                    "relay_unreconciled",
                    "1 after a baseline until directory and Entra have been compared",
                ),
            ),
            registry,
        };
        metrics.initialise();
        metrics
    }

    fn initialise(&self) {
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
        self.dead_letters(&BTreeMap::new(), 0);
        for lane in Lane::ALL {
            self.queue_messages.with_label_values(&[lane.as_str()]);
        }
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

    /// A request to Graph ended; status 0 where no answer came.
    pub fn graph_request(&self, operation: &str, status: u16, seconds: f64) {
        self.graph_requests.with_label_values(&[operation, &status.to_string()]).inc();
        self.graph_seconds.observe(seconds);
        if status == 429 {
            self.graph_throttled.inc();
        }
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
        let mut text = Vec::new();
        TextEncoder::new()
            .encode(&self.registry.gather(), &mut text)
            .expect("metrics with valid names always encode");
        String::from_utf8(text).expect("the text format is UTF-8")
    }
}

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
        let text = metrics.render();
        assert!(text.contains("relay_events_published_total{type=\"account.disabled\"} 1"));
        assert!(text.contains("relay_graph_throttled_total 1"));
    }
}
