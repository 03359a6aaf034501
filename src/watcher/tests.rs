//! The commit rule, by random runs: changes of a directory, refused and lost publications, and a
//! death of the process at any step. What was told must equal what became true.

use std::{
    collections::{BTreeMap, HashMap, VecDeque},
    sync::{
        Mutex,
        atomic::{AtomicI64, Ordering},
    },
};

use async_trait::async_trait;
use proptest::prelude::*;
use redb::backends::InMemoryBackend;
use tokio::time::timeout;
use uuid::Uuid;

use super::*;
use crate::{
    directory::{Changes, Cursor, Entry, Page, UsersPage},
    event::{Detail, Event, Reason},
    queue::{Message, Queue},
};

/// What happens at a step outside the process.
#[derive(Debug, Clone, Copy)]
enum Fate {
    Works,
    DiesBefore,
    DiesAfter,
    Refuses,
    /// It works, but the answer is lost.
    Lost,
    /// The first half works.
    Half,
}

#[derive(Debug, Clone)]
enum Op {
    Create(usize),
    Control(usize, bool),
    Expire(usize, bool),
    Password(usize),
    Title(usize, u8),
    Rename(usize, u8),
    Delete(usize),
    Follow,
    LoseCursor,
}

/// A directory with DirSync's habits: it tells the attributes that changed since, as they are now.
#[derive(Default)]
struct World {
    usn: u64,
    users: BTreeMap<Uuid, BTreeMap<&'static str, (Option<String>, u64)>>,
    fates: VecDeque<Fate>,
    told: Vec<Message>,
}

type Shared = Arc<Mutex<World>>;

fn object(index: usize) -> Uuid {
    Uuid::from_u128(index as u128 + 1)
}

impl World {
    fn set(&mut self, index: usize, name: &'static str, value: Option<&str>) {
        self.usn += 1;
        if let Some(user) = self.users.get_mut(&object(index)) {
            user.insert(name, (value.map(str::to_owned), self.usn));
        }
    }

    fn is(&self, index: usize, name: &str) -> Option<&str> {
        self.users.get(&object(index))?.get(name)?.0.as_deref()
    }

    fn alive(&self, index: usize) -> bool {
        self.users.contains_key(&object(index)) && self.is(index, "isdeleted").is_none()
    }

    fn create(&mut self, index: usize) {
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

    fn apply(&mut self, op: &Op) {
        match *op {
            Op::Create(index) => self.create(index),
            _ if !matches!(op, Op::Follow | Op::LoseCursor) && !self.alive(op.index()) => {}
            Op::Control(index, off) => {
                self.set(index, "useraccountcontrol", Some(if off { "514" } else { "512" }));
            }
            Op::Expire(index, past) => {
                self.set(index, "accountexpires", Some(if past { "1" } else { "0" }));
            }
            Op::Password(index) => {
                let later = self.usn + 10;
                self.set(index, "pwdlastset", Some(&later.to_string()));
                self.set(index, "unicodepwd", None);
            }
            Op::Title(index, value) => {
                let value = (value > 0).then(|| format!("title {value}"));
                self.set(index, "title", value.as_deref());
            }
            Op::Rename(index, value) => {
                self.set(index, "userprincipalname", Some(&format!("name{value}@x")));
            }
            Op::Delete(index) => {
                self.set(index, "title", None);
                self.set(index, "isdeleted", Some("TRUE"));
            }
            Op::Follow | Op::LoseCursor => {}
        }
    }

    fn entry(&self, object: Uuid, after: Option<u64>) -> Option<(u64, Entry)> {
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
        Some((newest, Entry { object, dn: format!("CN={object}"), attributes, complete }))
    }
}

impl Op {
    fn index(&self) -> usize {
        match *self {
            Op::Create(i) | Op::Control(i, _) | Op::Expire(i, _) | Op::Password(i) => i,
            Op::Title(i, _) | Op::Rename(i, _) | Op::Delete(i) => i,
            Op::Follow | Op::LoseCursor => 0,
        }
    }
}

/// Takes the next fate and dies of it where it says so: a future that is never ready is dropped by
/// the test, as a killed process drops it.
async fn fate(world: &Shared) -> Fate {
    let next = world.lock().expect("lock").fates.pop_front().unwrap_or(Fate::Works);
    if matches!(next, Fate::DiesBefore) {
        std::future::pending::<()>().await;
    }
    next
}

struct FakeDirectory(Shared);

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
        let alive: Vec<_> = (0..USERS).filter(|index| world.alive(*index)).collect();
        let entries = alive.iter().skip(skip).take(2);
        let entries = entries.filter_map(|i| world.entry(object(*i), None)).map(|(_, e)| e);
        let next = (skip + 2 < alive.len()).then(|| Page(vec![skip as u8 + 2]));
        Ok(UsersPage { entries: entries.collect(), next })
    }

    async fn read(&mut self, wanted: Uuid) -> Result<Option<Entry>, DirectoryError> {
        self.step().await?;
        let world = self.0.lock().expect("lock");
        let alive = (0..USERS).any(|index| object(index) == wanted && world.alive(index));
        Ok(alive.then(|| world.entry(wanted, None)).flatten().map(|(_, entry)| entry))
    }

    async fn doorbell(&mut self) -> Result<Option<u64>, DirectoryError> {
        Ok(None)
    }
}

fn encode((object_usn, attribute_usn): (u64, u64)) -> Cursor {
    Cursor([object_usn.to_be_bytes(), attribute_usn.to_be_bytes()].concat())
}

fn decode(cursor: &Cursor) -> Option<(u64, u64)> {
    let (objects, attributes) = cursor.0.split_first_chunk()?;
    Some((u64::from_be_bytes(*objects), u64::from_be_bytes(attributes.try_into().ok()?)))
}

struct FakePublisher(Shared);

#[async_trait]
impl Publisher for FakePublisher {
    async fn publish(&self, _: Queue, messages: &[Message]) -> Result<(), QueueError> {
        if messages.is_empty() {
            return Ok(());
        }
        let next = fate(&self.0).await;
        let kept = match next {
            Fate::Refuses => 0,
            Fate::Half => messages.len() / 2,
            _ => messages.len(),
        };
        self.0.lock().expect("lock").told.extend_from_slice(&messages[..kept]);
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

const USERS: usize = 4;

fn op() -> impl Strategy<Value = Op> {
    let user = 0..USERS;
    prop_oneof![
        1 => user.clone().prop_map(Op::Create),
        4 => (user.clone(), any::<bool>()).prop_map(|(i, off)| Op::Control(i, off)),
        1 => (user.clone(), any::<bool>()).prop_map(|(i, past)| Op::Expire(i, past)),
        2 => user.clone().prop_map(Op::Password),
        2 => (user.clone(), 0..3_u8).prop_map(|(i, value)| Op::Title(i, value)),
        1 => (user.clone(), 0..2_u8).prop_map(|(i, value)| Op::Rename(i, value)),
        1 => user.prop_map(Op::Delete),
        5 => Just(Op::Follow),
        1 => Just(Op::LoseCursor),
    ]
}

fn any_fate() -> impl Strategy<Value = Fate> {
    prop_oneof![
        6 => Just(Fate::Works),
        1 => Just(Fate::DiesBefore),
        1 => Just(Fate::DiesAfter),
        1 => Just(Fate::Refuses),
        1 => Just(Fate::Lost),
        1 => Just(Fate::Half),
    ]
}

/// A run of the process: ends by having read everything, by an error, or by death.
fn run(world: &Shared, store: &Store, time: &Arc<AtomicI64>) -> bool {
    let time = Arc::clone(time);
    let pipeline = Pipeline {
        source: "ldap:///dc=x".into(),
        rules: Rules {
            upn_attribute: "userPrincipalName".into(),
            mapped: vec!["title".into()],
            scope: Scope::default(),
        },
        store: store.clone(),
        keys: Keys::default(),
        publisher: Arc::new(FakePublisher(Arc::clone(world))),
        // A clock that stands still now and then.
        clock: Arc::new(move || {
            let ticks = time.fetch_add(1, Ordering::Relaxed);
            Timestamp::from_second(1_700_000_000 + ticks / 3).expect("in range")
        }),
        shutdown: CancellationToken::new(),
    };
    let mut directory = FakeDirectory(Arc::clone(world));
    // With the clock paused, waiting for the queue takes no time, and what waits for ever is dead.
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_time()
        .start_paused(true)
        .build()
        .expect("runtime");
    runtime.block_on(async {
        let work = async {
            pipeline.recover().await?;
            pipeline.follow(&mut directory).await
        };
        matches!(timeout(Duration::from_secs(3600), work).await, Ok(Ok(_)))
    })
}

/// What a consumer would believe of a user.
#[derive(Debug, Clone, Default)]
struct Belief {
    blocked: Option<Reason>,
    /// Created disabled: the event does not say why.
    vague: bool,
    title: Option<String>,
    upn: Option<String>,
    passwords: usize,
    sequence: u64,
}

fn believe(belief: &mut Belief, event: &Event) {
    assert!(event.sequence > belief.sequence, "sequences grow: {event:?}");
    belief.sequence = event.sequence;
    match &event.detail {
        Detail::AccountDisabled { reason } => {
            assert!(belief.vague || belief.blocked != Some(*reason), "told twice: {event:?}");
            belief.vague = false;
            belief.blocked = Some(*reason);
        }
        Detail::AccountEnabled { ended } => {
            let blocked = belief.blocked.take();
            assert!(blocked == Some(*ended) || belief.vague && blocked.is_some(), "{event:?}");
            belief.vague = false;
        }
        Detail::UserDeleted => {
            assert_ne!(belief.blocked, Some(Reason::Deleted), "told twice: {event:?}");
            belief.blocked = Some(Reason::Deleted);
        }
        Detail::UserCreated { enabled } => {
            assert!(belief.upn.is_none(), "created twice: {event:?}");
            belief.blocked = (!enabled).then_some(Reason::Disabled);
            belief.vague = !enabled;
        }
        Detail::AttributesModified { attributes } => {
            let title = attributes["title"].first().cloned();
            assert_ne!(belief.title, title, "told twice: {event:?}");
            belief.title = title;
        }
        Detail::PasswordChanged { .. } => belief.passwords += 1,
        Detail::UserRenamed { previous } => {
            assert_eq!(belief.upn, previous.user_principal_name, "{event:?}");
        }
    }
    belief.upn.clone_from(&event.identity.user_principal_name);
}

fn check(ops: &[Op], fates: Vec<Fate>) {
    let world = Shared::default();
    let store = Store::on(InMemoryBackend::new(), "ldap:///dc=x").expect("store");
    let time = Arc::new(AtomicI64::new(0));
    let lock = || world.lock().expect("lock");
    for index in 0..USERS - 1 {
        lock().create(index);
    }
    lock().set(0, "useraccountcontrol", Some("514"));
    assert!(run(&world, &store, &time), "the baseline");
    assert!(lock().told.is_empty(), "a first baseline tells nothing");
    let mut beliefs: BTreeMap<usize, Belief> = (0..USERS - 1)
        .map(|index| {
            let blocked = (index == 0).then_some(Reason::Disabled);
            let upn = lock().is(index, "userprincipalname").map(str::to_owned);
            (index, Belief { blocked, upn, ..Belief::default() })
        })
        .collect();

    lock().fates = fates.into();
    let mut sets = [0; USERS];
    for op in ops {
        match op {
            Op::Follow => {
                run(&world, &store, &time);
            }
            // Only a cursor that nothing is staged for can be taken away by a test.
            Op::LoseCursor if !store.is_staged().expect("store") => {
                let cursor = Some(Cursor(b"foreign".to_vec()));
                store.apply(&store::Batch { cursor, ..Default::default() }).expect("store");
            }
            Op::Password(index) if lock().alive(*index) => {
                sets[*index] += 1;
                lock().apply(op);
            }
            op => lock().apply(op),
        }
    }
    lock().fates.clear();
    assert!(run(&world, &store, &time), "without faults it ends");
    let told = lock().told.len();
    assert!(run(&world, &store, &time));
    assert_eq!(lock().told.len(), told, "nothing new, nothing told");

    let world = lock();
    let mut bodies = HashMap::new();
    for message in &world.told {
        let known = bodies.insert(message.id, message.body.clone());
        if known.as_ref().is_some_and(|body| *body == message.body) {
            continue;
        }
        assert!(known.is_none(), "one id, two bodies");
        let event = Event::from_json(&message.body).expect("an event");
        let index = event.object.as_u128() as usize - 1;
        believe(beliefs.entry(index).or_default(), &event);
    }
    for (index, sets) in sets.into_iter().enumerate() {
        let Some(belief) = beliefs.get(&index) else {
            assert!(!world.alive(index), "user {index} was never told");
            continue;
        };
        if !world.alive(index) {
            // Who came and went unseen was never told, who was told must be told as gone.
            assert_eq!(belief.blocked, Some(Reason::Deleted), "user {index}");
            continue;
        }
        let disabled = world.is(index, "useraccountcontrol") == Some("514");
        let expired = world.is(index, "accountexpires") == Some("1");
        assert_eq!(belief.blocked.is_some(), disabled || expired, "user {index}");
        assert_eq!(belief.upn.as_deref(), world.is(index, "userprincipalname"), "user {index}");
        assert_eq!(belief.title.as_deref(), world.is(index, "title"), "user {index}");
        if index < USERS - 1 {
            assert!(belief.passwords <= sets, "user {index}");
            assert!(belief.passwords > 0 || sets == 0, "user {index}");
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 300, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn what_is_told_equals_what_became_true(
        ops in prop::collection::vec(op(), 1..60),
        fates in prop::collection::vec(any_fate(), 0..60),
    ) {
        check(&ops, fates);
    }
}

/// The case that the outbox exists for: killed between publish and commit, flipped back meanwhile.
#[test]
fn a_flip_back_during_a_crash_is_told_after_the_flip() {
    for death in [Fate::DiesBefore, Fate::DiesAfter, Fate::Lost, Fate::Half] {
        // One step for reading, then the publication.
        let ops = [Op::Control(1, true), Op::Follow, Op::Control(1, false), Op::Follow];
        check(&ops, vec![Fate::Works, death]);
    }
}
