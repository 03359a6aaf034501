use std::collections::{BTreeMap, BTreeSet};

use redb::backends::InMemoryBackend;

use super::*;
use crate::{
    config::model,
    watcher::{
        guard::release,
        held::{self, Choice},
        record::Part,
        store::{Batch, Store},
    },
};

const SALES: &str = "CN=Sales, DC=x";

fn member(is_one: bool) -> Detail {
    Detail::MembershipChanged { group: SALES.into(), member: is_one }
}

fn record(groups: &[&str]) -> Record {
    let mut record = Record { part: Part::Inside, ..Record::default() };
    record.told.groups = groups.iter().map(|group| normalised(group)).collect();
    record
}

/// Who was in `before` and is in `now`, as told by these details.
fn change(before: &[&str], now: &[&str], details: Vec<Detail>) -> Change {
    Change {
        object: Uuid::from_u128(1),
        known: Some(record(before)),
        record: record(now),
        details,
        before: Holdings::new(),
        held: Holdings::new(),
        takes_part: true,
        enters: true,
        approved: BTreeSet::new(),
        again: None,
        spent: Vec::new(),
        values: BTreeMap::new(),
        groups: BTreeMap::new(),
    }
}

fn hold(mut change: Change) -> Change {
    let guard = Guard::from_config(&model::Guard::default());
    let verdict = BTreeMap::from([(Loss::RemoveMember, 1)]);
    change.sift(&guard, &verdict, Timestamp::UNIX_EPOCH, false);
    change
}

#[test]
fn a_removal_that_is_held_was_not_told() {
    let guard = Guard::from_config(&model::Guard::default());
    let left = change(&[SALES], &[], vec![member(false), member(true)]);
    let mut weights = Weights::new();
    left.weigh(&guard, false, &mut weights);
    assert_eq!(weights, [(Loss::RemoveMember, Weight { users: 1, amount: 1 })].into());
    let held = hold(left);
    assert_eq!(held.details, [member(true)], "who joins is told");
    assert!(held.record.told.groups.contains("cn=sales,dc=x"));
    assert!(held.held[&Loss::RemoveMember].names.contains(SALES));
    // Seen once more, it counts no more.
    let mut again = change(&[SALES], &[], vec![member(false)]);
    again.held = held.held;
    let mut weights = Weights::new();
    again.weigh(&guard, false, &mut weights);
    assert!(weights.is_empty());
    again.sift(&guard, &Verdict::new(), Timestamp::UNIX_EPOCH, false);
    assert!(again.details.is_empty() && again.record.told.groups.len() == 1);
}

#[test]
fn an_approved_removal_is_told_and_one_that_flips_back_is_forgotten() {
    let held = hold(change(&[SALES], &[], vec![member(false)])).held;
    let mut approved = change(&[SALES], &[], vec![member(false)]);
    approved.held = held.clone();
    approved.approve(&[Loss::RemoveMember].into());
    let approved = hold(approved);
    assert_eq!(approved.details, [member(false)]);
    assert!(approved.held.is_empty() && approved.record.told.groups.is_empty());

    let release = |state, is_member: bool| {
        let mut held = held.clone();
        release(&mut held, state, |_| false, |group| is_member && group == SALES);
        held
    };
    assert_eq!(release(Some(None), false), held);
    assert!(release(Some(None), true).is_empty(), "a member again");
    assert!(release(Some(Some(crate::event::Reason::Deleted)), false).is_empty());
    assert!(release(None, false).is_empty(), "takes no part");
}

#[test]
fn a_rejected_removal_is_taken_as_told() {
    let held = hold(change(&[SALES], &[], vec![member(false)]));
    let store = Store::on(InMemoryBackend::new(), "ldap:///dc=x").expect("store");
    let batch = Batch {
        records: [(held.object, held.record)].into(),
        held: [(held.object, held.held)].into(),
        ..Batch::default()
    };
    store.apply(&batch).expect("store");
    assert_eq!(held::reject(&store, &Choice::default(), Timestamp::UNIX_EPOCH).expect("store"), 1);
    let record = store.record(batch.records.into_keys().next().expect("one")).expect("store");
    assert!(record.expect("known").told.groups.is_empty());
    assert_eq!(store.held_users().expect("store"), 0);
}

#[test]
fn who_joins_waits_where_the_server_may_lag_and_who_leaves_does_not() {
    let mut joins = change(&[], &[SALES], vec![member(true)]);
    assert!(joins.postpone());
    assert!(joins.details.is_empty() && joins.record.told.groups.is_empty());
    let mut leaves = change(&[SALES], &[], vec![member(false)]);
    assert!(!leaves.postpone());
    assert_eq!(leaves.details, [member(false)]);
}
