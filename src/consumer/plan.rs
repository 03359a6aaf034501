//! What an event asks to be done to a user. Pure: nothing is read or written here.

use std::{collections::BTreeSet, fmt};

use serde_json::{Map, Value, json};

use super::{
    password,
    rules::{Rules, UPN},
};
use crate::{
    config::model::{
        OnDeleted, OnDisabled, OnEnabled, OnPasswordChanged, OnScopeLeft, PasswordExpiry,
    },
    event::{Detail, Event, Reason, Reference, SealedPassword},
    graph::User,
    mapping::{Attributes, Mapping, Property},
};

/// The property that links a user to its directory object.
pub const IMMUTABLE_ID: &str = "onPremisesImmutableId";

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
    /// The password, which is not part of the action.
    SetPassword {
        /// Whether the user must choose another one at the next sign-in.
        must_change: bool,
    },
    /// Set these properties.
    Update(Map<String, Value>),
    /// Make this user the manager, or nobody.
    SetManager(Option<Reference>),
    /// Set `onPremisesImmutableId`, so that the user is found by it from now on.
    Link(String),
    /// Add the user to this group of Entra.
    Join(String),
    /// Remove the user from this group of Entra.
    Leave(String),
    /// Create the user.
    Create,
    /// Undo its deletion.
    Restore,
    /// Delete the user.
    Delete,
}

/// What is known of a user beside its properties.
#[derive(Debug, Clone, Default)]
pub struct Known {
    /// Whether what was read can be taken for the state now: Graph may show what was before our
    /// own last write.
    pub trusted: bool,
    /// Properties that Graph said another source masters.
    pub ceded: BTreeSet<String>,
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
        /// How many properties are left to their source, another tool.
        ceded: usize,
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
            let restores = *ended == Reason::Deleted && rules.on_deleted == OnDeleted::Delete;
            // Who ignored that reason ignores its end too.
            restores
                || disables(*ended, rules)
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
        Detail::UserCreated { .. } => rules.create || rules.link,
        Detail::UserRenamed { .. } => rules.renames() || rules.link,
        Detail::MembershipChanged { group, .. } => rules.group(group).is_some(),
        Detail::PasswordSet(_) => true,
        // To see the user is all that it asks for.
        Detail::Canary { .. } => true,
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

/// Plans an event for its user. Account states are written whatever is read, for a block that is
/// left out by mistake costs more than a request.
pub fn plan(event: &Event, user: &User, rules: &Rules, known: &Known) -> Plan {
    if let Some(skip) = skip_unseen(event, rules) {
        return Plan::Skip(skip);
    }
    if rules.protected.holds_entra(user.id()) {
        return Plan::Skip(Skip::Protected);
    }
    let mut draft = Draft::default();
    match &event.detail {
        Detail::AccountDisabled { .. } => draft.actions = block(rules),
        Detail::AccountEnabled { .. } => draft.actions.push(Action::Allow),
        Detail::PasswordChanged { .. } => draft.actions.extend(after_password(rules)),
        Detail::PasswordSet(sealed) => draft.set_password(sealed, user, rules, known),
        // A synced user would come back, or be deleted by its own tool.
        Detail::UserDeleted if rules.on_deleted == OnDeleted::Delete && !user.is_synced() => {
            draft.actions.push(Action::Delete);
        }
        Detail::UserDeleted => draft.actions = block(rules),
        Detail::AttributesModified { attributes, references } => {
            draft.update(attributes, user, rules, known);
            for (name, reference) in references {
                draft.refer(name, reference.as_ref(), user, rules, known);
            }
        }
        Detail::UserRenamed { .. } if rules.renames() => draft.rename(event, user, rules, known),
        Detail::MembershipChanged { group, member } => {
            if let Some(group) = rules.group(group).map(str::to_owned) {
                let action = if *member { Action::Join(group) } else { Action::Leave(group) };
                draft.actions.push(action);
            }
        }
        Detail::UserCreated { .. } | Detail::UserRenamed { .. } => {}
        Detail::Canary { .. } => return Plan::Skip(Skip::Unchanged),
    }
    if rules.link && event.detail != Detail::UserDeleted {
        draft.link(event, user, known);
    }
    draft.finish()
}

/// The steps that take a user's access away.
pub fn block(rules: &Rules) -> Vec<Action> {
    let step = |step: &OnDisabled| match step {
        OnDisabled::BlockSignIn => Action::Block,
        OnDisabled::RevokeSessions => Action::Revoke,
        OnDisabled::Verify => Action::VerifyBlocked,
    };
    rules.on_disabled.iter().map(step).collect()
}

fn after_password(rules: &Rules) -> impl Iterator<Item = Action> {
    rules.on_password_changed.iter().map(|step| match step {
        OnPasswordChanged::RevokeSessions => Action::Revoke,
    })
}

/// A plan in the making.
#[derive(Default)]
struct Draft {
    actions: Vec<Action>,
    refused: Vec<String>,
    ceded: usize,
    /// Whether something of the event is as it should be.
    unchanged: bool,
}

impl Draft {
    /// One update for all properties that differ.
    fn update(&mut self, attributes: &Attributes, user: &User, rules: &Rules, known: &Known) {
        let mut body = Map::new();
        for mapping in rules.mappings.iter().filter(|mapping| !mapping.property.is_reference()) {
            let Some(value) = mapping.value(attributes) else { continue };
            let property = &mapping.property;
            if is_ceded(property, user, known) {
                self.ceded += 1;
                continue;
            }
            let value = value.map(|value| match value.as_str() {
                Some(upn) if property.path() == UPN => json!(rules.cloud_upn(upn)),
                _ => value,
            });
            let current = user.property(property.root());
            match value {
                Ok(value) if known.trusted && !property.differs(current, &value) => {
                    self.unchanged = true;
                }
                Ok(value) => property.put(&mut body, current, value),
                Err(why) => self.refused.push(why),
            }
        }
        if !body.is_empty() {
            self.actions.push(Action::Update(body));
        }
    }

    /// The value, then what follows every change (a session that is ended before could begin anew
    /// with the old password), then the policy of its expiry where that is another one.
    fn set_password(&mut self, sealed: &SealedPassword, user: &User, rules: &Rules, known: &Known) {
        let must_change = sealed.must_change && rules.must_change_password;
        self.actions.push(Action::SetPassword { must_change });
        self.actions.extend(after_password(rules));
        let never = sealed.never_expires || rules.password_expiry == PasswordExpiry::Never;
        let before = user.property("passwordPolicies").as_str();
        let policies = password::policies(before, never);
        if !known.trusted || before.unwrap_or("None") != policies {
            let body = Map::from_iter([("passwordPolicies".into(), policies.into())]);
            self.actions.push(Action::Update(body));
        }
    }

    /// The manager: no property, but a request of its own.
    fn refer(
        &mut self,
        attribute: &str,
        reference: Option<&Reference>,
        user: &User,
        rules: &Rules,
        known: &Known,
    ) {
        let follows = |mapping: &&Mapping| {
            mapping.property.is_reference()
                && mapping.inputs().iter().any(|input| input.eq_ignore_ascii_case(attribute))
        };
        for mapping in rules.mappings.iter().filter(follows) {
            if is_ceded(&mapping.property, user, known) {
                self.ceded += 1;
            } else {
                self.actions.push(Action::SetManager(reference.cloned()));
            }
        }
    }

    fn rename(&mut self, event: &Event, user: &User, rules: &Rules, known: &Known) {
        let Some(upn) = &event.identity.user_principal_name else { return };
        let upn = rules.cloud_upn(upn);
        if user.is_synced() || known.ceded.contains(UPN) {
            self.ceded += 1;
        } else if known.trusted && user.property(UPN) == upn.as_str() {
            self.unchanged = true;
        } else {
            let body = [(UPN.to_owned(), json!(upn))].into_iter().collect();
            self.actions.push(Action::Update(body));
        }
    }

    fn link(&mut self, event: &Event, user: &User, known: &Known) {
        let is_ours = !user.is_synced() && user.immutable_id().is_none();
        if is_ours && !known.ceded.contains(IMMUTABLE_ID) {
            self.actions.extend(event.immutable_ids().into_iter().next().map(Action::Link));
        }
    }

    fn finish(self) -> Plan {
        let Draft { actions, refused, ceded, unchanged } = self;
        if actions.is_empty() && refused.is_empty() && ceded == 0 {
            let skip = if unchanged { Skip::Unchanged } else { Skip::NotConfigured };
            return Plan::Skip(skip);
        }
        Plan::Do { actions, refused, ceded }
    }
}

/// Whether another tool is the source of a property of this user: of most properties of a synced
/// user, and of what Graph refused before. A user that was synced once, or whose source of
/// authority is the cloud now, is like any other.
fn is_ceded(property: &Property, user: &User, known: &Known) -> bool {
    (user.is_synced() && property.is_mastered()) || known.ceded.contains(property.root())
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
            Action::SetPassword { must_change: true } => {
                f.write_str("set the password, to be changed at the next sign-in")
            }
            Action::SetPassword { must_change: false } => f.write_str("set the password"),
            Action::Update(body) => {
                let names: Vec<_> = body.keys().map(String::as_str).collect();
                write!(f, "update {}", names.join(", "))
            }
            Action::SetManager(Some(_)) => f.write_str("set manager"),
            Action::SetManager(None) => f.write_str("clear manager"),
            Action::Link(_) => f.write_str("link"),
            Action::Join(group) => write!(f, "add to group {group}"),
            Action::Leave(group) => write!(f, "remove from group {group}"),
            Action::Create => f.write_str("create"),
            Action::Restore => f.write_str("restore"),
            Action::Delete => f.write_str("delete"),
        }
    }
}

#[cfg(test)]
mod tests;
