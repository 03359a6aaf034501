//! From what was read to what is told: pure logic.
//!
//! An entry says how an object is now, in whole or in part. Merged into what the ledger knew, it
//! gives the new record; the difference to what was *told* gives the events. Reading the same
//! entry twice tells nothing twice.

use std::collections::{BTreeMap, BTreeSet};

use base64::{Engine, prelude::BASE64_STANDARD};
use jiff::Timestamp;
use uuid::Uuid;

use super::{
    named::Named,
    record::{Part, Record, fingerprint},
    references::Pointing,
    scope::Scope,
    veil::Veil,
};
use crate::{
    directory::{
        Entry,
        attributes::{locked_until, parse_uac, sid_text},
        dn::normalised,
    },
    event::{Detail, Identity, Reason, Reference},
    mapping::Mappings,
};

/// What the configuration says about telling.
#[derive(Debug, Clone)]
pub struct Rules {
    /// The attribute that holds the UPN.
    pub upn_attribute: String,
    /// Which properties follow which attributes.
    pub mappings: Mappings,
    /// Who takes part.
    pub scope: Scope,
    /// What hides values.
    pub veil: Veil,
    /// The groups whose members are told of, spelled as configured.
    pub groups: Vec<String>,
    /// Whether a lockout counts as a disable.
    pub count_lockouts: bool,
}

impl Rules {
    /// What the configuration names in the directory.
    pub fn names(&self) -> impl Iterator<Item = &String> {
        self.scope.names().chain(self.scope.excluded()).chain(&self.groups)
    }

    /// Whether it matters who is in which group.
    pub fn follows_groups(&self) -> bool {
        !self.groups.is_empty() || self.scope.groups().next().is_some()
    }

    /// What decides who takes part and whose memberships are told, to be compared with later.
    pub fn configuration(&self) -> String {
        format!("{:?} {:?} {}", self.scope, self.groups, self.count_lockouts)
    }

    /// The values of the mapped attributes that an entry speaks of, as they travel.
    pub fn values(&self, entry: &Entry) -> BTreeMap<String, Vec<String>> {
        let entry = self.veil.over(entry);
        let value = |name: &String| Some((name.clone(), values_of(&entry, name)?));
        self.mappings.attributes().iter().filter_map(value).collect()
    }
}

/// How a user begins to take part.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Arrival {
    /// Silently: the user was there before the relay, or before it was asked to look after it.
    Baseline,
    /// As created, unless the ledger knows the user: then silently, for the configuration has taken
    /// in somebody who was there.
    Rescoped,
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

impl Step {
    /// The same, but nothing is told or noted of the mapped attributes.
    pub fn without_attributes(self, known: Option<&Record>) -> Step {
        let Step::Change { mut record, mut details } = self else { return self };
        details.retain(|detail| !matches!(detail, Detail::AttributesModified { .. }));
        record.attributes = known.map(|known| known.attributes.clone()).unwrap_or_default();
        record.references = known.map(|known| known.references.clone()).unwrap_or_default();
        Step::Change { record, details }
    }
}

/// The outside circumstances of an observation.
#[derive(Debug, Clone, Copy)]
pub struct Circumstances<'a> {
    /// The time of the observation.
    pub now: Timestamp,
    /// What it means that a user begins to take part.
    pub arrival: Arrival,
    /// Whether this server is known to list `unicodePwd` as changed. Where it does not, a later
    /// `pwdLastSet` has to do, though it also moves when "must change" is taken back.
    pub password_signal: bool,
    /// The domain's `lockoutDuration`, where a lockout counts as a disable.
    pub lockout_duration: Option<i64>,
    /// What the configuration names in the directory.
    pub named: &'a Named,
    /// The configured groups that the user is in, directly or through others.
    pub groups: &'a BTreeSet<Uuid>,
    /// Attribute that names another user → whom, where that is not what the ledger knows.
    pub references: &'a BTreeMap<String, Pointing>,
}

/// Compares an entry with what the ledger knew of its object.
pub fn observe(
    rules: &Rules,
    known: Option<&Record>,
    entry: &Entry,
    circumstances: Circumstances<'_>,
) -> Step {
    let unknown = Record::default();
    let old = known.unwrap_or(&unknown);
    match is_deleted(entry) {
        Some(true) if known.is_none() => return Step::Ignore,
        Some(true) => {
            // Where it was decides whether the user takes part, not where deleted objects are.
            let record = Record { deleted: true, ..old.clone() };
            return tell(rules, old, record, Findings::default(), circumstances);
        }
        // Undeleted: a tombstone has lost most of its attributes, so all are read again.
        Some(false) if old.deleted && !entry.complete => return Step::Read,
        None if old.deleted => return Step::Ignore,
        _ if known.is_none() && !suffices(entry) => return Step::Read,
        _ => {}
    }
    let (record, findings) = merge(rules, old, entry, circumstances);
    // Whoever begins to take part is told whole.
    if old.part != Part::Inside && record.part == Part::Inside && !suffices(entry) {
        return Step::Read;
    }
    tell(rules, old, record, findings, circumstances)
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
fn values_of(entry: &Entry, name: &str) -> Option<Vec<String>> {
    Some(entry.values(name)?.iter().map(|value| printable(value)).collect())
}

/// Whether the object is a tombstone or in the recycle bin; none if the entry does not speak of it.
pub fn is_deleted(entry: &Entry) -> Option<bool> {
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

/// What an entry shows beside the new record.
#[derive(Default)]
struct Findings {
    password_changed: bool,
    attributes: BTreeMap<String, Vec<String>>,
    references: BTreeMap<String, Option<Reference>>,
}

fn merge(
    rules: &Rules,
    old: &Record,
    entry: &Entry,
    circumstances: Circumstances<'_>,
) -> (Record, Findings) {
    let entry = &*rules.veil.over(entry);
    let mut record = Record { deleted: false, ..old.clone() };
    let mut findings = Findings::default();
    if let Some(name) = entry.text("name") {
        record.name = name;
    }
    identify(rules, entry, &mut record.identity);
    record.parent = entry.parent().or(record.parent);
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
    match (circumstances.lockout_duration, entry.number("lockoutTime")) {
        (None, _) => record.locked_until = 0,
        (Some(length), Some(time)) => {
            record.locked_until = locked_until(time.unwrap_or_default(), length);
        }
        (Some(_), None) => {}
    }
    record.part = match rules.scope.includes(&record, circumstances) {
        true => Part::Inside,
        false if old.part == Part::None => Part::None,
        false => Part::Left,
    };
    findings.password_changed = password_changed(old, &record, entry, circumstances);
    if record.part != Part::Inside {
        let left = record.part == Part::Left;
        if left && record.told.name.is_none() && is_renamed(&old.identity, &record.identity) {
            record.told.name = Some(Box::new(old.identity.clone()));
        }
        return (record, findings);
    }
    for name in rules.mappings.attributes() {
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
    for (name, pointing) in circumstances.references {
        let key = name.to_ascii_lowercase();
        let before = old.references.get(&key).and_then(|referred| referred.object);
        match pointing.referred {
            Some(referred) => record.references.insert(key, referred),
            None => record.references.remove(&key),
        };
        if before != pointing.object() {
            findings.references.insert(name.clone(), pointing.reference.clone());
        }
    }
    (record, findings)
}

/// How the user of an entry is known, as far as the entry tells.
pub fn identify(rules: &Rules, entry: &Entry, identity: &mut Identity) {
    let text = |field: &mut Option<String>, name: &str| {
        if let Some(value) = entry.text(name) {
            *field = value;
        }
    };
    let Identity { sam_account_name, user_principal_name, employee_id, sid, anchor } = identity;
    text(sam_account_name, "sAMAccountName");
    text(user_principal_name, &rules.upn_attribute);
    text(employee_id, "employeeID");
    if let Some(values) = entry.values("objectSid") {
        *sid = values.first().and_then(|bytes| sid_text(bytes));
    }
    if let Some(values) = entry.values("mS-DS-ConsistencyGuid") {
        *anchor = values.first().filter(|v| !v.is_empty()).map(|v| BASE64_STANDARD.encode(v));
    }
}

/// Whether consumers have to be told under which name they find the user from now on.
fn is_renamed(before: &Identity, now: &Identity) -> bool {
    before.user_principal_name != now.user_principal_name || before.anchor != now.anchor
}

/// A listed `unicodePwd` with a `pwdLastSet` that is known already is an entry told again, not a
/// change told anew; only 0, which says "must change", may stay what it was. Where nothing is
/// listed, a later time has to do.
fn password_changed(
    old: &Record,
    new: &Record,
    entry: &Entry,
    circumstances: Circumstances<'_>,
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
    circumstances: Circumstances<'_>,
) -> Step {
    let now = circumstances.now;
    let told = record.told.blocked;
    record.told.blocked = record.blocked_to_consumers(now);
    let state = record.told.blocked;
    let mut details = Vec::new();
    match record.part {
        Part::None => return changed(old, record, details),
        // Whoever was blocked already stays so, for the reason that was told. Who leaves with a new
        // name has to be found by it; what is new outside waits for the return.
        Part::Left => {
            if old.part == Part::Inside
                && let Some(previous) = record.told.name.take()
            {
                details.push(Detail::UserRenamed { previous });
            }
            details.extend(state.filter(|_| told != state).map(blocked));
            return changed(old, record, details);
        }
        Part::Inside if old.part == Part::None => {
            let [joined, _] = memberships(rules, &mut record, circumstances);
            let is_told = match circumstances.arrival {
                Arrival::Baseline => false,
                Arrival::Rescoped => *old == Record::default(),
                Arrival::Created => true,
            };
            if is_told {
                details.push(Detail::UserCreated { enabled: state.is_none() });
                details.extend(joined);
                details.extend(modified(findings));
            }
            return changed(old, record, details);
        }
        Part::Inside => {}
    }
    if state == Some(Reason::Deleted) {
        details.extend(state.filter(|_| told != state).map(blocked));
        return changed(old, record, details);
    }
    let previous = record.told.name.take().unwrap_or_else(|| Box::new(old.identity.clone()));
    if is_renamed(&previous, &record.identity) {
        details.push(Detail::UserRenamed { previous });
    }
    // A reason that gives way to another is told: a consumer may ignore the one and not the other.
    details.extend(state.filter(|_| told != state).map(blocked));
    if findings.password_changed {
        let must_change = record.must_change_password();
        details.push(Detail::PasswordChanged { must_change });
    }
    let [joined, left] = memberships(rules, &mut record, circumstances);
    details.extend(left);
    if let (Some(ended), None) = (told, state) {
        details.push(Detail::AccountEnabled { ended });
    }
    details.extend(joined);
    details.extend(modified(findings));
    changed(old, record, details)
}

/// The mapped groups that the user has joined and left, as far as that is to be told.
fn memberships(
    rules: &Rules,
    record: &mut Record,
    circumstances: Circumstances<'_>,
) -> [Vec<Detail>; 2] {
    let (mut joined, mut left) = (Vec::new(), Vec::new());
    for group in &rules.groups {
        let Some(object) = circumstances.named.object(group) else { continue };
        let member = circumstances.groups.contains(&object);
        let known = match member {
            true => !record.told.groups.insert(normalised(group)),
            false => !record.told.groups.remove(&normalised(group)),
        };
        if !known && circumstances.named.is_established(object) {
            let list = if member { &mut joined } else { &mut left };
            list.push(Detail::MembershipChanged { group: group.clone(), member });
        }
    }
    [joined, left]
}

fn modified(Findings { attributes, references, .. }: Findings) -> Option<Detail> {
    (!attributes.is_empty() || !references.is_empty())
        .then_some(Detail::AttributesModified { attributes, references })
}

fn changed(old: &Record, record: Record, details: Vec<Detail>) -> Step {
    if details.is_empty() && *old == record {
        return Step::Ignore;
    }
    Step::Change { record: Box::new(record), details }
}

#[cfg(test)]
mod tests;
