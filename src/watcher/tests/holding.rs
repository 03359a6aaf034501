//! The guard at work in the watcher.

use super::world::*;
use crate::{
    config::model,
    event::{Detail, Kind, Reason},
    queue::refresh::{RefreshRequest, Why},
};

fn limits() -> model::Guard {
    model::Guard { max_disables: 3, max_deletes: 1, max_blanked: 2, ..model::Guard::default() }
}

fn disable(bench: &Bench, users: std::ops::Range<usize>) {
    users.for_each(|index| bench.set(index, "useraccountcontrol", Some("514")));
}

fn kinds(bench: &Bench) -> Vec<Kind> {
    bench.told().iter().map(|event| event.kind()).collect()
}

fn held(bench: &Bench) -> u64 {
    bench.store.held_users().expect("store")
}

#[test]
fn a_mass_disable_is_held_over_all_pages_and_a_single_one_is_told() {
    let bench = Bench::with_users(12, limits());
    disable(&bench, 0..11);
    // Replies have two users each, so the first of them is told before the mass is seen.
    assert!(bench.run());
    assert_eq!(kinds(&bench).len(), 2);
    assert_eq!(held(&bench), 9);
    disable(&bench, 11..12);
    assert!(bench.run());
    assert_eq!(kinds(&bench), [Kind::AccountDisabled], "the third of three");
    assert_eq!(held(&bench), 9);
}

#[test]
fn a_restart_opens_no_new_limit_and_the_end_of_the_window_does() {
    let bench = Bench::with_users(6, limits());
    for index in 0..5 {
        disable(&bench, index..index + 1);
        assert!(bench.run(), "every run is a process of its own");
    }
    assert_eq!(kinds(&bench).len(), 3);
    assert_eq!(held(&bench), 2);
    bench.sleep(700);
    disable(&bench, 5..6);
    assert!(bench.run());
    assert_eq!(kinds(&bench), [Kind::AccountDisabled]);
    assert_eq!(held(&bench), 2, "who is held stays so");
}

#[test]
fn a_flip_back_takes_the_user_out_and_tells_nothing() {
    let bench = Bench::with_users(1, model::Guard { max_disables: 0, ..limits() });
    disable(&bench, 0..1);
    assert!(bench.run());
    bench.set(0, "title", Some("Lead"));
    assert!(bench.run());
    assert_eq!(kinds(&bench), [Kind::AttributesModified], "other changes are told");
    assert_eq!(held(&bench), 1);
    bench.set(0, "useraccountcontrol", Some("512"));
    assert!(bench.run());
    assert_eq!(kinds(&bench), []);
    assert_eq!(held(&bench), 0);
}

#[test]
fn approved_is_told_as_it_is_then_and_rejected_is_taken_as_told() {
    let bench = Bench::with_users(4, model::Guard { max_disables: 0, max_blanked: 0, ..limits() });
    bench.set(0, "title", Some("Lead"));
    assert!(bench.run());
    bench.told();
    disable(&bench, 0..2);
    bench.set(0, "title", None);
    assert!(bench.run());
    assert_eq!(kinds(&bench), []);
    bench.set(1, "useraccountcontrol", Some("512"));
    assert!(bench.approve(), "the disables");
    assert_eq!(kinds(&bench), [Kind::AccountDisabled], "the other one is enabled by then");
    assert!(bench.approve(), "the title");
    assert_eq!(kinds(&bench), [Kind::AttributesModified]);
    assert!(!bench.approve(), "nothing is left");

    disable(&bench, 2..3);
    assert!(bench.run());
    let held = bench.pipeline().held().expect("store");
    let batch = held[&object(2)].values().next().expect("held").batch;
    assert_eq!(bench.pipeline().reject(batch).expect("store"), 1);
    assert!(bench.run());
    assert_eq!(kinds(&bench), []);
    bench.set(2, "useraccountcontrol", Some("512"));
    assert!(bench.run());
    let told: Vec<_> = bench.told().into_iter().map(|event| event.detail).collect();
    assert_eq!(told, [Detail::AccountEnabled { ended: Reason::Disabled }]);
}

#[test]
fn what_is_asked_for_passes_the_guard() {
    let bench = Bench::new(model::Guard { max_disables: 1, ..limits() });
    for index in 0..3 {
        bench.lock().create(index);
        disable(&bench, index..index + 1);
    }
    assert!(bench.run(), "the baseline takes them as told");
    for index in 0..3 {
        let (why, waiting) = (Why::Reconcile, None);
        let request = RefreshRequest { object: object(index), why, originals: Vec::new(), waiting };
        bench.lock().requests.push(request.to_message());
    }
    assert!(bench.run());
    assert!(!kinds(&bench).contains(&Kind::AccountDisabled));
    assert_eq!(held(&bench), 3);
    assert!(bench.approve());
    assert_eq!(kinds(&bench), [Kind::AccountDisabled; 3]);
}
