//! The journal's file: entries by object and time, and an order by time in which they go.

use std::{
    path::{Path, PathBuf},
    sync::{Mutex, PoisonError},
    time::Duration,
};

use jiff::Timestamp;
use redb::{Database, ReadableDatabase, ReadableTable, TableDefinition, WriteTransaction};
use sha2::{Digest, Sha256};
use uuid::Uuid;

use super::{Bounds, JournalError};
use crate::{guarded_file, queue::journal::Entry};

/// objectGUID, microseconds, tag → entry in JSON.
const ENTRIES: TableDefinition<(u128, u64, u64), &[u8]> = TableDefinition::new("entries");
/// Microseconds, objectGUID, tag → bytes: the order in which entries go.
const ORDER: TableDefinition<(u64, u128, u64), u32> = TableDefinition::new("order");
/// Facts about the whole.
const META: TableDefinition<&str, u64> = TableDefinition::new("meta");

/// How many bytes the entries take, their keys included.
const BYTES: &str = "bytes";

/// What an entry takes beside its own bytes: two keys and a size.
const KEYS: u64 = 80;

/// The most entries that go with one commit: whatever is too much goes with the next ones.
const MOST_AT_ONCE: usize = 10_000;

/// Much more than a reader of one user needs.
const CACHE_BYTES: usize = 4 << 20;

/// An open file. All calls block.
#[derive(Debug)]
pub(super) struct File {
    path: PathBuf,
    /// None after a failure: an I/O error, as of a full disk, makes the handle useless.
    database: Mutex<Option<Database>>,
}

impl File {
    /// Opens or makes the file.
    pub(super) fn open(path: &Path) -> Result<File, JournalError> {
        let database = Mutex::new(Some(open(path)?));
        Ok(File { path: path.to_owned(), database })
    }

    /// Works on the file, which is opened anew first where it failed before.
    pub(super) fn with<T>(
        &self,
        work: impl FnOnce(&Database) -> Result<T, JournalError>,
    ) -> Result<T, JournalError> {
        let mut database = self.database.lock().unwrap_or_else(PoisonError::into_inner);
        let open = match database.take() {
            Some(open) => open,
            None => open(&self.path)?,
        };
        let result = work(&open);
        *database = result.is_ok().then_some(open);
        result
    }
}

fn open(path: &Path) -> Result<Database, JournalError> {
    let open = |cause: String| JournalError::Open { path: path.to_owned(), cause };
    if let Some(folder) = path.parent().filter(|folder| !folder.as_os_str().is_empty()) {
        std::fs::create_dir_all(folder).map_err(|cause| open(cause.to_string()))?;
    }
    let mut builder = Database::builder();
    let database = guarded_file::open_store(path, builder.set_cache_size(CACHE_BYTES));
    let database = database.map_err(|cause| open(cause.to_string()))?;
    let transaction = database.begin_write()?;
    transaction.open_table(ENTRIES)?;
    transaction.open_table(ORDER)?;
    transaction.open_table(META)?;
    transaction.commit()?;
    Ok(database)
}

/// Adds entries, lets those go for which no room is left, and tells how many bytes are in use. An
/// entry that is there already stays one.
pub(super) fn write(
    database: &Database,
    entries: &[Entry],
    bounds: Bounds,
    now: Timestamp,
) -> Result<u64, JournalError> {
    let transaction = database.begin_write()?;
    let mut bytes = read_bytes(&transaction)?;
    {
        let mut kept = transaction.open_table(ENTRIES)?;
        let mut order = transaction.open_table(ORDER)?;
        for entry in entries {
            let text = serde_json::to_vec(entry)
                .map_err(|error| JournalError::Failed(error.to_string()))?;
            let (time, object, tag) = (micros(entry.time), entry.object.as_u128(), tag(&text));
            let size = u32::try_from(text.len()).unwrap_or(u32::MAX);
            if kept.insert((object, time, tag), text.as_slice())?.is_none() {
                order.insert((time, object, tag), size)?;
                bytes += cost(size);
            }
        }
        let oldest = micros(now).saturating_sub(in_micros(bounds.keep));
        for _ in 0..MOST_AT_ONCE {
            let Some((key, size)) = order.first()?.map(|(key, size)| (key.value(), size.value()))
            else {
                break;
            };
            let (time, object, tag) = key;
            if time >= oldest && bytes <= bounds.max_bytes {
                break;
            }
            order.remove(key)?;
            kept.remove((object, time, tag))?;
            bytes = bytes.saturating_sub(cost(size));
        }
        transaction.open_table(META)?.insert(BYTES, bytes)?;
    }
    transaction.commit()?;
    Ok(bytes)
}

/// The last entries of an object, the oldest first.
pub(super) fn read(
    database: &Database,
    object: Uuid,
    since: Option<Timestamp>,
    limit: usize,
) -> Result<Vec<Entry>, JournalError> {
    let entries = database.begin_read()?.open_table(ENTRIES)?;
    let (object, since) = (object.as_u128(), since.map_or(0, micros));
    let mut found = Vec::new();
    for row in entries.range((object, since, 0)..=(object, u64::MAX, u64::MAX))?.rev().take(limit) {
        // What an older version wrote and this one cannot read is left out.
        found.extend(serde_json::from_slice::<Entry>(row?.1.value()));
    }
    found.reverse();
    Ok(found)
}

/// How many entries there are.
#[cfg(test)]
pub(super) fn len(database: &Database) -> u64 {
    use redb::ReadableTableMetadata;
    let transaction = database.begin_read().expect("a transaction");
    transaction.open_table(ENTRIES).expect("a table").len().expect("a length")
}

fn read_bytes(transaction: &WriteTransaction) -> Result<u64, JournalError> {
    let meta = transaction.open_table(META)?;
    Ok(meta.get(BYTES)?.map_or(0, |bytes| bytes.value()))
}

/// What an entry takes of the file: B-trees leave a part of their pages free, and so does redb, which
/// writes anew what it changes and grows by doubling.
fn cost(size: u32) -> u64 {
    2 * (u64::from(size) + KEYS)
}

/// Tells entries of one instant apart, and makes equal ones one.
fn tag(text: &[u8]) -> u64 {
    let hash = Sha256::digest(text);
    u64::from_be_bytes(hash[..8].try_into().expect("a hash has 32 bytes"))
}

fn micros(time: Timestamp) -> u64 {
    u64::try_from(time.as_microsecond()).unwrap_or(0)
}

fn in_micros(length: Duration) -> u64 {
    u64::try_from(length.as_micros()).unwrap_or(u64::MAX)
}
