//! What was told and held within the window: few numbers, whatever the limits are.

use std::{
    collections::BTreeMap,
    ops::{Add, AddAssign},
};

use serde::{Deserialize, Serialize};

use super::Loss;

/// How much of a kind.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Weight {
    /// Of how many users.
    pub users: u32,
    /// How many transitions.
    pub amount: u32,
}

impl Add for Weight {
    type Output = Weight;

    fn add(mut self, other: Weight) -> Weight {
        self += other;
        self
    }
}

impl AddAssign for Weight {
    fn add_assign(&mut self, other: Weight) {
        self.users = self.users.saturating_add(other.users);
        self.amount = self.amount.saturating_add(other.amount);
    }
}

/// What was told and held within the window. It is kept in the store, for a restart must not open
/// the limit anew.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Counts {
    pub(super) kinds: BTreeMap<Loss, Count>,
    pub(super) last_batch: u64,
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
pub(super) struct Count {
    pub(super) told: Buckets,
    pub(super) held: Buckets,
    pub(super) batch: u64,
}

/// Sums over slices of the window: start of the slice in Unix seconds → sum.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Buckets(pub(super) BTreeMap<i64, Weight>);

impl Buckets {
    fn slice(window: i64) -> i64 {
        (window / 60).max(1)
    }

    /// Drops what is out of the window to its last second, and what a clock that was set back left
    /// in the future.
    pub(super) fn slide(&mut self, now: i64, window: i64) {
        let slice = Self::slice(window);
        self.0.retain(|start, _| start + slice > now - window && *start <= now + window);
    }

    pub(super) fn add(&mut self, now: i64, window: i64, weight: Weight) {
        let slice = Self::slice(window);
        *self.0.entry(now.div_euclid(slice) * slice).or_default() += weight;
    }

    pub(super) fn sum(&self) -> Weight {
        self.0.values().fold(Weight::default(), |sum, weight| sum + *weight)
    }
}
