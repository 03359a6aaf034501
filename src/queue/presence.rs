//! Whether the process is connected to its broker, over all its connections.

use std::sync::{Mutex, PoisonError};

use crate::ops::metrics::METRICS;

static LIVE: Mutex<usize> = Mutex::new(0);

/// Stands for one live connection; the metric is 1 while there is any.
#[derive(Debug)]
pub(super) struct Presence(());

impl Presence {
    /// A connection came up.
    pub(super) fn new() -> Presence {
        change(|live| live + 1);
        Presence(())
    }
}

impl Drop for Presence {
    fn drop(&mut self) {
        change(|live| live.saturating_sub(1));
    }
}

fn change(how: impl FnOnce(usize) -> usize) {
    let mut live = LIVE.lock().unwrap_or_else(PoisonError::into_inner);
    *live = how(*live);
    METRICS.broker_connected.set(i64::from(*live > 0));
}
