use std::collections::BTreeSet;

use base64::{Engine, prelude::BASE64_STANDARD};
use serde_json::{Value, json};
use uuid::Uuid;

use super::{
    compare::Comparison,
    groups::Group,
    person::Person,
    surroundings::{Knowledge, Surroundings},
    tenant::Tenant,
    *,
};
use crate::{
    config::model::Apply,
    consumer::Rules,
    event::{Identity, Reason},
    graph::User,
};

/// A tenant with one user, and how it is compared.
struct World {
    tenant: Tenant,
    rules: Rules,
    surroundings: Surroundings,
    domains: Vec<String>,
    role_holders: Option<BTreeSet<String>>,
    groups: Vec<Group>,
    outsiders: bool,
}

fn object() -> Uuid {
    Uuid::from_u128(7)
}

fn link(object: Uuid) -> String {
    BASE64_STANDARD.encode(object.to_bytes_le())
}

/// The user of [`alice`], with these properties besides.
fn user(properties: Value) -> User {
    let mut all = json!({
        "id": "alice", "accountEnabled": true, "userPrincipalName": "alice@x.example",
        "onPremisesImmutableId": link(object()), "jobTitle": "Clerk",
    });
    all.as_object_mut().expect("object").extend(properties.as_object().expect("object").clone());
    serde_json::from_value(all).expect("user")
}

fn alice() -> Person {
    let values = |name: &str, value: &str| (name.to_owned(), vec![value.to_owned()]);
    Person {
        object: object(),
        identity: Identity {
            sam_account_name: Some("alice".into()),
            user_principal_name: Some("alice@x.example".into()),
            ..Identity::default()
        },
        in_scope: true,
        blocked: None,
        attributes: [values("title", "Clerk"), values("upn", "alice@x.example")].into(),
        groups: BTreeSet::new(),
        dn: "cn=alice,dc=x".into(),
        manager: None,
    }
}

impl World {
    fn new(users: &[User]) -> World {
        let attributes = [("jobTitle", "title"), ("userPrincipalName", "upn")];
        let own = |(property, attribute): (&str, &str)| (property.to_owned(), attribute.to_owned());
        let apply = Apply { attributes: attributes.map(own).into(), ..Apply::default() };
        let tenant = Tenant::new().expect("tenant");
        tenant.add(users).expect("tenant");
        World {
            tenant,
            rules: Rules::new(&apply, &[]).expect("rules"),
            surroundings: Surroundings::default(),
            domains: vec!["x.example".into()],
            role_holders: None,
            groups: Vec::new(),
            outsiders: false,
        }
    }

    fn knowing_gone(mut self, gone: &[Uuid]) -> World {
        let gone = Some(gone.iter().copied().collect());
        self.surroundings.known = Knowledge { gone, ..Knowledge::default() };
        self
    }

    fn comparison(&self) -> Comparison<'_> {
        Comparison {
            source: "ldap:///dc=x",
            rules: &self.rules,
            tenant: &self.tenant,
            domains: &self.domains,
            role_holders: self.role_holders.as_ref(),
            surroundings: &self.surroundings,
            groups: &self.groups,
            outsiders: self.outsiders,
        }
    }

    fn find(&self, person: &Person) -> Vec<Finding> {
        self.comparison().person(person).expect("tenant")
    }

    fn kinds(&self, person: &Person) -> Vec<Kind> {
        self.find(person).iter().map(|finding| finding.kind).collect()
    }
}

#[test]
fn what_another_tool_masters_is_left_to_it() {
    let synced = World::new(&[user(json!({ "onPremisesSyncEnabled": true, "jobTitle": "x" }))]);
    let found = synced.find(&alice());
    assert_eq!(
        (found[0].kind, found[0].what.as_slice()),
        (Kind::Mastered, &["jobTitle".into()][..])
    );
    assert_eq!((found.len(), found[0].kind.mend()), (1, Mend::Source));
    let own = World::new(&[user(json!({ "jobTitle": "x" }))]);
    assert_eq!(own.kinds(&alice()), [Kind::Differs]);
    let blocked = Person { blocked: Some(Reason::Disabled), ..alice() };
    assert_eq!(synced.kinds(&blocked), [Kind::Disabled, Kind::Mastered], "access is not");
}

#[test]
fn a_name_that_entra_would_refuse_is_found_before() {
    let renamed = |name: &str| {
        let mut person = alice();
        person.identity.user_principal_name = Some(name.to_owned());
        person.attributes.insert("upn".into(), vec![name.to_owned()]);
        person
    };
    let other = json!({ "id": "bob", "userPrincipalName": "BOB@x.example",
        "onPremisesImmutableId": link(Uuid::from_u128(8)) });
    let world = World::new(&[user(json!({})), user(other)]);
    assert_eq!(world.kinds(&alice()), []);
    assert_eq!(world.kinds(&renamed("alice2@x.example")), [Kind::Differs]);
    assert_eq!(world.kinds(&renamed("bob@x.example")), [Kind::Taken]);
    let found = world.find(&renamed("alice@y.example"));
    assert_eq!(found[0].kind, Kind::Refused);
    assert!(found[0].what[0].starts_with("y.example is not verified"), "{found:?}");
    // Nobody has it yet, but somebody else is to have it too.
    let twin = Person { object: Uuid::from_u128(9), ..renamed("alice2@x.example") };
    assert_eq!(world.kinds(&twin), [Kind::Missing, Kind::Taken]);
}

#[test]
fn who_takes_no_part_is_found_by_the_link_alone() {
    let outside = Person { in_scope: false, ..alice() };
    let linked = || World::new(&[user(json!({}))]);
    assert_eq!(linked().kinds(&outside), [], "nobody knows whether it ever was in scope");
    assert_eq!(linked().knowing_gone(&[]).kinds(&outside), [], "never");
    assert_eq!(linked().knowing_gone(&[object()]).kinds(&outside), [Kind::Blocked]);
    let mut asked = linked().knowing_gone(&[]);
    asked.outsiders = true;
    assert_eq!(asked.kinds(&outside), [Kind::Outsider]);
    for other in [json!({ "accountEnabled": false }), json!({ "onPremisesImmutableId": null })] {
        let world = World::new(&[user(other)]).knowing_gone(&[object()]);
        assert_eq!(world.kinds(&outside), []);
    }
}

#[test]
fn who_is_not_in_the_directory_was_deleted_or_never_known() {
    let orphan = |gone: Option<&[Uuid]>| {
        let world = World::new(&[]);
        let world = match gone {
            Some(gone) => world.knowing_gone(gone),
            None => world,
        };
        world.comparison().orphan(&user(json!({}))).map(|finding| finding.kind)
    };
    assert_eq!(orphan(Some(&[object()])), Some(Kind::Deleted));
    assert_eq!(orphan(Some(&[])), Some(Kind::Orphan));
    assert_eq!(orphan(None), Some(Kind::Deleted));
    let blocked = user(json!({ "accountEnabled": false }));
    assert_eq!(World::new(&[]).comparison().orphan(&blocked), None);
}

#[test]
fn what_it_takes_to_change_an_administrator_is_said() {
    let mut world = World::new(&[user(json!({}))]);
    let blocked = Person { blocked: Some(Reason::Expired), ..alice() };
    assert_eq!(world.find(&blocked)[0].what, [""; 0], "not readable");
    world.role_holders = Some(["alice".to_owned()].into());
    assert!(world.find(&blocked)[0].what[0].contains("directory role"));
    assert_eq!(world.kinds(&alice()), []);
}

#[test]
fn memberships_are_compared_of_those_who_take_part() {
    let mut world = World::new(&[user(json!({}))]);
    let group = Group { name: "CN=Sales".into(), object: Uuid::from_u128(1), entra: "g".into() };
    let member = Person { groups: [group.object].into(), ..alice() };
    world.groups.push(group);
    let found = world.find(&member);
    assert_eq!((found[0].kind, found[0].group.as_deref()), (Kind::NotMember, Some("CN=Sales")));
    assert_eq!(world.kinds(&alice()), []);
    world.tenant.add_members("g", &[user(json!({}))]).expect("tenant");
    assert_eq!(world.kinds(&member), []);
    assert_eq!(world.kinds(&alice()), [Kind::Member]);
    assert_eq!(world.kinds(&Person { in_scope: false, ..alice() }), []);
}

#[test]
fn managers_are_compared_where_both_have_a_user_in_entra() {
    let boss = json!({ "id": "boss", "userPrincipalName": "boss@x.example",
        "onPremisesImmutableId": link(Uuid::from_u128(8)) });
    let find = |manager: Value, wanted: Option<&str>| {
        let world = World::new(&[user(json!({ "manager": manager })), user(boss.clone())]);
        let wanted = Some(wanted.map(str::to_owned));
        let mut found = world.kinds(&Person { manager: wanted, ..alice() });
        let mut boss = Person { object: Uuid::from_u128(8), dn: "cn=boss,dc=x".into(), ..alice() };
        boss.identity.user_principal_name = Some("boss@x.example".into());
        boss.attributes.clear();
        found.extend(world.kinds(&boss));
        world.tenant.managers(|finding| found.push(finding.kind)).expect("tenant");
        found
    };
    let (is_boss, is_other) = (json!({ "id": "boss" }), json!({ "id": "other" }));
    let boss = Some("cn=boss,dc=x");
    assert_eq!(find(is_boss.clone(), boss), []);
    assert_eq!(find(is_other.clone(), boss), [Kind::Manager]);
    assert_eq!(find(Value::Null, boss), [Kind::Manager]);
    assert_eq!(find(is_other.clone(), None), [Kind::Manager]);
    assert_eq!(find(Value::Null, None), []);
    assert_eq!(find(is_other, Some("cn=stranger,dc=x")), [], "whom Entra does not have");
}
