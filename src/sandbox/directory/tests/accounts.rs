//! Binding, and what a server says before it.

use super::*;

#[tokio::test]
async fn every_spelling_of_the_name_binds() {
    let directory = start(1).await;
    let password = directory.bind_password();
    let dn = "CN=svc-relay,OU=Service Accounts,DC=corp,DC=example";
    for name in ["svc-relay@corp.example", "CORP\\svc-relay", "SVC-RELAY", dn] {
        let mut ldap = connect(&directory).await;
        assert_eq!(code(ldap.simple_bind(name, password).await), 0, "{name}");
    }
}

#[tokio::test]
async fn a_wrong_password_is_told_as_active_directory_tells_it() {
    let directory = start(1).await;
    let mut ldap = connect(&directory).await;
    for (name, data) in
        [("svc-relay", "data 52e"), ("nobody", "data 525"), ("WS\\svc-relay", "525")]
    {
        let result = ldap.simple_bind(name, "wrong").await.unwrap();
        assert_eq!(result.rc, 49);
        assert!(result.text.contains(data), "{}", result.text);
    }
    let name = directory.bind_name();
    let dn = "CN=svc-relay,OU=Service Accounts,DC=corp,DC=example";
    replace(&mut admin(&directory).await, dn, "userAccountControl", &["514"]).await;
    let result = ldap.simple_bind(name, directory.bind_password()).await.unwrap();
    assert!(result.rc == 49 && result.text.contains("data 533"), "{}", result.text);
}

#[tokio::test]
async fn without_a_bind_only_the_root_is_readable() {
    let directory = start(1).await;
    let mut ldap = connect(&directory).await;
    assert!(highest_usn(&mut ldap).await > 0);
    let (_, result) = search(&mut ldap, BASE, Scope::Subtree, "(objectClass=*)", &[]).await;
    assert!(result.rc == 1 && result.text.contains("00002020"), "{}", result.text);
    // A bind without a password succeeds and makes nobody of one.
    assert_eq!(code(ldap.simple_bind(directory.bind_name(), "").await), 0);
    let (_, result) = search(&mut ldap, BASE, Scope::Base, "(objectClass=*)", &[]).await;
    assert_eq!(result.rc, 1);
}

#[tokio::test]
async fn a_failed_bind_takes_away_the_rights_of_the_last_one() {
    let directory = start(1).await;
    let mut ldap = relay(&directory).await;
    assert_eq!(code(ldap.simple_bind("svc-relay", "wrong").await), 49);
    let (_, result) = search(&mut ldap, BASE, Scope::Base, "(objectClass=*)", &[]).await;
    assert_eq!(result.rc, 1);
}

#[tokio::test]
async fn the_root_names_contexts_controls_and_the_directory_service() {
    let directory = start(1).await;
    let mut ldap = relay(&directory).await;
    let root = read(&mut ldap, "", &[]).await;
    assert_eq!(root.text("defaultNamingContext"), BASE);
    assert_eq!(root.text("dnsHostName"), "dc1.corp.example");
    assert!(root.values("namingContexts").unwrap().contains(&BASE));
    assert!(root.values("supportedControl").unwrap().contains(&control::DIRSYNC));
    assert!(root.values("supportedCapabilities").unwrap().contains(&"1.2.840.113556.1.4.800"));

    let service = read(&mut ldap, root.text("dsServiceName"), &["invocationId"]).await;
    assert_eq!(service.attrs["invocationId"][0].len(), 16);
    let few = read(&mut ldap, "", &["CURRENTTIME"]).await;
    assert_eq!(few.names(), ["currentTime"]);
}

#[tokio::test]
async fn a_user_binds_with_the_password_that_was_set() {
    let directory = start(2).await;
    let user = people(&directory).remove(0);
    assert_eq!(set_password(&mut admin(&directory).await, &user, "Correct-Horse-1").await.rc, 0);
    let mut ldap = connect(&directory).await;
    assert_eq!(code(ldap.simple_bind(&user, "Correct-Horse-1").await), 0);
    assert_eq!(replace(&mut ldap, &user, "title", &["Owner"]).await.rc, 50);
}
