//! The change event: what the watcher tells and the consumers apply.
//!
//! On the wire an event is a [CloudEvents 1.0](https://cloudevents.io) JSON document in structured
//! mode. `source` names the directory, `subject` and `partitionkey` are the objectGUID, and
//! `sequence` orders the events of one object. Wire names never change their meaning: a new meaning
//! gets a new version suffix.

use std::collections::BTreeMap;

use base64::{Engine, prelude::BASE64_STANDARD};
use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use thiserror::Error;
use uuid::Uuid;

/// `content-type` of an event in structured mode (CloudEvents JSON format, section 3).
pub const CONTENT_TYPE: &str = "application/cloudevents+json";

/// The largest event body that is read, in bytes. What is larger is no event of ours.
pub const MAX_BODY: usize = 1 << 20;

/// Namespace of event ids (UUID version 5, RFC 9562 section 5.5).
const ID_NAMESPACE: Uuid = Uuid::from_u128(0x7c2b_6f0e_51d4_4e0b_9a37_60c1_de58_0f42);

/// The two lanes of the queue. They commute: whatever must keep its order is in one lane.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Lane {
    /// Account state, passwords, creation, deletion, change of UPN or anchor.
    Urgent,
    /// All other attributes.
    Bulk,
}

impl Lane {
    /// Both lanes, the urgent one first.
    pub const ALL: [Lane; 2] = [Lane::Urgent, Lane::Bulk];

    /// The name used in queue names, metrics and output.
    pub fn as_str(self) -> &'static str {
        match self {
            Lane::Urgent => "urgent",
            Lane::Bulk => "bulk",
        }
    }
}

/// What an event says, without its details.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Kind {
    /// The account lost its effective enablement.
    AccountDisabled,
    /// The account regained it.
    AccountEnabled,
    /// The password itself changed; its value is not part of the event.
    PasswordChanged,
    /// A user entered the ledger after the baseline.
    UserCreated,
    /// The user was deleted. One event: it implies the account being disabled.
    UserDeleted,
    /// The UPN or the anchor changed.
    UserRenamed,
    /// Mapped attributes changed.
    AttributesModified,
}

impl Kind {
    /// Every kind, in the order of the documentation.
    pub const ALL: [Kind; 7] = [
        Kind::AccountDisabled,
        Kind::AccountEnabled,
        Kind::PasswordChanged,
        Kind::UserCreated,
        Kind::UserDeleted,
        Kind::UserRenamed,
        Kind::AttributesModified,
    ];

    /// The CloudEvents `type`.
    pub fn type_name(self) -> &'static str {
        match self {
            Kind::AccountDisabled => "entra-relay.account.disabled.v1",
            Kind::AccountEnabled => "entra-relay.account.enabled.v1",
            Kind::PasswordChanged => "entra-relay.password.changed.v1",
            Kind::UserCreated => "entra-relay.user.created.v1",
            Kind::UserDeleted => "entra-relay.user.deleted.v1",
            Kind::UserRenamed => "entra-relay.user.renamed.v1",
            Kind::AttributesModified => "entra-relay.attributes.modified.v1",
        }
    }

    /// The kind with this CloudEvents `type`, if we know it.
    pub fn from_type_name(name: &str) -> Option<Kind> {
        Kind::ALL.into_iter().find(|kind| kind.type_name() == name)
    }

    /// The short name used in metrics and tables, such as `account.disabled`.
    pub fn as_str(self) -> &'static str {
        self.type_name().trim_start_matches("entra-relay.").trim_end_matches(".v1")
    }

    /// The lane that carries events of this kind.
    pub fn lane(self) -> Lane {
        match self {
            Kind::AttributesModified => Lane::Bulk,
            _ => Lane::Urgent,
        }
    }
}

/// Why an account is not effectively enabled.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Reason {
    /// The account is disabled (`userAccountControl` bit 2, MS-ADTS 2.2.16).
    Disabled,
    /// `accountExpires` has passed.
    Expired,
    /// The object is deleted.
    Deleted,
}

/// How a user is known, on both sides. Every event carries it, so consumers need no directory.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Identity {
    /// sAMAccountName.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sam_account_name: Option<String>,
    /// The value of the configured UPN attribute.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub user_principal_name: Option<String>,
    /// objectSid in its string form.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sid: Option<String>,
    /// Base64 of mS-DS-ConsistencyGuid, where it is set.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub anchor: Option<String>,
    /// employeeID.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub employee_id: Option<String>,
}

/// The event's details, by kind.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Detail {
    /// See [`Kind::AccountDisabled`].
    AccountDisabled {
        /// What ended the enablement.
        reason: Reason,
    },
    /// See [`Kind::AccountEnabled`].
    AccountEnabled {
        /// The reason that ended: whoever ignored that reason ignores its end too.
        ended: Reason,
    },
    /// See [`Kind::PasswordChanged`].
    PasswordChanged {
        /// Whether the user must choose a new password at the next logon.
        must_change: bool,
    },
    /// See [`Kind::UserCreated`].
    UserCreated {
        /// Whether the account is effectively enabled.
        enabled: bool,
    },
    /// See [`Kind::UserDeleted`].
    UserDeleted,
    /// See [`Kind::UserRenamed`]. The new names are in the event's identity.
    UserRenamed {
        /// The identity under which the user was known before.
        previous: Box<Identity>,
    },
    /// See [`Kind::AttributesModified`].
    AttributesModified {
        /// Directory attribute → its values now; an empty list where it was cleared.
        attributes: BTreeMap<String, Vec<String>>,
    },
}

impl Detail {
    /// The kind that has these details.
    pub fn kind(&self) -> Kind {
        match self {
            Detail::AccountDisabled { .. } => Kind::AccountDisabled,
            Detail::AccountEnabled { .. } => Kind::AccountEnabled,
            Detail::PasswordChanged { .. } => Kind::PasswordChanged,
            Detail::UserCreated { .. } => Kind::UserCreated,
            Detail::UserDeleted => Kind::UserDeleted,
            Detail::UserRenamed { .. } => Kind::UserRenamed,
            Detail::AttributesModified { .. } => Kind::AttributesModified,
        }
    }
}

/// How long something has waited for its user to come into being.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Waiting {
    /// Since when, over all rounds.
    pub since: Timestamp,
    /// How many rounds.
    pub attempt: u32,
}

/// A change of one directory object.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Event {
    /// Derived from source, object, kind and sequence: the same event never has two ids.
    pub id: Uuid,
    /// The directory, as [`source_of`] names it.
    pub source: String,
    /// objectGUID of the user.
    pub object: Uuid,
    /// Grows with every event of a directory.
    pub sequence: u64,
    /// When the watcher observed the change.
    pub time: Timestamp,
    /// How the user is known.
    pub identity: Identity,
    /// What happened.
    pub detail: Detail,
    /// Set where the event is told again for a user that was not in Entra yet.
    pub waiting: Option<Waiting>,
}

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
    /// Makes an event; its id follows from the arguments.
    pub fn new(
        source: &str,
        object: Uuid,
        sequence: u64,
        time: Timestamp,
        identity: Identity,
        detail: Detail,
    ) -> Event {
        let name = format!("{source}\n{object}\n{}\n{sequence}", detail.kind().type_name());
        let id = Uuid::new_v5(&ID_NAMESPACE, name.as_bytes());
        let source = source.to_owned();
        Event { id, source, object, sequence, time, identity, detail, waiting: None }
    }

    /// What the event says.
    pub fn kind(&self) -> Kind {
        self.detail.kind()
    }

    /// The values that `onPremisesImmutableId` has in Entra if it is this user's: base64 of
    /// mS-DS-ConsistencyGuid where set, then of the 16 raw bytes of the objectGUID.
    pub fn immutable_ids(&self) -> Vec<String> {
        let guid = BASE64_STANDARD.encode(self.object.to_bytes_le());
        match &self.identity.anchor {
            Some(anchor) if *anchor != guid => vec![anchor.clone(), guid],
            _ => vec![guid],
        }
    }

    /// The body as it goes onto the queue.
    pub fn to_json(&self) -> Vec<u8> {
        let data = match &self.detail {
            Detail::AccountDisabled { reason } => Data { reason: Some(*reason), ..Data::of(self) },
            Detail::AccountEnabled { ended } => Data { ended: Some(*ended), ..Data::of(self) },
            Detail::PasswordChanged { must_change } => {
                Data { must_change: Some(*must_change), ..Data::of(self) }
            }
            Detail::UserCreated { enabled } => Data { enabled: Some(*enabled), ..Data::of(self) },
            Detail::UserDeleted => Data::of(self),
            Detail::UserRenamed { previous } => {
                Data { previous: Some(previous.clone()), ..Data::of(self) }
            }
            Detail::AttributesModified { attributes } => {
                Data { attributes: Some(attributes.clone()), ..Data::of(self) }
            }
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
            Kind::UserCreated => {
                Detail::UserCreated { enabled: data.enabled.ok_or(missing("data.enabled"))? }
            }
            Kind::UserDeleted => Detail::UserDeleted,
            Kind::UserRenamed => {
                Detail::UserRenamed { previous: data.previous.ok_or(missing("data.previous"))? }
            }
            Kind::AttributesModified => Detail::AttributesModified {
                attributes: data.attributes.ok_or(missing("data.attributes"))?,
            },
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
        })
    }
}

/// The name of a directory in events: an LDAP URL without a host (RFC 4516), for every domain
/// controller shows the same directory.
pub fn source_of(base_dn: &str) -> String {
    format!("ldap:///{}", base_dn.to_lowercase().replace(' ', ""))
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
}

impl Data {
    fn of(event: &Event) -> Data {
        Data { identity: event.identity.clone(), ..Data::default() }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn event(detail: Detail) -> Event {
        let identity = Identity {
            sam_account_name: Some("alice".into()),
            user_principal_name: Some("alice@corp.example".into()),
            ..Identity::default()
        };
        let object = Uuid::from_u128(7);
        Event::new(
            &source_of("DC=corp,DC=example"),
            object,
            42,
            Timestamp::UNIX_EPOCH,
            identity,
            detail,
        )
    }

    fn all_details() -> Vec<Detail> {
        vec![
            Detail::AccountDisabled { reason: Reason::Expired },
            Detail::AccountEnabled { ended: Reason::Disabled },
            Detail::PasswordChanged { must_change: true },
            Detail::UserCreated { enabled: false },
            Detail::UserDeleted,
            Detail::UserRenamed { previous: Box::default() },
            Detail::AttributesModified {
                attributes: [("title".into(), vec!["Lead".into()]), ("mobile".into(), vec![])]
                    .into(),
            },
        ]
    }

    #[test]
    fn every_kind_survives_the_wire() {
        for detail in all_details() {
            let mut event = event(detail);
            assert_eq!(Event::from_json(&event.to_json()).expect("reads back"), event);
            event.waiting = Some(Waiting { since: event.time, attempt: 2 });
            assert_eq!(Event::from_json(&event.to_json()).expect("reads back"), event);
        }
        assert_eq!(all_details().len(), Kind::ALL.len());
    }

    #[test]
    fn the_id_follows_from_source_object_kind_and_sequence() {
        let one = event(Detail::UserDeleted);
        assert_eq!(one.id, event(Detail::UserDeleted).id);
        assert_ne!(one.id, event(Detail::PasswordChanged { must_change: false }).id);
        let later = Event::new(
            &one.source,
            one.object,
            43,
            one.time,
            one.identity.clone(),
            Detail::UserDeleted,
        );
        assert_ne!(one.id, later.id);
    }

    #[test]
    fn foreign_bytes_are_refused_by_name() {
        let refuse = |change: fn(&mut serde_json::Value)| {
            let mut json =
                serde_json::from_slice(&event(Detail::UserDeleted).to_json()).expect("json");
            change(&mut json);
            Event::from_json(json.to_string().as_bytes()).expect_err("refused").to_string()
        };
        assert!(Event::from_json(b"\xff\x00").is_err());
        assert!(refuse(|j| j["type"] = "entra-relay.user.deleted.v9".into()).contains("v9"));
        assert!(refuse(|j| j["specversion"] = "2.0".into()).contains("2.0"));
        assert!(refuse(|j| j["sequence"] = "x".into()).contains("sequence"));
        assert!(
            refuse(|j| j["partitionkey"] = Uuid::nil().to_string().into()).contains("partitionkey")
        );
        assert!(Event::from_json(&vec![b' '; MAX_BODY + 1]).is_err());
    }

    #[test]
    fn immutable_ids_are_the_raw_guid_bytes_in_base64() {
        let mut event = event(Detail::UserDeleted);
        event.object = "bcd2e574-8d58-4136-a9df-8a19b145db79".parse().expect("uuid");
        assert_eq!(event.immutable_ids(), ["dOXSvFiNNkGp34oZsUXbeQ=="]);
        event.identity.anchor = Some("AAAA".into());
        assert_eq!(event.immutable_ids(), ["AAAA", "dOXSvFiNNkGp34oZsUXbeQ=="]);
    }
}
