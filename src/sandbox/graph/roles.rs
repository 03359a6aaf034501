//! Directory roles, and on whom a holder may act.
//!
//! Source: "Working with users in Microsoft Graph", "Who can perform sensitive actions" and
//! "Who can reset passwords", on learn.microsoft.com.

/// A built-in Entra directory role, held by a user or by the app's service principal.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[allow(missing_docs, reason = "each variant is the name of the role")]
pub enum DirectoryRole {
    AuthenticationAdministrator,
    DirectoryReaders,
    GlobalAdministrator,
    GroupsAdministrator,
    GuestInviter,
    HelpdeskAdministrator,
    MessageCenterReader,
    PasswordAdministrator,
    PrivilegedAuthenticationAdministrator,
    PrivilegedRoleAdministrator,
    ReportsReader,
    UsageSummaryReportsReader,
    UserAdministrator,
}

use DirectoryRole as Role;

/// What is done to the target user.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Action {
    /// A change of a sensitive property, a delete or a restore.
    Sensitive,
    /// A new password.
    Password,
}

/// Targets on which User Administrator may act.
const USER_ADMINISTRATOR: &[Role] = &[
    Role::DirectoryReaders,
    Role::GroupsAdministrator,
    Role::GuestInviter,
    Role::HelpdeskAdministrator,
    Role::MessageCenterReader,
    Role::PasswordAdministrator,
    Role::ReportsReader,
    Role::UserAdministrator,
    Role::UsageSummaryReportsReader,
];

/// Targets on which Authentication Administrator may act.
const AUTHENTICATION_ADMINISTRATOR: &[Role] = &[
    Role::AuthenticationAdministrator,
    Role::DirectoryReaders,
    Role::GuestInviter,
    Role::MessageCenterReader,
    Role::PasswordAdministrator,
    Role::ReportsReader,
    Role::UsageSummaryReportsReader,
];

/// Targets whose password Password Administrator may reset.
const PASSWORD_ADMINISTRATOR: &[Role] =
    &[Role::DirectoryReaders, Role::GuestInviter, Role::PasswordAdministrator];

/// Targets whose password Helpdesk Administrator may reset.
const HELPDESK_ADMINISTRATOR: &[Role] = &[
    Role::DirectoryReaders,
    Role::GuestInviter,
    Role::HelpdeskAdministrator,
    Role::MessageCenterReader,
    Role::PasswordAdministrator,
    Role::ReportsReader,
    Role::UsageSummaryReportsReader,
];

/// Whether an app that holds these roles may act on a user who holds those.
///
/// On a user without a role, a sensitive action needs no role (the permission suffices), but a
/// password does.
pub(super) fn may_act(app: &[Role], action: Action, target: &[Role]) -> bool {
    if target.is_empty() && action == Action::Sensitive {
        return true;
    }
    app.iter().any(|role| match (role, action) {
        (Role::GlobalAdministrator | Role::PrivilegedAuthenticationAdministrator, _) => true,
        (Role::UserAdministrator, _) => within(target, USER_ADMINISTRATOR),
        (Role::AuthenticationAdministrator, _) => within(target, AUTHENTICATION_ADMINISTRATOR),
        (Role::PasswordAdministrator, Action::Password) => within(target, PASSWORD_ADMINISTRATOR),
        (Role::HelpdeskAdministrator, Action::Password) => within(target, HELPDESK_ADMINISTRATOR),
        _ => false,
    })
}

fn within(target: &[Role], allowed: &[Role]) -> bool {
    target.iter().all(|role| allowed.contains(role))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn people_without_a_role() {
        assert!(may_act(&[], Action::Sensitive, &[]));
        assert!(!may_act(&[], Action::Password, &[]));
        assert!(may_act(&[Role::PasswordAdministrator], Action::Password, &[]));
    }

    #[test]
    fn administrators() {
        let global = [Role::GlobalAdministrator];
        assert!(!may_act(&[Role::UserAdministrator], Action::Sensitive, &global));
        assert!(may_act(&[Role::PrivilegedAuthenticationAdministrator], Action::Password, &global));
        let helpdesk = [Role::HelpdeskAdministrator];
        assert!(may_act(&[Role::UserAdministrator], Action::Sensitive, &helpdesk));
        assert!(!may_act(&[Role::HelpdeskAdministrator], Action::Sensitive, &helpdesk));
        assert!(!may_act(&[Role::PasswordAdministrator], Action::Password, &helpdesk));
    }
}
