//! The consumers: they take events from the queue and make Graph as the events say.
//!
//! ```text
//! receive ─▶ verify ─▶ mailbox of the user ─▶ find ─▶ plan ─▶ Graph ─▶ settle: ack · dead letter
//! ```
//!
//! Each lane is a loop of its own ([`lane`]). It works on many users at once and on one user in
//! order ([`mailbox`]): changes of attributes that wait together become one, account states never
//! do. An event whose failure Graph as a whole explains waits ([`outage`]); one that fails alone
//! is tried some times and then given up with a reason and a remedy ([`cause`]).

mod apply;
mod cause;
mod lane;
mod mailbox;
mod matching;
mod outage;
mod pace;
mod plan;
mod property;
mod protected;
mod recent;
mod rules;
mod settle;
#[cfg(all(test, feature = "sandbox"))]
mod tests;

use std::sync::Arc;

use tokio::time::interval;
use tokio_util::sync::CancellationToken;
use tracing::debug;

pub use rules::{Rules, RulesError};

use self::{apply::Applier, lane::Lane, pace::Pace, settle::Settler};
use crate::{
    event,
    graph::GraphClient,
    ops::{health::Health, metrics::METRICS},
    queue::{Broker, Queue, Role},
    signing::Verifier,
};

/// What a consumer needs.
pub struct Consumer {
    /// Where events come from and dead letters go to.
    pub broker: Arc<dyn Broker>,
    /// Where they are applied.
    pub graph: Arc<GraphClient>,
    /// What is done.
    pub rules: Rules,
    /// The directory whose events are applied, as [`event::source_of`] names it.
    pub source: String,
    /// Recognizes the events of the watcher.
    pub verifier: Arc<Verifier>,
    /// Where each lane tells that it works, under the names of [`PARTS`].
    pub health: Health,
}

/// The parts of a consumer, by which its health is known: one for each lane.
pub const PARTS: [&str; 2] = ["urgent lane", "bulk lane"];

/// Serves both lanes until `shutdown`; then receives nothing more, finishes what is at work and
/// returns. How long that may take is the caller's to say: dropping this leaves the rest in the
/// queue.
pub async fn run(consumer: Consumer, shutdown: CancellationToken) {
    run_at(consumer, shutdown, Pace::default()).await;
}

async fn run_at(consumer: Consumer, shutdown: CancellationToken, pace: Pace) {
    let Consumer { broker, graph, rules, source, verifier, health } = consumer;
    let applier = Applier::new(graph, Arc::new(rules), pace);
    let settler = Arc::new(Settler::new(applier, broker.publisher(Role::Other), pace));
    let [urgent, bulk] = event::Lane::ALL.map(|lane| Lane {
        lane,
        broker: Arc::clone(&broker),
        settler: Arc::clone(&settler),
        source: source.clone(),
        verifier: Arc::clone(&verifier),
        health: health.clone(),
        pace,
    });
    tokio::join!(
        urgent.run(&shutdown),
        bulk.run(&shutdown),
        shutdown.run_until_cancelled(measure_depth(broker.as_ref())),
    );
}

/// Keeps the metric of waiting messages up to date.
async fn measure_depth(broker: &dyn Broker) {
    let mut ticks = interval(pace::DEPTH_INTERVAL);
    loop {
        ticks.tick().await;
        for lane in event::Lane::ALL {
            match broker.depth(Queue::Lane(lane)).await {
                Ok(messages) => METRICS.queue_messages(lane, messages),
                Err(error) => debug!(lane = lane.as_str(), %error, "the depth is not known"),
            }
        }
    }
}
