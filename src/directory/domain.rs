//! What is read of a domain.

use std::time::Duration;

use sha2::{Digest, Sha256};

use super::entry::CONTAINERS;
use crate::config::model;

/// People: `computer` and all managed service accounts derive from it. `objectClass` stays on
/// tombstones, unlike `objectCategory`.
pub(super) const USERS: &str = "(&(objectClass=user)(!(objectClass=computer)))";
/// What the relay reads of every user besides the mapped attributes. `isDeleted` must be listed, or
/// deletions may be missed. The last two never have values: being listed as changed is what tells
/// that the password itself changed.
const ALWAYS: [&str; 13] = [
    "objectClass",
    "objectSid",
    "sAMAccountName",
    "mS-DS-ConsistencyGuid",
    "employeeID",
    "userAccountControl",
    "accountExpires",
    "pwdLastSet",
    "isDeleted",
    "name",
    "parentGUID",
    "unicodePwd",
    "supplementalCredentials",
];

/// What is read.
#[derive(Debug, Clone)]
pub struct Selection {
    pub(super) base_dn: String,
    pub(super) attributes: Vec<String>,
    pub(super) object_security: bool,
    pub(super) groups: bool,
}

impl Selection {
    /// Reads below `base_dn`, with `mapped` attributes besides those that are always read.
    pub fn new<'a>(
        base_dn: &str,
        mapped: impl IntoIterator<Item = &'a str>,
        object_security: bool,
    ) -> Selection {
        let mut attributes: Vec<String> = ALWAYS.map(str::to_owned).to_vec();
        for name in mapped {
            if !attributes.iter().any(|known| known.eq_ignore_ascii_case(name)) {
                attributes.push(name.to_owned());
            }
        }
        Selection { base_dn: base_dn.to_owned(), attributes, object_security, groups: false }
    }

    fn with_groups(mut self, groups: bool) -> Selection {
        self.groups = groups;
        self
    }

    /// What changes are asked for of: users, what they are below, and groups where they matter.
    pub(super) fn followed(&self) -> String {
        let groups = if self.groups { "(objectClass=group)" } else { "" };
        format!("(|{USERS}{}{groups})", any_container())
    }

    /// Another one where something else is selected.
    pub(super) fn fingerprint(&self) -> String {
        let mut attributes: Vec<_> =
            self.attributes.iter().map(|name| name.to_ascii_lowercase()).collect();
        attributes.sort();
        let selected = format!(
            "{}\n{}\n{}\n{}",
            self.base_dn.to_lowercase(),
            self.object_security,
            self.followed(),
            attributes.join(",")
        );
        let [a, b, c, d, e, f, g, h, ..] = Sha256::digest(selected).0;
        format!("{:016x}", u64::from_be_bytes([a, b, c, d, e, f, g, h]))
    }

    /// Leaves attributes out.
    fn without(mut self, never: &[String]) -> Selection {
        self.attributes.retain(|name| !never.iter().any(|it| it.eq_ignore_ascii_case(name)));
        self
    }
}

/// What is read of a domain, and what says when.
#[derive(Debug, Clone)]
pub struct Domain {
    pub(super) selection: Selection,
    pub(super) doorbell: model::Doorbell,
    pub(super) usn_interval: Duration,
}

impl Domain {
    /// As the configuration says, with `mapped` attributes besides those that are always read.
    pub fn from_config<'a>(
        config: &model::Directory,
        mapped: impl IntoIterator<Item = &'a str>,
    ) -> Domain {
        Domain {
            selection: Selection::new(&config.base_dn, mapped, config.object_security),
            doorbell: config.doorbell,
            usn_interval: config.usn_interval,
        }
    }

    /// Reads groups and their members too.
    pub fn with_groups(mut self, groups: bool) -> Domain {
        self.selection = self.selection.with_groups(groups);
        self
    }

    /// Never asks for these attributes.
    pub fn without(mut self, never: &[String]) -> Domain {
        self.selection = self.selection.without(never);
        self
    }
}

/// The filter for whatever users can be below.
pub(super) fn any_container() -> String {
    let classes: String = CONTAINERS.map(|class| format!("(objectClass={class})")).concat();
    format!("(|{classes})")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn mapped_attributes_are_asked_for_once() {
        let selection = Selection::new("DC=a", ["title", "employeeid", "title"], true);
        let count = |name: &str| {
            selection.attributes.iter().filter(|known| known.eq_ignore_ascii_case(name)).count()
        };
        assert_eq!((count("title"), count("employeeID"), count("isDeleted")), (1, 1, 1));
    }
}
