//! What is being published: the exact messages, the records that follow, and the cursor that comes
//! after.

use std::collections::BTreeMap;

use redb::{ReadableDatabase, ReadableTable, ReadableTableMetadata, TableDefinition};
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use super::{
    Batch, HELD, LEDGER, META, Store, StoreError, agenda, decode, encode, hold, passwords,
    postponed, put, put_facts, referring,
};
use crate::queue::Message;

/// Position → header and body of a message that is being published.
pub(super) const OUTBOX: TableDefinition<u64, (&[u8], &[u8])> = TableDefinition::new("outbox");
/// Records that follow from the outbox.
pub(super) const OUTBOX_RECORDS: TableDefinition<u128, &[u8]> =
    TableDefinition::new("outbox_records");
/// What of that follows from the outbox: where nothing is held any longer, an empty one.
pub(super) const OUTBOX_HELD: TableDefinition<u128, &[u8]> = TableDefinition::new("outbox_held");
/// Facts that follow from the outbox.
pub(super) const OUTBOX_META: TableDefinition<&str, &[u8]> = TableDefinition::new("outbox_meta");

impl Store {
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
            let mut held = transaction.open_table(OUTBOX_HELD)?;
            for (object, holdings) in &batch.held {
                held.insert(object.as_u128(), encode(holdings)?.as_slice())?;
            }
            passwords::spend(transaction, &batch.spent)?;
            let mut meta = transaction.open_table(OUTBOX_META)?;
            put_facts(&mut meta, batch)?;
            // Even a batch without facts must be seen to be there.
            put(&mut meta, "staged", &true)?;
            postponed::postpone(transaction, batch)?;
            referring::refer(transaction, batch)?;
            agenda::schedule(transaction, &batch.due)
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
            let mut held = transaction.open_table(HELD)?;
            let mut changes = transaction.open_table(OUTBOX_HELD)?;
            for row in changes.iter()? {
                let (object, holdings) = row?;
                hold(&mut held, object.value(), holdings.value())?;
            }
            changes.retain(|_, _| false)?;
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
