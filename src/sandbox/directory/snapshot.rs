//! The users as they are, for a demo or a test to compare with.

use std::collections::BTreeMap;

use uuid::Uuid;

use super::{
    object::Slot,
    schema::{Attr, Class},
    store::Store,
};

/// One user.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct UserSnapshot {
    /// `objectGUID`
    pub guid: Uuid,
    /// The distinguished name.
    pub dn: String,
    /// `objectSid` as `S-1-5-21-...`
    pub sid: String,
    /// The last part of the SID: 500 is the administrator, 502 is krbtgt.
    pub rid: u32,
    /// `sAMAccountName`
    pub sam_account_name: String,
    /// `userPrincipalName`; the built-in accounts and deleted users have none.
    pub user_principal_name: Option<String>,
    /// `userAccountControl`
    pub user_account_control: u32,
    /// `accountExpires`, a FILETIME; zero and the largest number mean never.
    pub account_expires: i64,
    /// `pwdLastSet`, a FILETIME; zero means that the password must be changed.
    pub pwd_last_set: i64,
    /// Whether the user is a tombstone.
    pub deleted: bool,
    /// All text attributes that are stored, by their schema names.
    pub attributes: BTreeMap<&'static str, Vec<String>>,
}

/// Every user, tombstones included. Computers are no users here.
pub fn users(store: &Store) -> Vec<UserSnapshot> {
    (0..store.len())
        .filter(|&slot| store.get(slot).class == Class::User)
        .map(|slot| user(store, slot))
        .collect()
}

fn user(store: &Store, slot: Slot) -> UserSnapshot {
    let object = store.get(slot);
    let text = |attr| object.text(attr).map(str::to_owned);
    let values = |attr: Attr| -> Option<Vec<String>> {
        let values = object.values(attr).map(|value| String::from_utf8(value.to_vec()).ok());
        values.collect::<Option<Vec<_>>>().filter(|values| !values.is_empty())
    };
    UserSnapshot {
        guid: object.guid,
        dn: store.dn(slot),
        sid: store.domain.sid.with_rid(object.rid).to_string(),
        rid: object.rid,
        sam_account_name: text(Attr::SamAccountName).unwrap_or_default(),
        user_principal_name: text(Attr::UserPrincipalName),
        user_account_control: object
            .number(Attr::UserAccountControl)
            .and_then(|bits| u32::try_from(bits).ok())
            .unwrap_or(0),
        account_expires: object.number(Attr::AccountExpires).unwrap_or(0),
        pwd_last_set: object.number(Attr::PwdLastSet).unwrap_or(0),
        deleted: object.deleted,
        attributes: object.attrs().filter_map(|attr| Some((attr.name(), values(attr)?))).collect(),
    }
}
