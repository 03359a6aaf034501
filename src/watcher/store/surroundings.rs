//! What surrounds the users: the containers above them, the groups that matter, and what the
//! configuration calls them.

use std::collections::{BTreeMap, BTreeSet};

use redb::{ReadableDatabase, ReadableTable, TableDefinition};
use serde::Deserialize;
use uuid::Uuid;

use super::{
    LEDGER, META, Store, StoreError,
    agenda::{Due, schedule},
    decode, key, put,
};
use crate::{directory::dn::normalised, watcher::named::Named};

/// objectGUID of a container → that of its parent (0: none), and its distinguished name.
pub(super) const CONTAINERS: TableDefinition<u128, (u128, &str)> =
    TableDefinition::new("containers");
/// objectGUID of a group whose members are known → whether changes of them are told.
pub(super) const GROUPS: TableDefinition<u128, bool> = TableDefinition::new("groups");
/// Group and member.
pub(super) const MEMBERS: TableDefinition<(u128, u128), ()> = TableDefinition::new("members");
/// Member and group.
pub(super) const MEMBER_OF: TableDefinition<(u128, u128), ()> = TableDefinition::new("member_of");
/// Name in the configuration → objectGUID.
pub(super) const NAMED: TableDefinition<&str, u128> = TableDefinition::new("named");

/// Where a container is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Container {
    /// objectGUID of its parent; none for the root.
    pub parent: Option<Uuid>,
    /// Its distinguished name.
    pub dn: String,
}

/// What changes around the users, and who has to be compared again therefore. It tells nothing by
/// itself, so it is stored as soon as it is seen.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Surroundings {
    /// Containers that are new or elsewhere; none where one is gone.
    pub containers: BTreeMap<Uuid, Option<Container>>,
    /// Groups whose members are known from now on.
    pub groups: BTreeSet<Uuid>,
    /// (group, member) → whether it is one.
    pub members: BTreeMap<(Uuid, Uuid), bool>,
    /// Name in the configuration → object.
    pub named: BTreeMap<String, Uuid>,
    /// Groups whose changes are told from now on.
    pub established: BTreeSet<Uuid>,
    /// The domain's lockoutDuration.
    pub lockout_duration: Option<i64>,
    /// What the configuration says about who takes part, once that has been put into effect.
    pub configuration: Option<String>,
    /// Who is to be compared again, as far as the ledger knows them.
    pub again: BTreeSet<Uuid>,
}

impl Store {
    /// Where a container is.
    pub fn container(&self, object: Uuid) -> Result<Option<Container>, StoreError> {
        let containers = self.database.begin_read()?.open_table(CONTAINERS)?;
        Ok(containers.get(object.as_u128())?.map(|row| container(row.value())))
    }

    /// Every container.
    pub fn containers(&self) -> Result<BTreeMap<Uuid, Container>, StoreError> {
        let containers = self.database.begin_read()?.open_table(CONTAINERS)?;
        let mut all = BTreeMap::new();
        for row in containers.iter()? {
            let (object, value) = row?;
            all.insert(Uuid::from_u128(object.value()), container(value.value()));
        }
        Ok(all)
    }

    /// The users right below these containers. Looks at every record, for containers move rarely.
    pub fn below(&self, containers: &BTreeSet<Uuid>) -> Result<BTreeSet<Uuid>, StoreError> {
        #[derive(Deserialize)]
        struct Placed {
            parent: Option<Uuid>,
        }
        let ledger = self.database.begin_read()?.open_table(LEDGER)?;
        let mut found = BTreeSet::new();
        for row in ledger.iter()? {
            let (object, record) = row?;
            let Placed { parent } = decode(record.value())?;
            if parent.is_some_and(|parent| containers.contains(&parent)) {
                found.insert(Uuid::from_u128(object.value()));
            }
        }
        Ok(found)
    }

    /// Whether the members of a group are known.
    pub fn knows_members(&self, group: Uuid) -> Result<bool, StoreError> {
        let groups = self.database.begin_read()?.open_table(GROUPS)?;
        Ok(groups.get(group.as_u128())?.is_some())
    }

    /// The direct members of a group.
    pub fn members(&self, group: Uuid) -> Result<BTreeSet<Uuid>, StoreError> {
        self.second(MEMBERS, group)
    }

    /// The groups of which this is a direct member, as far as they matter.
    pub fn groups_of(&self, member: Uuid) -> Result<BTreeSet<Uuid>, StoreError> {
        self.second(MEMBER_OF, member)
    }

    fn second(
        &self,
        table: TableDefinition<'static, (u128, u128), ()>,
        first: Uuid,
    ) -> Result<BTreeSet<Uuid>, StoreError> {
        let table = self.database.begin_read()?.open_table(table)?;
        let first = first.as_u128();
        let rows = table.range((first, 0)..=(first, u128::MAX))?;
        rows.map(|row| Ok(Uuid::from_u128(row?.0.value().1))).collect()
    }

    /// What the configuration names, as far as it was found.
    pub fn named<'a>(&self, names: impl Iterator<Item = &'a String>) -> Result<Named, StoreError> {
        let transaction = self.database.begin_read()?;
        let known = transaction.open_table(NAMED)?;
        let containers = transaction.open_table(CONTAINERS)?;
        let groups = transaction.open_table(GROUPS)?;
        let mut named = Named::default();
        for name in names {
            let Some(object) = known.get(normalised(name).as_str())? else { continue };
            let object = object.value();
            let container = containers.get(object)?;
            let place = container.as_ref().map(|row| row.value().1);
            named.add(name, Uuid::from_u128(object), place);
            if groups.get(object)?.is_some_and(|established| established.value()) {
                named.establish(Uuid::from_u128(object));
            }
        }
        Ok(named)
    }

    /// The domain's lockoutDuration, where it was read.
    pub fn lockout_duration(&self) -> Result<Option<i64>, StoreError> {
        self.meta(key::LOCKOUT_DURATION)
    }

    /// What the configuration said about who takes part when that was last put into effect.
    pub fn configuration(&self) -> Result<Option<String>, StoreError> {
        self.meta(key::CONFIGURATION)
    }

    /// Stores what changes around the users.
    pub fn surround(&self, change: &Surroundings) -> Result<(), StoreError> {
        if *change == Surroundings::default() {
            return Ok(());
        }
        self.write(|transaction| {
            let mut containers = transaction.open_table(CONTAINERS)?;
            for (object, container) in &change.containers {
                match container {
                    Some(Container { parent, dn }) => {
                        let parent = parent.map_or(0, |parent| parent.as_u128());
                        containers.insert(object.as_u128(), (parent, dn.as_str()))?;
                    }
                    None => drop(containers.remove(object.as_u128())?),
                }
            }
            let mut groups = transaction.open_table(GROUPS)?;
            for group in &change.groups {
                if groups.get(group.as_u128())?.is_none() {
                    groups.insert(group.as_u128(), false)?;
                }
            }
            for group in &change.established {
                groups.insert(group.as_u128(), true)?;
            }
            let mut members = transaction.open_table(MEMBERS)?;
            let mut member_of = transaction.open_table(MEMBER_OF)?;
            for ((group, member), is_one) in &change.members {
                let (group, member) = (group.as_u128(), member.as_u128());
                if *is_one {
                    members.insert((group, member), ())?;
                    member_of.insert((member, group), ())?;
                } else {
                    members.remove((group, member))?;
                    member_of.remove((member, group))?;
                }
            }
            let mut named = transaction.open_table(NAMED)?;
            for (name, object) in &change.named {
                named.insert(name.as_str(), object.as_u128())?;
            }
            let mut meta = transaction.open_table(META)?;
            if let Some(duration) = change.lockout_duration {
                put(&mut meta, key::LOCKOUT_DURATION, &duration)?;
            }
            if let Some(configuration) = &change.configuration {
                put(&mut meta, key::CONFIGURATION, configuration)?;
            }
            let ledger = transaction.open_table(LEDGER)?;
            let mut again = Vec::new();
            for object in &change.again {
                if ledger.get(object.as_u128())?.is_some() {
                    again.push(Due::now(*object));
                }
            }
            schedule(transaction, &again)
        })
    }
}

fn container((parent, dn): (u128, &str)) -> Container {
    let parent = (parent != 0).then(|| Uuid::from_u128(parent));
    Container { parent, dn: dn.to_owned() }
}
