//! Everybody in the tenant, in a file: the comparison asks for users by key in any order, and
//! memory does not depend on how many there are.

use std::{fs::File, io, os::unix::fs::OpenOptionsExt};

use redb::{
    Database, Durability, MultimapTableDefinition, ReadableDatabase, ReadableTable,
    TableDefinition, WriteTransaction, backends::FileBackend,
};
use uuid::Uuid;

use super::finding::Finding;
use crate::graph::{Filter, User};

/// Object id → the user.
const USERS: TableDefinition<&str, &[u8]> = TableDefinition::new("users");
/// A key, with its kind in front → object ids.
const KEYS: MultimapTableDefinition<&str, &str> = MultimapTableDefinition::new("keys");
/// Object id → the directory user whose it is.
const MATCHED: TableDefinition<&str, u128> = TableDefinition::new("matched");

/// Name in Entra, in lower case → the directory user who has or would have it.
const CLAIMED: TableDefinition<&str, u128> = TableDefinition::new("claimed");

/// Normalised name in the directory → object id of the user who has it.
const PLACES: TableDefinition<&str, &str> = TableDefinition::new("places");

/// Object id → the manager's normalised name, and what is to be said if that is not so.
const REPORTS: TableDefinition<&str, (&str, &[u8])> = TableDefinition::new("reports");

/// Object ids of a group and of a member.
const MEMBERS: TableDefinition<(&str, &str), ()> = TableDefinition::new("members");

/// Links that users of the directory have, or would have.
const LINKS: TableDefinition<&str, ()> = TableDefinition::new("links");

const CACHE_BYTES: usize = 32 << 20;

/// The tenant. Its file has no name, so nothing of it stays behind.
pub struct Tenant {
    database: Database,
}

type Result<T> = std::result::Result<T, redb::Error>;

impl Tenant {
    /// An empty one.
    pub fn new() -> anyhow::Result<Tenant> {
        let file = nameless()?;
        let database = Database::builder()
            .set_cache_size(CACHE_BYTES)
            .create_with_backend(FileBackend::new(file)?)?;
        let tenant = Tenant { database };
        tenant.add(&[])?;
        tenant.matched("", Uuid::nil())?;
        tenant.claimed("", Uuid::nil())?;
        tenant.expect_links(&[])?;
        tenant.add_members("", &[])?;
        tenant.transact(|transaction| {
            transaction.open_table(PLACES)?;
            transaction.open_table(REPORTS)?;
            Ok(())
        })?;
        Ok(tenant)
    }

    /// Takes in a page of users.
    pub fn add(&self, page: &[User]) -> Result<()> {
        self.transact(|transaction| {
            let mut users = transaction.open_table(USERS)?;
            let mut keys = transaction.open_multimap_table(KEYS)?;
            for user in page {
                let bytes = serde_json::to_vec(user).unwrap_or_default();
                users.insert(user.id(), bytes.as_slice())?;
                let upn = user.property("userPrincipalName").as_str();
                let number = user.property("employeeId").as_str();
                for key in
                    [user.immutable_id().map(link_key), upn.map(upn_key), number.map(number_key)]
                        .into_iter()
                        .flatten()
                {
                    keys.insert(key.as_str(), user.id())?;
                }
            }
            Ok(())
        })
    }

    /// The users that a filter finds, as Graph would.
    pub fn find(&self, filter: &Filter) -> Result<Vec<User>> {
        let wanted = match filter {
            Filter::ImmutableIds(ids) => ids.iter().map(|id| link_key(id)).collect(),
            Filter::UserPrincipalName(name) => vec![upn_key(name)],
            Filter::EmployeeId(id) => vec![number_key(id)],
        };
        let transaction = self.database.begin_read()?;
        let keys = transaction.open_multimap_table(KEYS)?;
        let users = transaction.open_table(USERS)?;
        let mut found = Vec::new();
        for key in wanted {
            for id in keys.get(key.as_str())? {
                if let Some(bytes) = users.get(id?.value())?
                    && let Ok(user) = serde_json::from_slice(bytes.value())
                {
                    found.push(user);
                }
            }
        }
        Ok(found)
    }

    /// Takes note whose a user is. Returns whose it was before.
    pub fn matched(&self, id: &str, object: Uuid) -> Result<Option<Uuid>> {
        self.take(MATCHED, id, object)
    }

    /// Takes note who has or would have a name. Returns who else has.
    pub fn claimed(&self, name: &str, object: Uuid) -> Result<Option<Uuid>> {
        self.take(CLAIMED, &name.to_lowercase(), object)
    }

    fn take(
        &self,
        table: TableDefinition<'static, &'static str, u128>,
        key: &str,
        object: Uuid,
    ) -> Result<Option<Uuid>> {
        let before = self.transact(|transaction| {
            let mut taken = transaction.open_table(table)?;
            let before = taken.insert(key, object.as_u128())?;
            Ok(before.map(|before| Uuid::from_u128(before.value())))
        })?;
        Ok(before.filter(|before| !before.is_nil() && *before != object))
    }

    /// Takes in a page of a group's members.
    pub fn add_members(&self, group: &str, page: &[User]) -> Result<()> {
        self.transact(|transaction| {
            let mut members = transaction.open_table(MEMBERS)?;
            for user in page {
                members.insert((group, user.id()), ())?;
            }
            Ok(())
        })
    }

    /// Whether a user is in a group.
    pub fn is_member(&self, group: &str, user: &str) -> Result<bool> {
        let members = self.database.begin_read()?.open_table(MEMBERS)?;
        Ok(members.get((group, user))?.is_some())
    }

    /// Takes note who has a name in the directory.
    pub fn locate(&self, name: &str, id: &str) -> Result<()> {
        self.transact(|transaction| {
            transaction.open_table(PLACES)?.insert(name, id)?;
            Ok(())
        })
    }

    /// Takes note who should be the manager of a user; `otherwise` is found where that is not so.
    pub fn expect_manager(&self, id: &str, manager: &str, otherwise: &Finding) -> Result<()> {
        let finding = serde_json::to_vec(otherwise).unwrap_or_default();
        self.transact(|transaction| {
            transaction.open_table(REPORTS)?.insert(id, (manager, finding.as_slice()))?;
            Ok(())
        })
    }

    /// Gives what is found of users whose managers are others. Nothing is said where the manager
    /// has no user in Entra.
    pub fn managers(&self, mut take: impl FnMut(Finding)) -> Result<()> {
        let transaction = self.database.begin_read()?;
        let (users, places) = (transaction.open_table(USERS)?, transaction.open_table(PLACES)?);
        for row in transaction.open_table(REPORTS)?.iter()? {
            let (id, report) = row?;
            let (manager, finding) = report.value();
            let Some(wanted) = places.get(manager)? else { continue };
            let Some(user) = users.get(id.value())? else { continue };
            let is_so = serde_json::from_slice::<User>(user.value())
                .is_ok_and(|user| user.manager() == Some(wanted.value()));
            if let (false, Ok(finding)) = (is_so, serde_json::from_slice(finding)) {
                take(finding);
            }
        }
        Ok(())
    }

    /// Takes note of links that belong to users of the directory.
    pub fn expect_links(&self, page: &[String]) -> Result<()> {
        self.transact(|transaction| {
            let mut links = transaction.open_table(LINKS)?;
            for link in page {
                links.insert(link.as_str(), ())?;
            }
            Ok(())
        })
    }

    /// Gives every user with a link that nobody in the directory has.
    pub fn orphans(&self, mut take: impl FnMut(User)) -> Result<()> {
        let transaction = self.database.begin_read()?;
        let links = transaction.open_table(LINKS)?;
        for row in transaction.open_table(USERS)?.iter()? {
            let (_, bytes) = row?;
            if let Ok(user) = serde_json::from_slice::<User>(bytes.value())
                && let Some(link) = user.immutable_id()
                && links.get(link)?.is_none()
            {
                take(user);
            }
        }
        Ok(())
    }

    fn transact<T>(&self, work: impl FnOnce(&WriteTransaction) -> Result<T>) -> Result<T> {
        let mut transaction = self.database.begin_write()?;
        // It need not survive anything.
        transaction.set_durability(Durability::None).map_err(redb::Error::from)?;
        let value = work(&transaction)?;
        transaction.commit()?;
        Ok(value)
    }
}

fn link_key(id: &str) -> String {
    format!("link {id}")
}

fn upn_key(name: &str) -> String {
    format!("upn {}", name.to_lowercase())
}

fn number_key(id: &str) -> String {
    format!("number {id}")
}

/// A file for this process alone.
fn nameless() -> io::Result<File> {
    let path = std::env::temp_dir().join(format!("entra-relay-{}", Uuid::new_v4()));
    let mut options = File::options();
    let file = options.read(true).write(true).create_new(true).mode(0o600).open(&path)?;
    std::fs::remove_file(&path)?;
    Ok(file)
}
