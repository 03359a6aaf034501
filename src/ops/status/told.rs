//! What a process says of itself, made of two samples of it, and what waits in the queues.

use std::collections::BTreeMap;

use jiff::Timestamp;
use serde::Serialize;

use super::sample::{Part, Sample};
use crate::{
    event::Lane,
    watcher::{self, STANDBY},
};

/// What a process says of itself.
#[derive(Debug, Serialize)]
pub struct Told {
    /// `watch`, `apply` or `run`.
    pub role: String,
    /// Its version.
    pub version: String,
    /// Since when it runs.
    pub started: Option<Timestamp>,
    /// Whether every part of it has worked.
    pub ready: bool,
    /// What its parts are doing, where that is worth a word.
    pub doing: Vec<String>,
    /// Whether it is connected to its broker.
    pub broker_connected: bool,
    /// Of a watcher.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub watcher: Option<Watcher>,
    /// Of a consumer.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub consumer: Option<Consumer>,
}

/// The watcher's half.
#[derive(Debug, Serialize)]
pub struct Watcher {
    /// Whether it is connected to a directory server.
    pub directory_connected: bool,
    /// Whether the directory can ring for a change.
    pub doorbell_connected: bool,
    /// Since when it knows that it has read everything.
    pub cursor_age_seconds: u64,
    /// When everything was last read and compared.
    pub full_read: Option<Timestamp>,
    /// Events published since it started.
    pub published: u64,
    /// Events published a second.
    pub published_per_second: f64,
    /// How long it took to read what changed, on average; none where nothing changed.
    pub read_seconds: Option<f64>,
    /// Whether another watcher is active, and this one waits for its end.
    pub standby: bool,
    /// Users of whom the guard holds something.
    pub held_users: u64,
    /// Changes that wait for a domain controller to catch up.
    pub postponed: u64,
    /// Whether directory and Entra have yet to be compared.
    pub unreconciled: bool,
}

/// The consumer's half.
#[derive(Debug, Serialize)]
pub struct Consumer {
    /// Events settled a second.
    pub settled_per_second: f64,
    /// Seconds since the oldest event in hand came, by lane.
    pub lag_seconds: BTreeMap<&'static str, u64>,
    /// Events in hand.
    pub in_hand: u64,
    /// Requests to Graph a second.
    pub requests_per_second: f64,
    /// How long Graph took to answer, on average; none where nothing was asked.
    pub answer_seconds: Option<f64>,
    /// The part of the quota of writes that is left, in percent.
    pub quota_left_percent: f64,
    /// Answers 429 of Graph since it started.
    pub throttled: u64,
    /// Whether it waits for Graph to come back.
    pub graph_paused: bool,
    /// Whether that is because Graph does not answer, and not because it asked to wait.
    pub graph_down: bool,
    /// Whether applying is paused by command.
    pub paused: bool,
    /// Found enabled in Entra although the directory holds them disabled, since it started.
    pub write_fights: u64,
    /// The last account that was disabled.
    pub last_disable: Option<LastDisable>,
}

/// The last account that was disabled.
#[derive(Debug, Serialize)]
pub struct LastDisable {
    /// When Graph accepted it.
    pub at: Timestamp,
    /// How long it took from the change being observed.
    pub seconds: f64,
}

/// What waits. None: nobody could be asked.
#[derive(Debug, Default, Serialize)]
pub struct Queues {
    /// Messages in nobody's hands, by lane.
    pub waiting: Option<BTreeMap<&'static str, u64>>,
    /// Messages that wait for their user to come into being in Entra.
    pub parked: Option<u64>,
    /// Dead letters.
    pub dead_letters: Option<u64>,
    /// Dead letters by reason, as a process last counted them: once a minute.
    pub dead_letters_by_reason: BTreeMap<String, u64>,
}

impl Told {
    /// What a process says now; rates are those since `before`.
    pub fn new(now: &Sample, before: Option<&Sample>) -> Told {
        let build = now.labelled("relay_build_info").map(|(labels, _)| labels).next();
        let label = |name| {
            let build = build.as_ref();
            build.and_then(|labels| labels.get(name)).map_or("?", |text| *text).to_owned()
        };
        let role = label("role");
        let rate = |metric: &str| {
            let sum = |sample: &Sample| sample.sum(metric, |_| true);
            before.map_or(0.0, |before| {
                let seconds = (now.taken - before.taken).as_secs_f64().max(0.001);
                // Whoever started again counts from zero.
                ((sum(now) - sum(before)) / seconds).max(0.0)
            })
        };
        let mean = |metric: &str| {
            let grown = |part: &str| {
                let series = format!("{metric}_{part}");
                Some(now.get(&series)? - before?.get(&series)?)
            };
            let (sum, count) = (grown("sum")?, grown("count")?);
            (count > 0.0).then(|| (sum / count).max(0.0))
        };
        Told {
            version: label("version"),
            started: instant(now.get("process_start_time_seconds")),
            ready: !now.parts.is_empty() && now.parts.values().all(|part| part.ready),
            doing: doing(&now.parts),
            broker_connected: now.is_set("relay_broker_connected"),
            watcher: matches!(&role[..], "watch" | "run").then(|| Watcher {
                directory_connected: now.is_set("relay_directory_connected"),
                doorbell_connected: now.is_set("relay_doorbell_connected"),
                cursor_age_seconds: now.count("relay_cursor_age_seconds"),
                full_read: instant(now.get("relay_full_read_timestamp_seconds")),
                published: now.sum("relay_events_published_total", |_| true) as u64,
                published_per_second: rate("relay_events_published_total"),
                read_seconds: mean("relay_detection_seconds"),
                standby: now.parts.get(watcher::PART).is_some_and(|it| it.detail == STANDBY),
                held_users: now.count("relay_guard_held"),
                postponed: now.count("relay_postponed"),
                unreconciled: now.is_set("relay_unreconciled"),
            }),
            consumer: matches!(&role[..], "apply" | "run").then(|| Consumer {
                settled_per_second: rate("relay_events_settled_total"),
                lag_seconds: by_lane(now, "relay_oldest_unsettled_seconds"),
                in_hand: now.sum("relay_in_hand_events", |_| true) as u64,
                requests_per_second: rate("relay_graph_requests_total"),
                answer_seconds: mean("relay_graph_request_seconds"),
                quota_left_percent: now.get("relay_quota_available_ratio").unwrap_or(1.0) * 100.0,
                throttled: now.count("relay_graph_throttled_total"),
                graph_paused: now.is_set("relay_graph_paused"),
                graph_down: now.is_set("relay_graph_down"),
                paused: now.is_set("relay_paused"),
                write_fights: now.sum("relay_write_fights_total", |_| true) as u64,
                last_disable: last_disable(now),
            }),
            role,
        }
    }
}

impl Queues {
    /// What a process has last counted.
    pub fn counted_by(sample: &Sample) -> Queues {
        let by_reason: BTreeMap<_, _> = sample
            .labelled("relay_dead_letters")
            .filter(|(_, letters)| *letters > 0.0)
            .filter_map(|(labels, letters)| {
                Some(((*labels.get("reason")?).to_owned(), letters as u64))
            })
            .collect();
        Queues {
            waiting: Some(by_lane(sample, "relay_queue_messages")),
            parked: Some(sample.count("relay_parked_messages")),
            dead_letters: Some(by_reason.values().sum()),
            dead_letters_by_reason: by_reason,
        }
    }
}

fn by_lane(sample: &Sample, metric: &str) -> BTreeMap<&'static str, u64> {
    let count = |lane: Lane| sample.count(&format!("{metric}{{lane=\"{}\"}}", lane.as_str()));
    Lane::ALL.into_iter().map(|lane| (lane.as_str(), count(lane))).collect()
}

fn last_disable(sample: &Sample) -> Option<LastDisable> {
    let at = instant(sample.get("relay_last_disable_timestamp_seconds"))?;
    Some(LastDisable { at, seconds: sample.get("relay_last_disable_propagation_seconds")? })
}

/// An instant that was exported; zero says that there was none.
fn instant(seconds: Option<f64>) -> Option<Timestamp> {
    let seconds = seconds.filter(|seconds| *seconds > 0.0)?;
    Timestamp::from_second(seconds as i64).ok()
}

fn doing(parts: &BTreeMap<String, Part>) -> Vec<String> {
    let worth = |(name, part): (&String, &Part)| match (part.ready, &part.detail[..]) {
        (true, "") => None,
        (false, "") => Some(format!("{name}: has not worked yet")),
        (_, detail) => Some(format!("{name}: {detail}")),
    };
    parts.iter().filter_map(worth).collect()
}
