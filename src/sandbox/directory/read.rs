//! Reading attributes, stored and computed.

use super::{
    object::{Slot, Usn},
    schema::Attr,
    store::{DOMAIN, Store},
    time::generalized_time,
};

/// How `instanceType` marks an object: the head of a naming context, one with another above it, or
/// an ordinary writable object ([MS-ADA1], attribute `instanceType`).
const HEAD: &str = "5";
const HEAD_WITH_PARENT: &str = "13";
const ORDINARY: &str = "4";

impl Store {
    /// Offers the values of an attribute one by one until one is taken; tells whether one was.
    /// Secrets have no values.
    pub fn any_value(&self, slot: Slot, attr: Attr, take: &mut dyn FnMut(&[u8]) -> bool) -> bool {
        let object = self.get(slot);
        if attr.is_link() {
            return self.links.targets(slot, attr).any(|target| take(self.dn(target).as_bytes()));
        }
        if !attr.is_computed() {
            return object.values(attr).any(take);
        }
        let mut text = |text: String| take(text.as_bytes());
        match attr {
            Attr::ObjectClass => object.class.names().iter().any(|name| take(name.as_bytes())),
            Attr::Cn | Attr::Ou | Attr::Dc => {
                object.class.rdn() == attr && object.values(Attr::Name).any(take)
            }
            Attr::DistinguishedName => text(self.dn(slot)),
            Attr::InstanceType => take(match self.is_head(slot) {
                false => ORDINARY.as_bytes(),
                true if slot == DOMAIN => HEAD.as_bytes(),
                true => HEAD_WITH_PARENT.as_bytes(),
            }),
            Attr::WhenCreated => text(generalized_time(object.when_created)),
            Attr::WhenChanged => text(generalized_time(object.when_changed)),
            Attr::UsnCreated => text(object.created.to_string()),
            Attr::UsnChanged => text(object.changed.to_string()),
            Attr::ObjectGuid => take(&object.guid.to_bytes_le()),
            Attr::ParentGuid => slot != DOMAIN && take(&self.get(object.parent).guid.to_bytes_le()),
            Attr::ObjectSid => {
                object.rid != 0 && take(&self.domain.sid.with_rid(object.rid).to_bytes())
            }
            Attr::ObjectCategory => {
                let (category, base) = (object.class.category(), &self.domain.dn);
                !object.deleted && text(format!("CN={category},CN=Schema,CN=Configuration,{base}"))
            }
            Attr::SamAccountType => match object.class.account_type() {
                Some(kind) if !object.deleted => text(kind.to_string()),
                _ => false,
            },
            Attr::MemberOf => self.owners_of(slot, Attr::Member, take),
            Attr::DirectReports => self.owners_of(slot, Attr::Manager, take),
            _ => false,
        }
    }

    fn owners_of(&self, slot: Slot, attr: Attr, take: &mut dyn FnMut(&[u8]) -> bool) -> bool {
        self.links.owners(slot, attr).any(|owner| take(self.dn(owner).as_bytes()))
    }

    /// All values of an attribute.
    pub fn read(&self, slot: Slot, attr: Attr) -> Vec<Vec<u8>> {
        let mut values = Vec::new();
        self.any_value(slot, attr, &mut |value| {
            values.push(value.to_vec());
            false
        });
        values
    }

    /// When a replicated attribute last changed; `None` if it never had a value. Link values have
    /// stamps of their own and are not answered here.
    pub fn stamp(&self, slot: Slot, attr: Attr) -> Option<Usn> {
        let object = self.get(slot);
        if !attr.is_computed() {
            return object.stamp(attr);
        }
        match attr {
            Attr::ObjectSid if object.rid == 0 => None,
            Attr::SamAccountType if object.class.account_type().is_none() => None,
            // Stripped at deletion and given back by an undeletion.
            Attr::SamAccountType | Attr::ObjectCategory => {
                Some(object.stamp(Attr::IsDeleted).unwrap_or(object.created))
            }
            _ => Some(object.created),
        }
    }
}
