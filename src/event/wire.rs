//! The wire form of an event: CloudEvents 1.0 in structured mode (JSON).

use std::collections::BTreeMap;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use thiserror::Error;
use uuid::Uuid;

use super::{Detail, Event, Identity, Kind, Reason, Reference, SealedPassword, Waiting};

/// The largest event body that is read, in bytes. What is larger is no event of ours.
pub const MAX_BODY: usize = 1 << 20;

/// Why bytes are no event.
#[derive(Debug, Error)]
pub enum EventError {
    /// More than [`MAX_BODY`] bytes.
    #[error("the body has {0} bytes, more than an event may have")]
    TooLarge(usize),
    /// Not JSON, or not of the expected shape.
    #[error("not a change event: {0}")]
    Malformed(#[from] serde_json::Error),
    /// A CloudEvents version other than 1.0.
    #[error("CloudEvents version {0:?} is not supported")]
    SpecVersion(String),
    /// A type that this version does not know.
    #[error("event type {0:?} is not known to this version")]
    UnknownType(String),
    /// The sequence is not a number, or `partitionkey` contradicts `subject`.
    #[error("attribute {0:?} has no valid value")]
    Attribute(&'static str),
}

impl Event {
    /// The body as it goes onto the queue.
    pub fn to_json(&self) -> Vec<u8> {
        let data = match &self.detail {
            Detail::AccountDisabled { reason } => Data { reason: Some(*reason), ..Data::of(self) },
            Detail::AccountEnabled { ended } => Data { ended: Some(*ended), ..Data::of(self) },
            Detail::PasswordChanged { must_change } => {
                Data { must_change: Some(*must_change), ..Data::of(self) }
            }
            Detail::PasswordSet(password) => {
                Data { password: Some(password.clone()), ..Data::of(self) }
            }
            Detail::UserCreated { enabled } => Data { enabled: Some(*enabled), ..Data::of(self) },
            Detail::UserDeleted => Data::of(self),
            Detail::UserRenamed { previous } => {
                Data { previous: Some(previous.clone()), ..Data::of(self) }
            }
            Detail::MembershipChanged { group, member } => {
                Data { group: Some(group.clone()), member: Some(*member), ..Data::of(self) }
            }
            Detail::AttributesModified { attributes, references } => Data {
                attributes: Some(attributes.clone()),
                references: references.clone(),
                ..Data::of(self)
            },
            Detail::Canary { flight } => Data { flight: Some(*flight), ..Data::of(self) },
        };
        let wire = Wire {
            specversion: "1.0".into(),
            id: self.id,
            source: self.source.clone(),
            kind: self.kind().type_name().into(),
            subject: self.object,
            partitionkey: self.object,
            time: self.time,
            sequence: self.sequence.to_string(),
            parkedsince: self.waiting.map(|waiting| waiting.since),
            attempt: self.waiting.map(|waiting| waiting.attempt.to_string()),
            traceparent: self.trace.map(|trace| trace.to_string()),
            datacontenttype: "application/json".into(),
            data,
        };
        serde_json::to_vec(&wire)
            .expect("strings, numbers and maps with string keys always serialize")
    }

    /// Reads a body from the queue.
    pub fn from_json(body: &[u8]) -> Result<Event, EventError> {
        if body.len() > MAX_BODY {
            return Err(EventError::TooLarge(body.len()));
        }
        let header: Header = serde_json::from_slice(body)?;
        if header.specversion != "1.0" {
            return Err(EventError::SpecVersion(header.specversion));
        }
        let kind =
            Kind::from_type_name(&header.kind).ok_or(EventError::UnknownType(header.kind))?;
        let wire: Wire = serde_json::from_slice(body)?;
        if wire.partitionkey != wire.subject {
            return Err(EventError::Attribute("partitionkey"));
        }
        let sequence = wire.sequence.parse().map_err(|_| EventError::Attribute("sequence"))?;
        let waiting = match (wire.parkedsince, wire.attempt) {
            (Some(since), Some(attempt)) => {
                let attempt = attempt.parse().map_err(|_| EventError::Attribute("attempt"))?;
                Some(Waiting { since, attempt })
            }
            _ => None,
        };
        let missing = |field| EventError::Attribute(field);
        let data = wire.data;
        let detail = match kind {
            Kind::AccountDisabled => {
                Detail::AccountDisabled { reason: data.reason.ok_or(missing("data.reason"))? }
            }
            Kind::AccountEnabled => {
                Detail::AccountEnabled { ended: data.ended.ok_or(missing("data.ended"))? }
            }
            Kind::PasswordChanged => Detail::PasswordChanged {
                must_change: data.must_change.ok_or(missing("data.must_change"))?,
            },
            Kind::PasswordSet => {
                Detail::PasswordSet(data.password.ok_or(missing("data.password"))?)
            }
            Kind::UserCreated => {
                Detail::UserCreated { enabled: data.enabled.ok_or(missing("data.enabled"))? }
            }
            Kind::UserDeleted => Detail::UserDeleted,
            Kind::UserRenamed => {
                Detail::UserRenamed { previous: data.previous.ok_or(missing("data.previous"))? }
            }
            Kind::MembershipChanged => Detail::MembershipChanged {
                group: data.group.ok_or(missing("data.group"))?,
                member: data.member.ok_or(missing("data.member"))?,
            },
            Kind::AttributesModified => Detail::AttributesModified {
                attributes: data.attributes.ok_or(missing("data.attributes"))?,
                references: data.references,
            },
            Kind::Canary => Detail::Canary { flight: data.flight.ok_or(missing("data.flight"))? },
        };
        Ok(Event {
            id: wire.id,
            source: wire.source,
            object: wire.subject,
            sequence,
            time: wire.time,
            identity: data.identity,
            detail,
            waiting,
            // One that we cannot read is as good as none (W3C Trace Context, section 3.2.2).
            trace: wire.traceparent.and_then(|trace| trace.parse().ok()),
        })
    }
}

/// What is read first, so that a newer version is refused by name and not by a missing field.
#[derive(Deserialize)]
struct Header {
    specversion: String,
    #[serde(rename = "type")]
    kind: String,
}

#[derive(Serialize, Deserialize)]
struct Wire {
    specversion: String,
    id: Uuid,
    source: String,
    #[serde(rename = "type")]
    kind: String,
    subject: Uuid,
    partitionkey: Uuid,
    time: Timestamp,
    sequence: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    parkedsince: Option<Timestamp>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    attempt: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    traceparent: Option<String>,
    datacontenttype: String,
    data: Data,
}

#[derive(Default, Serialize, Deserialize)]
struct Data {
    identity: Identity,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    reason: Option<Reason>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    ended: Option<Reason>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    must_change: Option<bool>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    enabled: Option<bool>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    previous: Option<Box<Identity>>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    attributes: Option<BTreeMap<String, Vec<String>>>,
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    references: BTreeMap<String, Option<Reference>>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    group: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    member: Option<bool>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    password: Option<Box<SealedPassword>>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    flight: Option<Uuid>,
}

impl Data {
    fn of(event: &Event) -> Data {
        Data { identity: event.identity.clone(), ..Data::default() }
    }
}
