//! Which objects a search has to look at: as few as the indexes allow.

use super::{
    dn::{self, Name},
    filter::Filter,
    object::{Slot, Usn},
    schema::Attr,
    store::Store,
    value::Key,
};

/// Where the candidates of a search come from. Each yields them with rising keys, so a page can go
/// on where the last one ended.
#[derive(Debug, PartialEq)]
pub enum Plan {
    /// These objects; the key is the slot.
    Slots(Vec<Slot>),
    /// The children of an object; the key is the slot.
    Children(Slot),
    /// What changed from this USN on; the key is the USN.
    Changed(Usn),
    /// Every object; the key is the slot.
    All,
}

impl Plan {
    /// The cheapest way to everything in the subtree of some base that the filter can match.
    pub fn for_filter(store: &Store, filter: &Filter) -> Plan {
        if let Some(mut slots) = indexed(store, filter) {
            slots.sort_unstable();
            slots.dedup();
            return Plan::Slots(slots);
        }
        changed_from(filter).map_or(Plan::All, Plan::Changed)
    }

    /// The candidates whose key is `from` or greater.
    pub fn candidates<'a>(
        &'a self,
        store: &'a Store,
        from: u64,
    ) -> Box<dyn Iterator<Item = (u64, Slot)> + 'a> {
        let keyed = |slot: Slot| (u64::from(slot), slot);
        match self {
            Plan::Slots(slots) => {
                let start = slots.partition_point(|&slot| u64::from(slot) < from);
                Box::new(slots[start..].iter().copied().map(keyed))
            }
            Plan::Children(parent) => match Slot::try_from(from) {
                Ok(from) => Box::new(store.children(*parent, from).map(keyed)),
                Err(_) => Box::new(std::iter::empty()),
            },
            Plan::Changed(usn) => Box::new(store.changed(from.max(*usn).saturating_sub(1))),
            Plan::All => match Slot::try_from(from) {
                Ok(from) => Box::new((from..store.len()).map(keyed)),
                Err(_) => Box::new(std::iter::empty()),
            },
        }
    }
}

/// A superset of what matches, if an index knows one.
pub fn indexed(store: &Store, filter: &Filter) -> Option<Vec<Slot>> {
    match filter {
        Filter::Equal(attr, key) => equal(store, *attr, key),
        Filter::And(filters) => {
            filters.iter().filter_map(|filter| indexed(store, filter)).min_by_key(Vec::len)
        }
        Filter::Or(filters) => {
            let parts: Option<Vec<_>> =
                filters.iter().map(|filter| indexed(store, filter)).collect();
            parts.map(|parts| parts.concat())
        }
        _ => None,
    }
}

fn equal(store: &Store, attr: Attr, key: &Key) -> Option<Vec<Slot>> {
    let named = |key: &Key| match key {
        Key::Text(text) => dn::parse(text).and_then(|steps| store.resolve(&Name::Dn(steps))),
        _ => None,
    };
    let links = &store.links;
    match attr {
        _ if attr.is_indexed() => Some(store.find(attr, key).collect()),
        // The common name of what is named otherwise is absent, so this finds a superset.
        Attr::Cn | Attr::Ou => Some(store.find(Attr::Name, key).collect()),
        Attr::DistinguishedName => Some(named(key).into_iter().collect()),
        Attr::MemberOf => {
            Some(named(key).map_or(Vec::new(), |slot| links.targets(slot, Attr::Member).collect()))
        }
        Attr::Member | Attr::Manager => {
            Some(named(key).map_or(Vec::new(), |slot| links.owners(slot, attr).collect()))
        }
        Attr::UsnChanged => match key {
            Key::Number(usn) => {
                let usn = Usn::try_from(*usn).ok()?;
                let next = store.changed(usn.saturating_sub(1)).next();
                Some(next.filter(|(at, _)| *at == usn).map(|(_, slot)| slot).into_iter().collect())
            }
            _ => None,
        },
        _ => None,
    }
}

fn changed_from(filter: &Filter) -> Option<Usn> {
    match filter {
        Filter::AtLeast(Attr::UsnChanged, Key::Number(usn)) => Usn::try_from(*usn).ok(),
        Filter::And(filters) => filters.iter().filter_map(changed_from).max(),
        _ => None,
    }
}
