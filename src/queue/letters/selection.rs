//! Which dead letters are meant.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use super::entry::Opened;
use crate::queue::dead_letter::DeadReason;

/// What a letter must be to be meant. Empty conditions are none.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Selection {
    /// Beginnings of ids.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub ids: Vec<String>,
    /// Reasons.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub reasons: Vec<DeadReason>,
    /// Types of event, in their short form.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub kinds: Vec<String>,
    /// The user: sAMAccountName, UPN, SID or objectGUID, as far as the letter knows them.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub user: Option<String>,
    /// Given up then or later.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub since: Option<Timestamp>,
    /// Given up then or before.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub until: Option<Timestamp>,
    /// The first so many of those alone.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub limit: Option<usize>,
}

impl Selection {
    /// Whether a letter is meant; the limit is the caller's to keep.
    pub(super) fn takes(&self, opened: &Opened) -> bool {
        let entry = &opened.entry;
        let id = entry.id.to_string();
        (self.ids.is_empty() || self.ids.iter().any(|start| id.starts_with(&start.to_lowercase())))
            && (self.reasons.is_empty() || self.reasons.contains(&entry.reason))
            && (self.kinds.is_empty() || self.kinds.contains(&entry.kind))
            && self.since.is_none_or(|since| entry.given_up >= since)
            && self.until.is_none_or(|until| entry.given_up <= until)
            && self.user.as_ref().is_none_or(|user| is_user(opened, user))
    }
}

fn is_user(opened: &Opened, wanted: &str) -> bool {
    let guid = opened.entry.object.to_string();
    let identity = opened.event.as_ref().map(|event| &event.identity);
    let names = identity.into_iter().flat_map(|identity| {
        [&identity.sam_account_name, &identity.user_principal_name, &identity.sid]
    });
    let names = names.flatten().chain(&opened.entry.user).chain([&guid]);
    let wanted = wanted.trim_matches(['{', '}']).to_lowercase();
    names.into_iter().any(|name| name.to_lowercase() == wanted)
}
