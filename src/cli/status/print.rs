//! One screen for a person.

use std::io::{self, Write};

use jiff::Timestamp;

use super::report::{Process, Report};
use crate::{
    cli::table::{bold, instant},
    event::Lane,
    ops::status::{Consumer, Queues, Told, Watcher},
};

/// Prints the screen.
pub fn screen(out: &mut impl Write, report: &Report) -> io::Result<()> {
    writeln!(out, "{}", bold(&format!("entra-relay at {}", instant(report.time))))?;
    for process in &report.processes {
        writeln!(out)?;
        print_process(out, process, report.time)?;
    }
    writeln!(out)?;
    print_queues(out, &report.queues)?;
    if !report.unseen.is_empty() {
        writeln!(out, "\n{}", bold("Not seen from here"))?;
    }
    for sentence in &report.unseen {
        writeln!(out, "  {sentence}")?;
    }
    out.flush()
}

fn field(out: &mut impl Write, name: &str, value: &str) -> io::Result<()> {
    writeln!(out, "  {name:<14}{value}")
}

fn print_process(out: &mut impl Write, process: &Process, now: Timestamp) -> io::Result<()> {
    let Process { address, error, told } = process;
    let Some(told) = told else {
        let error = error.as_deref().unwrap_or("does not answer");
        return writeln!(out, "{}\n  {error}", bold(&format!("no process at {address}")));
    };
    let Told { role, version, started, ready, doing, broker_connected, watcher, consumer } = told;
    let up = started.map_or_else(String::new, |started| format!(", up {}", age(started, now)));
    let ready = if *ready { "ready" } else { "not ready" };
    let head = format!("{role} at {address}: {ready}, version {version}{up}");
    writeln!(out, "{}", bold(&head))?;
    for line in doing {
        writeln!(out, "  {line}")?;
    }
    field(out, "broker", if *broker_connected { "connected" } else { "NOT CONNECTED" })?;
    if let Some(watcher) = watcher {
        print_watcher(out, watcher, now)?;
    }
    if let Some(consumer) = consumer {
        print_consumer(out, consumer, now)?;
    }
    Ok(())
}

fn print_watcher(out: &mut impl Write, watcher: &Watcher, now: Timestamp) -> io::Result<()> {
    let directory = match (watcher.directory_connected, watcher.doorbell_connected) {
        (false, _) => "NOT CONNECTED",
        (true, true) => "connected, it rings when something changes",
        (true, false) => "connected",
    };
    field(out, "directory", directory)?;
    field(out, "cursor age", &format!("{} s", watcher.cursor_age_seconds))?;
    if let Some(read) = watcher.full_read {
        field(out, "full read", &format!("{} ago", age(read, now)))?;
    }
    let (all, rate) = (watcher.published, watcher.published_per_second);
    field(out, "told", &format!("{all} events, {rate:.1}/s"))?;
    let held = match watcher.held_users {
        0 => "nobody".to_owned(),
        users => format!("{users} users: see held list"),
    };
    field(out, "held", &held)?;
    if watcher.postponed > 0 {
        let text =
            format!("{} changes, until the domain controller has caught up", watcher.postponed);
        field(out, "postponed", &text)?;
    }
    let compared = if watcher.unreconciled { "NOT YET COMPARED: run reconcile" } else { "yes" };
    field(out, "reconciled", compared)
}

fn print_consumer(out: &mut impl Write, consumer: &Consumer, now: Timestamp) -> io::Result<()> {
    if consumer.paused {
        field(out, "applying", "PAUSED by command: resume goes on")?;
    }
    let graph = match (consumer.graph_down, consumer.graph_paused) {
        (true, _) => "AWAY: events wait for it",
        (false, true) => "asked to wait",
        (false, false) => "answers",
    };
    field(out, "Graph", &format!("{graph}, throttled {} times", consumer.throttled))?;
    field(out, "quota left", &format!("{:.0} %", consumer.quota_left_percent))?;
    field(out, "applied", &format!("{:.1}/s", consumer.settled_per_second))?;
    let lag: Vec<_> =
        consumer.lag_seconds.iter().rev().map(|(lane, age)| format!("{lane} {age} s")).collect();
    field(out, "in hand since", &lag.join(", "))?;
    if consumer.write_fights > 0 {
        let text = format!("{} users enabled in Entra by something else", consumer.write_fights);
        field(out, "fights", &text)?;
    }
    let last = consumer.last_disable.as_ref().map_or_else(
        || "none since it started".to_owned(),
        |last| format!("{} ago, after {:.3} s", age(last.at, now), last.seconds),
    );
    field(out, "last disable", &last)
}

fn print_queues(out: &mut impl Write, queues: &Queues) -> io::Result<()> {
    writeln!(out, "{}", bold("Queues"))?;
    let unknown = || "not known".to_owned();
    let waiting = queues.waiting.as_ref().map_or_else(unknown, |waiting| {
        let lanes = Lane::ALL
            .map(Lane::as_str)
            .map(|lane| format!("{lane} {}", waiting.get(lane).copied().unwrap_or_default()));
        lanes.join(", ")
    });
    field(out, "waiting", &waiting)?;
    field(out, "parked", &queues.parked.map_or_else(unknown, |parked| parked.to_string()))?;
    let reasons: Vec<_> = queues
        .dead_letters_by_reason
        .iter()
        .map(|(reason, letters)| format!("{reason} {letters}"))
        .collect();
    let letters = queues.dead_letters.map_or_else(unknown, |letters| letters.to_string());
    let colon = if reasons.is_empty() { "" } else { ": " };
    field(out, "dead letters", &format!("{letters}{colon}{}", reasons.join(", ")))
}

/// How long ago, in its two largest units.
fn age(then: Timestamp, now: Timestamp) -> String {
    let seconds = u64::try_from(now.duration_since(then).as_secs()).unwrap_or_default();
    let text = humantime::format_duration(std::time::Duration::from_secs(seconds)).to_string();
    text.split(' ').take(2).collect::<Vec<_>>().join(" ")
}
