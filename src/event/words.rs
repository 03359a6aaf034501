//! What an event says, in words for a table: names of properties, never their values.

use super::Detail;

impl Detail {
    /// Why it changed, and what of it has a name.
    pub fn words(&self) -> (Option<&'static str>, Option<String>) {
        match self {
            Detail::AccountDisabled { reason } => (Some(reason.as_str()), None),
            Detail::AccountEnabled { ended } => (Some(ended.as_str()), Some("has ended".into())),
            Detail::UserCreated { enabled } => {
                (None, Some(if *enabled { "enabled" } else { "not enabled" }.into()))
            }
            Detail::PasswordChanged { must_change } => {
                (None, must_change.then(|| "must be changed at the next logon".into()))
            }
            Detail::MembershipChanged { group, member } => {
                (None, Some(format!("{} {group}", if *member { "joined" } else { "left" })))
            }
            Detail::AttributesModified { attributes, references } => {
                let names = attributes.keys().chain(references.keys()).map(String::as_str);
                (None, Some(names.collect::<Vec<_>>().join(", ")))
            }
            Detail::UserDeleted
            | Detail::UserRenamed { .. }
            | Detail::PasswordSet(_)
            | Detail::Canary { .. } => (None, None),
        }
    }
}
