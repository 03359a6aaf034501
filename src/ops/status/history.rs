//! The last half hour: how long changes took, what waited, and what was away since when.

use std::collections::{BTreeMap, VecDeque};

use jiff::Timestamp;
use serde::Serialize;

use super::{Sample, Told, recent::Half, spread::Spread};

/// The time between two points.
pub const STEP: std::time::Duration = std::time::Duration::from_secs(5);

/// Points that are kept.
const POINTS: usize = 360;

/// Points that say how it is now: those of the last minute, or, where nothing came in it, of the last
/// five.
const NOW: [usize; 2] = [12, 60];

/// Outages that are kept once they are over.
const OUTAGES: usize = 50;

/// What can be away.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum What {
    /// No directory server is connected.
    Directory,
    /// The broker is not connected.
    Queue,
    /// Graph does not answer.
    Graph,
    /// Graph asked to wait.
    Throttled,
    /// Applying is paused by command.
    Paused,
}

/// A time in which something was away.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Outage {
    /// What was.
    pub what: What,
    /// Since when.
    pub from: Timestamp,
    /// Until when; none: still.
    pub to: Option<Timestamp>,
}

/// What is remembered.
#[derive(Debug)]
pub struct History {
    points: VecDeque<Point>,
    end: Timestamp,
    away: BTreeMap<What, Timestamp>,
    over: VecDeque<Outage>,
    /// At the last two steps.
    samples: VecDeque<Sample>,
}

/// What happened between two steps.
#[derive(Debug)]
struct Point {
    /// How long the changes of the watcher's half took, and those of the consumer's.
    spreads: [Spread; 2],
    /// How many changes waited at its end, if that was known.
    waiting: Option<u64>,
}

/// The history, as it is told. One value for each point, the oldest first.
#[derive(Debug, Serialize)]
pub struct Plot {
    /// The time between two points.
    pub step_seconds: u64,
    /// The time of the last one.
    pub end: Timestamp,
    /// What half of the changes did not exceed; none where there were none.
    pub p50_ms: Vec<Option<f64>>,
    /// What 99 of a hundred did not exceed.
    pub p99_ms: Vec<Option<f64>>,
    /// How many there were.
    pub changes: Vec<u64>,
    /// How many waited at its end; none: not known.
    pub waiting: Vec<Option<u64>>,
    /// What was away meanwhile.
    pub outages: Vec<Outage>,
}

impl History {
    /// Nothing yet.
    pub fn new(now: Timestamp) -> History {
        History {
            points: VecDeque::new(),
            end: now,
            away: BTreeMap::new(),
            over: VecDeque::new(),
            samples: VecDeque::new(),
        }
    }

    /// Looks whether something is away.
    pub fn look(&mut self, told: &Told, now: Timestamp) {
        for (what, is_away) in away(told) {
            if is_away {
                self.away.entry(what).or_insert(now);
            } else if let Some(from) = self.away.remove(&what) {
                self.over.truncate(OUTAGES - 1);
                self.over.push_front(Outage { what, from, to: Some(now) });
            }
        }
    }

    /// Adds a point.
    pub fn step(
        &mut self,
        sample: Sample,
        spreads: [Spread; 2],
        waiting: Option<u64>,
        now: Timestamp,
    ) {
        self.points.truncate(POINTS - 1);
        self.points.push_front(Point { spreads, waiting });
        self.samples.truncate(1);
        self.samples.push_front(sample);
        self.end = now;
    }

    /// What rates of now are measured from.
    pub fn before(&self) -> Option<&Sample> {
        self.samples.back()
    }

    /// Since when something is away.
    pub fn away(&self) -> &BTreeMap<What, Timestamp> {
        &self.away
    }

    /// How long changes took lately, and over how many seconds that is. `half` decides.
    pub fn lately(&self, halves: &[Half; 2], half: usize) -> ([Spread; 2], u64) {
        let [minute, five] = NOW.map(|points| {
            let mut spreads = [0, 1].map(|half: usize| halves[half].spread.clone());
            for point in self.points.iter().take(points) {
                spreads.iter_mut().zip(&point.spreads).for_each(|(sum, more)| sum.add(more));
            }
            (spreads, STEP.as_secs() * points as u64)
        });
        if minute.0[half].count() > 0 { minute } else { five }
    }

    /// All of it, with the latencies of one half.
    pub fn plot(&self, half: usize) -> Plot {
        let points = || self.points.iter().rev();
        let percentile = |percent| {
            let of = |point: &Point| milliseconds(point.spreads[half].percentile(percent));
            points().map(of).collect()
        };
        let still = self.away.iter().map(|(what, from)| (*what, *from));
        let still = still.map(|(what, from)| Outage { what, from, to: None });
        let is_shown = |outage: &&Outage| {
            let age = outage.to.map(|to| self.end.duration_since(to).as_secs());
            age.is_none_or(|age| age < (STEP.as_secs() * POINTS as u64).cast_signed())
        };
        Plot {
            step_seconds: STEP.as_secs(),
            end: self.end,
            p50_ms: percentile(50),
            p99_ms: percentile(99),
            changes: points().map(|point| point.spreads[half].count()).collect(),
            waiting: points().map(|point| point.waiting).collect(),
            outages: self.over.iter().rev().filter(is_shown).cloned().chain(still).collect(),
        }
    }
}

/// To a tenth, which is more than is measured.
pub fn milliseconds(seconds: Option<f64>) -> Option<f64> {
    seconds.map(|seconds| (seconds * 1e4).round() / 10.0)
}

fn away(told: &Told) -> [(What, bool); 5] {
    let directory = told.watcher.as_ref().is_some_and(|it| !it.directory_connected && !it.standby);
    let consumer = |is: fn(&super::Consumer) -> bool| told.consumer.as_ref().is_some_and(is);
    [
        (What::Directory, directory),
        (What::Queue, !told.broker_connected),
        (What::Graph, consumer(|it| it.graph_down)),
        (What::Throttled, consumer(|it| it.graph_paused && !it.graph_down)),
        (What::Paused, consumer(|it| it.paused)),
    ]
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(second: i64) -> Timestamp {
        Timestamp::from_second(second).expect("a time")
    }

    fn told(graph_down: u8) -> Told {
        let text = format!(
            "relay_build_info{{role=\"apply\"}} 1\nrelay_broker_connected 1\n\
             relay_graph_down {graph_down}\nrelay_graph_paused {graph_down}\n"
        );
        Told::new(&Sample::read(&text, "{}"), None)
    }

    #[test]
    fn an_outage_has_a_beginning_and_an_end() {
        let mut history = History::new(at(0));
        for (second, down) in [(1, 0), (2, 1), (3, 1), (9, 0), (12, 1)] {
            history.look(&told(down), at(second));
        }
        assert_eq!(history.away().get(&What::Graph), Some(&at(12)));
        let outage =
            |from, to: Option<i64>| Outage { what: What::Graph, from: at(from), to: to.map(at) };
        assert_eq!(history.plot(1).outages, [outage(2, Some(9)), outage(12, None)]);
        let hour = at(3600);
        history.step(Sample::read("", ""), Default::default(), None, hour);
        assert_eq!(history.plot(1).outages, [outage(12, None)], "what is long over is not shown");
        for second in 0..1000 {
            history.look(&told((second % 2) as u8), at(second));
        }
        assert_eq!(history.over.len(), OUTAGES);
    }

    #[test]
    fn half_an_hour_is_kept_and_the_last_minute_with_changes_says_how_it_is_now() {
        let mut history = History::new(at(0));
        for step in 0..1000_u16 {
            let mut spread = Spread::default();
            spread.note(if step < 990 { 0.1 } else { 1.0 });
            let sample = Sample::read(&format!("step {step}"), "");
            let spreads = [Spread::default(), spread];
            history.step(sample, spreads, Some(step.into()), at(i64::from(step) * 5));
        }
        let plot = history.plot(1);
        assert_eq!((plot.p50_ms.len(), plot.end), (POINTS, at(4995)));
        assert_eq!(plot.waiting.last(), Some(&Some(999)), "the newest comes last");

        assert!(plot.p99_ms[0] < plot.p99_ms[POINTS - 1]);
        assert_eq!(history.plot(0).p50_ms[0], None, "nothing is not zero");
        let lately = |half| history.lately(&Default::default(), half);
        let ([told, settled], seconds) = lately(1);
        assert_eq!((told.count(), settled.count(), seconds), (0, 12, 60));
        assert_eq!(lately(0).1, 300, "the watcher's half had nothing");
        assert_eq!(history.before().and_then(|it| it.get("step")), Some(998.0));
        assert!(serde_json::to_string(&plot).expect("JSON").len() < 16_384);
    }
}
