//! What a retry cannot mend: the message, why, and what a person can do about it.

use std::collections::BTreeMap;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use super::{Message, carried::Carried};

/// MIME type of a dead letter's body.
pub const CONTENT_TYPE: &str = "application/vnd.entra-relay.dead-letter+json";

/// The kind under which dead letters travel.
pub const KIND: &str = "entra-relay.dead-letter.v1";

/// Reason codes: few, stable, and used as a metric label and a filter.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum DeadReason {
    /// The body is no event that this version understands.
    Malformed,
    /// The message is not signed, or not by a trusted key, or was altered.
    BadSignature,
    /// The event is genuine, but in a lane that its kind does not travel in.
    Misplaced,
    /// The event comes from another directory than the configured one.
    ForeignDirectory,
    /// No Entra user matches.
    UserNotFound,
    /// More than one Entra user matches, or the match belongs to somebody else.
    AmbiguousMatch,
    /// The app lacks a permission or a directory role (HTTP 403).
    PermissionDenied,
    /// Graph refuses the value or the property (other HTTP 4xx).
    ValueRefused,
    /// Graph keeps failing on this event alone (HTTP 5xx while a neutral request succeeds).
    GraphError,
    /// A password waited for longer than it is good for.
    PasswordExpired,
    /// A password is sealed to a key that the consumer does not have.
    PasswordKeyUnknown,
    /// A sealed password does not open for its user.
    PasswordNotOpened,
    /// Graph accepted a block but a read back still shows the user enabled.
    NotVerified,
}

impl DeadReason {
    /// Every reason, for metrics and filters.
    pub const ALL: [DeadReason; 13] = [
        Self::Malformed,
        Self::BadSignature,
        Self::Misplaced,
        Self::ForeignDirectory,
        Self::UserNotFound,
        Self::AmbiguousMatch,
        Self::PermissionDenied,
        Self::ValueRefused,
        Self::GraphError,
        Self::PasswordExpired,
        Self::PasswordKeyUnknown,
        Self::PasswordNotOpened,
        Self::NotVerified,
    ];

    /// The code as it is written everywhere.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Malformed => "malformed",
            Self::BadSignature => "bad_signature",
            Self::Misplaced => "misplaced",
            Self::ForeignDirectory => "foreign_directory",
            Self::UserNotFound => "user_not_found",
            Self::AmbiguousMatch => "ambiguous_match",
            Self::PermissionDenied => "permission_denied",
            Self::ValueRefused => "value_refused",
            Self::GraphError => "graph_error",
            Self::PasswordExpired => "password_expired",
            Self::PasswordKeyUnknown => "password_key_unknown",
            Self::PasswordNotOpened => "password_not_opened",
            Self::NotVerified => "not_verified",
        }
    }

    /// Why a letter of this reason is never replayed, if so: its bytes do not come from our
    /// watcher, or nobody can read them.
    pub fn poison(self) -> Option<&'static str> {
        match self {
            Self::Malformed => Some("nobody can read it"),
            Self::Misplaced => Some("it is a copy of an event that was settled in its own lane"),
            Self::ForeignDirectory => Some("it is about another directory"),
            Self::PasswordExpired => Some("a password that is too old is not kept"),
            Self::PasswordNotOpened => Some("a sealed password that is not its user's is not kept"),
            // A consumer without the newest key refuses what is genuine; the watcher verifies it.
            Self::BadSignature
            | Self::UserNotFound
            | Self::AmbiguousMatch
            | Self::PermissionDenied
            | Self::ValueRefused
            | Self::GraphError
            | Self::PasswordKeyUnknown
            | Self::NotVerified => None,
        }
    }
}

/// Why a message became a dead letter.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Cause {
    /// The code.
    pub reason: DeadReason,
    /// What happened, in a sentence that names the case.
    pub sentence: String,
    /// What would mend it.
    pub remedy: String,
    /// Graph's HTTP status, if Graph answered.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub graph_status: Option<u16>,
    /// Graph's error code, such as `Authorization_RequestDenied`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub graph_code: Option<String>,
    /// Graph's `request-id`, by which Microsoft finds the request.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub request_id: Option<String>,
}

/// A message that was given up, with its exact bytes.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct DeadLetter {
    /// What was given up.
    #[serde(flatten)]
    pub original: Carried,
    /// A name a person knows the user by, where the body tells one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub user: Option<String>,
    /// Why.
    #[serde(flatten)]
    pub cause: Cause,
    /// How often it was tried.
    pub attempts: u32,
    /// When it was first tried.
    pub first_tried: Timestamp,
    /// When it was given up.
    pub given_up: Timestamp,
}

impl DeadLetter {
    /// Gives up `message`.
    pub fn new(
        message: &Message,
        user: Option<String>,
        cause: Cause,
        attempts: u32,
        first_tried: Timestamp,
        given_up: Timestamp,
    ) -> DeadLetter {
        DeadLetter { original: message.into(), user, cause, attempts, first_tried, given_up }
    }

    /// The message that carries the dead letter into [`super::Queue::DeadLetters`].
    pub fn to_message(&self) -> Message {
        Message {
            id: self.original.id,
            kind: KIND.to_owned(),
            object: self.original.object,
            content_type: CONTENT_TYPE.to_owned(),
            headers: BTreeMap::from([("relay-reason".into(), self.cause.reason.as_str().into())]),
            body: serde_json::to_vec(self).expect("strings and numbers always serialize").into(),
        }
    }

    /// Reads a dead letter.
    pub fn from_message(message: &Message) -> Result<DeadLetter, serde_json::Error> {
        serde_json::from_slice(&message.body)
    }
}

#[cfg(test)]
mod tests {
    use uuid::Uuid;

    use super::*;

    #[test]
    fn keeps_the_exact_bytes_and_the_reason() {
        let message = Message {
            id: Uuid::from_u128(1),
            kind: "?".into(),
            object: Uuid::nil(),
            content_type: "text/plain".into(),
            headers: BTreeMap::from([("a".into(), "b".into())]),
            body: vec![0, 255, 7].into(),
        };
        let cause = Cause {
            reason: DeadReason::Malformed,
            sentence: "no JSON".into(),
            remedy: "find out who sent it".into(),
            graph_status: None,
            graph_code: None,
            request_id: None,
        };
        let epoch = Timestamp::UNIX_EPOCH;
        let letter = DeadLetter::new(&message, None, cause, 1, epoch, epoch);
        let back = DeadLetter::from_message(&letter.to_message()).expect("reads back");
        assert_eq!(back, letter);
        assert_eq!(back.original.message(), Some(message));
    }

    #[test]
    fn codes_are_spelled_alike_in_json_and_in_metrics() {
        for reason in DeadReason::ALL {
            assert_eq!(serde_json::to_value(reason).expect("json"), reason.as_str());
        }
    }
}
