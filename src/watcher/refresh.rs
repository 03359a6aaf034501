//! What is told again of a user, on request: pure logic.
//!
//! An event that could not be settled is not repeated: what it was about is told as it is now. An
//! original of ours shows that it was told once, so it has passed the guard. Asked without one, a
//! blocked account passes the guard like a change, and an enabled one is never told.

use std::collections::{BTreeMap, BTreeSet};

use jiff::Timestamp;

use super::{
    change::Change,
    diff::{Rules, blocked, blocks},
    record::Part,
};
use crate::{
    directory::{Entry, dn::normalised},
    event::{Detail, Event, Kind, Reference, TraceParent, Waiting},
    mapping::{Attributes, Mappings},
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
    values: Attributes,
    /// The same of attributes that name other users.
    references: BTreeMap<String, Option<Reference>>,
}

/// What was before something is told; nothing, where it is told for the first time.
#[derive(Debug, Clone, Copy, Default)]
pub struct Before {
    /// How long the user has waited.
    pub waiting: Option<Waiting>,
    /// Where it was begun to be traced.
    pub trace: Option<TraceParent>,
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
        self.originals.iter().any(|event| {
            matches!(
                event.detail,
                Detail::AccountEnabled { .. }
                    | Detail::PasswordSet(_)
                    | Detail::MembershipChanged { member: true, .. }
            )
        })
    }

    /// Whether somebody asks without an original.
    pub fn asked(&self) -> bool {
        self.asked
    }

    /// What was before something of this kind is told again: the newest event that said it, or
    /// else the newest of all, began its trace.
    pub fn before(&self, kind: Kind) -> Before {
        let of_kind = self.originals.iter().rfind(|event| event.kind() == kind);
        let trace = of_kind.or(self.originals.last()).and_then(|event| event.trace);
        Before { waiting: self.waiting, trace }
    }

    /// Takes the values of the attributes that are to be told, and of what is told together with
    /// them, from the user as read now. What is mapped no longer is left out.
    pub fn read(&mut self, rules: &Rules, entry: &Entry) {
        let named = self.attributes_told();
        let named: BTreeSet<_> =
            named.iter().flat_map(|name| rules.mappings.companions(name)).collect();
        self.values = rules.values(entry);
        self.values.retain(|name, _| self.asked || named.contains(name));
    }

    /// The attributes that name other users and are to be told.
    pub fn references(&self, rules: &Rules) -> Vec<String> {
        let named = self.attributes_told();
        let wanted = |name: &&String| self.asked || named.contains(&name.to_ascii_lowercase());
        rules.mappings.references().iter().filter(wanted).cloned().collect()
    }

    /// Takes whom one of these names now.
    pub fn refer(&mut self, name: String, reference: Option<Reference>) {
        self.references.insert(name, reference);
    }

    /// The attributes of the originals, in lower case.
    fn attributes_told(&self) -> BTreeSet<String> {
        let names = self.originals.iter().filter_map(|event| match &event.detail {
            Detail::AttributesModified { attributes, references } => {
                Some(attributes.keys().chain(references.keys()))
            }
            _ => None,
        });
        names.flatten().map(|name| name.to_ascii_lowercase()).collect()
    }

    /// What is told, after what `change` tells afresh. It never says what is held, for it goes by
    /// what is taken as told.
    pub fn details(&self, change: &Change, mappings: &Mappings, now: Timestamp) -> Vec<Detail> {
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
        let memberships = self.memberships(change);
        let left = memberships.iter().filter(|(_, member)| !*member);
        details.extend(left.map(|(group, _)| membership(group, false)));
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
        let joined = memberships.iter().filter(|(_, member)| **member);
        details.extend(joined.map(|(group, _)| membership(group, true)));
        details.extend(self.attributes(change, mappings));
        details
    }

    /// The groups of the originals that are mapped still, and whether the user is in them: as told,
    /// and as it is. Where these differ, the change is held or waits, and nothing is told again.
    fn memberships(&self, change: &Change) -> BTreeMap<&str, bool> {
        let is_fresh = |wanted: &str| {
            change.details.iter().any(|detail| match detail {
                Detail::MembershipChanged { group, .. } => group == wanted,
                _ => false,
            })
        };
        let groups = self.originals.iter().filter_map(|event| match &event.detail {
            Detail::MembershipChanged { group, .. } => Some(group.as_str()),
            _ => None,
        });
        let state = |group| {
            let name = normalised(group);
            let told = change.record.told.groups.contains(&name);
            (change.groups.get(&name) == Some(&told) && !is_fresh(group)).then_some((group, told))
        };
        groups.filter_map(state).collect()
    }

    fn attributes(&self, change: &Change, mappings: &Mappings) -> Option<Detail> {
        let (mut attributes, mut references) = (self.values.clone(), self.references.clone());
        for detail in &change.details {
            if let Detail::AttributesModified { attributes: a, references: r } = detail {
                attributes.retain(|name, _| !a.contains_key(name));
                references.retain(|name, _| !r.contains_key(name));
            }
        }
        attributes.retain(|name, _| !change.withholds(name, mappings));
        references.retain(|name, _| !change.withholds(name, mappings));
        (!attributes.is_empty() || !references.is_empty())
            .then_some(Detail::AttributesModified { attributes, references })
    }
}

fn membership(group: &str, member: bool) -> Detail {
    Detail::MembershipChanged { group: group.to_owned(), member }
}

fn tells(details: &[Detail], kind: Kind) -> bool {
    details.iter().any(|detail| detail.kind() == kind)
}
