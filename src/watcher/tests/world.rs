//! A directory and a queue in memory, with faults, and a watcher's pipeline between them.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::{
    Mutex,
    atomic::{AtomicI64, Ordering},
};

use async_trait::async_trait;
use redb::backends::InMemoryBackend;
use tokio::time::timeout;
use uuid::Uuid;

use crate::{
    config::model,
    directory::{Changes, Cursor, Entry, Page, Replica, UsersPage, attributes::from_filetime},
    event::Event,
    queue::{Delivery, Message, Publisher, Queue, Receipt},
    signing::Signer,
    watcher::{
        held::{Choice, summaries},
        resync::Comparison,
        *,
    },
};

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
    /// Groups and their direct members.
    pub(super) groups: BTreeMap<Uuid, BTreeSet<Uuid>>,
    /// Whether no cursor outlives its connection.
    pub(super) forgets: bool,
    /// Cursors before this one are rejected.
    oldest_cursor: u64,
}

pub(super) type Shared = Arc<Mutex<World>>;

pub(super) fn object(index: usize) -> Uuid {
    Uuid::from_u128(index as u128 + 1)
}

/// Its distinguished name.
pub(super) fn name(object: Uuid) -> String {
    format!("CN={object}")
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
        let newest = user.values().map(|(_, usn)| *usn).max()?;
        let attributes = user
            .iter()
            .filter(|(name, (value, usn))| match after {
                Some(after) => *usn > after,
                None => value.is_some() && **name != "unicodepwd",
            })
            .map(|(name, (value, _))| {
                ((*name).to_owned(), value.iter().map(|v| v.clone().into_bytes()).collect())
            })
            .collect();
        let complete = after.is_none();
        Some((newest, Entry { object, dn: name(object), attributes, complete }))
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

    async fn find(&mut self, dn: &str) -> Result<Option<Uuid>, DirectoryError> {
        let world = self.0.lock().expect("lock");
        let is_named = |index: &usize| world.alive(*index) && name(object(*index)) == dn;
        Ok((0..MOST).find(is_named).map(object))
    }

    async fn members(&mut self, group: Uuid) -> Result<Option<Vec<Uuid>>, DirectoryError> {
        let world = self.0.lock().expect("lock");
        Ok(world.groups.get(&group).map(|members| members.iter().copied().collect()))
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
        let shown = |index: &usize| world.alive(*index) && !world.hidden;
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
            && world.gone != Some(wanted)
            && !world.hidden;
        Ok(alive.then(|| world.entry(wanted, None)).flatten().map(|(_, entry)| entry))
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

pub(super) struct FakePublisher(pub(super) Shared);

#[async_trait]
impl Publisher for FakePublisher {
    async fn publish(&self, queue: Queue, messages: &[Message]) -> Result<(), QueueError> {
        if messages.is_empty() {
            return Ok(());
        }
        let next = fate(&self.0).await;
        let kept = match next {
            Fate::Refuses => 0,
            Fate::Half => messages.len() / 2,
            _ => messages.len(),
        };
        {
            let mut world = self.0.lock().expect("lock");
            let queue = match queue {
                Queue::Parked(_) => &mut world.requests,
                _ => &mut world.told,
            };
            queue.extend_from_slice(&messages[..kept]);
        }
        match next {
            Fate::DiesAfter => std::future::pending().await,
            Fate::Works | Fate::DiesBefore => Ok(()),
            Fate::Refuses => Err(QueueError::Refused("the test says so".into())),
            Fate::Lost | Fate::Half => Err(QueueError::Unavailable("the test says so".into())),
        }
    }

    async fn ready(&self) -> Result<(), QueueError> {
        Ok(())
    }
}

struct FakeReceipt(Shared, Uuid);

#[async_trait]
impl Receipt for FakeReceipt {
    async fn ack(self: Box<Self>) -> Result<(), QueueError> {
        let next = fate(&self.0).await;
        if matches!(next, Fate::Refuses | Fate::Lost | Fate::Half) {
            return Err(QueueError::Unavailable("the test says so".into()));
        }
        self.0.lock().expect("lock").requests.retain(|message| message.id != self.1);
        if matches!(next, Fate::DiesAfter) {
            std::future::pending::<()>().await;
        }
        Ok(())
    }

    async fn release(self: Box<Self>) -> Result<(), QueueError> {
        Ok(())
    }
}

/// Reads `apply.attributes`.
pub(super) fn mappings(mappings: &[(&str, &str)]) -> Mappings {
    let own = |(property, rule): &(&str, &str)| ((*property).into(), (*rule).into());
    Mappings::parse(&mappings.iter().map(own).collect()).expect("mappings")
}

/// A watcher's work on a world.
pub(super) struct Bench {
    pub(super) world: Shared,
    pub(super) store: Store,
    pub(super) guard: model::Guard,
    pub(super) keys: Keys,
    /// How long whatever gives access waits.
    pub(super) settle: Duration,
    pub(super) passwords: Option<Passwords>,
    /// Which properties follow which attributes.
    pub(super) mappings: Mappings,
    /// The groups whose members are told of.
    pub(super) groups: Vec<String>,
    time: Arc<AtomicI64>,
}

impl Bench {
    pub(super) fn new(guard: model::Guard) -> Bench {
        Bench {
            keys: Keys::of(Signer::generate()),
            world: Shared::default(),
            store: Store::on(InMemoryBackend::new(), "ldap:///dc=x").expect("store"),
            guard,
            settle: Duration::ZERO,
            passwords: None,
            mappings: mappings(&[("jobTitle", "title")]),
            groups: Vec::new(),
            time: Arc::default(),
        }
    }

    /// Begins anew, with a store that knows nobody.
    pub(super) fn lose_store(&mut self) {
        self.store = Store::on(InMemoryBackend::new(), "ldap:///dc=x").expect("store");
    }

    /// After the first baseline, with this many users.
    pub(super) fn with_users(users: usize, guard: model::Guard) -> Bench {
        let bench = Bench::new(guard);
        for index in 0..users {
            bench.lock().create(index);
        }
        assert!(bench.run(), "the baseline");
        assert!(bench.lock().told.is_empty(), "a first baseline tells nothing");
        bench
    }

    pub(super) fn lock(&self) -> std::sync::MutexGuard<'_, World> {
        self.world.lock().expect("lock")
    }

    /// Sets an attribute of a user.
    pub(super) fn set(&self, index: usize, name: &'static str, value: Option<&str>) {
        self.lock().set(index, name, value);
    }

    /// Lets time pass.
    pub(super) fn sleep(&self, seconds: i64) {
        self.time.fetch_add(3 * seconds, Ordering::Relaxed);
    }

    /// What has been told since the last call.
    pub(super) fn told(&self) -> Vec<Event> {
        let told = std::mem::take(&mut self.lock().told);
        told.iter().map(|message| Event::from_json(&message.body).expect("an event")).collect()
    }

    pub(super) fn directory(&self) -> FakeDirectory {
        FakeDirectory(Arc::clone(&self.world))
    }

    pub(super) fn pipeline(&self) -> Pipeline {
        let time = Arc::clone(&self.time);
        Pipeline {
            canary: Arc::default(),
            source: "ldap:///dc=x".into(),
            rules: Rules {
                upn_attribute: "userPrincipalName".into(),
                mappings: self.mappings.clone(),
                scope: Scope::default(),
                veil: Default::default(),
                groups: self.groups.clone(),
                count_lockouts: false,
            },
            store: self.store.clone(),
            guard: Guard::from_config(&self.guard),
            full_read_interval: Duration::from_secs(24 * 3600),
            settle: self.settle,
            census: Census::default(),
            passwords: self.passwords.clone(),
            journal: Journal::default(),
            keys: self.keys.clone(),
            publisher: Arc::new(FakePublisher(Arc::clone(&self.world))),
            // A clock that stands still now and then.
            clock: Arc::new(move || {
                let ticks = time.fetch_add(1, Ordering::Relaxed);
                Timestamp::from_second(1_700_000_000 + ticks / 3).expect("in range")
            }),
            shutdown: CancellationToken::new(),
        }
    }

    /// A run of the process: ends by having read and handled everything, by an error, or by death.
    pub(super) fn run(&self) -> bool {
        let mut directory = FakeDirectory(Arc::clone(&self.world));
        let pipeline = self.pipeline();
        block_on(async {
            pipeline.recover().await?;
            pipeline.follow(&mut directory).await?;
            let mut comparison = Comparison::default();
            while pipeline.comparison_due()?
                && !pipeline.compare(&mut directory, &mut comparison).await?
            {}
            pipeline.settle(&mut directory).await?;
            pipeline.hand_over(&mut directory).await?;
            let requests = self.lock().requests.clone();
            let deliveries = requests.into_iter().map(|message| Delivery {
                receipt: Box::new(FakeReceipt(Arc::clone(&self.world), message.id)),
                redelivered: false,
                in_place: true,
                message,
            });
            pipeline.refresh(&mut directory, deliveries.collect()).await
        })
        .is_some()
    }

    /// The same, while a user cannot be read.
    pub(super) fn run_with_gone(&self, index: usize) -> bool {
        self.lock().gone = Some(object(index));
        let done = self.run();
        self.lock().gone = None;
        done
    }

    /// Approves the oldest batch that is held, if there is one.
    pub(super) fn approve(&self) -> bool {
        let held = held::held(&self.store, &Choice::default()).expect("store");
        let Some(oldest) = summaries(&held).into_iter().next() else { return false };
        self.approve_what(&Choice { batch: Some(oldest.batch), ..Choice::default() })
    }

    /// Approves a part of what is held.
    pub(super) fn approve_what(&self, choice: &Choice) -> bool {
        let pipeline = self.pipeline();
        let mut directory = FakeDirectory(Arc::clone(&self.world));
        block_on(async {
            pipeline.recover().await?;
            pipeline.approve(&mut directory, choice).await
        })
        .is_some()
    }

    /// Looks again at what is held by the clock.
    pub(super) fn recheck(&self) -> bool {
        let mut directory = FakeDirectory(Arc::clone(&self.world));
        block_on(self.pipeline().recheck_clock(&mut directory)).is_some()
    }
}

/// With the clock paused, waiting for the queue takes no time, and what waits for ever is dead.
pub(super) fn block_on<T>(work: impl Future<Output = Result<T, WatchError>>) -> Option<T> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_time()
        .start_paused(true)
        .build()
        .expect("runtime");
    runtime.block_on(async { timeout(Duration::from_secs(3600), work).await.ok()?.ok() })
}
