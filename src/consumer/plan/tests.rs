use std::collections::BTreeMap;

use jiff::Timestamp;
use serde_json::json;
use uuid::Uuid;

use super::*;
use crate::{config::model::Apply, event::Identity};

fn event(detail: Detail) -> Event {
    let identity = Identity { sam_account_name: Some("alice".into()), ..Identity::default() };
    Event::new("ldap:///dc=x", Uuid::from_u128(7), 1, Timestamp::UNIX_EPOCH, identity, detail)
}

fn attributes(values: &[(&str, &[&str])]) -> Event {
    let own = |(name, values): &(&str, &[&str])| {
        ((*name).to_owned(), values.iter().map(|&value| value.to_owned()).collect())
    };
    event(Detail::modified(values.iter().map(own).collect()))
}

fn user(json: Value) -> User {
    let mut json = json;
    json["id"] = json!("u-1");
    serde_json::from_value(json).expect("user")
}

fn rules(change: impl FnOnce(&mut Apply)) -> Rules {
    let own = |(property, attribute): (&str, &str)| (property.to_owned(), attribute.to_owned());
    let mut apply = Apply {
        attributes: [("jobTitle", "title"), ("city", "l"), ("businessPhones", "telephoneNumber")]
            .map(own)
            .into(),
        ..Apply::default()
    };
    change(&mut apply);
    Rules::new(&apply, &["svc-*".into(), "u-9".into()]).expect("rules")
}

fn actions(event: &Event, user: &User, rules: &Rules) -> Vec<Action> {
    match plan(event, user, rules, &current()) {
        Plan::Do { actions, refused, ceded: 0 } if refused.is_empty() => actions,
        other => panic!("{other:?}"),
    }
}

fn current() -> Known {
    Known { trusted: true, ..Known::default() }
}

const DISABLED: Detail = Detail::AccountDisabled { reason: Reason::Disabled };
const ENABLED: Detail = Detail::AccountEnabled { ended: Reason::Disabled };
const BLOCK: [Action; 3] = [Action::Block, Action::Revoke, Action::VerifyBlocked];

#[test]
fn a_disable_blocks_revokes_and_verifies_even_where_it_seems_done() {
    let synced = user(json!({ "onPremisesSyncEnabled": true, "accountEnabled": false }));
    assert_eq!(actions(&event(DISABLED), &synced, &rules(|_| {})), BLOCK);
    assert_eq!(actions(&event(ENABLED), &synced, &rules(|_| {})), [Action::Allow]);
    let only_block = rules(|apply| apply.on_disabled = vec![OnDisabled::BlockSignIn]);
    assert_eq!(actions(&event(DISABLED), &synced, &only_block), [Action::Block]);
    let changed = Detail::PasswordChanged { must_change: false };
    assert_eq!(actions(&event(changed), &synced, &rules(|_| {})), [Action::Revoke]);
}

#[test]
fn the_end_of_an_ignored_reason_is_ignored_too() {
    let skipped = |detail: Detail, rules: &Rules| skip_unseen(&event(detail), rules).is_some();
    let ignored = rules(|apply| apply.on_deleted = OnDeleted::Ignore);
    for detail in [
        Detail::UserDeleted,
        Detail::AccountDisabled { reason: Reason::Deleted },
        Detail::AccountEnabled { ended: Reason::Deleted },
    ] {
        assert!(skipped(detail.clone(), &ignored), "{detail:?}");
        assert!(!skipped(detail, &rules(|_| {})));
    }
    assert!(!skipped(ENABLED, &ignored));
    let never_blocks = rules(|apply| apply.on_disabled = vec![OnDisabled::RevokeSessions]);
    assert!(!skipped(DISABLED, &never_blocks));
    assert!(skipped(ENABLED, &never_blocks));
    assert!(skipped(ENABLED, &rules(|apply| apply.on_enabled = Vec::new())));
}

#[test]
fn a_deletion_never_deletes_whom_another_tool_syncs() {
    let deletes = rules(|apply| apply.on_deleted = OnDeleted::Delete);
    let deleted = event(Detail::UserDeleted);
    let cloud_only = user(json!({ "onPremisesSyncEnabled": null }));
    let synced = user(json!({ "onPremisesSyncEnabled": true }));
    assert_eq!(actions(&deleted, &cloud_only, &deletes), [Action::Delete]);
    assert_eq!(actions(&deleted, &synced, &deletes), BLOCK);
    assert_eq!(actions(&deleted, &cloud_only, &rules(|_| {})), BLOCK);
}

#[test]
fn only_mapped_properties_that_differ_are_written() {
    let event = attributes(&[("TITLE", &["Boss"]), ("l", &["Bonn"]), ("info", &["x"])]);
    let reads = user(json!({ "jobTitle": "Clerk", "city": "Bonn" }));
    let expected = json!({ "jobTitle": "Boss" }).as_object().cloned().expect("object");
    assert_eq!(actions(&event, &reads, &rules(|_| {})), [Action::Update(expected)]);
    let same = user(json!({ "jobTitle": "Boss", "city": "Bonn" }));
    assert_eq!(plan(&event, &same, &rules(|_| {}), &current()), Plan::Skip(Skip::Unchanged));
    let both = json!({ "jobTitle": "Boss", "city": "Bonn" }).as_object().cloned().expect("object");
    let untrusted = Plan::Do { actions: vec![Action::Update(both)], refused: Vec::new(), ceded: 0 };
    assert_eq!(plan(&event, &same, &rules(|_| {}), &Known::default()), untrusted);
    let synced = user(json!({ "onPremisesSyncEnabled": true }));
    let ceded = Plan::Do { actions: Vec::new(), refused: Vec::new(), ceded: 2 };
    assert_eq!(plan(&event, &synced, &rules(|_| {}), &current()), ceded);
    let unmapped = attributes(&[("info", &["x"])]);
    assert_eq!(plan(&unmapped, &same, &rules(|_| {}), &current()), Plan::Skip(Skip::NotConfigured));
}

#[test]
fn what_was_cleared_becomes_null_or_an_empty_list() {
    let event = attributes(&[("title", &[]), ("telephoneNumber", &[])]);
    let reads = user(json!({ "jobTitle": "Clerk", "businessPhones": ["1"] }));
    let expected = json!({ "jobTitle": null, "businessPhones": [] });
    let expected = expected.as_object().cloned().expect("object");
    assert_eq!(actions(&event, &reads, &rules(|_| {})), [Action::Update(expected)]);
}

#[test]
fn one_bad_value_does_not_hold_the_others_back() {
    let long = "x".repeat(129);
    let event = attributes(&[("title", &[&long]), ("l", &["Bonn"])]);
    let plan = plan(&event, &user(json!({})), &rules(|_| {}), &current());
    let Plan::Do { actions, refused, .. } = plan else {
        panic!("skipped");
    };
    assert_eq!(actions[0].to_string(), "update city");
    assert_eq!(refused, ["jobTitle takes 128 characters, the value has 129"]);
}

#[test]
fn protected_accounts_and_unasked_events_are_skipped() {
    let mut service = event(DISABLED);
    service.identity.sam_account_name = Some("SVC-backup".into());
    assert_eq!(skip_unseen(&service, &rules(|_| {})), Some(Skip::Protected));
    let cloud = serde_json::from_value(json!({ "id": "U-9" })).expect("user");
    let skip = plan(&event(DISABLED), &cloud, &rules(|_| {}), &current());
    assert_eq!(skip, Plan::Skip(Skip::Protected));
    let previous = Box::new(Identity::default());
    for detail in [
        Detail::UserCreated { enabled: false },
        Detail::UserRenamed { previous },
        Detail::modified(BTreeMap::new()),
    ] {
        let no_mapping = rules(|apply| apply.attributes.clear());
        assert_eq!(skip_unseen(&event(detail), &no_mapping), Some(Skip::NotConfigured));
    }
}

#[test]
fn what_graph_refused_is_ceded_and_the_rest_written() {
    let event = attributes(&[("title", &["Boss"]), ("l", &["Bonn"])]);
    let known = Known { ceded: ["jobTitle".into()].into(), ..current() };
    let Plan::Do { actions, ceded, .. } = plan(&event, &user(json!({})), &rules(|_| {}), &known)
    else {
        panic!("skipped");
    };
    assert_eq!((actions[0].to_string().as_str(), ceded), ("update city", 1));
}

#[test]
fn formerly_synced_and_converted_users_are_like_any_other() {
    let event = attributes(&[("title", &["Boss"])]);
    for state in [json!(false), json!(null)] {
        let user = user(json!({ "onPremisesSyncEnabled": state }));
        assert_eq!(actions(&event, &user, &rules(|_| {}))[0].to_string(), "update jobTitle");
    }
}

#[test]
fn only_an_unlinked_user_of_ours_is_linked_and_after_everything_else() {
    let links = rules(|apply| apply.link = true);
    let ours = event(DISABLED).immutable_ids().remove(0);
    let unlinked = actions(&event(DISABLED), &user(json!({})), &links);
    assert_eq!(unlinked.last(), Some(&Action::Link(ours.clone())));
    for linked in
        [json!({ "onPremisesImmutableId": ours }), json!({ "onPremisesSyncEnabled": true })]
    {
        assert_eq!(actions(&event(DISABLED), &user(linked), &links), BLOCK);
    }
    assert_eq!(actions(&event(DISABLED), &user(json!({})), &rules(|_| {})), BLOCK);
}

#[test]
fn membership_and_names_follow_only_where_they_are_mapped() {
    let member = |member| Detail::MembershipChanged { group: "CN=A,DC=x".into(), member };
    let grouped = rules(|apply| {
        apply.groups.insert("cn=a,dc=X".into(), "g-1".into());
        apply.upn_suffixes.insert("x".into(), "y".into());
        apply.attributes.insert("userPrincipalName".into(), "userPrincipalName".into());
    });
    let nobody = user(json!({}));
    assert_eq!(actions(&event(member(true)), &nobody, &grouped), [Action::Join("g-1".into())]);
    assert_eq!(actions(&event(member(false)), &nobody, &grouped), [Action::Leave("g-1".into())]);
    assert!(skip_unseen(&event(member(true)), &rules(|_| {})).is_some());
    let mut renamed = event(Detail::UserRenamed { previous: Box::default() });
    renamed.identity.user_principal_name = Some("ada@x".into());
    let body = json!({ "userPrincipalName": "ada@y" }).as_object().cloned().expect("object");
    assert_eq!(actions(&renamed, &nobody, &grouped), [Action::Update(body)]);
    let same = user(json!({ "userPrincipalName": "ada@y" }));
    assert_eq!(plan(&renamed, &same, &grouped, &current()), Plan::Skip(Skip::Unchanged));
}
