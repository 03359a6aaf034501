//! Change notification.

use std::time::Duration;

use ldap3::SearchStream;
use tokio::time::timeout;

use super::*;

type Stream = SearchStream<'static, &'static str, Vec<&'static str>>;

/// Long enough for any machine; a test that has to wait so long has failed.
const PATIENCE: Duration = Duration::from_secs(30);

async fn watch(ldap: &mut Ldap, filter: &str, attrs: &[&'static str]) -> Stream {
    ldap.with_controls(control(control::NOTIFICATION, true, None));
    ldap.streaming_search(BASE, Scope::Subtree, filter, attrs.to_vec()).await.unwrap()
}

async fn next(stream: &mut Stream) -> Entry {
    Entry::new(timeout(PATIENCE, stream.next()).await.unwrap().unwrap().unwrap())
}

/// A notification is in place once a later request on the connection is answered.
async fn settle(ldap: &mut Ldap) {
    highest_usn(ldap).await;
}

#[tokio::test]
async fn changes_are_pushed_as_they_happen() {
    let directory = start(5).await;
    let (mut ldap, mut admin) = (relay(&directory).await, admin(&directory).await);
    let users = people(&directory);
    let mut stream = watch(&mut ldap, "(objectClass=*)", &["title", "isDeleted"]).await;
    settle(&mut ldap).await;
    replace(&mut admin, &users[0], "title", &["Pilot"]).await;
    let entry = next(&mut stream).await;
    assert_eq!((entry.dn.as_str(), entry.text("title")), (users[0].as_str(), "Pilot"));
    // Any change counts, and the connection serves other requests meanwhile.
    replace(&mut admin, &users[1], "division", &["x"]).await;
    assert_eq!(next(&mut stream).await.dn, users[1]);
    assert_eq!(find(&mut ldap, "(division=x)", &["1.1"]).await.len(), 1);
    admin.delete(&users[2]).await.unwrap().success().unwrap();
    assert_eq!(next(&mut stream).await.text("isDeleted"), "TRUE");
}

#[tokio::test]
async fn an_abandoned_notification_is_silent_and_frees_its_place() {
    let directory = start(2).await;
    let (mut ldap, mut admin) = (relay(&directory).await, admin(&directory).await);
    let users = people(&directory);
    let mut streams = Vec::new();
    for _ in 0..5 {
        streams.push(watch(&mut ldap, "(objectClass=*)", &["1.1"]).await);
    }
    let mut sixth = watch(&mut ldap, "(objectClass=*)", &["1.1"]).await;
    assert!(timeout(PATIENCE, sixth.next()).await.unwrap().unwrap().is_none());
    assert_eq!(sixth.finish().await.rc, 11);

    let mut first = streams.remove(0);
    let id = first.ldap_handle().last_id();
    ldap.abandon(id).await.unwrap();
    first.finish().await;
    let mut again = watch(&mut ldap, "(objectClass=*)", &["1.1"]).await;
    settle(&mut ldap).await;
    replace(&mut admin, &users[0], "title", &["Pilot"]).await;
    assert_eq!(next(&mut again).await.dn, users[0]);
}

#[tokio::test]
async fn only_the_filter_for_everything_is_taken() {
    let directory = start(1).await;
    let mut ldap = relay(&directory).await;
    let mut stream = watch(&mut ldap, "(objectClass=user)", &["1.1"]).await;
    assert!(stream.next().await.unwrap().is_none());
    assert_eq!(stream.finish().await.rc, 53);
}

#[tokio::test]
async fn held_notifications_arrive_when_let_go() {
    let directory = start(2).await;
    let (mut ldap, mut admin) = (relay(&directory).await, admin(&directory).await);
    let users = people(&directory);
    directory.hold_notifications(true);
    let mut stream = watch(&mut ldap, "(objectClass=*)", &["title"]).await;
    settle(&mut ldap).await;
    replace(&mut admin, &users[0], "title", &["Pilot"]).await;
    replace(&mut admin, &users[0], "title", &["Astronaut"]).await;
    directory.hold_notifications(false);
    // Two changes of one object are told as one.
    assert_eq!(next(&mut stream).await.text("title"), "Astronaut");
    replace(&mut admin, &users[1], "title", &["Pilot"]).await;
    assert_eq!(next(&mut stream).await.dn, users[1]);
}
