//! One user's change, on its way from the comparison to the outbox.

use std::collections::{BTreeMap, BTreeSet};

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
    mapping::{Attributes, Mappings},
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
    /// The values of all mapped attributes, where one has changed.
    pub values: Attributes,
    /// The mapped groups by their normalised names, and whether the user is in them.
    pub groups: BTreeMap<String, bool>,
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
                    let fresh = names.iter().filter(|name| !self.holds(loss, name)).count();
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
            let names: Vec<String> = names.into_iter().cloned().collect();
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
        if self.held.keys().any(|loss| loss.is_of_account()) {
            self.record.told.blocked = self.known.as_ref().and_then(|record| record.told.blocked);
        }
        let blanked = self.held.get(&Loss::Blank).map(|held| held.names.clone());
        for name in blanked.iter().flatten() {
            self.untell(name);
        }
        for group in self.held.get(&Loss::RemoveMember).iter().flat_map(|held| &held.names) {
            let group = normalised(group);
            if self.known.as_ref().is_some_and(|known| known.told.groups.contains(&group)) {
                self.record.told.groups.insert(group);
            }
        }
    }

    /// Adds to the attributes that changed what is told together with them, whatever its value: the
    /// guard has nothing to say to that. Where one of these is held, all of them wait for it.
    pub fn accompany(&mut self, mappings: &Mappings) {
        let mut details = std::mem::take(&mut self.details);
        for detail in &mut details {
            let Detail::AttributesModified { attributes, .. } = detail else { continue };
            let changed: Vec<_> = attributes.keys().cloned().collect();
            for name in changed {
                if self.withholds(&name, mappings) {
                    attributes.remove(&name);
                    self.untell(&name);
                    continue;
                }
                for name in mappings.companions(&name) {
                    if let Some(values) = self.values.get(&name) {
                        attributes.entry(name).or_insert_with(|| values.clone());
                    }
                }
            }
        }
        details.retain(|detail| !says_nothing(detail));
        self.details = details;
    }

    /// Whether an attribute is held, or one that is told together with it.
    pub fn withholds(&self, name: &str, mappings: &Mappings) -> bool {
        let held = self.held.get(&Loss::Blank).map(|held| &held.names);
        held.is_some_and(|held| {
            held.contains(name) || mappings.companions(name).iter().any(|name| held.contains(name))
        })
    }

    /// An attribute was not told: what the consumers know of it is what they knew.
    fn untell(&mut self, name: &str) {
        let name = name.to_ascii_lowercase();
        let known = self.known.as_ref();
        match known.and_then(|known| known.attributes.get(&name)) {
            Some(told) => self.record.attributes.insert(name.clone(), *told),
            None => self.record.attributes.remove(&name),
        };
        match known.and_then(|known| known.references.get(&name)) {
            Some(told) => self.record.references.insert(name, *told),
            None => self.record.references.remove(&name),
        };
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
fn lost(detail: &Detail) -> (Loss, Vec<&String>) {
    match detail {
        Detail::AttributesModified { attributes, references } => {
            let blanked = attributes.iter().filter(|(_, values)| values.is_empty());
            let cleared = references.iter().filter(|(_, reference)| reference.is_none());
            let names = blanked.map(|(name, _)| name).chain(cleared.map(|(name, _)| name));
            (Loss::Blank, names.collect())
        }
        Detail::MembershipChanged { group, member: false } => (Loss::RemoveMember, vec![group]),
        _ => (Loss::Blank, Vec::new()),
    }
}

/// Takes these names out of what a detail takes away. False where nothing of it is left.
fn without(detail: &mut Detail, names: &BTreeSet<String>) -> bool {
    match detail {
        Detail::AttributesModified { attributes, references } => {
            attributes.retain(|name, values| !values.is_empty() || !names.contains(name));
            references.retain(|name, reference| reference.is_some() || !names.contains(name));
            !says_nothing(detail)
        }
        Detail::MembershipChanged { group, member: false } => !names.contains(group),
        _ => true,
    }
}

fn says_nothing(detail: &Detail) -> bool {
    matches!(detail, Detail::AttributesModified { attributes, references }
        if attributes.is_empty() && references.is_empty())
}

#[cfg(test)]
mod tests;
