//! What is asked of Graph: a metric label, a word in messages, and the key to the right remedy.

use std::fmt;

/// A kind of request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Operation {
    /// A token from the authority.
    Token,
    /// A request that concerns no user: is Graph there?
    Probe,
    /// A search for users.
    FindUsers,
    /// One user by its object id.
    ReadUser,
    /// `accountEnabled`.
    SetEnabled,
    /// Any other property.
    UpdateUser,
    /// `revokeSignInSessions`.
    RevokeSessions,
    /// The (restorable) deletion of a user.
    DeleteUser,
}

impl Operation {
    /// Every kind, for metrics.
    pub const ALL: [Operation; 8] = [
        Operation::Token,
        Operation::Probe,
        Operation::FindUsers,
        Operation::ReadUser,
        Operation::SetEnabled,
        Operation::UpdateUser,
        Operation::RevokeSessions,
        Operation::DeleteUser,
    ];

    /// The label in metrics.
    pub fn as_str(self) -> &'static str {
        match self {
            Operation::Token => "token",
            Operation::Probe => "probe",
            Operation::FindUsers => "find_users",
            Operation::ReadUser => "read_user",
            Operation::SetEnabled => "set_enabled",
            Operation::UpdateUser => "update_user",
            Operation::RevokeSessions => "revoke_sessions",
            Operation::DeleteUser => "delete_user",
        }
    }

    /// The least application permissions that allow it (Graph permissions reference).
    pub fn permissions(self) -> &'static str {
        match self {
            Operation::Token => "none",
            Operation::Probe | Operation::FindUsers | Operation::ReadUser => "User.Read.All",
            Operation::SetEnabled => "User.EnableDisableAccount.All and User.Read.All",
            Operation::UpdateUser => "User.ReadWrite.All",
            Operation::RevokeSessions => "User.RevokeSessions.All",
            Operation::DeleteUser => "User.DeleteRestore.All",
        }
    }
}

impl fmt::Display for Operation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Operation::Token => "getting a token",
            Operation::Probe => "probing Graph",
            Operation::FindUsers => "finding the user",
            Operation::ReadUser => "reading the user",
            Operation::SetEnabled => "setting accountEnabled",
            Operation::UpdateUser => "updating the user",
            Operation::RevokeSessions => "revoking the sessions",
            Operation::DeleteUser => "deleting the user",
        })
    }
}
