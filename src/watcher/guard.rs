//! The guard: a mass change towards less access is held, not told. Pure logic.
//!
//! It counts, per kind of [`Loss`], what was told and what was held within a sliding window. What
//! the watcher is about to tell comes in *rounds*, one per reply of the directory; the replies
//! that follow each other without a pause make a *reading*. A round is told or held as a whole, so
//! that of a mass change seen at once nothing is told, rather than as much as the limit allows:
//!
//! - What was told within the window and this round together never exceed the limit.
//! - A round of several users counts what was held within the window too: it joins the batch that
//!   is held. A round of one user does not, so a single disable still goes through.
//! - Once a reading has a held round, the rest of it joins, for it is one mass change in pages.
//!
//! Thus a mass change that trickles in one user at a time is told up to the limit, and held from
//! there on until the window has passed. Whoever is held stays so, whatever the window says, until
//! the state flips back, or somebody approves or rejects the batch. What was approved is not
//! counted, nor what is told again on request of an event that passed the guard before.

use std::{
    collections::{BTreeMap, BTreeSet},
    time::Duration,
};

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use super::diff::blocks;
use crate::{
    config::model,
    event::{Detail, Reason},
};

/// A transition towards less.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Loss {
    /// An account was disabled, or has expired where that is counted.
    Disable,
    /// A user was deleted.
    Delete,
    /// A mapped attribute lost its value.
    Blank,
}

impl Loss {
    /// Every kind.
    pub const ALL: [Loss; 3] = [Loss::Disable, Loss::Delete, Loss::Blank];

    /// The name used in metrics and output.
    pub fn as_str(self) -> &'static str {
        match self {
            Loss::Disable => "disable",
            Loss::Delete => "delete",
            Loss::Blank => "blank",
        }
    }
}

/// Something that is seen and not told.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Held {
    /// What was held together has one number.
    pub batch: u64,
    /// Since when.
    pub since: Timestamp,
    /// Why the account is blocked, where it is.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<Reason>,
    /// The attributes that lost their value, for [`Loss::Blank`].
    #[serde(default, skip_serializing_if = "BTreeSet::is_empty")]
    pub attributes: BTreeSet<String>,
}

/// What is held of one user.
pub type Holdings = BTreeMap<Loss, Held>;

/// What a round is about to tell, per kind.
pub type Weights = BTreeMap<Loss, Weight>;

/// How much of a kind.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Weight {
    /// Of how many users.
    pub users: u32,
    /// How many transitions.
    pub amount: u32,
}

/// The batch that a round's transitions of a kind belong to, where they are held.
pub type Verdict = BTreeMap<Loss, u64>;

/// What a reading held so far.
#[derive(Debug, Default)]
pub struct Reading(BTreeSet<Loss>);

/// The limits.
#[derive(Debug, Clone)]
pub struct Guard {
    window: i64,
    max_disables: u32,
    max_deletes: u32,
    max_blanked: u32,
    count_expired: bool,
}

impl Guard {
    /// As the configuration says.
    pub fn from_config(config: &model::Guard) -> Guard {
        Guard {
            window: seconds(config.window),
            max_disables: config.max_disables,
            max_deletes: config.max_deletes,
            max_blanked: config.max_blanked,
            count_expired: config.count_expired,
        }
    }

    fn limit(&self, loss: Loss) -> u32 {
        match loss {
            Loss::Disable => self.max_disables,
            Loss::Delete => self.max_deletes,
            Loss::Blank => self.max_blanked,
        }
    }

    /// The kind of an account that is blocked; none where that is not counted.
    pub fn account_loss(&self, reason: Reason) -> Option<Loss> {
        match reason {
            Reason::Disabled | Reason::ScopeLeft | Reason::LockedOut => Some(Loss::Disable),
            Reason::Expired => self.count_expired.then_some(Loss::Disable),
            Reason::Deleted => Some(Loss::Delete),
        }
    }

    /// The kind of what is told of an account.
    pub fn detail_loss(&self, detail: &Detail) -> Option<Loss> {
        blocks(detail).and_then(|reason| self.account_loss(reason))
    }

    /// Decides about a round, and counts it.
    pub fn decide(
        &self,
        counts: &mut Counts,
        reading: &mut Reading,
        now: Timestamp,
        weights: &Weights,
    ) -> Verdict {
        let now = now.as_second();
        let mut verdict = Verdict::new();
        for (loss, Weight { users, amount }) in weights {
            let limit = self.limit(*loss);
            let last_batch = counts.last_batch;
            let count = counts.kinds.entry(*loss).or_default();
            count.told.slide(now, self.window);
            count.held.slide(now, self.window);
            let told = count.told.sum().saturating_add(*amount);
            let joins = reading.0.contains(loss)
                || *users > 1 && told.saturating_add(count.held.sum()) > limit;
            if told <= limit && !joins {
                count.told.add(now, self.window, *amount);
                continue;
            }
            if count.held.sum() == 0 {
                count.batch = last_batch + 1;
                counts.last_batch = count.batch;
            }
            count.held.add(now, self.window, *amount);
            reading.0.insert(*loss);
            verdict.insert(*loss, count.batch);
        }
        verdict
    }
}

/// Takes out of `held` what is held no longer, for the state has flipped back or given way to
/// another. `state` says why the account is blocked, if it is; none for a user who takes no part.
/// `shown` says which attributes have a value again.
pub fn release(held: &mut Holdings, state: Option<Option<Reason>>, shown: impl Fn(&str) -> bool) {
    let Some(blocked) = state else { return held.clear() };
    held.retain(|loss, held| match loss {
        Loss::Blank => {
            held.attributes.retain(|name| !shown(name));
            !held.attributes.is_empty() && blocked != Some(Reason::Deleted)
        }
        Loss::Disable | Loss::Delete => blocked == held.reason,
    });
}

/// What was told and held within the window. It is kept in the store, for a restart must not open
/// the limit anew.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Counts {
    kinds: BTreeMap<Loss, Count>,
    last_batch: u64,
}

impl Counts {
    /// A held batch was approved or rejected: it no longer draws others in.
    pub fn forget_held(&mut self, loss: Loss) {
        if let Some(count) = self.kinds.get_mut(&loss) {
            count.held = Buckets::default();
        }
    }
}

#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
struct Count {
    told: Buckets,
    held: Buckets,
    batch: u64,
}

/// Sums over slices of the window, so that few numbers are kept whatever the limit is: start of
/// the slice in Unix seconds → sum.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
struct Buckets(BTreeMap<i64, u32>);

impl Buckets {
    fn slice(window: i64) -> i64 {
        (window / 60).max(1)
    }

    /// Drops what is out of the window to its last second, and what a clock that was set back left
    /// in the future.
    fn slide(&mut self, now: i64, window: i64) {
        let slice = Self::slice(window);
        self.0.retain(|start, _| start + slice > now - window && *start <= now + window);
    }

    fn add(&mut self, now: i64, window: i64, amount: u32) {
        let slice = Self::slice(window);
        let sum = self.0.entry(now.div_euclid(slice) * slice).or_default();
        *sum = sum.saturating_add(amount);
    }

    fn sum(&self) -> u32 {
        self.0.values().fold(0, |sum, amount| sum.saturating_add(*amount))
    }
}

/// A length of time in whole seconds, the started one included.
fn seconds(length: Duration) -> i64 {
    const LONGEST: u64 = 100 * 366 * 24 * 3600;
    (length.as_millis().div_ceil(1000) as u64).min(LONGEST) as i64
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const LIMIT: u32 = 5;

    fn guard() -> Guard {
        Guard::from_config(&model::Guard {
            max_disables: LIMIT,
            max_deletes: 2,
            ..model::Guard::default()
        })
    }

    fn at(second: i64) -> Timestamp {
        Timestamp::from_second(1_700_000_000 + second).expect("in range")
    }

    fn users(loss: Loss, users: u32) -> Weights {
        [(loss, Weight { users, amount: users })].into()
    }

    /// Whether a round of disables, as a reading of its own, is held.
    fn held(counts: &mut Counts, second: i64, number: u32) -> Option<u64> {
        let weights = users(Loss::Disable, number);
        guard().decide(counts, &mut Reading::default(), at(second), &weights).remove(&Loss::Disable)
    }

    #[test]
    fn a_mass_change_is_held_whole_and_a_single_disable_goes_through() {
        let mut counts = Counts::default();
        assert_eq!(held(&mut counts, 0, 300), Some(1));
        assert_eq!(held(&mut counts, 1, 1), None, "alone");
        assert_eq!(held(&mut counts, 2, 2), Some(1), "joins");
        for second in 3..7 {
            assert_eq!(held(&mut counts, second, 1), None);
        }
        assert_eq!(held(&mut counts, 8, 1), Some(1), "the limit is told");
        assert_eq!(held(&mut counts, 700, 3), None, "the window has passed");
        assert_eq!(held(&mut counts, 701, 6), Some(2), "a batch of its own");
    }

    #[test]
    fn pages_of_one_reading_belong_together_and_kinds_do_not() {
        let (mut counts, mut reading) = (Counts::default(), Reading::default());
        let mut decide = |weights| guard().decide(&mut counts, &mut reading, at(0), &weights);
        assert_eq!(decide(users(Loss::Disable, 1000)), [(Loss::Disable, 1)].into());
        assert_eq!(decide(users(Loss::Disable, 1)), [(Loss::Disable, 1)].into());
        assert_eq!(decide(users(Loss::Delete, 2)), Verdict::new());
        assert_eq!(decide(users(Loss::Delete, 1)), [(Loss::Delete, 2)].into());
    }

    #[test]
    fn a_settled_batch_draws_nobody_in() {
        let mut counts = Counts::default();
        assert_eq!(held(&mut counts, 0, 6), Some(1));
        counts.forget_held(Loss::Disable);
        assert_eq!(held(&mut counts, 1, 3), None);
        assert_eq!(held(&mut counts, 2, 3), Some(2));
    }

    #[test]
    fn what_is_kept_is_bounded() {
        let mut counts = Counts::default();
        for second in 0..5_000 {
            held(&mut counts, second, 1 + (second % 3) as u32);
        }
        let count = &counts.kinds[&Loss::Disable];
        assert!(count.told.0.len() <= 62 && count.held.0.len() <= 62, "{counts:?}");
    }

    proptest! {
        #[test]
        fn no_window_tells_more_than_the_limit(
            rounds in prop::collection::vec((0_i64..200, 1_u32..9), 1..80),
        ) {
            let mut counts = Counts::default();
            let mut told = Vec::new();
            let mut now = 0;
            for (pause, number) in rounds {
                now += pause;
                // As over a restart.
                let bytes = serde_json::to_vec(&counts).expect("json");
                prop_assert_eq!(&serde_json::from_slice::<Counts>(&bytes).expect("json"), &counts);
                let recent = |told: &[(i64, u32)], length| {
                    let recent = told.iter().filter(|(second, _)| *second > now - length);
                    recent.map(|(_, number)| number).sum::<u32>()
                };
                match held(&mut counts, now, number) {
                    None => {
                        told.push((now, number));
                        prop_assert!(recent(&told, 600) <= LIMIT);
                    }
                    Some(batch) => {
                        prop_assert!(batch > 0);
                        // With a slice to spare, a single one is held only where the limit is told.
                        prop_assert!(number > 1 || recent(&told, 610) >= LIMIT);
                    }
                }
            }
        }
    }
}
