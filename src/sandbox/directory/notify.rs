//! Change notification (MS-ADTS 3.1.1.3.4.1.9): a search that never ends and sends what changes.

use std::sync::Arc;

use bytes::Bytes;
use ldap3_proto::proto::{LdapMsg, LdapOp};
use tokio::sync::mpsc;

use super::{
    codec,
    object::Usn,
    search::{Query, SCAN_CHUNK},
    server::Directory,
};

/// Entries sent in one go.
const BATCH: usize = 256;

/// Sends every object of the query that changes after `since`, as it is then, until aborted. Changes
/// in quick succession may be told as one; none is lost, for they are looked up by their USN.
pub async fn watch(
    directory: Arc<Directory>,
    query: Query,
    id: i32,
    mut since: Usn,
    replies: mpsc::Sender<Bytes>,
) {
    let mut changes = directory.changes();
    loop {
        // The directory outlives its connections, so waiting cannot fail.
        if changes.wait_for(|usn| *usn > since).await.is_err() {
            return;
        }
        directory.faults.notifications_released().await;
        let Ok(bytes) = codec::encode(news(&directory, &query, id, &mut since)) else { return };
        if !bytes.is_empty() && replies.send(bytes).await.is_err() {
            return;
        }
    }
}

/// The next objects to tell of; moves `since` behind them.
fn news(directory: &Directory, query: &Query, id: i32, since: &mut Usn) -> Vec<LdapMsg> {
    let store = directory.read();
    let mut messages = Vec::new();
    for (seen, (usn, slot)) in store.changed(*since).enumerate() {
        if seen == SCAN_CHUNK || messages.len() == BATCH {
            return messages;
        }
        if query.matches(&store, slot) {
            messages.push(LdapMsg::new(id, LdapOp::SearchResultEntry(query.entry(&store, slot))));
        }
        *since = usn;
    }
    *since = store.highest_usn();
    messages
}
