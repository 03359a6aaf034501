//! Who is to be read again, and when: access that waits until a server has caught up.

use jiff::Timestamp;
use redb::{
    ReadableDatabase, ReadableTable, ReadableTableMetadata, TableDefinition, WriteTransaction,
};
use uuid::Uuid;

use super::{Batch, Store, StoreError};

/// Unix time in microseconds and objectGUID.
pub(super) const POSTPONED: TableDefinition<(i64, u128), ()> = TableDefinition::new("postponed");

impl Store {
    /// When the next one is to be read again.
    pub fn next_postponed(&self) -> Result<Option<Timestamp>, StoreError> {
        let postponed = self.database.begin_read()?.open_table(POSTPONED)?;
        let first = postponed.first()?.map(|(key, _)| key.value().0);
        Ok(first.map(|at| Timestamp::from_microsecond(at).unwrap_or(Timestamp::MAX)))
    }

    /// Who is to be read again by `now`, each once.
    pub fn postponed(
        &self,
        now: Timestamp,
        limit: usize,
    ) -> Result<Vec<(Timestamp, Uuid)>, StoreError> {
        let postponed = self.database.begin_read()?.open_table(POSTPONED)?;
        let mut due = Vec::new();
        for row in postponed.range(..=(now.as_microsecond(), u128::MAX))?.take(limit) {
            let (at, object) = row?.0.value();
            let at = Timestamp::from_microsecond(at).unwrap_or(Timestamp::MIN);
            due.push((at, Uuid::from_u128(object)));
        }
        Ok(due)
    }

    /// How often somebody is to be read again.
    pub fn postponements(&self) -> Result<u64, StoreError> {
        Ok(self.database.begin_read()?.open_table(POSTPONED)?.len()?)
    }

    /// These have been read again.
    pub fn no_longer_postponed(&self, done: &[(Timestamp, Uuid)]) -> Result<(), StoreError> {
        self.write(|transaction| {
            let mut postponed = transaction.open_table(POSTPONED)?;
            for (at, object) in done {
                postponed.remove((at.as_microsecond(), object.as_u128()))?;
            }
            Ok(())
        })
    }
}

/// Written with the batch that it follows from, before anything of that is published: to read
/// somebody once too often does no harm.
pub(super) fn postpone(transaction: &WriteTransaction, batch: &Batch) -> Result<(), StoreError> {
    let mut postponed = transaction.open_table(POSTPONED)?;
    for (object, until) in &batch.postponed {
        postponed.insert((until.as_microsecond(), object.as_u128()), ())?;
    }
    Ok(())
}
