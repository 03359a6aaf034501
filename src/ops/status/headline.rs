//! The first line, for whoever looks at three in the morning, and what else needs a hand. Pure.

use std::collections::BTreeMap;

use jiff::Timestamp;
use serde::Serialize;

use super::{
    document::{Facts, Fared},
    history::What,
};

/// An event that has been in hand for so many seconds is late.
pub const LATE: u64 = 30;

/// Changes of which half take longer than this, in seconds, are late too.
const SLOW: f64 = 10.0;

/// How well something is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Level {
    /// As it should be.
    Good,
    /// It goes on, or was told to stop; somebody should look.
    Attention,
    /// Changes do not get through.
    Bad,
    /// This process does not know.
    Unseen,
}

/// One sentence: `text`, then ` since ` and the time if there is one, then `rest`.
#[derive(Debug, PartialEq, Eq, Serialize)]
pub struct Headline {
    /// How well it is.
    pub level: Level,
    /// How it begins.
    pub text: &'static str,
    /// Since when it is so.
    pub since: Option<Timestamp>,
    /// How it ends.
    pub rest: String,
}

/// What needs a hand, though changes get through.
#[derive(Debug, PartialEq, Eq, Serialize)]
pub struct Note {
    /// How urgent that is.
    pub level: Level,
    /// What it is.
    pub text: String,
    /// What shows more of it, or mends it.
    pub command: Option<&'static str>,
}

/// The worst there is to say.
pub fn headline(facts: &Facts, fared: &Fared, away: &BTreeMap<What, Timestamp>) -> Headline {
    let waits = || match facts.waiting {
        Some(1) => "; 1 change waits".to_owned(),
        Some(changes) => format!("; {changes} changes wait"),
        None => "; nothing is lost".to_owned(),
    };
    let worst = [
        (What::Queue, Level::Bad, "The queue cannot be reached"),
        (What::Graph, Level::Bad, "Graph is not answering"),
        (What::Directory, Level::Bad, "The directory is not connected"),
        (What::Paused, Level::Attention, "Applying is paused by command"),
        (What::Throttled, Level::Attention, "Graph asked the relay to wait"),
    ];
    for (what, level, text) in worst {
        if let Some(since) = away.get(&what) {
            let rest = match what {
                What::Queue => "; nothing is lost".to_owned(),
                What::Directory => "; changes are read once it is back".to_owned(),
                _ => waits(),
            };
            return Headline { level, text, since: Some(*since), rest };
        }
    }
    let told = &facts.told;
    let line = |level, text, rest: String| Headline { level, text, since: None, rest };
    if told.watcher.as_ref().is_some_and(|watcher| watcher.standby) && told.consumer.is_none() {
        let rest = " and this one waits for its end".to_owned();
        return line(Level::Good, "Another watcher is active", rest);
    }
    if !told.ready {
        return line(Level::Attention, "The relay is starting", String::new());
    }
    if facts.observes {
        let rest = ": nothing is written to Entra".to_owned();
        return line(Level::Attention, "The relay only observes", rest);
    }
    let lag = told.consumer.as_ref().and_then(|consumer| consumer.lag_seconds.values().max());
    if let Some(lag) = lag.filter(|lag| **lag >= LATE) {
        let rest = format!(": the oldest has been in hand for {}{}", short(*lag as f64), waits());
        return line(Level::Attention, "Changes are late", rest);
    }
    let (text, spread) = match told.consumer {
        Some(_) => ("Changes reach Entra", &fared.to_graph),
        None => ("Changes reach the queue", &fared.to_queue),
    };
    let rest = spread.percentile(50).map(|p50| format!(": p50 {}", short(p50)));
    let rest = rest.unwrap_or_else(|| match fared.last {
        Some(_) => "; none came in the last 5 min".to_owned(),
        None => "; none came since the start".to_owned(),
    });
    let text = match (&rest[..1], told.consumer.is_some()) {
        (":", _) => text,
        (_, true) => "Ready to carry changes to Entra",
        (_, false) => "Ready to carry changes to the queue",
    };
    let slow = spread.percentile(50).is_some_and(|p50| p50 > SLOW);
    let (level, text) = match (slow, told.consumer.is_some()) {
        (false, _) => (Level::Good, text),
        (true, true) => (Level::Attention, "Changes reach Entra late"),
        (true, false) => (Level::Attention, "Changes reach the queue late"),
    };
    line(level, text, rest)
}

/// What needs a hand, the worst first.
pub fn notes(facts: &Facts) -> Vec<Note> {
    let mut notes = Vec::new();
    let mut note = |text: String, command: Option<&'static str>| {
        notes.push(Note { level: Level::Attention, text, command });
    };
    if let Some(letters) = facts.queues.as_ref().and_then(|queues| queues.dead_letters)
        && letters > 0
    {
        let what = if letters == 1 { "dead letter" } else { "dead letters" };
        note(format!("{letters} {what}"), Some("entra-relay dead-letters list"));
    }
    if let Some(watcher) = &facts.told.watcher {
        if watcher.held_users > 0 {
            let held = watcher.held_users;
            let what = if held == 1 { "user is" } else { "users are" };
            note(format!("{held} {what} held by the guard"), Some("entra-relay held list"));
        }
        if watcher.unreconciled {
            let text = "Directory and Entra were not compared yet".to_owned();
            note(text, Some("entra-relay reconcile"));
        }
    }
    if let Some(consumer) = &facts.told.consumer
        && consumer.write_fights > 0
    {
        let fights = consumer.write_fights;
        let what = if fights == 1 { "time" } else { "times" };
        note(format!("Something else enabled users that are disabled here, {fights} {what}"), None);
    }
    if !facts.told.ready {
        facts.told.doing.iter().for_each(|doing| note(doing.clone(), None));
    }
    notes
}

/// A time in its fitting unit.
pub fn short(seconds: f64) -> String {
    match seconds {
        ..1.0 => format!("{:.0} ms", seconds * 1e3),
        ..10.0 => format!("{seconds:.1} s"),
        ..120.0 => format!("{seconds:.0} s"),
        _ => format!("{:.0} min", seconds / 60.0),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ops::status::{Sample, spread::Spread};

    const WELL: &str = "relay_broker_connected 1\nrelay_directory_connected 1\n";

    fn facts(role: &str, series: &str) -> Facts {
        let text = format!("relay_build_info{{role=\"{role}\"}} 1\n{WELL}{series}");
        let sample = Sample::read(&text, r#"{"all":{"ready":true}}"#);
        Facts::new(&sample, None, false, false)
    }

    fn said(facts: &Facts, away: &[(What, i64)]) -> String {
        let mut to_graph = Spread::default();
        to_graph.note(0.028);
        let to_queue = to_graph.clone();
        let at = |(what, second): &(What, i64)| {
            (*what, Timestamp::from_second(*second).expect("a time"))
        };
        let fared = Fared { to_queue, to_graph, last: None };
        let Headline { level, text, since, rest } =
            headline(facts, &fared, &away.iter().map(at).collect());
        let since = since.map(|since| format!(" since {}", since.as_second())).unwrap_or_default();
        format!("{level:?}: {text}{since}{rest}")
    }

    #[test]
    fn the_first_line_says_the_worst() {
        let waiting =
            "relay_queue_messages{lane=\"urgent\"} 3\nrelay_in_hand_events{lane=\"bulk\"} 4\n";
        let run = facts("run", waiting);
        assert_eq!(said(&run, &[]), "Good: Changes reach Entra: p50 28 ms");
        assert_eq!(
            said(&run, &[(What::Graph, 7), (What::Paused, 5)]),
            "Bad: Graph is not answering since 7; 7 changes wait"
        );
        assert_eq!(
            said(&run, &[(What::Paused, 5)]),
            "Attention: Applying is paused by command since 5; 7 changes wait"
        );
        let away = said(&run, &[(What::Graph, 7), (What::Queue, 9)]);
        assert_eq!(away, "Bad: The queue cannot be reached since 9; nothing is lost");
        let watch = facts("watch", "");
        assert_eq!(said(&watch, &[]), "Good: Changes reach the queue: p50 28 ms");
        let late = facts("apply", "relay_oldest_unsettled_seconds{lane=\"bulk\"} 90\n");
        let late = said(&late, &[]);
        assert!(
            late.starts_with("Attention: Changes are late: the oldest has been in hand for 90 s")
        );
        let observes = Facts { observes: true, ..facts("apply", "") };
        assert!(said(&observes, &[]).contains("nothing is written to Entra"));
    }

    #[test]
    fn what_is_slow_is_not_told_as_good() {
        let mut to_graph = Spread::default();
        to_graph.note(16.0);
        let fared = Fared { to_queue: Spread::default(), to_graph, last: None };
        let said = headline(&facts("apply", ""), &fared, &BTreeMap::new());
        assert_eq!((said.level, said.text), (Level::Attention, "Changes reach Entra late"));
    }

    #[test]
    fn where_nothing_came_no_latency_is_claimed() {
        let empty = || Spread::default();
        let fared = Fared { to_queue: empty(), to_graph: empty(), last: None };
        let Headline { text, rest, .. } = headline(&facts("apply", ""), &fared, &BTreeMap::new());
        let said = format!("{text}{rest}");
        assert_eq!(said, "Ready to carry changes to Entra; none came since the start");
    }

    #[test]
    fn what_needs_a_hand_is_noted_with_its_command() {
        let series = "relay_dead_letters{reason=\"graph_error\"} 2\nrelay_guard_held 7\nrelay_unreconciled 1\n";
        let notes = notes(&facts("run", series));
        let said: Vec<_> = notes.iter().map(|note| (&note.text[..], note.command)).collect();
        assert_eq!(
            said,
            [
                ("2 dead letters", Some("entra-relay dead-letters list")),
                ("7 users are held by the guard", Some("entra-relay held list")),
                ("Directory and Entra were not compared yet", Some("entra-relay reconcile")),
            ]
        );
        assert!(super::notes(&facts("run", "")).is_empty());
    }

    #[test]
    fn times_have_their_unit() {
        let told = [0.0281, 2.36, 45.2, 720.0].map(short);
        assert_eq!(told, ["28 ms", "2.4 s", "45 s", "12 min"]);
    }
}
