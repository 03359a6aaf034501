//! Follows what surrounds the users: containers, groups, and what the configuration names.
//!
//! When a container is renamed or moved, nothing is reported of what is below it, and when a user
//! joins a group, the change is the group's. So both are known here, and the users concerned are
//! put on the agenda.

use std::collections::{BTreeMap, BTreeSet};

use uuid::Uuid;

use super::{
    pipeline::{Pipeline, WatchError, blocking},
    store::{Container, StoreError, Surroundings},
};
use crate::directory::{
    Class, Directory, DirectoryError, Entry, Link, Page, UsersPage,
    dn::{normalised, split},
};

/// A member of a group that came.
const ADDED: &str = "member;range=1-1";
/// A member of a group that went.
const REMOVED: &str = "member;range=0-0";

impl Pipeline {
    /// Takes out of the entries what is no user, and stores what follows from it.
    pub(super) async fn surround(
        &self,
        directory: &mut dyn Directory,
        entries: Vec<Entry>,
    ) -> Result<Vec<Entry>, WatchError> {
        let (mut users, mut containers) = (Vec::new(), Vec::new());
        let mut groups = Groups::new(self);
        for entry in entries {
            let class = entry.class();
            if self.store.container(entry.object)?.is_some() || class == Some(Class::Container) {
                containers.push(entry);
            } else if self.store.knows_members(entry.object)? {
                groups.take(directory, &entry).await?;
            } else if class != Some(Class::Group) && !speaks_of_members(&entry) {
                if is_undeleted(&entry) {
                    groups.read_again(directory).await?;
                }
                users.push(entry);
            }
        }
        let mut change = groups.change;
        if !containers.is_empty() {
            self.place(&containers, &mut change)?;
        }
        blocking(|| self.store.surround(&change))?;
        Ok(users)
    }

    /// Finds what the configuration names and reads containers and groups whole, before everybody
    /// is compared. What is not there any more by a whole read is forgotten.
    pub(super) async fn read_surroundings(
        &self,
        directory: &mut dyn Directory,
    ) -> Result<(), WatchError> {
        let mut found = Vec::new();
        let mut page = None;
        loop {
            let UsersPage { entries, next } = directory.containers(page).await?;
            found.extend(entries);
            page = next;
            if page.is_none() {
                break;
            }
        }
        let mut change = Surroundings::default();
        if !found.is_empty() {
            self.place(&found, &mut change)?;
            let found: BTreeSet<_> = found.iter().map(|entry| entry.object).collect();
            for gone in self.store.containers()?.into_keys().filter(|c| !found.contains(c)) {
                change.containers.insert(gone, None);
            }
        }
        blocking(|| self.store.surround(&change))?;
        self.find_named(directory).await?;
        self.read_groups(directory).await
    }

    /// What the configuration names has been taken in: from now on changes of it are told.
    pub(super) fn settle_configuration(&self) -> Result<(), StoreError> {
        let named = self.store.named(self.rules.groups.iter())?;
        let groups = self.rules.groups.iter().filter_map(|group| named.object(group));
        self.store.surround(&Surroundings {
            established: groups.collect(),
            configuration: Some(self.rules.configuration()),
            ..Surroundings::default()
        })
    }

    /// A name that was found once is not looked for again, so that who renames an organizational
    /// unit blocks nobody.
    async fn find_named(&self, directory: &mut dyn Directory) -> Result<(), WatchError> {
        let scope = &self.rules.scope;
        let known = self.store.named(self.rules.names())?;
        let mut change = Surroundings::default();
        for name in self.rules.names().filter(|name| known.object(name).is_none()) {
            match directory.find(name).await? {
                Some(object) => drop(change.named.insert(normalised(name), object)),
                // Nobody is excluded by what does not exist, and nobody can come in by it.
                None if scope.excluded().any(|excluded| excluded == name) => {
                    tracing::warn!(name, "scope.exclude names what is not in the directory");
                }
                None if !directory.has_containers() => {}
                None => {
                    return Err(DirectoryError::Setup {
                        what: format!("there is no {name:?} in the directory"),
                        remedy: "write the distinguished name as it is now in \
                                 scope.organizational_units, scope.groups or apply.groups"
                            .into(),
                    }
                    .into());
                }
            }
        }
        blocking(|| self.store.surround(&change))?;
        Ok(())
    }

    async fn read_groups(&self, directory: &mut dyn Directory) -> Result<(), WatchError> {
        let wanted = self.wanted_groups()?;
        if wanted.is_empty() {
            return Ok(());
        }
        let mut groups = Groups::new(self);
        let mut nested = BTreeSet::new();
        let mut page: Option<Page> = None;
        loop {
            let UsersPage { entries, next } = directory.nested_groups(page).await?;
            nested.extend(entries.iter().map(|entry| entry.object));
            page = next;
            if page.is_none() {
                break;
            }
        }
        groups.nested = Some(nested);
        for group in wanted {
            groups.read(directory, group).await?;
        }
        blocking(|| self.store.surround(&groups.change))?;
        Ok(())
    }

    /// The groups that the configuration names.
    fn wanted_groups(&self) -> Result<BTreeSet<Uuid>, StoreError> {
        let names = || self.rules.scope.groups().chain(&self.rules.groups);
        let named = self.store.named(names())?;
        Ok(names().filter_map(|name| named.object(name)).collect())
    }

    /// Where containers are now, those included whose parents have moved.
    fn place(&self, entries: &[Entry], change: &mut Surroundings) -> Result<(), StoreError> {
        let before = self.store.containers()?;
        let mut now = before.clone();
        for entry in entries {
            // A deleted one keeps its place: it may come back.
            if is_deleted(entry) || entry.dn.is_empty() {
                continue;
            }
            let known = before.get(&entry.object);
            let parent = entry.parent().or(known.and_then(|known| known.parent));
            // The root's holds; the container of built-in groups has one of its own.
            if parent.is_none()
                && let Some(duration) = entry.number("lockoutDuration")
            {
                change.lockout_duration = change.lockout_duration.or(duration);
            }
            now.insert(entry.object, Container { parent, dn: entry.dn.clone() });
        }
        let names: BTreeMap<_, _> =
            now.keys().map(|object| (*object, name(&now, *object))).collect();
        let mut moved = BTreeSet::new();
        for (object, dn) in names {
            let container = Container { dn, ..now[&object].clone() };
            let known = before.get(&object);
            if known == Some(&container) {
                continue;
            }
            if known.is_some_and(|known| known.dn != container.dn) {
                moved.insert(object);
            }
            change.containers.insert(object, Some(container));
        }
        if !moved.is_empty() {
            let below = self.store.below(&moved)?;
            tracing::info!(containers = moved.len(), users = below.len(), "containers have moved");
            change.again.extend(below);
        }
        Ok(())
    }
}

/// The distinguished name that follows from the names above. A circle, which no directory has, ends
/// after as many steps as there are containers.
fn name(containers: &BTreeMap<Uuid, Container>, object: Uuid) -> String {
    let mut steps = Vec::new();
    let mut at = &containers[&object];
    for _ in 0..containers.len() {
        let above = at.parent.and_then(|parent| containers.get(&parent));
        match (above, split(&at.dn)) {
            (Some(above), Some((step, _))) => {
                steps.push(step);
                at = above;
            }
            _ => break,
        }
    }
    steps.push(&at.dn);
    steps.join(",")
}

/// Changes of groups in the making.
struct Groups<'a> {
    pipeline: &'a Pipeline,
    change: Surroundings,
    /// All groups that are members of groups, where they were read; else members are asked for.
    nested: Option<BTreeSet<Uuid>>,
    read: BTreeSet<Uuid>,
}

impl Groups<'_> {
    fn new(pipeline: &Pipeline) -> Groups<'_> {
        let (change, nested, read) = Default::default();
        Groups { pipeline, change, nested, read }
    }

    /// Takes a change of a group whose members are known.
    async fn take(
        &mut self,
        directory: &mut dyn Directory,
        entry: &Entry,
    ) -> Result<(), WatchError> {
        let group = entry.object;
        if is_deleted(entry) {
            tracing::warn!(%group, dn = entry.dn, "a group that decides about users was deleted");
            for member in self.members(group)? {
                self.set(directory, group, member, false).await?;
            }
            return Ok(());
        }
        if is_undeleted(entry) {
            self.read_again(directory).await?;
        }
        if is_undeleted(entry) || entry.attributes.contains_key("member") {
            return self.read(directory, group).await;
        }
        for (name, is_one) in [(REMOVED, false), (ADDED, true)] {
            for value in entry.attributes.get(name).into_iter().flatten() {
                if let Some(link) = Link::parse(value) {
                    self.set(directory, group, link.object, is_one).await?;
                }
            }
        }
        Ok(())
    }

    /// Reads a group and the groups in it, and compares them with what is known.
    async fn read(&mut self, directory: &mut dyn Directory, group: Uuid) -> Result<(), WatchError> {
        let mut open = vec![group];
        while let Some(group) = open.pop() {
            if !self.read.insert(group) {
                continue;
            }
            let Some(now) = directory.members(group).await? else { continue };
            let now: BTreeSet<_> = now.into_iter().collect();
            let before = self.members(group)?;
            self.change.groups.insert(group);
            for member in before.difference(&now) {
                self.note(group, *member, false)?;
            }
            for member in &now {
                if !before.contains(member) {
                    self.note(group, *member, true)?;
                }
                if self.may_be_group(*member)? {
                    open.push(*member);
                }
            }
        }
        Ok(())
    }

    /// What is undeleted may have its memberships back, or not. Nothing is reported of it, and what
    /// was read since its deletion knows of none of them: all groups are read.
    async fn read_again(&mut self, directory: &mut dyn Directory) -> Result<(), WatchError> {
        for group in self.pipeline.wanted_groups()? {
            self.read(directory, group).await?;
        }
        Ok(())
    }

    async fn set(
        &mut self,
        directory: &mut dyn Directory,
        group: Uuid,
        member: Uuid,
        is_one: bool,
    ) -> Result<(), WatchError> {
        self.note(group, member, is_one)?;
        if is_one && !self.is_known(member)? && self.may_be_group(member)? {
            self.read(directory, member).await?;
        }
        Ok(())
    }

    /// Takes down that something is a member or is none, and all users whom that concerns.
    fn note(&mut self, group: Uuid, member: Uuid, is_one: bool) -> Result<(), StoreError> {
        self.change.members.insert((group, member), is_one);
        let mut seen = BTreeSet::new();
        let mut open = vec![member];
        while let Some(member) = open.pop() {
            if !seen.insert(member) {
                continue;
            }
            if self.is_known(member)? {
                open.extend(self.members(member)?);
            }
        }
        self.change.again.append(&mut seen);
        Ok(())
    }

    /// The direct members of a group, by what is stored and what has changed since.
    fn members(&self, group: Uuid) -> Result<BTreeSet<Uuid>, StoreError> {
        let mut members = self.pipeline.store.members(group)?;
        let changes = (group, Uuid::nil())..=(group, Uuid::max());
        for ((_, member), is_one) in self.change.members.range(changes) {
            if *is_one {
                members.insert(*member);
            } else {
                members.remove(member);
            }
        }
        Ok(members)
    }

    fn is_known(&self, group: Uuid) -> Result<bool, StoreError> {
        Ok(self.change.groups.contains(&group) || self.pipeline.store.knows_members(group)?)
    }

    fn may_be_group(&self, member: Uuid) -> Result<bool, StoreError> {
        match &self.nested {
            Some(nested) => Ok(nested.contains(&member)),
            None => Ok(self.pipeline.store.record(member)?.is_none()),
        }
    }
}

fn speaks_of_members(entry: &Entry) -> bool {
    ["member", ADDED, REMOVED].iter().any(|name| entry.attributes.contains_key(*name))
}

fn is_deleted(entry: &Entry) -> bool {
    entry.attributes.get("isdeleted").is_some_and(|values| !values.is_empty())
}

fn is_undeleted(entry: &Entry) -> bool {
    entry.attributes.get("isdeleted").is_some_and(Vec::is_empty)
}
