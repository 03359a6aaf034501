//! One lane: subscribes, and subscribes again when the queue was lost or Graph is back.

use std::{convert::Infallible, sync::Arc};

use tokio::{sync::watch, time::interval};
use tokio_util::sync::CancellationToken;
use tracing::{info, warn};

use super::{
    PARTS,
    in_hand::InHand,
    outage::Outage,
    pace::{BEAT, PREFETCH, Pace, REMEMBERED},
    recent::Recent,
    session::{End, Session},
    settle::Settler,
};
use crate::{
    event,
    graph::GraphClient,
    net::backoff::Backoff,
    ops::{health::Health, traces::Traces},
    queue::{Broker, Queue, QueueError, Subscriber},
    signing::Verifier,
};

/// A lane of the queue and what serves it.
pub struct Lane {
    /// Which one.
    pub lane: event::Lane,
    /// The queue.
    pub broker: Arc<dyn Broker>,
    /// Graph, of whose quota the lane has a share.
    pub graph: Arc<GraphClient>,
    /// How many partitions the lane has.
    pub partitions: u16,
    /// What is done with what is received.
    pub settler: Arc<Settler>,
    /// Whether Graph is there.
    pub outage: Arc<Outage>,
    /// The directory whose events are applied.
    pub source: String,
    /// Recognizes the events of the watcher.
    pub verifier: Arc<Verifier>,
    /// Where the lane tells that it works.
    pub health: Health,
    /// Whether applying is paused by command.
    pub pause: watch::Receiver<bool>,
    /// Where it is told what was received.
    pub traces: Traces,
    /// Waits.
    pub pace: Pace,
}

impl Lane {
    /// Serves the lane until shutdown, through every loss of the queue.
    pub async fn run(&self, shutdown: &CancellationToken) {
        let lane = self.lane.as_str();
        let in_hand = InHand::new(self.lane);
        let mut settled = Recent::new(REMEMBERED);
        let mut backoff = Backoff::new(self.pace.queue.0, self.pace.queue.1);
        while !shutdown.is_cancelled() {
            let stop = shutdown.child_token();
            let serve = async {
                match stop.run_until_cancelled(self.subscribe()).await {
                    Some(Ok(subscriber)) => {
                        info!(lane, "receiving");
                        self.health.ready(self.part());
                        let session = Session::new(self, &in_hand, &mut settled);
                        let end = session.serve(subscriber, &stop, &mut backoff).await;
                        self.settler.lost(self.lane);
                        end
                    }
                    Some(Err(error)) => End::Lost(error),
                    None => End::Shutdown,
                }
            };
            let end = tokio::select! {
                // First: who is paused from the start must not take the first delivery.
                biased;
                never = self.stop_when_paused(&stop) => match never {},
                end = serve => end,
            };
            let wait = async {
                match end {
                    // By the pause, if not by the shutdown.
                    End::Shutdown => self.wait_for_resume().await,
                    End::Lost(error) => {
                        warn!(lane, %error, "the subscription ended, subscribing again");
                        self.health.beat(self.part());
                        backoff.wait().await;
                    }
                    End::Overdue(since) => {
                        info!(lane, "what is in hand goes back to the queue, it was held for long");
                        // It still waits for us, so the metric goes on.
                        let _held = in_hand.hold(since);
                        self.wait_for_graph().await;
                    }
                }
            };
            if shutdown.run_until_cancelled(wait).await.is_none() {
                return;
            }
        }
    }

    /// Ends the session once applying is paused: what is at work is finished, and the rest stays
    /// in the queue, or goes to another consumer.
    async fn stop_when_paused(&self, stop: &CancellationToken) -> Infallible {
        if self.pause.clone().wait_for(|paused| *paused).await.is_ok() {
            stop.cancel();
        }
        std::future::pending().await
    }

    async fn wait_for_resume(&self) {
        let (lane, mut pause) = (self.lane.as_str(), self.pause.clone());
        info!(lane, "paused by command");
        self.health.ready(self.part());
        self.health.detail(self.part(), "paused by command");
        let mut beat = interval(BEAT);
        loop {
            tokio::select! {
                _ = pause.wait_for(|paused| !*paused) => break,
                _ = beat.tick() => self.health.beat(self.part()),
            }
        }
        self.health.detail(self.part(), "");
        info!(lane, "goes on");
    }

    async fn wait_for_graph(&self) {
        let mut beat = interval(BEAT);
        let passed = self.outage.passed();
        tokio::pin!(passed);
        loop {
            tokio::select! {
                () = &mut passed => return,
                _ = beat.tick() => self.health.beat(self.part()),
            }
        }
    }

    /// The lane's name in the health report.
    pub(super) fn part(&self) -> &'static str {
        match self.lane {
            event::Lane::Urgent => PARTS[0],
            event::Lane::Bulk => PARTS[1],
        }
    }

    async fn subscribe(&self) -> Result<Box<dyn Subscriber>, QueueError> {
        self.broker.declare().await?;
        self.broker.subscribe(Queue::Lane(self.lane), PREFETCH).await
    }
}
