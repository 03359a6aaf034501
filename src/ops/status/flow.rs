//! The way of a change as a picture: five stops, and a hop between each two. Pure.

use serde::Serialize;

use super::{
    Consumer, Watcher,
    document::{Facts, Fared},
    headline::{LATE, Level},
    history::milliseconds,
};

/// A place that changes pass.
#[derive(Debug, PartialEq, Eq, Serialize)]
pub struct Stop {
    /// Which one.
    pub name: &'static str,
    /// How well it is.
    pub level: Level,
    /// The same in a word or two.
    pub state: &'static str,
    /// What else is known of it, in short lines.
    pub lines: Vec<String>,
}

/// The way from a stop to the next.
#[derive(Debug, PartialEq, Serialize)]
pub struct Hop {
    /// How it is.
    pub state: Passage,
    /// What passes each second.
    pub per_second: Option<f64>,
    /// What that is: `changes` or `requests`.
    pub of: &'static str,
    /// How long it takes, or how far it lags.
    pub lag_ms: Option<f64>,
    /// What that time is.
    pub lag: &'static str,
}

/// How a hop is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Passage {
    /// Something passes.
    Flows,
    /// Nothing is to pass.
    Still,
    /// Nothing can pass.
    Blocked,
    /// This process does not know.
    Unseen,
}

/// The stops, in the order of the way.
pub fn stops(facts: &Facts) -> [Stop; 5] {
    let (watcher, consumer) = (facts.told.watcher.as_ref(), facts.told.consumer.as_ref());
    let active = watcher.filter(|watcher| !watcher.standby);
    let unseen = if watcher.is_some() { "standby" } else { "not seen here" };
    let elsewhere = |name, state| Stop { name, level: Level::Unseen, state, lines: Vec::new() };
    [
        active.map_or_else(|| elsewhere("Directory", unseen), directory),
        active.map_or_else(|| elsewhere("Watcher", unseen), watching),
        queue(facts),
        consumer.map_or_else(
            || elsewhere("Consumer", "not seen here"),
            |consumer| applying(consumer, facts.observes),
        ),
        consumer.map_or_else(|| elsewhere("Graph", "not seen here"), graph),
    ]
}

/// The hops, in the order of the way.
pub fn hops(facts: &Facts, fared: &Fared) -> [Hop; 4] {
    let watcher = facts.told.watcher.as_ref().filter(|watcher| !watcher.standby);
    let consumer = facts.told.consumer.as_ref();
    let published = watcher.map(|watcher| watcher.published_per_second);
    let connected = facts.told.broker_connected;
    let oldest = consumer.and_then(|consumer| consumer.lag_seconds.values().max().copied());
    [
        Hop {
            state: passage(published, watcher.is_some_and(|watcher| watcher.directory_connected)),
            per_second: published,
            of: "changes",
            lag_ms: milliseconds(watcher.and_then(|watcher| watcher.read_seconds)),
            lag: "to read",
        },
        Hop {
            state: passage(published, connected),
            per_second: published,
            of: "changes",
            lag_ms: milliseconds(watcher.and_then(|_| fared.to_queue.percentile(50))),
            lag: "to the queue",
        },
        Hop {
            state: passage(
                consumer.map(|consumer| consumer.settled_per_second),
                connected && consumer.is_some_and(|consumer| !consumer.paused),
            ),
            per_second: consumer.map(|consumer| consumer.settled_per_second),
            of: "changes",
            lag_ms: oldest.map(|seconds| seconds as f64 * 1e3),
            lag: "oldest in hand",
        },
        Hop {
            state: passage(
                consumer.map(|consumer| consumer.requests_per_second),
                consumer.is_some_and(|consumer| !consumer.graph_paused),
            ),
            per_second: consumer.map(|consumer| consumer.requests_per_second),
            of: "requests",
            // A quick refusal is no quick answer.
            lag_ms: milliseconds(
                consumer.filter(|it| !it.graph_down).and_then(|it| it.answer_seconds),
            ),
            lag: "to answer",
        },
    ]
}

fn passage(per_second: Option<f64>, open: bool) -> Passage {
    match per_second {
        None => Passage::Unseen,
        Some(_) if !open => Passage::Blocked,
        Some(rate) if rate > 0.0 => Passage::Flows,
        Some(_) => Passage::Still,
    }
}

fn directory(watcher: &Watcher) -> Stop {
    let (level, state) = match (watcher.directory_connected, watcher.doorbell_connected) {
        (false, _) => (Level::Bad, "not connected"),
        (true, true) => (Level::Good, "connected, rings"),
        (true, false) => (Level::Good, "connected, is asked"),
    };
    let lines = vec![format!("read {} s ago", watcher.cursor_age_seconds)];
    Stop { name: "Directory", level, state, lines }
}

fn watching(watcher: &Watcher) -> Stop {
    let (level, state) = match (watcher.directory_connected, watcher.held_users) {
        (false, _) => (Level::Attention, "waits for directory"),
        (true, 0) => (Level::Good, "works"),
        (true, _) => (Level::Attention, "holds users back"),
    };
    let Watcher { held_users, postponed, published, .. } = watcher;
    let mut lines = vec![format!("told {published}"), format!("held {held_users}")];
    if *postponed > 0 {
        lines.push(format!("postponed {postponed}"));
    }
    Stop { name: "Watcher", level, state, lines }
}

fn queue(facts: &Facts) -> Stop {
    let Some(queues) = &facts.queues else {
        let lines = Vec::new();
        return Stop { name: "Queue", level: Level::Bad, state: "not connected", lines };
    };
    let mut lines: Vec<_> =
        queues.waiting.iter().flatten().map(|(lane, n)| format!("{lane} {n}")).collect();
    lines.reverse();
    lines.extend(queues.parked.filter(|parked| *parked > 0).map(|it| format!("parked {it}")));
    Stop { name: "Queue", level: Level::Good, state: "connected", lines }
}

fn applying(consumer: &Consumer, observes: bool) -> Stop {
    let late = consumer.lag_seconds.values().any(|lag| *lag >= LATE);
    let (level, state) = match consumer {
        Consumer { paused: true, .. } => (Level::Attention, "paused by command"),
        Consumer { graph_paused: true, .. } => (Level::Attention, "waits for Graph"),
        _ if observes => (Level::Attention, "observes only"),
        _ if late => (Level::Attention, "late"),
        _ => (Level::Good, "works"),
    };
    let lines = vec![
        format!("in hand {}", consumer.in_hand),
        format!("quota left {:.0} %", consumer.quota_left_percent),
    ];
    Stop { name: "Consumer", level, state, lines }
}

fn graph(consumer: &Consumer) -> Stop {
    let (level, state) = match (consumer.graph_down, consumer.graph_paused) {
        (true, _) => (Level::Bad, "not answering"),
        (false, true) => (Level::Attention, "asked to wait"),
        (false, false) => (Level::Good, "answers"),
    };
    let lines = vec![format!("throttled {}×", consumer.throttled)];
    Stop { name: "Graph", level, state, lines }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ops::status::{Sample, spread::Spread};

    fn facts(role: &str, series: &str) -> Facts {
        let text = format!("relay_build_info{{role=\"{role}\"}} 1\n{series}");
        Facts::new(&Sample::read(&text, "{}"), None, false, false)
    }

    fn levels(facts: &Facts) -> [Level; 5] {
        stops(facts).map(|stop| stop.level)
    }

    #[test]
    fn what_a_half_does_not_know_is_unseen_and_not_zero() {
        use Level::{Attention, Bad, Good, Unseen};
        let fared = Fared { to_queue: Spread::default(), to_graph: Spread::default(), last: None };
        let watch = facts("watch", "relay_broker_connected 1\nrelay_directory_connected 1\n");
        assert_eq!(levels(&watch), [Good, Good, Good, Unseen, Unseen]);
        let hops = hops(&watch, &fared);
        assert_eq!(hops[0].state, Passage::Still);
        assert_eq!(
            (hops[3].state, hops[3].per_second, hops[3].lag_ms),
            (Passage::Unseen, None, None)
        );
        let apply = facts("apply", "relay_graph_down 1\nrelay_graph_paused 1\n");
        assert_eq!(levels(&apply), [Unseen, Unseen, Bad, Attention, Bad]);
        assert_eq!(super::hops(&apply, &fared)[3].state, Passage::Blocked);
        assert_eq!(super::hops(&apply, &fared)[0].state, Passage::Unseen);
        assert!(stops(&apply)[2].lines.is_empty(), "what the broker would say is not known");
    }
}
