//! When users have to be compared again without an entry of the directory: because their time has
//! come, or because something around them has changed.
//!
//! An index by time, so that nobody has to look at every record. A time that no longer holds is not
//! taken out: when it comes, the comparison finds nothing.

use jiff::Timestamp;
use redb::{ReadableDatabase, ReadableTable, TableDefinition, WriteTransaction};
use uuid::Uuid;

use super::{Store, StoreError};

/// Unix time in microseconds and objectGUID. At once is the time 0.
pub(super) const AGENDA: TableDefinition<(i64, u128), ()> = TableDefinition::new("agenda");

/// A user who is to be compared again.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Due {
    at: i64,
    /// objectGUID.
    pub object: Uuid,
}

impl Due {
    /// At this time.
    pub fn at(time: Timestamp, object: Uuid) -> Due {
        let late = i64::from(time.subsec_nanosecond() % 1000 != 0);
        Due { at: time.as_microsecond().saturating_add(late).max(1), object }
    }

    /// As soon as possible.
    pub fn now(object: Uuid) -> Due {
        Due { at: 0, object }
    }

    fn key(self) -> (i64, u128) {
        (self.at, self.object.as_u128())
    }
}

impl Store {
    /// When the next user is due.
    pub fn next_due(&self) -> Result<Option<Timestamp>, StoreError> {
        let agenda = self.database.begin_read()?.open_table(AGENDA)?;
        let first = agenda.first()?.map(|(key, _)| key.value().0);
        Ok(first.map(|at| Timestamp::from_microsecond(at).unwrap_or(Timestamp::MAX)))
    }

    /// Who is due by `now`, those of the earliest times first.
    pub fn due(&self, now: Timestamp, limit: usize) -> Result<Vec<Due>, StoreError> {
        let agenda = self.database.begin_read()?.open_table(AGENDA)?;
        let mut due = Vec::new();
        for row in agenda.range(..=(now.as_microsecond(), u128::MAX))?.take(limit) {
            let (at, object) = row?.0.value();
            due.push(Due { at, object: Uuid::from_u128(object) });
        }
        Ok(due)
    }

    /// These have been compared.
    pub fn strike(&self, done: &[Due]) -> Result<(), StoreError> {
        self.write(|transaction| {
            let mut agenda = transaction.open_table(AGENDA)?;
            for due in done {
                agenda.remove(due.key())?;
            }
            Ok(())
        })
    }
}

/// Puts these on the agenda.
pub(super) fn schedule<'a>(
    transaction: &WriteTransaction,
    due: impl IntoIterator<Item = &'a Due>,
) -> Result<(), StoreError> {
    let mut agenda = transaction.open_table(AGENDA)?;
    for due in due {
        agenda.insert(due.key(), ())?;
    }
    Ok(())
}
