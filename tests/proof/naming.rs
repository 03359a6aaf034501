//! What follows several attributes of the directory, and a user's manager.

use entra_relay::sandbox::graph::NewUser;
use serde_json::json;
use uuid::Uuid;

use crate::support::rabbit::Rabbit;
use crate::support::samba::BASE_DN;
use crate::support::site::Site;
use crate::support::wait::eventually;

#[tokio::test]
async fn a_template_of_two_attributes_and_a_manager_follow_the_directory() {
    let site = Site::new(Rabbit::shared().await).await;
    let attributes = json!({ "displayName": "{{ givenName }} {{ sn }}", "manager": "manager" });
    let (watch, apply) = (site.watch, site.apply);
    let watch = watch.set("apply.attributes", &attributes);
    let apply = apply.set("apply.attributes", &attributes);
    let site = Site { watch, apply, ..site };
    let (ada, twin) = site.add_user("ada", true).await;
    let (_, first_twin) = site.add_user("first", true).await;
    let (second, second_twin) = site.add_user("second", false).await;
    let mut admin = site.samba.admin().await;
    admin.replace(&ada, "givenName", &["Ada"]).await;
    admin.replace(&ada, "sn", &["Lovelace"]).await;
    let (mut watch, mut apply) = site.start().await;

    let named = async |name: &str| {
        eventually(name, async || site.graph.user(twin).unwrap().get("displayName") == name).await;
    };
    admin.replace(&ada, "givenName", &["Augusta"]).await;
    named("Augusta Lovelace").await;
    admin.replace(&ada, "sn", &["King"]).await;
    named("Augusta King").await;
    admin.replace(&ada, "givenName", &[]).await;
    named("King").await;

    let managed = async |manager: Option<Uuid>| {
        eventually("the manager arrives", async || {
            let now = site.graph.user(twin).unwrap().manager();
            if now == manager { Ok(()) } else { Err(format!("{now:?}, not {manager:?}")) }
        })
        .await;
    };
    let dn = |name: &str| format!("CN={name},CN=Users,{BASE_DN}");
    admin.replace(&ada, "manager", &[&dn("first")]).await;
    managed(Some(first_twin)).await;
    admin.replace(&ada, "manager", &[&dn("second")]).await;
    managed(Some(second_twin)).await;

    // Another place is no other manager.
    let asked = || site.requests(twin).iter().filter(|r| r.path.contains("manager")).count();
    let before = asked();
    let ou = admin.add_ou("Chiefs").await;
    admin.move_to(&second, &ou).await;
    admin.replace(&ada, "sn", &["Byron"]).await;
    named("Byron").await;
    assert_eq!(asked(), before);

    admin.delete(&second).await;
    site.enabled(second_twin, false).await;
    managed(None).await;
    admin.replace(&ada, "manager", &[&dn("first")]).await;
    managed(Some(first_twin)).await;
    admin.replace(&ada, "manager", &[]).await;
    managed(None).await;

    // Who is not in Entra yet is waited for.
    let late = admin.add_user(&format!("CN=Users,{BASE_DN}"), "late").await;
    admin.replace(&ada, "manager", &[&dn("late")]).await;
    eventually("the manager is waited for", async || {
        let parked = "relay_events_settled_total{outcome=\"parked\",type=\"attributes.modified\"}";
        apply.metric(parked).await.is_some_and(|parked| parked >= 1.0)
    })
    .await;
    let late_twin = site.graph.add_user(NewUser::new(&late.upn).immutable_id(&late.immutable_id()));
    managed(Some(late_twin)).await;
    assert_eq!(site.dead_letters().await, 0);
    assert!(watch.terminate().await.success());
    assert!(apply.terminate().await.success());
}
