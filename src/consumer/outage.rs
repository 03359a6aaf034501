//! Whether Graph is there at all. One event's failure may be its own; a request that concerns no
//! user tells. While Graph is away everything waits in the queue, and one probe at a time asks.

use std::{
    sync::{Arc, Mutex as StdMutex, PoisonError},
    time::{Duration, Instant},
};

use tokio::{
    sync::{Mutex, watch},
    time::sleep,
};
use tracing::{error, info, warn};

use super::pace::Pace;
use crate::{
    graph::{ErrorKind, GraphClient, GraphError},
    net::backoff::Backoff,
    ops::metrics::METRICS,
};

/// The state of Graph as the consumers see it.
pub struct Outage {
    graph: Arc<GraphClient>,
    pace: Pace,
    down: watch::Sender<bool>,
    /// No request is sent before this time: Graph asked to wait.
    not_before: StdMutex<Instant>,
    /// Held by whoever probes.
    probe: Mutex<Probe>,
}

#[derive(Default)]
struct Probe {
    /// When the last successful probe was sent.
    answered: Option<Instant>,
    /// When the last outage ended.
    recovered: Option<Instant>,
}

/// Everything waits while this lives, and no longer: also where the waiting itself is dropped.
struct Pause<'a>(&'a watch::Sender<bool>);

impl<'a> Pause<'a> {
    fn begin(down: &'a watch::Sender<bool>) -> Pause<'a> {
        down.send_replace(true);
        METRICS.graph_paused.set(1);
        Pause(down)
    }
}

impl Drop for Pause<'_> {
    fn drop(&mut self) {
        METRICS.graph_paused.set(0);
        self.0.send_replace(false);
    }
}

impl Outage {
    /// Takes Graph to be there.
    pub fn new(graph: Arc<GraphClient>, pace: Pace) -> Outage {
        Outage {
            graph,
            pace,
            down: watch::Sender::new(false),
            not_before: StdMutex::new(Instant::now()),
            probe: Mutex::default(),
        }
    }

    /// Waits until requests make sense.
    pub async fn passed(&self) {
        let mut down = self.down.subscribe();
        loop {
            // An error would mean that the sender is gone, but it is our own.
            drop(down.wait_for(|down| !down).await);
            let not_before = *self.not_before.lock().unwrap_or_else(PoisonError::into_inner);
            let wait = not_before.saturating_duration_since(Instant::now());
            if wait.is_zero() {
                return;
            }
            // Spread, so that not all who waited come at the same moment.
            let spread = rand::random_range(1.0..1.2);
            sleep(wait.mul_f64(spread)).await;
        }
    }

    /// Graph is too busy: nobody sends anything for so long.
    pub fn hold(&self, wait: Duration) {
        let mut not_before = self.not_before.lock().unwrap_or_else(PoisonError::into_inner);
        *not_before = (*not_before).max(Instant::now() + wait);
    }

    /// Whether an outage explains a failure of just now. If there is one, this returns when it is
    /// over.
    pub async fn explains(&self, failure: &GraphError) -> bool {
        let failed = Instant::now();
        let mut probe = self.probe.lock().await;
        // While we waited for the lock somebody else may have found out.
        if probe.recovered.is_some_and(|at| at >= failed) {
            return true;
        }
        if probe.answered.is_some_and(|at| at >= failed) {
            return false;
        }
        let asked = Instant::now();
        let Err(mut cause) = self.ask().await else {
            probe.answered = Some(asked);
            return false;
        };
        let pause = Pause::begin(&self.down);
        error!(%failure, %cause, remedy = cause.remedy(), "graph is not available, events wait");
        let mut backoff = Backoff::new(self.pace.probe.0, self.pace.probe.1);
        loop {
            let asked_to_wait = match cause.kind {
                ErrorKind::Throttled { retry_after } | ErrorKind::Transient { retry_after } => {
                    retry_after.unwrap_or_default()
                }
                _ => Duration::ZERO,
            };
            sleep(backoff.next_delay().max(asked_to_wait)).await;
            match self.ask().await {
                Ok(()) => break,
                Err(error) => cause = error,
            }
            warn!(%cause, remedy = cause.remedy(), "graph is still not available");
        }
        let now = Instant::now();
        (probe.answered, probe.recovered) = (Some(now), Some(now));
        drop(pause);
        info!("graph is available again, events go on");
        true
    }

    /// Whether Graph answers the probe. To be denied it is an answer.
    async fn ask(&self) -> Result<(), GraphError> {
        match self.graph.probe().await {
            Err(error) if error.kind == ErrorKind::Forbidden => Ok(()),
            result => result,
        }
    }
}
