//! How traces fare.

use prometheus::{IntCounter, Registry};

use super::add;

/// Spans on their way to the collector.
pub struct Traces {
    sent: IntCounter,
    dropped: IntCounter,
}

impl Traces {
    pub(super) fn new(registry: &Registry) -> Traces {
        Traces {
            sent: add(
                registry,
                IntCounter::new("relay_trace_spans_sent_total", "Spans that the collector took"),
            ),
            dropped: add(
                registry,
                IntCounter::new(
                    "relay_trace_spans_dropped_total",
                    "Spans that were dropped for lack of room, or that the collector did not take",
                ),
            ),
        }
    }

    /// Spans were taken.
    pub fn sent(&self, spans: usize) {
        self.sent.inc_by(spans as u64);
    }

    /// Spans were dropped.
    pub fn dropped(&self, spans: usize) {
        self.dropped.inc_by(spans as u64);
    }
}
