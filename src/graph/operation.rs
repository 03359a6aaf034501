//! What is asked of Graph: a metric label, a word in messages, and the key to the right remedy.

use std::fmt;

/// A kind of request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Operation {
    /// A token from the authority.
    Token,
    /// A token from the machine's own identity.
    ManagedToken,
    /// A request that concerns no user: is Graph there?
    Probe,
    /// A search for users.
    FindUsers,
    /// All users, and what the tenant is.
    ListUsers,
    /// One user by its object id.
    ReadUser,
    /// `accountEnabled`.
    SetEnabled,
    /// `passwordProfile`.
    SetPassword,
    /// Any other property.
    UpdateUser,
    /// `revokeSignInSessions`.
    RevokeSessions,
    /// The (restorable) deletion of a user.
    DeleteUser,
    /// A new user.
    CreateUser,
    /// A search among the deleted users.
    FindDeleted,
    /// Undoing a deletion.
    RestoreUser,
    /// Who a user's manager is.
    ReadManager,
    /// Setting or clearing the manager.
    SetManager,
    /// What kind of group it is.
    ReadGroup,
    /// Adding a user to a group.
    AddMember,
    /// Removing a user from a group.
    RemoveMember,
}

impl Operation {
    /// Every kind, for metrics.
    pub const ALL: [Operation; 18] = [
        Operation::Token,
        Operation::ManagedToken,
        Operation::Probe,
        Operation::FindUsers,
        Operation::ReadUser,
        Operation::SetEnabled,
        Operation::SetPassword,
        Operation::UpdateUser,
        Operation::RevokeSessions,
        Operation::DeleteUser,
        Operation::CreateUser,
        Operation::FindDeleted,
        Operation::RestoreUser,
        Operation::ReadManager,
        Operation::SetManager,
        Operation::ReadGroup,
        Operation::AddMember,
        Operation::RemoveMember,
    ];

    /// The label in metrics.
    pub fn as_str(self) -> &'static str {
        match self {
            Operation::Token => "token",
            Operation::ManagedToken => "managed_token",
            Operation::Probe => "probe",
            Operation::FindUsers => "find_users",
            Operation::ListUsers => "list_users",
            Operation::ReadUser => "read_user",
            Operation::SetEnabled => "set_enabled",
            Operation::SetPassword => "set_password",
            Operation::UpdateUser => "update_user",
            Operation::RevokeSessions => "revoke_sessions",
            Operation::DeleteUser => "delete_user",
            Operation::CreateUser => "create_user",
            Operation::FindDeleted => "find_deleted",
            Operation::RestoreUser => "restore_user",
            Operation::ReadManager => "read_manager",
            Operation::SetManager => "set_manager",
            Operation::ReadGroup => "read_group",
            Operation::AddMember => "add_member",
            Operation::RemoveMember => "remove_member",
        }
    }

    /// The least application permissions that allow it (Graph permissions reference).
    pub fn permissions(self) -> &'static str {
        match self {
            Operation::Token | Operation::ManagedToken => "none",
            Operation::Probe
            | Operation::FindUsers
            | Operation::ListUsers
            | Operation::ReadUser
            | Operation::FindDeleted
            | Operation::ReadManager => "User.Read.All",
            Operation::SetEnabled => "User.EnableDisableAccount.All and User.Read.All",
            Operation::SetPassword => "User-PasswordProfile.ReadWrite.All",
            Operation::UpdateUser | Operation::CreateUser | Operation::SetManager => {
                "User.ReadWrite.All"
            }
            Operation::RevokeSessions => "User.RevokeSessions.All",
            Operation::DeleteUser | Operation::RestoreUser => "User.DeleteRestore.All",
            Operation::ReadGroup | Operation::AddMember | Operation::RemoveMember => {
                "GroupMember.ReadWrite.All"
            }
        }
    }
}

impl fmt::Display for Operation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Operation::Token => "getting a token",
            Operation::ManagedToken => "getting a token of the managed identity",
            Operation::Probe => "probing Graph",
            Operation::FindUsers => "finding the user",
            Operation::ListUsers => "listing the users",
            Operation::ReadUser => "reading the user",
            Operation::SetEnabled => "setting accountEnabled",
            Operation::SetPassword => "setting the password",
            Operation::UpdateUser => "updating the user",
            Operation::RevokeSessions => "revoking the sessions",
            Operation::DeleteUser => "deleting the user",
            Operation::CreateUser => "creating the user",
            Operation::FindDeleted => "finding the deleted user",
            Operation::RestoreUser => "restoring the user",
            Operation::ReadManager => "reading the manager",
            Operation::SetManager => "setting the manager",
            Operation::ReadGroup => "reading the group",
            Operation::AddMember => "adding the user to the group",
            Operation::RemoveMember => "removing the user from the group",
        })
    }
}
