//! What DirSync says of one object: the attributes that changed, and only those.

use ldap3_proto::proto::{LdapPartialAttribute, LdapSearchResultEntry};

use super::{
    links::Link,
    object::{Slot, Usn},
    schema::Attr,
    search::Selection,
    store::{DOMAIN, Store},
};

/// What to report of each object.
#[derive(Debug)]
pub struct Delta {
    /// The attributes that the client listed.
    pub selection: Selection,
    /// Changes up to this USN are known to the client; zero on a first synchronisation.
    pub base: Usn,
    /// Whether link values are reported one by one.
    pub incremental: bool,
}

impl Delta {
    /// The changes of an object; `None` when no listed attribute changed. A cleared attribute is
    /// there with an empty set of values, and so is a secret, whose values are never told.
    pub fn entry(&self, store: &Store, slot: Slot) -> Option<LdapSearchResultEntry> {
        let mut attributes = Vec::new();
        for attr in self.selection.attrs().filter(|attr| is_reported(*attr)) {
            if attr.is_link() {
                self.links(store, slot, attr, &mut attributes);
            } else if store.stamp(slot, attr).is_some_and(|usn| usn > self.base) {
                let vals = store.read(slot, attr);
                if !vals.is_empty() || attr.is_secret() || self.base > 0 {
                    attributes.push(attribute(attr.name(), vals));
                }
            }
        }
        if attributes.is_empty() {
            return None;
        }
        for attr in [Attr::ObjectGuid, Attr::InstanceType] {
            attributes.push(attribute(attr.name(), store.read(slot, attr)));
        }
        if self.wants_parent() && slot != DOMAIN && has(&attributes, Attr::Name) {
            let attr = Attr::ParentGuid;
            attributes.push(attribute(attr.name(), store.read(slot, attr)));
        }
        Some(LdapSearchResultEntry { dn: self.selection.name(store, slot), attributes })
    }

    /// Listing everything counts as asking for the parent.
    fn wants_parent(&self) -> bool {
        self.selection.contains(Attr::ParentGuid) || self.selection.is_all()
    }

    fn links(&self, store: &Store, slot: Slot, attr: Attr, out: &mut Vec<LdapPartialAttribute>) {
        let changed = |link: &Link| link.usn > self.base;
        let dns = |keep: &dyn Fn(&Link) -> bool| -> Vec<Vec<u8>> {
            let links = store.links.all(slot, attr).filter(|link| keep(link));
            links.map(|link| self.selection.name(store, link.target).into_bytes()).collect()
        };
        if self.incremental {
            let added = dns(&|link| link.present && changed(link));
            let removed = dns(&|link| !link.present && changed(link) && self.base > 0);
            for (range, vals) in [("1-1", added), ("0-0", removed)] {
                if !vals.is_empty() {
                    out.push(attribute(&format!("{};range={range}", attr.name()), vals));
                }
            }
        } else if store.links.all(slot, attr).any(|link| changed(&link)) {
            let vals = dns(&|link| link.present);
            if !vals.is_empty() || self.base > 0 {
                out.push(attribute(attr.name(), vals));
            }
        }
    }
}

/// What is always returned does not by itself make an object worth reporting.
fn is_reported(attr: Attr) -> bool {
    attr.is_replicated() && !matches!(attr, Attr::ObjectGuid | Attr::InstanceType)
}

fn has(attributes: &[LdapPartialAttribute], attr: Attr) -> bool {
    attributes.iter().any(|attribute| attribute.atype == attr.name())
}

fn attribute(name: &str, vals: Vec<Vec<u8>>) -> LdapPartialAttribute {
    LdapPartialAttribute { atype: name.to_owned(), vals }
}
