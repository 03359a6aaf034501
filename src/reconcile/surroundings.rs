//! What decides about users and does not stand in their entries: what the configuration names, and
//! who is in which group.

use std::collections::{BTreeMap, BTreeSet};

use uuid::Uuid;

use crate::{
    directory::{Directory, DirectoryError, UsersPage},
    watcher::{diff::Rules, named::Named},
};

/// What a watcher knows and the directory does not show.
#[derive(Debug, Clone, Default)]
pub struct Knowledge {
    /// The objects behind configured names, whatever they are called by now.
    pub named: Named,
    /// Who was looked after and is not any more, for it was deleted or has left the scope; none
    /// where no watcher could be asked.
    pub gone: Option<BTreeSet<Uuid>>,
}

/// What surrounds the users of a directory.
#[derive(Debug, Default)]
pub struct Surroundings {
    /// What the watcher knows, or else the objects that have the configured names now.
    pub known: Knowledge,
    /// The domain's `lockoutDuration`, where a lockout counts as a disable.
    pub lockout_duration: Option<i64>,
    /// Configured group → who is in it, in order: 16 bytes each.
    members: BTreeMap<Uuid, Vec<Uuid>>,
}

impl Surroundings {
    /// Reads what the rules depend on.
    pub async fn read(
        directory: &mut dyn Directory,
        rules: &Rules,
        mut known: Knowledge,
    ) -> anyhow::Result<Surroundings> {
        for name in rules.names() {
            if known.named.object(name).is_some() {
                continue;
            }
            match directory.find(name).await? {
                Some(object) => known.named.add(name, object, None),
                // Nobody is excluded by what does not exist.
                None if rules.scope.excluded().any(|excluded| excluded == name) => {}
                None if !directory.has_containers() => {}
                None => anyhow::bail!(
                    "there is no {name:?} in the directory: write the distinguished name as it is \
                     now in scope.organizational_units, scope.groups or apply.groups"
                ),
            }
        }
        let groups = rules.scope.groups().chain(&rules.groups);
        let groups: BTreeSet<_> = groups.filter_map(|name| known.named.object(name)).collect();
        let mut members = BTreeMap::new();
        if !groups.is_empty() {
            let nested = nested_groups(directory).await?;
            for group in groups {
                let found = members_of(directory, group, &nested).await?;
                members.insert(group, found.unwrap_or_default());
            }
        }
        let lockout_duration =
            if rules.count_lockouts { lockout_duration(directory).await? } else { None };
        Ok(Surroundings { known, lockout_duration, members })
    }

    /// The configured groups that somebody is in, directly or through others.
    pub fn groups_of(&self, object: Uuid) -> BTreeSet<Uuid> {
        let is_in = |members: &Vec<Uuid>| members.binary_search(&object).is_ok();
        self.members.iter().filter(|(_, members)| is_in(members)).map(|(group, _)| *group).collect()
    }

    /// Whether the watcher has told that somebody is looked after no more; none where that is not
    /// known.
    pub fn is_gone(&self, object: Uuid) -> Option<bool> {
        Some(self.known.gone.as_ref()?.contains(&object))
    }
}

/// Every group that is a member of a group.
pub async fn nested_groups(
    directory: &mut dyn Directory,
) -> Result<BTreeSet<Uuid>, DirectoryError> {
    let (mut nested, mut page) = (BTreeSet::new(), None);
    loop {
        let UsersPage { entries, next } = directory.nested_groups(page).await?;
        nested.extend(entries.iter().map(|entry| entry.object));
        page = next;
        if page.is_none() {
            return Ok(nested);
        }
    }
}

/// Who is in a group, directly or through the `nested` ones, in order; none if there is no such
/// group.
pub async fn members_of(
    directory: &mut dyn Directory,
    group: Uuid,
    nested: &BTreeSet<Uuid>,
) -> Result<Option<Vec<Uuid>>, DirectoryError> {
    let Some(mut direct) = directory.members(group).await? else { return Ok(None) };
    let (mut read, mut open, mut found) = (BTreeSet::from([group]), Vec::new(), Vec::new());
    loop {
        let (groups, others): (Vec<_>, Vec<_>) =
            direct.into_iter().partition(|member| nested.contains(member));
        open.extend(groups.into_iter().filter(|group| read.insert(*group)));
        found.extend(others);
        let Some(group) = open.pop() else { break };
        direct = directory.members(group).await?.unwrap_or_default();
    }
    found.sort_unstable();
    found.dedup();
    Ok(Some(found))
}

async fn lockout_duration(directory: &mut dyn Directory) -> Result<Option<i64>, DirectoryError> {
    let mut page = None;
    loop {
        let UsersPage { entries, next } = directory.containers(page).await?;
        // The root's: the container of built-in groups has one of its own.
        let mut roots = entries.iter().filter(|entry| entry.parent().is_none());
        let found = roots.find_map(|entry| entry.number("lockoutDuration"));
        page = next;
        if found.is_some() || page.is_none() {
            return Ok(found.flatten());
        }
    }
}
