//! The tenant's objects: users by id and by the properties one looks them up with, groups, and
//! what was deleted.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::hash::{BuildHasher, RandomState};

use jiff::{SignedDuration, Timestamp};
use serde_json::Value;
use tokio::time::Instant;
use uuid::Uuid;

use super::group::Group;
use super::properties::{self as table, Prop};
use super::user::{User, seconds};

/// How long a deleted user can be restored.
const RESTORABLE: SignedDuration = SignedDuration::from_hours(30 * 24);

/// Users, groups and deleted users.
#[derive(Default)]
pub(super) struct Store {
    users: BTreeMap<Uuid, User>,
    /// Indexed values by hash: 24 bytes an entry whatever their length. Hits are compared.
    index: BTreeSet<(u64, Uuid)>,
    hasher: RandomState,
    deleted: BTreeMap<Uuid, (Timestamp, User)>,
    pub(super) groups: BTreeMap<Uuid, Group>,
    /// When users were created through Graph while replicas lagged.
    pub(super) created: HashMap<Uuid, Instant>,
}

impl Store {
    pub(super) fn len(&self) -> usize {
        self.users.len()
    }

    pub(super) fn user(&self, id: Uuid) -> Option<&User> {
        self.users.get(&id)
    }

    /// Every user in the order of their ids, from behind this one.
    pub(super) fn users_after(&self, after: Option<Uuid>) -> impl Iterator<Item = &User> {
        let behind = match after {
            Some(id) => std::ops::Bound::Excluded(id),
            None => std::ops::Bound::Unbounded,
        };
        self.users.range((behind, std::ops::Bound::Unbounded)).map(|(_, user)| user)
    }

    /// The user with that object id or principal name.
    pub(super) fn by_key(&self, key: &str) -> Option<&User> {
        match Uuid::try_parse(key) {
            Ok(id) => self.user(id),
            Err(_) => self.having(table::UPN, key).next(),
        }
    }

    /// The users with that value of an indexed property.
    pub(super) fn having(&self, prop: Prop, text: &str) -> impl Iterator<Item = &User> {
        let wanted = fold(prop, text);
        let hash = self.hasher.hash_one((prop, &wanted));
        self.index
            .range((hash, Uuid::nil())..=(hash, Uuid::max()))
            .filter_map(|(_, id)| self.users.get(id))
            .filter(move |user| {
                user.record.text(prop).is_some_and(|text| fold(prop, &text) == wanted)
            })
    }

    /// The first of these unique values that somebody else has.
    pub(super) fn taken<'c>(
        &self,
        values: impl IntoIterator<Item = (Prop, &'c Value)>,
        except: Option<Uuid>,
    ) -> Option<Prop> {
        values.into_iter().find_map(|(prop, value)| {
            let text = value.as_str().filter(|_| prop.info().unique)?;
            self.having(prop, text).any(|user| Some(user.id) != except).then_some(prop)
        })
    }

    pub(super) fn insert(&mut self, user: User) {
        let keys = self.keys(&user);
        self.index.extend(keys);
        self.users.insert(user.id, user);
    }

    pub(super) fn remove(&mut self, id: Uuid) -> Option<User> {
        let user = self.users.remove(&id)?;
        for key in self.keys(&user) {
            self.index.remove(&key);
        }
        Some(user)
    }

    /// Changes a user and keeps the index right; nothing happens if there is none.
    pub(super) fn update(&mut self, id: Uuid, change: impl FnOnce(&mut User)) {
        if let Some(mut user) = self.remove(id) {
            change(&mut user);
            self.insert(user);
        }
    }

    /// Moves a user to the deleted ones; group memberships stay for a restore.
    pub(super) fn delete(&mut self, id: Uuid, now: Timestamp) {
        if let Some(mut user) = self.remove(id) {
            user.record.set([(table::DELETED, Value::from(seconds(now)))]);
            self.deleted.insert(id, (now, user));
        }
    }

    /// A deleted user that can still be restored.
    pub(super) fn deleted(&self, id: Uuid, now: Timestamp) -> Option<&User> {
        let (since, user) = self.deleted.get(&id)?;
        restorable(*since, now).then_some(user)
    }

    /// Every deleted user that can still be restored.
    pub(super) fn deleted_users(&self, now: Timestamp) -> impl Iterator<Item = &User> {
        self.deleted
            .values()
            .filter(move |(since, _)| restorable(*since, now))
            .map(|(_, user)| user)
    }

    pub(super) fn restore(&mut self, id: Uuid) {
        if let Some((_, mut user)) = self.deleted.remove(&id) {
            user.record.set([(table::DELETED, Value::Null)]);
            self.insert(user);
        }
    }

    /// Forgets a deleted user and its memberships.
    pub(super) fn purge(&mut self, id: Uuid) {
        self.deleted.remove(&id);
        for group in self.groups.values_mut() {
            group.members.remove(&id);
        }
    }

    fn keys(&self, user: &User) -> Vec<(u64, Uuid)> {
        Prop::all()
            .filter(|prop| prop.info().indexed)
            .filter_map(|prop| {
                let text = user.record.text(prop)?;
                Some((self.hasher.hash_one((prop, &fold(prop, &text))), user.id))
            })
            .collect()
    }
}

fn restorable(since: Timestamp, now: Timestamp) -> bool {
    now.duration_since(since) < RESTORABLE
}

/// A value as it is compared: the directory ignores case, but not in base64.
pub(super) fn fold(prop: Prop, text: &str) -> String {
    if prop.info().exact { text.to_owned() } else { text.to_lowercase() }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sandbox::graph::user::NewUser;

    #[test]
    fn lookups_follow_changes() {
        let mut store = Store::default();
        let ada = NewUser::new("Ada@contoso.com").immutable_id("QUFB").build();
        let id = ada.id;
        store.insert(ada);
        assert_eq!(store.by_key("ADA@CONTOSO.COM").map(|u| u.id), Some(id));
        assert_eq!(store.by_key(&id.to_string().to_uppercase()).map(|u| u.id), Some(id));
        assert_eq!(store.having(table::IMMUTABLE_ID, "QUFB").count(), 1);
        assert_eq!(store.having(table::IMMUTABLE_ID, "qufb").count(), 0, "base64 is exact");

        store.update(id, |user| user.record.set([(table::UPN, "countess@contoso.com".into())]));
        assert!(store.by_key("ada@contoso.com").is_none());
        assert_eq!(store.by_key("countess@contoso.com").map(|u| u.id), Some(id));
    }

    #[test]
    fn deleted_users_go_after_thirty_days() {
        let mut store = Store::default();
        let ada = NewUser::new("ada@contoso.com").build();
        let id = ada.id;
        store.insert(ada);
        let now = Timestamp::now();
        store.delete(id, now);
        assert!(store.user(id).is_none());
        assert!(store.deleted(id, now + SignedDuration::from_hours(29 * 24)).is_some());
        assert!(store.deleted(id, now + SignedDuration::from_hours(30 * 24)).is_none());
        store.restore(id);
        assert_eq!(
            store.by_key("ada@contoso.com").map(|u| u.get("deletedDateTime")),
            Some(Value::Null)
        );
    }
}
