//! A group that is larger than one answer.

use std::collections::{BTreeSet, HashSet};

use ldap3::{Ldap, LdapConnAsync, Mod};

use crate::{
    config::model,
    directory::{ActiveDirectory, Directory, Domain, Login},
    sandbox::Sandbox,
};

/// More than twice what the server tells at once.
const USERS: usize = 3_100;

async fn administrator(sandbox: &Sandbox) -> Ldap {
    let directory = &sandbox.directory;
    let (connection, mut ldap) = LdapConnAsync::new(&directory.url()).await.expect("connected");
    tokio::spawn(connection.drive());
    let (name, password) = (directory.administrator_name(), directory.administrator_password());
    ldap.simple_bind(name, password).await.and_then(|done| done.success()).expect("bound");
    ldap
}

#[tokio::test]
async fn a_large_group_is_read_to_its_last_member() {
    let sandbox = Sandbox::start(USERS).await.expect("a sandbox");
    let mut config = model::Directory::default();
    sandbox.configure_directory(&mut config);
    let users = sandbox.directory.users();
    let everybody: BTreeSet<_> = users.iter().map(|user| user.guid).collect();
    let group = format!("CN=Everybody,{}", config.base_dn);
    let mut ldap = administrator(&sandbox).await;
    let attributes = [("objectClass", "group"), ("sAMAccountName", "everybody")];
    let attributes = attributes.map(|(name, value)| (name, HashSet::from([value]))).to_vec();
    ldap.add(&group, attributes).await.and_then(|done| done.success()).expect("a group");
    for part in users.chunks(1_000) {
        let names = part.iter().map(|user| user.dn.as_str()).collect();
        let added = ldap.modify(&group, vec![Mod::Add("member", names)]).await;
        added.and_then(|done| done.success()).expect("members");
    }

    let domain = Domain::from_config(&config, []).with_groups(true);
    let login = Login::from_config(&config);
    let mut directory = ActiveDirectory::connect(&login, &domain).await.expect("connected");
    let object = directory.find(&group).await.expect("an answer").expect("the group");
    let members = directory.members(object).await.expect("an answer").expect("a group");
    assert!(members.len() > USERS, "the built-in accounts too");
    assert_eq!(members.len(), everybody.len(), "each once");
    assert_eq!(BTreeSet::from_iter(members), everybody);
}
