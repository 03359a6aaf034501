//! What becomes of a password that is handed over, around a change of server.

use super::bench::*;
use crate::{
    config::model,
    directory::attributes::to_filetime,
    event::{Detail, Event, Kind},
    passwords::Shelf,
    watcher::{candidate::Candidate, *},
};

const SETTLE: i64 = 300;
const START: i64 = 1_700_000_000;
/// [`START`] as FILETIME (MS-DTYP section 2.3.3).
const SET: &str = "133444736000000000";

/// A watcher that has just changed over to another server.
fn bench() -> Bench {
    let mut bench = Bench::with_users(1, model::Guard::default());
    bench.settle = Duration::from_secs(SETTLE as u64);
    bench.passwords = Some(Passwords {
        confirm_within: Duration::from_secs(60),
        ttl: Duration::from_secs(3600),
        enforce_expiry: false,
        bell: Arc::new(Arrivals::rung()),
    });
    bench.lock().replica.server = "CN=dc2".into();
    bench
}

fn hand_over(bench: &Bench, index: usize) {
    let at = Timestamp::from_second(START).expect("in range");
    let candidate = Candidate {
        id: uuid::Uuid::from_u128(1),
        account: format!("name:user{index}"),
        at,
        received: at,
        committed: false,
        version: None,
        key_id: String::new(),
        sealed: String::new(),
    };
    bench.store.keep(candidate).expect("kept");
}

fn told(bench: &Bench) -> Vec<Kind> {
    assert!(bench.run());
    bench.told().iter().map(Event::kind).collect()
}

#[test]
fn it_waits_as_long_as_the_creation_that_it_goes_with() {
    let bench = bench();
    bench.lock().create(1);
    bench.set(1, "pwdlastset", Some(SET));
    hand_over(&bench, 1);
    assert_eq!(told(&bench), []);
    bench.sleep(SETTLE / 2);
    assert_eq!(told(&bench), []);
    assert!(bench.store.awaits_passwords().expect("store"), "neither told nor wiped");
    bench.sleep(SETTLE);
    assert_eq!(told(&bench), [Kind::UserCreated, Kind::PasswordSet]);
    assert!(!bench.store.awaits_passwords().expect("store"), "told");
}

#[test]
fn of_who_is_known_it_is_told_at_once_and_what_never_shows_is_wiped() {
    let bench = bench();
    bench.set(0, "pwdlastset", Some(SET));
    hand_over(&bench, 0);
    assert_eq!(told(&bench), [Kind::PasswordSet]);
    hand_over(&bench, 0);
    assert_eq!(told(&bench), []);
    assert!(bench.store.awaits_passwords().expect("store"));
    bench.sleep(SETTLE);
    assert_eq!(told(&bench), []);
    assert!(!bench.store.awaits_passwords().expect("store"), "wiped");
}

/// START and so many seconds as FILETIME.
fn ticks(seconds: i64) -> String {
    to_filetime(Timestamp::from_second(START + seconds).expect("in range")).to_string()
}

fn must_change(events: &[Event]) -> Vec<bool> {
    let sealed = events.iter().filter_map(|event| match &event.detail {
        Detail::PasswordSet(sealed) => Some(sealed.must_change),
        _ => None,
    });
    sealed.collect()
}

#[test]
fn when_it_expires_it_is_told_once_more_to_be_changed() {
    let mut bench = bench();
    bench.passwords.as_mut().expect("on").enforce_expiry = true;
    let run = || {
        assert!(bench.run());
        must_change(&bench.told())
    };
    let expires =
        |at: &str| bench.lock().set_unseen(0, "msds-userpasswordexpirytimecomputed", Some(at));
    expires(&ticks(1000));
    bench.set(0, "pwdlastset", Some(SET));
    hand_over(&bench, 0);
    assert_eq!(run(), [false]);
    // The policy has become less strict meanwhile.
    expires(&ticks(2000));
    bench.sleep(1100);
    assert_eq!(run(), [false; 0]);
    bench.sleep(1100);
    assert_eq!(run(), [true]);
    bench.sleep(1100);
    assert_eq!(run(), [false; 0], "once");
}

#[test]
fn a_change_to_be_made_at_the_next_logon_is_told_with_what_is_kept() {
    let mut bench = bench();
    bench.passwords.as_mut().expect("on").enforce_expiry = true;
    bench.set(0, "pwdlastset", Some(SET));
    hand_over(&bench, 0);
    assert_eq!(told(&bench), [Kind::PasswordSet]);
    bench.lock().set_unseen(0, "msds-userpasswordexpirytimecomputed", Some("0"));
    bench.set(0, "pwdlastset", Some("0"));
    assert!(bench.run());
    assert_eq!(must_change(&bench.told()), [true]);
    // What is known to be another one by now is not told.
    bench.set(0, "unicodepwd", None);
    assert_eq!(told(&bench), [Kind::PasswordChanged]);
}
