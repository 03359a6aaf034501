//! What is told again on request.

use bytes::Bytes;
use jiff::Timestamp;
use uuid::Uuid;

use super::{bench::*, world::*};
use crate::{
    config::model,
    directory::dn::normalised,
    event::{Detail, Event, Kind, Reason, Waiting},
    queue::{
        Message,
        refresh::{RefreshRequest, Why},
    },
    watcher::store::Surroundings,
};

const WAITING: Waiting = Waiting { since: Timestamp::UNIX_EPOCH, attempt: 7 };

fn bench() -> Bench {
    Bench::with_users(2, model::Guard::default())
}

fn request(bench: &Bench, events: &[Event]) -> Message {
    let object = events.first().map_or(object(0), |event| event.object);
    let signed = |event| {
        let mut message = Message::from_event(event);
        bench.keys.sign(&mut message);
        (&message).into()
    };
    let originals = events.iter().map(signed).collect();
    RefreshRequest { object, why: Why::Parked, originals, waiting: Some(WAITING) }.to_message()
}

/// What a request for these events tells.
fn told_again(bench: &Bench, events: &[Event]) -> Vec<Event> {
    let request = request(bench, events);
    bench.lock().requests.push(request);
    assert!(bench.run());
    assert!(bench.lock().requests.is_empty(), "acknowledged");
    bench.told()
}

fn details(events: &[Event]) -> Vec<Detail> {
    events.iter().map(|event| event.detail.clone()).collect()
}

/// Sets attributes of the first user, one after another, and returns what was told.
fn tell(bench: &Bench, changes: &[(&'static str, &str)]) -> Vec<Event> {
    for (name, value) in changes {
        bench.set(0, name, Some(value));
        assert!(bench.run());
    }
    bench.told()
}

const OFF: (&str, &str) = ("useraccountcontrol", "514");
const ON: (&str, &str) = ("useraccountcontrol", "512");

#[test]
fn a_block_is_told_again_with_its_reason_now_and_only_while_it_lasts() {
    let bench = bench();
    let disabled = tell(&bench, &[OFF]);
    let again = told_again(&bench, &disabled);
    assert_eq!(details(&again), details(&disabled));
    assert!(again[0].sequence > disabled[0].sequence);
    assert_eq!(again[0].waiting, Some(WAITING));
    tell(&bench, &[("accountexpires", "1"), ON]);
    let again = told_again(&bench, &disabled);
    assert_eq!(details(&again), [Detail::AccountDisabled { reason: Reason::Expired }]);
    tell(&bench, &[("accountexpires", "0")]);
    assert_eq!(told_again(&bench, &disabled), []);
}

#[test]
fn a_change_that_is_found_on_the_way_is_told_first_and_once() {
    let bench = bench();
    let events = tell(&bench, &[OFF, ON, ("title", "Lead")]);
    let (enabled, title) = (events[1].clone(), events[2].clone());
    bench.set(0, "title", Some("Chief"));
    bench.set(0, OFF.0, Some(OFF.1));
    let told = told_again(&bench, &[enabled, title]);
    let kinds: Vec<_> = told.iter().map(Event::kind).collect();
    assert_eq!(kinds.iter().filter(|kind| **kind == Kind::AccountDisabled).count(), 1);
    assert!(!kinds.contains(&Kind::AccountEnabled), "{kinds:?}");
}

#[test]
fn only_the_latest_enabling_is_told_again_and_only_once() {
    let bench = bench();
    let events = tell(&bench, &[OFF, ON, OFF, ON]);
    let enabled = |event: &Event| vec![event.clone()];
    assert_eq!(told_again(&bench, &enabled(&events[1])), [], "an older one");
    let again = told_again(&bench, &enabled(&events[3]));
    assert_eq!(details(&again), [Detail::AccountEnabled { ended: Reason::Disabled }]);
    assert_eq!(told_again(&bench, &enabled(&events[3])), [], "replayed twice");
    assert_eq!(details(&told_again(&bench, &again)).len(), 1);
}

#[test]
fn attributes_are_told_with_their_values_now_and_passwords_unless_a_newer_one_was() {
    let bench = bench();
    let title = tell(&bench, &[("title", "Lead")]);
    tell(&bench, &[("title", "Chief")]);
    let attributes = [("title".to_owned(), vec!["Chief".to_owned()])].into();
    let again = told_again(&bench, &title);
    assert_eq!(details(&again), [Detail::modified(attributes)]);
    let passwords = tell(&bench, &[("pwdlastset", "10"), ("pwdlastset", "20")]);
    assert_eq!(passwords.len(), 2);
    assert_eq!(told_again(&bench, &passwords[..1]), []);
    assert_eq!(told_again(&bench, &passwords[1..]).len(), 1);
}

#[test]
fn without_an_original_nobody_is_enabled() {
    let bench = bench();
    tell(&bench, &[OFF, ON, ("title", "Lead")]);
    let kinds = |events: &[Event]| events.iter().map(Event::kind).collect::<Vec<_>>();
    assert_eq!(kinds(&told_again(&bench, &[])), [Kind::AttributesModified]);
    tell(&bench, &[OFF]);
    let told = told_again(&bench, &[]);
    assert_eq!(kinds(&told), [Kind::AccountDisabled, Kind::AttributesModified]);
}

#[test]
fn requests_of_one_user_that_wait_together_are_one() {
    let bench = bench();
    let events = tell(&bench, &[OFF, ("title", "Lead")]);
    let both =
        [request(&bench, &events[..1]), request(&bench, &events[1..]), request(&bench, &events)];
    bench.lock().requests.extend(both);
    assert!(bench.run());
    assert_eq!(details(&bench.told()), details(&events));
}

#[test]
fn what_is_not_ours_changes_nobody_and_stops_nothing() {
    let bench = bench();
    let disabled = tell(&bench, &[OFF]);
    let mut foreign = disabled[0].clone();
    foreign.source = "ldap:///dc=elsewhere".into();
    assert_eq!(told_again(&bench, &[disabled[0].clone(), foreign]), []);
    let mut other = disabled[0].clone();
    other.object = object(1);
    assert_eq!(told_again(&bench, &[disabled[0].clone(), other]), []);
    let mut unsigned =
        RefreshRequest::from_message(&request(&bench, &disabled)).expect("a request");
    unsigned.originals = vec![(&Message::from_event(&disabled[0])).into()];
    bench.lock().requests.push(unsigned.to_message());
    assert!(bench.run());
    assert_eq!(bench.told(), []);
    let garbage = Message { body: Bytes::from_static(b"\xff{"), ..request(&bench, &[]) };
    bench.lock().requests.push(garbage);
    assert_eq!(told_again(&bench, &disabled).len(), 1, "the next one is handled");
}

#[test]
fn who_is_gone_waits_for_the_changes_to_tell() {
    let bench = bench();
    let events = tell(&bench, &[OFF, ON, ("title", "Lead")]);
    bench.set(0, "isdeleted", Some("TRUE"));
    assert!(bench.run());
    let deleted = bench.told();
    assert_eq!(details(&deleted), [Detail::UserDeleted]);
    assert_eq!(told_again(&bench, &events[1..]), [], "not while deleted");
    assert_eq!(details(&told_again(&bench, &events[..1])), [Detail::UserDeleted]);

    // Gone after the changes were read, before the request was handled.
    let bench = self::bench();
    let events = tell(&bench, &[("title", "Lead")]);
    let request = request(&bench, &events);
    bench.lock().requests.push(request);
    assert!(bench.run_with_gone(0));
    assert_eq!(bench.lock().requests.len(), 1, "postponed");
    assert_eq!(bench.told(), []);
    assert!(bench.run());
    assert_eq!(details(&bench.told()), details(&events), "a server that lagged");
}

#[test]
fn who_is_unknown_enters_if_the_directory_has_it() {
    let bench = bench();
    let mut events = tell(&bench, &[OFF]);
    events[0].object = object(9);
    assert_eq!(told_again(&bench, &events), []);
}

const SALES: &str = "CN=Sales,DC=x";
const SALES_OBJECT: Uuid = Uuid::from_u128(77);

/// Where a group is followed.
fn bench_of_group(guard: model::Guard) -> Bench {
    let mut bench = Bench::new(guard);
    bench.groups = vec![SALES.into()];
    bench.lock().create(0);
    assert!(bench.run(), "the baseline");
    let sales = Surroundings {
        named: [(normalised(SALES), SALES_OBJECT)].into(),
        groups: [SALES_OBJECT].into(),
        established: [SALES_OBJECT].into(),
        ..Surroundings::default()
    };
    bench.store.surround(&sales).expect("store");
    bench
}

/// The first user joins or leaves the group.
fn join(bench: &Bench, member: bool) -> Vec<Event> {
    let change = Surroundings {
        members: [((SALES_OBJECT, object(0)), member)].into(),
        again: [object(0)].into(),
        ..Surroundings::default()
    };
    bench.store.surround(&change).expect("store");
    assert!(bench.run());
    bench.told()
}

fn membership(member: bool) -> Detail {
    Detail::MembershipChanged { group: SALES.into(), member }
}

#[test]
fn a_membership_is_told_again_as_it_is_by_then() {
    let bench = bench_of_group(model::Guard::default());
    let joined = join(&bench, true);
    assert_eq!(details(&joined), [membership(true)]);
    assert_eq!(details(&told_again(&bench, &joined)), [membership(true)]);
    let left = join(&bench, false);
    assert_eq!(details(&left), [membership(false)]);
    let both = [&joined[..], &left[..]].concat();
    assert_eq!(details(&told_again(&bench, &joined)), [membership(false)], "none any more");
    assert_eq!(details(&told_again(&bench, &both)), [membership(false)], "once");
    let again = join(&bench, true);
    assert_eq!(details(&told_again(&bench, &left)), details(&again));
    bench.set(0, "isdeleted", Some("TRUE"));
    assert!(bench.run());
    bench.told();
    assert_eq!(told_again(&bench, &joined), [], "deleted");
}

#[test]
fn who_left_a_group_unseen_or_held_does_not_join_it_again() {
    let guard = model::Guard { max_member_removals: 0, ..model::Guard::default() };
    let bench = bench_of_group(guard);
    let joined = join(&bench, true);
    assert_eq!(details(&joined), [membership(true)]);
    assert_eq!(join(&bench, false), [], "held");
    assert_eq!(told_again(&bench, &joined), []);
}

#[test]
fn a_manager_and_the_attributes_of_a_template_are_told_again_as_they_are() {
    let mut bench = Bench::new(model::Guard::default());
    bench.mappings =
        mappings(&[("displayName", "{{ givenName }} {{ sn }}"), ("manager", "manager")]);
    for index in 0..3 {
        bench.lock().create(index);
    }
    assert!(bench.run(), "the baseline");
    let link = |index| format!("<GUID={}>;CN=boss", object(index));
    let named = tell(&bench, &[("givenname", "Ada")]);
    let managed = tell(&bench, &[("manager", &link(1))]);
    bench.lock().set_unseen(0, "sn", Some("King"));
    let last = tell(&bench, &[("manager", &link(2))]);
    let told = told_again(&bench, &managed);
    let Detail::AttributesModified { attributes, references } = &told[0].detail else {
        panic!("{told:?}");
    };
    assert_eq!(attributes["sn"], ["King"], "found on the way");
    assert_eq!(attributes.len(), 2);
    assert!(references.is_empty(), "nothing new of the manager");
    assert_eq!(details(&told[1..]), details(&last), "the manager by then");
    let told = told_again(&bench, &named);
    assert_eq!(told.len(), 1, "{told:?}");
    assert!(matches!(&told[0].detail, Detail::AttributesModified { attributes, references }
        if attributes.len() == 2 && references.is_empty()));
    let told = told_again(&bench, &[]);
    assert!(matches!(&told[0].detail, Detail::AttributesModified { attributes, references }
        if attributes.len() == 2 && references.len() == 1));
}
