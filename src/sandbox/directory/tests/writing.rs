//! Adding, changing, deleting, renaming.

use super::*;

const PARENT: &str = "OU=Staff,DC=corp,DC=example";

fn attrs(pairs: &[(&'static str, &'static str)]) -> Vec<(&'static str, HashSet<&'static str>)> {
    pairs.iter().map(|(name, value)| (*name, HashSet::from([*value]))).collect()
}

async fn add_ann(ldap: &mut Ldap) -> String {
    let dn = format!("CN=Ann\\, A.,{PARENT}");
    let fields = attrs(&[
        ("objectClass", "user"),
        ("sAMAccountName", "ann"),
        ("userPrincipalName", "ann@corp.example"),
        ("department", "Research"),
    ]);
    assert_eq!(code(ldap.add(&dn, fields).await), 0);
    dn
}

#[tokio::test]
async fn a_new_user_has_what_the_server_gives_it() {
    let directory = start(1).await;
    let mut ldap = admin(&directory).await;
    let before = highest_usn(&mut ldap).await;
    let dn = add_ann(&mut ldap).await;
    let ann = read(&mut ldap, &dn, &[]).await;
    assert_eq!(ann.dn, dn);
    assert_eq!(ann.text("cn"), "Ann, A.");
    assert_eq!(ann.text("userAccountControl"), "546");
    assert_eq!(ann.text("pwdLastSet"), "0");
    assert_eq!(ann.text("accountExpires"), "9223372036854775807");
    assert_eq!(ann.attrs["objectGUID"][0].len(), 16);
    assert_eq!(ann.attrs["objectSid"][0].len(), 28);
    let created: u64 = ann.text("uSNCreated").parse().unwrap();
    assert!(created > before && created == highest_usn(&mut ldap).await);
}

#[tokio::test]
async fn an_add_that_breaks_a_rule_is_refused() {
    let directory = start(1).await;
    let mut ldap = admin(&directory).await;
    add_ann(&mut ldap).await;
    let mut add = async |rdn: &str, parent: &str, fields: &[(&'static str, &'static str)]| {
        code(ldap.add(&format!("{rdn},{parent}"), attrs(fields)).await)
    };
    let user = ("objectClass", "user");
    assert_eq!(add("CN=Ann\\, A.", PARENT, &[user]).await, 68);
    assert_eq!(add("CN=x", PARENT, &[user, ("sAMAccountName", "ANN")]).await, 68);
    assert_eq!(add("CN=x", PARENT, &[user, ("userPrincipalName", "ann@corp.example")]).await, 19);
    assert_eq!(add("CN=x", "OU=Nowhere,DC=corp,DC=example", &[user]).await, 32);
    assert_eq!(add("OU=x", PARENT, &[user]).await, 64);
    assert_eq!(add("CN=x", PARENT, &[("objectClass", "spaceship")]).await, 65);
    assert_eq!(add("CN=x", PARENT, &[user, ("favouriteColour", "blue")]).await, 16);
    assert_eq!(add("CN=x", PARENT, &[user, ("objectGUID", "0123456789abcdef")]).await, 19);
    // Enabled, but without a password.
    assert_eq!(add("CN=x", PARENT, &[user, ("userAccountControl", "512")]).await, 53);
    assert_eq!(add("CN=x", PARENT, &[user]).await, 0);
}

#[tokio::test]
async fn a_modify_changes_all_or_nothing() {
    let directory = start(1).await;
    let mut ldap = admin(&directory).await;
    let dn = add_ann(&mut ldap).await;
    let usn = highest_usn(&mut ldap).await;
    let set = |value| HashSet::from([value]);
    for (change, expected) in [
        (Mod::Add("department", set("Sales")), 20),
        (Mod::Delete("department", set("Sales")), 16),
        (Mod::Delete("division", HashSet::new()), 16),
        (Mod::Replace("department", HashSet::from(["a", "b"])), 19),
        (Mod::Replace("userAccountControl", set("many")), 21),
        (Mod::Replace("memberOf", set("CN=Users,DC=corp,DC=example")), 19),
        (Mod::Replace("name", set("Bob")), 67),
        (Mod::Replace("pwdLastSet", set("1")), 80),
    ] {
        let changes = vec![Mod::Replace("title", set("Pilot")), change.clone()];
        assert_eq!(code(ldap.modify(&dn, changes).await), expected, "{change:?}");
    }
    assert_eq!(highest_usn(&mut ldap).await, usn);
    assert!(!read(&mut ldap, &dn, &[]).await.attrs.contains_key("title"));

    let changes = vec![
        Mod::Replace("title", set("Pilot")),
        Mod::Add("proxyAddresses", HashSet::from(["smtp:a@x", "SMTP:b@x"])),
        Mod::Delete("department", set("research")),
    ];
    assert_eq!(code(ldap.modify(&dn, changes).await), 0);
    let ann = read(&mut ldap, &dn, &[]).await;
    assert_eq!(ann.text("title"), "Pilot");
    assert_eq!(ann.values("proxyAddresses").unwrap().len(), 2);
    assert!(!ann.attrs.contains_key("department"));
    assert_eq!(highest_usn(&mut ldap).await, usn + 1);
    // What is already so is no change.
    assert_eq!(replace(&mut ldap, &dn, "title", &["Pilot"]).await.rc, 0);
    assert_eq!(highest_usn(&mut ldap).await, usn + 1);
}

#[tokio::test]
async fn passwords_are_written_quoted_and_never_read() {
    let directory = start(1).await;
    let mut ldap = admin(&directory).await;
    let dn = add_ann(&mut ldap).await;
    let plain = HashSet::from([b"Correct-Horse-1".to_vec()]);
    let result = ldap.modify(&dn, vec![Mod::Replace(b"unicodePwd".to_vec(), plain)]).await.unwrap();
    assert!(result.rc == 53 && result.text.starts_with("0000001F"), "{result:?}");
    let result = set_password(&mut ldap, &dn, "short").await;
    assert!(result.rc == 53 && result.text.starts_with("0000052D"), "{result:?}");
    assert_eq!(set_password(&mut ldap, &dn, "Correct-Horse-1").await.rc, 0);
    let ann = read(&mut ldap, &dn, &["pwdLastSet", "unicodePwd", "supplementalCredentials"]).await;
    assert_eq!(ann.names(), ["pwdLastSet"]);
    assert!(ann.text("pwdLastSet").parse::<i64>().unwrap() > 0);
    assert_eq!(replace(&mut ldap, &dn, "userAccountControl", &["512"]).await.rc, 0);

    assert_eq!(replace(&mut ldap, &dn, "pwdLastSet", &["0"]).await.rc, 0);
    assert_eq!(read(&mut ldap, &dn, &["pwdLastSet"]).await.text("pwdLastSet"), "0");
    assert_eq!(replace(&mut ldap, &dn, "pwdLastSet", &["-1"]).await.rc, 0);
    assert_ne!(read(&mut ldap, &dn, &["pwdLastSet"]).await.text("pwdLastSet"), "0");
}

#[tokio::test]
async fn only_the_administrator_writes() {
    let directory = start(1).await;
    let mut ldap = relay(&directory).await;
    let user = people(&directory).remove(0);
    assert_eq!(replace(&mut ldap, &user, "title", &["Owner"]).await.rc, 50);
    assert_eq!(code(ldap.delete(&user).await), 50);
    assert_eq!(code(ldap.modifydn(&user, "CN=x", true, None).await), 50);
    let mut anonymous = connect(&directory).await;
    assert_eq!(code(anonymous.delete(&user).await), 1);
}

#[tokio::test]
async fn a_deleted_user_becomes_a_tombstone_and_can_come_back() {
    let directory = start(1).await;
    let mut ldap = admin(&directory).await;
    let dn = add_ann(&mut ldap).await;
    let guid = read(&mut ldap, &dn, &["objectGUID"]).await.attrs["objectGUID"][0].clone();
    let guid = uuid::Uuid::from_slice_le(&guid).unwrap();
    assert_eq!(code(ldap.delete(&dn).await), 0);
    assert_eq!(code(ldap.delete(&dn).await), 32);
    assert!(find(&mut ldap, "(sAMAccountName=ann)", &[]).await.is_empty());

    let tombstone = format!("CN=Ann\\, A.\\0ADEL:{guid},CN=Deleted Objects,{BASE}");
    ldap.with_controls(control(control::SHOW_DELETED, true, None));
    let found = find(&mut ldap, "(sAMAccountName=ann)", &[]).await;
    assert_eq!(found[0].dn, tombstone);
    assert_eq!(found[0].text("isDeleted"), "TRUE");
    assert_eq!(found[0].text("lastKnownParent"), PARENT);
    for gone in ["userPrincipalName", "department", "objectCategory", "accountExpires"] {
        assert!(!found[0].attrs.contains_key(gone), "{gone}");
    }
    // Seeing them takes the right as well as the control.
    let blind = Options { users: 1, service_sees_deleted: false, ..Options::default() };
    let blind = SandboxDirectory::start(blind).await.unwrap();
    let user = people(&blind).remove(0);
    assert_eq!(code(admin(&blind).await.delete(&user).await), 0);
    let mut unseeing = relay(&blind).await;
    unseeing.with_controls(control(control::SHOW_DELETED, true, None));
    assert!(find(&mut unseeing, "(isDeleted=TRUE)", &[]).await.is_empty());

    let revive = vec![
        Mod::Delete("isDeleted", HashSet::new()),
        Mod::Replace("distinguishedName", HashSet::from([dn.as_str()])),
    ];
    assert_eq!(code(ldap.modify(&tombstone, revive.clone()).await), 32);
    // Somebody took the name meanwhile.
    let other = format!("CN=Other,{PARENT}");
    let fields = attrs(&[("objectClass", "user"), ("sAMAccountName", "ann")]);
    assert_eq!(code(ldap.add(&other, fields).await), 0);
    ldap.with_controls(control(control::SHOW_DELETED, true, None));
    assert_eq!(code(ldap.modify(&tombstone, revive.clone()).await), 68);
    assert_eq!(replace(&mut ldap, &other, "sAMAccountName", &["other"]).await.rc, 0);
    ldap.with_controls(control(control::SHOW_DELETED, true, None));
    assert_eq!(code(ldap.modify(&tombstone, revive).await), 0);
    let ann = read(&mut ldap, &dn, &[]).await;
    assert_eq!(ann.text("sAMAccountName"), "ann");
    assert!(!ann.attrs.contains_key("isDeleted") && ann.attrs.contains_key("objectCategory"));
}

#[tokio::test]
async fn what_has_children_or_holds_the_tree_is_not_deleted() {
    let directory = start(5).await;
    let mut ldap = admin(&directory).await;
    assert_eq!(code(ldap.delete(PARENT).await), 66);
    assert_eq!(code(ldap.delete("CN=Configuration,DC=corp,DC=example").await), 53);
    assert_eq!(code(ldap.delete(BASE).await), 53);
}

#[tokio::test]
async fn a_rename_or_move_takes_the_children_along() {
    let directory = start(20).await;
    let mut ldap = admin(&directory).await;
    let berlin = "OU=Berlin,OU=Staff,DC=corp,DC=example";
    let count = search(&mut ldap, berlin, Scope::OneLevel, "(objectClass=user)", &[]).await.0.len();
    assert!(count > 0);
    assert_eq!(code(ldap.modifydn(berlin, "OU=Hamburg", true, Some(BASE)).await), 0);
    let hamburg = "OU=Hamburg,DC=corp,DC=example";
    let moved = search(&mut ldap, hamburg, Scope::OneLevel, "(objectClass=user)", &[]).await.0;
    assert_eq!(moved.len(), count);
    assert!(moved[0].dn.ends_with(",OU=Hamburg,DC=corp,DC=example"));
    assert_eq!(code(ldap.modifydn(berlin, "OU=x", true, None).await), 32);

    let staff = "OU=Staff,DC=corp,DC=example";
    assert_eq!(code(ldap.modifydn(hamburg, "OU=Leeds", true, Some(staff)).await), 68);
    assert_eq!(code(ldap.modifydn(hamburg, "CN=x", true, None).await), 64);
    assert_eq!(code(ldap.modifydn(hamburg, "OU=x", false, None).await), 53);
    let into_itself = "OU=Leeds,OU=Staff,DC=corp,DC=example";
    assert_eq!(code(ldap.modifydn(staff, "OU=Staff", true, Some(into_itself)).await), 53);
    // Only the spelling of the name changes.
    assert_eq!(code(ldap.modifydn(hamburg, "OU=HAMBURG", true, None).await), 0);
    assert_eq!(read(&mut ldap, hamburg, &["ou"]).await.text("ou"), "HAMBURG");
}

#[tokio::test]
async fn members_are_links_that_follow_their_objects() {
    let directory = start(1).await;
    let mut ldap = admin(&directory).await;
    let ann = add_ann(&mut ldap).await;
    let group = "CN=Sales,OU=Groups,DC=corp,DC=example";
    let add = || vec![Mod::Add("member", HashSet::from([ann.as_str()]))];
    let before = highest_usn(&mut ldap).await;
    assert_eq!(code(ldap.modify(group, add()).await), 0);
    assert_eq!(code(ldap.modify(group, add()).await), 68);
    let changed = find(&mut ldap, &format!("(uSNChanged>={})", before + 1), &["1.1"]).await;
    assert_eq!(changed[0].dn, group);
    assert_eq!(read(&mut ldap, &ann, &["memberOf"]).await.text("memberOf"), group);

    assert_eq!(code(ldap.modifydn(&ann, "CN=Ann", true, None).await), 0);
    let ann = "CN=Ann,OU=Staff,DC=corp,DC=example";
    let members = read(&mut ldap, group, &["member"]).await;
    assert!(members.values("member").unwrap().contains(&ann));
    let found = find(&mut ldap, &format!("(memberOf={group})"), &["sAMAccountName"]).await;
    assert!(found.iter().any(|entry| entry.text("sAMAccountName") == "ann"));
    assert_eq!(code(ldap.delete(ann).await), 0);
    let members = read(&mut ldap, group, &["member"]).await;
    assert!(!members.values("member").unwrap_or_default().contains(&ann));
}

#[tokio::test]
async fn a_snapshot_shows_what_became_of_the_users() {
    let directory = start(3).await;
    let mut ldap = admin(&directory).await;
    let users = people(&directory);
    replace(&mut ldap, &users[0], "userAccountControl", &["514"]).await;
    ldap.delete(&users[1]).await.unwrap().success().unwrap();
    let after: Vec<_> = directory.users().into_iter().filter(|user| user.rid > 1_104).collect();
    assert_eq!(after[0].user_account_control, 514);
    assert!(after[1].deleted && after[1].user_principal_name.is_none());
    assert_eq!(after[2].dn, users[2]);
    let built_in = directory.users().into_iter().find(|user| user.rid == 500).unwrap();
    assert_eq!(built_in.sam_account_name, "Administrator");
}
