//! Attributes that are told together, and attributes that name other users.

use std::collections::BTreeMap;

use super::{bench::*, world::*};
use crate::{
    config::model,
    event::{Detail, Kind, Reference},
    mapping::Attributes,
    watcher::held::Choice,
};

/// Of three users, the first one called Ada Lovelace.
fn bench(guard: model::Guard) -> Bench {
    let mut bench = Bench::new(guard);
    bench.mappings =
        mappings(&[("displayName", "{{ givenName }} {{ sn }}"), ("manager", "manager")]);
    for index in 0..3 {
        bench.lock().create(index);
    }
    bench.set(0, "givenname", Some("Ada"));
    bench.set(0, "sn", Some("Lovelace"));
    assert!(bench.run(), "the baseline");
    assert_eq!(bench.told(), []);
    bench
}

/// What is told of each user.
fn told(bench: &Bench) -> Vec<(usize, Detail)> {
    assert!(bench.run());
    let events = bench.told().into_iter();
    events.map(|event| (event.object.as_u128() as usize - 1, event.detail)).collect()
}

fn names(given: &str, last: &[&str]) -> (usize, Detail) {
    let last = last.iter().map(|&name| name.to_owned()).collect();
    let names = [("givenName".to_owned(), vec![given.to_owned()]), ("sn".to_owned(), last)];
    (0, Detail::modified(Attributes::from(names)))
}

/// The first user's manager, as the directory writes it.
fn link(index: usize, place: &str) -> String {
    format!("<GUID={}>;CN=boss,{place}", object(index))
}

fn manager(bench: &Bench, index: Option<usize>) -> (usize, Detail) {
    let reference = index.map(|index| {
        let record = bench.store.record(object(index)).expect("store").expect("known");
        Reference { object: object(index), identity: record.identity }
    });
    let references = BTreeMap::from([("manager".to_owned(), reference)]);
    (0, Detail::AttributesModified { attributes: Attributes::new(), references })
}

#[test]
fn the_attributes_of_a_template_are_told_together_and_only_what_was_blanked_counts() {
    let bench = bench(model::Guard { max_blanked: 0, ..model::Guard::default() });
    bench.set(0, "givenname", Some("Augusta"));
    assert_eq!(told(&bench), [names("Augusta", &["Lovelace"])]);
    // None has a last name from the beginning, so nobody loses one.
    bench.set(1, "givenname", Some("Eve"));
    let [(1, Detail::AttributesModified { attributes, .. })] = &told(&bench)[..] else {
        panic!("one change");
    };
    assert_eq!(attributes["sn"], [""; 0]);
    assert_eq!(bench.store.held_users().expect("store"), 0);
}

#[test]
fn a_template_waits_while_one_of_its_attributes_is_held() {
    let bench = bench(model::Guard { max_blanked: 0, ..model::Guard::default() });
    let blank = |bench: &Bench| {
        bench.set(0, "sn", None);
        assert_eq!(told(bench), [], "held");
    };
    blank(&bench);
    bench.set(0, "givenname", Some("Augusta"));
    assert_eq!(told(&bench), [], "waits");
    bench.set(0, "sn", Some("Lovelace"));
    assert_eq!(told(&bench), [names("Augusta", &["Lovelace"])], "released");
    blank(&bench);
    bench.set(0, "givenname", Some("Ada"));
    assert_eq!(told(&bench), []);
    assert!(bench.approve());
    assert_eq!(told(&bench), [names("Ada", &[])], "approved");

    bench.set(0, "sn", Some("King"));
    assert_eq!(told(&bench), [names("Ada", &["King"])]);
    blank(&bench);
    bench.set(0, "givenname", Some("Augusta"));
    assert_eq!(told(&bench), []);
    assert_eq!(bench.pipeline().reject(&Choice::default()).expect("store"), 1);
    assert_eq!(told(&bench), [names("Augusta", &[])], "rejected, and what waited is told");
}

#[test]
fn a_manager_is_told_as_who_that_is_and_stays_the_same_under_any_name() {
    let bench = bench(model::Guard::default());
    bench.set(0, "manager", Some(&link(1, "OU=a")));
    assert_eq!(told(&bench), [manager(&bench, Some(1))]);
    bench.set(0, "manager", Some(&link(1, "OU=moved")));
    assert_eq!(told(&bench), []);
    bench.set(1, "userprincipalname", Some("chief@x"));
    let renamed: Vec<_> = told(&bench).into_iter().map(|(of, it)| (of, it.kind())).collect();
    assert_eq!(renamed, [(1, Kind::UserRenamed)]);
    bench.set(0, "manager", Some(&link(2, "OU=a")));
    assert_eq!(told(&bench), [manager(&bench, Some(2))]);
    bench.set(0, "manager", Some(&link(7, "OU=contacts")));
    assert_eq!(told(&bench), [manager(&bench, None)], "no user");
    bench.set(0, "manager", None);
    assert_eq!(told(&bench), [], "nobody before, nobody now");
}

#[test]
fn with_a_manager_who_is_deleted_nobody_remains_and_who_comes_back_is_it_again() {
    let bench = bench(model::Guard::default());
    bench.set(0, "manager", Some(&link(1, "OU=a")));
    bench.set(2, "manager", Some(&link(0, "OU=a")));
    assert_eq!(told(&bench).len(), 2);
    bench.set(1, "isdeleted", Some("TRUE"));
    bench.lock().set_unseen(0, "manager", None);
    assert_eq!(told(&bench), [(1, Detail::UserDeleted), manager(&bench, None)]);
    bench.set(1, "isdeleted", None);
    bench.lock().set_unseen(0, "manager", Some(&link(1, "OU=a")));
    let told = told(&bench);
    assert_eq!(told[0].1.kind(), Kind::AccountEnabled);
    assert_eq!(told[1..], [manager(&bench, Some(1))]);
}

#[test]
fn many_managers_that_go_at_once_are_held() {
    let bench = bench(model::Guard { max_blanked: 0, ..model::Guard::default() });
    bench.set(0, "manager", Some(&link(1, "OU=a")));
    assert_eq!(told(&bench), [manager(&bench, Some(1))]);
    bench.set(0, "manager", None);
    assert_eq!(told(&bench), []);
    assert!(bench.approve());
    assert_eq!(told(&bench), [manager(&bench, None)]);
    bench.set(0, "manager", Some(&link(1, "OU=a")));
    assert_eq!(told(&bench), [manager(&bench, Some(1))]);
    bench.set(0, "manager", None);
    assert_eq!(told(&bench), []);
    bench.set(0, "manager", Some(&link(1, "OU=a")));
    assert_eq!(told(&bench), [], "as it was");
    assert_eq!(bench.store.held_users().expect("store"), 0);
}

#[test]
fn a_bare_name_is_asked_for() {
    let bench = bench(model::Guard::default());
    let dn = bench.lock().dn(object(1));
    bench.set(0, "manager", Some(&dn));
    assert_eq!(told(&bench), [manager(&bench, Some(1))]);
    bench.set(0, "manager", Some("CN=nobody"));
    assert_eq!(told(&bench), [manager(&bench, None)]);
    let dn = bench.lock().dn(object(2));
    bench.set(0, "manager", Some(&dn));
    assert_eq!(told(&bench), [manager(&bench, Some(2))]);
}
