//! What an add or a modify wants to change, checked before anything is changed.

use std::collections::BTreeMap;

use ldap3_proto::{
    LdapResultCode,
    proto::{LdapModifyType, LdapPartialAttribute},
};

use super::{
    dn::Name,
    object::{Slot, Usn, Values},
    password,
    refusal::Refusal,
    schema::{Attr, Class, Syntax},
    store::Store,
    time,
    value::Key,
};

/// The account is disabled.
pub const ACCOUNT_DISABLED: i64 = 0x2;
/// The account needs no password.
const PASSWORD_NOT_REQUIRED: i64 = 0x20;
/// `LOCKOUT` and `PASSWORD_EXPIRED`, which are worked out and never stored.
const COMPUTED_BITS: i64 = 0x10 | 0x80_0000;

/// Changes to one object.
#[derive(Debug, Default)]
pub struct Draft {
    /// The new values of the attributes that change; none clear one.
    pub values: BTreeMap<Attr, Values>,
    /// Link values to add or remove.
    pub links: Vec<(Attr, Slot, bool)>,
    /// A new password.
    pub password: Option<String>,
}

impl Draft {
    /// Whether nothing would change.
    pub fn is_empty(&self) -> bool {
        self.values.is_empty() && self.links.is_empty() && self.password.is_none()
    }

    /// Takes in one modification. `slot` is the object, if it exists already.
    pub fn change(
        &mut self,
        store: &Store,
        slot: Option<Slot>,
        operation: LdapModifyType,
        attribute: LdapPartialAttribute,
    ) -> Result<(), Refusal> {
        let attr = Attr::parse(&attribute.atype).ok_or_else(|| {
            let message = format!("00000057: LdapErr: unknown attribute {}", attribute.atype);
            Refusal::new(LdapResultCode::NoSuchAttribute, message)
        })?;
        if matches!(attr, Attr::Name | Attr::Cn | Attr::Ou | Attr::Dc) {
            let message = "000020B1: UpdErr: problem 6004 (CANT_ON_RDN)";
            return Err(Refusal::new(LdapResultCode::NotALlowedOnRDN, message));
        }
        if attr.is_system() {
            let message = format!("000020B1: AtrErr: {} belongs to the system", attr.name());
            return Err(Refusal::constraint(message));
        }
        if attr == Attr::UnicodePwd {
            // Deleting the old password is the first half of a change by its owner, which an
            // administrator's right covers.
            if let (LdapModifyType::Add | LdapModifyType::Replace, [value]) =
                (operation, &attribute.vals[..])
            {
                self.password = Some(password::decode(value)?);
            }
            return Ok(());
        }
        if attr.is_link() {
            return self.change_links(store, slot, operation, attr, attribute.vals);
        }
        let current = self.current(store, slot, attr);
        let values = apply(attr, current.clone(), operation, attribute.vals)?;
        if values != current {
            self.values.insert(attr, values);
        }
        Ok(())
    }

    fn current(&self, store: &Store, slot: Option<Slot>, attr: Attr) -> Values {
        match (self.values.get(&attr), slot) {
            (Some(values), _) => values.clone(),
            (None, Some(slot)) => store.read(slot, attr),
            (None, None) => Values::new(),
        }
    }

    fn change_links(
        &mut self,
        store: &Store,
        slot: Option<Slot>,
        operation: LdapModifyType,
        attr: Attr,
        values: Values,
    ) -> Result<(), Refusal> {
        let named: Vec<Slot> = values
            .iter()
            .map(|value| {
                let text = std::str::from_utf8(value).ok();
                text.and_then(Name::parse)
                    .and_then(|name| store.resolve(&name))
                    .filter(|&target| !store.get(target).deleted)
                    .ok_or_else(|| Refusal::no_such_object(String::new()))
            })
            .collect::<Result<_, _>>()?;
        let mut linked: Vec<Slot> =
            slot.map_or(Vec::new(), |slot| store.links.targets(slot, attr).collect());
        for (_, target, present) in self.links.iter().filter(|(of, ..)| *of == attr) {
            linked.retain(|other| other != target);
            linked.extend(present.then_some(*target));
        }
        let (removed, added) = match operation {
            LdapModifyType::Add => (Vec::new(), named),
            LdapModifyType::Delete if named.is_empty() => (linked.clone(), Vec::new()),
            LdapModifyType::Delete => (named, Vec::new()),
            LdapModifyType::Replace => {
                let (kept, removed): (Vec<_>, _) =
                    linked.iter().partition(|target| named.contains(target));
                let added = named.into_iter().filter(|target| !kept.contains(target)).collect();
                (removed, added)
            }
            LdapModifyType::Increment => return Err(no_increment()),
        };
        if added.iter().any(|target| linked.contains(target)) {
            let message = "00000562: UpdErr: problem 6005 (ENTRY_EXISTS)";
            return Err(Refusal::new(LdapResultCode::EntryAlreadyExists, message));
        }
        if removed.iter().any(|target| !linked.contains(target)) {
            return Err(Refusal::unwilling("00000561: SvcErr: problem 5003 (WILL_NOT_PERFORM)"));
        }
        if !attr.is_multi() && linked.len() + added.len() > 1 + removed.len() {
            return Err(too_many(attr));
        }
        self.links.extend(removed.into_iter().map(|target| (attr, target, false)));
        self.links.extend(added.into_iter().map(|target| (attr, target, true)));
        Ok(())
    }

    /// Applies the rules for accounts, which look at several attributes at once.
    pub fn check(
        &mut self,
        store: &Store,
        slot: Option<Slot>,
        class: Class,
    ) -> Result<(), Refusal> {
        self.check_unique(store, slot, Attr::SamAccountName, LdapResultCode::EntryAlreadyExists)?;
        self.check_unique(
            store,
            slot,
            Attr::UserPrincipalName,
            LdapResultCode::ConstraintViolation,
        )?;
        self.check_pwd_last_set(store, slot)?;
        if let Some(bits) = self.number(Attr::UserAccountControl) {
            let stored = bits & !COMPUTED_BITS;
            self.values.insert(Attr::UserAccountControl, vec![stored.to_string().into_bytes()]);
            let has_password = self.password.is_some()
                || slot.is_some_and(|slot| store.get(slot).stamp(Attr::UnicodePwd).is_some());
            if class == Class::User
                && bits & (ACCOUNT_DISABLED | PASSWORD_NOT_REQUIRED) == 0
                && !has_password
            {
                return Err(Refusal::unwilling(
                    "0000052D: SvcErr: problem 5003 (WILL_NOT_PERFORM), enabled without password",
                ));
            }
        }
        if let Some(slot) = slot {
            // A value written as it was is no change.
            self.values.retain(|attr, values| store.read(slot, *attr) != *values);
        }
        if self.password.is_some() {
            let now = || vec![time::filetime_now().to_string().into_bytes()];
            self.values.entry(Attr::PwdLastSet).or_insert_with(now);
        }
        Ok(())
    }

    fn number(&self, attr: Attr) -> Option<i64> {
        let value = self.values.get(&attr)?.first()?;
        std::str::from_utf8(value).ok()?.parse().ok()
    }

    fn check_unique(
        &self,
        store: &Store,
        slot: Option<Slot>,
        attr: Attr,
        code: LdapResultCode,
    ) -> Result<(), Refusal> {
        let key = self.values.get(&attr).and_then(|values| Key::of(attr, values.first()?));
        let taken = key.is_some_and(|key| {
            store.find(attr, &key).any(|other| Some(other) != slot && !store.get(other).deleted)
        });
        match taken {
            true => Err(Refusal::new(code, format!("000021C8: {} is in use", attr.name()))),
            false => Ok(()),
        }
    }

    /// `pwdLastSet` takes 0 (must change) and -1 (has just been changed) only.
    fn check_pwd_last_set(&mut self, store: &Store, slot: Option<Slot>) -> Result<(), Refusal> {
        match self.number(Attr::PwdLastSet) {
            None | Some(0) => Ok(()),
            Some(-1) => {
                let before = slot.and_then(|slot| store.get(slot).number(Attr::PwdLastSet));
                let now = before.filter(|time| *time != 0).unwrap_or_else(time::filetime_now);
                self.values.insert(Attr::PwdLastSet, vec![now.to_string().into_bytes()]);
                Ok(())
            }
            Some(_) => Err(Refusal::new(
                LdapResultCode::Other,
                "00000057: LdapErr: pwdLastSet takes only 0 and -1",
            )),
        }
    }
}

impl Store {
    /// Makes the link values and the password of a draft true for an object that has just been
    /// stamped with `usn`.
    pub fn finish(&mut self, slot: Slot, draft: Draft, usn: Usn) {
        for (attr, target, present) in draft.links {
            self.links.set(slot, attr, target, present, usn);
        }
        if let Some(password) = draft.password {
            self.passwords.insert(slot, password::digest(&password));
        }
    }
}

fn too_many(attr: Attr) -> Refusal {
    Refusal::constraint(format!("00002081: AtrErr: {} holds one value", attr.name()))
}

/// The values after a modification.
fn apply(
    attr: Attr,
    mut values: Values,
    operation: LdapModifyType,
    given: Values,
) -> Result<Values, Refusal> {
    let mut keys = Vec::with_capacity(given.len());
    for value in &given {
        let valid = Key::of(attr, value)
            .filter(|_| !value.is_empty())
            .filter(|_| attr.syntax() != Syntax::Dn);
        let key = valid.ok_or_else(|| {
            let message = format!("00000057: AtrErr: {} cannot hold that value", attr.name());
            Refusal::new(LdapResultCode::InvalidAttributeSyntax, message)
        })?;
        if keys.contains(&key) {
            return Err(exists(attr));
        }
        keys.push(key);
    }
    let holds = |values: &Values, key: &Key| values.iter().any(|value| key.matches(attr, value));
    match operation {
        LdapModifyType::Add => {
            if given.is_empty() {
                return Err(Refusal::constraint("00000057: LdapErr: nothing to add"));
            }
            if keys.iter().any(|key| holds(&values, key)) || !attr.is_multi() && !values.is_empty()
            {
                return Err(exists(attr));
            }
            values.extend(given);
        }
        LdapModifyType::Delete => {
            let missing = match keys.is_empty() {
                true => values.is_empty(),
                false => !keys.iter().all(|key| holds(&values, key)),
            };
            if missing {
                let message = format!("00002085: AtrErr: {} has no such value", attr.name());
                return Err(Refusal::new(LdapResultCode::NoSuchAttribute, message));
            }
            values.retain(|value| {
                !keys.is_empty() && !keys.iter().any(|key| key.matches(attr, value))
            });
        }
        LdapModifyType::Replace => values = given,
        LdapModifyType::Increment => return Err(no_increment()),
    }
    if values.len() > 1 && !attr.is_multi() {
        return Err(too_many(attr));
    }
    Ok(values)
}

/// The increment of RFC 4525, which Active Directory does not know.
fn no_increment() -> Refusal {
    let message = "00000057: LdapErr: unknown kind of modification";
    Refusal::new(LdapResultCode::ProtocolError, message)
}

fn exists(attr: Attr) -> Refusal {
    let message = format!("00002083: AtrErr: {} has that value", attr.name());
    Refusal::new(LdapResultCode::AttributeOrValueExists, message)
}
