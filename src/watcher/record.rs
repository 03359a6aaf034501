//! What the ledger knows of one user.

use std::collections::{BTreeMap, BTreeSet};

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};
use uuid::Uuid;

use super::{candidate::Handed, expiry::Kept, store::Container};
use crate::{
    directory::{
        attributes::{expiry, from_filetime, uac},
        dn,
    },
    event::{Detail, Identity, Reason},
};

/// A user as last read from the directory, and what was last told of it.
///
/// Values are kept of what identifies a user and of what decides its state; of mapped attributes
/// only fingerprints.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Record {
    /// Distinguished name, as last seen while the object was alive.
    pub dn: String,
    /// How the user is known.
    pub identity: Identity,
    /// userAccountControl.
    #[serde(rename = "uac")]
    pub account_control: u32,
    /// accountExpires, as the directory holds it.
    #[serde(rename = "expires")]
    pub account_expires: i64,
    /// pwdLastSet, as the directory holds it: 0 if a new password must be chosen.
    #[serde(rename = "pwd")]
    pub password_last_set: i64,
    /// Until when the account is locked out, as a FILETIME; 0 where it is not, or where that does
    /// not count.
    #[serde(rename = "locked", default, skip_serializing_if = "is_unset")]
    pub locked_until: i64,
    /// Whether the user takes part.
    #[serde(default, skip_serializing_if = "Part::is_none")]
    pub part: Part,
    /// Whether the object is a tombstone or in the recycle bin.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub deleted: bool,
    /// The relative name.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// objectGUID of the parent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub parent: Option<Uuid>,
    /// Mapped attribute in lower case → fingerprint of its values. Absent: no value.
    #[serde(rename = "attrs", default, skip_serializing_if = "BTreeMap::is_empty")]
    pub attributes: BTreeMap<String, u64>,
    /// Mapped attribute that names another user, in lower case → whom. Absent: no value.
    #[serde(rename = "refs", default, skip_serializing_if = "BTreeMap::is_empty")]
    pub references: BTreeMap<String, Referred>,
    /// What the consumers know.
    pub told: Told,
}

/// Whom a value names.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Referred {
    /// objectGUID; none where the value names no user that can be read.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub object: Option<Uuid>,
    /// Fingerprint of the value, for a name that leads to its object only by asking.
    pub print: u64,
}

/// Whether a user takes part.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Part {
    /// Not so far: the consumers know nothing of this user.
    #[default]
    None,
    /// In scope.
    Inside,
    /// Out of scope, after it was in it. Until it comes back, what the consumers know stays as it
    /// was told.
    Left,
}

impl Part {
    fn is_none(&self) -> bool {
        *self == Part::None
    }
}

/// What was last told of a user.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Told {
    /// Why the account is not effectively enabled, as told, or as found when the user entered the
    /// ledger.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub blocked: Option<Reason>,
    /// Sequence of the last event; 0 before the first.
    #[serde(rename = "seq")]
    pub sequence: u64,
    /// Sequence of the last event that blocked or unblocked the account; 0 before the first.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub account: u64,
    /// Sequence of the last change of the password; 0 before the first.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub password: u64,
    /// The mapped groups of which the user is a member, as told, by their normalised names in the
    /// configuration.
    #[serde(default, skip_serializing_if = "BTreeSet::is_empty")]
    pub groups: BTreeSet<String>,
    /// The last value of a password that was told.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub handed: Option<Handed>,
    /// How the user was known when it left the scope, where its names have changed since.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub name: Option<Box<Identity>>,
    /// That value, where its expiry is followed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub kept: Option<Box<Kept>>,
}

impl Told {
    /// Takes note that `detail` is told under `sequence`.
    pub fn note(&mut self, detail: &Detail, sequence: u64) {
        self.sequence = sequence;
        match detail {
            Detail::AccountDisabled { .. }
            | Detail::AccountEnabled { .. }
            | Detail::UserDeleted => self.account = sequence,
            Detail::PasswordSet(_) => self.password = sequence,
            Detail::PasswordChanged { .. } => {
                self.password = sequence;
                self.kept = None;
            }
            _ => {}
        }
    }
}

fn is_unset(number: &i64) -> bool {
    *number == 0
}

fn is_zero(number: &u64) -> bool {
    *number == 0
}

impl Record {
    /// Why the account is not effectively enabled at `now`, the gravest reason first.
    pub fn blocked(&self, now: Timestamp) -> Option<Reason> {
        if self.deleted {
            Some(Reason::Deleted)
        } else if self.account_control & uac::ACCOUNT_DISABLE != 0 {
            Some(Reason::Disabled)
        } else if expiry(self.account_expires).is_some_and(|end| end <= now) {
            Some(Reason::Expired)
        } else if self.is_locked_out(now) {
            Some(Reason::LockedOut)
        } else {
            None
        }
    }

    /// Whether somebody means this user by `name`: sAMAccountName, UPN, DN, SID or objectGUID.
    pub fn is_named(&self, object: Uuid, name: &str) -> bool {
        let Identity { sam_account_name, user_principal_name, sid, .. } = &self.identity;
        let names = [sam_account_name, user_principal_name, sid].into_iter().flatten();
        names.map(|known| known.to_lowercase()).any(|known| known == name.to_lowercase())
            || Uuid::try_parse(name).is_ok_and(|name| name == object)
            || name.contains('=') && dn::normalised(name) == dn::normalised(&self.dn)
    }

    /// Why the consumers should take the account for blocked at `now`. For a user who has left the
    /// scope that does not change any more until it comes back.
    pub fn blocked_to_consumers(&self, now: Timestamp) -> Option<Reason> {
        match self.part {
            Part::Left => {
                let reason = self.told.blocked.or_else(|| self.blocked(now));
                Some(reason.unwrap_or(Reason::ScopeLeft))
            }
            Part::None | Part::Inside => self.blocked(now),
        }
    }

    /// Its distinguished name below this container.
    pub fn placed(&self, above: Option<&Container>) -> String {
        match (above, dn::split(&self.dn)) {
            (Some(above), Some((step, _))) => format!("{step},{}", above.dn),
            _ => self.dn.clone(),
        }
    }

    /// When the state of a user in scope may change by itself, without a change in the directory:
    /// every such time, for the first to come may change nothing that is kept.
    pub fn due(&self, now: Timestamp) -> impl Iterator<Item = Timestamp> {
        let password = self.told.kept.as_ref().map(|kept| kept.look);
        let times = [expiry(self.account_expires), from_filetime(self.locked_until), password];
        let is_followed = !self.deleted && self.part == Part::Inside;
        times.into_iter().flatten().filter(move |time| is_followed && *time > now)
    }

    /// Whether a new password must be chosen at the next logon. Who has a password that never
    /// expires, or none to type, is not asked for one.
    pub fn must_change_password(&self) -> bool {
        self.password_last_set == 0
            && self.account_control & (uac::DONT_EXPIRE_PASSWORD | uac::SMARTCARD_REQUIRED) == 0
    }

    fn is_locked_out(&self, now: Timestamp) -> bool {
        match self.locked_until {
            0 => false,
            until => from_filetime(until).is_none_or(|end| end > now),
        }
    }
}

/// A fingerprint of values, whatever their order: a directory does not keep one.
pub fn fingerprint(values: &[Vec<u8>]) -> u64 {
    let mut sorted: Vec<_> = values.iter().collect();
    sorted.sort();
    let mut hash = Sha256::new();
    for value in sorted {
        hash.update((value.len() as u64).to_be_bytes());
        hash.update(value);
    }
    let [a, b, c, d, e, f, g, h, ..] = hash.finalize().0;
    u64::from_be_bytes([a, b, c, d, e, f, g, h])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_gravest_reason_counts() {
        let now = Timestamp::from_second(1_000).expect("in range");
        let past = 116_444_736_000_000_000;
        let mut record = Record { account_control: 512, ..Record::default() };
        assert_eq!(record.blocked(now), None);
        record.account_expires = past;
        assert_eq!(record.blocked(now), Some(Reason::Expired));
        assert_eq!(record.blocked(Timestamp::from_second(-1).expect("in range")), None);
        record.locked_until = i64::MAX;
        assert_eq!(record.blocked(now), Some(Reason::Expired));
        record.account_expires = 0;
        assert_eq!(record.blocked(now), Some(Reason::LockedOut));
        record.account_control = 514;
        assert_eq!(record.blocked(now), Some(Reason::Disabled));
        record.deleted = true;
        assert_eq!(record.blocked(now), Some(Reason::Deleted));
    }

    #[test]
    fn a_state_changes_by_itself_at_each_of_its_times() {
        let second = |second| Timestamp::from_second(second).expect("in range");
        let ticks = |second: i64| 116_444_736_000_000_000 + second * 10_000_000;
        let due = |record: &Record, now| record.due(second(now)).collect::<Vec<_>>();
        let mut record = Record { part: Part::Inside, ..Record::default() };
        assert!(due(&record, 0).is_empty());
        record.account_expires = ticks(20);
        record.locked_until = ticks(10);
        assert_eq!(due(&record, 0), [second(20), second(10)]);
        assert_eq!(record.blocked(second(9)), Some(Reason::LockedOut));
        assert_eq!(due(&record, 10), [second(20)]);
        assert_eq!(record.blocked(second(10)), None);
        assert!(due(&record, 20).is_empty());
        record.account_expires = i64::MAX;
        assert!(due(&record, 10).is_empty(), "never");
        record.part = Part::Left;
        assert!(due(&record, 0).is_empty(), "out of scope");
    }

    #[test]
    fn only_who_types_a_password_must_change_it() {
        let must = |account_control| {
            Record { account_control, ..Record::default() }.must_change_password()
        };
        assert!(must(512));
        assert!(!must(512 | uac::DONT_EXPIRE_PASSWORD) && !must(512 | uac::SMARTCARD_REQUIRED));
    }

    #[test]
    fn fingerprints_ignore_order_and_nothing_else() {
        let print = |values: &[&str]| {
            fingerprint(&values.iter().map(|v| v.as_bytes().to_vec()).collect::<Vec<_>>())
        };
        assert_eq!(print(&["a", "b"]), print(&["b", "a"]));
        assert_ne!(print(&["a", "b"]), print(&["ab"]));
        assert_ne!(print(&["a"]), print(&["a", "a"]));
    }

    #[test]
    fn a_record_survives_the_store() {
        let record = Record {
            dn: "CN=a".into(),
            parent: Some(Uuid::from_u128(9)),
            attributes: [("title".into(), u64::MAX)].into(),
            part: Part::Left,
            told: Told {
                blocked: Some(Reason::Expired),
                sequence: 7,
                account: 7,
                password: 3,
                groups: ["cn=sales".into()].into(),
                handed: None,
                name: Some(Box::default()),
                kept: None,
            },
            references: [("manager".into(), Referred { object: None, print: u64::MAX })].into(),
            ..Record::default()
        };
        let bytes = serde_json::to_vec(&record).expect("json");
        assert_eq!(serde_json::from_slice::<Record>(&bytes).expect("json"), record);
    }
}
