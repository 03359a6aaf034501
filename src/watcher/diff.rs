//! From what was read to what is told: pure logic.
//!
//! An entry says how an object is now, in whole or in part. Merged into what the ledger knew, it
//! gives the new record; the difference to what was *told* gives the events. Reading the same
//! entry twice tells nothing twice.

use std::collections::BTreeMap;

use base64::{Engine, prelude::BASE64_STANDARD};
use jiff::Timestamp;
use uuid::Uuid;

use super::{
    record::{Record, fingerprint},
    scope::Scope,
    veil::Veil,
};
use crate::{
    directory::{
        Entry,
        attributes::{parse_uac, sid_text},
    },
    event::{Detail, Identity, Reason},
};

/// What the configuration says about telling.
#[derive(Debug, Clone)]
pub struct Rules {
    /// The attribute that holds the UPN.
    pub upn_attribute: String,
    /// Directory attributes that are inputs of mapped properties, spelled as configured.
    pub mapped: Vec<String>,
    /// Who takes part.
    pub scope: Scope,
    /// What hides values.
    pub veil: Veil,
}

/// How an object that the ledger does not know enters it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Arrival {
    /// Silently: it was there before the relay.
    Baseline,
    /// As created.
    Created,
}

/// What follows from an entry.
#[derive(Debug, PartialEq, Eq)]
pub enum Step {
    /// Nothing.
    Ignore,
    /// The entry does not suffice: read the object whole.
    Read,
    /// A new record, and what is to be told.
    Change {
        /// The record, with what is told taken as told.
        record: Box<Record>,
        /// What is told, in this order.
        details: Vec<Detail>,
    },
}

/// The outside circumstances of an observation.
#[derive(Debug, Clone, Copy)]
pub struct Circumstances {
    /// The time of the observation.
    pub now: Timestamp,
    /// What an unknown object means.
    pub arrival: Arrival,
    /// Whether this server is known to list `unicodePwd` as changed. Where it does not, a later
    /// `pwdLastSet` has to do, though it also moves when "must change" is taken back.
    pub password_signal: bool,
}

/// Compares an entry with what the ledger knew of its object.
pub fn observe(
    rules: &Rules,
    known: Option<&Record>,
    entry: &Entry,
    circumstances: Circumstances,
) -> Step {
    let deleted = is_deleted(entry);
    let Some(old) = known else {
        return match deleted {
            Some(true) => Step::Ignore,
            _ if !suffices(entry) => Step::Read,
            _ => arrive(rules, entry, circumstances),
        };
    };
    if deleted == Some(true) {
        let record = Record { deleted: true, ..old.clone() };
        return tell(rules, old, record, Findings::default(), circumstances.now);
    }
    if old.deleted {
        return match deleted {
            // Undeleted: a tombstone has lost most of its attributes, so all are read again.
            Some(false) if entry.complete => {
                let (record, findings) = merge(rules, old, entry, circumstances);
                tell(rules, old, Record { deleted: false, ..record }, findings, circumstances.now)
            }
            Some(false) => Step::Read,
            _ => Step::Ignore,
        };
    }
    let (record, findings) = merge(rules, old, entry, circumstances);
    tell(rules, old, record, findings, circumstances.now)
}

/// Whether the entry reports that the password itself changed, by listing `unicodePwd` without a
/// value. A search by other means never lists it.
pub fn signals_password(entry: &Entry) -> bool {
    !entry.complete
        && ["unicodepwd", "supplementalcredentials"]
            .iter()
            .any(|name| entry.attributes.contains_key(*name))
}

/// Why the account is blocked, where that is what is told.
pub fn blocks(detail: &Detail) -> Option<Reason> {
    match detail {
        Detail::AccountDisabled { reason } => Some(*reason),
        Detail::UserDeleted => Some(Reason::Deleted),
        _ => None,
    }
}

/// How a blocked account is told.
pub fn blocked(reason: Reason) -> Detail {
    match reason {
        Reason::Deleted => Detail::UserDeleted,
        reason => Detail::AccountDisabled { reason },
    }
}

/// The values of an attribute as they travel; none if the entry does not speak of it.
pub fn values_of(entry: &Entry, name: &str) -> Option<Vec<String>> {
    Some(entry.values(name)?.iter().map(|value| printable(value)).collect())
}

/// None if the entry does not speak of it.
fn is_deleted(entry: &Entry) -> Option<bool> {
    let value = entry.text("isDeleted")?;
    Some(value.is_some_and(|text| text.eq_ignore_ascii_case("TRUE")))
}

/// Whether an unknown object can be entered from this entry alone.
fn suffices(entry: &Entry) -> bool {
    entry.complete
        || ["samaccountname", "objectsid", "useraccountcontrol"]
            .iter()
            .all(|name| entry.attributes.get(*name).is_some_and(|values| !values.is_empty()))
}

fn arrive(rules: &Rules, entry: &Entry, circumstances: Circumstances) -> Step {
    let (mut record, findings) = merge(rules, &Record::default(), entry, circumstances);
    record.told.blocked = record.blocked(circumstances.now);
    let mut details = Vec::new();
    if circumstances.arrival == Arrival::Created && rules.scope.includes(&record) {
        details.push(Detail::UserCreated { enabled: record.told.blocked.is_none() });
        details.extend(modified(findings));
    }
    Step::Change { record: Box::new(record), details }
}

/// What an entry shows beside the new record.
#[derive(Default)]
struct Findings {
    password_changed: bool,
    attributes: BTreeMap<String, Vec<String>>,
}

fn merge(
    rules: &Rules,
    old: &Record,
    entry: &Entry,
    circumstances: Circumstances,
) -> (Record, Findings) {
    let entry = &*rules.veil.over(entry);
    let mut record = old.clone();
    let mut findings = Findings::default();
    let text = |field: &mut Option<String>, name: &str| {
        if let Some(value) = entry.text(name) {
            *field = value;
        }
    };
    let Identity { sam_account_name, user_principal_name, employee_id, sid, anchor } =
        &mut record.identity;
    text(sam_account_name, "sAMAccountName");
    text(user_principal_name, &rules.upn_attribute);
    text(employee_id, "employeeID");
    text(&mut record.name, "name");
    if let Some(values) = entry.values("objectSid") {
        *sid = values.first().and_then(|bytes| sid_text(bytes));
    }
    if let Some(values) = entry.values("mS-DS-ConsistencyGuid") {
        *anchor = values.first().filter(|v| !v.is_empty()).map(|v| BASE64_STANDARD.encode(v));
    }
    if let Some(values) = entry.values("parentGUID").filter(|values| !values.is_empty()) {
        record.parent = values[0].as_slice().try_into().ok().map(Uuid::from_bytes_le);
    }
    if !entry.dn.is_empty() {
        record.dn.clone_from(&entry.dn);
    }
    if let Some(number) = entry.number("userAccountControl") {
        record.account_control = parse_uac(number.unwrap_or_default());
    }
    if let Some(number) = entry.number("accountExpires") {
        record.account_expires = number.unwrap_or_default();
    }
    if let Some(number) = entry.number("pwdLastSet") {
        record.password_last_set = number.unwrap_or_default();
    }
    findings.password_changed = password_changed(old, &record, entry, circumstances);
    for name in &rules.mapped {
        let Some(values) = entry.values(name) else { continue };
        let key = name.to_ascii_lowercase();
        let print = (!values.is_empty()).then(|| fingerprint(values));
        if print.as_ref() == old.attributes.get(&key) {
            continue;
        }
        match print {
            Some(print) => record.attributes.insert(key, print),
            None => record.attributes.remove(&key),
        };
        findings.attributes.insert(name.clone(), values.iter().map(|v| printable(v)).collect());
    }
    (record, findings)
}

/// A listed `unicodePwd` with a `pwdLastSet` that is known already is an entry told again, not a
/// change told anew; only 0, which says "must change", may stay what it was. Where nothing is
/// listed, a later time has to do.
fn password_changed(
    old: &Record,
    new: &Record,
    entry: &Entry,
    circumstances: Circumstances,
) -> bool {
    let (before, after) = (old.password_last_set, new.password_last_set);
    if signals_password(entry) {
        entry.number("pwdLastSet").is_none() || after == 0 || after != before
    } else {
        (entry.complete || !circumstances.password_signal) && before > 0 && after > before
    }
}

/// Values travel as text; what is none travels in base64.
fn printable(value: &[u8]) -> String {
    match std::str::from_utf8(value) {
        Ok(text) => text.to_owned(),
        Err(_) => BASE64_STANDARD.encode(value),
    }
}

/// Towards less access first, towards more access after everything else that is urgent.
fn tell(
    rules: &Rules,
    old: &Record,
    mut record: Record,
    findings: Findings,
    now: Timestamp,
) -> Step {
    let blocked = record.blocked(now);
    let told = std::mem::replace(&mut record.told.blocked, blocked);
    let mut details = Vec::new();
    if !rules.scope.includes(&record) {
        return changed(old, record, details);
    }
    if blocked == Some(Reason::Deleted) {
        if told != blocked {
            details.push(Detail::UserDeleted);
        }
        return changed(old, record, details);
    }
    if old.identity.user_principal_name != record.identity.user_principal_name
        || old.identity.anchor != record.identity.anchor
    {
        let previous = Box::new(old.identity.clone());
        details.push(Detail::UserRenamed { previous });
    }
    // A reason that gives way to another is told: a consumer may ignore the one and not the other.
    if let Some(reason) = blocked.filter(|_| told != blocked) {
        details.push(Detail::AccountDisabled { reason });
    }
    if findings.password_changed {
        let must_change = record.must_change_password();
        details.push(Detail::PasswordChanged { must_change });
    }
    if let (Some(ended), None) = (told, blocked) {
        details.push(Detail::AccountEnabled { ended });
    }
    details.extend(modified(findings));
    changed(old, record, details)
}

fn modified(Findings { attributes, .. }: Findings) -> Option<Detail> {
    (!attributes.is_empty()).then_some(Detail::modified(attributes))
}

fn changed(old: &Record, record: Record, details: Vec<Detail>) -> Step {
    if details.is_empty() && *old == record {
        return Step::Ignore;
    }
    Step::Change { record: Box::new(record), details }
}

#[cfg(test)]
mod tests;
