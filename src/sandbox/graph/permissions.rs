//! Which application permissions a call needs.
//!
//! Source: the permissions tables of each operation and the Microsoft Graph permissions
//! reference on learn.microsoft.com.

use super::error::GraphError;
use super::properties::Area;

/// Alternatives; of each, all permissions are needed.
pub(super) type Needs = &'static [&'static [&'static str]];

/// What the relay needs for everything it does: the default of the simulator.
pub const RELAY_PERMISSIONS: [&str; 6] = [
    "User.Read.All",
    "User.EnableDisableAccount.All",
    "User.RevokeSessions.All",
    "User.ReadWrite.All",
    "User-PasswordProfile.ReadWrite.All",
    "GroupMember.ReadWrite.All",
];

/// Read every property of users.
pub(super) const READ: Needs =
    &[&["User.Read.All"], &["User.ReadWrite.All"], &["Directory.Read.All"], WRITE_ALL];
/// Read the basic properties of users.
pub(super) const READ_BASIC: Needs =
    &[&["User.ReadBasic.All"], &["User-PasswordProfile.ReadWrite.All"]];
/// The properties that [`READ_BASIC`] covers.
pub(super) const BASIC_PROPERTIES: [&str; 8] = [
    "displayName",
    "givenName",
    "id",
    "mail",
    "photo",
    "securityIdentifier",
    "surname",
    "userPrincipalName",
];
/// Create users.
pub(super) const CREATE: Needs = &[&["User.Create"], &["User.ReadWrite.All"], WRITE_ALL];
/// Delete and restore users.
pub(super) const DELETE: Needs = &[&["User.DeleteRestore.All"], &["User.ReadWrite.All"], WRITE_ALL];
/// Revoke sign-in sessions.
pub(super) const REVOKE: Needs =
    &[&["User.RevokeSessions.All"], &["User.ReadWrite.All"], WRITE_ALL];
/// Set and clear the manager.
pub(super) const MANAGER: Needs = &[&["User.ReadWrite.All"], WRITE_ALL];
/// Read the members of groups.
pub(super) const READ_MEMBERS: Needs = &[
    &["GroupMember.Read.All"],
    &["GroupMember.ReadWrite.All"],
    &["Group.Read.All"],
    &["Group.ReadWrite.All"],
    &["Directory.Read.All"],
    WRITE_ALL,
];
/// Read who holds a directory role.
pub(super) const READ_ROLES: Needs = &[
    &["RoleManagement.Read.Directory"],
    &["RoleManagement.ReadWrite.Directory"],
    &["RoleManagement.Read.All"],
    &["Directory.Read.All"],
];
/// Add and remove members of groups.
pub(super) const WRITE_MEMBERS: Needs =
    &[&["GroupMember.ReadWrite.All"], &["Group.ReadWrite.All"], WRITE_ALL];
/// Needed beside [`WRITE_MEMBERS`] for role-assignable groups.
pub(super) const WRITE_ROLE_GROUPS: Needs = &[&["RoleManagement.ReadWrite.Directory"]];

const WRITE_ALL: &[&str] = &["Directory.ReadWrite.All"];

/// Update a property of that area.
pub(super) fn to_update(area: Area) -> Needs {
    match area {
        Area::General => &[&["User.ReadUpdate.All"], &["User.ReadWrite.All"], WRITE_ALL],
        Area::Account => &[
            &["User.EnableDisableAccount.All", "User.Read.All"],
            &["User.ReadWrite.All"],
            WRITE_ALL,
        ],
        Area::Password => {
            &[&["User-PasswordProfile.ReadWrite.All"], &["User.ReadWrite.All"], WRITE_ALL]
        }
        Area::Phone => &[&["User-Phone.ReadWrite.All"], &["User.ReadWrite.All"], WRITE_ALL],
        Area::Mail => &[&["User-Mail.ReadWrite.All"], &["User.ReadWrite.All"], WRITE_ALL],
        Area::Leave => &[&["User-LifeCycleInfo.ReadWrite.All", "User.Read.All"]],
    }
}

/// The permissions in a token.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Granted(pub(super) Vec<String>);

impl Granted {
    /// Refuses with 403 unless one alternative is granted.
    pub(super) fn require(&self, needs: Needs) -> Result<(), GraphError> {
        if self.allow(needs) { Ok(()) } else { Err(GraphError::denied()) }
    }

    /// Whether one alternative is granted.
    pub(super) fn allow(&self, needs: Needs) -> bool {
        let held = |name: &&str| self.0.iter().any(|granted| granted == name);
        needs.iter().any(|all| all.iter().all(held))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn blocking_sign_in_needs_to_read_too() {
        let granted = |names: &[&str]| Granted(names.iter().map(|n| (*n).to_owned()).collect());
        let needs = to_update(Area::Account);
        assert!(!granted(&["User.EnableDisableAccount.All"]).allow(needs));
        assert!(granted(&["User.EnableDisableAccount.All", "User.Read.All"]).allow(needs));
        assert!(granted(&["User.ReadWrite.All"]).allow(needs));
        assert!(!granted(&["User.Read.All"]).allow(needs));
    }
}
