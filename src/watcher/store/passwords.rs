//! Sealed passwords that wait for their change to show.

use jiff::Timestamp;
use redb::{
    ReadableDatabase, ReadableTable, ReadableTableMetadata, TableDefinition, WriteTransaction,
};
use uuid::Uuid;

use super::{Store, StoreError, decode, encode};
use crate::{passwords::Shelf, watcher::candidate::Candidate};

/// Account, time in microseconds and id → the candidate.
pub(super) const PASSWORDS: TableDefinition<(&str, i64, u128), &[u8]> =
    TableDefinition::new("passwords");

/// The most that wait at once: some kilobytes each.
const MOST: u64 = 50_000;

/// Where a candidate lies.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Place {
    account: String,
    at: i64,
    id: Uuid,
}

impl Place {
    /// The place of a candidate.
    pub fn of(candidate: &Candidate) -> Place {
        let Candidate { account, at, id, .. } = candidate;
        Place { account: account.clone(), at: at.as_microsecond(), id: *id }
    }

    fn key(&self) -> (&str, i64, u128) {
        (&self.account, self.at, self.id.as_u128())
    }
}

impl Store {
    /// What waits for an account, in the order of its times.
    pub fn passwords(&self, account: &str) -> Result<Vec<Candidate>, StoreError> {
        let table = self.database.begin_read()?.open_table(PASSWORDS)?;
        let mut found = Vec::new();
        for row in table.range((account, i64::MIN, 0)..=(account, i64::MAX, u128::MAX))? {
            found.push(decode(row?.1.value())?);
        }
        Ok(found)
    }

    /// Whether any password waits.
    pub fn awaits_passwords(&self) -> Result<bool, StoreError> {
        Ok(!self.database.begin_read()?.open_table(PASSWORDS)?.is_empty()?)
    }

    /// The accounts for which a password waits that is known to be set.
    pub fn accounts_with_committed(&self) -> Result<Vec<String>, StoreError> {
        let table = self.database.begin_read()?.open_table(PASSWORDS)?;
        let mut accounts = Vec::new();
        for row in table.iter()? {
            let candidate: Candidate = decode(row?.1.value())?;
            if candidate.committed {
                accounts.push(candidate.account);
            }
        }
        accounts.dedup();
        Ok(accounts)
    }

    /// Takes passwords out that never will be told.
    pub fn spend_passwords(&self, places: &[Place]) -> Result<(), StoreError> {
        self.write(|transaction| spend(transaction, places))
    }

    /// Wipes what came before `limit` and was never shown to be set. Returns how many.
    pub fn wipe_passwords(&self, limit: Timestamp) -> Result<usize, StoreError> {
        let mut old = Vec::new();
        for row in self.database.begin_read()?.open_table(PASSWORDS)?.iter()? {
            let candidate: Candidate = decode(row?.1.value())?;
            if candidate.received < limit {
                old.push(Place::of(&candidate));
            }
        }
        if !old.is_empty() {
            self.spend_passwords(&old)?;
        }
        Ok(old.len())
    }
}

impl Shelf for Store {
    fn keep(&self, candidate: Candidate) -> Result<(), String> {
        let kept = self.write(|transaction| {
            let mut table = transaction.open_table(PASSWORDS)?;
            if table.len()? >= MOST {
                return Err(StoreError::Failed("too many passwords wait for their change".into()));
            }
            table.insert(Place::of(&candidate).key(), encode(&candidate)?.as_slice())?;
            Ok(())
        });
        kept.map_err(|error| error.to_string())
    }
}

/// Takes passwords out: those that are told, and those that never will be.
pub(super) fn spend(transaction: &WriteTransaction, places: &[Place]) -> Result<(), StoreError> {
    let mut table = transaction.open_table(PASSWORDS)?;
    for place in places {
        table.remove(place.key())?;
    }
    Ok(())
}
