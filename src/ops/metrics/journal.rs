//! How the journal fares.

use prometheus::{IntCounter, IntGauge, Registry};

use super::add;

/// The journal of what happened to each user.
pub struct Journal {
    dropped: IntCounter,
    bytes: IntGauge,
}

impl Journal {
    pub(super) fn new(registry: &Registry) -> Journal {
        Journal {
            dropped: add(
                registry,
                IntCounter::new(
                    "relay_journal_dropped_total",
                    "Entries of the journal that were dropped for lack of room, or not written",
                ),
            ),
            bytes: add(
                registry,
                IntGauge::new("relay_journal_bytes", "Bytes that the entries of the journal take"),
            ),
        }
    }

    /// Entries were dropped.
    pub fn dropped(&self, entries: usize) {
        self.dropped.inc_by(entries as u64);
    }

    /// So many bytes are in use.
    pub fn holds(&self, bytes: u64) {
        self.bytes.set(i64::try_from(bytes).unwrap_or(i64::MAX));
    }
}
