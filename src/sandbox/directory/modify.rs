//! Changing objects (MS-ADTS 3.1.1.5.3).

use ldap3_proto::{
    LdapResultCode,
    proto::{LdapModify, LdapModifyType},
};

use super::{
    add::invalid_dn,
    dn::{self, Name},
    draft::Draft,
    object::Slot,
    refusal::Refusal,
    schema::Attr,
    store::Store,
    time,
};

impl Store {
    /// The object that a request names. Tombstones can be named only when they are shown.
    pub fn target(&self, name: &str, show_deleted: bool) -> Result<Slot, Refusal> {
        let name = Name::parse(name).ok_or_else(invalid_dn)?;
        let found = match &name {
            Name::Dn(steps) => self.walk(steps),
            other => self.resolve(other).ok_or(None),
        };
        found
            .and_then(|slot| {
                let object = self.get(slot);
                if object.deleted && !show_deleted { Err(Some(object.parent)) } else { Ok(slot) }
            })
            .map_err(|closest| {
                Refusal::no_such_object(closest.map_or(String::new(), |slot| self.dn(slot)))
            })
    }

    /// Changes the attributes of an object, all or none of them.
    pub fn modify(&mut self, slot: Slot, changes: Vec<LdapModify>) -> Result<(), Refusal> {
        if self.get(slot).deleted {
            return self.undelete(slot, undeletion(&changes)?);
        }
        let mut draft = Draft::default();
        for change in changes {
            draft.change(self, Some(slot), change.operation, change.modification)?;
        }
        draft.check(self, Some(slot), self.get(slot).class)?;
        if draft.is_empty() {
            return Ok(());
        }
        let values = std::mem::take(&mut draft.values);
        let secrets = draft.password.is_some();
        let usn = self.update(slot, time::unix_now(), |object, usn| {
            for (attr, values) in &values {
                object.set(*attr, values, usn);
            }
            if secrets {
                object.set(Attr::UnicodePwd, &[], usn);
                object.set(Attr::SupplementalCredentials, &[], usn);
            }
        });
        self.finish(slot, draft, usn);
        Ok(())
    }
}

/// The new name that an undeletion gives: `isDeleted` is deleted and `distinguishedName` replaced in
/// one request (MS-ADTS 3.1.1.5.3.7.2). Nothing else can be done to a tombstone here.
fn undeletion(changes: &[LdapModify]) -> Result<Vec<dn::Rdn>, Refusal> {
    let find = |attr: Attr, operation: LdapModifyType| {
        changes.iter().find(|change| {
            Attr::parse(&change.modification.atype) == Some(attr) && change.operation == operation
        })
    };
    let revived = find(Attr::IsDeleted, LdapModifyType::Delete).is_some();
    let name = find(Attr::DistinguishedName, LdapModifyType::Replace);
    let value = name
        .filter(|_| revived && changes.len() == 2)
        .and_then(|change| std::str::from_utf8(change.modification.vals.first()?).ok());
    match value {
        Some(text) => dn::parse(text).ok_or_else(invalid_dn),
        None => Err(Refusal::new(
            LdapResultCode::UnwillingToPerform,
            "0000207C: SvcErr: problem 5003 (WILL_NOT_PERFORM), the object is deleted",
        )),
    }
}
