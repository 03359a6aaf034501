//! What follows where the cursor cannot be trusted, and what the periodic comparison finds.

use super::{bench::*, world::*};
use crate::{
    config::model,
    directory::Cursor,
    event::{Detail, Kind, Reason},
    watcher::{resync::Comparison, store::Batch, *},
};

const OFF: (&str, Option<&str>) = ("useraccountcontrol", Some("514"));
const ON: (&str, Option<&str>) = ("useraccountcontrol", Some("512"));
const SETTLE: i64 = 300;

fn bench(users: usize) -> Bench {
    let mut bench = Bench::with_users(users, model::Guard::default());
    bench.settle = Duration::from_secs(SETTLE as u64);
    bench
}

/// Everything that happened at the last server, and is known at this one as far as `changes` say.
fn fail_over(bench: &Bench) {
    bench.lock().replica.server = "CN=dc2".into();
}

fn told(bench: &Bench) -> Vec<(usize, Detail)> {
    assert!(bench.run());
    let events = bench.told().into_iter();
    events.map(|event| (event.object.as_u128() as usize - 1, event.detail)).collect()
}

fn disabled(index: usize) -> (usize, Detail) {
    (index, Detail::AccountDisabled { reason: Reason::Disabled })
}

fn enabled(index: usize) -> (usize, Detail) {
    (index, Detail::AccountEnabled { ended: Reason::Disabled })
}

#[test]
fn a_server_that_lags_lets_nobody_in_and_one_that_does_not_does_so_after_a_while() {
    let bench = bench(4);
    for index in [0, 1] {
        bench.set(index, OFF.0, OFF.1);
    }
    assert_eq!(told(&bench), [disabled(0), disabled(1)]);
    fail_over(&bench);
    bench.lock().set_unseen(0, ON.0, ON.1);
    bench.set(1, ON.0, ON.1);
    bench.set(2, OFF.0, OFF.1);
    bench.lock().set_unseen(3, OFF.0, OFF.1);
    assert_eq!(told(&bench), [disabled(2), disabled(3)], "at once");
    bench.set(2, ON.0, ON.1);
    assert_eq!(told(&bench), [], "what is enabled meanwhile waits as well");
    bench.set(0, OFF.0, OFF.1);
    bench.sleep(SETTLE);
    assert_eq!(told(&bench), [enabled(1), enabled(2)], "the first one was never enabled");
    bench.set(1, OFF.0, OFF.1);
    bench.set(1, "title", Some("Lead"));
    bench.set(3, ON.0, ON.1);
    assert_eq!(told(&bench).len(), 3, "and then nothing waits");
}

#[test]
fn who_is_missing_at_a_server_that_may_lag_is_deleted_only_if_it_says_so() {
    let bench = bench(3);
    fail_over(&bench);
    bench.lock().set_unseen(0, "isdeleted", Some("TRUE"));
    bench.lock().forget(1);
    bench.lock().create(9);
    assert_eq!(told(&bench), [(0, Detail::UserDeleted)]);
    bench.sleep(SETTLE);
    let told = told(&bench);
    assert_eq!(told.len(), 2, "{told:?}");
    assert!(told.contains(&(1, Detail::UserDeleted)));
    assert!(told.contains(&(9, Detail::UserCreated { enabled: true })));
}

#[test]
fn a_deletion_is_concluded_only_from_a_read_that_completed() {
    let bench = bench(6);
    let cursor = Some(Cursor(b"foreign".to_vec()));
    bench.store.apply(&Batch { cursor, ..Batch::default() }).expect("store");
    bench.lock().forget(1);
    // The cursor is refused, a new one is taken, and the second page fails.
    let (works, fails) = (Fate::Works, Fate::Refuses);
    bench.lock().fates = [works, works, works, fails].into();
    assert!(!bench.run());
    assert_eq!(bench.told(), []);
    assert_eq!(told(&bench), [(1, Detail::UserDeleted)], "the next start goes on with it");
}

#[test]
fn a_database_put_back_in_time_is_not_followed_by_its_old_cursor() {
    let bench = bench(2);
    bench.lock().replica.usn = Some(1000);
    bench.set(0, OFF.0, OFF.1);
    assert_eq!(told(&bench), [disabled(0)]);
    bench.lock().replica.usn = Some(900);
    bench.lock().set_unseen(0, ON.0, ON.1);
    bench.lock().set_unseen(1, OFF.0, OFF.1);
    assert_eq!(told(&bench), [disabled(1)]);
    bench.sleep(SETTLE);
    assert_eq!(told(&bench), [enabled(0)]);
    bench.set(1, ON.0, ON.1);
    assert_eq!(told(&bench), [enabled(1)]);
}

#[test]
fn other_attributes_are_read_of_everybody() {
    let bench = bench(2);
    bench.lock().set_unseen(1, "title", Some("Lead"));
    assert_eq!(told(&bench), []);
    bench.lock().replica.selection = "title too".into();
    let told = told(&bench);
    assert_eq!(told.len(), 1);
    assert_eq!(told[0].1.kind(), Kind::AttributesModified);
}

#[test]
fn now_and_then_everything_is_compared_and_a_disable_does_not_wait_for_it() {
    let bench = bench(8);
    bench.lock().set_unseen(7, OFF.0, OFF.1);
    assert_eq!(told(&bench), [], "the changes do not show it");
    bench.sleep(25 * 3600);
    let (pipeline, mut directory) = (bench.pipeline(), bench.directory());
    block_on(async {
        assert!(pipeline.comparison_due()?);
        let mut comparison = Comparison::default();
        let mut steps = 0;
        while !pipeline.compare(&mut directory, &mut comparison).await? {
            steps += 1;
            if steps == 1 {
                bench.set(0, OFF.0, OFF.1);
                pipeline.follow(&mut directory).await?;
                assert_eq!(bench.told().len(), 1, "between two pages");
            }
        }
        assert!(steps > 3 && !pipeline.comparison_due()?);
        Ok(())
    })
    .expect("no faults");
    let told: Vec<_> = bench.told().into_iter().map(|event| event.object).collect();
    assert_eq!(told, [object(7)]);
}

#[test]
fn where_no_cursor_outlives_its_connection_who_was_let_in_meanwhile_does_not_wait() {
    for (forgets, server, waits) in
        [(false, "", true), (true, "", false), (true, "ldap://another", true)]
    {
        let bench = bench(2);
        bench.set(0, OFF.0, OFF.1);
        assert_eq!(told(&bench), [disabled(0)]);
        bench.lock().forgets = forgets;
        bench.lock().replica.server = server.into();
        bench.set(0, ON.0, ON.1);
        bench.lock().forget_cursors();
        let at_once = told(&bench);
        assert_eq!(at_once.is_empty(), waits, "{forgets} {server:?}");
        bench.sleep(SETTLE);
        let later = told(&bench);
        assert_eq!([at_once, later].concat(), [enabled(0)], "{forgets} {server:?}");
    }
}
