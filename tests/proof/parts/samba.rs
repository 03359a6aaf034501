//! The domain controller.

use std::time::Duration;

use ldap3::{LdapError, SearchEntry};

use super::dirsync::{Cookie, OBJECT_SECURITY, poll};
use crate::support::samba::{Account, BASE_DN, Right, Samba, Transport, User};

/// Flags of DirSync that ask for the right to replicate.
const NO_FLAGS: u8 = 0;
const INSUFFICIENT_ACCESS_RIGHTS: u32 = 50;

#[tokio::test]
async fn the_service_account_binds_over_every_transport() {
    let samba = Samba::shared().await;
    let account = samba.service_account().await;
    for transport in [Transport::Ldaps, Transport::StartTls, Transport::Plain] {
        let bound = samba.bind(transport, &account.upn, &account.password).await;
        assert!(bound.is_ok(), "{transport:?}: {:?}", bound.err());
        let refused = samba.bind(transport, &account.upn, "wrong").await;
        assert!(refused.is_err(), "{transport:?} accepts a wrong password");
    }
}

#[tokio::test]
async fn dirsync_shows_an_ordinary_account_what_changed() {
    let samba = Samba::shared().await;
    let mut admin = samba.admin().await;
    let ou = admin.add_ou("parts-dirsync").await;
    let user = admin.add_user(&ou, "parts-changed").await;

    let account = samba.service_account().await;
    let mut ldap = samba.bind(Transport::Ldaps, &account.upn, &account.password).await.unwrap();
    let (users, cookie) = poll(&mut ldap, OBJECT_SECURITY, &Cookie::new()).await.unwrap();
    assert_eq!(entry_of(&users, &user).unwrap().dn, format!("CN=parts-changed,{ou}"));

    admin.disable(&user).await;
    let (changed, cookie) = poll(&mut ldap, OBJECT_SECURITY, &cookie).await.unwrap();
    assert_eq!(entry_of(&changed, &user).unwrap().attrs["userAccountControl"], ["514"]);

    admin.enable(&user).await;
    let (changed, cookie) = poll(&mut ldap, OBJECT_SECURITY, &cookie).await.unwrap();
    assert_eq!(entry_of(&changed, &user).unwrap().attrs["userAccountControl"], ["512"]);

    admin.move_to(&user, &format!("CN=Users,{BASE_DN}")).await;
    let (changed, _) = poll(&mut ldap, OBJECT_SECURITY, &cookie).await.unwrap();
    let moved = format!("CN=parts-changed,CN=Users,{BASE_DN}");
    assert_eq!(entry_of(&changed, &user).unwrap().dn, moved);

    admin.set_password(&user, "An0ther-Passw0rd").await;
    assert!(samba.bind(Transport::Ldaps, &user.upn, "An0ther-Passw0rd").await.is_ok());
}

#[tokio::test]
async fn only_an_account_with_the_right_sees_a_deletion() {
    let samba = Samba::shared().await;
    let mut admin = samba.admin().await;
    let ou = admin.add_ou("parts-deletion").await;
    let user = admin.add_user(&ou, "parts-deleted").await;
    let blind = admin.add_service_account("parts-blind", &[]).await;
    let accounts = [samba.service_account().await, &blind];

    let mut sessions = Vec::new();
    for Account { upn, password, .. } in accounts {
        let mut ldap = samba.bind(Transport::Ldaps, upn, password).await.unwrap();
        let (_, cookie) = poll(&mut ldap, OBJECT_SECURITY, &Cookie::new()).await.unwrap();
        sessions.push((ldap, cookie));
    }
    admin.delete(&user).await;

    let mut seen = Vec::new();
    for (ldap, cookie) in &mut sessions {
        let (changed, _) = poll(ldap, OBJECT_SECURITY, cookie).await.unwrap();
        seen.push(entry_of(&changed, &user).map(|entry| entry.attrs["isDeleted"].clone()));
    }
    assert_eq!(seen, [Some(vec!["TRUE".to_owned()]), None]);
}

#[tokio::test]
async fn the_right_to_replicate_is_needed_without_object_security() {
    let samba = Samba::shared().await;
    let mut admin = samba.admin().await;
    let account = admin.add_service_account("parts-replicator", &[]).await;
    let mut ldap = samba.bind(Transport::Ldaps, &account.upn, &account.password).await.unwrap();

    match poll(&mut ldap, NO_FLAGS, &Cookie::new()).await {
        Err(LdapError::LdapResult { result }) => assert_eq!(result.rc, INSUFFICIENT_ACCESS_RIGHTS),
        other => panic!("expected a refusal, got {other:?}"),
    }
    admin.grant(&account, Right::GetChanges).await;
    let mut ldap = samba.bind(Transport::Ldaps, &account.upn, &account.password).await.unwrap();
    assert!(poll(&mut ldap, NO_FLAGS, &Cookie::new()).await.is_ok());
}

#[tokio::test]
async fn a_killed_domain_controller_comes_back_with_what_it_had() {
    let mut samba = Samba::start().await;
    let mut admin = samba.admin().await;
    let ou = admin.add_ou("parts-kill").await;
    let user = admin.add_user(&ou, "parts-kept").await;
    let account = samba.service_account().await.clone();

    samba.freeze();
    let bind = samba.bind(Transport::Ldaps, &account.upn, &account.password);
    assert!(
        tokio::time::timeout(Duration::from_secs(1), bind).await.is_err(),
        "frozen, it answers"
    );
    samba.thaw();
    samba.bind(Transport::Ldaps, &account.upn, &account.password).await.unwrap();

    samba.kill().await;
    assert!(samba.bind(Transport::Ldaps, &account.upn, &account.password).await.is_err());
    samba.restart().await;
    samba.bind(Transport::Ldaps, &account.upn, &account.password).await.unwrap();
    samba.admin().await.replace(&user, "department", &["still there"]).await;
}

/// The change of `user`, by its objectGUID: a name does not survive a deletion.
fn entry_of<'a>(changes: &'a [SearchEntry], user: &User) -> Option<&'a SearchEntry> {
    let guid = user.guid.to_bytes_le();
    changes.iter().find(|entry| {
        let bytes = entry.bin_attrs.get("objectGUID").into_iter().flatten().map(Vec::as_slice);
        let text = entry.attrs.get("objectGUID").into_iter().flatten().map(String::as_bytes);
        bytes.chain(text).any(|value| value == guid)
    })
}
