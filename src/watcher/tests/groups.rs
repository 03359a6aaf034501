//! Members of groups, by the changes that a directory tells of them.

use uuid::Uuid;

use super::{bench::*, world::*};
use crate::{
    config::model,
    directory::{Entry, dn::normalised},
    event::Detail,
    watcher::{
        guard::Reading,
        pipeline::{Passage, WatchError},
        store::Surroundings,
    },
};

const SALES: &str = "CN=Sales,DC=x";
const OUTER: Uuid = Uuid::from_u128(77);
const INNER: Uuid = Uuid::from_u128(78);
const INMOST: Uuid = Uuid::from_u128(79);

/// Of two users, none of them in the group that is followed.
fn bench() -> Bench {
    let mut bench = Bench::new(model::Guard::default());
    bench.groups = vec![SALES.into()];
    for index in 0..2 {
        bench.lock().create(index);
    }
    assert!(bench.run(), "the baseline");
    let sales = Surroundings {
        named: [(normalised(SALES), OUTER)].into(),
        groups: [OUTER].into(),
        established: [OUTER].into(),
        ..Surroundings::default()
    };
    bench.store.surround(&sales).expect("store");
    bench
}

/// What follows from these entries of the directory: who is in the group from then on, and who not.
fn told(bench: &Bench, entries: Vec<Entry>) -> Vec<(usize, bool)> {
    let (pipeline, mut directory) = (bench.pipeline(), bench.directory());
    let done = block_on(async {
        pipeline.take(&mut directory, entries, None, &mut Passage::default()).await?;
        pipeline.settle_due(&mut directory, &mut Reading::default()).await?;
        Ok::<_, WatchError>(())
    });
    done.expect("taken in");
    let events = bench.told().into_iter().map(|event| match event.detail {
        Detail::MembershipChanged { member, .. } => (event.object.as_u128() as usize - 1, member),
        other => panic!("{other:?}"),
    });
    events.collect()
}

/// A change of a group, as the directory tells it.
fn entry(group: Uuid, name: &str, values: &[&str]) -> Entry {
    let values = values.iter().map(|value| value.as_bytes().to_vec()).collect();
    let attributes = [(name.to_owned(), values)].into();
    Entry { object: group, dn: format!("CN={group}"), attributes, complete: false }
}

/// Changes who is in a group, and returns what the directory tells of it.
fn set(bench: &Bench, group: Uuid, member: Uuid, is_one: bool) -> Entry {
    bench.lock().link(group, member, is_one);
    let range = if is_one { "member;range=1-1" } else { "member;range=0-0" };
    entry(group, range, &[&format!("<GUID={member}>;CN=x")])
}

#[test]
fn a_nested_membership_flips_only_with_the_last_way_in() {
    let bench = bench();
    let change = |group, member, is_one| told(&bench, vec![set(&bench, group, member, is_one)]);
    assert_eq!(change(OUTER, INNER, true), [], "an empty group");
    assert_eq!(change(INNER, INMOST, true), []);
    assert_eq!(change(INMOST, object(0), true), [(0, true)], "three steps down");
    assert_eq!(change(OUTER, object(0), true), [], "in it already");
    assert_eq!(change(INMOST, object(0), false), [], "still in it");
    assert_eq!(change(INNER, object(0), true), []);
    assert_eq!(change(OUTER, object(0), false), []);
    assert_eq!(change(OUTER, INNER, false), [(0, false)], "with the group it was in");
    assert_eq!(change(INNER, object(1), true), [], "a group that does not matter now");
    assert_eq!(change(OUTER, INNER, true), [(0, true), (1, true)]);
    // Groups that are in each other end nothing and keep nobody in.
    assert_eq!(change(INMOST, INNER, true), []);
    assert_eq!(change(OUTER, INNER, false), [(0, false), (1, false)]);
}

#[test]
fn what_is_taken_in_together_is_told_as_it_ends() {
    let bench = bench();
    let there_and_back = vec![
        set(&bench, OUTER, object(0), true),
        set(&bench, OUTER, object(0), false),
        set(&bench, OUTER, object(1), true),
    ];
    assert_eq!(told(&bench, there_and_back), [(1, true)]);
    assert_eq!(told(&bench, vec![set(&bench, OUTER, object(1), true)]), [], "told twice");
}

#[test]
fn a_group_that_is_deleted_loses_its_members_and_one_that_comes_back_has_those_it_has_then() {
    let bench = bench();
    let join = |group, member| told(&bench, vec![set(&bench, group, member, true)]);
    join(OUTER, INNER);
    assert_eq!(join(OUTER, object(0)), [(0, true)]);
    assert_eq!(join(INNER, object(1)), [(1, true)]);
    let deleted = |group| entry(group, "isdeleted", &["TRUE"]);
    let undeleted = |group| entry(group, "isdeleted", &[]);
    assert_eq!(told(&bench, vec![deleted(INNER)]), [(1, false)]);
    assert_eq!(told(&bench, vec![undeleted(INNER)]), [(1, true)], "with the recycle bin");
    assert_eq!(told(&bench, vec![deleted(OUTER)]), [(0, false), (1, false)]);
    bench.lock().link(OUTER, object(0), false);
    assert_eq!(told(&bench, vec![undeleted(OUTER)]), [(1, true)]);
    assert_eq!(told(&bench, vec![deleted(INNER)]), [(1, false)]);
    bench.lock().link(OUTER, INNER, false);
    assert_eq!(told(&bench, vec![undeleted(INNER)]), [], "it is in no group any more");
}
