//! What a path under `/v1.0` names.

use axum::http::Method;
use url::form_urlencoded;

use super::error::GraphError;

/// A resource, with the keys as the caller wrote them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Resource {
    Users,
    User(String),
    RevokeSessions(String),
    Manager(String),
    ManagerRef(String),
    Group(String),
    Members(String),
    MembersRef(String),
    /// A member of a group: the directory object itself.
    Member(String, String),
    /// The membership.
    MemberRef(String, String),
    DeletedUsers,
    DeletedItem(String),
    Restore(String),
    Organization,
    RoleAssignments,
}

impl Resource {
    /// Reads a decoded path, without `/v1.0/`.
    pub(super) fn parse(path: &str) -> Result<Self, GraphError> {
        let mut segments: Vec<String> = path.split('/').map(str::to_owned).collect();
        if let Some(key) = segments.first().and_then(|first| parenthesised(first)) {
            segments.splice(0..1, ["users".to_owned(), key]);
        }
        let segments: Vec<&str> = segments.iter().map(String::as_str).collect();
        let own = |key: &&str| (*key).to_owned();
        Ok(match segments.as_slice() {
            ["users"] => Self::Users,
            ["users", key] if !key.is_empty() => Self::User(own(key)),
            ["users", key, "revokeSignInSessions" | "microsoft.graph.revokeSignInSessions"] => {
                Self::RevokeSessions(own(key))
            }
            ["users", key, "manager"] => Self::Manager(own(key)),
            ["users", key, "manager", "$ref"] => Self::ManagerRef(own(key)),
            ["groups", group] if !group.is_empty() => Self::Group(own(group)),
            ["groups", group, "members"] => Self::Members(own(group)),
            ["groups", group, "members", "$ref"] => Self::MembersRef(own(group)),
            ["groups", group, "members", member] => Self::Member(own(group), own(member)),
            ["groups", group, "members", member, "$ref"] => {
                Self::MemberRef(own(group), own(member))
            }
            ["directory", "deletedItems", "microsoft.graph.user"] => Self::DeletedUsers,
            ["directory", "deletedItems", id] => Self::DeletedItem(own(id)),
            ["directory", "deletedItems", id, "restore" | "microsoft.graph.restore"] => {
                Self::Restore(own(id))
            }
            ["organization"] => Self::Organization,
            ["roleManagement", "directory", "roleAssignments"] => Self::RoleAssignments,
            _ => {
                let last = segments.last().unwrap_or(&"");
                return Err(GraphError::malformed(format!(
                    "Resource not found for the segment '{last}'."
                )));
            }
        })
    }

    /// The key of the user it is about.
    pub(super) fn user_key(&self) -> Option<&str> {
        match self {
            Self::User(key)
            | Self::RevokeSessions(key)
            | Self::Manager(key)
            | Self::ManagerRef(key)
            | Self::DeletedItem(key)
            | Self::Restore(key)
            | Self::Member(_, key)
            | Self::MemberRef(_, key) => Some(key),
            _ => None,
        }
    }

    /// Resource units of a call: a base cost, less for `$select` and for small pages, at least 1.
    ///
    /// Source: "Service-specific throttling limits", identity and access, on
    /// learn.microsoft.com.
    pub(super) fn units(&self, method: &Method, query: &str) -> u32 {
        let base: u32 = match self {
            Self::Users if method == Method::GET => 2,
            Self::Members(_) if method == Method::GET => 3,
            _ => 1,
        };
        let less: u32 = form_urlencoded::parse(query.as_bytes())
            .map(|(name, value)| match name.as_ref() {
                "$select" => 1,
                "$top" => u32::from(value.parse().is_ok_and(|top: u32| top < 20)),
                _ => 0,
            })
            .sum();
        base.saturating_sub(less).max(1)
    }
}

/// The key in `users('key')` or in the alternate key `users(userPrincipalName='key')`, with
/// doubled quotes undone.
fn parenthesised(segment: &str) -> Option<String> {
    let inside = segment.strip_prefix("users(")?.strip_suffix(')')?;
    let quoted = inside.strip_prefix("userPrincipalName=").unwrap_or(inside);
    let key = quoted.strip_prefix('\'')?.strip_suffix('\'')?;
    Some(key.replace("''", "'"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths() {
        let user = |key: &str| Resource::User(key.to_owned());
        assert_eq!(Resource::parse("users/a@b.c"), Ok(user("a@b.c")));
        assert_eq!(Resource::parse("users('a@b.c')"), Ok(user("a@b.c")));
        assert_eq!(
            Resource::parse("users(userPrincipalName='o''hara@b.c')"),
            Ok(user("o'hara@b.c"))
        );
        assert_eq!(
            Resource::parse("groups/1/members/2/$ref"),
            Ok(Resource::MemberRef("1".to_owned(), "2".to_owned()))
        );
        for bad in ["", "users/", "users(x)", "users/1/photo", "me", "groups/1/owners"] {
            assert!(Resource::parse(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn costs() {
        let users = Resource::Users;
        assert_eq!(users.units(&Method::GET, ""), 2);
        assert_eq!(users.units(&Method::GET, "$select=id"), 1);
        assert_eq!(users.units(&Method::GET, "$select=id&$top=5"), 1);
        assert_eq!(users.units(&Method::POST, ""), 1);
        assert_eq!(Resource::Members("1".to_owned()).units(&Method::GET, "$top=5"), 2);
    }
}
