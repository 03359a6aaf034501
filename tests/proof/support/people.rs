//! What the tests do to a directory of people that is not Active Directory.

use std::collections::{BTreeMap, HashSet};
use std::net::{Ipv4Addr, SocketAddr};
use std::path::PathBuf;

use ldap3::{Ldap, LdapConnAsync, Mod};
use serde_json::json;

use super::relay::Setup;
use super::wait::eventually;

/// The suffix of the directory.
pub const SUFFIX: &str = "dc=example,dc=org";
/// Who may do everything.
pub const ROOT_DN: &str = "cn=Directory Manager,dc=example,dc=org";
/// The password of [`ROOT_DN`].
pub const ROOT_PASSWORD: &str = "R00t-Passw0rd";
/// The relay's account.
pub const SERVICE_DN: &str = "uid=relay,dc=example,dc=org";
/// The password of [`SERVICE_DN`].
pub const SERVICE_PASSWORD: &str = "S3rvice-Passw0rd";

/// Attribute → value.
type Attribute<'a> = (&'a str, &'a str);

/// A connection with every right.
pub struct Admin {
    ldap: Ldap,
}

impl Admin {
    /// Connects as soon as the server lets it in.
    pub async fn connect(ip: Ipv4Addr) -> Admin {
        let connect = async || {
            let (connection, mut ldap) = LdapConnAsync::new(&format!("ldap://{ip}")).await?;
            tokio::spawn(connection.drive());
            ldap.simple_bind(ROOT_DN, ROOT_PASSWORD).await?.success()?;
            ldap3::result::Result::Ok(ldap)
        };
        Admin { ldap: eventually("the directory server lets its manager bind", connect).await }
    }

    /// Adds an entry.
    pub async fn add(&mut self, dn: &str, attributes: &[Attribute<'_>]) {
        let mut values = BTreeMap::<_, HashSet<_>>::new();
        for (name, value) in attributes {
            values.entry(*name).or_default().insert(*value);
        }
        self.ldap.add(dn, values.into_iter().collect()).await.unwrap().success().unwrap();
    }

    /// Adds the suffix and the relay's account.
    pub async fn fill(&mut self, acl: &[Attribute<'_>]) {
        let domain = [&[("objectClass", "domain"), ("dc", "example")], acl].concat();
        self.add(SUFFIX, &domain).await;
        self.add_person("relay").await;
        self.replace("relay", "userPassword", &[SERVICE_PASSWORD]).await;
    }

    /// Adds a person whose address is `NAME@example.org`, and returns that.
    pub async fn add_person(&mut self, name: &str) -> String {
        let mail = format!("{name}@example.org");
        let person = [("objectClass", "inetOrgPerson"), ("uid", name), ("cn", name), ("sn", name)];
        self.add(&dn(name), &[&person[..], &[("mail", &mail)]].concat()).await;
        mail
    }

    /// Replaces the values of an attribute of a person.
    pub async fn replace(&mut self, name: &str, attribute: &str, values: &[&str]) {
        let change = Mod::Replace(attribute, values.iter().copied().collect());
        self.ldap.modify(&dn(name), vec![change]).await.unwrap().success().unwrap();
    }

    /// Deletes a person.
    pub async fn delete(&mut self, name: &str) {
        self.ldap.delete(&dn(name)).await.unwrap().success().unwrap();
    }

    /// Takes a person's login name, so that no search for people finds it any more.
    pub async fn take_login_name(&mut self, name: &str) {
        let result = self.ldap.modifydn(&dn(name), &format!("cn={name}"), true, None).await;
        result.unwrap().success().unwrap();
    }
}

fn dn(name: &str) -> String {
    format!("uid={name},{SUFFIX}")
}

/// The relay's settings for a directory of this kind.
pub fn follow(setup: Setup, source: &str, ip: Ipv4Addr) -> Setup {
    let password: PathBuf = setup.secret("bind", SERVICE_PASSWORD);
    let bind = json!({ "method": "simple", "user": SERVICE_DN, "password_file": password });
    setup
        .set("directory.source", source)
        .set("directory.urls", [format!("ldap://{}", SocketAddr::from((ip, 389)))])
        .set("directory.base_dn", SUFFIX)
        .set("directory.bind", bind)
}
