//! Ordinary searches: what matches, in pages, and how an entry is written.

use ldap3_proto::proto::{LdapPartialAttribute, LdapSearchResultEntry, LdapSearchScope};

use super::{filter::Filter, object::Slot, plan::Plan, schema::Attr, store::Store};

/// How many candidates are looked at before others get their turn at the store.
pub const SCAN_CHUNK: usize = 8_192;

/// The most values of an attribute at once (`MaxValRange`, MS-ADTS 3.1.1.3.4.6).
const MOST_VALUES: usize = 1_500;

/// Which attributes a client wants to see.
#[derive(Debug, Clone)]
pub struct Selection {
    attrs: Vec<Attr>,
    /// Attributes of which the values from the so manieth on are wanted.
    ranges: Vec<(Attr, usize)>,
    all: bool,
    extended: bool,
}

impl Selection {
    /// Reads the attribute list of a search: nothing or `*` is everything, `1.1` and unknown names
    /// are nothing.
    pub fn new(names: &[String]) -> Selection {
        let all = names.is_empty() || names.iter().any(|name| name == "*");
        let mut attrs: Vec<Attr> = Vec::new();
        for attr in names.iter().filter_map(|name| Attr::parse(name)) {
            if !attrs.contains(&attr) {
                attrs.push(attr);
            }
        }
        let ranges = names.iter().filter_map(|name| range(name)).collect();
        Selection { attrs, ranges, all, extended: false }
    }

    /// Names of objects come with their GUIDs.
    pub fn extended(mut self, extended: bool) -> Selection {
        self.extended = extended;
        self
    }

    /// The name of an object as the client wants to see it.
    pub fn name(&self, store: &Store, slot: Slot) -> String {
        match self.extended {
            true => format!("<GUID={}>;{}", store.get(slot).guid, store.dn(slot)),
            false => store.dn(slot),
        }
    }

    /// The values of an attribute as the client wants to see them.
    pub fn values(&self, store: &Store, slot: Slot, attr: Attr) -> Vec<Vec<u8>> {
        if !self.extended || !attr.is_link() {
            return store.read(slot, attr);
        }
        let targets = store.links.targets(slot, attr);
        targets.map(|target| self.name(store, target).into_bytes()).collect()
    }

    /// Whether the list was empty or had a `*`.
    pub fn is_all(&self) -> bool {
        self.all
    }

    /// Whether the attribute is wanted.
    pub fn contains(&self, attr: Attr) -> bool {
        self.all && !attr.is_on_request() || self.attrs.contains(&attr)
    }

    /// The wanted attributes, each once.
    pub fn attrs(&self) -> impl Iterator<Item = Attr> {
        let attrs = if self.all { Attr::ALL } else { &self.attrs };
        attrs.iter().copied().filter(|attr| self.contains(*attr))
    }
}

/// A search, ready to run.
#[derive(Debug)]
pub struct Query {
    /// Where to start.
    pub base: Slot,
    /// How far to go.
    pub scope: LdapSearchScope,
    /// What must match.
    pub filter: Filter,
    /// What to return of it.
    pub selection: Selection,
    /// Whether to leave out the values.
    pub types_only: bool,
    /// Whether tombstones count.
    pub show_deleted: bool,
}

/// How far a run got.
#[derive(Debug, PartialEq, Eq)]
pub enum Progress {
    /// There is more to look at.
    Paused,
    /// There is at least one match more than were asked for.
    Full,
    /// Everything has been looked at.
    Done,
}

impl Query {
    /// Where its candidates come from.
    pub fn plan(&self, store: &Store) -> Plan {
        match self.scope {
            LdapSearchScope::Base => Plan::Slots(vec![self.base]),
            LdapSearchScope::OneLevel => match Plan::for_filter(store, &self.filter) {
                Plan::All => Plan::Children(self.base),
                plan => plan,
            },
            LdapSearchScope::Subtree | LdapSearchScope::Children => {
                Plan::for_filter(store, &self.filter)
            }
        }
    }

    fn in_scope(&self, store: &Store, slot: Slot) -> bool {
        match self.scope {
            LdapSearchScope::Base => slot == self.base,
            LdapSearchScope::OneLevel => {
                slot != self.base && store.get(slot).parent == self.base && !store.is_head(slot)
            }
            LdapSearchScope::Subtree => store.is_within(slot, self.base, false),
            LdapSearchScope::Children => {
                slot != self.base && store.is_within(slot, self.base, false)
            }
        }
    }

    /// Whether an object belongs to the result.
    pub fn matches(&self, store: &Store, slot: Slot) -> bool {
        (self.show_deleted || !store.get(slot).deleted)
            && self.in_scope(store, slot)
            && self.filter.evaluate(store, slot) == Some(true)
    }

    /// Looks at some more candidates, from the key `from` on, which it moves; adds what matches
    /// until there are `limit` entries.
    pub fn run(
        &self,
        store: &Store,
        plan: &Plan,
        from: &mut u64,
        limit: usize,
        entries: &mut Vec<LdapSearchResultEntry>,
    ) -> Progress {
        for (seen, (key, slot)) in plan.candidates(store, *from).enumerate() {
            if seen == SCAN_CHUNK {
                return Progress::Paused;
            }
            if self.matches(store, slot) {
                if entries.len() == limit {
                    return Progress::Full;
                }
                entries.push(self.entry(store, slot));
            }
            *from = key + 1;
        }
        Progress::Done
    }

    /// An object as the client wants to see it.
    pub fn entry(&self, store: &Store, slot: Slot) -> LdapSearchResultEntry {
        let mut attributes = Vec::new();
        for attr in self.selection.attrs() {
            let mut vals = self.selection.values(store, slot, attr);
            if vals.is_empty() {
                continue;
            }
            if self.types_only {
                vals.clear();
            }
            attributes.push(LdapPartialAttribute { atype: attr.name().to_owned(), vals });
        }
        for (attr, start) in &self.selection.ranges {
            attributes.extend(ranged(*attr, *start, self.selection.values(store, slot, *attr)));
        }
        LdapSearchResultEntry { dn: self.selection.name(store, slot), attributes }
    }
}

/// Attribute and first value of `NAME;range=FIRST-*` (MS-ADTS 3.1.1.3.1.3.3).
fn range(name: &str) -> Option<(Attr, usize)> {
    let (attr, range) = name.split_once(";range=")?;
    Some((Attr::parse(attr)?, range.strip_suffix("-*")?.parse().ok()?))
}

/// The values from `start` on, as many as are told at once; the name says whether these are all.
fn ranged(attr: Attr, start: usize, values: Vec<Vec<u8>>) -> Option<LdapPartialAttribute> {
    let last = start + MOST_VALUES - 1;
    let end = if values.len() > last + 1 { last.to_string() } else { "*".to_owned() };
    let vals: Vec<_> = values.into_iter().skip(start).take(MOST_VALUES).collect();
    let atype = format!("{};range={start}-{end}", attr.name());
    (!vals.is_empty()).then_some(LdapPartialAttribute { atype, vals })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn many_values_come_in_ranges() {
        assert_eq!(range("MEMBER;range=1500-*"), Some((Attr::Member, 1500)));
        assert_eq!((range("member"), range("member;range=0-10")), (None, None));
        let told = |start| {
            let values = (0..1_600_u32).map(|value| value.to_be_bytes().to_vec()).collect();
            ranged(Attr::Member, start, values).map(|it| (it.atype, it.vals.len()))
        };
        assert_eq!(told(0), Some(("member;range=0-1499".to_owned(), 1_500)));
        assert_eq!(told(1_500), Some(("member;range=1500-*".to_owned(), 100)));
        assert_eq!(told(1_600), None);
    }
}
