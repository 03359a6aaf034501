//! A user of the simulated tenant.

use std::fmt;

use jiff::{SignedDuration, Timestamp};
use serde_json::{Map, Value};
use uuid::Uuid;

use super::properties::{self as table, Kind, Prop};
use super::record::Record;
use super::roles::DirectoryRole;

/// A user as stored, or a snapshot of one.
#[derive(Clone)]
pub struct User {
    pub(super) id: Uuid,
    pub(super) record: Record,
    pub(super) manager: Option<Uuid>,
    pub(super) roles: Box<[DirectoryRole]>,
    pub(super) password: Option<Box<StoredPassword>>,
}

/// What the last password write left behind.
#[derive(Clone)]
pub(super) struct StoredPassword {
    pub(super) value: String,
    pub(super) force_change: bool,
    pub(super) force_change_with_mfa: bool,
}

impl User {
    /// The object id.
    pub fn id(&self) -> Uuid {
        self.id
    }

    /// The value of a property by its Graph name, as `$select` would show it; null where there
    /// is none, and for unknown names.
    pub fn get(&self, name: &str) -> Value {
        Prop::named(name).map_or(Value::Null, |prop| self.value(prop))
    }

    /// `userPrincipalName`.
    pub fn user_principal_name(&self) -> String {
        self.record.text(table::UPN).unwrap_or_default()
    }

    /// `accountEnabled`.
    pub fn account_enabled(&self) -> bool {
        self.record.get(table::ACCOUNT_ENABLED) == Value::Bool(true)
    }

    /// `onPremisesImmutableId`.
    pub fn immutable_id(&self) -> Option<String> {
        self.record.text(table::IMMUTABLE_ID)
    }

    /// `signInSessionsValidFromDateTime`: the instant of the last revocation, in whole seconds.
    pub fn sessions_valid_from(&self) -> Option<Timestamp> {
        self.record.text(table::SESSIONS_VALID_FROM)?.parse().ok()
    }

    /// The object id of the manager.
    pub fn manager(&self) -> Option<Uuid> {
        self.manager
    }

    /// The plaintext of the last password that was set through Graph; no call returns it.
    pub fn password(&self) -> Option<&str> {
        self.password.as_deref().map(|password| password.value.as_str())
    }

    /// Whether the user must choose a new password at the next sign-in.
    pub fn must_change_password(&self) -> bool {
        self.password.as_deref().is_some_and(|p| p.force_change || p.force_change_with_mfa)
    }

    /// One property as an answer shows it.
    pub(super) fn value(&self, prop: Prop) -> Value {
        if prop == table::ID {
            return Value::String(self.id.to_string());
        }
        match self.record.get(prop) {
            Value::Null => prop.info().unset(),
            value => value,
        }
    }

    /// The selected properties; the default set where nothing was selected.
    pub(super) fn show(&self, select: Option<&[Prop]>) -> Map<String, Value> {
        let named = |prop: Prop| (prop.info().name.to_owned(), self.value(prop));
        match select {
            Some(props) => props.iter().copied().map(named).collect(),
            None => Prop::all().filter(|prop| prop.info().selected).map(named).collect(),
        }
    }

    /// Whether the user is synced from an on-premises directory: none if it never was.
    pub(super) fn synced(&self) -> Option<bool> {
        self.record.get(table::SYNC_ENABLED).as_bool()
    }
}

impl fmt::Debug for User {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let set = Prop::all().filter(|prop| !self.record.get(*prop).is_null());
        let props: Vec<_> = set.collect();
        f.debug_struct("User")
            .field("id", &self.id)
            .field("properties", &self.show(Some(&props)))
            .field("manager", &self.manager)
            .field("roles", &self.roles)
            .finish_non_exhaustive()
    }
}

/// A user to put into the tenant without going through Graph, so nothing is checked.
#[derive(Debug, Clone)]
pub struct NewUser {
    values: Vec<(Prop, Value)>,
    roles: Vec<DirectoryRole>,
}

impl NewUser {
    /// An enabled cloud-only member, created a day ago, whose display name is the local part.
    pub fn new(user_principal_name: &str) -> Self {
        let local = user_principal_name.split('@').next().unwrap_or_default();
        let created = seconds(Timestamp::now() - SignedDuration::from_hours(24));
        let values = [
            (table::UPN, Value::from(user_principal_name)),
            (table::DISPLAY_NAME, Value::from(local)),
            (table::MAIL_NICKNAME, Value::from(local)),
            (table::ACCOUNT_ENABLED, Value::from(true)),
            (table::CREATED, Value::from(created.clone())),
            (table::SESSIONS_VALID_FROM, Value::from(created)),
        ];
        Self { values: values.into(), roles: Vec::new() }
    }

    /// Sets a property by its Graph name, read-only ones included.
    ///
    /// # Panics
    ///
    /// If there is no such property, or it is `id` or `passwordProfile`.
    #[must_use]
    pub fn with(mut self, name: &str, value: impl Into<Value>) -> Self {
        let prop = Prop::named(name)
            .filter(|prop| *prop != table::ID && prop.info().kind != Kind::Password);
        let prop = prop.unwrap_or_else(|| panic!("{name} is not a property that can be seeded"));
        self.values.push((prop, value.into()));
        self
    }

    /// Sets `onPremisesImmutableId`.
    #[must_use]
    pub fn immutable_id(self, value: &str) -> Self {
        self.with("onPremisesImmutableId", value)
    }

    /// Makes it a user synced from an on-premises directory (`onPremisesSyncEnabled`).
    #[must_use]
    pub fn synced(self) -> Self {
        self.with("onPremisesSyncEnabled", true)
    }

    /// Blocks sign-in from the start.
    #[must_use]
    pub fn disabled(self) -> Self {
        self.with("accountEnabled", false)
    }

    /// Gives the user an admin role.
    #[must_use]
    pub fn role(mut self, role: DirectoryRole) -> Self {
        self.roles.push(role);
        self
    }

    pub(super) fn build(self) -> User {
        let mut record = Record::default();
        record.set(self.values);
        User { id: Uuid::new_v4(), record, manager: None, roles: self.roles.into(), password: None }
    }
}

/// An instant as the directory writes it: UTC, whole seconds.
pub(super) fn seconds(at: Timestamp) -> String {
    at.strftime("%Y-%m-%dT%H:%M:%SZ").to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn debug_shows_no_password() {
        let mut user = NewUser::new("ada@contoso.com").build();
        user.password = Some(Box::new(StoredPassword {
            value: "S3cret!!".to_owned(),
            force_change: true,
            force_change_with_mfa: false,
        }));
        let debug = format!("{user:?}");
        assert!(debug.contains("ada@contoso.com"));
        assert!(!debug.contains("S3cret!!"));
        assert!(user.must_change_password());
    }
}
