//! Members of the directory's groups, in groups of Entra.

use std::collections::{BTreeMap, BTreeSet};

use entra_relay::sandbox::graph::GroupKind;
use uuid::Uuid;

use crate::support::rabbit::Rabbit;
use crate::support::samba::Admin;
use crate::support::site::Site;
use crate::support::wait::eventually;

/// Adds a group and returns its distinguished name.
async fn add_group(admin: &mut Admin, ou: &str, name: &str) -> String {
    let dn = format!("CN={name},{ou}");
    admin.add_object(&dn, &[("objectClass", "group"), ("sAMAccountName", name)]).await;
    dn
}

/// A site where these groups follow those.
fn following(site: Site, groups: &BTreeMap<&String, Uuid>) -> Site {
    let (watch, apply) = (site.watch, site.apply);
    let (watch, apply) = (watch.set("apply.groups", groups), apply.set("apply.groups", groups));
    Site { watch, apply, ..site }
}

/// What was done to the membership of one user in this group: whether it was added, each time.
fn done(site: &Site, group: Uuid, member: Uuid) -> Vec<bool> {
    let log = site.graph.log();
    let of_group = log.iter().filter(|request| request.path.contains(&group.to_string()));
    let steps = of_group.filter_map(|request| match request.method.as_str() {
        "POST" => {
            let named = request.body.json()?["@odata.id"].as_str()?.to_owned();
            named.ends_with(&member.to_string()).then_some(true)
        }
        "DELETE" => request.path.contains(&member.to_string()).then_some(false),
        _ => None,
    });
    steps.collect()
}

#[tokio::test]
async fn members_direct_and_nested_come_and_go_each_in_order() {
    let site = Site::new(Rabbit::shared().await).await;
    let mut admin = site.samba.admin().await;
    let ou = admin.add_ou("Groups").await;
    let sales = add_group(&mut admin, &ou, "Sales").await;
    let inner = add_group(&mut admin, &ou, "Inner").await;
    admin.add_member(&sales, &inner).await;
    let (direct, direct_twin) = site.add_user("direct", true).await;
    let (nested, nested_twin) = site.add_user("nested", false).await;
    let (before, before_twin) = site.add_user("before", true).await;
    admin.add_member(&sales, &before.dn()).await;
    let group = site.graph.add_group(GroupKind::Assigned);
    let site = following(site, &[(&sales, group)].into());
    let (mut watch, mut apply) = site.start().await;
    let members = async |wanted: &[Uuid]| {
        let wanted = BTreeSet::from_iter(wanted.iter().copied());
        eventually("the members are these", async || {
            let now = site.graph.members(group).unwrap();
            if now == wanted { Ok(()) } else { Err(format!("{now:?}, not {wanted:?}")) }
        })
        .await;
    };

    admin.add_member(&sales, &direct.dn()).await;
    members(&[direct_twin]).await;
    admin.add_member(&inner, &nested.dn()).await;
    members(&[direct_twin, nested_twin]).await;
    // Once more, directly: it stays when it leaves the inner group.
    admin.add_member(&sales, &nested.dn()).await;
    admin.remove_member(&inner, &nested.dn()).await;
    admin.add_member(&inner, &direct.dn()).await;
    admin.remove_member(&sales, &direct.dn()).await;
    admin.remove_member(&sales, &nested.dn()).await;
    members(&[direct_twin]).await;

    // The whole inner group goes and comes.
    admin.remove_member(&sales, &inner).await;
    members(&[]).await;
    admin.add_member(&sales, &inner).await;
    members(&[direct_twin]).await;
    for _ in 0..5 {
        admin.remove_member(&inner, &direct.dn()).await;
        admin.add_member(&inner, &direct.dn()).await;
    }
    admin.remove_member(&inner, &direct.dn()).await;
    admin.add_member(&inner, &nested.dn()).await;
    members(&[nested_twin]).await;
    admin.remove_member(&sales, &inner).await;
    members(&[]).await;

    for twin in [direct_twin, nested_twin] {
        let done = done(&site, group, twin);
        let turns = done.iter().enumerate().all(|(at, added)| *added == (at % 2 == 0));
        assert!(turns && done.len() >= 2, "one after the other: {done:?}");
    }
    assert!(
        done(&site, group, before_twin).is_empty(),
        "who was there before is left to reconcile"
    );
    assert_eq!(site.dead_letters().await, 0);
    assert!(watch.terminate().await.success());
    assert!(apply.terminate().await.success());
}

#[tokio::test]
async fn a_group_whose_members_are_not_the_relays_is_refused_with_a_reason() {
    let site = Site::new(Rabbit::shared().await).await;
    let mut admin = site.samba.admin().await;
    let ou = admin.add_ou("Groups").await;
    let kinds = [
        (GroupKind::Dynamic, "a rule decides"),
        (GroupKind::RoleAssignable, "grants directory roles"),
    ];
    let mut groups = BTreeMap::new();
    for (number, (kind, _)) in kinds.iter().enumerate() {
        let name = format!("Closed{number}");
        groups.insert(add_group(&mut admin, &ou, &name).await, site.graph.add_group(*kind));
    }
    let (alice, _) = site.add_user("alice", true).await;
    let site = following(site, &groups.iter().map(|(dn, group)| (dn, *group)).collect());
    let (_watch, _apply) = site.start().await;
    for dn in groups.keys() {
        admin.add_member(dn, &alice.dn()).await;
    }
    eventually("both are dead letters", async || site.dead_letters().await == 2).await;
    let listed = site.apply.run(&["--output", "json", "dead-letters", "list"]).await;
    let listed = String::from_utf8(listed.stdout).unwrap();
    for (_, why) in kinds {
        assert!(listed.contains(why), "{why:?} is not in\n{listed}");
    }
    for group in groups.values() {
        assert_eq!(site.graph.members(*group), Some(BTreeSet::new()));
        let log = site.graph.log();
        let written =
            |method: &str, path: &str| method != "GET" && path.contains(&group.to_string());
        assert!(!log.iter().any(|request| written(&request.method, &request.path)));
    }
}
