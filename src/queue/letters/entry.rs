//! What is told of a dead letter.

use std::collections::BTreeMap;

use base64::{Engine, prelude::BASE64_STANDARD};
use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use uuid::Uuid;

use crate::{
    event::{Event, Kind, MAX_BODY},
    queue::{
        Message,
        dead_letter::{DeadLetter, DeadReason},
    },
};

/// The longest text that is told of what strangers may have written, in characters.
const MAX_TEXT: usize = 2000;

/// A dead letter without what was in it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Entry {
    /// Id of the event.
    pub id: Uuid,
    /// objectGUID of the user.
    pub object: Uuid,
    /// The event's type, shortened as in metrics where it is known: `account.disabled`.
    pub kind: String,
    /// A name the user is known by.
    pub user: Option<String>,
    /// The reason code.
    pub reason: DeadReason,
    /// What happened.
    pub sentence: String,
    /// What would mend it.
    pub remedy: String,
    /// Graph's HTTP status.
    pub graph_status: Option<u16>,
    /// Graph's error code.
    pub graph_code: Option<String>,
    /// Graph's `request-id`.
    pub request_id: Option<String>,
    /// How often it was tried.
    pub attempts: u32,
    /// When it was first tried.
    pub first_tried: Timestamp,
    /// When it was given up.
    pub given_up: Timestamp,
    /// Why replay refuses it, if it does.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub poison: Option<String>,
}

/// All of a dead letter.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Letter {
    /// What is told of every letter.
    #[serde(flatten)]
    pub entry: Entry,
    /// MIME type of the body, as claimed.
    pub content_type: String,
    /// Headers of the message, the signature among them.
    pub headers: BTreeMap<String, String>,
    /// The body, where it is JSON.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub event: Option<Value>,
    /// The body in base64, where it is no JSON. Cut after [`MAX_BODY`] bytes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub bytes: Option<String>,
}

/// A dead letter, read.
#[derive(Debug)]
pub(super) struct Opened {
    pub(super) entry: Entry,
    /// The message that was given up; none if it cannot be had any more.
    pub(super) original: Option<Message>,
    /// The event in it.
    pub(super) event: Option<Event>,
}

impl Opened {
    /// Reads what lies in the queue. Anybody may have put it there.
    pub(super) fn read(message: &Message) -> Opened {
        match DeadLetter::from_message(message) {
            Ok(letter) => Opened::of(letter),
            Err(error) => Opened {
                entry: stray(message, &error),
                original: Some(message.clone()),
                event: None,
            },
        }
    }

    fn of(letter: DeadLetter) -> Opened {
        let original = letter.original.message();
        let event = original.as_ref().and_then(|message| Event::from_json(&message.body).ok());
        let poison = match (letter.cause.reason.poison(), &event) {
            (Some(why), _) => Some(why),
            (None, None) => Some("its event cannot be read"),
            (None, Some(event)) if event.object != letter.original.object => {
                Some("its event is about another user")
            }
            (None, Some(_)) => None,
        };
        let cause = letter.cause;
        let entry = Entry {
            id: letter.original.id,
            object: letter.original.object,
            kind: short_kind(&letter.original.kind),
            user: letter.user.map(short),
            reason: cause.reason,
            sentence: short(cause.sentence),
            remedy: short(cause.remedy),
            graph_status: cause.graph_status,
            graph_code: cause.graph_code.map(short),
            request_id: cause.request_id.map(short),
            attempts: letter.attempts,
            first_tried: letter.first_tried,
            given_up: letter.given_up,
            poison: poison.map(str::to_owned),
        };
        Opened { entry, original, event }
    }

    /// Everything about it.
    pub(super) fn letter(self) -> Letter {
        let (mut event, mut bytes) = (None, None);
        let (content_type, headers) = match self.original {
            Some(message) => {
                let body = &message.body[..message.body.len().min(MAX_BODY)];
                event = serde_json::from_slice(body).ok();
                bytes = event.is_none().then(|| BASE64_STANDARD.encode(body));
                let headers = message.headers.into_iter().take(MAX_HEADERS);
                let headers = headers.map(|(name, value)| (short(name), short(value))).collect();
                (short(message.content_type), headers)
            }
            None => (String::new(), BTreeMap::new()),
        };
        Letter { entry: self.entry, content_type, headers, event, bytes }
    }
}

/// The most headers that are told.
const MAX_HEADERS: usize = 100;

/// What lies in the queue and is no dead letter.
fn stray(message: &Message, error: &serde_json::Error) -> Entry {
    Entry {
        id: message.id,
        object: message.object,
        kind: short_kind(&message.kind),
        user: None,
        reason: DeadReason::Malformed,
        sentence: format!("not a dead letter of this version: {error}"),
        remedy: "find out who published it; discard it".into(),
        graph_status: None,
        graph_code: None,
        request_id: None,
        attempts: 0,
        first_tried: Timestamp::UNIX_EPOCH,
        given_up: Timestamp::UNIX_EPOCH,
        poison: Some("nobody can read it".into()),
    }
}

fn short_kind(name: &str) -> String {
    Kind::from_type_name(name).map_or_else(|| short(name.to_owned()), |kind| kind.as_str().into())
}

fn short(text: String) -> String {
    match text.char_indices().nth(MAX_TEXT) {
        Some((end, _)) => format!("{}…", &text[..end]),
        None => text,
    }
}
