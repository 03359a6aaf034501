//! What is set up wrongly, all of it at once, and how to mend it.
//!
//! Each check stands alone; one whose ground is missing is skipped and says which one that is. They
//! use the connections and the errors of the relay itself, so what passes here works there. Nothing
//! is changed anywhere.

mod broker;
mod clock;
mod directory;
mod graph;
mod keys;
mod local;
mod permissions;
mod sample;
mod traces;

use std::{fmt, time::Duration};

pub use permissions::{Permission, least as least_permissions};
use serde::Serialize;
use tokio::time::timeout;

use crate::config::{Config, Invalid, Role};

/// How long the checks of one server may take together.
const PATIENCE: Duration = Duration::from_secs(90);

/// What a check is about.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Area {
    /// `relay.yaml`.
    Configuration,
    /// This machine.
    Local,
    /// The directory.
    Directory,
    /// The queue.
    Broker,
    /// Microsoft Graph.
    Graph,
}

/// How a check came out.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Verdict {
    /// It is right.
    Pass,
    /// It could not be tried, or need not be.
    Skip,
    /// It works, but somebody should know.
    Warn,
    /// It does not work.
    Fail,
}

/// One thing that was looked at.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Check {
    /// What it is about.
    pub area: Area,
    /// What was looked at.
    pub name: &'static str,
    /// How it came out.
    pub verdict: Verdict,
    /// What was found.
    pub told: String,
    /// What to do, where something is to be done.
    pub remedy: Option<String>,
}

/// A name for a check, from which its outcome is made.
#[derive(Debug, Clone, Copy)]
pub struct Subject(pub Area, pub &'static str);

impl Subject {
    fn check(self, verdict: Verdict, told: impl Into<String>, remedy: Option<String>) -> Check {
        let Subject(area, name) = self;
        Check { area, name, verdict, told: told.into(), remedy }
    }

    /// It is right.
    pub fn pass(self, told: impl Into<String>) -> Check {
        self.check(Verdict::Pass, told, None)
    }

    /// Not tried, for this reason.
    pub fn skip(self, why: impl Into<String>) -> Check {
        self.check(Verdict::Skip, why, None)
    }

    /// It works, but somebody should know.
    pub fn warn(self, told: impl Into<String>, remedy: impl Into<String>) -> Check {
        self.check(Verdict::Warn, told, Some(remedy.into()))
    }

    /// It does not work.
    pub fn fail(self, told: impl Into<String>, remedy: impl Into<String>) -> Check {
        self.check(Verdict::Fail, told, Some(remedy.into()))
    }

    /// It does not work. The relay's errors that a person has to mend tell the remedy behind a
    /// semicolon; `otherwise` is that of all others.
    pub fn failed(self, error: impl fmt::Display, otherwise: &str) -> Check {
        let text = error.to_string();
        match text.split_once("; ") {
            Some((told, remedy)) => self.fail(told, remedy),
            None => self.fail(text, otherwise),
        }
    }
}

/// Whether every one of the checks came out well enough to start.
pub fn is_good(checks: &[Check]) -> bool {
    checks.iter().all(|check| check.verdict != Verdict::Fail)
}

/// What is wrong with a configuration that cannot be used.
pub fn of_configuration(invalid: &Invalid) -> Vec<Check> {
    let rows = invalid.problems.iter().map(|problem| {
        let mut told = problem.key.clone();
        if !told.is_empty() {
            told += ": ";
        }
        if let Some(value) = &problem.value {
            told += &format!("{value:?} ");
        }
        Subject(Area::Configuration, "file").fail(told + &problem.what, problem.remedy.clone())
    });
    rows.collect()
}

/// What can be seen on this machine alone.
pub fn offline(config: &Config, role: Role) -> Vec<Check> {
    let halves = match (role.watches(), role.applies()) {
        (true, false) => "a watcher",
        (false, true) => "consumers",
        _ => "watcher and consumers",
    };
    let told = format!("valid, for {halves}");
    let mut checks = vec![Subject(Area::Configuration, "file").pass(told)];
    checks.extend(local::files(config, role));
    checks.extend(local::folders(config, role));
    checks.push(keys::fit(config, role));
    checks
}

/// Everything. The servers are asked side by side.
pub async fn online(config: &Config, role: Role) -> Vec<Check> {
    let mut checks = offline(config, role);
    // What a server would say of a file that cannot be read was said already.
    let unreadable: Vec<Area> = checks
        .iter()
        .filter(|check| check.verdict == Verdict::Fail)
        .map(|check| check.area)
        .collect();
    let is_ready = |area: Area| !unreadable.contains(&area);
    let login = |area| Subject(area, "login").skip("not tried: a file that it needs is unusable");
    let directory = async {
        match (role.watches(), is_ready(Area::Directory)) {
            (false, _) => (Vec::new(), None),
            (true, false) => (vec![login(Area::Directory)], None),
            (true, true) => patiently(Area::Directory, directory::checks(config)).await,
        }
    };
    let broker = async {
        match is_ready(Area::Broker) {
            false => (vec![login(Area::Broker)], None),
            true => patiently(Area::Broker, broker::checks(config, role)).await,
        }
    };
    let graph = async {
        match (role.applies(), is_ready(Area::Graph)) {
            (false, _) => (Vec::new(), None),
            (true, false) => (vec![login(Area::Graph)], None),
            (true, true) => patiently(Area::Graph, graph::checks(config)).await,
        }
    };
    let traces = async {
        match is_ready(Area::Configuration) {
            false => None,
            true => traces::check(config, role).await,
        }
    };
    let ((directory, dc_ahead), (broker, _), (graph, graph_ahead), traces) =
        tokio::join!(directory, broker, graph, traces);
    checks.extend(directory);
    checks.extend(broker);
    checks.extend(graph);
    checks.extend(traces);
    checks.push(clock::check(dc_ahead, graph_ahead));
    checks
}

/// The checks of one server alone.
pub async fn of_area(config: &Config, role: Role, area: Area) -> Vec<Check> {
    let found = match area {
        Area::Directory => patiently(area, directory::checks(config)).await,
        Area::Broker => patiently(area, broker::checks(config, role)).await,
        Area::Graph => patiently(area, graph::checks(config)).await,
        Area::Configuration | Area::Local => return offline(config, role),
    };
    found.0
}

/// What was found of a server, and how far its clock is ahead of ours in seconds.
type Found = (Vec<Check>, Option<f64>);

async fn patiently(area: Area, checks: impl Future<Output = Found>) -> Found {
    let late = |_| {
        let told = format!("no end after {} s", PATIENCE.as_secs());
        let remedy = "look at the server's load and at the network between";
        (vec![Subject(area, "answers").fail(told, remedy)], None)
    };
    timeout(PATIENCE, checks).await.unwrap_or_else(late)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_error_s_remedy_is_behind_the_semicolon() {
        let subject = Subject(Area::Broker, "login");
        let check = subject.failed("refused; look at the password", "wait");
        assert_eq!(
            (check.told.as_str(), check.remedy.as_deref()),
            ("refused", Some("look at the password"))
        );
        assert_eq!(subject.failed("silence", "wait").remedy.as_deref(), Some("wait"));
        assert!(!is_good(&[subject.pass(""), check]));
        assert!(is_good(&[subject.skip(""), subject.warn("", "")]));
    }
}
