//! The change event: what the watcher tells and the consumers apply.
//!
//! On the wire an event is a [CloudEvents 1.0](https://cloudevents.io) JSON document in structured
//! mode. `source` names the directory, `subject` and `partitionkey` are the objectGUID, and
//! `sequence` orders the events of one object. Wire names never change their meaning: a new meaning
//! gets a new version suffix.

mod trace;
mod wire;
mod words;

use std::collections::BTreeMap;

use base64::{Engine, prelude::BASE64_STANDARD};
use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use uuid::Uuid;

pub use trace::TraceParent;
pub use wire::{EventError, MAX_BODY};

/// `content-type` of an event in structured mode (CloudEvents JSON format, section 3).
pub const CONTENT_TYPE: &str = "application/cloudevents+json";

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
    /// The value of a new password, sealed to the consumers.
    PasswordSet,
    /// A user entered the ledger after the baseline.
    UserCreated,
    /// The user was deleted. One event: it implies the account being disabled.
    UserDeleted,
    /// The UPN or the anchor changed.
    UserRenamed,
    /// The user joined or left a mapped group.
    MembershipChanged,
    /// Mapped attributes changed.
    AttributesModified,
    /// Nothing changed: the way to Entra is tried.
    Canary,
}

impl Kind {
    /// Every kind, in the order of the documentation.
    pub const ALL: [Kind; 10] = [
        Kind::AccountDisabled,
        Kind::AccountEnabled,
        Kind::PasswordChanged,
        Kind::PasswordSet,
        Kind::UserCreated,
        Kind::UserDeleted,
        Kind::UserRenamed,
        Kind::MembershipChanged,
        Kind::AttributesModified,
        Kind::Canary,
    ];

    /// The CloudEvents `type`.
    pub fn type_name(self) -> &'static str {
        match self {
            Kind::AccountDisabled => "entra-relay.account.disabled.v1",
            Kind::AccountEnabled => "entra-relay.account.enabled.v1",
            Kind::PasswordChanged => "entra-relay.password.changed.v1",
            Kind::PasswordSet => "entra-relay.password.set.v1",
            Kind::UserCreated => "entra-relay.user.created.v1",
            Kind::UserDeleted => "entra-relay.user.deleted.v1",
            Kind::UserRenamed => "entra-relay.user.renamed.v1",
            Kind::MembershipChanged => "entra-relay.membership.changed.v1",
            Kind::AttributesModified => "entra-relay.attributes.modified.v1",
            Kind::Canary => "entra-relay.canary.v1",
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
    /// The user was moved out of what the relay looks after.
    ScopeLeft,
    /// Too many wrong passwords (`lockoutTime`), where that is taken for disabled.
    LockedOut,
}

impl Reason {
    /// Every reason.
    pub const ALL: [Reason; 5] =
        [Reason::Disabled, Reason::Expired, Reason::Deleted, Reason::ScopeLeft, Reason::LockedOut];

    /// The name used in output, as on the wire.
    pub fn as_str(self) -> &'static str {
        match self {
            Reason::Disabled => "disabled",
            Reason::Expired => "expired",
            Reason::Deleted => "deleted",
            Reason::ScopeLeft => "scope_left",
            Reason::LockedOut => "locked_out",
        }
    }
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

impl Identity {
    /// The values that `onPremisesImmutableId` has in Entra if it is this user's: base64 of
    /// mS-DS-ConsistencyGuid where set, then of the 16 raw bytes of the objectGUID.
    pub fn immutable_ids(&self, object: Uuid) -> Vec<String> {
        let guid = BASE64_STANDARD.encode(object.to_bytes_le());
        match &self.anchor {
            Some(anchor) if *anchor != guid => vec![anchor.clone(), guid],
            _ => vec![guid],
        }
    }
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
    /// See [`Kind::PasswordSet`].
    PasswordSet(Box<SealedPassword>),
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
    /// See [`Kind::MembershipChanged`]. The event's object is the member.
    MembershipChanged {
        /// The directory's group, as `apply.groups` names it.
        group: String,
        /// Whether the user is a member now, directly or through other groups.
        member: bool,
    },
    /// See [`Kind::AttributesModified`].
    AttributesModified {
        /// Directory attribute → its values now; an empty list where it was cleared.
        attributes: BTreeMap<String, Vec<String>>,
        /// Attribute that names another user, such as `manager` → who that is; none where it names
        /// no user of this directory that can be read, or was cleared.
        references: BTreeMap<String, Option<Reference>>,
    },
    /// See [`Kind::Canary`].
    Canary {
        /// What the consumer's echo is known by.
        flight: Uuid,
    },
}

/// Another user, as an attribute of a user names it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Reference {
    /// objectGUID.
    pub object: Uuid,
    /// How that user is known.
    pub identity: Identity,
}

/// A password that only the consumers can open (HPKE, RFC 9180).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SealedPassword {
    /// Which of the consumers' keys it is sealed to.
    pub key_id: String,
    /// What was drawn for it when it was handed in; bound into the seal.
    pub candidate: Uuid,
    /// The account name it was handed in for; bound into the seal.
    pub account: String,
    /// The encapsulated key and the ciphertext, in base64.
    pub sealed: String,
    /// Whether the user must choose another one at the next logon.
    pub must_change: bool,
    /// Whether the directory lets it never expire.
    pub never_expires: bool,
    /// From when on it is not applied any more.
    pub expires: Timestamp,
}

impl Detail {
    /// Changed attributes that name nobody else.
    pub fn modified(attributes: BTreeMap<String, Vec<String>>) -> Detail {
        Detail::AttributesModified { attributes, references: BTreeMap::new() }
    }

    /// The kind that has these details.
    pub fn kind(&self) -> Kind {
        match self {
            Detail::AccountDisabled { .. } => Kind::AccountDisabled,
            Detail::AccountEnabled { .. } => Kind::AccountEnabled,
            Detail::PasswordChanged { .. } => Kind::PasswordChanged,
            Detail::PasswordSet(_) => Kind::PasswordSet,
            Detail::UserCreated { .. } => Kind::UserCreated,
            Detail::UserDeleted => Kind::UserDeleted,
            Detail::UserRenamed { .. } => Kind::UserRenamed,
            Detail::MembershipChanged { .. } => Kind::MembershipChanged,
            Detail::AttributesModified { .. } => Kind::AttributesModified,
            Detail::Canary { .. } => Kind::Canary,
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
    /// The span that its first observation began, where it is traced. It stays the same however
    /// often the change is delivered, or told again.
    pub trace: Option<TraceParent>,
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
        Event { id, source, object, sequence, time, identity, detail, waiting: None, trace: None }
    }

    /// What the event says.
    pub fn kind(&self) -> Kind {
        self.detail.kind()
    }

    /// See [`Identity::immutable_ids`].
    pub fn immutable_ids(&self) -> Vec<String> {
        self.identity.immutable_ids(self.object)
    }
}

/// The name of a directory in events: an LDAP URL without a host (RFC 4516), for every domain
/// controller shows the same directory.
pub fn source_of(base_dn: &str) -> String {
    format!("ldap:///{}", base_dn.to_lowercase().replace(' ', ""))
}

#[cfg(test)]
pub(crate) mod tests;
