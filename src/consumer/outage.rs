//! Whether Graph is there at all. One event's failure may be its own; a request that concerns no
//! user tells. While Graph is away everything waits, and one probe at a time asks for its return.

use std::{
    sync::{Arc, Mutex as StdMutex, MutexGuard, PoisonError},
    time::Duration,
};

use jiff::Timestamp;
use tokio::{
    sync::{Mutex, watch},
    time::{Instant, sleep},
};
use tracing::{error, info, warn};

use super::{
    pace::{NOTABLE_WAIT, Pace, USERS_AT_ONCE},
    ramp::{Place, Ramp},
};
use crate::{
    event::Lane,
    graph::{ErrorKind, GraphClient, GraphError},
    net::backoff::Backoff,
    ops::metrics::METRICS,
};

/// The state of Graph as the consumers see it.
pub struct Outage {
    graph: Arc<GraphClient>,
    pace: Pace,
    /// What the last probe said, while Graph is away.
    down: watch::Sender<Option<GraphError>>,
    /// Since when nothing goes on.
    paused: watch::Sender<Option<Timestamp>>,
    /// No request is sent before this time: Graph asked to wait.
    not_before: StdMutex<Instant>,
    /// Held by whoever probes.
    probe: Mutex<Probe>,
    /// One for each lane, so that none waits for the other.
    ramps: [Ramp; 2],
}

#[derive(Default)]
struct Probe {
    /// When the last successful probe was sent.
    answered: Option<Instant>,
    /// When the last outage ended.
    recovered: Option<Instant>,
}

/// The right to send the requests of one event.
pub struct Turn<'a> {
    outage: &'a Outage,
    place: Place<'a>,
}

impl Turn<'_> {
    /// Graph answered, whatever it said of the event.
    pub fn succeeded(self) {
        self.place.succeeded();
        if self.outage.is_open() {
            self.outage.go_on();
        }
    }
}

impl Outage {
    /// Takes Graph to be there.
    pub fn new(graph: Arc<GraphClient>, pace: Pace) -> Outage {
        Outage {
            graph,
            pace,
            down: watch::Sender::new(None),
            paused: watch::Sender::new(None),
            not_before: StdMutex::new(Instant::now()),
            probe: Mutex::default(),
            ramps: [Ramp::new(USERS_AT_ONCE), Ramp::new(USERS_AT_ONCE)],
        }
    }

    /// Since when nothing goes on, if so.
    pub fn paused(&self) -> watch::Receiver<Option<Timestamp>> {
        self.paused.subscribe()
    }

    /// Waits until requests make sense.
    pub async fn passed(&self) {
        loop {
            self.up().await;
            let wait = self.not_before().saturating_duration_since(Instant::now());
            if wait.is_zero() {
                return;
            }
            // Spread, so that not all who waited come at the same moment.
            let spread = rand::random_range(1.0..1.2);
            sleep(wait.mul_f64(spread)).await;
        }
    }

    /// Waits until requests make sense and it is this one's turn: after a pause they begin one by
    /// one.
    pub async fn turn(&self, lane: Lane) -> Turn<'_> {
        let [urgent, bulk] = &self.ramps;
        let ramp = match lane {
            Lane::Urgent => urgent,
            Lane::Bulk => bulk,
        };
        loop {
            self.passed().await;
            let place = ramp.enter().await;
            if self.is_open() {
                return Turn { outage: self, place };
            }
        }
    }

    /// Graph is too busy: nobody sends anything for so long.
    pub fn hold(&self, wait: Duration) {
        let mut not_before = self.not_before();
        *not_before = (*not_before).max(Instant::now() + wait);
        drop(not_before);
        self.ramps.iter().for_each(Ramp::restart);
        if wait >= NOTABLE_WAIT {
            self.pause();
        }
    }

    /// Whether an outage explains a failure of just now. If there is one, this returns when it is
    /// over.
    pub async fn explains(&self, failure: &GraphError) -> bool {
        let failed = Instant::now();
        let mut probe = self.probe.lock().await;
        // While we waited for the lock somebody else may have found out.
        if self.down.borrow().is_none() {
            if probe.recovered.is_some_and(|at| at >= failed) {
                return true;
            }
            if probe.answered.is_some_and(|at| at >= failed) {
                return false;
            }
            let asked = Instant::now();
            let Err(cause) = self.ask().await else {
                probe.answered = Some(asked);
                return false;
            };
            let remedy = cause.remedy();
            error!(%failure, %cause, remedy, "graph is not available, events wait");
            self.down.send_replace(Some(cause));
            METRICS.graph_down.set(1);
            self.ramps.iter().for_each(Ramp::restart);
            self.pause();
        }
        drop(probe);
        self.up().await;
        true
    }

    /// Asks for Graph's return whenever it is away, without end: whoever waits for it may go, but
    /// somebody has to ask.
    pub async fn keep_asking(&self) {
        let mut down = self.down.subscribe();
        loop {
            let cause = match down.wait_for(Option::is_some).await {
                Ok(cause) => cause.clone(),
                // The sender is gone, but it is our own.
                Err(_) => return,
            };
            self.returned(cause).await;
            let now = Instant::now();
            let mut probe = self.probe.lock().await;
            (probe.answered, probe.recovered) = (Some(now), Some(now));
            self.down.send_replace(None);
            METRICS.graph_down.set(0);
            self.go_on();
            info!("graph is available again, events go on");
        }
    }

    /// Probes until Graph answers.
    async fn returned(&self, mut cause: Option<GraphError>) {
        let mut backoff = Backoff::new(self.pace.probe.0, self.pace.probe.1);
        while let Some(error) = cause {
            let asked_to_wait = match error.kind {
                ErrorKind::Throttled { retry_after, .. } | ErrorKind::Transient { retry_after } => {
                    retry_after.unwrap_or_default()
                }
                _ => Duration::ZERO,
            };
            sleep(backoff.next_delay().max(asked_to_wait)).await;
            cause = self.ask().await.err();
            if let Some(cause) = &cause {
                warn!(%cause, remedy = cause.remedy(), "graph is still not available");
            }
        }
    }

    /// Whether Graph answers the probe. To be denied it is an answer.
    async fn ask(&self) -> Result<(), GraphError> {
        match self.graph.probe().await {
            Err(error) if error.kind == ErrorKind::Forbidden => Ok(()),
            result => result,
        }
    }

    /// Waits for the end of an outage.
    async fn up(&self) {
        // An error would mean that the sender is gone, but it is our own.
        drop(self.down.subscribe().wait_for(Option::is_none).await);
    }

    fn is_open(&self) -> bool {
        self.down.borrow().is_none() && *self.not_before() <= Instant::now()
    }

    fn pause(&self) {
        METRICS.graph_paused.set(1);
        self.paused.send_if_modified(|paused| {
            let begins = paused.is_none();
            paused.get_or_insert_with(Timestamp::now);
            begins
        });
    }

    fn go_on(&self) {
        METRICS.graph_paused.set(0);
        self.paused.send_if_modified(|paused| paused.take().is_some());
    }

    fn not_before(&self) -> MutexGuard<'_, Instant> {
        self.not_before.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
