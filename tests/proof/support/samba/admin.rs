//! What an administrator does to the directory.

use std::collections::HashSet;
use std::path::Path;

use base64::{Engine, prelude::BASE64_STANDARD};
use ldap3::controls::RawControl;
use ldap3::{Ldap, LdapConnSettings, Mod, Scope, SearchEntry};
use uuid::Uuid;

use super::{BASE_DN, Right, UPN_SUFFIX, connect};

/// The bit of userAccountControl that disables an account (MS-ADTS section 2.2.16).
const ACCOUNT_DISABLE: u32 = 0x2;
const NORMAL_ACCOUNT: u32 = 0x200;
/// Satisfies the domain's complexity rule.
const FIRST_PASSWORD: &str = "F1rst-Passw0rd";
const SERVICE_PASSWORD: &str = "S3rvice-Passw0rd";

/// LDAP_SERVER_SD_FLAGS_OID with DACL_SECURITY_INFORMATION (MS-ADTS section 3.1.1.3.4.1.11).
const SD_FLAGS: (&str, &[u8]) = ("1.2.840.113556.1.4.801", &[0x30, 0x03, 0x02, 0x01, 0x04]);
/// LDAP_SERVER_SHOW_DELETED_OID (MS-ADTS section 3.1.1.3.4.1.14).
const SHOW_DELETED: &str = "1.2.840.113556.1.4.417";

/// A user in the directory.
#[derive(Clone, Debug)]
pub struct User {
    /// objectGUID.
    pub guid: Uuid,
    /// sAMAccountName, and the common name it was created with.
    pub name: String,
    /// userPrincipalName it was created with.
    pub upn: String,
}

impl User {
    /// What `onPremisesImmutableId` is in the cloud: base64 of the bytes as the directory has them.
    pub fn immutable_id(&self) -> String {
        BASE64_STANDARD.encode(self.guid.to_bytes_le())
    }

    /// A name that survives moves and renames (MS-ADTS section 3.1.1.3.1.2.4).
    pub fn dn(&self) -> String {
        format!("<GUID={}>", self.guid)
    }
}

/// Credentials for a bind.
#[derive(Clone, Debug)]
pub struct Account {
    /// userPrincipalName.
    pub upn: String,
    /// Its password.
    pub password: String,
    dn: String,
}

impl Account {
    /// Its distinguished name.
    pub fn dn(&self) -> &str {
        &self.dn
    }
}

/// A connection over the domain controller's privileged socket: the system itself.
pub struct Admin {
    ldap: Ldap,
}

impl Admin {
    pub(super) async fn connect(socket: &Path) -> Admin {
        let url = format!("ldapi://{}", socket.display().to_string().replace('/', "%2F"));
        let ldap = connect(LdapConnSettings::new(), &url).await.expect("the privileged socket");
        Admin { ldap }
    }

    /// Adds an organizational unit below the domain and returns its DN.
    pub async fn add_ou(&mut self, name: &str) -> String {
        let dn = format!("OU={name},{BASE_DN}");
        self.add(&dn, vec![("objectClass", "organizationalUnit".into())]).await;
        dn
    }

    /// Adds an object of another kind, with these attributes.
    pub async fn add_object(&mut self, dn: &str, attributes: &[(&str, &str)]) {
        let attributes = attributes.iter().map(|(name, value)| (*name, (*value).into()));
        self.add(dn, attributes.collect()).await;
    }

    /// Adds an enabled user with a password below `parent`.
    pub async fn add_user(&mut self, parent: &str, name: &str) -> User {
        let upn = format!("{name}@{UPN_SUFFIX}");
        let dn = format!("CN={name},{parent}");
        self.add_account(&dn, name, &upn, FIRST_PASSWORD).await;
        let guid = self.read(&dn, "objectGUID").await;
        let guid = Uuid::from_slice_le(&guid).expect("an objectGUID has sixteen bytes");
        User { guid, name: name.to_owned(), upn }
    }

    /// Adds an account for a service and grants it `rights`.
    pub async fn add_service_account(&mut self, name: &str, rights: &[Right]) -> Account {
        let upn = format!("{name}@{UPN_SUFFIX}");
        let dn = format!("CN={name},CN=Users,{BASE_DN}");
        self.add_account(&dn, name, &upn, SERVICE_PASSWORD).await;
        let account = Account { upn, password: SERVICE_PASSWORD.to_owned(), dn };
        for right in rights {
            self.grant(&account, *right).await;
        }
        account
    }

    /// Grants `right` to an account that exists.
    pub async fn grant(&mut self, account: &Account, right: Right) {
        let sid = self.read(&account.dn, "objectSid").await;
        let object = right.object();
        let mut descriptor = self.read(&object, "nTSecurityDescriptor").await;
        right.grant(&mut descriptor, &sid);
        self.replace_bytes(&object, "nTSecurityDescriptor", vec![descriptor]).await;
    }

    /// Sets the bit that disables the account.
    pub async fn disable(&mut self, user: &User) {
        let control = self.account_control(user).await | ACCOUNT_DISABLE;
        self.replace(user, "userAccountControl", &[&control.to_string()]).await;
    }

    /// Clears the bit that disables the account.
    pub async fn enable(&mut self, user: &User) {
        let control = self.account_control(user).await & !ACCOUNT_DISABLE;
        self.replace(user, "userAccountControl", &[&control.to_string()]).await;
    }

    /// Sets a new password, as a help desk does.
    pub async fn set_password(&mut self, user: &User, password: &str) {
        self.replace_bytes(&user.dn(), "unicodePwd", vec![unicode_pwd(password)]).await;
    }

    /// Lets users change a password that they have just changed.
    pub async fn allow_frequent_password_changes(&mut self) {
        self.replace_bytes(BASE_DN, "minPwdAge", vec![b"0".to_vec()]).await;
    }

    /// As [`Admin::set_password`]; whether the domain accepts it.
    pub async fn try_set_password(&mut self, user: &User, password: &str) -> bool {
        let value = HashSet::from([unicode_pwd(password)]);
        let change = Mod::Replace(b"unicodePwd".to_vec(), value);
        self.ldap.modify(&user.dn(), vec![change]).await.unwrap().success().is_ok()
    }

    /// Changes a password as its user does, who is bound by the history; whether the domain
    /// accepts it.
    pub async fn try_change_password(&mut self, user: &User, old: &str, new: &str) -> bool {
        let name = || b"unicodePwd".to_vec();
        let change = vec![
            Mod::Delete(name(), HashSet::from([unicode_pwd(old)])),
            Mod::Add(name(), HashSet::from([unicode_pwd(new)])),
        ];
        self.ldap.modify(&user.dn(), change).await.unwrap().success().is_ok()
    }

    /// Replaces all values of an attribute; no values clear it.
    pub async fn replace(&mut self, user: &User, attribute: &str, values: &[&str]) {
        self.replace_at(&user.dn(), attribute, values).await;
    }

    /// The same, of any object.
    pub async fn replace_at(&mut self, dn: &str, attribute: &str, values: &[&str]) {
        let values = values.iter().map(|value| value.as_bytes().to_vec()).collect();
        self.replace_bytes(dn, attribute, values).await;
    }

    /// Adds a value to those of an object's attribute.
    pub async fn add_value(&mut self, dn: &str, attribute: &str, value: &str) {
        let change = Mod::Add(attribute, HashSet::from([value]));
        let added = self.ldap.modify(dn, vec![change]).await;
        added.and_then(|done| done.success()).expect("one more value");
    }

    /// The one value of a user's attribute.
    pub async fn value(&mut self, user: &User, attribute: &str) -> String {
        String::from_utf8(self.read(&user.dn(), attribute).await).expect("text")
    }

    /// Deletes the user; who is in the recycle bin leaves it for good.
    pub async fn delete(&mut self, user: &User) {
        let deleted = self.ldap.with_controls(controls()).delete(&user.dn()).await;
        deleted.and_then(|done| done.success()).expect("a deletion");
    }

    /// Takes a deleted user back below `parent` (MS-ADTS section 3.1.1.5.3.7).
    pub async fn restore(&mut self, user: &User, parent: &str) {
        let dn = format!("CN={},{parent}", user.name);
        let changes = vec![
            Mod::Delete("isDeleted", HashSet::new()),
            Mod::Replace("distinguishedName", HashSet::from([dn.as_str()])),
        ];
        let restored = self.ldap.with_controls(controls()).modify(&user.dn(), changes).await;
        restored.and_then(|done| done.success()).expect("a restoration");
    }

    /// Enables the recycle bin, which cannot be undone (MS-ADTS section 3.1.1.9.1).
    pub async fn enable_recycle_bin(&mut self) {
        const FEATURE: &str = "766ddcd8-acd0-445e-f3b9-a7f9b6744f2a";
        let value = format!("CN=Partitions,CN=Configuration,{BASE_DN}:{FEATURE}");
        self.replace_at("", "enableOptionalFeature", &[&value]).await;
    }

    /// Makes an object a member of a group.
    pub async fn add_member(&mut self, group: &str, member: &str) {
        self.add_value(group, "member", member).await;
    }

    /// Ends a membership.
    pub async fn remove_member(&mut self, group: &str, member: &str) {
        let change = Mod::Delete("member", HashSet::from([member]));
        let removed = self.ldap.modify(group, vec![change]).await;
        removed.and_then(|done| done.success()).expect("one member less");
    }

    /// Moves the user below `parent`, under the name it was created with.
    pub async fn move_to(&mut self, user: &User, parent: &str) {
        self.rename(&user.dn(), &format!("CN={}", user.name), Some(parent)).await;
    }

    /// Gives an object another relative name, and another place if one is given.
    pub async fn rename(&mut self, dn: &str, rdn: &str, parent: Option<&str>) {
        let renamed = self.ldap.modifydn(dn, rdn, true, parent).await;
        renamed.and_then(|done| done.success()).unwrap_or_else(|error| panic!("{dn}: {error}"));
    }

    async fn account_control(&mut self, user: &User) -> u32 {
        let value = self.read(&user.dn(), "userAccountControl").await;
        let text = String::from_utf8(value).expect("an integer is text in LDAP");
        text.parse().expect("userAccountControl is an integer")
    }

    async fn add_account(&mut self, dn: &str, name: &str, upn: &str, password: &str) {
        let attributes = vec![
            ("objectClass", "user".into()),
            ("sAMAccountName", name.into()),
            ("userPrincipalName", upn.into()),
            ("userAccountControl", NORMAL_ACCOUNT.to_string().into_bytes()),
            ("unicodePwd", unicode_pwd(password)),
        ];
        self.add(dn, attributes).await;
    }

    async fn add(&mut self, dn: &str, attributes: Vec<(&str, Vec<u8>)>) {
        let attributes = attributes
            .into_iter()
            .map(|(name, value)| (name.as_bytes().to_vec(), HashSet::from([value])))
            .collect();
        let added = self.ldap.add(dn, attributes).await;
        added.and_then(|done| done.success()).unwrap_or_else(|error| panic!("add {dn}: {error}"));
    }

    async fn replace_bytes(&mut self, dn: &str, attribute: &str, values: Vec<Vec<u8>>) {
        let change = Mod::Replace(attribute.as_bytes().to_vec(), HashSet::from_iter(values));
        let modified = self.ldap.with_controls(controls()).modify(dn, vec![change]).await;
        modified
            .and_then(|done| done.success())
            .unwrap_or_else(|error| panic!("modify {attribute} of {dn}: {error}"));
    }

    /// The one value of an attribute that must be there.
    async fn read(&mut self, dn: &str, attribute: &str) -> Vec<u8> {
        let found = self
            .ldap
            .with_controls(controls())
            .search(dn, Scope::Base, "(objectClass=*)", [attribute])
            .await
            .and_then(|found| found.success());
        let (entries, _) =
            found.unwrap_or_else(|error| panic!("read {attribute} of {dn}: {error}"));
        let entry = entries.into_iter().next().unwrap_or_else(|| panic!("{dn} is not there"));
        // Bytes that happen to be text are handed out as text.
        let SearchEntry { mut attrs, mut bin_attrs, .. } = SearchEntry::construct(entry);
        let text = attrs.remove(attribute).and_then(|mut values| values.pop());
        text.map(String::into_bytes)
            .or_else(|| bin_attrs.remove(attribute).and_then(|mut values| values.pop()))
            .unwrap_or_else(|| panic!("{dn} has no {attribute}"))
    }
}

/// Reads and writes reach `CN=Deleted Objects`, and of a security descriptor only the DACL.
fn controls() -> Vec<RawControl> {
    let (oid, value) = SD_FLAGS;
    vec![
        RawControl { ctype: oid.to_owned(), crit: true, val: Some(value.to_vec()) },
        RawControl { ctype: SHOW_DELETED.to_owned(), crit: true, val: None },
    ]
}

/// A password as the attribute wants it: quoted, UTF-16LE (MS-ADTS section 3.1.1.3.1.5.1).
fn unicode_pwd(password: &str) -> Vec<u8> {
    format!("\"{password}\"").encode_utf16().flat_map(u16::to_le_bytes).collect()
}
