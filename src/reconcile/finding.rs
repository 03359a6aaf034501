//! What the comparison finds.

use serde::{Deserialize, Serialize};
use uuid::Uuid;

/// A kind of difference.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Kind {
    /// Disabled in the directory, sign-in allowed in Entra.
    Disabled,
    /// Expired in the directory, sign-in allowed in Entra.
    Expired,
    /// Locked out or out of scope, sign-in allowed in Entra.
    Blocked,
    /// Linked in Entra and allowed to sign in, but not in the directory.
    Deleted,
    /// The same, linked to an object of which no watcher has ever told.
    Orphan,
    /// Linked in Entra and allowed to sign in, but never in scope.
    Outsider,
    /// Enabled in the directory, sign-in blocked in Entra.
    Enabled,
    /// A property has another value in Entra.
    Differs,
    /// A property has no value in Entra.
    Lacking,
    /// A property has a value in Entra and none in the directory.
    Cleared,
    /// A property has another value in Entra, and another tool masters it.
    Mastered,
    /// Somebody else is the manager in Entra, or nobody.
    Manager,
    /// Not in the group of Entra that follows one which the user is in.
    NotMember,
    /// In the group of Entra that follows one which the user is not in.
    Member,
    /// The members of a mapped group are not ours to change.
    Closed,
    /// Graph would refuse a value.
    Refused,
    /// Somebody else in Entra, or in the directory, has the user's name.
    Taken,
    /// Entra does not have the user.
    Missing,
    /// Entra's user of that name belongs to another object of the directory.
    Foreign,
    /// Several users of Entra fit.
    Ambiguous,
    /// A user of Entra fits several users of the directory.
    Duplicate,
}

/// What mends a difference.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Mend {
    /// The watcher tells the user again.
    Refresh,
    /// Somebody asks for it in so many words: `--include enable`.
    Enable,
    /// The watcher tells the membership.
    Correct,
    /// The tool that masters it.
    Source,
    /// A person.
    Person,
}

impl Kind {
    /// The name in output.
    pub fn as_str(self) -> &'static str {
        match self {
            Kind::Disabled => "disabled",
            Kind::Expired => "expired",
            Kind::Blocked => "blocked",
            Kind::Deleted => "deleted",
            Kind::Orphan => "orphan",
            Kind::Outsider => "outsider",
            Kind::Enabled => "enabled",
            Kind::Differs => "differs",
            Kind::Lacking => "lacking",
            Kind::Cleared => "cleared",
            Kind::Mastered => "mastered",
            Kind::Manager => "manager",
            Kind::NotMember => "not_member",
            Kind::Member => "member",
            Kind::Closed => "closed",
            Kind::Refused => "refused",
            Kind::Taken => "taken",
            Kind::Missing => "missing",
            Kind::Foreign => "foreign",
            Kind::Ambiguous => "ambiguous",
            Kind::Duplicate => "duplicate",
        }
    }

    /// What it is, for a person.
    pub fn sentence(self) -> &'static str {
        match self {
            Kind::Disabled => "disabled in the directory, may sign in to Entra",
            Kind::Expired => "expired in the directory, may sign in to Entra",
            Kind::Blocked => "locked out or out of scope, may sign in to Entra",
            Kind::Deleted => "not in the directory, may sign in to Entra",
            Kind::Orphan => "linked to what nobody knows, may sign in to Entra",
            Kind::Outsider => "never in scope, may sign in to Entra",
            Kind::Enabled => "enabled in the directory, blocked in Entra",
            Kind::Differs => "another value in Entra",
            Kind::Lacking => "no value in Entra",
            Kind::Cleared => "a value in Entra that the directory does not have",
            Kind::Mastered => "another value in Entra, which another tool masters",
            Kind::Manager => "another manager in Entra, or none",
            Kind::NotMember => "not in the group of Entra",
            Kind::Member => "in the group of Entra, and not in the directory's",
            Kind::Closed => "the members of this group cannot be changed",
            Kind::Refused => "a value that Graph would refuse",
            Kind::Taken => "somebody else has the user's name",
            Kind::Missing => "not in Entra",
            Kind::Foreign => "Entra's user of that name is linked to another object",
            Kind::Ambiguous => "several users of Entra fit",
            Kind::Duplicate => "the user of Entra fits several users of the directory",
        }
    }

    /// What mends it.
    pub fn mend(self) -> Mend {
        match self {
            Kind::Enabled => Mend::Enable,
            Kind::Disabled
            | Kind::Expired
            | Kind::Blocked
            | Kind::Deleted
            | Kind::Differs
            | Kind::Lacking
            | Kind::Cleared
            | Kind::Manager => Mend::Refresh,
            Kind::NotMember | Kind::Member => Mend::Correct,
            Kind::Mastered => Mend::Source,
            Kind::Orphan
            | Kind::Outsider
            | Kind::Closed
            | Kind::Refused
            | Kind::Taken
            | Kind::Missing
            | Kind::Foreign
            | Kind::Ambiguous
            | Kind::Duplicate => Mend::Person,
        }
    }
}

/// A difference.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Finding {
    /// Its kind.
    pub kind: Kind,
    /// objectGUID, where the directory or the link tells it.
    pub object: Option<Uuid>,
    /// The user's name.
    pub user: Option<String>,
    /// Entra object id.
    pub entra: Option<String>,
    /// The group of the directory that it is about.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub group: Option<String>,
    /// Names of properties, or what else there is to say; never a value.
    pub what: Vec<String>,
}
