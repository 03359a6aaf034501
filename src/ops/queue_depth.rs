//! Keeps the metrics of waiting messages true.

use std::time::Duration;

use tokio::time::{MissedTickBehavior, interval};
use tracing::debug;

use super::metrics::METRICS;
use crate::{
    event::Lane,
    queue::{Broker, ParkingDelay, Queue},
};

/// How often the depths are asked for.
const INTERVAL: Duration = Duration::from_secs(5);

/// Asks how many messages wait, again and again. Every process does: where no consumer is left,
/// the watcher is the one to say that nobody takes what it publishes.
pub async fn keep_measured(broker: &dyn Broker) {
    let mut ticks = interval(INTERVAL);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        ticks.tick().await;
        for lane in Lane::ALL {
            match broker.depth(Queue::Lane(lane)).await {
                Ok(messages) => METRICS.queue_messages(lane, messages),
                Err(error) => debug!(lane = lane.as_str(), %error, "the depth is not known"),
            }
        }
        match parked(broker).await {
            Ok(messages) => METRICS.parked_messages(messages),
            Err(error) => debug!(%error, "the number of parked messages is not known"),
        }
    }
}

async fn parked(broker: &dyn Broker) -> Result<u64, crate::queue::QueueError> {
    let mut messages = 0;
    for delay in ParkingDelay::ALL {
        messages += broker.depth(Queue::Parked(delay)).await?;
    }
    Ok(messages)
}
