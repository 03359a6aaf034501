//! What happened to a user, in entries, and how those of the consumers travel to the watcher.
//!
//! Consumers are stateless, so they send an entry for each event that they settle to one bounded
//! queue, [`super::Queue::Outcomes`]; the watcher, which has a disk of its own, keeps them beside
//! its own entries. Nothing is decided by an entry: the queue drops its oldest messages when nobody
//! reads, whoever can publish can forge one, and none is signed. Entries name properties, never
//! their values.

use std::time::Duration;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use super::Message;

/// MIME type of a message's body: a JSON array of entries.
pub const CONTENT_TYPE: &str = "application/vnd.entra-relay.outcomes+json";

/// The kind under which entries travel.
pub const KIND: &str = "entra-relay.outcomes.v1";

/// The most messages in the queue: about as much as consumers that are busy send in an hour.
pub const QUEUE_MESSAGES: u32 = 5000;

/// The most bytes in the queue, where that can be said.
pub const QUEUE_BYTES: u32 = 64 << 20;

/// How long a message waits for a watcher, where that can be said.
pub const QUEUE_AGE: Duration = Duration::from_secs(24 * 3600);

/// The most entries in a message.
pub const MOST: usize = 500;

/// The largest body that is read, in bytes.
const MAX_BODY: usize = 2 << 20;

/// The longest text in an entry, in characters.
const MAX_TEXT: usize = 500;

/// The most actions, or requests, in an entry.
const MAX_LIST: usize = 32;

/// What was done.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum What {
    /// The watcher saw the change and the guard holds it.
    Held,
    /// An operator decided that what was held is not told.
    Rejected,
    /// The watcher saw something that gives access, and looks again later.
    Postponed,
    /// The watcher was asked to tell the user again.
    Asked,
    /// The watcher saw the change and told it.
    Told,
    /// Graph accepted it, or was so already.
    Applied,
    /// Another event of the user stood for it.
    Coalesced,
    /// There was nothing to do.
    Skipped,
    /// It would have been applied, were the consumer not told to observe only.
    Observed,
    /// Its user is not in Entra yet: it is told again later.
    Parked,
    /// Too old to be applied: the watcher was asked for the state now.
    Refreshed,
    /// It was given up.
    DeadLettered,
}

impl What {
    /// The word in output.
    pub fn as_str(self) -> &'static str {
        match self {
            What::Held => "held",
            What::Rejected => "rejected",
            What::Postponed => "postponed",
            What::Asked => "asked",
            What::Told => "told",
            What::Applied => "applied",
            What::Coalesced => "coalesced",
            What::Skipped => "skipped",
            What::Observed => "observed",
            What::Parked => "parked",
            What::Refreshed => "refreshed",
            What::DeadLettered => "dead_lettered",
        }
    }
}

/// A request to Graph, and its answer.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Exchange {
    /// What was asked, as in metrics: `set_enabled`.
    pub operation: String,
    /// HTTP status; none where no answer came.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub status: Option<u16>,
    /// Graph's error code.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub code: Option<String>,
    /// Graph's `request-id`, by which Microsoft finds the request.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub request_id: Option<String>,
}

/// Something that happened to a user.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Entry {
    /// When, by the clock of whoever did it.
    pub time: Timestamp,
    /// objectGUID.
    pub object: Uuid,
    /// What was done.
    pub what: What,
    /// The event that was told, or dealt with.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub event: Option<Uuid>,
    /// Its type in short form: `account.disabled`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub kind: Option<String>,
    /// Why, in a word: of a change, of a skip, of a dead letter.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
    /// More of it: names of properties and groups, numbers, times.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub detail: Option<String>,
    /// What would mend it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub remedy: Option<String>,
    /// Entra object id.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub user: Option<String>,
    /// The key of the configuration that decided.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rule: Option<String>,
    /// What was done, or would have been.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub actions: Vec<String>,
    /// The writes, and whatever failed.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub requests: Vec<Exchange>,
    /// Milliseconds since the change was observed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub latency_ms: Option<u64>,
}

impl Entry {
    /// An entry that says nothing more.
    pub fn new(time: Timestamp, object: Uuid, what: What) -> Entry {
        Entry {
            time,
            object,
            what,
            event: None,
            kind: None,
            reason: None,
            detail: None,
            remedy: None,
            user: None,
            rule: None,
            actions: Vec::new(),
            requests: Vec::new(),
            latency_ms: None,
        }
    }

    /// Cuts what is too long: an entry is small, whoever wrote it.
    fn bounded(mut self) -> Entry {
        let Entry { kind, reason, detail, remedy, user, rule, actions, requests, .. } = &mut self;
        for text in [kind, reason, detail, remedy, user, rule].into_iter().flatten() {
            cut(text);
        }
        actions.truncate(MAX_LIST);
        actions.iter_mut().for_each(cut);
        requests.truncate(MAX_LIST);
        for Exchange { operation, code, request_id, .. } in requests {
            [code, request_id].into_iter().flatten().chain([operation]).for_each(cut);
        }
        self
    }
}

fn cut(text: &mut String) {
    if let Some((end, _)) = text.char_indices().nth(MAX_TEXT) {
        text.truncate(end);
    }
}

/// The message that carries entries, [`MOST`] of them at most.
pub fn to_message(entries: &[Entry]) -> Message {
    Message::json(KIND, CONTENT_TYPE, Uuid::nil(), &entries)
}

/// The entries in a message, each of bounded size; none where it holds something else.
pub fn from_message(message: &Message) -> Option<Vec<Entry>> {
    let body = Some(&message.body).filter(|body| body.len() <= MAX_BODY)?;
    let entries: Vec<Entry> = serde_json::from_slice(body).ok()?;
    (entries.len() <= MOST).then(|| entries.into_iter().map(Entry::bounded).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn entries_travel_and_whatever_is_too_long_is_cut() {
        let small = Entry {
            event: Some(Uuid::from_u128(1)),
            requests: vec![Exchange {
                operation: "set_enabled".into(),
                status: Some(403),
                code: Some("Authorization_RequestDenied".into()),
                request_id: Some("r".into()),
            }],
            ..Entry::new(Timestamp::UNIX_EPOCH, Uuid::from_u128(2), What::DeadLettered)
        };
        let large = Entry {
            detail: Some("ü".repeat(10_000)),
            actions: vec!["a".into(); 1000],
            ..Entry::new(Timestamp::UNIX_EPOCH, Uuid::from_u128(3), What::Applied)
        };
        let read = from_message(&to_message(&[small.clone(), large])).expect("read");
        assert_eq!(read[0], small);
        assert_eq!(read[1].detail.as_ref().expect("detail").chars().count(), MAX_TEXT);
        assert_eq!(read[1].actions.len(), MAX_LIST);
    }

    #[test]
    fn what_is_no_list_of_entries_is_none() {
        let with = |body: Vec<u8>| Message { body: body.into(), ..to_message(&[]) };
        let entry = Entry::new(Timestamp::UNIX_EPOCH, Uuid::nil(), What::Told);
        assert_eq!(from_message(&with(b"{}".to_vec())), None);
        assert_eq!(from_message(&with(vec![b' '; MAX_BODY + 1])), None);
        assert_eq!(from_message(&to_message(&vec![entry; MOST + 1])), None);
    }
}
