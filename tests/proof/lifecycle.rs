//! Users that go, come back, and are called otherwise, and what looks like a user and is none.

use crate::support::samba::{BASE_DN, Samba};
use crate::support::told::{
    DELETED, DISABLED, ENABLED, MODIFIED, RENAMED, Story, enabled, setup, tenant, twin,
};

#[tokio::test]
async fn who_is_deleted_is_told_once_and_who_is_restored_is_told_back() {
    let samba = Samba::start().await;
    let graph = tenant().await;
    let mut admin = samba.admin().await;
    let ou = admin.add_ou("lifecycle").await;
    let tombstone = admin.add_user(&ou, "tombstone").await;
    let recycled = admin.add_user(&ou, "recycled").await;
    let twins = [&tombstone, &recycled].map(|user| twin(&graph, user));
    for user in [&tombstone, &recycled] {
        admin.replace(user, "title", &["Lead"]).await;
    }
    let setup = setup(&samba, &graph).await.set("scope.organizational_units", [&ou]);
    let mut relay = setup.start(&["run"]);
    relay.ready().await;
    let mut story = Story::default();

    admin.delete(&tombstone).await;
    story.goes_on(&relay, &[[DELETED, "tombstone"]]).await;
    enabled(&graph, twins[0], false).await;
    admin.restore(&tombstone, &ou).await;
    // It comes back enabled, but without what a tombstone loses.
    assert_eq!(admin.value(&tombstone, "userAccountControl").await, "512");
    let back = [RENAMED, ENABLED, MODIFIED].map(|kind| [kind, "tombstone"]);
    story.goes_on(&relay, &back).await;
    enabled(&graph, twins[0], true).await;

    // With the recycle bin there are two steps, of which the second means nothing.
    admin.enable_recycle_bin().await;
    admin.delete(&recycled).await;
    story.goes_on(&relay, &[[DELETED, "recycled"]]).await;
    enabled(&graph, twins[1], false).await;
    assert_eq!(admin.value(&recycled, "title").await, "Lead");
    admin.delete(&recycled).await;
    assert_eq!(admin.value(&recycled, "isRecycled").await, "TRUE");
    admin.replace(&tombstone, "title", &["1"]).await;
    story.goes_on(&relay, &[[MODIFIED, "tombstone"]]).await;
}

#[tokio::test]
async fn a_new_name_is_told_where_the_cloud_has_it_and_the_user_stays_the_same() {
    let samba = Samba::shared().await;
    let graph = tenant().await;
    let mut admin = samba.admin().await;
    let ou = admin.add_ou("lifecycle-names").await;
    let user = admin.add_user(&ou, "name").await;
    let twin = twin(&graph, &user);
    let setup = setup(samba, &graph).await.set("scope.organizational_units", [&ou]);
    let mut relay = setup.start(&["run"]);
    relay.ready().await;
    let mut story = Story::default();
    admin.rename(&format!("CN=name,{ou}"), "CN=another", None).await;
    admin.replace(&user, "title", &["Lead"]).await;
    story.goes_on(&relay, &[[MODIFIED, "name"]]).await;
    admin.replace(&user, "userPrincipalName", &["another@corp.example"]).await;
    story.goes_on(&relay, &[[RENAMED, "name"]]).await;
    admin.replace(&user, "sAMAccountName", &["another"]).await;
    admin.disable(&user).await;
    story.goes_on(&relay, &[[DISABLED, "another"]]).await;
    enabled(&graph, twin, false).await;
}

#[tokio::test]
async fn computers_contacts_and_service_accounts_are_no_users() {
    let samba = Samba::shared().await;
    let graph = tenant().await;
    let mut admin = samba.admin().await;
    let ou = admin.add_ou("lifecycle-others").await;
    let user = admin.add_user(&ou, "kinds").await;
    let setup = setup(samba, &graph).await.set("scope.organizational_units", [&ou]);
    let mut relay = setup.start(&["run"]);
    relay.ready().await;
    let mut story = Story::default();
    let computer = [
        ("objectClass", "computer"),
        ("sAMAccountName", "kinds-pc$"),
        ("userAccountControl", "4096"),
    ];
    let managed = [
        ("objectClass", "msDS-GroupManagedServiceAccount"),
        ("sAMAccountName", "kinds-gmsa$"),
        ("userAccountControl", "4096"),
        ("msDS-ManagedPasswordInterval", "30"),
    ];
    let contact = [("objectClass", "contact"), ("mail", "kinds@elsewhere.example")];
    let others: [(&str, &[(&str, &str)]); 3] =
        [("pc", &computer), ("gmsa", &managed), ("contact", &contact)];
    for (name, attributes) in others {
        let dn = format!("CN={name},{ou}");
        admin.add_object(&dn, attributes).await;
        admin.replace_at(&dn, "title", &["Lead"]).await;
        admin.replace(&user, "title", &[name]).await;
        story.goes_on(&relay, &[[MODIFIED, "kinds"]]).await;
        if name != "contact" {
            admin.replace_at(&dn, "userAccountControl", &["4098"]).await;
        }
        admin.rename(&dn, &format!("CN={name}"), Some(&format!("CN=Users,{BASE_DN}"))).await;
        admin.disable(&user).await;
        story.goes_on(&relay, &[[DISABLED, "kinds"]]).await;
        admin.enable(&user).await;
        story.goes_on(&relay, &[[ENABLED, "kinds"]]).await;
    }
}
