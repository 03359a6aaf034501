//! What is told again of a user, on request: pure logic.
//!
//! An event that could not be settled is not repeated: what it was about is told as it is now. An
//! original of ours shows that it was told once, so it has passed the guard. Asked without one, a
//! blocked account passes the guard like a change, and an enabled one is never told.

use std::collections::{BTreeMap, BTreeSet};

use jiff::Timestamp;

use super::{
    change::Change,
    diff::{Rules, blocked, blocks, values_of},
    guard::Loss,
    record::Part,
};
use crate::{
    directory::Entry,
    event::{Detail, Event, Kind, Waiting},
};

/// What is to be told again of one user, over all the requests that wait together.
#[derive(Debug, Default)]
pub struct Again {
    /// Events that could not be settled, the oldest first.
    originals: Vec<Event>,
    /// Whether somebody asks without an original.
    asked: bool,
    waiting: Option<Waiting>,
    /// The attributes to be told, with their values now.
    values: BTreeMap<String, Vec<String>>,
}

impl Again {
    /// Adds a request.
    pub fn add(&mut self, originals: Vec<Event>, waiting: Option<Waiting>) {
        self.asked |= originals.is_empty();
        self.originals.extend(originals);
        self.originals.sort_by_key(|event| event.sequence);
        self.originals.dedup_by_key(|event| event.id);
        self.waiting = match (self.waiting, waiting) {
            (Some(a), Some(b)) => {
                Some(Waiting { since: a.since.min(b.since), attempt: a.attempt.max(b.attempt) })
            }
            (a, b) => a.or(b),
        };
    }

    /// Whether it may tell what gives access.
    pub fn gives_access(&self) -> bool {
        let gives = |kind| matches!(kind, Kind::AccountEnabled | Kind::PasswordSet);
        self.originals.iter().any(|event| gives(event.kind()))
    }

    /// Whether somebody asks without an original.
    pub fn asked(&self) -> bool {
        self.asked
    }

    /// How long the user has waited.
    pub fn waiting(&self) -> Option<Waiting> {
        self.waiting
    }

    /// Takes the values of the attributes that are to be told from the user as read now. What is
    /// mapped no longer is left out.
    pub fn read(&mut self, rules: &Rules, entry: &Entry) {
        let entry = &*rules.veil.over(entry);
        let named: BTreeSet<_> = self
            .originals
            .iter()
            .filter_map(|event| match &event.detail {
                Detail::AttributesModified { attributes, .. } => Some(attributes.keys()),
                _ => None,
            })
            .flatten()
            .map(|name| name.to_ascii_lowercase())
            .collect();
        let wanted = rules
            .mapped
            .iter()
            .filter(|name| self.asked || named.contains(&name.to_ascii_lowercase()));
        self.values =
            wanted.filter_map(|name| Some((name.clone(), values_of(entry, name)?))).collect();
    }

    /// What is told, after what `change` tells afresh. It never says what is held, for it goes by
    /// what is taken as told.
    pub fn details(&self, change: &Change, now: Timestamp) -> Vec<Detail> {
        let (record, fresh) = (&change.record, &change.details);
        if !change.takes_part {
            return Vec::new();
        }
        let told = record.told.blocked;
        let mut details = Vec::new();
        let says = |kinds: &[Kind]| self.originals.iter().any(|e| kinds.contains(&e.kind()));
        if let Some(reason) = told
            && says(&[Kind::AccountDisabled, Kind::UserDeleted])
            && !fresh.iter().any(|detail| blocks(detail).is_some())
        {
            details.push(blocked(reason));
        }
        if record.deleted || record.part != Part::Inside {
            return details;
        }
        let is_enabled = told.is_none() && record.blocked(now).is_none();
        if says(&[Kind::UserCreated]) && !tells(fresh, Kind::UserCreated) {
            details.insert(0, Detail::UserCreated { enabled: is_enabled });
        }
        let renames = self.originals.iter().map(|event| &event.detail);
        details.extend(renames.filter(|d| matches!(d, Detail::UserRenamed { .. })).cloned());
        let newest = |kind| self.originals.iter().rfind(|event| event.kind() == kind);
        if newest(Kind::PasswordChanged).is_some_and(|e| e.sequence >= record.told.password) {
            details.push(Detail::PasswordChanged { must_change: record.must_change_password() });
        }
        // A value cannot be read again. Its exact bytes are told, unless a newer change is known.
        if let Some(original) = newest(Kind::PasswordSet)
            && original.sequence >= record.told.password
            && !tells(fresh, Kind::PasswordSet)
            && !tells(fresh, Kind::PasswordChanged)
        {
            details.push(original.detail.clone());
        }
        // Whatever blocked or unblocked the account since is told, or will be, by itself.
        if let Some(original) = newest(Kind::AccountEnabled)
            && is_enabled
            && original.sequence == record.told.account
        {
            details.push(original.detail.clone());
        }
        details.extend(self.attributes(change));
        details
    }

    fn attributes(&self, change: &Change) -> Option<Detail> {
        let mut attributes = self.values.clone();
        for detail in &change.details {
            if let Detail::AttributesModified { attributes: fresh, .. } = detail {
                attributes.retain(|name, _| !fresh.contains_key(name));
            }
        }
        if let Some(held) = change.held.get(&Loss::Blank) {
            attributes.retain(|name, _| !held.names.contains(name));
        }
        (!attributes.is_empty()).then_some(Detail::modified(attributes))
    }
}

fn tells(details: &[Detail], kind: Kind) -> bool {
    details.iter().any(|detail| detail.kind() == kind)
}
