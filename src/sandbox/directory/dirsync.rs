//! DirSync: what changed since a cookie (MS-ADTS 3.1.1.3.4.1.3, MS-DRSR 5.115.3).
//!
//! Objects are visited in the order of `uSNChanged`, from the cookie's position on, so a reply costs
//! what changed and not what there is. A cookie holds two numbers: the *position*, which moves with
//! every reply, and the *base*, which moves only when a cycle of replies ends. Attributes are compared
//! with the base: an object that changes again during a cycle moves behind the position, and must
//! still be reported with everything that the cycle owes.

use std::collections::HashSet;

use ldap3_proto::proto::{LdapPartialAttribute, LdapSearchResultEntry};
use uuid::Uuid;

use super::{
    control::DirSync,
    delta::Delta,
    filter::Filter,
    object::{Slot, Usn},
    plan,
    search::{SCAN_CHUNK, Selection},
    store::Store,
};

/// `LDAP_DIRSYNC_OBJECT_SECURITY`: no replication right is needed, ordinary read rights apply.
pub const OBJECT_SECURITY: u32 = 1;
/// `LDAP_DIRSYNC_ANCESTORS_FIRST_ORDER`: parents come before their children.
const ANCESTORS_FIRST: u32 = 0x800;
/// `LDAP_DIRSYNC_INCREMENTAL_VALUES`: single link values that changed instead of all values.
const INCREMENTAL_VALUES: u32 = 0x8000_0000;

/// Active Directory's reply size where the client names none.
const DEFAULT_MAX_BYTES: usize = 1 << 20;

/// What a cookie says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Cookie {
    base: Usn,
    position: Usn,
}

impl Cookie {
    const MAGIC: &[u8; 4] = b"MSDS";

    /// Reads a cookie of this database. `None` when it is garbage or of another database.
    pub fn decode(invocation: Uuid, bytes: &[u8]) -> Option<Cookie> {
        if bytes.is_empty() {
            return Some(Cookie { base: 0, position: 0 });
        }
        let rest = bytes.strip_prefix(Self::MAGIC)?.strip_prefix(invocation.as_bytes())?;
        let (base, position) = rest.split_first_chunk::<8>()?;
        let (base, position) = (Usn::from_le_bytes(*base), position.try_into().ok()?);
        Some(Cookie { base, position: Usn::from_le_bytes(position) })
    }

    fn encode(self, invocation: Uuid) -> Vec<u8> {
        let (base, position) = (self.base.to_le_bytes(), self.position.to_le_bytes());
        [&Self::MAGIC[..], invocation.as_bytes(), &base, &position].concat()
    }
}

/// One DirSync reply in the making.
#[derive(Debug)]
pub struct Run {
    head: Slot,
    filter: Filter,
    delta: Delta,
    ancestors_first: bool,
    see_deleted: bool,
    max_bytes: usize,
    max_entries: usize,
    position: Usn,
    sent: HashSet<(Slot, Usn)>,
    bytes: usize,
    /// What has been found so far.
    pub entries: Vec<LdapSearchResultEntry>,
}

/// How a run stands.
#[derive(Debug, PartialEq, Eq)]
pub enum Progress {
    /// There is more to look at.
    Paused,
    /// The reply is complete.
    Complete {
        /// The cookie for the next request.
        cookie: Vec<u8>,
        /// Whether there is more to fetch at once.
        more: bool,
    },
}

/// What a DirSync request asks for, once it has been admitted.
#[derive(Debug)]
pub struct Scope {
    /// The head of the naming context.
    pub head: Slot,
    /// What an object must match as it is now.
    pub filter: Filter,
    /// The attributes to report.
    pub selection: Selection,
    /// Whether the client may see tombstones.
    pub see_deleted: bool,
}

impl Run {
    /// A reply to this request. `max_entries` is the server's own limit.
    pub fn new(scope: Scope, request: &DirSync, cookie: Cookie, max_entries: usize) -> Run {
        let incremental = request.flags & INCREMENTAL_VALUES != 0;
        Run {
            head: scope.head,
            filter: scope.filter,
            delta: Delta { selection: scope.selection, base: cookie.base, incremental },
            ancestors_first: request.flags & ANCESTORS_FIRST != 0,
            see_deleted: scope.see_deleted,
            max_bytes: if request.max_bytes == 0 { DEFAULT_MAX_BYTES } else { request.max_bytes },
            max_entries,
            position: cookie.position,
            sent: HashSet::new(),
            bytes: 0,
            entries: Vec::new(),
        }
    }

    /// Looks at some more objects.
    pub fn step(&mut self, store: &Store) -> Progress {
        for (seen, (usn, slot)) in self.candidates(store).enumerate() {
            if seen == SCAN_CHUNK {
                return Progress::Paused;
            }
            if self.entries.len() >= self.max_entries || self.bytes >= self.max_bytes {
                let cookie = Cookie { base: self.delta.base, position: self.position };
                return Progress::Complete { cookie: cookie.encode(store.invocation), more: true };
            }
            self.visit(store, slot);
            self.position = usn;
        }
        let end = store.highest_usn();
        let cookie = Cookie { base: end, position: end }.encode(store.invocation);
        Progress::Complete { cookie, more: false }
    }

    /// What changed behind the position, in order; only what the filter can match if an index knows.
    fn candidates<'a>(&self, store: &'a Store) -> Box<dyn Iterator<Item = (Usn, Slot)> + 'a> {
        let Some(slots) = plan::indexed(store, &self.filter) else {
            return Box::new(store.changed(self.position));
        };
        let mut known: Vec<(Usn, Slot)> =
            slots.into_iter().map(|slot| (store.get(slot).changed, slot)).collect();
        known.retain(|(usn, _)| *usn > self.position);
        known.sort_unstable();
        known.dedup();
        Box::new(known.into_iter())
    }

    /// Reports an object, and before it the parents that are still to come if the client wants that.
    fn visit(&mut self, store: &Store, slot: Slot) {
        if !self.is_candidate(store, slot) {
            return;
        }
        let mut line = vec![slot];
        if self.ancestors_first {
            let mut at = slot;
            while at != self.head {
                at = store.get(at).parent;
                if store.get(at).changed > self.position && self.is_candidate(store, at) {
                    line.push(at);
                }
            }
        }
        for slot in line.into_iter().rev() {
            if self.sent.insert((slot, store.get(slot).changed)) {
                let entry = self.delta.entry(store, slot);
                self.bytes += entry.as_ref().map_or(0, size);
                self.entries.extend(entry);
            }
        }
    }

    fn is_candidate(&self, store: &Store, slot: Slot) -> bool {
        // The container of tombstones is marked deleted for ever, but everyone may know of it.
        let visible = self.see_deleted || !store.get(slot).deleted || slot == store.deleted_objects;
        visible
            && store.is_within(slot, self.head, true)
            && self.filter.evaluate(store, slot) == Some(true)
    }
}

/// About how many bytes an entry takes on the wire.
fn size(entry: &LdapSearchResultEntry) -> usize {
    const FRAME: usize = 16;
    let attribute = |attribute: &LdapPartialAttribute| {
        let values: usize = attribute.vals.iter().map(|value| value.len() + 4).sum();
        attribute.atype.len() + values + 8
    };
    FRAME + entry.dn.len() + entry.attributes.iter().map(attribute).sum::<usize>()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cookie_is_good_only_for_its_database() {
        let here = Uuid::from_u128(1);
        let cookie = Cookie { base: 7, position: 9 };
        let bytes = cookie.encode(here);
        assert_eq!(Cookie::decode(here, &bytes), Some(cookie));
        assert_eq!(Cookie::decode(Uuid::from_u128(2), &bytes), None);
        assert_eq!(Cookie::decode(here, &bytes[1..]), None);
        assert_eq!(Cookie::decode(here, b""), Some(Cookie { base: 0, position: 0 }));
    }
}
