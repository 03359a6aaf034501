//! What the consumers believe after what they were told, and whether it is so.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use super::{EXCLUDED, USERS};
use crate::{
    directory::attributes::expiry,
    event::{Detail, Event, Lane, Reason},
    watcher::tests::{bench::*, world::*},
};

/// What a consumer would believe of a user.
#[derive(Debug, Clone, Default)]
pub(super) struct Belief {
    pub(super) blocked: Option<Reason>,
    /// Taken in by an edit of the configuration, without a word.
    pub(super) silent: bool,
    /// Created disabled: the event does not say why.
    vague: bool,
    pub(super) title: Option<String>,
    /// Told with the title, for there is a template of both.
    pub(super) city: Option<String>,
    upn: Option<String>,
    passwords: usize,
    /// Of each lane.
    sequences: HashMap<Lane, u64>,
}

impl Belief {
    /// Of who was there before the first event.
    pub(super) fn of(blocked: Option<Reason>, upn: Option<String>) -> Belief {
        Belief { blocked, upn, ..Belief::default() }
    }
}

/// Takes in an event. What is told again says nothing that was not told; `asked` says that a
/// blocked account may come again without a sign of it.
fn believe(belief: &mut Belief, event: &Event, asked: bool) {
    let before = belief.sequences.insert(event.kind().lane(), event.sequence);
    assert!(before.is_none_or(|before| event.sequence > before), "sequences grow: {event:?}");
    let again = event.waiting.is_some();
    let silent = belief.silent && belief.upn.is_none();
    let created = matches!(event.detail, Detail::UserCreated { .. });
    if silent && !created {
        belief.upn.clone_from(&event.identity.user_principal_name);
        belief.vague = true;
    }
    match &event.detail {
        Detail::AccountDisabled { reason } => {
            let known = belief.blocked == Some(*reason);
            assert!(known == again || belief.vague || asked, "{event:?} {belief:?}");
            belief.vague = false;
            belief.blocked = Some(*reason);
        }
        Detail::AccountEnabled { ended } => {
            let blocked = belief.blocked.take();
            let ends = blocked == Some(*ended) || belief.vague && (silent || blocked.is_some());
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
            belief.upn.clone_from(&event.identity.user_principal_name);
            belief.blocked = (!enabled).then_some(Reason::Disabled);
            belief.vague = !enabled;
        }
        Detail::AttributesModified { attributes, .. } => {
            let [title, city] = ["title", "l"].map(|name| attributes[name].first().cloned());
            let is_known = belief.title == title && belief.city == city;
            assert!(is_known == again || belief.silent, "{event:?} {belief:?}");
            (belief.title, belief.city) = (title, city);
        }
        Detail::PasswordChanged { .. } => belief.passwords += usize::from(!again),
        Detail::UserRenamed { previous } if !again => {
            let known =
                belief.upn.replace(event.identity.user_principal_name.clone().expect("one"));
            assert!(known == previous.user_principal_name || silent, "{event:?} {known:?}");
        }
        Detail::UserRenamed { .. } => {}
        Detail::PasswordSet(_) | Detail::MembershipChanged { .. } | Detail::Canary { .. } => {
            panic!("nobody asked for this: {event:?}")
        }
    }
}

/// What the consumers believe after everything that was told so far.
pub(super) fn beliefs(
    bench: &Bench,
    first: &BTreeMap<usize, Belief>,
    asked: &BTreeSet<usize>,
    edited: bool,
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
        let belief = beliefs.entry(index);
        let belief = belief.or_insert_with(|| Belief { silent: edited, ..Belief::default() });
        believe(belief, &event, asked.contains(&index));
    }
    beliefs
}

/// What is believed must be so, once nothing is held.
pub(super) fn compare(
    bench: &Bench,
    beliefs: &BTreeMap<usize, Belief>,
    sets: &[usize; USERS],
    stayed: &BTreeSet<usize>,
    edited: bool,
) {
    let now = bench.now();
    let world = bench.lock();
    let [by_group, excludes] = [&bench.scope.groups, &bench.scope.exclude].map(|it| !it.is_empty());
    for (index, sets) in sets.iter().copied().enumerate() {
        let is_member = world.is_member(index, INNER) && world.is_member(INNER, OUTER);
        let takes_part = world.is_below(index, INSIDE)
            && (is_member || !by_group)
            && (index != EXCLUDED || !excludes);
        let Some(belief) = beliefs.get(&index) else {
            // Who was out of scope when the configuration was edited may come in without a word.
            assert!(!world.alive(index) || !takes_part || edited, "user {index} was never told");
            continue;
        };
        if !world.alive(index) || !takes_part {
            // Who came and went unseen was never told, who was told must be told as gone.
            assert!(belief.blocked.is_some(), "user {index} {belief:?}");
            continue;
        }
        let disabled = world.is(index, "useraccountcontrol") == Some("514");
        let end = world.is(index, "accountexpires").and_then(|end| expiry(end.parse().ok()?));
        let expired = end.is_some_and(|end| end <= now);
        assert_eq!(belief.blocked.is_some(), disabled || expired, "user {index} {belief:?}");
        assert_eq!(belief.upn.as_deref(), world.is(index, "userprincipalname"), "user {index}");
        if !belief.silent {
            assert_eq!(belief.title.as_deref(), world.is(index, "title"), "user {index}");
            assert_eq!(belief.city.as_deref(), world.is(index, "l"), "user {index}");
        }
        if index < USERS - 1 {
            assert!(belief.passwords <= sets, "user {index}");
            assert!(belief.passwords > 0 || sets == 0 || !stayed.contains(&index), "user {index}");
        }
    }
}
