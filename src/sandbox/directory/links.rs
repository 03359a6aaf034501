//! Linked attributes: each value has a USN of its own, and a removed value is remembered as absent,
//! so that DirSync can report single members (MS-ADTS 3.1.1.1.6, 3.1.1.1.9).

use std::collections::{BTreeMap, BTreeSet};

use super::{
    object::{Slot, Usn},
    schema::Attr,
};

/// The state of one link value.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Link {
    /// The object that is named.
    pub target: Slot,
    /// When the value was added or removed.
    pub usn: Usn,
    /// Whether it is there; a removed value stays as absent.
    pub present: bool,
}

/// All links of the directory, in both directions.
#[derive(Debug, Default)]
pub struct Links {
    forward: BTreeMap<(Slot, Attr, Slot), (Usn, bool)>,
    back: BTreeSet<(Slot, Attr, Slot)>,
}

impl Links {
    /// Adds or removes a value.
    pub fn set(&mut self, owner: Slot, attr: Attr, target: Slot, present: bool, usn: Usn) {
        self.forward.insert((owner, attr, target), (usn, present));
        if present {
            self.back.insert((target, attr, owner));
        } else {
            self.back.remove(&(target, attr, owner));
        }
    }

    /// Every value of the attribute, present or absent.
    pub fn all(&self, owner: Slot, attr: Attr) -> impl Iterator<Item = Link> {
        self.forward
            .range((owner, attr, Slot::MIN)..=(owner, attr, Slot::MAX))
            .map(|(&(_, _, target), &(usn, present))| Link { target, usn, present })
    }

    /// The objects the attribute names.
    pub fn targets(&self, owner: Slot, attr: Attr) -> impl Iterator<Item = Slot> {
        self.all(owner, attr).filter(|link| link.present).map(|link| link.target)
    }

    /// The objects whose attribute names this one.
    pub fn owners(&self, target: Slot, attr: Attr) -> impl Iterator<Item = Slot> {
        self.back
            .range((target, attr, Slot::MIN)..=(target, attr, Slot::MAX))
            .map(|&(_, _, owner)| owner)
    }

    /// Forgets every link from and to an object, without a trace, as a deletion does.
    pub fn forget(&mut self, slot: Slot) {
        for attr in [Attr::Member, Attr::Manager] {
            let owners: Vec<Slot> = self.owners(slot, attr).collect();
            for owner in owners {
                self.forward.remove(&(owner, attr, slot));
                self.back.remove(&(slot, attr, owner));
            }
            let targets: Vec<Slot> = self.all(slot, attr).map(|link| link.target).collect();
            for target in targets {
                self.forward.remove(&(slot, attr, target));
                self.back.remove(&(target, attr, slot));
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_directions_agree_and_removed_values_are_remembered() {
        let mut links = Links::default();
        links.set(1, Attr::Member, 5, true, 10);
        links.set(1, Attr::Member, 6, true, 11);
        links.set(1, Attr::Member, 5, false, 12);
        assert_eq!(links.targets(1, Attr::Member).collect::<Vec<_>>(), [6]);
        assert_eq!(links.owners(5, Attr::Member).count(), 0);
        let removed = links.all(1, Attr::Member).find(|link| !link.present);
        assert_eq!(removed, Some(Link { target: 5, usn: 12, present: false }));
    }

    #[test]
    fn a_deleted_object_leaves_no_link() {
        let mut links = Links::default();
        links.set(1, Attr::Member, 5, true, 10);
        links.set(5, Attr::Manager, 6, true, 11);
        links.forget(5);
        assert_eq!(links.all(1, Attr::Member).count(), 0);
        assert_eq!(links.owners(6, Attr::Manager).count(), 0);
    }
}
