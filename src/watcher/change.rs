//! One user's change, on its way from the comparison to the outbox.

use std::collections::BTreeSet;

use jiff::Timestamp;
use uuid::Uuid;

use super::{
    diff::{blocked, blocks},
    guard::{Guard, Held, Holdings, Loss, Verdict, Weights},
    record::Record,
    refresh::Again,
};
use crate::event::{Detail, Kind};

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
}

impl Change {
    /// Adds what the guard has to count of this change.
    pub fn weigh(&self, guard: &Guard, weights: &mut Weights) {
        let mut add = |loss, amount| {
            if amount > 0 && !self.approved.contains(&loss) {
                let weight = weights.entry(loss).or_default();
                weight.users += 1;
                weight.amount += amount;
            }
        };
        for detail in &self.details {
            match guard.detail_loss(detail) {
                Some(loss) => add(loss, u32::from(!self.held.contains_key(&loss))),
                None => {
                    let blanked = blanked(detail).filter(|name| !self.holds_blank(name));
                    add(Loss::Blank, u32::try_from(blanked.count()).unwrap_or(u32::MAX));
                }
            }
        }
    }

    /// Takes out of the details what is held, and out of the record that it was told.
    pub fn sift(&mut self, guard: &Guard, verdict: &Verdict, now: Timestamp) {
        let verdict = |loss| verdict.get(&loss).filter(|_| !self.approved.contains(&loss));
        let fresh = |batch, reason| Held { batch, since: now, reason, attributes: BTreeSet::new() };
        let before = self.known.as_ref();
        for detail in std::mem::take(&mut self.details) {
            if let Some(loss) = guard.detail_loss(&detail) {
                if let Some(batch) = verdict(loss) {
                    self.held.entry(loss).or_insert_with(|| fresh(*batch, blocks(&detail)));
                }
                if !self.held.contains_key(&loss) {
                    self.details.push(detail);
                }
            } else if let Detail::AttributesModified { mut attributes, references } = detail {
                attributes.retain(|name, values| {
                    if let (true, Some(batch)) = (values.is_empty(), verdict(Loss::Blank)) {
                        let held = self.held.entry(Loss::Blank);
                        held.or_insert_with(|| fresh(*batch, None)).attributes.insert(name.clone());
                    }
                    let held = self.held.get(&Loss::Blank);
                    !held.is_some_and(|held| values.is_empty() && held.attributes.contains(name))
                });
                if !attributes.is_empty() {
                    self.details.push(Detail::AttributesModified { attributes, references });
                }
            } else {
                self.details.push(detail);
            }
        }
        if self.held.contains_key(&Loss::Disable) || self.held.contains_key(&Loss::Delete) {
            self.record.told.blocked = before.and_then(|record| record.told.blocked);
        }
        for name in self.held.get(&Loss::Blank).iter().flat_map(|held| &held.attributes) {
            let name = name.to_ascii_lowercase();
            if let Some(told) = before.and_then(|record| record.attributes.get(&name)) {
                self.record.attributes.insert(name, *told);
            }
        }
    }

    /// Takes out of the details what gives access, and out of the record that it was told. Who is to
    /// be created stays unknown altogether. False if there is nothing of the kind.
    pub fn postpone(&mut self) -> bool {
        if !self.details.iter().any(gives_access) {
            return false;
        }
        let creates = |detail: &Detail| detail.kind() == Kind::UserCreated;
        match &self.known {
            Some(known) if !self.details.iter().any(creates) => {
                self.details.retain(|detail| !gives_access(detail));
                self.record.told.blocked = known.told.blocked;
            }
            known => {
                self.details.clear();
                self.again = None;
                self.enters = known.is_some();
                self.record = known.clone().unwrap_or_default();
            }
        }
        true
    }

    /// Adds that the account is blocked, unless the details say so already. Only its creation comes
    /// before that.
    pub fn tell_blocked(&mut self) {
        if !self.details.iter().any(|detail| blocks(detail).is_some())
            && let Some(reason) = self.record.told.blocked
        {
            let new = self.details.first().is_some_and(|d| d.kind() == Kind::UserCreated);
            self.details.insert(usize::from(new), blocked(reason));
        }
    }

    /// Tells what is held of these kinds, if it still is so.
    pub fn approve(&mut self, losses: &BTreeSet<Loss>) {
        for loss in losses {
            if self.held.remove(loss).is_some() && *loss != Loss::Blank {
                self.tell_blocked();
            }
        }
        self.approved.clone_from(losses);
    }

    fn holds_blank(&self, name: &str) -> bool {
        self.held.get(&Loss::Blank).is_some_and(|held| held.attributes.contains(name))
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

/// The attributes that lost their value.
fn blanked(detail: &Detail) -> impl Iterator<Item = &String> {
    let attributes = match detail {
        Detail::AttributesModified { attributes, .. } => Some(attributes),
        _ => None,
    };
    attributes.into_iter().flatten().filter(|(_, values)| values.is_empty()).map(|(name, _)| name)
}
