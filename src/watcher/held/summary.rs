//! What a person looks at before deciding about a batch.

use std::collections::BTreeMap;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use crate::{
    directory::dn,
    watcher::{
        guard::{Held, Holdings, Loss},
        record::Record,
    },
};

/// Users of a batch that are shown.
const SAMPLE: usize = 10;

/// A user of whom something is held.
#[derive(Debug, Clone)]
pub struct Holding {
    /// objectGUID.
    pub object: Uuid,
    /// What the ledger knows.
    pub record: Record,
    /// What is held and meant.
    pub held: Holdings,
}

/// The same, for a person.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct HeldUser {
    /// objectGUID.
    pub object: Uuid,
    /// sAMAccountName.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub user: Option<String>,
    /// Distinguished name.
    pub dn: String,
    /// The batch.
    pub batch: u64,
    /// What kind of change it is.
    pub kind: Loss,
    /// What changed: the reason of a block, attributes, groups.
    pub changes: Vec<String>,
}

/// A batch, for a person.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct BatchSummary {
    /// Its number.
    pub batch: u64,
    /// What kind of change it is.
    pub kind: Loss,
    /// Since when the first of it is held.
    pub since: Timestamp,
    /// Of how many users.
    pub users: u64,
    /// Users by what changed.
    pub by_change: BTreeMap<String, u64>,
    /// Users by the container they are in.
    pub by_unit: BTreeMap<String, u64>,
    /// Some of the users.
    pub sample: Vec<HeldUser>,
}

/// The batches, the oldest first.
pub fn summaries(found: &[Holding]) -> Vec<BatchSummary> {
    let mut batches: BTreeMap<u64, BatchSummary> = BTreeMap::new();
    for holding in found {
        for user in holding.users() {
            let since = holding.held[&user.kind].since;
            let batch = batches.entry(user.batch).or_insert_with(|| BatchSummary {
                batch: user.batch,
                kind: user.kind,
                since,
                users: 0,
                by_change: BTreeMap::new(),
                by_unit: BTreeMap::new(),
                sample: Vec::new(),
            });
            batch.since = batch.since.min(since);
            batch.users += 1;
            for change in &user.changes {
                *batch.by_change.entry(change.clone()).or_default() += 1;
            }
            *batch.by_unit.entry(dn::parent(&user.dn).to_owned()).or_default() += 1;
            if batch.sample.len() < SAMPLE {
                batch.sample.push(user);
            }
        }
    }
    batches.into_values().collect()
}

impl Holding {
    /// One for each kind that is held of the user.
    pub fn users(&self) -> impl Iterator<Item = HeldUser> {
        self.held.iter().map(|(kind, held)| HeldUser {
            object: self.object,
            user: self.record.identity.sam_account_name.clone(),
            dn: self.record.dn.clone(),
            batch: held.batch,
            kind: *kind,
            changes: changes(*kind, held),
        })
    }
}

fn changes(kind: Loss, held: &Held) -> Vec<String> {
    match (kind, held.reason) {
        (Loss::Blank | Loss::RemoveMember, _) => held.names.iter().cloned().collect(),
        (_, Some(reason)) if held.by_clock => vec![format!("{} by a wrong clock", reason.as_str())],
        (_, Some(reason)) => vec![reason.as_str().to_owned()],
        (_, None) => vec!["no longer expired, by a wrong clock".to_owned()],
    }
}
