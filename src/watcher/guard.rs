//! The guard: a mass change towards less access is held, not told. Pure logic.
//!
//! It counts, per kind of [`Loss`], what was told and what was held within a sliding window. What
//! the watcher is about to tell comes in *rounds*, one per reply of the directory; the replies
//! that follow each other without a pause make a *reading*. A round is told or held as a whole, so
//! that of a mass change seen at once nothing is told, rather than as much as the limit allows:
//!
//! - What was told within the window and this round together never exceed the limit: a number of
//!   transitions, and a share of the users in scope.
//! - A round of several users counts what was held within the window too: it joins the batch that
//!   is held. A round of one user does not, so a single disable still goes through.
//! - Once a reading has a held round, the rest of it joins, for it is one mass change in pages.
//!
//! Thus a mass change that trickles in one user at a time is told up to the limit, and held from
//! there on until the window has passed. Whoever is held stays so, whatever the window says, until
//! the state flips back, or somebody approves or rejects the batch. What was approved is not
//! counted, nor what is told again on request of an event that passed the guard before.
//!
//! Expiries have a count of their own, and none unless that is asked for: they are no mistake of
//! anybody. But they are judged by the clock, so they are held while ours and the directory's
//! disagree.

mod counts;

use std::{
    collections::{BTreeMap, BTreeSet},
    time::Duration,
};

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

pub use self::counts::{Counts, Weight};
use super::diff::blocks;
use crate::{
    config::model,
    event::{Detail, Reason},
};

/// The smallest number of users of which a share is taken: below, a percentage means nothing.
const LEAST_SHARE: u32 = 10;

/// A transition towards less.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Loss {
    /// An account was disabled, locked out or taken out of scope.
    Disable,
    /// An account has expired, or its expiry has ended by a clock that is not to be trusted.
    Expire,
    /// A user was deleted.
    Delete,
    /// A mapped attribute lost its value.
    Blank,
    /// A user left a mapped group.
    RemoveMember,
}

impl Loss {
    /// Every kind.
    pub const ALL: [Loss; 5] =
        [Loss::Disable, Loss::Expire, Loss::Delete, Loss::Blank, Loss::RemoveMember];

    /// The name used in metrics and output.
    pub fn as_str(self) -> &'static str {
        match self {
            Loss::Disable => "disable",
            Loss::Expire => "expire",
            Loss::Delete => "delete",
            Loss::Blank => "blank",
            Loss::RemoveMember => "remove_member",
        }
    }

    /// Whether it is of the account itself, not of something that it has.
    pub fn is_of_account(self) -> bool {
        matches!(self, Loss::Disable | Loss::Expire | Loss::Delete)
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
    /// The attributes that lost their value, for [`Loss::Blank`]; the groups that were left, for
    /// [`Loss::RemoveMember`].
    #[serde(default, skip_serializing_if = "BTreeSet::is_empty")]
    pub names: BTreeSet<String>,
    /// Whether it is held because the clocks disagreed: it is compared anew once they agree.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub by_clock: bool,
}

/// What is held of one user.
pub type Holdings = BTreeMap<Loss, Held>;

/// What a round is about to tell, per kind.
pub type Weights = BTreeMap<Loss, Weight>;

/// The batch that a round's transitions of a kind belong to, where they are held.
pub type Verdict = BTreeMap<Loss, u64>;

/// What a reading held so far.
#[derive(Debug, Default)]
pub struct Reading(BTreeSet<Loss>);

impl Reading {
    /// Holds whatever of a kind this reading brings: it is not to be trusted there.
    pub fn distrust(&mut self, loss: Loss) {
        self.0.insert(loss);
    }
}

/// What is about to be told, and when.
#[derive(Debug, Clone, Copy)]
pub struct Round<'a> {
    /// The time.
    pub now: Timestamp,
    /// What it weighs.
    pub weights: &'a Weights,
    /// Whether our clock and the directory's disagree.
    pub clock_is_off: bool,
}

/// The limits.
#[derive(Debug, Clone)]
pub struct Guard {
    window: i64,
    max_disables: u32,
    max_deletes: u32,
    max_blanked: u32,
    max_member_removals: u32,
    max_percent: u8,
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
            max_member_removals: config.max_member_removals,
            max_percent: config.max_percent,
            count_expired: config.count_expired,
        }
    }

    /// The most transitions of a kind in a window; none where it is not counted.
    fn limit(&self, loss: Loss) -> Option<u32> {
        match loss {
            Loss::Disable => Some(self.max_disables),
            Loss::Expire => self.count_expired.then_some(self.max_disables),
            Loss::Delete => Some(self.max_deletes),
            Loss::Blank => Some(self.max_blanked),
            Loss::RemoveMember => Some(self.max_member_removals),
        }
    }

    /// Whether so much is more than may be told. The users in scope are counted only where it
    /// depends on them.
    fn exceeds<E>(
        &self,
        loss: Loss,
        sum: Weight,
        in_scope: &mut impl FnMut() -> Result<u64, E>,
    ) -> Result<bool, E> {
        let Some(limit) = self.limit(loss) else { return Ok(false) };
        if sum.amount > limit {
            return Ok(true);
        }
        Ok(sum.users >= LEAST_SHARE
            && self.max_percent < 100
            && u64::from(sum.users) * 100 > in_scope()? * u64::from(self.max_percent))
    }

    /// The kind of what is told of an account.
    pub fn detail_loss(&self, detail: &Detail, clock_is_off: bool) -> Option<Loss> {
        match detail {
            Detail::AccountEnabled { ended: Reason::Expired } if clock_is_off => Some(Loss::Expire),
            detail => blocks(detail).map(account_loss),
        }
    }

    /// Decides about a round, and counts it. `in_scope` counts the users in scope.
    pub fn decide<E>(
        &self,
        counts: &mut Counts,
        reading: &mut Reading,
        round: Round<'_>,
        mut in_scope: impl FnMut() -> Result<u64, E>,
    ) -> Result<Verdict, E> {
        let now = round.now.as_second();
        let mut verdict = Verdict::new();
        for (loss, weight) in round.weights {
            let (loss, weight) = (*loss, *weight);
            let last_batch = counts.last_batch;
            let count = counts.kinds.entry(loss).or_default();
            count.told.slide(now, self.window);
            count.held.slide(now, self.window);
            let told = count.told.sum() + weight;
            let joins = reading.0.contains(&loss)
                || loss == Loss::Expire && round.clock_is_off
                || self.exceeds(loss, told, &mut in_scope)?
                || weight.users > 1
                    && self.exceeds(loss, told + count.held.sum(), &mut in_scope)?;
            if !joins {
                count.told.add(now, self.window, weight);
                continue;
            }
            if count.held.sum() == Weight::default() {
                count.batch = last_batch + 1;
                counts.last_batch = count.batch;
            }
            count.held.add(now, self.window, weight);
            reading.0.insert(loss);
            verdict.insert(loss, count.batch);
        }
        Ok(verdict)
    }
}

/// The kind of an account that is blocked.
fn account_loss(reason: Reason) -> Loss {
    match reason {
        Reason::Disabled | Reason::ScopeLeft | Reason::LockedOut => Loss::Disable,
        Reason::Expired => Loss::Expire,
        Reason::Deleted => Loss::Delete,
    }
}

/// Takes out of `held` what is held no longer, for the state has flipped back or given way to
/// another. `state` says why the account is blocked, if it is; none for a user who takes no part.
/// `shown` says which attributes have a value again, and `member` which groups the user is in.
pub fn release(
    held: &mut Holdings,
    state: Option<Option<Reason>>,
    shown: impl Fn(&str) -> bool,
    member: impl Fn(&str) -> bool,
) {
    let Some(blocked) = state else { return held.clear() };
    held.retain(|loss, held| match loss {
        Loss::Blank => {
            held.names.retain(|name| !shown(name));
            !held.names.is_empty() && blocked != Some(Reason::Deleted)
        }
        Loss::RemoveMember => {
            held.names.retain(|group| !member(group));
            !held.names.is_empty() && blocked != Some(Reason::Deleted)
        }
        Loss::Disable | Loss::Expire | Loss::Delete => blocked == held.reason,
    });
}

/// A length of time in whole seconds, the started one included.
fn seconds(length: Duration) -> i64 {
    const LONGEST: u64 = 100 * 366 * 24 * 3600;
    (length.as_millis().div_ceil(1000) as u64).min(LONGEST) as i64
}

#[cfg(test)]
mod tests;
