//! Everybody in the tenant, in a file: the comparison asks for users by key in any order, and
//! memory does not depend on how many there are.

use std::{fs::File, io, os::unix::fs::OpenOptionsExt};

use redb::{
    Database, Durability, MultimapTableDefinition, ReadableDatabase, ReadableTable,
    TableDefinition, backends::FileBackend,
};
use uuid::Uuid;

use crate::graph::{Filter, User};

/// Object id → the user.
const USERS: TableDefinition<&str, &[u8]> = TableDefinition::new("users");
/// A key, with its kind in front → object ids.
const KEYS: MultimapTableDefinition<&str, &str> = MultimapTableDefinition::new("keys");
/// Object id → the directory user whose it is.
const MATCHED: TableDefinition<&str, u128> = TableDefinition::new("matched");

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
        tenant.expect_links(&[])?;
        Ok(tenant)
    }

    /// Takes in a page of users.
    pub fn add(&self, page: &[User]) -> Result<()> {
        let mut transaction = self.database.begin_write()?;
        // It need not survive anything.
        transaction.set_durability(Durability::None).map_err(redb::Error::from)?;
        {
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
        }
        transaction.commit()?;
        Ok(())
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
        let mut transaction = self.database.begin_write()?;
        transaction.set_durability(Durability::None).map_err(redb::Error::from)?;
        let before = {
            let mut matched = transaction.open_table(MATCHED)?;
            let before = matched.insert(id, object.as_u128())?;
            before.map(|before| Uuid::from_u128(before.value()))
        };
        transaction.commit()?;
        Ok(before.filter(|before| !before.is_nil() && *before != object))
    }

    /// Takes note of links that belong to users of the directory.
    pub fn expect_links(&self, page: &[String]) -> Result<()> {
        let mut transaction = self.database.begin_write()?;
        transaction.set_durability(Durability::None).map_err(redb::Error::from)?;
        {
            let mut links = transaction.open_table(LINKS)?;
            for link in page {
                links.insert(link.as_str(), ())?;
            }
        }
        transaction.commit()?;
        Ok(())
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
