//! Canaries: events that ask for nothing, sent to see that everything else would get through.
//!
//! One is told of a user like any change: it is read from the directory, written to the outbox,
//! signed, published and confirmed. The consumer looks its user up in Graph, writes nothing, and
//! sends an [`Echo`] back the way refresh requests take. Each hop is measured by one clock.

use std::{
    sync::{Mutex, PoisonError},
    time::Duration,
};

use serde::{Deserialize, Serialize};
use thiserror::Error;
use tokio::{
    sync::oneshot,
    time::{Instant, timeout},
};
use uuid::Uuid;

use super::orders::OrderError;
use crate::{ops::metrics::METRICS, queue::canary::Echo};

/// How long an echo is waited for.
const PATIENCE: Duration = Duration::from_secs(30);

/// How long each hop took.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Hops {
    /// Reading the user from the directory.
    pub directory: Duration,
    /// Outbox, publishing, and the broker's confirm.
    pub publish: Duration,
    /// From there to a consumer, and the echo's way back.
    pub queue: Duration,
    /// Finding and reading the user in Graph.
    pub graph: Duration,
}

impl Hops {
    /// Each with its name.
    pub fn named(&self) -> [(&'static str, Duration); 4] {
        [
            ("directory", self.directory),
            ("publish", self.publish),
            ("queue", self.queue),
            ("graph", self.graph),
        ]
    }
}

/// Why a canary did not come back.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum Lost {
    /// The watcher does not look after the user.
    #[error(
        "no user of that name is in the watcher's scope; name another one, by sAMAccountName, UPN, DN or objectGUID"
    )]
    Unknown,
    /// A consumer had it, and Graph did not show the user.
    #[error("the consumer did not find the user in Entra: {0}; mend that, or name another user")]
    Refused(String),
    /// No consumer answered.
    #[error(
        "no consumer answered within {} s; see that one runs, that it is not paused, and what waits \
         in the queues (`entra-relay status`)",
        PATIENCE.as_secs()
    )]
    Silence,
}

/// The canary that is on its way, one at a time.
#[derive(Debug, Default)]
pub struct Canary {
    turn: tokio::sync::Mutex<()>,
    flight: Mutex<Option<Flight>>,
}

#[derive(Debug)]
struct Flight {
    id: Uuid,
    read: Duration,
    publish: Duration,
    published: Instant,
    landing: Option<oneshot::Sender<Result<Hops, Lost>>>,
}

impl Canary {
    /// Sends one and waits for its echo. `order` has the watcher's writer send it, and tells for
    /// how many users it did.
    pub async fn fly(
        &self,
        order: impl Future<Output = Result<usize, OrderError>>,
    ) -> Result<Hops, OrderError> {
        let _turn = self.turn.lock().await;
        let (landing, landed) = oneshot::channel();
        let (id, zero) = (Uuid::new_v4(), Duration::ZERO);
        let (read, publish, published) = (zero, zero, Instant::now());
        self.set(Some(Flight { id, read, publish, published, landing: Some(landing) }));
        // While the writer is away, nobody knows of the rest of the way.
        let sent = order.await.inspect_err(|_| self.set(None))?;
        let outcome = match sent {
            0 => Err(Lost::Unknown),
            _ => match timeout(PATIENCE, landed).await {
                Ok(Ok(outcome)) => outcome,
                Ok(Err(_)) | Err(_) => Err(Lost::Silence),
            },
        };
        self.set(None);
        METRICS.canary(outcome.as_ref().ok().map(Hops::named));
        Ok(outcome?)
    }

    /// Which one is to be sent.
    pub(super) fn id(&self) -> Option<Uuid> {
        self.flight().as_ref().map(|flight| flight.id)
    }

    /// It is in the queue.
    pub(super) fn published(&self, read: Duration, publish: Duration) {
        if let Some(flight) = self.flight().as_mut() {
            (flight.read, flight.publish, flight.published) = (read, publish, Instant::now());
        }
    }

    /// An echo came. One of an earlier canary is too late.
    pub(super) fn landed(&self, echo: Echo) {
        let mut flight = self.flight();
        let Some(flight) = flight.as_mut().filter(|flight| flight.id == echo.flight) else {
            return;
        };
        let queue = flight.published.elapsed().saturating_sub(echo.graph);
        let outcome = match echo.refusal {
            Some(refusal) => Err(Lost::Refused(refusal)),
            None => Ok(Hops {
                directory: flight.read,
                publish: flight.publish,
                queue,
                graph: echo.graph,
            }),
        };
        if let Some(landing) = flight.landing.take() {
            let _nobody_waits = landing.send(outcome);
        }
    }

    fn set(&self, flight: Option<Flight>) {
        *self.flight() = flight;
    }

    fn flight(&self) -> std::sync::MutexGuard<'_, Option<Flight>> {
        self.flight.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn echo(canary: &Canary, refusal: Option<&str>) -> Echo {
        let flight = canary.id().expect("one is on its way");
        let (object, graph) = (Uuid::nil(), Duration::ZERO);
        Echo { flight, object, graph, refusal: refusal.map(str::to_owned) }
    }

    #[tokio::test(start_paused = true)]
    async fn a_canary_comes_back_or_is_missed() {
        let canary = Canary::default();
        let sent = async {
            canary.published(Duration::from_millis(2), Duration::from_millis(3));
            canary.landed(Echo { flight: Uuid::nil(), ..echo(&canary, Some("another one")) });
            canary.landed(echo(&canary, None));
            Ok(1)
        };
        let hops = canary.fly(sent).await.expect("back");
        assert_eq!(hops.named()[0], ("directory", Duration::from_millis(2)));
        assert_eq!(canary.id(), None);

        let refused = async {
            canary.landed(echo(&canary, Some("nobody")));
            Ok(1)
        };
        let told = canary.fly(refused).await.expect_err("refused").to_string();
        assert!(told.contains("nobody"), "{told}");
        let told = canary.fly(async { Ok(1) }).await.expect_err("silence").to_string();
        assert!(told.contains("no consumer answered"), "{told}");
        let told = canary.fly(async { Ok(0) }).await.expect_err("unknown").to_string();
        assert!(told.contains("scope"), "{told}");
        let away = canary.fly(async { Err(OrderError::Away) }).await;
        assert!(matches!(away, Err(OrderError::Away)));
    }
}
