//! The watcher's memory: ledger, cursor and outbox in one redb file.
//!
//! The outbox holds a batch that is being published: the exact messages, the records that follow,
//! and the cursor that comes after. [`Store::stage`] writes it, [`Store::commit`] makes it the
//! truth; each is one durable transaction. A crash in between leaves the outbox, and the same
//! bytes go out again.

mod agenda;
mod outbox;
mod passwords;
mod postponed;
mod referring;
mod surroundings;

use std::{
    collections::{BTreeMap, BTreeSet},
    path::{Path, PathBuf},
    sync::Arc,
};

use jiff::Timestamp;
use redb::{
    Database, DatabaseError, ReadableDatabase, ReadableTable, ReadableTableMetadata,
    StorageBackend, TableDefinition, WriteTransaction,
};
use serde::{Serialize, de::DeserializeOwned};
use thiserror::Error;
use uuid::Uuid;

pub use self::{
    agenda::Due,
    passwords::Place,
    surroundings::{Container, Surroundings},
};
use super::{
    footing::Footing,
    guard::{Counts, Holdings},
    record::Record,
};
use crate::{directory::Cursor, guarded_file, queue::Message};

/// Facts about the whole.
const META: TableDefinition<&str, &[u8]> = TableDefinition::new("meta");
/// objectGUID → record.
const LEDGER: TableDefinition<u128, &[u8]> = TableDefinition::new("ledger");
/// objectGUID → what is seen and not told.
const HELD: TableDefinition<u128, &[u8]> = TableDefinition::new("held");

/// redb's own default of 1 GiB is more than the whole process should need.
const CACHE_BYTES: usize = 16 << 20;

mod key {
    pub const SOURCE: &str = "source";
    pub const CURSOR: &str = "cursor";
    pub const SEQUENCE: &str = "sequence";
    pub const PASSWORD_SIGNAL: &str = "password_signal";
    pub const UNRECONCILED: &str = "unreconciled";
    pub const GUARD: &str = "guard";
    pub const FOOTING: &str = "footing";
    pub const LOCKOUT_DURATION: &str = "lockout_duration";
    pub const CONFIGURATION: &str = "configuration";
}

/// Why the store cannot be used. Nothing can be done without it, so the watcher stops.
#[derive(Debug, Error)]
pub enum StoreError {
    /// Another process has the file open.
    #[error("{0} is in use by another process; only one watcher can use a store")]
    InUse(PathBuf),
    /// The file cannot be opened or made.
    #[error("cannot open the store {path}: {cause}; check state.path and the rights on its folder")]
    Open {
        /// The file.
        path: PathBuf,
        /// The cause.
        cause: String,
    },
    /// The store belongs to another directory.
    #[error("the store was made for {found}, not for {wanted}; name another file in state.path")]
    OtherDirectory {
        /// As recorded.
        found: String,
        /// As configured.
        wanted: String,
    },
    /// Reading or writing failed.
    #[error("the store failed: {0}")]
    Failed(String),
}

impl<E: Into<redb::Error>> From<E> for StoreError {
    fn from(cause: E) -> StoreError {
        StoreError::Failed(cause.into().to_string())
    }
}

/// A batch: what was read, what it means, and what is told of it.
#[derive(Debug, Default, PartialEq)]
pub struct Batch {
    /// New records.
    pub records: BTreeMap<Uuid, Record>,
    /// What is held of these objects from now on; empty where nothing is.
    pub held: BTreeMap<Uuid, Holdings>,
    /// What the guard counted, if it counted anything.
    pub counts: Option<Counts>,
    /// What is told, in this order.
    pub messages: Vec<Message>,
    /// Where to go on reading.
    pub cursor: Option<Cursor>,
    /// What the cursor rests on, where that is noted anew.
    pub footing: Option<Footing>,
    /// Who is to be read again, and when.
    pub postponed: BTreeMap<Uuid, Timestamp>,
    /// Set where directory and Entra have to be compared.
    pub unreconciled: bool,
    /// The highest sequence in use, if it moved.
    pub sequence: Option<u64>,
    /// Set once the server is known to list changed passwords.
    pub password_signal: bool,
    /// Who is to be compared again, and when.
    pub due: BTreeSet<Due>,
    /// Passwords that wait no longer: they are told, or never will be.
    pub spent: Vec<Place>,
}

/// The store. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Store {
    database: Arc<Database>,
}

impl Store {
    /// Opens or makes the file, for the directory `source`.
    pub fn open(path: &Path, source: &str) -> Result<Store, StoreError> {
        let open = |cause: String| StoreError::Open { path: path.to_owned(), cause };
        if let Some(folder) = path.parent().filter(|folder| !folder.as_os_str().is_empty()) {
            std::fs::create_dir_all(folder).map_err(|cause| open(cause.to_string()))?;
        }
        let mut builder = Database::builder();
        let database = guarded_file::open_store(path, builder.set_cache_size(CACHE_BYTES));
        let database = database.map_err(|cause| match cause {
            DatabaseError::DatabaseAlreadyOpen => StoreError::InUse(path.to_owned()),
            cause => open(cause.to_string()),
        })?;
        Store::prepare(database, source)
    }

    /// A store on another medium.
    pub fn on(backend: impl StorageBackend, source: &str) -> Result<Store, StoreError> {
        let database =
            Database::builder().set_cache_size(CACHE_BYTES).create_with_backend(backend)?;
        Store::prepare(database, source)
    }

    fn prepare(database: Database, source: &str) -> Result<Store, StoreError> {
        let store = Store { database: Arc::new(database) };
        store.write(|transaction| {
            transaction.open_table(LEDGER)?;
            transaction.open_table(outbox::OUTBOX)?;
            transaction.open_table(outbox::OUTBOX_RECORDS)?;
            transaction.open_table(outbox::OUTBOX_META)?;
            transaction.open_table(HELD)?;
            transaction.open_table(outbox::OUTBOX_HELD)?;
            transaction.open_table(postponed::POSTPONED)?;
            transaction.open_table(agenda::AGENDA)?;
            transaction.open_table(referring::REFERRING)?;
            transaction.open_table(surroundings::CONTAINERS)?;
            transaction.open_table(surroundings::GROUPS)?;
            transaction.open_table(surroundings::MEMBERS)?;
            transaction.open_table(surroundings::MEMBER_OF)?;
            transaction.open_table(surroundings::NAMED)?;
            transaction.open_table(passwords::PASSWORDS)?;
            let mut meta = transaction.open_table(META)?;
            let found = get::<String>(&meta, key::SOURCE)?;
            match found {
                Some(found) if found != source => {
                    Err(StoreError::OtherDirectory { found, wanted: source.to_owned() })
                }
                Some(_) => Ok(()),
                None => {
                    put(&mut meta, key::SOURCE, &source)?;
                    put(&mut meta, key::UNRECONCILED, &true)
                }
            }
        })?;
        Ok(store)
    }

    /// What the ledger knows of an object.
    pub fn record(&self, object: Uuid) -> Result<Option<Record>, StoreError> {
        let ledger = self.database.begin_read()?.open_table(LEDGER)?;
        let value = ledger.get(object.as_u128())?;
        value.map(|value| decode(value.value())).transpose()
    }

    /// How many objects the ledger knows, deleted ones included.
    pub fn len(&self) -> Result<u64, StoreError> {
        Ok(self.database.begin_read()?.open_table(LEDGER)?.len()?)
    }

    /// How many records fit.
    pub fn count(&self, fits: impl Fn(&Record) -> bool) -> Result<u64, StoreError> {
        let ledger = self.database.begin_read()?.open_table(LEDGER)?;
        let mut found = 0;
        for row in ledger.iter()? {
            found += u64::from(fits(&decode::<Record>(row?.1.value())?));
        }
        Ok(found)
    }

    /// The records that fit.
    pub fn find(
        &self,
        fits: impl Fn(Uuid, &Record) -> bool,
    ) -> Result<Vec<(Uuid, Record)>, StoreError> {
        let ledger = self.database.begin_read()?.open_table(LEDGER)?;
        let mut found = Vec::new();
        for row in ledger.iter()? {
            let (object, value) = row?;
            let (object, record) = (Uuid::from_u128(object.value()), decode(value.value())?);
            if fits(object, &record) {
                found.push((object, record));
            }
        }
        Ok(found)
    }

    /// Whether the ledger is empty.
    pub fn is_empty(&self) -> Result<bool, StoreError> {
        Ok(self.len()? == 0)
    }

    /// The objects that the ledger holds as alive, in pages: those after `after`.
    pub fn alive(&self, after: Option<Uuid>, limit: usize) -> Result<Vec<Uuid>, StoreError> {
        let ledger = self.database.begin_read()?.open_table(LEDGER)?;
        let first = after.map_or(0, |object| object.as_u128().saturating_add(1));
        let mut found = Vec::new();
        for row in ledger.range(first..)? {
            let (object, value) = row?;
            if !decode::<Record>(value.value())?.deleted {
                found.push(Uuid::from_u128(object.value()));
                if found.len() == limit {
                    break;
                }
            }
        }
        Ok(found)
    }

    /// What is held of an object.
    pub fn held(&self, object: Uuid) -> Result<Holdings, StoreError> {
        let held = self.database.begin_read()?.open_table(HELD)?;
        let value = held.get(object.as_u128())?;
        value.map_or(Ok(Holdings::new()), |value| decode(value.value()))
    }

    /// Everything that is held.
    pub fn all_held(&self) -> Result<BTreeMap<Uuid, Holdings>, StoreError> {
        let held = self.database.begin_read()?.open_table(HELD)?;
        let mut all = BTreeMap::new();
        for row in held.iter()? {
            let (object, value) = row?;
            all.insert(Uuid::from_u128(object.value()), decode(value.value())?);
        }
        Ok(all)
    }

    /// Of how many users something is held.
    pub fn held_users(&self) -> Result<u64, StoreError> {
        Ok(self.database.begin_read()?.open_table(HELD)?.len()?)
    }

    /// What the guard counted.
    pub fn counts(&self) -> Result<Counts, StoreError> {
        Ok(self.meta(key::GUARD)?.unwrap_or_default())
    }

    /// Where to go on reading; none before the end of the first baseline.
    pub fn cursor(&self) -> Result<Option<Cursor>, StoreError> {
        Ok(self.meta::<Vec<u8>>(key::CURSOR)?.map(Cursor))
    }

    /// What the cursor rests on; none before the end of the first baseline.
    pub fn footing(&self) -> Result<Option<Footing>, StoreError> {
        self.meta(key::FOOTING)
    }

    /// The highest sequence in use, the outbox included.
    pub fn sequence(&self) -> Result<u64, StoreError> {
        let transaction = self.database.begin_read()?;
        let staged = get(&transaction.open_table(outbox::OUTBOX_META)?, key::SEQUENCE)?;
        let committed = get(&transaction.open_table(META)?, key::SEQUENCE)?;
        Ok(staged.max(committed).unwrap_or(0))
    }

    /// Whether the server is known to list changed passwords.
    pub fn password_signal(&self) -> Result<bool, StoreError> {
        Ok(self.meta(key::PASSWORD_SIGNAL)?.unwrap_or(false))
    }

    /// Whether directory and Entra were never compared since the last baseline.
    pub fn unreconciled(&self) -> Result<bool, StoreError> {
        Ok(self.meta(key::UNRECONCILED)?.unwrap_or(true))
    }

    /// Directory and Entra have been compared.
    pub fn reconciled(&self) -> Result<(), StoreError> {
        self.write(|transaction| put(&mut transaction.open_table(META)?, key::UNRECONCILED, &false))
    }

    /// Makes a batch that tells nothing the truth at once.
    pub fn apply(&self, batch: &Batch) -> Result<(), StoreError> {
        self.write(|transaction| {
            let mut ledger = transaction.open_table(LEDGER)?;
            for (object, record) in &batch.records {
                ledger.insert(object.as_u128(), encode(record)?.as_slice())?;
            }
            let mut held = transaction.open_table(HELD)?;
            for (object, holdings) in &batch.held {
                hold(&mut held, object.as_u128(), &encode(holdings)?)?;
            }
            passwords::spend(transaction, &batch.spent)?;
            put_facts(&mut transaction.open_table(META)?, batch)?;
            postponed::postpone(transaction, batch)?;
            referring::refer(transaction, batch)?;
            agenda::schedule(transaction, &batch.due)
        })
    }

    fn meta<T: DeserializeOwned>(&self, name: &str) -> Result<Option<T>, StoreError> {
        get(&self.database.begin_read()?.open_table(META)?, name)
    }

    fn write<T>(
        &self,
        work: impl FnOnce(&WriteTransaction) -> Result<T, StoreError>,
    ) -> Result<T, StoreError> {
        let transaction = self.database.begin_write()?;
        let value = work(&transaction)?;
        transaction.commit()?;
        Ok(value)
    }
}

/// Holds what `holdings` says of an object, or nothing where it is empty.
fn hold(
    held: &mut redb::Table<'_, u128, &'static [u8]>,
    object: u128,
    holdings: &[u8],
) -> Result<(), StoreError> {
    if decode::<Holdings>(holdings)?.is_empty() {
        held.remove(object)?;
    } else {
        held.insert(object, holdings)?;
    }
    Ok(())
}

fn put_facts(
    meta: &mut redb::Table<'_, &'static str, &'static [u8]>,
    batch: &Batch,
) -> Result<(), StoreError> {
    if let Some(cursor) = &batch.cursor {
        put(meta, key::CURSOR, &cursor.0)?;
    }
    if let Some(footing) = &batch.footing {
        put(meta, key::FOOTING, footing)?;
    }
    if batch.unreconciled {
        put(meta, key::UNRECONCILED, &true)?;
    }
    if let Some(sequence) = batch.sequence {
        put(meta, key::SEQUENCE, &sequence)?;
    }
    if let Some(counts) = &batch.counts {
        put(meta, key::GUARD, counts)?;
    }
    if batch.password_signal {
        put(meta, key::PASSWORD_SIGNAL, &true)?;
    }
    Ok(())
}

fn put<T: Serialize + ?Sized>(
    table: &mut redb::Table<'_, &'static str, &'static [u8]>,
    name: &str,
    value: &T,
) -> Result<(), StoreError> {
    table.insert(name, encode(value)?.as_slice())?;
    Ok(())
}

fn get<T: DeserializeOwned>(
    table: &impl ReadableTable<&'static str, &'static [u8]>,
    name: &str,
) -> Result<Option<T>, StoreError> {
    let value = table.get(name)?;
    value.map(|value| decode(value.value())).transpose()
}

fn encode<T: Serialize + ?Sized>(value: &T) -> Result<Vec<u8>, StoreError> {
    serde_json::to_vec(value).map_err(|cause| StoreError::Failed(cause.to_string()))
}

fn decode<T: DeserializeOwned>(bytes: &[u8]) -> Result<T, StoreError> {
    serde_json::from_slice(bytes).map_err(|cause| {
        StoreError::Failed(format!("it holds what this version cannot read: {cause}"))
    })
}

#[cfg(test)]
mod tests;
