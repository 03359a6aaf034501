//! The consumers: they take events from the queue and make Graph as the events say.
//!
//! ```text
//! receive ─▶ verify ─▶ mailbox of the user ─▶ find ─▶ plan ─▶ Graph ─▶ settle: ack · park · dead letter
//! ```
//!
//! Each lane is a loop of its own (`lane`, `session`). It works on many users at once and on one user in
//! order (`schedule`, `mailbox`): changes of attributes that wait together become one, account
//! states never do. An event whose failure Graph as a whole explains waits (`outage`); one whose
//! user is not in Entra yet goes back to the watcher, which tells it anew some time later
//! (`parking`); one that fails alone is tried some times and then given up with a reason and a
//! remedy (`cause`).

mod absent;
mod act;
mod apply;
mod cause;
mod fights;
mod find;
mod groups;
mod in_hand;
mod lane;
mod mailbox;
pub(crate) mod matching;
mod outage;
mod pace;
mod parking;
mod password;
pub(crate) mod plan;
mod protected;
mod ramp;
mod recent;
mod report;
mod rules;
mod schedule;
mod send;
mod session;
mod settle;
mod sources;
mod spans;
mod take_over;
#[cfg(all(test, feature = "sandbox"))]
mod tests;

use std::{sync::Arc, time::Duration};

use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

pub use rules::{Rules, RulesError, UPN};

use self::{
    apply::Applier, lane::Lane, outage::Outage, pace::Pace, report::Reporter, send::Sender,
    settle::Settler,
};
use crate::{
    config::model::Parking,
    event,
    graph::GraphClient,
    ops::{health::Health, traces::Traces},
    queue::{Broker, Role},
    sealing::Opener,
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
    /// The partitions of each lane, of which this process may serve a part only.
    pub partitions: u16,
    /// How long a user that Entra does not have is waited for.
    pub parking: Parking,
    /// An enabling event that is older is told anew instead of being applied.
    pub max_age: Duration,
    /// The directory whose events are applied, as [`event::source_of`] names it.
    pub source: String,
    /// Recognizes the events of the watcher.
    pub verifier: Arc<Verifier>,
    /// Opens the passwords that the watcher sealed.
    pub opener: Arc<Opener>,
    /// Where each lane tells that it works, under the names of [`PARTS`].
    pub health: Health,
    /// Whether applying is paused by command.
    pub pause: watch::Receiver<bool>,
    /// Whether the watcher keeps a journal of what becomes of events.
    pub journal: bool,
    /// Where it is told what became of each event.
    pub traces: Traces,
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
    let Consumer {
        broker,
        graph,
        rules,
        partitions,
        parking,
        max_age,
        source,
        verifier,
        opener,
        health,
        pause,
        journal,
        traces,
    } = consumer;
    let outage = Arc::new(Outage::new(Arc::clone(&graph), pace));
    let rules = Arc::new(rules);
    let applier =
        Applier::new(Arc::clone(&graph), rules, max_age, opener, Arc::clone(&outage), pace);
    let sender = Sender::new(broker.publisher(Role::Other), pace);
    // Over a connection of its own: a report never waits in front of a dead letter.
    let (reporter, mut reports) = Reporter::new(journal, broker.publisher(Role::Other), pace);
    let settler = Arc::new(Settler::new(applier, sender, parking, reporter, traces.clone()));
    let [urgent, bulk] = event::Lane::ALL.map(|lane| Lane {
        lane,
        broker: Arc::clone(&broker),
        graph: Arc::clone(&graph),
        partitions,
        settler: Arc::clone(&settler),
        outage: Arc::clone(&outage),
        source: source.clone(),
        verifier: Arc::clone(&verifier),
        health: health.clone(),
        pause: pause.clone(),
        traces: traces.clone(),
        pace,
    });
    let lanes = async { tokio::join!(urgent.run(&shutdown), bulk.run(&shutdown)) };
    tokio::select! {
        _ = lanes => {}
        () = outage.keep_asking() => {}
        () = graph.quota().keep_measured() => {}
        never = reports.send_all() => match never {},
    }
    reports.finish().await;
}
