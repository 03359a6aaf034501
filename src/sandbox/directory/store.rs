//! The objects, their indexes and the one counter of changes.

use std::{
    collections::{BTreeMap, BTreeSet, HashMap},
    hash::{DefaultHasher, Hash, Hasher},
};

use uuid::Uuid;

use super::{
    dn::{self, Name, Rdn},
    links::Links,
    object::{Object, Slot, Usn, Values},
    schema::{Attr, Class},
    sid::Sid,
    value::Key,
};

/// The head of the domain is the first object.
pub const DOMAIN: Slot = 0;

/// What identifies the domain.
#[derive(Debug)]
pub struct Domain {
    /// The distinguished name of its head.
    pub dn: String,
    /// The DNS name, `corp.example`.
    pub dns: String,
    /// The NetBIOS name, `CORP`.
    pub netbios: String,
    /// The SID that its accounts share.
    pub sid: Sid,
    head: Vec<Rdn>,
}

impl Domain {
    /// `None` when `dn` is not made of `DC=` steps.
    pub fn new(dn: &str, sid: Sid) -> Option<Domain> {
        let head = dn::parse(dn)?;
        if head.iter().any(|rdn| !rdn.kind.eq_ignore_ascii_case("DC")) {
            return None;
        }
        let labels: Vec<String> = head.iter().map(|rdn| rdn.value.to_lowercase()).collect();
        let netbios = labels[0].to_uppercase();
        Some(Domain { dn: dn.to_owned(), dns: labels.join("."), netbios, sid, head })
    }
}

/// The directory's contents.
#[derive(Debug)]
pub struct Store {
    /// What identifies the domain.
    pub domain: Domain,
    /// Identifies this database; USNs and cookies of another one mean nothing here.
    pub invocation: Uuid,
    /// The container of tombstones.
    pub deleted_objects: Slot,
    /// Links between objects.
    pub links: Links,
    /// SHA-256 of the passwords that can be used to bind.
    pub passwords: HashMap<Slot, [u8; 32]>,
    objects: Vec<Object>,
    /// Hash of an attribute and a value to the objects that may hold it; 16 bytes an entry.
    index: BTreeSet<(u64, Slot)>,
    children: BTreeSet<(Slot, Slot)>,
    by_usn: BTreeMap<Usn, Slot>,
    usn: Usn,
    next_rid: u32,
}

impl Store {
    /// An empty directory.
    pub fn new(domain: Domain) -> Store {
        Store {
            domain,
            invocation: Uuid::new_v4(),
            deleted_objects: DOMAIN,
            links: Links::default(),
            passwords: HashMap::new(),
            objects: Vec::new(),
            index: BTreeSet::new(),
            children: BTreeSet::new(),
            by_usn: BTreeMap::new(),
            // A fresh domain controller has some thousand changes behind it.
            usn: 8_192,
            next_rid: 1_103,
        }
    }

    /// The last USN given out: `highestCommittedUSN`.
    pub fn highest_usn(&self) -> Usn {
        self.usn
    }

    /// The USN of the next change.
    pub fn next_usn(&mut self) -> Usn {
        self.usn += 1;
        self.usn
    }

    /// The RID of the next account.
    pub fn next_rid(&mut self) -> u32 {
        self.next_rid += 1;
        self.next_rid
    }

    /// How many objects there are, tombstones included.
    pub fn len(&self) -> Slot {
        self.objects.len() as Slot
    }

    /// The object in this slot. Slots are given out by this store and stay valid.
    pub fn get(&self, slot: Slot) -> &Object {
        &self.objects[slot as usize]
    }

    /// Adds an object with its attributes.
    pub fn insert(&mut self, mut object: Object, fields: Vec<(Attr, Values)>) -> Slot {
        let slot = self.len();
        let usn = object.changed;
        object.fill(fields, usn);
        self.by_usn.insert(usn, slot);
        if slot != DOMAIN {
            self.children.insert((object.parent, slot));
        }
        self.objects.push(object);
        self.reindex(slot, true);
        slot
    }

    /// Changes an object: keeps the indexes right and stamps it with a new USN.
    pub fn update(&mut self, slot: Slot, now: i64, change: impl FnOnce(&mut Object, Usn)) -> Usn {
        let usn = self.next_usn();
        self.reindex(slot, false);
        let object = &mut self.objects[slot as usize];
        self.children.remove(&(object.parent, slot));
        self.by_usn.remove(&object.changed);
        change(object, usn);
        object.changed = usn;
        object.when_changed = now;
        if slot != DOMAIN {
            self.children.insert((object.parent, slot));
        }
        self.by_usn.insert(usn, slot);
        self.reindex(slot, true);
        usn
    }

    fn reindex(&mut self, slot: Slot, present: bool) {
        let object = self.get(slot);
        let mut hashes = vec![rdn_hash(object.parent, object.name())];
        for attr in Attr::ALL.iter().copied().filter(|attr| attr.is_indexed()) {
            self.any_value(slot, attr, &mut |value| {
                hashes.extend(Key::of(attr, value).map(|key| value_hash(attr, &key)));
                false
            });
        }
        for hash in hashes {
            if present {
                self.index.insert((hash, slot));
            } else {
                self.index.remove(&(hash, slot));
            }
        }
    }

    fn candidates(&self, hash: u64) -> impl Iterator<Item = Slot> {
        self.index.range((hash, Slot::MIN)..=(hash, Slot::MAX)).map(|&(_, slot)| slot)
    }

    /// The objects that hold this value, tombstones included, for an indexed attribute.
    pub fn find(&self, attr: Attr, key: &Key) -> impl Iterator<Item = Slot> {
        self.candidates(value_hash(attr, key))
            .filter(move |&slot| self.any_value(slot, attr, &mut |value| key.matches(attr, value)))
    }

    /// The living object that holds this text.
    pub fn find_one(&self, attr: Attr, text: &str) -> Option<Slot> {
        let key = Key::of(attr, text.as_bytes())?;
        self.find(attr, &key).find(|&slot| !self.get(slot).deleted)
    }

    /// The object of this name below `parent`.
    pub fn child(&self, parent: Slot, name: &str) -> Option<Slot> {
        let folded = name.to_lowercase();
        self.candidates(rdn_hash(parent, name)).find(|&slot| {
            let object = self.get(slot);
            slot != DOMAIN && object.parent == parent && object.name().to_lowercase() == folded
        })
    }

    /// The objects directly below `parent`, from slot `from` on.
    pub fn children(&self, parent: Slot, from: Slot) -> impl Iterator<Item = Slot> {
        self.children.range((parent, from)..=(parent, Slot::MAX)).map(|&(_, slot)| slot)
    }

    /// The objects changed since, in the order of their last change.
    pub fn changed(&self, since: Usn) -> impl Iterator<Item = (Usn, Slot)> {
        self.by_usn.range(since.saturating_add(1)..).map(|(&usn, &slot)| (usn, slot))
    }

    /// The object a client names, tombstones included.
    pub fn resolve(&self, name: &Name) -> Option<Slot> {
        match name {
            Name::Root => None,
            Name::Guid(guid) => {
                let key = Key::Bytes(guid.to_bytes_le().to_vec());
                self.find(Attr::ObjectGuid, &key).next()
            }
            Name::Sid(sid) => self.find(Attr::ObjectSid, &Key::Bytes(sid.to_bytes())).next(),
            Name::Dn(steps) => self.walk(steps).ok(),
        }
    }

    /// Goes down a distinguished name; what cannot be found is told by its closest existing parent.
    pub fn walk(&self, steps: &[Rdn]) -> Result<Slot, Option<Slot>> {
        let below = steps.len().checked_sub(self.domain.head.len()).ok_or(None)?;
        let same = |(a, b): (&Rdn, &Rdn)| {
            a.kind.eq_ignore_ascii_case(&b.kind) && a.value.to_lowercase() == b.value.to_lowercase()
        };
        if !steps[below..].iter().zip(&self.domain.head).all(same) {
            return Err(None);
        }
        steps[..below].iter().rev().try_fold(DOMAIN, |parent, rdn| {
            self.child(parent, &rdn.value)
                .filter(|&slot| self.get(slot).class.rdn().name().eq_ignore_ascii_case(&rdn.kind))
                .ok_or(Some(parent))
        })
    }

    /// The distinguished name of an object as it is now.
    pub fn dn(&self, slot: Slot) -> String {
        let mut dn = String::new();
        let mut at = slot;
        while at != DOMAIN {
            let object = self.get(at);
            dn.push_str(match object.class.rdn() {
                Attr::Ou => "OU=",
                _ => "CN=",
            });
            dn.push_str(&dn::escape(object.name()));
            dn.push(',');
            at = object.parent;
        }
        dn.push_str(&self.domain.dn);
        dn
    }

    /// Whether an object is the head of a naming context.
    pub fn is_head(&self, slot: Slot) -> bool {
        matches!(self.get(slot).class, Class::Domain | Class::Configuration)
    }

    /// Whether an object lies in the subtree of `base`, within the same naming context. The head of
    /// a context directly below counts as part of it when `heads` is set.
    pub fn is_within(&self, slot: Slot, base: Slot, heads: bool) -> bool {
        let mut at = slot;
        while at != base {
            if self.is_head(at) && !(heads && at == slot && at != DOMAIN) {
                return false;
            }
            at = self.get(at).parent;
        }
        true
    }
}

fn rdn_hash(parent: Slot, name: &str) -> u64 {
    let mut hasher = DefaultHasher::new();
    ("rdn", parent, name.to_lowercase()).hash(&mut hasher);
    hasher.finish()
}

fn value_hash(attr: Attr, key: &Key) -> u64 {
    let mut hasher = DefaultHasher::new();
    (attr, key).hash(&mut hasher);
    hasher.finish()
}
