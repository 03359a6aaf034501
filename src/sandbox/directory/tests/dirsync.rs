//! DirSync.

use super::*;

const ATTRS: &[&str] = &[
    "name",
    "parentGUID",
    "isDeleted",
    "lastKnownParent",
    "sAMAccountName",
    "userPrincipalName",
    "userAccountControl",
    "pwdLastSet",
    "unicodePwd",
    "supplementalCredentials",
    "title",
    "mail",
    "objectSid",
    "cn",
];

/// A sync whose cookie is of now, and the users' names.
async fn from_now(directory: &SandboxDirectory) -> (Ldap, Ldap, Sync, Vec<String>) {
    let mut ldap = relay(directory).await;
    let mut sync = Sync::new("(cn=__none__)", ATTRS);
    assert!(sync.all(&mut ldap).await.is_empty());
    sync.filter = "(objectClass=user)";
    assert!(sync.all(&mut ldap).await.is_empty());
    (ldap, admin(directory).await, sync, people(directory))
}

#[tokio::test]
async fn only_what_changed_is_told() {
    let directory = start(10).await;
    let (mut ldap, mut admin, mut sync, users) = from_now(&directory).await;
    replace(&mut admin, &users[2], "userAccountControl", &["514"]).await;
    replace(&mut admin, &users[3], "mail", &[]).await;
    replace(&mut admin, &users[4], "department", &["Not listed"]).await;
    let changes = sync.all(&mut ldap).await;
    assert_eq!(changes.len(), 2);
    assert_eq!(changes[0].dn, users[2]);
    assert_eq!(changes[0].names(), ["instanceType", "objectGUID", "userAccountControl"]);
    assert_eq!(changes[0].text("userAccountControl"), "514");
    assert_eq!(changes[1].names(), ["instanceType", "mail", "objectGUID"]);
    assert!(changes[1].is_cleared("mail"));
    assert!(sync.all(&mut ldap).await.is_empty());
}

#[tokio::test]
async fn a_password_change_is_told_without_values() {
    let directory = start(3).await;
    let (mut ldap, mut admin, mut sync, users) = from_now(&directory).await;
    assert_eq!(set_password(&mut admin, &users[0], "Correct-Horse-1").await.rc, 0);
    let changes = sync.all(&mut ldap).await;
    let secrets = ["unicodePwd", "supplementalCredentials"];
    assert!(secrets.iter().all(|name| changes[0].is_cleared(name)), "{changes:?}");
    assert!(changes[0].text("pwdLastSet").parse::<i64>().unwrap() > 0);
    // "Must change at next logon" is no password change.
    replace(&mut admin, &users[0], "pwdLastSet", &["0"]).await;
    let changes = sync.all(&mut ldap).await;
    assert_eq!(changes[0].names(), ["instanceType", "objectGUID", "pwdLastSet"]);
    // Set twice with the flag on: the secrets tell it although pwdLastSet stays.
    for _ in 0..2 {
        let set = vec![
            Mod::Replace(b"unicodePwd".to_vec(), HashSet::from([quoted("Correct-Horse-2")])),
            Mod::Replace(b"pwdLastSet".to_vec(), HashSet::from([b"0".to_vec()])),
        ];
        assert_eq!(code(admin.modify(&users[0], set).await), 0);
        assert!(sync.all(&mut ldap).await[0].is_cleared("unicodePwd"));
    }
}

#[tokio::test]
async fn a_deletion_is_told_with_what_was_stripped() {
    let directory = start(3).await;
    let (mut ldap, mut admin, mut sync, users) = from_now(&directory).await;
    admin.delete(&users[1]).await.unwrap().success().unwrap();
    let changes = sync.all(&mut ldap).await;
    assert_eq!(changes.len(), 1);
    let gone = &changes[0];
    assert!(
        gone.dn.contains("\\0ADEL:") && gone.dn.ends_with(",CN=Deleted Objects,DC=corp,DC=example")
    );
    assert_eq!(gone.text("isDeleted"), "TRUE");
    assert!(users[1].ends_with(gone.text("lastKnownParent")));
    assert!(gone.text("name").contains("\nDEL:"));
    assert!(["userPrincipalName", "mail", "pwdLastSet"].iter().all(|name| gone.is_cleared(name)));
    // What stays has not changed.
    assert!(!gone.attrs.contains_key("sAMAccountName") && !gone.attrs.contains_key("objectSid"));
    admin.with_controls(control(control::SHOW_DELETED, true, None));
    let container = read(&mut admin, "CN=Deleted Objects,DC=corp,DC=example", &[]).await;
    assert_eq!(gone.attrs["parentGUID"], container.attrs["objectGUID"]);
}

#[tokio::test]
async fn a_rename_tells_name_and_parent() {
    let directory = start(3).await;
    let (mut ldap, mut admin, mut sync, users) = from_now(&directory).await;
    let target = "OU=Groups,DC=corp,DC=example";
    assert_eq!(code(admin.modifydn(&users[0], "CN=Renamed", true, Some(target)).await), 0);
    let changes = sync.all(&mut ldap).await;
    assert_eq!(changes[0].dn, "CN=Renamed,OU=Groups,DC=corp,DC=example");
    assert_eq!(changes[0].names(), ["instanceType", "name", "objectGUID", "parentGUID"]);
    let parent = read(&mut admin, target, &["objectGUID"]).await;
    assert_eq!(changes[0].attrs["parentGUID"], parent.attrs["objectGUID"]);
}

#[tokio::test]
async fn a_first_sync_returns_what_has_listed_attributes() {
    let directory = start(40).await;
    let mut ldap = relay(&directory).await;
    let all = Sync::new("(objectClass=*)", ATTRS).all(&mut ldap).await;
    let head = all.iter().find(|entry| entry.dn == BASE).unwrap();
    assert!(!head.attrs.contains_key("parentGUID"));
    assert!(all.iter().any(|entry| entry.dn == "CN=Configuration,DC=corp,DC=example"));
    assert!(!all.iter().any(|entry| entry.dn.starts_with("CN=Sites,")));
    let titled = Sync::new("(objectClass=*)", &["title"]).all(&mut ldap).await;
    assert_eq!(titled.len(), 40);
    assert_eq!(titled[0].names(), ["instanceType", "objectGUID", "title"]);
    for attrs in [&["cn"][..], &["objectGUID"], &["parentGUID"], &["whenChanged", "memberOf"]] {
        let attrs: &'static [&'static str] = attrs.to_vec().leak();
        assert!(
            Sync::new("(objectClass=user)", attrs).all(&mut ldap).await.is_empty(),
            "{attrs:?}"
        );
    }
}

#[tokio::test]
async fn replies_are_cut_by_size_and_by_count() {
    let options = Options { users: 100, dirsync_batch: 30, ..Options::default() };
    let directory = SandboxDirectory::start(options).await.unwrap();
    let mut ldap = relay(&directory).await;
    let mut sync = Sync::new("(employeeID=*)", &["mail"]);
    let (first, more) = sync.once(&mut ldap).await.unwrap();
    assert!(more);
    assert_eq!(first.len(), 30);
    assert_eq!(sync.all(&mut ldap).await.len(), 70);
    sync.cookie.clear();
    sync.max_bytes = 1_000;
    let (first, more) = sync.once(&mut ldap).await.unwrap();
    assert!(more && first.len() < 15 && !first.is_empty(), "{}", first.len());
    assert_eq!(sync.all(&mut ldap).await.len(), 100 - first.len());
}

#[tokio::test]
async fn a_change_during_a_cycle_loses_nothing() {
    let options = Options { users: 50, dirsync_batch: 5, ..Options::default() };
    let directory = SandboxDirectory::start(options).await.unwrap();
    let mut ldap = relay(&directory).await;
    let users = people(&directory);
    let mut sync = Sync::new("(employeeID=*)", &["mail", "title"]);
    let (first, more) = sync.once(&mut ldap).await.unwrap();
    assert!(more && first.iter().all(|entry| entry.dn != users[49]));
    replace(&mut admin(&directory).await, &users[49], "title", &["Moved behind"]).await;
    let rest = sync.all(&mut ldap).await;
    let late = rest.iter().find(|entry| entry.dn == users[49]).unwrap();
    assert_eq!(late.text("title"), "Moved behind");
    assert!(late.attrs.contains_key("mail"), "the cycle still owes what did not change");
    assert_eq!(first.len() + rest.len(), 50);
}

#[tokio::test]
async fn parents_come_first_when_asked_for() {
    let directory = start(20).await;
    let mut admin = admin(&directory).await;
    let staff = "OU=Staff,DC=corp,DC=example";
    replace(&mut admin, staff, "description", &["Changed after its children"]).await;
    let mut ldap = relay(&directory).await;
    let mut sync = Sync::new("(objectClass=*)", &["name"]);
    sync.flags = 0x8000_0801;
    let entries = sync.all(&mut ldap).await;
    let place = |dn: &str| entries.iter().position(|entry| entry.dn == dn).unwrap();
    assert!(place(staff) < place("OU=Berlin,OU=Staff,DC=corp,DC=example"));
    assert!(entries.iter().filter(|entry| entry.dn == staff).count() == 1);
}

#[tokio::test]
async fn members_come_one_by_one_when_asked_for() {
    let directory = start(3).await;
    let (mut ldap, mut admin, mut whole, users) = from_now(&directory).await;
    whole.filter = "(objectClass=group)";
    whole.attrs = &["member"];
    let mut single = Sync::new("(objectClass=group)", &["member"]);
    single.flags = 0x8000_0001;
    single.cookie = whole.cookie.clone();
    let group = "CN=Domain Users,CN=Users,DC=corp,DC=example";
    let set = |user: usize| HashSet::from([users[user].as_str()]);
    let add = vec![Mod::Add("member", set(1)), Mod::Add("member", set(2))];
    assert_eq!(code(admin.modify(group, add).await), 0);
    assert_eq!(whole.all(&mut ldap).await[0].values("member").unwrap().len(), 2);
    assert_eq!(single.all(&mut ldap).await[0].values("member;range=1-1").unwrap().len(), 2);
    assert_eq!(code(admin.modify(group, vec![Mod::Delete("member", set(2))]).await), 0);
    assert_eq!(whole.all(&mut ldap).await[0].values("member").unwrap(), [&users[1]]);
    let removed = single.all(&mut ldap).await;
    assert_eq!(removed[0].values("member;range=0-0").unwrap(), [&users[2]]);
    assert_eq!(removed[0].names(), ["instanceType", "member;range=0-0", "objectGUID"]);
}

#[tokio::test]
async fn what_active_directory_refuses_is_refused() {
    let directory = start(1).await;
    let mut ldap = relay(&directory).await;
    let mut refused = async |flags: u32, base: &'static str, cookie: &[u8]| {
        let mut sync = Sync::new("(objectClass=user)", ATTRS);
        (sync.flags, sync.base, sync.cookie) = (flags, base, cookie.to_vec());
        sync.once(&mut ldap).await.unwrap_err().rc
    };
    let below = "OU=Staff,DC=corp,DC=example";
    assert_eq!(refused(0, BASE, b"").await, 50);
    assert_eq!(refused(0, below, b"").await, 50);
    assert_eq!(refused(1, below, b"").await, 53);
    assert_eq!(refused(1, BASE, b"garbage").await, 12);

    let mut foreign = Sync::new("(cn=none)", &["mail"]);
    let other = start(1).await;
    foreign.all(&mut relay(&other).await).await;
    assert_eq!(refused(1, BASE, &foreign.cookie).await, 12);

    let value = dirsync_value(1, 0, b"");
    ldap.with_controls(control(control::DIRSYNC, false, Some(value)));
    assert_eq!(search(&mut ldap, BASE, Scope::Subtree, "(cn=x)", &[]).await.1.rc, 1);
    let unsigned = vec![0x30, 12, 2, 5, 0, 0x80, 0, 0, 1, 2, 1, 0, 4, 0];
    ldap.with_controls(control(control::DIRSYNC, true, Some(unsigned)));
    assert_eq!(search(&mut ldap, BASE, Scope::Subtree, "(cn=x)", &[]).await.1.rc, 12);
    ldap.with_controls(control(control::DIRSYNC, true, None));
    assert_eq!(search(&mut ldap, BASE, Scope::Subtree, "(cn=x)", &[]).await.1.rc, 2);
}

#[tokio::test]
async fn rights_decide_what_is_seen() {
    let options = Options {
        users: 2,
        service_can_replicate: true,
        service_sees_deleted: false,
        ..Options::default()
    };
    let directory = SandboxDirectory::start(options).await.unwrap();
    let (mut ldap, mut admin, mut sync, users) = from_now(&directory).await;
    sync.flags = 0;
    admin.delete(&users[0]).await.unwrap().success().unwrap();
    // Neither an error nor a record: that is how it goes without the right.
    assert!(sync.all(&mut ldap).await.is_empty());
}

#[tokio::test]
async fn a_switch_refuses_dirsync() {
    let directory = start(1).await;
    let mut ldap = relay(&directory).await;
    let mut sync = Sync::new("(objectClass=user)", ATTRS);
    directory.refuse_dirsync(Some(51));
    assert_eq!(sync.once(&mut ldap).await.unwrap_err().rc, 51);
    directory.refuse_dirsync(None);
    assert!(sync.once(&mut ldap).await.is_ok());
}
