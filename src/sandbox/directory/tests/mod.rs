//! The server as a client sees it: over TCP, with the client library that the product uses.

mod accounts;
mod dirsync;
mod notification;
mod reading;
mod robustness;
mod writing;

use std::collections::{BTreeMap, HashSet};

use ldap3::{
    Ldap, LdapConnAsync, LdapError, LdapResult, Mod, ResultEntry, Scope, SearchEntry,
    controls::RawControl,
};
use ldap3_lber::Parser;

use super::{Options, SandboxDirectory, control};

const BASE: &str = "DC=corp,DC=example";

async fn start(users: usize) -> SandboxDirectory {
    SandboxDirectory::start(Options { users, ..Options::default() }).await.unwrap()
}

async fn connect(directory: &SandboxDirectory) -> Ldap {
    let (connection, ldap) = LdapConnAsync::new(&directory.url()).await.unwrap();
    tokio::spawn(async move { connection.drive().await });
    ldap
}

async fn relay(directory: &SandboxDirectory) -> Ldap {
    let mut ldap = connect(directory).await;
    let bound = ldap.simple_bind(directory.bind_name(), directory.bind_password()).await;
    bound.unwrap().success().unwrap();
    ldap
}

async fn admin(directory: &SandboxDirectory) -> Ldap {
    let mut ldap = connect(directory).await;
    let (name, password) = (directory.administrator_name(), directory.administrator_password());
    ldap.simple_bind(name, password).await.unwrap().success().unwrap();
    ldap
}

/// An entry, its values as text where they are text.
#[derive(Debug, Clone, PartialEq)]
struct Entry {
    dn: String,
    attrs: BTreeMap<String, Vec<Vec<u8>>>,
}

impl Entry {
    fn new(entry: ResultEntry) -> Entry {
        let entry = SearchEntry::construct(entry);
        let text = entry
            .attrs
            .into_iter()
            .map(|(name, values)| (name, values.into_iter().map(String::into_bytes).collect()));
        Entry { dn: entry.dn, attrs: text.chain(entry.bin_attrs).collect() }
    }

    fn values(&self, name: &str) -> Option<Vec<&str>> {
        let values = self.attrs.get(name)?;
        Some(values.iter().map(|value| std::str::from_utf8(value).unwrap()).collect())
    }

    fn text(&self, name: &str) -> &str {
        let values = self.values(name).unwrap_or_else(|| panic!("no {name} in {self:?}"));
        values.first().copied().unwrap_or_else(|| panic!("no value of {name} in {self:?}"))
    }

    fn names(&self) -> Vec<&str> {
        self.attrs.keys().map(String::as_str).collect()
    }

    fn is_cleared(&self, name: &str) -> bool {
        self.attrs.get(name).is_some_and(Vec::is_empty)
    }
}

fn control(oid: &str, critical: bool, value: Option<Vec<u8>>) -> RawControl {
    RawControl { ctype: oid.to_owned(), crit: critical, val: value }
}

/// A search's entries and its result, whatever the code.
async fn search(
    ldap: &mut Ldap,
    base: &str,
    scope: Scope,
    filter: &str,
    attrs: &[&str],
) -> (Vec<Entry>, LdapResult) {
    let mut stream = ldap.streaming_search(base, scope, filter, attrs.to_vec()).await.unwrap();
    let mut entries = Vec::new();
    while let Ok(Some(entry)) = stream.next().await {
        if !entry.is_ref() {
            entries.push(Entry::new(entry));
        }
    }
    (entries, stream.finish().await)
}

async fn find(ldap: &mut Ldap, filter: &str, attrs: &[&str]) -> Vec<Entry> {
    let (entries, result) = search(ldap, BASE, Scope::Subtree, filter, attrs).await;
    assert_eq!(result.rc, 0, "{filter}: {}", result.text);
    entries
}

async fn read(ldap: &mut Ldap, dn: &str, attrs: &[&str]) -> Entry {
    let (mut entries, result) = search(ldap, dn, Scope::Base, "(objectClass=*)", attrs).await;
    assert_eq!(result.rc, 0, "{dn}: {}", result.text);
    entries.remove(0)
}

async fn highest_usn(ldap: &mut Ldap) -> u64 {
    read(ldap, "", &["highestCommittedUSN"]).await.text("highestCommittedUSN").parse().unwrap()
}

/// The code of a write.
fn code(result: Result<LdapResult, LdapError>) -> u32 {
    result.unwrap().rc
}

async fn replace(ldap: &mut Ldap, dn: &str, attr: &str, values: &[&str]) -> LdapResult {
    let values: HashSet<&str> = values.iter().copied().collect();
    ldap.modify(dn, vec![Mod::Replace(attr, values)]).await.unwrap()
}

fn quoted(password: &str) -> Vec<u8> {
    format!("\"{password}\"").encode_utf16().flat_map(u16::to_le_bytes).collect()
}

async fn set_password(ldap: &mut Ldap, dn: &str, password: &str) -> LdapResult {
    let value = HashSet::from([quoted(password)]);
    ldap.modify(dn, vec![Mod::Replace(b"unicodePwd".to_vec(), value)]).await.unwrap()
}

/// The value of a DirSync request control.
fn dirsync_value(flags: u32, max_bytes: u32, cookie: &[u8]) -> Vec<u8> {
    let mut inner = vec![2, 4];
    inner.extend(flags.to_be_bytes());
    inner.extend([2, 4]);
    inner.extend(max_bytes.to_be_bytes());
    inner.extend([4, cookie.len() as u8]);
    inner.extend(cookie);
    [vec![0x30, inner.len() as u8], inner].concat()
}

/// The parts of the control value that a result carries under this OID.
fn response_parts(result: &LdapResult, oid: &str) -> Vec<Vec<u8>> {
    let control = result.ctrls.iter().find(|control| control.1.ctype == oid).unwrap();
    let value = control.1.val.as_ref().unwrap();
    let (_, tag) = Parser::new(4).parse(value).unwrap();
    tag.expect_constructed()
        .unwrap()
        .into_iter()
        .map(|tag| tag.expect_primitive().unwrap())
        .collect()
}

/// A client's DirSync state.
struct Sync {
    base: &'static str,
    flags: u32,
    max_bytes: u32,
    filter: &'static str,
    attrs: &'static [&'static str],
    cookie: Vec<u8>,
}

impl Sync {
    fn new(filter: &'static str, attrs: &'static [&'static str]) -> Sync {
        Sync { base: BASE, flags: 1, max_bytes: 1 << 20, filter, attrs, cookie: Vec::new() }
    }

    /// One reply: its entries, and whether there is more.
    async fn once(&mut self, ldap: &mut Ldap) -> Result<(Vec<Entry>, bool), LdapResult> {
        let value = dirsync_value(self.flags, self.max_bytes, &self.cookie);
        ldap.with_controls(control(control::DIRSYNC, true, Some(value)));
        let (entries, result) =
            search(ldap, self.base, Scope::Subtree, self.filter, self.attrs).await;
        if result.rc != 0 {
            return Err(result);
        }
        let parts = response_parts(&result, control::DIRSYNC);
        self.cookie = parts[2].clone();
        Ok((entries, parts[0].iter().any(|byte| *byte != 0)))
    }

    /// All replies up to now.
    async fn all(&mut self, ldap: &mut Ldap) -> Vec<Entry> {
        let mut all = Vec::new();
        loop {
            let (entries, more) = self.once(ldap).await.unwrap();
            all.extend(entries);
            if !more {
                return all;
            }
        }
    }
}

/// The distinguished names of the first invented users.
fn people(directory: &SandboxDirectory) -> Vec<String> {
    let users = directory.users().into_iter();
    users.filter(|user| user.attributes.contains_key("employeeID")).map(|user| user.dn).collect()
}
