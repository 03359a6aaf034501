//! Whom we blocked, and who is enabled again although the directory holds it disabled: another
//! writer does the opposite of what we do. It is told and answered, but not for ever.

use std::{
    sync::{Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use tokio::time::Instant;
use uuid::Uuid;

use super::{pace::REMEMBERED, recent::Recent};

/// After so long without another round a fight counts as over.
const OVER: Duration = Duration::from_secs(24 * 3600);

/// The users that we blocked last.
#[derive(Debug)]
pub struct Fights {
    blocked: Mutex<Recent<Uuid, Blocked>>,
    /// For so long after a write reads may show what was before.
    lag: Duration,
}

#[derive(Debug)]
struct Blocked {
    since: Instant,
    /// How often it was blocked again since the first block.
    rounds: u32,
}

impl Fights {
    /// Nobody is blocked.
    pub fn new(lag: Duration) -> Fights {
        Fights { blocked: Mutex::new(Recent::new(REMEMBERED)), lag }
    }

    /// The directory holds the user disabled, and we blocked it now; in a fight, for this round.
    pub fn blocked(&self, object: Uuid, round: Option<u32>, now: Instant) {
        let mut blocked = self.lock();
        let before = || blocked.get(object).map_or(0, |blocked| blocked.rounds);
        let rounds = round.unwrap_or_else(before);
        blocked.insert(object, Blocked { since: now, rounds });
    }

    /// The directory enabled the user.
    pub fn ended(&self, object: Uuid) {
        self.lock().remove(object);
    }

    /// Forgets everybody.
    pub fn forget(&self) {
        *self.lock() = Recent::new(REMEMBERED);
    }

    /// Which round of a fight it is that the user reads as enabled; none if it is no fight.
    pub fn round(&self, object: Uuid, enabled: Option<bool>, now: Instant) -> Option<u32> {
        let mut all = self.lock();
        let blocked = all.get(object)?;
        let age = now.saturating_duration_since(blocked.since);
        if enabled != Some(true) || age <= self.lag {
            return None;
        }
        Some(if age > OVER { 1 } else { blocked.rounds.saturating_add(1) })
    }

    fn lock(&self) -> MutexGuard<'_, Recent<Uuid, Blocked>> {
        self.blocked.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_is_enabled_again_is_counted_until_the_directory_enables() {
        let (lag, user) = (Duration::from_secs(60), Uuid::from_u128(7));
        let fights = Fights::new(lag);
        let start = Instant::now();
        let at = |seconds| start + Duration::from_secs(seconds);
        assert_eq!(fights.round(user, Some(true), at(0)), None, "never blocked");
        fights.blocked(user, None, at(0));
        assert_eq!(fights.round(user, Some(true), at(60)), None, "reads may lag");
        assert_eq!(fights.round(user, Some(false), at(61)), None);
        assert_eq!(fights.round(user, Some(true), at(61)), Some(1));
        assert_eq!(fights.round(user, Some(true), at(62)), Some(1), "until it is blocked again");
        fights.blocked(user, Some(1), at(62));
        fights.blocked(user, None, at(62));
        assert_eq!(fights.round(user, Some(true), at(123)), Some(2));
        fights.blocked(user, Some(2), at(123));
        assert_eq!(fights.round(user, Some(true), at(123 + 86_401)), Some(1), "long ago");
        fights.ended(user);
        assert_eq!(fights.round(user, Some(true), at(900_000)), None);
    }
}
