//! `/status.json`. Fields are added; none changes its meaning without a new `schema`.

use jiff::Timestamp;
use serde::Serialize;

use super::{
    Queues, Sample, Told,
    flow::{self, Hop, Stop},
    headline::{self, Headline, Note},
    history::{History, Plot, milliseconds},
    recent::{Change, Half},
    spread::Spread,
};

/// The version of the document.
const SCHEMA: u32 = 1;

/// What the status page shows.
#[derive(Debug, Serialize)]
pub struct Document {
    schema: u32,
    time: Timestamp,
    headline: Headline,
    notes: Vec<Note>,
    stops: [Stop; 5],
    hops: [Hop; 4],
    latency: Latency,
    process: Told,
    queues: Option<Queues>,
    waiting: Option<u64>,
    last_changes: Vec<Change>,
    history: Plot,
    unseen: Option<&'static str>,
}

/// How long changes took lately, from being seen.
#[derive(Debug, Serialize)]
struct Latency {
    /// Where they got: `graph`, or only to the `queue`.
    to: &'static str,
    window_seconds: u64,
    changes: u64,
    p50_ms: Option<f64>,
    p99_ms: Option<f64>,
}

/// What is known of the process now.
#[derive(Debug)]
pub struct Facts {
    /// What it says of itself.
    pub told: Told,
    /// What waits; none while the broker cannot be asked.
    pub queues: Option<Queues>,
    /// How many changes wait, in the queue or in hand.
    pub waiting: Option<u64>,
    /// Whether nothing is written to Entra.
    pub observes: bool,
}

/// How changes fared lately.
#[derive(Debug)]
pub struct Fared<'a> {
    /// How long they took to the queue.
    pub to_queue: Spread,
    /// How long they took to Graph.
    pub to_graph: Spread,
    /// The last one.
    pub last: Option<&'a Change>,
}

impl Facts {
    /// Rates are those since `before`. `counts_in_hand`: the depth of the queue includes what is in
    /// hand.
    pub fn new(
        now: &Sample,
        before: Option<&Sample>,
        counts_in_hand: bool,
        observes: bool,
    ) -> Facts {
        let told = Told::new(now, before);
        let queues = told.broker_connected.then(|| Queues::counted_by(now));
        let in_hand = told.consumer.as_ref().map_or(0, |consumer| consumer.in_hand);
        let waiting = queues.as_ref().and_then(|queues| queues.waiting.as_ref()).map(|lanes| {
            let waiting: u64 = lanes.values().sum();
            // Counted now and then only: what is in hand is known better.
            if counts_in_hand { waiting.max(in_hand) } else { waiting + in_hand }
        });
        // What is in hand waits even where the broker is away.
        let waiting = waiting.or((in_hand > 0).then_some(in_hand));
        Facts { told, queues, waiting, observes }
    }
}

impl Document {
    /// Puts together what is known.
    pub fn new(facts: Facts, history: &History, halves: &[Half; 2], now: Timestamp) -> Document {
        let applies = facts.told.consumer.is_some();
        // Whoever applies knows how a change ended; a watcher knows how far it got.
        let half = usize::from(applies);
        let ([to_queue, to_graph], window_seconds) = history.lately(halves, half);
        let last = halves[half].changes.front();
        let fared = Fared { to_queue, to_graph, last };
        let spread = if applies { &fared.to_graph } else { &fared.to_queue };
        let unseen = match (&facts.told.watcher, &facts.told.consumer) {
            (Some(_), Some(_)) => None,
            (None, _) => Some(
                "The directory and the watcher are not seen from here: the page of the process \
                 that watches shows them, with what the guard holds.",
            ),
            (_, None) => Some(
                "Consumers and Graph are not seen from here: the page of a process that applies \
                 shows them, with quota and what became of each change.",
            ),
        };
        Document {
            schema: SCHEMA,
            time: now,
            headline: headline::headline(&facts, &fared, history.away()),
            notes: headline::notes(&facts),
            stops: flow::stops(&facts),
            hops: flow::hops(&facts, &fared),
            latency: Latency {
                to: if applies { "graph" } else { "queue" },
                window_seconds,
                changes: spread.count(),
                p50_ms: milliseconds(spread.percentile(50)),
                p99_ms: milliseconds(spread.percentile(99)),
            },
            last_changes: halves[half].changes.iter().cloned().collect(),
            history: history.plot(half),
            unseen,
            waiting: facts.waiting,
            queues: facts.queues,
            process: facts.told,
        }
    }
}
