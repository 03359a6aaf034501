//! What an event asks to be done to a user. Pure: nothing is read or written here.

use std::fmt;

use serde_json::{Map, Value};

use super::rules::Rules;
use crate::{
    config::model::{OnDeleted, OnDisabled, OnEnabled, OnPasswordChanged, OnScopeLeft},
    event::{Detail, Event, Reason},
    graph::User,
    mapping::Attributes,
};

/// One request, or one proof.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Action {
    /// `accountEnabled = false`.
    Block,
    /// `accountEnabled = true`.
    Allow,
    /// End the sessions.
    Revoke,
    /// Read back until the user is blocked.
    VerifyBlocked,
    /// Set these properties.
    Update(Map<String, Value>),
    /// Delete the user.
    Delete,
}

/// Why nothing is done.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Skip {
    /// The account is protected.
    Protected,
    /// The rules ask for nothing.
    NotConfigured,
    /// Another tool writes the attributes of this user.
    Ceded,
    /// The user is as the event says.
    Unchanged,
    /// A newer event of the user was applied before.
    Superseded,
}

/// What is to be done.
#[derive(Debug, PartialEq, Eq)]
pub enum Plan {
    /// These actions, in this order.
    Do {
        /// The actions.
        actions: Vec<Action>,
        /// Values that Graph would not take, each with the reason; they are left out.
        refused: Vec<String>,
    },
    /// Nothing.
    Skip(Skip),
}

/// Whether an event asks for nothing, whoever its user is: then nobody is looked up.
pub fn skip_unseen(event: &Event, rules: &Rules) -> Option<Skip> {
    if rules.protected.holds(&event.identity) {
        return Some(Skip::Protected);
    }
    let asks = match &event.detail {
        Detail::AccountDisabled { reason } => disables(*reason, rules),
        Detail::AccountEnabled { ended } => {
            // Who ignored that reason ignores its end too.
            disables(*ended, rules)
                && rules.on_disabled.contains(&OnDisabled::BlockSignIn)
                && rules.on_enabled.contains(&OnEnabled::AllowSignIn)
        }
        Detail::PasswordChanged { .. } => !rules.on_password_changed.is_empty(),
        Detail::UserDeleted => match rules.on_deleted {
            OnDeleted::Disable => !rules.on_disabled.is_empty(),
            OnDeleted::Delete => true,
            OnDeleted::Ignore => false,
        },
        Detail::AttributesModified { .. } => !rules.mappings.is_empty(),
        Detail::UserCreated { .. }
        | Detail::UserRenamed { .. }
        | Detail::PasswordSet(_)
        | Detail::MembershipChanged { .. } => false,
    };
    (!asks).then_some(Skip::NotConfigured)
}

fn disables(reason: Reason, rules: &Rules) -> bool {
    match reason {
        Reason::Disabled | Reason::Expired | Reason::LockedOut => !rules.on_disabled.is_empty(),
        Reason::Deleted => rules.on_deleted != OnDeleted::Ignore,
        Reason::ScopeLeft => {
            rules.on_scope_left == OnScopeLeft::Disable && !rules.on_disabled.is_empty()
        }
    }
}

/// Plans an event for its user. `trusted` says whether what was read of the user can be taken for
/// its state now: Graph may show what was before our own last write. Account states are written
/// in any case, for a block that is left out by mistake costs more than a request.
pub fn plan(event: &Event, user: &User, rules: &Rules, trusted: bool) -> Plan {
    if let Some(skip) = skip_unseen(event, rules) {
        return Plan::Skip(skip);
    }
    if rules.protected.holds_entra(user.id()) {
        return Plan::Skip(Skip::Protected);
    }
    let actions = match &event.detail {
        Detail::AccountDisabled { .. } => block(rules),
        Detail::AccountEnabled { .. } => vec![Action::Allow],
        Detail::PasswordChanged { .. } => {
            let step = |step: &OnPasswordChanged| match step {
                OnPasswordChanged::RevokeSessions => Action::Revoke,
            };
            rules.on_password_changed.iter().map(step).collect()
        }
        // A synced user would come back, or be deleted by its own tool.
        Detail::UserDeleted if rules.on_deleted == OnDeleted::Delete && !user.is_synced() => {
            vec![Action::Delete]
        }
        Detail::UserDeleted => block(rules),
        Detail::AttributesModified { .. } if user.is_synced() => return Plan::Skip(Skip::Ceded),
        Detail::AttributesModified { attributes, .. } => {
            return update(attributes, user, rules, trusted);
        }
        Detail::UserCreated { .. }
        | Detail::UserRenamed { .. }
        | Detail::PasswordSet(_)
        | Detail::MembershipChanged { .. } => {
            return Plan::Skip(Skip::NotConfigured);
        }
    };
    Plan::Do { actions, refused: Vec::new() }
}

fn block(rules: &Rules) -> Vec<Action> {
    let step = |step: &OnDisabled| match step {
        OnDisabled::BlockSignIn => Action::Block,
        OnDisabled::RevokeSessions => Action::Revoke,
        OnDisabled::Verify => Action::VerifyBlocked,
    };
    rules.on_disabled.iter().map(step).collect()
}

fn update(attributes: &Attributes, user: &User, rules: &Rules, trusted: bool) -> Plan {
    let mut body = Map::new();
    let mut refused = Vec::new();
    let mut mapped = false;
    for mapping in rules.mappings.iter() {
        let Some(value) = mapping.value(attributes) else { continue };
        let property = &mapping.property;
        let current = user.property(property.root());
        mapped = true;
        match value {
            Ok(value) if trusted && !property.differs(current, &value) => {}
            Ok(value) => property.put(&mut body, current, value),
            Err(why) => refused.push(why),
        }
    }
    match (body.is_empty(), refused.is_empty()) {
        (true, true) if mapped => Plan::Skip(Skip::Unchanged),
        (true, true) => Plan::Skip(Skip::NotConfigured),
        (true, false) => Plan::Do { actions: Vec::new(), refused },
        (false, _) => Plan::Do { actions: vec![Action::Update(body)], refused },
    }
}

impl Skip {
    /// A word for logs.
    pub fn as_str(self) -> &'static str {
        match self {
            Skip::Protected => "protected",
            Skip::NotConfigured => "not configured",
            Skip::Ceded => "ceded to the directory-sync tool",
            Skip::Unchanged => "unchanged",
            Skip::Superseded => "superseded",
        }
    }
}

impl fmt::Display for Action {
    /// Names properties, never their values.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Action::Block => f.write_str("block sign-in"),
            Action::Allow => f.write_str("allow sign-in"),
            Action::Revoke => f.write_str("revoke sessions"),
            Action::VerifyBlocked => f.write_str("verify"),
            Action::Update(body) => {
                let names: Vec<_> = body.keys().map(String::as_str).collect();
                write!(f, "update {}", names.join(", "))
            }
            Action::Delete => f.write_str("delete"),
        }
    }
}

#[cfg(test)]
mod tests;
