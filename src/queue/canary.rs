//! The echo of a canary: what a consumer answers to the watcher that sent one.
//!
//! Whoever can publish may forge an echo. It makes a relay look well, and changes nothing else.

use std::time::Duration;

use serde::{Deserialize, Serialize};
use uuid::Uuid;

use super::Message;

/// MIME type of an echo's body.
const CONTENT_TYPE: &str = "application/vnd.entra-relay.canary+json";

/// The kind under which echoes travel, among the requests to the watcher.
pub const KIND: &str = "entra-relay.canary-echo.v1";

/// The answer.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Echo {
    /// Which canary it was.
    pub flight: Uuid,
    /// objectGUID of its user.
    pub object: Uuid,
    /// How long the consumer was with Graph.
    #[serde(with = "humantime_serde")]
    pub graph: Duration,
    /// Why Graph did not show the user, if it did not.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub refusal: Option<String>,
}

impl Echo {
    /// The message that carries it.
    pub fn to_message(&self) -> Message {
        Message::json(KIND, CONTENT_TYPE, self.object, self)
    }

    /// Reads an echo; none where the message is something else.
    pub fn from_message(message: &Message) -> Option<Echo> {
        (message.kind == KIND).then(|| serde_json::from_slice(&message.body).ok()).flatten()
    }
}
