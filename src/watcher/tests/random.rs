//! The commit rule, by random runs: changes of a directory, of what surrounds its users and of the
//! scope, time that passes, requests to tell users again, refused and lost publications, and a death
//! of the process at any step. What was told must equal what became true, but for what the guard
//! holds.

mod belief;

use std::collections::{BTreeMap, BTreeSet};

use proptest::prelude::*;

use self::belief::{Belief, beliefs, compare};
use super::{bench::*, world::*};
use crate::{
    config::model,
    directory::{Cursor, attributes::to_filetime},
    event::{Detail, Event, Reason, Waiting},
    queue::{
        Message,
        refresh::{RefreshRequest, Why},
    },
    random_runs::random_runs,
    watcher::*,
};

const USERS: usize = 4;
/// Who the configuration may exclude.
const EXCLUDED: usize = 1;

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
    Undelete(usize),
    /// The account ends after so many seconds.
    ExpireIn(usize, i64),
    /// Into this unit.
    Move(usize, usize),
    /// The unit with whoever is in it, to the outside or back.
    MoveTeam(bool),
    Member(usize, bool),
    /// The inner group, in the outer or not.
    Nest(bool),
    /// The configuration excludes a user, or does so no longer.
    Exclude(bool),
    Sleep(i64),
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
            Op::Title(i, _) | Op::City(i, _) | Op::Rename(i, _) | Op::Delete(i) => i,
            Op::Undelete(i) | Op::ExpireIn(i, _) | Op::Move(i, _) | Op::Member(i, _) => i,
            Op::Refresh(i, ..) => i,
            Op::MoveTeam(_) | Op::Nest(_) | Op::Exclude(_) | Op::Sleep(_) => 0,
            Op::Approve | Op::Follow | Op::LoseCursor | Op::FailOver => 0,
        }
    }

    /// Whether it may bring the user out of the scope.
    fn may_lead_out(&self, index: usize) -> bool {
        match *self {
            Op::Move(i, _) | Op::Member(i, _) => i == index,
            Op::MoveTeam(_) | Op::Nest(_) => true,
            Op::Exclude(_) => index == EXCLUDED,
            _ => false,
        }
    }
}

impl World {
    fn apply(&mut self, op: &Op, now: Timestamp) {
        match *op {
            Op::Create(index) if self.is(index, "name").is_none() => {
                self.create(index);
                self.put(index, TEAM);
            }
            Op::MoveTeam(out) => self.put(TEAM, if out { OUTSIDE } else { INSIDE }),
            Op::Nest(inside) => self.link(object(OUTER), object(INNER), inside),
            Op::Undelete(index) if self.is(index, "isdeleted").is_some() => {
                self.set(index, "isdeleted", None);
            }
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
            Op::ExpireIn(index, seconds) => {
                let end = to_filetime(now + jiff::SignedDuration::from_secs(seconds));
                self.set(index, "accountexpires", Some(&end.to_string()));
            }
            Op::Move(index, unit) => self.put(index, unit),
            Op::Member(index, is_one) => self.link(object(INNER), object(index), is_one),
            Op::Create(_) | Op::Undelete(_) | Op::Exclude(_) | Op::Sleep(_) => {}
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
        1 => user.clone().prop_map(Op::Undelete),
        2 => (user.clone(), 1..30_i64).prop_map(|(i, seconds)| Op::ExpireIn(i, seconds)),
        2 => (user.clone(), INSIDE..=OUTSIDE).prop_map(|(i, unit)| Op::Move(i, unit)),
        1 => any::<bool>().prop_map(Op::MoveTeam),
        2 => (user.clone(), any::<bool>()).prop_map(|(i, is_one)| Op::Member(i, is_one)),
        1 => any::<bool>().prop_map(Op::Nest),
        1 => any::<bool>().prop_map(Op::Exclude),
        2 => (1..30_i64).prop_map(Op::Sleep),
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

fn check(ops: &[Op], fates: Vec<Fate>, guard: model::Guard, by_group: bool) {
    let mut bench = Bench::new(guard);
    bench.settle = Duration::from_secs(10);
    bench.mappings = mappings(&[("jobTitle", "title"), ("officeLocation", "{{ title }} {{ l }}")]);
    bench.scope.organizational_units = vec!["OU=inside".into()];
    bench.scope.groups.extend(by_group.then(|| "CN=outer".into()));
    bench.lock().add_places();
    for index in 0..USERS - 1 {
        let op = Op::Create(index);
        let now = bench.now();
        bench.lock().apply(&op, now);
        bench.lock().link(object(INNER), object(index), true);
    }
    bench.set(0, "useraccountcontrol", Some("514"));
    assert!(bench.run(), "the baseline");
    assert!(bench.lock().told.is_empty(), "a first baseline tells nothing");
    let first: BTreeMap<usize, Belief> = (0..USERS - 1)
        .map(|index| {
            let blocked = (index == 0).then_some(Reason::Disabled);
            let upn = bench.lock().is(index, "userprincipalname").map(str::to_owned);
            (index, Belief::of(blocked, upn))
        })
        .collect();

    bench.lock().fates = fates.into();
    let mut sets = [0; USERS];
    let mut asked = BTreeSet::new();
    let edited = ops.iter().any(|op| matches!(op, Op::Exclude(_)));
    for op in ops {
        let now = bench.now();
        match op {
            Op::Sleep(seconds) => bench.sleep(*seconds),
            Op::Exclude(excluded) => {
                bench.scope.exclude =
                    excluded.then(|| format!("user{EXCLUDED}")).into_iter().collect();
            }
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
                bench.lock().apply(op, now);
            }
            op => bench.lock().apply(op, now),
        }
    }
    bench.lock().fates.clear();
    settle(&bench);

    let known = beliefs(&bench, &first, &asked, edited);
    for (object, held) in bench.store.all_held().expect("store") {
        let belief = &known[&(object.as_u128() as usize - 1)];
        let record = bench.store.record(object).expect("store").expect("held, so known");
        // Of who was taken in without a word, the record takes for told what was never said.
        let agree = belief.blocked.is_some() == record.told.blocked.is_some();
        assert!(agree || belief.silent, "{held:?} {belief:?}");
        for name in held.get(&guard::Loss::Blank).iter().flat_map(|held| &held.names) {
            let believed = if name == "l" { &belief.city } else { &belief.title };
            assert!(believed.is_some(), "held, so not told");
        }
    }
    while bench.approve() {}
    assert_eq!(bench.store.held_users().expect("store"), 0);
    settle(&bench);
    let stayed = |index: &usize| !ops.iter().any(|op| op.may_lead_out(*index));
    let stayed = (0..USERS - 1).filter(stayed).collect();
    compare(&bench, &beliefs(&bench, &first, &asked, edited), &sets, &stayed, edited);
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
    #![proptest_config(random_runs(120))]

    #[test]
    fn what_is_told_equals_what_became_true(
        ops in prop::collection::vec(op(), 1..60),
        fates in prop::collection::vec(any_fate(), 0..60),
        guard in any_guard(),
        by_group: bool,
    ) {
        check(&ops, fates, guard, by_group);
    }
}

/// The case that the outbox exists for: killed between publish and commit, flipped back meanwhile.
#[test]
fn a_flip_back_during_a_crash_is_told_after_the_flip() {
    for death in [Fate::DiesBefore, Fate::DiesAfter, Fate::Lost, Fate::Half] {
        // One step for reading, then the publication.
        let ops = [Op::Control(1, true), Op::Follow, Op::Control(1, false), Op::Follow];
        check(&ops, vec![Fate::Works, death], model::Guard::default(), false);
    }
}

#[test]
fn who_is_restored_is_in_scope_by_its_group_though_everything_was_read_meanwhile() {
    let ops = [Op::Delete(1), Op::Follow, Op::LoseCursor, Op::Follow, Op::Undelete(1)];
    check(&ops, Vec::new(), model::Guard::default(), true);
}

#[test]
fn a_death_at_any_step_of_a_move_or_at_the_end_of_an_account_loses_nobody() {
    let ops = [
        Op::ExpireIn(0, 20),
        Op::MoveTeam(true),
        Op::Follow,
        Op::Rename(1, 1),
        Op::Member(2, false),
        Op::Sleep(30),
        Op::MoveTeam(false),
        Op::Follow,
        Op::Nest(false),
        Op::Exclude(true),
        Op::Follow,
        Op::Nest(true),
        Op::Exclude(false),
        Op::Follow,
    ];
    for fate in [Fate::DiesBefore, Fate::DiesAfter] {
        for step in 0..40 {
            let mut fates = vec![Fate::Works; step];
            fates.push(fate);
            check(&ops, fates, model::Guard::default(), true);
        }
    }
}
