//! `apply:` and `parking:`: what the consumers do.

use std::{collections::BTreeMap, path::PathBuf, time::Duration};

use serde::{Deserialize, Serialize};

/// Whether the consumers write.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Mode {
    /// They do.
    Apply,
    /// They write nothing and log what they would do.
    Observe,
}

/// How an Entra user is found.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum MatchBy {
    /// `onPremisesImmutableId`.
    ImmutableId,
    /// `userPrincipalName`.
    UserPrincipalName,
    /// `employeeId`.
    EmployeeId,
}

/// A step when an account lost its enablement.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum OnDisabled {
    /// `accountEnabled = false`.
    BlockSignIn,
    /// `revokeSignInSessions`.
    RevokeSessions,
    /// Reads back until Graph shows the block.
    Verify,
}

/// A step when an account regained its enablement.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum OnEnabled {
    /// `accountEnabled = true`.
    AllowSignIn,
}

/// A step when a password changed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum OnPasswordChanged {
    /// `revokeSignInSessions`.
    RevokeSessions,
}

/// What a deletion does.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum OnDeleted {
    /// Blocks the user as a disable does.
    Disable,
    /// Deletes the user (restorable for 30 days); never one that another tool syncs.
    Delete,
    /// Nothing.
    Ignore,
}

/// What leaving the scope does.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum OnScopeLeft {
    /// Blocks the user as a disable does.
    Disable,
    /// Nothing.
    Ignore,
}

/// Which expiry policy a cloud password gets.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum PasswordExpiry {
    /// As the tenant says.
    Follow,
    /// `DisablePasswordExpiration`.
    Never,
}

/// `apply:`
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Apply {
    /// Whether anything is written.
    pub mode: Mode,
    /// How a user is found, in this order.
    #[serde(rename = "match")]
    pub match_by: Vec<MatchBy>,
    /// On-premises UPN suffix → the tenant's.
    pub upn_suffixes: BTreeMap<String, String>,
    /// Steps after a disable.
    pub on_disabled: Vec<OnDisabled>,
    /// Steps after an enable.
    pub on_enabled: Vec<OnEnabled>,
    /// Steps after a password change.
    pub on_password_changed: Vec<OnPasswordChanged>,
    /// What a deletion does.
    pub on_deleted: OnDeleted,
    /// What leaving the scope does.
    pub on_scope_left: OnScopeLeft,
    /// Carries "must change at next logon" with a password value.
    pub must_change_password: bool,
    /// Expiry policy of cloud passwords.
    pub password_expiry: PasswordExpiry,
    /// How often a user whom something else enables in Entra is blocked again, within a day.
    pub max_reblocks: u32,
    /// Graph property → directory attribute, or a template of several.
    pub attributes: BTreeMap<String, String>,
    /// Sets `onPremisesImmutableId` on a user matched otherwise.
    pub link: bool,
    /// Creates users that Entra does not have.
    pub create: bool,
    /// AD group DN → Entra group id.
    pub groups: BTreeMap<String, String>,
    /// Attributes that never leave.
    pub never: Vec<String>,
    /// Attributes that leave as a keyed hash only.
    pub anonymize: Vec<String>,
    /// A file that holds the key of that hash.
    pub anonymize_key_file: Option<PathBuf>,
}

impl Default for Apply {
    fn default() -> Self {
        Apply {
            mode: Mode::Apply,
            match_by: vec![MatchBy::ImmutableId, MatchBy::UserPrincipalName],
            upn_suffixes: BTreeMap::new(),
            on_disabled: vec![
                OnDisabled::BlockSignIn,
                OnDisabled::RevokeSessions,
                OnDisabled::Verify,
            ],
            on_enabled: vec![OnEnabled::AllowSignIn],
            on_password_changed: vec![OnPasswordChanged::RevokeSessions],
            on_deleted: OnDeleted::Disable,
            on_scope_left: OnScopeLeft::Disable,
            must_change_password: true,
            password_expiry: PasswordExpiry::Follow,
            max_reblocks: 3,
            attributes: BTreeMap::new(),
            link: false,
            create: false,
            groups: BTreeMap::new(),
            never: Vec::new(),
            anonymize: Vec::new(),
            anonymize_key_file: None,
        }
    }
}

/// `parking:`
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Parking {
    /// First wait.
    #[serde(with = "humantime_serde")]
    pub first_delay: Duration,
    /// Longest wait.
    #[serde(with = "humantime_serde")]
    pub max_delay: Duration,
    /// After this it is a dead letter.
    #[serde(with = "humantime_serde")]
    pub horizon: Duration,
}

impl Default for Parking {
    fn default() -> Self {
        Parking {
            first_delay: Duration::from_secs(15),
            max_delay: Duration::from_secs(30 * 60),
            horizon: Duration::from_secs(24 * 3600),
        }
    }
}
