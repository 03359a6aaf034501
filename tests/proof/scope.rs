//! Who takes part: by place, by group and by name, when the directory changes and when the
//! configuration does.

use serde_json::Value;

use crate::support::relay::Setup;
use crate::support::samba::Samba;
use crate::support::told::{
    CREATED, DISABLED, ENABLED, MODIFIED, Story, enabled, setup, tenant, twin, writes,
};

#[tokio::test]
async fn a_place_decides_also_when_a_whole_unit_moves() {
    let samba = Samba::shared().await;
    let graph = tenant().await;
    let mut admin = samba.admin().await;
    let staff = admin.add_ou("scope-staff").await;
    let outside = admin.add_ou("scope-outside").await;
    let labs = admin.add_ou("scope-labs,OU=scope-staff").await;
    let team = admin.add_ou("scope-team,OU=scope-staff").await;
    let inner = admin.add_ou("scope-inner,OU=scope-team,OU=scope-staff").await;
    let guests = admin.add_ou("scope-guests,OU=scope-outside").await;
    let one = admin.add_user(&team, "place-one").await;
    let two = admin.add_user(&inner, "place-two").await;
    let single = admin.add_user(&staff, "place-single").await;
    let guest = admin.add_user(&guests, "place-guest").await;
    let service = admin.add_user(&staff, "place-svc").await;
    let connect = admin.add_user(&staff, "MSOL_place").await;
    let lab = admin.add_user(&labs, "place-lab").await;
    let twins = [&one, &two, &single, &guest].map(|user| twin(&graph, user));
    let untouched = [&service, &connect, &lab].map(|user| twin(&graph, user));
    graph.set(twins[3], "accountEnabled", false);
    let setup = setup(samba, &graph)
        .await
        .set("scope.organizational_units", [&staff])
        .set("scope.exclude", ["*-svc", &labs]);
    let mut relay = setup.start(&["run"]);
    relay.ready().await;
    let mut story = Story::default();

    // One user out and in, and within.
    admin.move_to(&single, &outside).await;
    story.goes_on(&relay, &[[DISABLED, "place-single"]]).await;
    enabled(&graph, twins[2], false).await;
    admin.move_to(&single, &staff).await;
    story.goes_on(&relay, &[[ENABLED, "place-single"]]).await;
    enabled(&graph, twins[2], true).await;
    admin.move_to(&single, &inner).await;
    admin.replace(&single, "title", &["Lead"]).await;
    story.goes_on(&relay, &[[MODIFIED, "place-single"]]).await;

    // A whole unit with one below it: of the users nothing is reported.
    let all = [DISABLED, ENABLED]
        .map(|kind| [[kind, "place-one"], [kind, "place-two"], [kind, "place-single"]]);
    let rdn = "OU=scope-team";
    admin.rename(&team, rdn, Some(&outside)).await;
    story.goes_on(&relay, &all[0]).await;
    for twin in &twins[..3] {
        enabled(&graph, *twin, false).await;
    }
    admin.rename(&format!("{rdn},{outside}"), rdn, Some(&staff)).await;
    story.goes_on(&relay, &all[1]).await;
    for twin in &twins[..3] {
        enabled(&graph, *twin, true).await;
    }
    // Called otherwise, the units in scope stay in it, and what is below an excluded one out of it.
    admin.rename(&team, "OU=scope-crew", None).await;
    admin.rename(&labs, "OU=scope-workshops", None).await;
    admin.rename(&staff, "OU=scope-people", None).await;
    let people = staff.replace("scope-staff", "scope-people");
    admin.disable(&two).await;
    story.goes_on(&relay, &[[DISABLED, "place-two"]]).await;

    // Who comes in with a unit is unblocked by nothing.
    admin.rename(&guests, "OU=scope-guests", Some(&people)).await;
    story.goes_on(&relay, &[[CREATED, "place-guest"]]).await;
    admin.replace(&guest, "title", &["Guest"]).await;
    story.goes_on(&relay, &[[MODIFIED, "place-guest"]]).await;
    enabled(&graph, twins[3], false).await;

    for user in [&service, &connect, &lab] {
        admin.disable(user).await;
        admin.replace(user, "title", &["Lead"]).await;
    }
    admin.delete(&service).await;
    admin.enable(&two).await;
    story.goes_on(&relay, &[[ENABLED, "place-two"]]).await;
    assert_eq!(untouched.map(|twin| writes(&graph, twin)), [0; 3]);
}

#[tokio::test]
async fn membership_decides_also_through_a_group_in_a_group() {
    let samba = Samba::shared().await;
    let graph = tenant().await;
    let mut admin = samba.admin().await;
    let ou = admin.add_ou("scope-groups").await;
    let [outer, inner] = ["outer", "inner"].map(|name| format!("CN=group-{name},{ou}"));
    for (dn, name) in [(&outer, "group-outer"), (&inner, "group-inner")] {
        let attributes = [("objectClass", "group"), ("sAMAccountName", name)];
        admin.add_object(dn, &attributes).await;
    }
    admin.add_member(&outer, &inner).await;
    let direct = admin.add_user(&ou, "group-direct").await;
    let nested = admin.add_user(&ou, "group-nested").await;
    let other = admin.add_user(&ou, "group-other").await;
    let twins = [&direct, &nested, &other].map(|user| twin(&graph, user));
    graph.set(twins[1], "accountEnabled", false);
    admin.add_member(&outer, &direct.dn()).await;
    let setup = setup(samba, &graph).await.set("scope.groups", [&outer]);
    let mut relay = setup.start(&["run"]);
    relay.ready().await;
    let mut story = Story::default();

    admin.add_member(&inner, &nested.dn()).await;
    story.goes_on(&relay, &[[CREATED, "group-nested"]]).await;
    admin.disable(&nested).await;
    story.goes_on(&relay, &[[DISABLED, "group-nested"]]).await;
    admin.enable(&nested).await;
    story.goes_on(&relay, &[[ENABLED, "group-nested"]]).await;
    enabled(&graph, twins[1], true).await;
    admin.remove_member(&inner, &nested.dn()).await;
    story.goes_on(&relay, &[[DISABLED, "group-nested"]]).await;
    enabled(&graph, twins[1], false).await;
    admin.add_member(&inner, &nested.dn()).await;
    story.goes_on(&relay, &[[ENABLED, "group-nested"]]).await;
    // The whole inner group goes and comes.
    admin.remove_member(&outer, &inner).await;
    story.goes_on(&relay, &[[DISABLED, "group-nested"]]).await;
    admin.add_member(&outer, &inner).await;
    story.goes_on(&relay, &[[ENABLED, "group-nested"]]).await;
    enabled(&graph, twins[1], true).await;

    admin.disable(&other).await;
    admin.disable(&direct).await;
    story.goes_on(&relay, &[[DISABLED, "group-direct"]]).await;
    assert_eq!(writes(&graph, twins[2]), 0, "no member, not touched");
}

#[tokio::test]
async fn an_edit_of_the_scope_unblocks_nobody_and_its_leavers_pass_the_guard() {
    let samba = Samba::shared().await;
    let graph = tenant().await;
    let mut admin = samba.admin().await;
    let [first, second] = [admin.add_ou("scope-first").await, admin.add_ou("scope-second").await];
    let mut leavers = Vec::new();
    for name in ["edit-1", "edit-2", "edit-3"] {
        leavers.push(twin(&graph, &admin.add_user(&first, name).await));
    }
    let comer = admin.add_user(&second, "edit-comer").await;
    let comer = (twin(&graph, &comer), comer);
    graph.set(comer.0, "accountEnabled", false);
    let edited = |setup: Setup, units: &[&String]| setup.set("scope.organizational_units", units);
    let setup = setup(samba, &graph)
        .await
        .set("guard.max_disables", 2)
        .set("directory.failover_settle", "1s");
    let setup = edited(setup, &[&first]);
    let mut story = Story::default();
    {
        let mut relay = setup.start(&["run"]);
        relay.ready().await;
        assert!(relay.terminate().await.success());
    }
    let setup = edited(setup, &[&second]);
    {
        let mut relay = setup.start(&["run"]);
        relay.ready().await;
        assert_eq!(relay.metric("relay_guard_held").await, Some(3.0));
        admin.replace(&comer.1, "title", &["Lead"]).await;
        story.goes_on(&relay, &[[MODIFIED, "edit-comer"]]).await;
        assert!(!graph.user(comer.0).unwrap().account_enabled());
        assert_eq!(leavers.iter().map(|twin| writes(&graph, *twin)).sum::<usize>(), 0);

        let held = setup.run(&["--output", "json", "held", "list"]).await;
        let held: Value = serde_json::from_slice(&held.stdout).unwrap();
        let batch = held["batches"][0]["batch"].to_string();
        assert!(setup.run(&["held", "approve", &batch, "--yes"]).await.status.success());
        let left = ["edit-1", "edit-2", "edit-3"].map(|name| [DISABLED, name]);
        story.goes_on(&relay, &left).await;
        for twin in &leavers {
            enabled(&graph, *twin, false).await;
        }
        assert!(relay.terminate().await.success());
    }
    let setup = edited(setup, &[&first, &second]);
    let relay = setup.start(&["run"]);
    story.goes_on(&relay, &["edit-1", "edit-2", "edit-3"].map(|name| [ENABLED, name])).await;
    for twin in &leavers {
        enabled(&graph, *twin, true).await;
    }
    assert!(!graph.user(comer.0).unwrap().account_enabled(), "blocked by hand, left so");
}
