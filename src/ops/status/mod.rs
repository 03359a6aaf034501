//! What this process says of itself to a person: `/status.json`, which the status page shows.
//! `deploy/STATUS.md` explains every field.
//!
//! Everything comes from the metrics and the health report (`sample`, `told`), as the command line's
//! `status` reads them too, and from two things that those cannot hold: the latest changes
//! (`recent`) and the last half hour (`history`). Both are bounded and die with the process.

mod document;
mod flow;
mod headline;
mod history;
mod recent;
mod sample;
#[cfg(test)]
mod schema;
mod spread;
mod told;

use std::{
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use jiff::Timestamp;
use tokio::time::{Instant, MissedTickBehavior, interval_at};

use self::{
    document::{Document, Facts},
    history::{History, STEP},
};
use super::{health::Health, metrics::METRICS};
use crate::config::{
    Config, Role,
    model::{BrokerKind, Mode},
};

pub use recent::RECENT;
pub use sample::{Part, Sample};
pub use told::{Consumer, LastDisable, Queues, Told, Watcher};

/// How often it is seen whether something is away.
const LOOK: Duration = Duration::from_secs(1);

/// What the process says of itself. Cheap to clone.
#[derive(Clone)]
pub struct Status(Arc<Inner>);

struct Inner {
    health: Health,
    /// Whether the depth of the queue counts what is in hand.
    counts_in_hand: bool,
    /// Whether nothing is written to Entra.
    observes: bool,
    history: Mutex<History>,
}

impl Status {
    /// For a process with this configuration and role.
    pub fn new(config: &Config, role: Role, health: Health) -> Status {
        if config.admin.show_names {
            RECENT.show_names();
        }
        Status(Arc::new(Inner {
            health,
            counts_in_hand: config.broker.kind == BrokerKind::Embedded,
            observes: role.applies() && config.apply.mode == Mode::Observe,
            history: Mutex::new(History::new(Timestamp::now())),
        }))
    }

    /// Keeps the history, without end.
    pub async fn keep(&self) {
        let mut looks = interval_at(Instant::now() + LOOK, LOOK);
        looks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        for look in 1_u64.. {
            looks.tick().await;
            let sample = self.sample();
            let facts = self.facts(&sample, None);
            let (mut history, now) = (self.history(), Timestamp::now());
            history.look(&facts.told, now);
            if look.is_multiple_of(STEP.as_secs() / LOOK.as_secs()) {
                history.step(sample, RECENT.turn(), facts.waiting, now);
            }
        }
    }

    /// What is to be said now.
    pub fn document(&self) -> Document {
        let sample = self.sample();
        let now = Timestamp::now();
        let mut history = self.history();
        let facts = self.facts(&sample, history.before());
        history.look(&facts.told, now);
        Document::new(facts, &history, &RECENT.seen(), now)
    }

    fn facts(&self, now: &Sample, before: Option<&Sample>) -> Facts {
        Facts::new(now, before, self.0.counts_in_hand, self.0.observes)
    }

    fn sample(&self) -> Sample {
        let mut sample = Sample::read(&METRICS.render(), "");
        let (_, parts) = self.0.health.report();
        let part = |it: super::health::Report| Part { ready: it.ready, detail: it.detail };
        sample.parts = parts.into_iter().map(|(name, it)| (name.to_owned(), part(it))).collect();
        sample
    }

    fn history(&self) -> MutexGuard<'_, History> {
        self.0.history.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
