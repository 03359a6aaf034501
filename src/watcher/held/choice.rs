//! Which of what is held is meant.

use std::collections::BTreeSet;

use serde::{Deserialize, Serialize};
use uuid::Uuid;

use crate::{directory::dn, watcher::record::Record};

/// Which of what is held is meant; all of it where nothing is named.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Choice {
    /// The batch.
    pub batch: Option<u64>,
    /// These users, named by sAMAccountName, UPN, DN, SID or objectGUID.
    pub users: Vec<String>,
    /// And these, by objectGUID.
    pub objects: BTreeSet<Uuid>,
    /// The users below this DN.
    pub under: Option<String>,
}

impl Choice {
    /// Whether the user is meant.
    pub fn means(&self, object: Uuid, record: &Record) -> bool {
        let named = self.users.is_empty() && self.objects.is_empty()
            || self.objects.contains(&object)
            || self.users.iter().any(|name| record.is_named(object, name));
        named && self.under.as_ref().is_none_or(|base| dn::is_under(&record.dn, base))
    }
}
