//! A directory and a queue in memory, with faults.

use std::collections::{BTreeMap, VecDeque};
use std::sync::Mutex;

use async_trait::async_trait;
use uuid::Uuid;

use crate::{
    directory::{
        Attributes, Changes, Cursor, Entry, Page, Replica, UsersPage, attributes::from_filetime,
    },
    queue::Message,
    watcher::*,
};

mod places;
mod queue;

pub(super) use places::{INNER, INSIDE, OUTER, OUTSIDE, TEAM};

pub(super) use queue::{FakePublisher, FakeReceipt};

/// The most users that a test has.
const MOST: usize = 64;

/// What happens at a step outside the process.
#[derive(Debug, Clone, Copy)]
pub(super) enum Fate {
    Works,
    DiesBefore,
    DiesAfter,
    Refuses,
    /// It works, but the answer is lost.
    Lost,
    /// The first half works.
    Half,
}

/// A directory with DirSync's habits: it tells the attributes that changed since, as they are now.
#[derive(Default)]
pub(super) struct World {
    pub(super) usn: u64,
    users: BTreeMap<Uuid, BTreeMap<&'static str, (Option<String>, u64)>>,
    /// Group and member → whether it is one.
    links: BTreeMap<(Uuid, Uuid), (bool, u64)>,
    pub(super) fates: VecDeque<Fate>,
    pub(super) told: Vec<Message>,
    /// Who cannot be read, as on a server that lags.
    pub(super) gone: Option<Uuid>,
    /// What the server says of itself.
    pub(super) replica: Replica,
    /// Refresh requests that wait, the postponed ones included.
    pub(super) requests: Vec<Message>,
    /// What time it is by the directory's clock, in seconds; none where it does not tell.
    pub(super) time: Option<i64>,
    /// Whether nobody is shown, as to an account that lost its rights.
    pub(super) hidden: bool,
    /// Whether no cursor outlives its connection.
    pub(super) forgets: bool,
    /// Cursors before this one are rejected.
    oldest_cursor: u64,
}

pub(super) type Shared = Arc<Mutex<World>>;

pub(super) fn object(index: usize) -> Uuid {
    Uuid::from_u128(index as u128 + 1)
}

impl World {
    pub(super) fn set(&mut self, index: usize, name: &'static str, value: Option<&str>) {
        self.usn += 1;
        if let Some(user) = self.users.get_mut(&object(index)) {
            user.insert(name, (value.map(str::to_owned), self.usn));
        }
    }

    /// Sets it without the changes showing so.
    pub(super) fn set_unseen(&mut self, index: usize, name: &'static str, value: Option<&str>) {
        if let Some(user) = self.users.get_mut(&object(index)) {
            user.insert(name, (value.map(str::to_owned), 0));
        }
    }

    /// Takes the user away without a trace.
    pub(super) fn forget(&mut self, index: usize) {
        self.users.remove(&object(index));
    }

    pub(super) fn is(&self, index: usize, name: &str) -> Option<&str> {
        self.users.get(&object(index))?.get(name)?.0.as_deref()
    }

    pub(super) fn alive(&self, index: usize) -> bool {
        self.users.contains_key(&object(index)) && self.is(index, "isdeleted").is_none()
    }

    pub(super) fn create(&mut self, index: usize) {
        if self.users.contains_key(&object(index)) {
            return;
        }
        self.users.insert(object(index), BTreeMap::new());
        let name = format!("user{index}");
        self.set(index, "samaccountname", Some(&name));
        self.set(index, "objectsid", Some("not a SID"));
        self.set(index, "userprincipalname", Some(&format!("{name}@x")));
        self.set(index, "useraccountcontrol", Some("512"));
        self.set(index, "pwdlastset", Some("1"));
    }

    /// Rejects every cursor that was given out.
    pub(super) fn forget_cursors(&mut self) {
        self.usn += 1;
        self.oldest_cursor = self.usn;
    }

    /// Users go without leaving a tombstone, and only a whole read shows it.
    pub(super) fn vanish(&mut self, users: std::ops::Range<usize>) {
        users.for_each(|index| drop(self.users.remove(&object(index))));
        self.forget_cursors();
    }

    pub(super) fn entry(&self, object: Uuid, after: Option<u64>) -> Option<(u64, Entry)> {
        let user = &self.users[&object];
        let news = self.news_of(object, after.unwrap_or(u64::MAX));
        let newest = user.values().map(|(_, usn)| *usn).chain(news.map(|(_, _, usn)| usn)).max()?;
        let mut attributes: Attributes = user
            .iter()
            .filter(|(name, (value, usn))| match after {
                Some(after) => *usn > after,
                None => value.is_some() && **name != "unicodepwd",
            })
            .map(|(name, (value, _))| {
                ((*name).to_owned(), value.iter().map(|v| v.clone().into_bytes()).collect())
            })
            .collect();
        for (name, value, _) in self.news_of(object, after.unwrap_or(u64::MAX)) {
            attributes.entry(name.to_owned()).or_default().push(value);
        }
        let complete = after.is_none();
        Some((newest, Entry { object, dn: self.dn(object), attributes, complete }))
    }
}

/// Takes the next fate and dies of it where it says so: a future that is never ready is dropped by
/// the test, as a killed process drops it.
pub(super) async fn fate(world: &Shared) -> Fate {
    let next = world.lock().expect("lock").fates.pop_front().unwrap_or(Fate::Works);
    if matches!(next, Fate::DiesBefore) {
        std::future::pending::<()>().await;
    }
    next
}

pub(super) struct FakeDirectory(pub(super) Shared);

impl FakeDirectory {
    async fn step(&self) -> Result<(), DirectoryError> {
        match fate(&self.0).await {
            Fate::Refuses | Fate::Lost | Fate::Half => {
                Err(DirectoryError::Failed { doing: "reading", cause: "the test says so".into() })
            }
            _ => Ok(()),
        }
    }
}

#[async_trait]
impl Directory for FakeDirectory {
    fn server(&self) -> &str {
        "fake"
    }

    fn forgets(&self) -> bool {
        self.0.lock().expect("lock").forgets
    }

    fn replica(&self) -> Replica {
        self.0.lock().expect("lock").replica.clone()
    }

    async fn password_expires(
        &mut self,
        wanted: Uuid,
    ) -> Result<Option<Timestamp>, DirectoryError> {
        let world = self.0.lock().expect("lock");
        let index = (0..MOST).find(|index| object(*index) == wanted).expect("a user");
        let ticks = world.is(index, "msds-userpasswordexpirytimecomputed").map(str::parse::<i64>);
        Ok(ticks.and_then(|ticks| from_filetime(ticks.expect("a number"))))
    }

    async fn is_tombstone(&mut self, wanted: Uuid) -> Result<bool, DirectoryError> {
        let world = self.0.lock().expect("lock");
        Ok((0..MOST).any(|index| object(index) == wanted && world.is(index, "isdeleted").is_some()))
    }

    async fn now(&mut self) -> Result<Cursor, DirectoryError> {
        self.step().await?;
        let usn = self.0.lock().expect("lock").usn;
        Ok(encode((usn, usn)))
    }

    async fn changes(&mut self, cursor: &Cursor) -> Result<Changes, DirectoryError> {
        self.step().await?;
        // As AD's: up to which object this round has come, and since when attributes count.
        let Some((object_usn, attribute_usn)) = decode(cursor) else {
            return Err(DirectoryError::CursorRejected("lost".into()));
        };
        let world = self.0.lock().expect("lock");
        if object_usn < world.oldest_cursor {
            return Err(DirectoryError::CursorRejected("lost".into()));
        }
        let mut found: Vec<_> = world
            .users
            .keys()
            .filter_map(|object| world.entry(*object, Some(attribute_usn)))
            .filter(|(newest, _)| *newest > object_usn)
            .collect();
        found.sort_by_key(|(newest, _)| *newest);
        let more = found.len() > 2;
        found.truncate(2);
        let next = if more { (found[1].0, attribute_usn) } else { (world.usn, world.usn) };
        let entries = found.into_iter().map(|(_, entry)| entry).collect();
        Ok(Changes { entries, next: encode(next), more })
    }

    async fn users(&mut self, page: Option<Page>) -> Result<UsersPage, DirectoryError> {
        self.step().await?;
        let skip = page.map_or(0, |page| usize::from(page.0[0]));
        let world = self.0.lock().expect("lock");
        let shown =
            |index: &usize| world.alive(*index) && world.is_user(object(*index)) && !world.hidden;
        let alive: Vec<_> = (0..MOST).filter(shown).collect();
        let entries = alive.iter().skip(skip).take(2);
        let entries = entries.filter_map(|i| world.entry(object(*i), None)).map(|(_, e)| e);
        let next = (skip + 2 < alive.len()).then(|| Page(vec![skip as u8 + 2]));
        Ok(UsersPage { entries: entries.collect(), next })
    }

    async fn read(&mut self, wanted: Uuid) -> Result<Option<Entry>, DirectoryError> {
        self.step().await?;
        let world = self.0.lock().expect("lock");
        let alive = (0..MOST).any(|index| object(index) == wanted && world.alive(index))
            && world.is_user(wanted)
            && world.gone != Some(wanted)
            && !world.hidden;
        Ok(alive.then(|| world.entry(wanted, None)).flatten().map(|(_, entry)| entry))
    }

    fn has_containers(&self) -> bool {
        self.0.lock().expect("lock").users.contains_key(&object(INSIDE))
    }

    async fn containers(&mut self, _: Option<Page>) -> Result<UsersPage, DirectoryError> {
        self.step().await?;
        let entries = self.0.lock().expect("lock").containers();
        Ok(UsersPage { entries, next: None })
    }

    async fn nested_groups(&mut self, _: Option<Page>) -> Result<UsersPage, DirectoryError> {
        self.step().await?;
        let entries = self.0.lock().expect("lock").nested_groups();
        Ok(UsersPage { entries, next: None })
    }

    async fn members(&mut self, group: Uuid) -> Result<Option<Vec<Uuid>>, DirectoryError> {
        self.step().await?;
        Ok(self.0.lock().expect("lock").members(group))
    }

    async fn find(&mut self, dn: &str) -> Result<Option<Uuid>, DirectoryError> {
        self.step().await?;
        Ok(self.0.lock().expect("lock").named(dn))
    }

    async fn time(&mut self) -> Result<Option<Timestamp>, DirectoryError> {
        let time = self.0.lock().expect("lock").time;
        Ok(time.map(|second| Timestamp::from_second(second).expect("in range")))
    }

    async fn doorbell(&mut self) -> Result<Option<u64>, DirectoryError> {
        Ok(None)
    }
}

pub(super) fn encode((object_usn, attribute_usn): (u64, u64)) -> Cursor {
    Cursor([object_usn.to_be_bytes(), attribute_usn.to_be_bytes()].concat())
}

pub(super) fn decode(cursor: &Cursor) -> Option<(u64, u64)> {
    let (objects, attributes) = cursor.0.split_first_chunk()?;
    Some((u64::from_be_bytes(*objects), u64::from_be_bytes(attributes.try_into().ok()?)))
}
