//! A request to the watcher: tell the state of an object as it is now.
//!
//! What waited is refreshed, not repeated. Whoever cannot settle an event for now, or replays a
//! dead letter, sends the original along: the watcher checks its own signature on it, reads the
//! object, and tells what is true by then. A request without an original may be forged by anybody
//! who can publish, so it never re-enables an account.

use serde::{Deserialize, Serialize};
use uuid::Uuid;

use super::{Message, carried::Carried};
use crate::event::Waiting;

/// MIME type of a request's body.
pub const CONTENT_TYPE: &str = "application/vnd.entra-relay.refresh+json";

/// The kind under which requests travel.
pub const KIND: &str = "entra-relay.refresh.v1";

/// Why an object is to be told again.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Why {
    /// The user was not in Entra yet.
    Parked,
    /// A dead letter is replayed.
    Replayed,
    /// An enabling event was too old to be applied.
    TooOld,
    /// An operator asked for this user.
    Sync,
    /// A comparison found a difference.
    Reconcile,
}

impl Why {
    /// The name used in metrics and output.
    pub fn as_str(self) -> &'static str {
        match self {
            Why::Parked => "parked",
            Why::Replayed => "replayed",
            Why::TooOld => "too_old",
            Why::Sync => "sync",
            Why::Reconcile => "reconcile",
        }
    }
}

/// The request.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct RefreshRequest {
    /// objectGUID.
    pub object: Uuid,
    /// Why.
    pub why: Why,
    /// The events that could not be settled, the oldest first.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub originals: Vec<Carried>,
    /// How long the object has waited, if it does.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub waiting: Option<Waiting>,
}

impl RefreshRequest {
    /// The message that carries the request.
    pub fn to_message(&self) -> Message {
        Message::json(KIND, CONTENT_TYPE, self.object, self)
    }

    /// Reads a request.
    pub fn from_message(message: &Message) -> Result<RefreshRequest, serde_json::Error> {
        serde_json::from_slice(&message.body)
    }
}

#[cfg(test)]
mod tests {
    use jiff::Timestamp;

    use super::*;

    #[test]
    fn carries_the_original_byte_for_byte() {
        let original = Message {
            id: Uuid::from_u128(1),
            kind: "k".into(),
            object: Uuid::from_u128(2),
            content_type: "c".into(),
            headers: [("relay-key-id".to_owned(), "7".to_owned())].into(),
            body: vec![0, 255].into(),
        };
        let request = RefreshRequest {
            object: original.object,
            why: Why::Parked,
            originals: vec![(&original).into()],
            waiting: Some(Waiting { since: Timestamp::UNIX_EPOCH, attempt: 3 }),
        };
        let back = RefreshRequest::from_message(&request.to_message()).expect("reads back");
        assert_eq!(back, request);
        assert_eq!(back.originals[0].message(), Some(original));
    }
}
