//! The guard at work in the watcher.

use super::{bench::*, world::*};
use crate::{
    config::model,
    event::{Detail, Kind, Reason},
    queue::refresh::{RefreshRequest, Why},
    watcher::held::{self as held_things, Choice},
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
    let choice = Choice { users: vec!["USER2".into()], ..Choice::default() };
    assert_eq!(bench.pipeline().reject(&choice).expect("store"), 1);
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

#[test]
fn a_batch_is_approved_and_rejected_in_parts() {
    let bench = Bench::with_users(6, model::Guard { max_disables: 0, ..limits() });
    disable(&bench, 0..5);
    assert!(bench.run());
    let batch = Choice { batch: Some(1), ..Choice::default() };
    let summary =
        &held_things::summaries(&held_things::held(&bench.store, &batch).expect("store"))[0];
    assert_eq!((summary.users, summary.by_change["disabled"]), (5, 5));
    let some = Choice { users: vec!["user0".into(), "USER1@x".into()], ..batch.clone() };
    assert!(bench.approve_what(&some));
    assert_eq!(kinds(&bench), [Kind::AccountDisabled; 2]);
    disable(&bench, 5..6);
    assert!(bench.run());
    assert_eq!(held(&bench), 4, "the rest of the batch still is one");
    assert_eq!(bench.pipeline().reject(&batch).expect("store"), 4);
    assert!(bench.run() && held(&bench) == 0);
    assert_eq!(kinds(&bench), []);
}

/// 2023-11-14, when the clock of a bench begins, as accountExpires has it.
const BEGINNING: i64 = 116_444_736_000_000_000 + 1_700_000_000 * 10_000_000;

#[test]
fn a_clock_that_jumped_expires_nobody_and_frees_nobody() {
    let bench = Bench::with_users(3, limits());
    let expires = |index: usize, second: i64| {
        bench.set(index, "accountexpires", Some(&(BEGINNING + second * 10_000_000).to_string()));
    };
    expires(0, 600);
    bench.sleep(700);
    assert!(bench.run());
    assert_eq!(kinds(&bench), [Kind::AccountDisabled], "it expires, and nobody contradicts");
    bench.lock().time = Some(1_700_000_700);
    bench.sleep(100_000);
    expires(1, 50_000);
    assert!(bench.run());
    assert_eq!(kinds(&bench), [], "by our clock it expired long ago");
    expires(0, 300_000);
    assert!(bench.run());
    assert_eq!(kinds(&bench), [], "nor is anybody enabled by such a clock");
    assert_eq!(held(&bench), 2);
    assert!(bench.recheck());
    assert_eq!(held(&bench), 2);
    bench.lock().time = Some(1_700_000_700 + 100_000);
    assert!(bench.recheck());
    let mut told = kinds(&bench);
    told.sort();
    assert_eq!(told, [Kind::AccountDisabled, Kind::AccountEnabled], "the clock was right");
    assert_eq!(held(&bench), 0);
}

#[test]
fn a_directory_that_shows_nobody_is_not_believed() {
    let bench = Bench::with_users(5, limits());
    bench.lock().hidden = true;
    bench.lock().forget_cursors();
    assert!(bench.run());
    assert_eq!(kinds(&bench), []);
    assert_eq!(held(&bench), 5, "not even one, though nine would be few enough");
    bench.lock().hidden = false;
    bench.lock().forget_cursors();
    assert!(bench.run());
    assert_eq!((kinds(&bench), held(&bench)), (vec![], 0), "they were there all the time");
}

#[test]
fn a_directory_that_shows_few_deletes_few() {
    let bench = Bench::with_users(40, model::Guard { max_deletes: 1000, ..limits() });
    bench.lock().vanish(2..40);
    assert!(bench.run());
    assert!(kinds(&bench).len() <= 9, "more is a share of the scope");
    assert!(held(&bench) >= 29);
}

#[test]
fn a_lost_store_blocks_nobody_whatever_the_directory_shows() {
    let blocks = |bench: &Bench| {
        let blocks = [Kind::AccountDisabled, Kind::UserDeleted];
        kinds(bench).iter().any(|kind| blocks.contains(kind))
    };
    let mut bench = Bench::with_users(40, limits());
    disable(&bench, 0..20);
    bench.lose_store();
    assert!(bench.run());
    assert_eq!((kinds(&bench), held(&bench)), (vec![], 0), "it finds them so");
    bench.lock().hidden = true;
    bench.lose_store();
    assert!(bench.run());
    bench.lock().hidden = false;
    bench.lock().forget_cursors();
    assert!(bench.run());
    assert!(!blocks(&bench), "whoever shows up is new");
    bench.lose_store();
    bench.lock().vanish(10..40);
    assert!(bench.run());
    assert!(!blocks(&bench) && held(&bench) == 0, "who is not there was never known");
}

#[test]
fn a_reading_that_breaks_off_deletes_nobody() {
    let bench = Bench::with_users(12, limits());
    bench.lock().vanish(6..12);
    // It asks for the changes, for a cursor, and for three pages.
    for page in 2..5 {
        let fates = (0..page).map(|_| Fate::Works).chain([Fate::Refuses]);
        bench.lock().fates = fates.collect();
        assert!(!bench.run(), "page {page}");
        assert_eq!((kinds(&bench), held(&bench)), (vec![], 0), "after page {page}");
    }
    assert!(bench.run());
    assert_eq!((kinds(&bench), held(&bench)), (vec![], 6), "a reading that ends is another thing");
}
