//! Keeps the metric of dead letters true.

use std::time::Duration;

use tokio::time::{MissedTickBehavior, interval};
use tracing::debug;

use super::metrics::METRICS;
use crate::queue::letters::Desk;

/// How often the letters are counted.
const INTERVAL: Duration = Duration::from_secs(60);

/// Counts the letters by reason, again and again. Counting is looking: counters of what this
/// process gave up would know neither other processes nor what was replayed.
pub async fn keep_counted(desk: &Desk) {
    let mut ticks = interval(INTERVAL);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        ticks.tick().await;
        match desk.count().await {
            Ok((counts, unseen)) => METRICS.dead_letters(&counts, unseen),
            Err(error) => debug!(%error, "the dead letters cannot be counted now"),
        }
    }
}
