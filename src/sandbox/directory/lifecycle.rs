//! Deleting, undeleting, renaming and moving objects (MS-ADTS 3.1.1.5.4, 3.1.1.5.5, 3.1.1.5.3.7).

use ldap3_proto::{LdapResultCode, proto::LdapModifyDNRequest};

use super::{
    add::invalid_dn,
    dn::{self, Rdn},
    object::Slot,
    refusal::Refusal,
    schema::Attr,
    store::Store,
    time,
};

impl Store {
    /// Turns an object into a tombstone: it moves to the container of deleted objects under a name
    /// that cannot clash, keeps what tells who it was, and loses everything else.
    pub fn delete(&mut self, slot: Slot) -> Result<(), Refusal> {
        self.check_movable(slot)?;
        if self.children(slot, Slot::MIN).next().is_some() {
            let message = "00002015: UpdErr: problem 6003 (CANT_ON_NON_LEAF)";
            return Err(Refusal::new(LdapResultCode::NotAllowedOnNonLeaf, message));
        }
        let object = self.get(slot);
        let name = format!("{}\nDEL:{}", object.name(), object.guid);
        let parent_dn = self.dn(object.parent);
        let stripped: Vec<Attr> = object
            .attrs()
            .filter(|attr| !attr.is_kept())
            .filter(|attr| attr.is_secret() || object.values(*attr).next().is_some())
            .collect();
        let container = self.deleted_objects;
        self.links.forget(slot);
        self.passwords.remove(&slot);
        self.update(slot, time::unix_now(), |object, usn| {
            for attr in stripped {
                object.set(attr, &[], usn);
            }
            object.set(Attr::Name, &[name.into_bytes()], usn);
            object.set(Attr::IsDeleted, &[b"TRUE".to_vec()], usn);
            object.set(Attr::LastKnownParent, &[parent_dn.into_bytes()], usn);
            object.parent = container;
            object.deleted = true;
        });
        Ok(())
    }

    /// Brings a tombstone back under a new name, with what it kept.
    pub fn undelete(&mut self, slot: Slot, steps: Vec<Rdn>) -> Result<(), Refusal> {
        if slot == self.deleted_objects {
            return Err(protected());
        }
        let (rdn, above) = steps.split_first().ok_or_else(invalid_dn)?;
        let parent = self.living_parent(above)?;
        self.check_rdn(self.get(slot).class, rdn, parent, None)?;
        let account = self.get(slot).text(Attr::SamAccountName);
        if account.is_some_and(|name| self.find_one(Attr::SamAccountName, name).is_some()) {
            let message = "00000524: the account name is in use again";
            return Err(Refusal::new(LdapResultCode::EntryAlreadyExists, message));
        }
        self.update(slot, time::unix_now(), |object, usn| {
            object.set(Attr::Name, &[rdn.value.clone().into_bytes()], usn);
            object.set(Attr::IsDeleted, &[], usn);
            object.set(Attr::LastKnownParent, &[], usn);
            object.parent = parent;
            object.deleted = false;
        });
        Ok(())
    }

    /// Renames an object, moves it, or both. Its children follow without a change of their own.
    pub fn rename(&mut self, slot: Slot, request: &LdapModifyDNRequest) -> Result<(), Refusal> {
        self.check_movable(slot)?;
        if !request.deleteoldrdn {
            return Err(Refusal::unwilling("00000057: LdapErr: the old RDN cannot be kept"));
        }
        let steps = dn::parse(&request.newrdn).ok_or_else(invalid_dn)?;
        let [rdn] = &steps[..] else { return Err(invalid_dn()) };
        let parent = match request.new_superior.as_deref() {
            None | Some("") => self.get(slot).parent,
            Some(superior) => self.target(superior, false)?,
        };
        if self.is_within(parent, slot, true) {
            return Err(Refusal::unwilling("000020DF: SvcErr: an object cannot contain itself"));
        }
        self.check_rdn(self.get(slot).class, rdn, parent, Some(slot))?;
        self.update(slot, time::unix_now(), |object, usn| {
            object.set(Attr::Name, &[rdn.value.clone().into_bytes()], usn);
            object.parent = parent;
        });
        Ok(())
    }

    fn check_movable(&self, slot: Slot) -> Result<(), Refusal> {
        match self.is_head(slot) || self.get(slot).deleted {
            true => Err(protected()),
            false => Ok(()),
        }
    }
}

fn protected() -> Refusal {
    Refusal::unwilling("00002104: SvcErr: problem 5003 (WILL_NOT_PERFORM)")
}
