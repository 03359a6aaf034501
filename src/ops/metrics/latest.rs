//! The last of what operators ask for first.

use jiff::Timestamp;
use prometheus::{Gauge, IntGauge, Registry};

use super::add;

/// The last account that was disabled.
pub(super) struct LastDisable {
    at: IntGauge,
    took: Gauge,
}

impl LastDisable {
    pub(super) fn new(registry: &Registry) -> LastDisable {
        LastDisable {
            at: add(
                registry,
                IntGauge::new(
                    "relay_last_disable_timestamp_seconds",
                    "When Graph last accepted that an account is disabled, in Unix time (0: not yet)",
                ),
            ),
            took: add(
                registry,
                Gauge::new(
                    "relay_last_disable_propagation_seconds",
                    "How long that took from observing the change",
                ),
            ),
        }
    }

    /// Graph accepted one just now.
    pub(super) fn note(&self, seconds: f64) {
        self.at.set(Timestamp::now().as_second());
        self.took.set(seconds);
    }
}
