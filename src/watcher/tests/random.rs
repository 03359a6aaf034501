//! The commit rule, by random runs: changes of a directory, requests to tell users again, refused
//! and lost publications, and a death of the process at any step. What was told must equal what
//! became true, but for what the guard holds.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use proptest::prelude::*;

use super::{bench::*, world::*};
use crate::{
    config::model,
    directory::Cursor,
    event::{Detail, Event, Lane, Reason, Waiting},
    queue::{
        Message,
        refresh::{RefreshRequest, Why},
    },
    watcher::*,
};

const USERS: usize = 4;

#[derive(Debug, Clone)]
enum Op {
    Create(usize),
    Control(usize, bool),
    Expire(usize, bool),
    Password(usize),
    Title(usize, u8),
    City(usize, u8),
    Rename(usize, u8),
    Delete(usize),
    /// Asks for a user to be told again: on account of these of the events told of it, with one
    /// that is forged.
    Refresh(usize, Vec<usize>, bool),
    Approve,
    Follow,
    LoseCursor,
    /// The next server lags in nothing, but who could know.
    FailOver,
}

impl Op {
    fn index(&self) -> usize {
        match *self {
            Op::Create(i) | Op::Control(i, _) | Op::Expire(i, _) | Op::Password(i) => i,
            Op::Title(i, _)
            | Op::City(i, _)
            | Op::Rename(i, _)
            | Op::Delete(i)
            | Op::Refresh(i, ..) => i,
            Op::Approve | Op::Follow | Op::LoseCursor | Op::FailOver => 0,
        }
    }
}

impl World {
    fn apply(&mut self, op: &Op) {
        match *op {
            Op::Create(index) => self.create(index),
            Op::FailOver => self.replica.server.push('x'),
            _ if !self.alive(op.index()) => {}
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
            Op::City(index, value) => {
                let value = (value > 0).then(|| format!("city {value}"));
                self.set(index, "l", value.as_deref());
            }
            Op::Rename(index, value) => {
                self.set(index, "userprincipalname", Some(&format!("name{value}@x")));
            }
            Op::Delete(index) => {
                self.set(index, "title", None);
                self.set(index, "isdeleted", Some("TRUE"));
            }
            Op::Refresh(..) | Op::Approve | Op::Follow | Op::LoseCursor => {}
        }
    }
}

fn op() -> impl Strategy<Value = Op> {
    let user = 0..USERS;
    prop_oneof![
        1 => user.clone().prop_map(Op::Create),
        4 => (user.clone(), any::<bool>()).prop_map(|(i, off)| Op::Control(i, off)),
        1 => (user.clone(), any::<bool>()).prop_map(|(i, past)| Op::Expire(i, past)),
        2 => user.clone().prop_map(Op::Password),
        2 => (user.clone(), 0..3_u8).prop_map(|(i, value)| Op::Title(i, value)),
        1 => (user.clone(), 0..2_u8).prop_map(|(i, value)| Op::City(i, value)),
        1 => (user.clone(), 0..2_u8).prop_map(|(i, value)| Op::Rename(i, value)),
        1 => user.clone().prop_map(Op::Delete),
        3 => (user, prop::collection::vec(0..100_usize, 0..3), prop::bool::weighted(0.1))
            .prop_map(|(i, picks, forged)| Op::Refresh(i, picks, forged)),
        1 => Just(Op::Approve),
        5 => Just(Op::Follow),
        1 => Just(Op::LoseCursor),
        1 => Just(Op::FailOver),
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

/// What a consumer would believe of a user.
#[derive(Debug, Clone, Default)]
struct Belief {
    blocked: Option<Reason>,
    /// Created disabled: the event does not say why.
    vague: bool,
    title: Option<String>,
    /// Told with the title, for there is a template of both.
    city: Option<String>,
    upn: Option<String>,
    passwords: usize,
    /// Of each lane.
    sequences: HashMap<Lane, u64>,
}

/// Takes in an event. What is told again says nothing that was not told; `asked` says that a
/// blocked account may come again without a sign of it.
fn believe(belief: &mut Belief, event: &Event, asked: bool) {
    let before = belief.sequences.insert(event.kind().lane(), event.sequence);
    assert!(before.is_none_or(|before| event.sequence > before), "sequences grow: {event:?}");
    let again = event.waiting.is_some();
    match &event.detail {
        Detail::AccountDisabled { reason } => {
            let known = belief.blocked == Some(*reason);
            assert!(known == again || belief.vague || asked, "{event:?} {belief:?}");
            belief.vague = false;
            belief.blocked = Some(*reason);
        }
        Detail::AccountEnabled { ended } => {
            let blocked = belief.blocked.take();
            let ends = blocked == Some(*ended) || belief.vague && blocked.is_some();
            assert!(if again { blocked.is_none() } else { ends }, "{event:?} {blocked:?}");
            belief.vague = false;
        }
        Detail::UserDeleted => {
            let known = belief.blocked == Some(Reason::Deleted);
            assert!(known == again || asked, "{event:?}");
            belief.blocked = Some(Reason::Deleted);
        }
        Detail::UserCreated { .. } if again => assert!(belief.upn.is_some(), "{event:?}"),
        Detail::UserCreated { enabled } => {
            assert!(belief.upn.is_none(), "created twice: {event:?}");
            belief.blocked = (!enabled).then_some(Reason::Disabled);
            belief.vague = !enabled;
        }
        Detail::AttributesModified { attributes, .. } => {
            let [title, city] = ["title", "l"].map(|name| attributes[name].first().cloned());
            let is_known = belief.title == title && belief.city == city;
            assert_eq!(is_known, again, "{event:?} {belief:?}");
            (belief.title, belief.city) = (title, city);
        }
        Detail::PasswordChanged { .. } => belief.passwords += usize::from(!again),
        Detail::UserRenamed { previous } if !again => {
            assert_eq!(belief.upn, previous.user_principal_name, "{event:?}");
        }
        Detail::UserRenamed { .. } => {}
        Detail::PasswordSet(_) | Detail::MembershipChanged { .. } | Detail::Canary { .. } => {
            panic!("nobody asked for this: {event:?}")
        }
    }
    belief.upn.clone_from(&event.identity.user_principal_name);
}

/// A request on account of events that were told, or of one that never was.
fn request(bench: &Bench, index: usize, picks: &[usize], forged: bool) -> RefreshRequest {
    let told = bench.lock().told.clone();
    let told: Vec<_> = told.iter().filter(|message| message.object == object(index)).collect();
    let picked = picks.iter().filter_map(|pick| told.get(pick % told.len().max(1)));
    let mut originals: Vec<_> = picked.map(|message| (*message).into()).collect();
    if forged {
        // All is right but the signature.
        let event = Event::new(
            "ldap:///dc=x",
            object(index),
            bench.store.sequence().expect("store"),
            Timestamp::UNIX_EPOCH,
            Default::default(),
            Detail::PasswordChanged { must_change: false },
        );
        originals.push((&Message::from_event(&event)).into());
    }
    RefreshRequest {
        object: object(index),
        why: Why::Replayed,
        originals,
        waiting: Some(Waiting { since: Timestamp::UNIX_EPOCH, attempt: 1 }),
    }
}

/// What the consumers believe after everything that was told so far.
fn beliefs(
    bench: &Bench,
    first: &BTreeMap<usize, Belief>,
    asked: &BTreeSet<usize>,
) -> BTreeMap<usize, Belief> {
    let mut beliefs = first.clone();
    let mut bodies = HashMap::new();
    for message in &bench.lock().told {
        let known = bodies.insert(message.id, message.body.clone());
        if known.as_ref().is_some_and(|body| *body == message.body) {
            continue;
        }
        assert!(known.is_none(), "one id, two bodies");
        let event = Event::from_json(&message.body).expect("an event");
        let index = event.object.as_u128() as usize - 1;
        believe(beliefs.entry(index).or_default(), &event, asked.contains(&index));
    }
    beliefs
}

/// Until nothing waits and nothing new is told.
fn settle(bench: &Bench) {
    for _ in 0..4 {
        assert!(bench.run(), "without faults it ends");
        bench.sleep(60);
        assert!(bench.run(), "whatever waited is told");
        if bench.lock().requests.is_empty() {
            break;
        }
    }
    assert!(bench.lock().requests.is_empty(), "every request is handled");
    let told = bench.lock().told.len();
    assert!(bench.run());
    assert_eq!(bench.lock().told.len(), told, "nothing new, nothing told");
}

fn check(ops: &[Op], fates: Vec<Fate>, guard: model::Guard) {
    let mut bench = Bench::new(guard);
    bench.settle = Duration::from_secs(10);
    bench.mappings = mappings(&[("jobTitle", "title"), ("officeLocation", "{{ title }} {{ l }}")]);
    for index in 0..USERS - 1 {
        bench.lock().create(index);
    }
    bench.set(0, "useraccountcontrol", Some("514"));
    assert!(bench.run(), "the baseline");
    assert!(bench.lock().told.is_empty(), "a first baseline tells nothing");
    let first: BTreeMap<usize, Belief> = (0..USERS - 1)
        .map(|index| {
            let blocked = (index == 0).then_some(Reason::Disabled);
            let upn = bench.lock().is(index, "userprincipalname").map(str::to_owned);
            (index, Belief { blocked, upn, ..Belief::default() })
        })
        .collect();

    bench.lock().fates = fates.into();
    let mut sets = [0; USERS];
    let mut asked = BTreeSet::new();
    for op in ops {
        match op {
            Op::Follow => {
                bench.run();
            }
            Op::Approve => {
                bench.approve();
            }
            Op::Refresh(index, picks, forged) => {
                let request = request(&bench, *index, picks, *forged);
                if request.originals.is_empty() {
                    asked.insert(*index);
                }
                bench.lock().requests.push(request.to_message());
            }
            // Only a cursor that nothing is staged for can be taken away by a test.
            Op::LoseCursor if !bench.store.is_staged().expect("store") => {
                let cursor = Some(Cursor(b"foreign".to_vec()));
                bench.store.apply(&store::Batch { cursor, ..Default::default() }).expect("store");
            }
            Op::Password(index) if bench.lock().alive(*index) => {
                sets[*index] += 1;
                bench.lock().apply(op);
            }
            op => bench.lock().apply(op),
        }
    }
    bench.lock().fates.clear();
    settle(&bench);

    let known = beliefs(&bench, &first, &asked);
    for (object, held) in bench.store.all_held().expect("store") {
        let belief = &known[&(object.as_u128() as usize - 1)];
        let record = bench.store.record(object).expect("store").expect("held, so known");
        assert_eq!(belief.blocked.is_some(), record.told.blocked.is_some(), "{held:?}");
        for name in held.get(&guard::Loss::Blank).iter().flat_map(|held| &held.names) {
            let believed = if name == "l" { &belief.city } else { &belief.title };
            assert!(believed.is_some(), "held, so not told");
        }
    }
    while bench.approve() {}
    assert_eq!(bench.store.held_users().expect("store"), 0);
    settle(&bench);
    compare(&bench, &beliefs(&bench, &first, &asked), &sets);
}

/// What is believed must be so, once nothing is held.
fn compare(bench: &Bench, beliefs: &BTreeMap<usize, Belief>, sets: &[usize; USERS]) {
    let world = bench.lock();
    for (index, sets) in sets.iter().copied().enumerate() {
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
        assert_eq!(belief.city.as_deref(), world.is(index, "l"), "user {index}");
        if index < USERS - 1 {
            assert!(belief.passwords <= sets, "user {index}");
            assert!(belief.passwords > 0 || sets == 0, "user {index}");
        }
    }
}

fn any_guard() -> impl Strategy<Value = model::Guard> {
    (1..4_u32, 0..3_u32, 0..3_u32, any::<bool>()).prop_map(
        |(disables, deletes, blanked, expired)| model::Guard {
            window: Duration::from_secs(20),
            max_disables: disables,
            max_deletes: deletes,
            max_blanked: blanked,
            count_expired: expired,
            ..model::Guard::default()
        },
    )
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 200, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn what_is_told_equals_what_became_true(
        ops in prop::collection::vec(op(), 1..60),
        fates in prop::collection::vec(any_fate(), 0..60),
        guard in any_guard(),
    ) {
        check(&ops, fates, guard);
    }
}

/// The case that the outbox exists for: killed between publish and commit, flipped back meanwhile.
#[test]
fn a_flip_back_during_a_crash_is_told_after_the_flip() {
    for death in [Fate::DiesBefore, Fate::DiesAfter, Fate::Lost, Fate::Half] {
        // One step for reading, then the publication.
        let ops = [Op::Control(1, true), Op::Follow, Op::Control(1, false), Op::Follow];
        check(&ops, vec![Fate::Works, death], model::Guard::default());
    }
}
