//! Whether the process lives, and whether it has begun to work.
//!
//! *Live* says that every loop still turns; an outage of a server outside never ends it, for a
//! restart would mend nothing. *Ready* says that every part has worked once; it never goes back.

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex, PoisonError},
    time::{Duration, Instant},
};

use serde::Serialize;

/// A loop that has not turned for so long is stuck: longer than any timeout in it.
const STUCK: Duration = Duration::from_secs(300);

/// Shared by every part of the process. Cheap to clone.
#[derive(Debug, Clone, Default)]
pub struct Health {
    parts: Arc<Mutex<BTreeMap<&'static str, Part>>>,
}

#[derive(Debug, Clone)]
struct Part {
    ready: bool,
    detail: String,
    beat: Instant,
}

/// What is shown of a part.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Report {
    /// Whether it has worked once.
    pub ready: bool,
    /// What it is doing, where that is worth a word.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub detail: String,
}

impl Health {
    /// For a process that has these parts.
    pub fn new(parts: impl IntoIterator<Item = &'static str>) -> Health {
        let health = Health::default();
        for part in parts {
            health.beat(part);
        }
        health
    }

    /// The part's loop has turned.
    pub fn beat(&self, part: &'static str) {
        self.update(part, |part| part.beat = Instant::now());
    }

    /// The part has worked.
    pub fn ready(&self, part: &'static str) {
        self.update(part, |part| {
            part.ready = true;
            part.detail.clear();
        });
    }

    /// What the part is doing.
    pub fn detail(&self, part: &'static str, detail: &str) {
        self.update(part, |part| detail.clone_into(&mut part.detail));
    }

    /// Whether every loop turns.
    pub fn is_live(&self) -> bool {
        self.lock().values().all(|part| part.beat.elapsed() < STUCK)
    }

    /// Whether every part has worked once, and each one's report.
    pub fn report(&self) -> (bool, BTreeMap<&'static str, Report>) {
        let parts: BTreeMap<_, _> = self
            .lock()
            .iter()
            .map(|(name, part)| (*name, Report { ready: part.ready, detail: part.detail.clone() }))
            .collect();
        (parts.values().all(|part| part.ready), parts)
    }

    fn update(&self, name: &'static str, change: impl FnOnce(&mut Part)) {
        let mut parts = self.lock();
        change(parts.entry(name).or_insert_with(|| Part {
            ready: false,
            detail: String::new(),
            beat: Instant::now(),
        }));
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, BTreeMap<&'static str, Part>> {
        self.parts.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn is_ready_when_every_part_is_and_stays_so() {
        let health = Health::new(["watcher", "consumer"]);
        assert!(health.is_live());
        assert!(!health.report().0);
        health.ready("watcher");
        health.detail("consumer", "waiting for Graph");
        let (ready, parts) = health.report();
        assert!(!ready);
        assert_eq!(parts["consumer"].detail, "waiting for Graph");
        health.ready("consumer");
        health.detail("consumer", "paused");
        assert!(health.report().0);
    }
}
