//! The watcher's memory: ledger, cursor and outbox in one redb file.
//!
//! The outbox holds a batch that is being published: the exact messages, the records that follow,
//! and the cursor that comes after. [`Store::stage`] writes it, [`Store::commit`] makes it the
//! truth; each is one durable transaction. A crash in between leaves the outbox, and the same
//! bytes go out again.

use std::{
    collections::BTreeMap,
    path::{Path, PathBuf},
    sync::Arc,
};

use redb::{
    Database, DatabaseError, ReadableDatabase, ReadableTable, ReadableTableMetadata,
    StorageBackend, TableDefinition, WriteTransaction,
};
use serde::{Deserialize, Serialize, de::DeserializeOwned};
use thiserror::Error;
use uuid::Uuid;

use super::record::Record;
use crate::{directory::Cursor, queue::Message};

/// Facts about the whole.
const META: TableDefinition<&str, &[u8]> = TableDefinition::new("meta");
/// objectGUID → record.
const LEDGER: TableDefinition<u128, &[u8]> = TableDefinition::new("ledger");
/// Position → header and body of a message that is being published.
const OUTBOX: TableDefinition<u64, (&[u8], &[u8])> = TableDefinition::new("outbox");
/// Records that follow from the outbox.
const OUTBOX_RECORDS: TableDefinition<u128, &[u8]> = TableDefinition::new("outbox_records");
/// Facts that follow from the outbox.
const OUTBOX_META: TableDefinition<&str, &[u8]> = TableDefinition::new("outbox_meta");

/// redb's own default of 1 GiB is more than the whole process should need.
const CACHE_BYTES: usize = 16 << 20;

mod key {
    pub const SOURCE: &str = "source";
    pub const CURSOR: &str = "cursor";
    pub const SEQUENCE: &str = "sequence";
    pub const PASSWORD_SIGNAL: &str = "password_signal";
    pub const UNRECONCILED: &str = "unreconciled";
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
#[derive(Debug, Default)]
pub struct Batch {
    /// New records.
    pub records: BTreeMap<Uuid, Record>,
    /// What is told, in this order.
    pub messages: Vec<Message>,
    /// Where to go on reading.
    pub cursor: Option<Cursor>,
    /// The highest sequence in use, if it moved.
    pub sequence: Option<u64>,
    /// Set once the server is known to list changed passwords.
    pub password_signal: bool,
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
        let database =
            Database::builder().set_cache_size(CACHE_BYTES).create(path).map_err(|cause| {
                match cause {
                    DatabaseError::DatabaseAlreadyOpen => StoreError::InUse(path.to_owned()),
                    cause => open(cause.to_string()),
                }
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
            transaction.open_table(OUTBOX)?;
            transaction.open_table(OUTBOX_RECORDS)?;
            transaction.open_table(OUTBOX_META)?;
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

    /// Where to go on reading; none before the end of the first baseline.
    pub fn cursor(&self) -> Result<Option<Cursor>, StoreError> {
        Ok(self.meta::<Vec<u8>>(key::CURSOR)?.map(Cursor))
    }

    /// The highest sequence in use, the outbox included.
    pub fn sequence(&self) -> Result<u64, StoreError> {
        let transaction = self.database.begin_read()?;
        let staged = get(&transaction.open_table(OUTBOX_META)?, key::SEQUENCE)?;
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

    /// Whether a batch is being published.
    pub fn is_staged(&self) -> Result<bool, StoreError> {
        Ok(!self.database.begin_read()?.open_table(OUTBOX_META)?.is_empty()?)
    }

    /// The messages that are being published, in order, byte for byte as they were staged.
    pub fn outbox(&self) -> Result<Vec<Message>, StoreError> {
        let outbox = self.database.begin_read()?.open_table(OUTBOX)?;
        let mut messages = Vec::new();
        for row in outbox.iter()? {
            let (_, value) = row?;
            let (header, body) = value.value();
            messages.push(decode::<Header>(header)?.with_body(body));
        }
        Ok(messages)
    }

    /// Writes a batch into the outbox, which must be empty.
    pub fn stage(&self, batch: &Batch) -> Result<(), StoreError> {
        self.write(|transaction| {
            let mut outbox = transaction.open_table(OUTBOX)?;
            for (position, message) in batch.messages.iter().enumerate() {
                let header = encode(&Header::of(message))?;
                outbox.insert(position as u64, (header.as_slice(), message.body.as_ref()))?;
            }
            let mut records = transaction.open_table(OUTBOX_RECORDS)?;
            for (object, record) in &batch.records {
                records.insert(object.as_u128(), encode(record)?.as_slice())?;
            }
            let mut meta = transaction.open_table(OUTBOX_META)?;
            put_facts(&mut meta, batch)?;
            // Even a batch without facts must be seen to be there.
            put(&mut meta, "staged", &true)
        })
    }

    /// Every message of the outbox is confirmed: its records and its cursor become the truth.
    pub fn commit(&self) -> Result<(), StoreError> {
        self.write(|transaction| {
            let mut ledger = transaction.open_table(LEDGER)?;
            let mut records = transaction.open_table(OUTBOX_RECORDS)?;
            for row in records.iter()? {
                let (object, record) = row?;
                ledger.insert(object.value(), record.value())?;
            }
            records.retain(|_, _| false)?;
            let mut meta = transaction.open_table(META)?;
            let mut facts = transaction.open_table(OUTBOX_META)?;
            for row in facts.iter()? {
                let (name, value) = row?;
                if name.value() != "staged" {
                    meta.insert(name.value(), value.value())?;
                }
            }
            facts.retain(|_, _| false)?;
            transaction.open_table(OUTBOX)?.retain(|_, _| false)?;
            Ok(())
        })
    }

    /// Makes a batch that tells nothing the truth at once.
    pub fn apply(&self, batch: &Batch) -> Result<(), StoreError> {
        self.write(|transaction| {
            let mut ledger = transaction.open_table(LEDGER)?;
            for (object, record) in &batch.records {
                ledger.insert(object.as_u128(), encode(record)?.as_slice())?;
            }
            put_facts(&mut transaction.open_table(META)?, batch)
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

/// A message without its body.
#[derive(Serialize, Deserialize)]
struct Header {
    id: Uuid,
    kind: String,
    object: Uuid,
    content_type: String,
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    headers: BTreeMap<String, String>,
}

impl Header {
    fn of(message: &Message) -> Header {
        Header {
            id: message.id,
            kind: message.kind.clone(),
            object: message.object,
            content_type: message.content_type.clone(),
            headers: message.headers.clone(),
        }
    }

    fn with_body(self, body: &[u8]) -> Message {
        let Header { id, kind, object, content_type, headers } = self;
        Message { id, kind, object, content_type, headers, body: body.to_vec().into() }
    }
}

fn put_facts(
    meta: &mut redb::Table<'_, &'static str, &'static [u8]>,
    batch: &Batch,
) -> Result<(), StoreError> {
    if let Some(cursor) = &batch.cursor {
        put(meta, key::CURSOR, &cursor.0)?;
    }
    if let Some(sequence) = batch.sequence {
        put(meta, key::SEQUENCE, &sequence)?;
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
mod tests {
    use redb::backends::InMemoryBackend;

    use super::*;

    fn message(n: u128) -> Message {
        Message {
            id: Uuid::from_u128(n),
            kind: "k".into(),
            object: Uuid::from_u128(n + 100),
            content_type: "c".into(),
            headers: BTreeMap::from([("relay-key-id".into(), "1".into())]),
            body: vec![0, n as u8, 255].into(),
        }
    }

    fn batch(n: u128) -> Batch {
        Batch {
            records: [(Uuid::from_u128(n), Record { dn: format!("CN={n}"), ..Record::default() })]
                .into(),
            messages: (0..12).map(|k| message(n * 100 + k)).collect(),
            cursor: Some(Cursor(vec![n as u8])),
            sequence: Some(n as u64),
            password_signal: false,
        }
    }

    #[test]
    fn a_staged_batch_is_the_truth_only_after_the_commit() {
        let store = Store::on(InMemoryBackend::new(), "s").expect("store");
        assert!(!store.is_staged().expect("read"));
        store.stage(&batch(1)).expect("stage");
        assert!(store.is_staged().expect("read"));
        assert_eq!(store.outbox().expect("read"), batch(1).messages);
        assert_eq!(store.cursor().expect("read"), None);
        assert_eq!(store.record(Uuid::from_u128(1)).expect("read"), None);
        assert_eq!(store.sequence().expect("read"), 1, "a sequence in the outbox is in use");
        store.commit().expect("commit");
        assert!(!store.is_staged().expect("read"));
        assert!(store.outbox().expect("read").is_empty());
        assert_eq!(store.cursor().expect("read"), Some(Cursor(vec![1])));
        assert_eq!(store.record(Uuid::from_u128(1)).expect("read").expect("there").dn, "CN=1");
        store.apply(&Batch { messages: Vec::new(), ..batch(2) }).expect("apply");
        assert_eq!(store.cursor().expect("read"), Some(Cursor(vec![2])));
        assert_eq!(store.len().expect("read"), 2);
        assert_eq!(store.alive(None, 1).expect("read"), [Uuid::from_u128(1)]);
        let after = Some(Uuid::from_u128(1));
        assert_eq!(store.alive(after, 9).expect("read"), [Uuid::from_u128(2)]);
    }

    #[test]
    fn a_file_is_for_one_process_and_one_directory() {
        let dir = tempfile::tempdir().expect("tempdir");
        let path = dir.path().join("deeper/watcher.redb");
        let store = Store::open(&path, "ldap:///dc=a").expect("made");
        let error = Store::open(&path, "ldap:///dc=a").expect_err("in use");
        assert!(matches!(error, StoreError::InUse(_)), "{error}");
        store.stage(&batch(1)).expect("stage");
        drop(store);
        let error = Store::open(&path, "ldap:///dc=b").expect_err("other").to_string();
        assert!(error.contains("ldap:///dc=a"), "{error}");
        let store = Store::open(&path, "ldap:///dc=a").expect("opens");
        assert_eq!(store.outbox().expect("read"), batch(1).messages, "kept over a restart");
    }

    #[test]
    fn a_file_that_is_no_store_is_refused() {
        let dir = tempfile::tempdir().expect("tempdir");
        let path = dir.path().join("x");
        std::fs::write(&path, b"not a database, and long enough to be looked at").expect("write");
        let error = Store::open(&path, "s").expect_err("refused").to_string();
        assert!(error.contains("state.path"), "{error}");
    }
}
