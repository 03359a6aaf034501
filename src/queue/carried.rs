//! A message inside another one, byte for byte.

use std::collections::BTreeMap;

use base64::{Engine, prelude::BASE64_STANDARD};
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use super::Message;

/// A message as it is kept in the JSON of a dead letter or of a refresh request. Its exact bytes
/// are what a signature covers, so they travel in base64.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Carried {
    /// Id of the message.
    pub id: Uuid,
    /// Its kind, as claimed.
    pub kind: String,
    /// Its object, as claimed.
    pub object: Uuid,
    /// MIME type of the body.
    pub content_type: String,
    /// Its headers, the signature among them.
    pub headers: BTreeMap<String, String>,
    body: String,
}

impl From<&Message> for Carried {
    fn from(message: &Message) -> Carried {
        Carried {
            id: message.id,
            kind: message.kind.clone(),
            object: message.object,
            content_type: message.content_type.clone(),
            headers: message.headers.clone(),
            body: BASE64_STANDARD.encode(&message.body),
        }
    }
}

impl Carried {
    /// The message, byte for byte; none if the base64 is damaged.
    pub fn message(&self) -> Option<Message> {
        Some(Message {
            id: self.id,
            kind: self.kind.clone(),
            object: self.object,
            content_type: self.content_type.clone(),
            headers: self.headers.clone(),
            body: BASE64_STANDARD.decode(&self.body).ok()?.into(),
        })
    }
}
