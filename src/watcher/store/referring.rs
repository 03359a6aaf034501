//! Who names whom: an index of the ledger, so that nobody has to look at every record. What no longer
//! holds is not taken out: who is looked at once too often is found unchanged.

use redb::{ReadableDatabase, TableDefinition, WriteTransaction};
use uuid::Uuid;

use super::{Batch, Store, StoreError};

/// objectGUIDs of who is named and who names.
pub(super) const REFERRING: TableDefinition<(u128, u128), ()> = TableDefinition::new("referring");

impl Store {
    /// Who names this user, or did.
    pub fn referring(&self, object: Uuid) -> Result<Vec<Uuid>, StoreError> {
        let referring = self.database.begin_read()?.open_table(REFERRING)?;
        let named = object.as_u128();
        let rows = referring.range((named, 0)..=(named, u128::MAX))?;
        rows.map(|row| Ok(Uuid::from_u128(row?.0.value().1))).collect()
    }
}

/// Takes in whom the records of a batch name.
pub(super) fn refer(transaction: &WriteTransaction, batch: &Batch) -> Result<(), StoreError> {
    let mut referring = transaction.open_table(REFERRING)?;
    for (object, record) in &batch.records {
        for named in record.references.values().filter_map(|referred| referred.object) {
            referring.insert((named.as_u128(), object.as_u128()), ())?;
        }
    }
    Ok(())
}
