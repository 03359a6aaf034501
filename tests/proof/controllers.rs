//! What the watcher does about domain controllers as they are: doorbells that fall silent, cursors
//! that are refused, controllers that go away, and much to compare.

use std::fs;

use entra_relay::directory::Cursor;
use entra_relay::event::source_of;
use entra_relay::sandbox::graph::NewUser;
use entra_relay::watcher::store::{Batch, Store};
use jiff::Timestamp;
use serde_json::json;

use crate::support::proxy::Proxy;
use crate::support::samba::{BASE_DN, Samba};
use crate::support::told::{
    DISABLED, ENABLED, MODIFIED, field, lines, logged, setup, tells, tenant, told,
};
use crate::support::wait::eventually;

const COMPARED: &str = "read and compared everything";
const USERS: &str = "CN=Users,DC=corp,DC=example";

#[tokio::test]
async fn a_notification_is_enough_and_one_that_was_cut_comes_back() {
    let samba = Samba::shared().await;
    let graph = tenant().await;
    let proxy = Proxy::start(samba.ldaps().ip(), samba.ldaps()).await;
    let setup = setup(samba, &graph)
        .await
        .set("directory.urls", [format!("ldaps://{}", proxy.address())])
        .set("directory.doorbell", "notification");
    let mut admin = samba.admin().await;
    let user = admin.add_user(USERS, "bell").await;
    let mut relay = setup.start(&["run"]);
    relay.ready().await;
    relay.logged("doorbell=\"notification\" why=\"as configured\"").await;
    let connected = async |wanted: f64| {
        let what = format!("relay_doorbell_connected is {wanted}");
        eventually(&what, async || relay.metric("relay_doorbell_connected").await == Some(wanted))
            .await;
    };
    connected(1.0).await;

    admin.disable(&user).await;
    tells(&relay, "bell", &[[DISABLED, "bell"]]).await;

    proxy.part();
    relay.logged("the doorbell is silent").await;
    connected(0.0).await;
    admin.enable(&user).await;
    proxy.rejoin();
    tells(&relay, "bell", &[[DISABLED, "bell"], [ENABLED, "bell"]]).await;
    connected(1.0).await;
    admin.disable(&user).await;
    tells(&relay, "bell", &[[DISABLED, "bell"], [ENABLED, "bell"], [DISABLED, "bell"]]).await;
    assert_eq!(lines(&relay, "connected to a domain controller").len(), 1, "the other one stood");
}

#[tokio::test]
async fn a_cursor_that_is_refused_ends_in_a_comparison() {
    let samba = Samba::shared().await;
    let graph = tenant().await;
    let setup = setup(samba, &graph).await;
    let mut admin = samba.admin().await;
    let first = admin.add_user(USERS, "cursor-1").await;
    let second = admin.add_user(USERS, "cursor-2").await;
    let mut wanted = vec![[DISABLED, "cursor-1"]];
    {
        let mut relay = setup.start(&["run"]);
        relay.ready().await;
        admin.disable(&first).await;
        tells(&relay, "cursor", &wanted).await;
        assert!(relay.terminate().await.success());
    }
    for (round, kind) in [DISABLED, MODIFIED].into_iter().enumerate() {
        let store = Store::open(&setup.folder().join("watcher.redb"), &source_of(BASE_DN)).unwrap();
        let Cursor(mut cursor) = store.cursor().unwrap().unwrap();
        match round {
            0 => cursor = b"what no server ever gave".to_vec(),
            _ => cursor.truncate(cursor.len() / 2),
        }
        store.apply(&Batch { cursor: Some(Cursor(cursor)), ..Batch::default() }).unwrap();
        drop(store);
        match round {
            0 => admin.disable(&second).await,
            _ => admin.replace(&second, "title", &["Lead"]).await,
        }
        wanted.push([kind, "cursor-2"]);
        let mut relay = setup.start(&["run"]);
        tells(&relay, "cursor", &wanted).await;
        logged(&relay, COMPARED, round + 1).await;
        logged(&relay, "cursor rejected", round + 1).await;
        tells(&relay, "cursor", &wanted).await;
        assert!(relay.terminate().await.success());
    }
}

#[tokio::test]
async fn a_read_only_controller_is_passed_by() {
    let samba = Samba::start().await;
    let graph = tenant().await;
    let setup = setup(&samba, &graph).await;
    let read_only = samba.join_read_only(samba.service_account().await).await;
    let authorities = [&samba, &read_only].map(|dc| fs::read_to_string(dc.ca_file()).unwrap());
    let authorities = setup.secret("authorities", &authorities.concat());
    let setup = setup
        .set("directory.urls", [read_only.url_ldaps(), samba.url_ldaps()])
        .set("directory.tls.ca_file", authorities);
    let mut relay = setup.start(&["run"]);
    relay.ready().await;
    let passed = lines(&relay, "trying the next directory server");
    assert!(passed.iter().all(|line| line.contains("is a read-only domain controller")));
    assert_eq!(passed.len(), 1, "{passed:?}");
    let mut admin = samba.admin().await;
    let user = admin.add_user(USERS, "written").await;
    relay.logged("user=\"written\"").await;
    admin.disable(&user).await;
    tells(&relay, "written", &[["user.created", "written"], [DISABLED, "written"]]).await;
}

#[tokio::test]
async fn another_controller_takes_over_and_gives_access_later() {
    let mut first = Samba::start().await;
    let graph = tenant().await;
    let mut admin = first.admin().await;
    let leaver = admin.add_user(USERS, "over-leaver").await;
    let returner = admin.add_user(USERS, "over-returner").await;
    admin.add_user(USERS, "over-other").await;
    admin.disable(&returner).await;
    let twin = graph.add_user(NewUser::new(&leaver.upn).immutable_id(&leaver.immutable_id()));
    let setup = setup(&first, &graph).await;
    let second = first.join().await;
    let authorities = [&first, &second].map(|dc| fs::read_to_string(dc.ca_file()).unwrap());
    let setup = setup
        .set("directory.urls", [first.url_ldaps(), second.url_ldaps()])
        .set("directory.failover_settle", "10s");
    let authorities = setup.secret("authorities", &authorities.concat());
    let setup = setup.set("directory.tls.ca_file", authorities);
    let mut relay = setup.start(&["run"]);
    relay.ready().await;
    // What both know by the time of the change is not told again.
    let newcomer = admin.add_user(USERS, "over-newcomer").await;
    relay.logged("user=\"over-newcomer\"").await;
    admin.disable(&newcomer).await;
    let wanted = [["user.created", "over-newcomer"], [DISABLED, "over-newcomer"]];
    tells(&relay, "over", &wanted).await;
    second.replicate_from(&first).await;

    // The enabling is there before anybody looks, and still comes after what comes later.
    let mut admin = second.admin().await;
    admin.enable(&returner).await;
    first.kill().await;
    admin.disable(&leaver).await;
    let later = [[DISABLED, "over-leaver"], [ENABLED, "over-returner"]];
    let wanted = [wanted, later].concat();
    tells(&relay, "over", &wanted).await;
    eventually("Graph blocks who left", async || !graph.user(twin).unwrap().account_enabled())
        .await;
    logged(&relay, COMPARED, 1).await;
    logged(&relay, "this is another server than before (CN=NTDS Settings,CN=DC1,", 1).await;

    let waits = lines(&relay, "what gives access waits: the server may lag");
    let until: Timestamp = field(&waits[0], "until").parse().unwrap();
    let enabled = lines(&relay, &format!("kind=\"{ENABLED}\""));
    let at: Timestamp = enabled[0].split(' ').next().unwrap().parse().unwrap();
    assert!(at >= until, "{waits:?} {enabled:?}");
}

#[tokio::test]
async fn a_disable_goes_through_while_two_thousand_are_compared() {
    let samba = Samba::start_with_users(2000).await;
    let graph = tenant().await;
    let mut setup = setup(&samba, &graph).await;
    let mut admin = samba.admin().await;
    let leaver = admin.add_user(USERS, "leaver").await;
    let member = admin.add_user(USERS, "member").await;
    admin.replace(&member, "department", &["Research"]).await;
    {
        let mut relay = setup.start(&["run"]);
        relay.ready().await;
        assert!(relay.terminate().await.success());
    }
    let attributes = json!({ "jobTitle": "title", "department": "department" });
    setup = setup.set("apply.attributes", attributes);
    let relay = setup.start(&["run"]);
    let selects = "the configuration selects other objects or attributes";
    logged(&relay, selects, 1).await;
    admin.disable(&leaver).await;
    logged(&relay, COMPARED, 1).await;

    let output = relay.output();
    let at = |text: &str| output.find(text).unwrap_or_else(|| panic!("no {text:?} in {output}"));
    assert!(at(selects) < at(&format!("kind=\"{DISABLED}\"")), "{output}");
    assert!(at(&format!("kind=\"{DISABLED}\"")) < at(COMPARED), "{output}");
    // Besides, what is mapped from now on is told of who has it.
    let mut all = told(&relay, "");
    all.sort();
    assert_eq!(all, [[DISABLED, "leaver"], [MODIFIED, "member"]]);
    assert_eq!(lines(&relay, selects).len(), 1);
}
