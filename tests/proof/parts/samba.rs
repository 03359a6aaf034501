//! The domain controller.

use std::time::Duration;

use ldap3::LdapError;

use super::dirsync::{Cookie, OBJECT_SECURITY, poll};
use crate::support::samba::{Account, BASE_DN, Right, Samba, Transport};

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
    assert!(users.iter().any(|entry| entry.dn.starts_with("CN=parts-changed,")));

    admin.disable(&user).await;
    let (changed, cookie) = poll(&mut ldap, OBJECT_SECURITY, &cookie).await.unwrap();
    let entry = changed.iter().find(|entry| entry.dn.contains("parts-changed")).unwrap();
    assert_eq!(entry.attrs["userAccountControl"], ["514"]);

    admin.enable(&user).await;
    let (changed, cookie) = poll(&mut ldap, OBJECT_SECURITY, &cookie).await.unwrap();
    let entry = changed.iter().find(|entry| entry.dn.contains("parts-changed")).unwrap();
    assert_eq!(entry.attrs["userAccountControl"], ["512"]);

    admin.move_to(&user, &format!("CN=Users,{BASE_DN}")).await;
    let (changed, _) = poll(&mut ldap, OBJECT_SECURITY, &cookie).await.unwrap();
    let moved = format!("CN=parts-changed,CN=Users,{BASE_DN}");
    assert!(changed.iter().any(|entry| entry.dn.eq_ignore_ascii_case(&moved)));

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
        seen.push(changed.iter().any(|entry| entry.dn.contains("parts-deleted\\0ADEL:")));
    }
    assert_eq!(seen, [true, false]);
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
