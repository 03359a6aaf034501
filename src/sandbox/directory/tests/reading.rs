//! Ordinary searches.

use ldap3::{
    adapters::{Adapter, EntriesOnly, PagedResults},
    controls::PagedResults as Page,
};

use super::*;

async fn names(ldap: &mut Ldap, filter: &str) -> Vec<String> {
    let entries = find(ldap, filter, &["sAMAccountName"]).await;
    entries.iter().map(|entry| entry.text("sAMAccountName").to_owned()).collect()
}

#[tokio::test]
async fn filters_of_every_kind_find_the_right_objects() {
    let directory = start(30).await;
    let mut ldap = relay(&directory).await;
    let user = directory.users().into_iter().rfind(|u| u.rid > 1_104).unwrap();
    let sam = &user.sam_account_name;
    let mail = &user.attributes["mail"][0];
    let guid: String = user.guid.to_bytes_le().iter().map(|byte| format!("\\{byte:02x}")).collect();
    for filter in [
        format!("(sAMAccountName={})", sam.to_uppercase()),
        format!("(&(objectClass=user)(mail={mail}))"),
        format!("(objectGUID={guid})"),
        format!("(objectSid={})", user.sid),
        format!("(distinguishedName={})", user.dn.to_lowercase()),
        format!("(employeeID={})", user.attributes["employeeID"][0]),
        format!("(cn={})", user.attributes["name"][0]),
        format!("(&(sAMAccountName=*{}*)(!(sAMAccountName=x*)))", &sam[1..]),
        format!("(|(sAMAccountName={sam})(unknownAttribute=1))"),
    ] {
        assert_eq!(names(&mut ldap, &filter).await, std::slice::from_ref(sam), "{filter}");
    }
    // An unknown attribute is neither true nor false.
    assert!(find(&mut ldap, "(!(unknownAttribute=1))", &[]).await.is_empty());
    // A missing one is false.
    assert!(find(&mut ldap, "(!(division=x))", &["1.1"]).await.len() > 30);
}

#[tokio::test]
async fn kinds_of_objects_are_told_apart() {
    let directory = start(40).await;
    let mut ldap = relay(&directory).await;
    let users = directory.users().len();
    assert_eq!(
        find(&mut ldap, "(&(objectCategory=person)(objectClass=user))", &[]).await.len(),
        users
    );
    // Computers are users too: two workstations and the domain controller.
    assert_eq!(find(&mut ldap, "(objectClass=user)", &["1.1"]).await.len(), users + 3);
    assert_eq!(find(&mut ldap, "(sAMAccountType=805306369)", &["1.1"]).await.len(), 3);
    let disabled = "(userAccountControl:1.2.840.113556.1.4.803:=2)";
    assert_eq!(names(&mut ldap, disabled).await, ["Guest", "krbtgt"]);
    let either = "(&(userAccountControl:1.2.840.113556.1.4.804:=4098)(objectClass=user))";
    assert_eq!(names(&mut ldap, either).await.len(), 4);
    assert_eq!(find(&mut ldap, "(isDeleted=TRUE)", &[]).await, []);
}

#[tokio::test]
async fn ranges_of_usns_are_followed() {
    let directory = start(20).await;
    let mut ldap = relay(&directory).await;
    let before = highest_usn(&mut ldap).await;
    let user = people(&directory).remove(3);
    replace(&mut admin(&directory).await, &user, "title", &["Astronaut"]).await;
    let found = find(&mut ldap, &format!("(uSNChanged>={})", before + 1), &["uSNChanged"]).await;
    assert_eq!(found.len(), 1);
    assert_eq!(found[0].dn, user);
    let older = format!("(&(uSNChanged<={before})(employeeID=*))");
    assert_eq!(find(&mut ldap, &older, &["1.1"]).await.len(), 19);
}

#[tokio::test]
async fn attributes_are_selected_by_name_in_any_case() {
    let directory = start(1).await;
    let mut ldap = relay(&directory).await;
    let user = people(&directory).remove(0);
    let entry = read(&mut ldap, &user, &["MAIL", "objectguid", "unknown", "unicodePwd"]).await;
    assert_eq!(entry.names(), ["mail", "objectGUID"]);
    assert!(read(&mut ldap, &user, &["1.1"]).await.attrs.is_empty());
    let all = read(&mut ldap, &user, &["*"]).await;
    for name in ["objectClass", "cn", "whenChanged", "memberOf", "objectCategory", "instanceType"] {
        assert!(all.attrs.contains_key(name), "{name}");
    }
    assert!(!all.attrs.contains_key("unicodePwd") && !all.attrs.contains_key("parentGUID"));
    assert_eq!(all.values("objectClass").unwrap().last(), Some(&"user"));
}

#[tokio::test]
async fn a_base_may_be_a_guid_or_a_sid_and_must_exist() {
    let directory = start(1).await;
    let mut ldap = relay(&directory).await;
    let user = directory.users().pop().unwrap();
    let raw: String = user.guid.to_bytes_le().iter().map(|byte| format!("{byte:02X}")).collect();
    for base in [
        format!("<GUID={}>", user.guid),
        format!("<GUID={raw}>"),
        format!("<SID={}>", user.sid),
        user.dn.to_uppercase(),
    ] {
        assert_eq!(read(&mut ldap, &base, &["1.1"]).await.dn, user.dn, "{base}");
    }
    for (base, code) in [
        ("CN=Nobody,CN=Users,DC=corp,DC=example", 32),
        ("DC=elsewhere,DC=example", 32),
        ("<GUID=00000000-0000-0000-0000-000000000001>", 32),
        ("no name", 34),
    ] {
        let (_, result) = search(&mut ldap, base, Scope::Base, "(objectClass=*)", &[]).await;
        assert_eq!(result.rc, code, "{base}");
    }
    let base = "CN=Nobody,CN=Users,DC=corp,DC=example";
    let (_, result) = search(&mut ldap, base, Scope::Base, "(objectClass=*)", &[]).await;
    assert_eq!(result.matched, "CN=Users,DC=corp,DC=example");
}

#[tokio::test]
async fn scopes_reach_as_far_as_they_say() {
    let directory = start(25).await;
    let mut ldap = relay(&directory).await;
    let staff = "OU=Staff,DC=corp,DC=example";
    let mut count =
        async |scope| search(&mut ldap, staff, scope, "(objectClass=*)", &["1.1"]).await.0.len();
    assert_eq!(count(Scope::Base).await, 1);
    assert_eq!(count(Scope::OneLevel).await, 4);
    assert_eq!(count(Scope::Subtree).await, 1 + 4 + 25);
    // The configuration is a naming context of its own, of which the domain only gives a referral.
    let found = search(&mut ldap, BASE, Scope::Subtree, "(cn=NTDS Settings)", &[]).await;
    assert!(found.0.is_empty());
    let mut stream =
        ldap.streaming_search(BASE, Scope::Subtree, "(cn=Sites)", vec!["1.1"]).await.unwrap();
    assert!(stream.next().await.unwrap().unwrap().is_ref());
}

#[tokio::test]
async fn a_large_result_comes_in_pages_only() {
    let directory = start(2_300).await;
    let mut ldap = relay(&directory).await;
    let (entries, result) =
        search(&mut ldap, BASE, Scope::Subtree, "(employeeID=*)", &["1.1"]).await;
    assert_eq!((entries.len(), result.rc), (1_000, 4));

    let adapters: Vec<Box<dyn Adapter<_, _>>> =
        vec![Box::new(EntriesOnly::new()), Box::new(PagedResults::new(5_000))];
    let search =
        ldap.streaming_search_with(adapters, BASE, Scope::Subtree, "(employeeID=*)", vec!["1.1"]);
    let mut stream = search.await.unwrap();
    let mut seen = HashSet::new();
    while let Some(entry) = stream.next().await.unwrap() {
        assert!(seen.insert(Entry::new(entry).dn));
    }
    assert_eq!(seen.len(), 2_300);
    assert_eq!(stream.finish().await.rc, 0);
}

#[tokio::test]
async fn a_page_cookie_is_good_for_its_own_search_only() {
    let directory = start(50).await;
    let mut ldap = relay(&directory).await;
    ldap.with_controls(Page { size: 10, cookie: vec![] });
    let (entries, result) = search(&mut ldap, BASE, Scope::Subtree, "(mail=*)", &["1.1"]).await;
    assert_eq!(entries.len(), 10);
    let cookie = response_parts(&result, control::PAGED).remove(1);
    assert!(!cookie.is_empty());
    ldap.with_controls(Page { size: 10, cookie });
    let (_, result) = search(&mut ldap, BASE, Scope::Subtree, "(title=*)", &["1.1"]).await;
    assert_eq!(result.rc, 12);
}

#[tokio::test]
async fn only_known_controls_may_be_critical() {
    let directory = start(1).await;
    let mut ldap = relay(&directory).await;
    ldap.with_controls(control("1.2.3.4", false, None));
    assert!(!find(&mut ldap, "(objectClass=user)", &["1.1"]).await.is_empty());
    ldap.with_controls(control("1.2.3.4", true, None));
    let (_, result) = search(&mut ldap, BASE, Scope::Base, "(objectClass=*)", &[]).await;
    assert_eq!(result.rc, 12);
}
