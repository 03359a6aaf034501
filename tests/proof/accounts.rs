//! Accounts whose state changes by the clock or by the domain's policy, and passwords that only must
//! be changed.

use entra_relay::sandbox::graph::SandboxGraph;
use jiff::{SignedDuration, Timestamp};
use uuid::Uuid;

use crate::support::samba::{Admin, BASE_DN, Samba, Transport, User};
use crate::support::told::{
    DISABLED, ENABLED, MODIFIED, PASSWORD, Story, enabled, setup, tenant, twin,
};
use crate::support::wait::eventually;

/// 1970 as a FILETIME: 100 ns since 1601 (MS-DTYP section 2.3.3).
const EPOCH: i64 = 116_444_736_000_000_000;

fn filetime(time: Timestamp) -> String {
    (EPOCH + time.as_microsecond() * 10).to_string()
}

fn after(seconds: i64) -> Timestamp {
    Timestamp::now() + SignedDuration::from_secs(seconds)
}

/// When the account was first blocked in Graph.
fn blocked_at(graph: &SandboxGraph, twin: Uuid) -> Timestamp {
    let log = graph.log();
    let block = log.iter().find(|request| request.user == Some(twin) && request.method == "PATCH");
    Timestamp::now() - SignedDuration::try_from(block.unwrap().at.elapsed()).unwrap()
}

#[tokio::test]
async fn an_account_ends_at_its_time_though_nothing_happens_in_the_directory() {
    let samba = Samba::shared().await;
    let graph = tenant().await;
    let mut admin = samba.admin().await;
    let ou = admin.add_ou("accounts-end").await;
    let awake = admin.add_user(&ou, "end-awake").await;
    let asleep = admin.add_user(&ou, "end-asleep").await;
    let unseen = admin.add_user(&ou, "end-unseen").await;
    let twins = [&awake, &asleep, &unseen].map(|user| twin(&graph, user));
    let setup = setup(samba, &graph).await.set("scope.organizational_units", [&ou]);
    let mut story = Story::default();
    {
        let mut relay = setup.start(&["run"]);
        relay.ready().await;
        let end = after(5);
        admin.replace(&awake, "accountExpires", &[&filetime(end)]).await;
        let usn = admin.value(&awake, "uSNChanged").await;
        enabled(&graph, twins[0], false).await;
        let late = blocked_at(&graph, twins[0]).duration_since(end);
        println!("blocked in Graph {} ms after accountExpires", late.as_millis());
        assert!(!late.is_negative(), "blocked before the time: {late}");
        assert_eq!(
            admin.value(&awake, "uSNChanged").await,
            usn,
            "nothing changed in the directory"
        );
        story.goes_on(&relay, &[[DISABLED, "end-awake"]]).await;

        admin.replace(&awake, "accountExpires", &[&filetime(after(3600))]).await;
        story.goes_on(&relay, &[[ENABLED, "end-awake"]]).await;
        enabled(&graph, twins[0], true).await;
        admin.replace(&awake, "accountExpires", &["1"]).await;
        story.goes_on(&relay, &[[DISABLED, "end-awake"]]).await;
        admin.replace(&awake, "accountExpires", &["0"]).await;
        story.goes_on(&relay, &[[ENABLED, "end-awake"]]).await;
        enabled(&graph, twins[0], true).await;
    }
    let mut end = after(3);
    {
        let mut relay = setup.start(&["run"]);
        relay.ready().await;
        end = end.max(after(2));
        admin.replace(&asleep, "accountExpires", &[&filetime(end)]).await;
        admin.replace(&asleep, "title", &["Guest"]).await;
        story.goes_on(&relay, &[[MODIFIED, "end-asleep"]]).await;
        assert!(relay.terminate().await.success());
    }
    admin.replace(&unseen, "accountExpires", &[&filetime(end)]).await;
    eventually("the accounts' time is over", async || Timestamp::now() > end).await;
    let relay = setup.start(&["run"]);
    story.goes_on(&relay, &[[DISABLED, "end-asleep"], [DISABLED, "end-unseen"]]).await;
    enabled(&graph, twins[1], false).await;
    enabled(&graph, twins[2], false).await;
}

#[tokio::test]
async fn only_a_new_password_is_told_as_one() {
    let samba = Samba::shared().await;
    let graph = tenant().await;
    let mut admin = samba.admin().await;
    let ou = admin.add_ou("accounts-password").await;
    let user = admin.add_user(&ou, "password").await;
    let setup = setup(samba, &graph).await.set("scope.organizational_units", [&ou]);
    let mut relay = setup.start(&["run"]);
    relay.ready().await;
    let mut story = Story::default();
    admin.set_password(&user, "S3cond-Passw0rd").await;
    story.goes_on(&relay, &[[PASSWORD, "password"]]).await;
    for (round, value) in ["0", "-1"].into_iter().cycle().take(4).enumerate() {
        admin.replace(&user, "pwdLastSet", &[value]).await;
        admin.replace(&user, "title", &[&round.to_string()]).await;
        story.goes_on(&relay, &[[MODIFIED, "password"]]).await;
    }
    admin.replace(&user, "pwdLastSet", &["0"]).await;
    admin.set_password(&user, "Th1rd-Passw0rd").await;
    story.goes_on(&relay, &[[PASSWORD, "password"]]).await;
}

/// Types wrong passwords until the account is locked out, or is so anew.
async fn lock_out(samba: &Samba, admin: &mut Admin, user: &User) {
    let before = admin.value(user, "lockoutTime").await;
    eventually("the account is locked out", async || {
        let refused = samba.bind(Transport::Ldaps, &user.upn, "wrong").await;
        assert!(refused.is_err(), "a wrong password");
        admin.value(user, "lockoutTime").await != before
    })
    .await;
}

#[tokio::test]
async fn a_lockout_disables_nobody_unless_it_is_asked_for() {
    let samba = Samba::start().await;
    let graph = tenant().await;
    let mut admin = samba.admin().await;
    let ou = admin.add_ou("accounts-lockout").await;
    let user = admin.add_user(&ou, "lockout").await;
    let twin = twin(&graph, &user);
    // Times of the policy are negative, in 100 ns.
    for name in ["lockoutDuration", "lockOutObservationWindow"] {
        admin.replace_at(BASE_DN, name, &["-40000000"]).await;
    }
    admin.replace_at(BASE_DN, "lockoutThreshold", &["3"]).await;
    admin.replace(&user, "lockoutTime", &["0"]).await;
    let setup = setup(&samba, &graph).await.set("scope.organizational_units", [&ou]);
    let mut story = Story::default();
    {
        let mut relay = setup.start(&["run"]);
        relay.ready().await;
        lock_out(&samba, &mut admin, &user).await;
        admin.replace(&user, "title", &["Lead"]).await;
        story.goes_on(&relay, &[[MODIFIED, "lockout"]]).await;
        assert!(relay.terminate().await.success());
    }
    admin.replace(&user, "lockoutTime", &["0"]).await;
    let setup = setup.set("directory.treat_lockout_as_disabled", true);
    let mut relay = setup.start(&["run"]);
    relay.ready().await;
    lock_out(&samba, &mut admin, &user).await;
    story.goes_on(&relay, &[[DISABLED, "lockout"]]).await;
    enabled(&graph, twin, false).await;
    // It ends by itself.
    story.goes_on(&relay, &[[ENABLED, "lockout"]]).await;
    enabled(&graph, twin, true).await;
    lock_out(&samba, &mut admin, &user).await;
    story.goes_on(&relay, &[[DISABLED, "lockout"]]).await;
    admin.replace_at(BASE_DN, "lockoutDuration", &["-36000000000"]).await;
    admin.replace(&user, "lockoutTime", &["0"]).await;
    story.goes_on(&relay, &[[ENABLED, "lockout"]]).await;
}
