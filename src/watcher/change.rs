//! One user's change, on its way from the comparison to the outbox.

use std::collections::BTreeSet;

use jiff::Timestamp;
use uuid::Uuid;

use super::{
    diff::{blocked, blocks},
    guard::{Guard, Held, Holdings, Loss, Verdict, Weight, Weights},
    record::Record,
    refresh::Again,
    store::Place,
};
use crate::{
    directory::dn::normalised,
    event::{Detail, Kind},
};

/// What was found of one user, and what is to be told of it.
#[derive(Debug)]
pub struct Change {
    /// objectGUID.
    pub object: Uuid,
    /// What the ledger knew.
    pub known: Option<Record>,
    /// As observed. `told` takes for granted that all details are told.
    pub record: Record,
    /// What is to be told, in this order.
    pub details: Vec<Detail>,
    /// What the store holds of the user.
    pub before: Holdings,
    /// What is held from now on.
    pub held: Holdings,
    /// Whether the user is in scope.
    pub takes_part: bool,
    /// Whether the ledger takes the record in.
    pub enters: bool,
    /// What is told whatever the guard says.
    pub approved: BTreeSet<Loss>,
    /// Set where the user is to be told again.
    pub again: Option<Again>,
    /// Passwords that wait no longer once the details are told.
    pub spent: Vec<Place>,
}

impl Change {
    /// Adds what the guard has to count of this change.
    pub fn weigh(&self, guard: &Guard, clock_is_off: bool, weights: &mut Weights) {
        let mut add = |loss, amount| {
            if amount > 0 && !self.approved.contains(&loss) {
                *weights.entry(loss).or_default() += Weight { users: 1, amount };
            }
        };
        for detail in &self.details {
            match guard.detail_loss(detail, clock_is_off) {
                Some(loss) => add(loss, u32::from(!self.held.contains_key(&loss))),
                None => {
                    let (loss, names) = lost(detail);
                    let fresh = names.filter(|name| !self.holds(loss, name)).count();
                    add(loss, u32::try_from(fresh).unwrap_or(u32::MAX));
                }
            }
        }
    }

    /// Takes out of the details what is held, and out of the record that it was told.
    pub fn sift(&mut self, guard: &Guard, verdict: &Verdict, now: Timestamp, clock_is_off: bool) {
        let verdict = |loss| verdict.get(&loss).filter(|_| !self.approved.contains(&loss));
        let fresh = |loss, batch, reason| {
            let by_clock = loss == Loss::Expire && clock_is_off;
            Held { batch, since: now, reason, names: BTreeSet::new(), by_clock }
        };
        for mut detail in std::mem::take(&mut self.details) {
            if let Some(loss) = guard.detail_loss(&detail, clock_is_off) {
                if let Some(batch) = verdict(loss) {
                    let held = self.held.entry(loss);
                    held.or_insert_with(|| fresh(loss, *batch, blocks(&detail)));
                }
                if !self.held.contains_key(&loss) {
                    self.details.push(detail);
                }
                continue;
            }
            let (loss, names) = lost(&detail);
            let names: Vec<_> = names.cloned().collect();
            if let Some(batch) = verdict(loss)
                && !names.is_empty()
            {
                let held = self.held.entry(loss).or_insert_with(|| fresh(loss, *batch, None));
                held.names.extend(names);
            }
            if let Some(held) = self.held.get(&loss)
                && !without(&mut detail, &held.names)
            {
                continue;
            }
            self.details.push(detail);
        }
        self.take_back();
    }

    /// What is held was not told.
    fn take_back(&mut self) {
        let before = self.known.as_ref();
        if self.held.keys().any(|loss| loss.is_of_account()) {
            self.record.told.blocked = before.and_then(|record| record.told.blocked);
        }
        for name in self.held.get(&Loss::Blank).iter().flat_map(|held| &held.names) {
            let name = name.to_ascii_lowercase();
            if let Some(told) = before.and_then(|record| record.attributes.get(&name)) {
                self.record.attributes.insert(name, *told);
            }
        }
        for group in self.held.get(&Loss::RemoveMember).iter().flat_map(|held| &held.names) {
            let group = normalised(group);
            if before.is_some_and(|record| record.told.groups.contains(&group)) {
                self.record.told.groups.insert(group);
            }
        }
    }

    /// Takes out of the details what gives access, and out of the record that it was told. Who is to
    /// be created stays unknown altogether, and so the password that goes with it waits on. Anybody
    /// else's password is told: the one before it may be known to others. False if there is nothing
    /// of the kind.
    pub fn postpone(&mut self) -> bool {
        if !self.details.iter().any(gives_access) {
            return false;
        }
        let creates = |detail: &Detail| detail.kind() == Kind::UserCreated;
        match &self.known {
            Some(known) if !self.details.iter().any(creates) => {
                for detail in self.details.extract_if(.., |detail| gives_access(detail)) {
                    if let Detail::MembershipChanged { group, .. } = detail {
                        self.record.told.groups.remove(&normalised(&group));
                    }
                }
                self.record.told.blocked = known.told.blocked;
            }
            known => {
                self.details.clear();
                self.spent.clear();
                self.again = None;
                self.enters = known.is_some();
                self.record = known.clone().unwrap_or_default();
            }
        }
        true
    }

    /// Adds that the account is blocked, unless the details say so already. Only its creation comes
    /// before that, or its new name, by which the user is known from then on.
    pub fn tell_blocked(&mut self) {
        if !self.details.iter().any(|detail| blocks(detail).is_some())
            && let Some(reason) = self.record.told.blocked
        {
            let named =
                |detail: &Detail| matches!(detail.kind(), Kind::UserCreated | Kind::UserRenamed);
            let first = self.details.iter().take_while(|detail| named(detail)).count();
            self.details.insert(first, blocked(reason));
        }
    }

    /// Tells what is held of these kinds, if it still is so.
    pub fn approve(&mut self, losses: &BTreeSet<Loss>) {
        for loss in losses {
            if self.held.remove(loss).is_some() && loss.is_of_account() {
                self.tell_blocked();
            }
        }
        self.approved.clone_from(losses);
    }

    fn holds(&self, loss: Loss, name: &str) -> bool {
        self.held.get(&loss).is_some_and(|held| held.names.contains(name))
    }
}

/// Whether somebody has more access after it than before.
fn gives_access(detail: &Detail) -> bool {
    matches!(
        detail,
        Detail::AccountEnabled { .. }
            | Detail::UserCreated { enabled: true }
            | Detail::MembershipChanged { member: true, .. }
    )
}

/// What a detail takes away that has a name: attributes that lost their value, or a group.
fn lost(detail: &Detail) -> (Loss, impl Iterator<Item = &String>) {
    let (loss, attributes, group) = match detail {
        Detail::AttributesModified { attributes, .. } => (Loss::Blank, Some(attributes), None),
        Detail::MembershipChanged { group, member: false } => {
            (Loss::RemoveMember, None, Some(group))
        }
        _ => (Loss::Blank, None, None),
    };
    let blanked = attributes.into_iter().flatten().filter(|(_, values)| values.is_empty());
    (loss, blanked.map(|(name, _)| name).chain(group))
}

/// Takes these names out of what a detail takes away. False where nothing of it is left.
fn without(detail: &mut Detail, names: &BTreeSet<String>) -> bool {
    match detail {
        Detail::AttributesModified { attributes, references } => {
            attributes.retain(|name, values| !values.is_empty() || !names.contains(name));
            !attributes.is_empty() || !references.is_empty()
        }
        Detail::MembershipChanged { group, member: false } => !names.contains(group),
        _ => true,
    }
}

#[cfg(test)]
mod tests;
