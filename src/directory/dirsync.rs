//! Active Directory and Samba: the DirSync control (MS-ADTS 3.1.1.3.4.1.3).
//!
//! The search base is always the root of the naming context and the filter is broad and stable:
//! an object that stops to match a filter disappears without a word. What is in scope is decided
//! here, against the ledger.

use std::time::Duration;

use async_trait::async_trait;
use jiff::Timestamp;
use ldap3::{Scope, controls::RawControl, ldap_escape};
use tokio::time::timeout;
use uuid::Uuid;

use super::{
    Changes, Cursor, Directory, Page, Replica, UsersPage, ber,
    controller::{self, Controller, committed_usn, current_time, is_tombstone, password_expires},
    domain::{Domain, Selection, USERS, any_container},
    doorbell::{Bell, How, Listener},
    entry::{Entry, decode_parts},
    error::{DirectoryError, one_line},
    members, paging,
    session::{Done, Login, Query, Session, code},
};

pub(super) const DIRSYNC: &str = "1.2.840.113556.1.4.841";
const SHOW_DELETED: &str = "1.2.840.113556.1.4.417";

const EXTENDED_DN: &str = "1.2.840.113556.1.4.529";

/// No replication right is needed; only what the account may read is returned.
const OBJECT_SECURITY: u32 = 0x1;
/// Single members of a group that came or went, not all of them.
const INCREMENTAL_VALUES: u32 = 0x8000_0000;
/// The bytes that a reply may have, roughly. Samba ignores it.
const MAX_BYTES: u32 = 0x10_0000;

/// Matches nothing, so the reply is a cursor and no data.
const NOTHING: &str = "(cn=__none__)";

/// A connection to a domain controller.
#[derive(Debug)]
pub struct ActiveDirectory {
    session: Session,
    login: Login,
    selection: Selection,
    /// As `selection.attributes`, for searches that return only what is listed.
    search_attributes: Vec<String>,
    replica: Replica,
    how: Option<How>,
}

impl ActiveDirectory {
    /// Connects, logs in, and checks what would otherwise fail in silence later: that this is a
    /// controller of the domain, that DirSync is there and allowed, and that deleted objects can
    /// be seen.
    pub async fn connect(
        login: &Login,
        domain: &Domain,
    ) -> Result<ActiveDirectory, DirectoryError> {
        let at = |url: String| async move { ActiveDirectory::at(&url, login, domain).await };
        login.servers.first(at).await
    }

    async fn at(
        url: &str,
        login: &Login,
        domain: &Domain,
    ) -> Result<ActiveDirectory, DirectoryError> {
        let (mut directory, controller) = ActiveDirectory::open(url, login, domain).await?;
        controller.check(url, &domain.selection.base_dn)?;
        directory.now().await?;
        directory.check_deleted_objects().await?;
        Ok(directory)
    }

    /// Connects and logs in. Whether the controller will do is for the caller to find out.
    pub(super) async fn open(
        url: &str,
        login: &Login,
        domain: &Domain,
    ) -> Result<(ActiveDirectory, Controller), DirectoryError> {
        let Domain { selection, doorbell, usn_interval } = domain;
        let mut session = Session::open(url, login).await?;
        let controller = Controller::ask(&mut session).await?;
        let how = controller.doorbell(*doorbell, *usn_interval);
        let (doorbell, why) =
            how.map_or(("none", "as configured"), |(how, why)| (how.as_str(), why));
        tracing::info!(server = session.url(), dc = %controller.replica.server, doorbell, why,
            "connected to a domain controller");
        let mut search_attributes = selection.attributes.clone();
        search_attributes.extend(["objectGUID", "whenChanged"].map(str::to_owned));
        let replica = controller.replica.clone();
        let directory = ActiveDirectory {
            session,
            login: login.clone(),
            selection: selection.clone(),
            search_attributes,
            replica: Replica { selection: selection.fingerprint(), ..replica },
            how: how.map(|(how, _)| how),
        };
        Ok((directory, controller))
    }

    /// Whether deletions would be told.
    pub(super) async fn check_deleted_objects(&mut self) -> Result<(), DirectoryError> {
        let base_dn = &self.selection.base_dn;
        controller::check_deleted_objects(&mut self.session, base_dn, &self.login.user).await
    }

    /// What the selection reads below.
    pub(super) fn base_dn(&self) -> &str {
        &self.selection.base_dn
    }

    /// The connection itself.
    pub(super) fn session(&mut self) -> &mut Session {
        &mut self.session
    }

    async fn dirsync(&mut self, filter: &str, cursor: &Cursor) -> Result<Changes, DirectoryError> {
        let mut flags = if self.selection.object_security { OBJECT_SECURITY } else { 0 };
        let mut attributes = self.selection.attributes.clone();
        if self.selection.groups {
            flags |= INCREMENTAL_VALUES;
            attributes.push("member".into());
        }
        let query = Query {
            base: &self.selection.base_dn,
            scope: Scope::Subtree,
            filter,
            attributes: &attributes,
            controls: vec![request(flags, &cursor.0), show_deleted(), extended_dn()],
        };
        let (done, entries) = read(&mut self.session, query, false, "reading changes").await?;
        if done.result.rc != code::SUCCESS {
            return Err(self.refused(&done, cursor));
        }
        let tidy = |entry| whole_links(gone_if_invisible(entry));
        let entries = entries.into_iter().map(tidy).collect();
        let (more, next) = done
            .control(DIRSYNC)
            .and_then(response)
            .ok_or_else(|| DirectoryError::failed("reading changes", "the reply has no cursor"))?;
        Ok(Changes { entries, next, more })
    }

    fn refused(&self, done: &Done, cursor: &Cursor) -> DirectoryError {
        let text = one_line(&done.result.text);
        match done.result.rc {
            code::PROTOCOL_ERROR | code::UNAVAILABLE_CRITICAL_EXTENSION if !cursor.0.is_empty() => {
                DirectoryError::CursorRejected(text)
            }
            code::INSUFFICIENT_ACCESS_RIGHTS => DirectoryError::Setup {
                what: format!("the account may not use DirSync on {}", self.selection.base_dn),
                remedy: "set directory.object_security to true, or grant the account \
                         \"Replicating Directory Changes\" on the domain"
                    .into(),
            },
            code::UNWILLING_TO_PERFORM
            | code::NO_SUCH_OBJECT
            | code::INVALID_DN_SYNTAX
            | code::REFERRAL => DirectoryError::Setup {
                what: format!("DirSync is refused on {}: {text}", self.selection.base_dn),
                remedy: "write the root of the domain's naming context in directory.base_dn".into(),
            },
            code::OPERATIONS_ERROR => DirectoryError::unreachable(self.session.url(), text),
            _ => failed("reading changes", done),
        }
    }
}

#[async_trait]
impl Directory for ActiveDirectory {
    fn server(&self) -> &str {
        self.session.url()
    }

    async fn now(&mut self) -> Result<Cursor, DirectoryError> {
        let mut cursor = Cursor(Vec::new());
        loop {
            let changes = self.dirsync(NOTHING, &cursor).await?;
            cursor = changes.next;
            if !changes.more {
                return Ok(cursor);
            }
        }
    }

    async fn changes(&mut self, cursor: &Cursor) -> Result<Changes, DirectoryError> {
        self.dirsync(&self.selection.followed(), cursor).await
    }

    async fn users(&mut self, page: Option<Page>) -> Result<UsersPage, DirectoryError> {
        self.all(USERS, page).await
    }

    fn has_containers(&self) -> bool {
        true
    }

    async fn containers(&mut self, page: Option<Page>) -> Result<UsersPage, DirectoryError> {
        self.all(&any_container(), page).await
    }

    async fn nested_groups(&mut self, page: Option<Page>) -> Result<UsersPage, DirectoryError> {
        self.all("(&(objectClass=group)(memberOf=*))", page).await
    }

    async fn members(&mut self, group: Uuid) -> Result<Option<Vec<Uuid>>, DirectoryError> {
        let base = format!("<GUID={group}>");
        let mut found = Vec::new();
        let mut start = 0;
        loop {
            let attributes = [members::from(start)];
            let mut answer = None;
            let query = Query {
                base: &base,
                scope: Scope::Base,
                filter: "(objectClass=group)",
                attributes: &attributes,
                controls: vec![extended_dn()],
            };
            let done = self.session.search(query, |entry| answer = decode_parts(entry.0)).await?;
            if !matches!(done.result.rc, code::SUCCESS | code::NO_SUCH_OBJECT) {
                return Err(failed("reading a group", &done));
            }
            let Some((_, attributes)) = answer else { return Ok(None) };
            let range = members::range(&attributes, start).ok_or_else(|| {
                DirectoryError::failed("reading a group", "the server answers another range")
            })?;
            found.extend(range.members);
            match range.next {
                Some(next) => start = next,
                None => return Ok(Some(found)),
            }
        }
    }

    async fn find(&mut self, dn: &str) -> Result<Option<Uuid>, DirectoryError> {
        let attributes = ["objectGUID".to_owned()];
        let mut found = None;
        let query = Query {
            base: dn,
            scope: Scope::Base,
            filter: "(objectClass=*)",
            attributes: &attributes,
            controls: Vec::new(),
        };
        let done = self.session.search(query, |e| found = Entry::decode(e.0, true)).await?;
        match done.result.rc {
            code::SUCCESS => Ok(found.map(|entry| entry.object)),
            code::NO_SUCH_OBJECT | code::INVALID_DN_SYNTAX => Ok(None),
            _ => Err(failed("looking for an object", &done)),
        }
    }

    async fn read(&mut self, object: Uuid) -> Result<Option<Entry>, DirectoryError> {
        let base = format!("<GUID={object}>");
        let mut found = None;
        let done = self
            .session
            .search(
                Query {
                    base: &base,
                    scope: Scope::Base,
                    filter: USERS,
                    attributes: &self.search_attributes,
                    controls: vec![extended_dn()],
                },
                |entry| found = Entry::decode(entry.0, true),
            )
            .await?;
        match done.result.rc {
            code::SUCCESS => Ok(found),
            code::NO_SUCH_OBJECT => Ok(None),
            _ => Err(failed("reading a user", &done)),
        }
    }

    async fn usn(&mut self) -> Result<Option<u64>, DirectoryError> {
        const ANSWER: Duration = Duration::from_secs(5);
        match timeout(ANSWER, committed_usn(&mut self.session)).await {
            Ok(usn) => usn.map(Some),
            Err(_) => Err(DirectoryError::unreachable(self.session.url(), "no answer in time")),
        }
    }

    fn bell(&self) -> Option<Bell> {
        let listener = Listener {
            login: self.login.clone(),
            url: self.session.url().to_owned(),
            base_dn: self.selection.base_dn.clone(),
            how: self.how?,
        };
        Some(listener.start())
    }

    fn replica(&self) -> Replica {
        self.replica.clone()
    }

    async fn is_tombstone(&mut self, object: Uuid) -> Result<bool, DirectoryError> {
        is_tombstone(&mut self.session, object).await
    }

    async fn time(&mut self) -> Result<Option<Timestamp>, DirectoryError> {
        current_time(&mut self.session).await
    }

    async fn password_expires(
        &mut self,
        object: Uuid,
    ) -> Result<Option<Timestamp>, DirectoryError> {
        password_expires(&mut self.session, object).await
    }

    async fn find_user(
        &mut self,
        attribute: &str,
        value: &str,
    ) -> Result<Option<Uuid>, DirectoryError> {
        let filter = format!("(&{USERS}({attribute}={}))", ldap_escape(value));
        let attributes = ["objectGUID".to_owned()];
        let query = Query {
            base: &self.selection.base_dn,
            scope: Scope::Subtree,
            filter: &filter,
            attributes: &attributes,
            controls: Vec::new(),
        };
        let (done, found) = read(&mut self.session, query, false, "finding a user").await?;
        match (done.result.rc, &found[..]) {
            (code::SUCCESS, [entry]) => Ok(Some(entry.object)),
            (code::SUCCESS, _) => Ok(None),
            _ => Err(failed("finding a user", &done)),
        }
    }
}

impl ActiveDirectory {
    /// One page of everything that matches, complete.
    async fn all(&mut self, filter: &str, page: Option<Page>) -> Result<UsersPage, DirectoryError> {
        let query = Query {
            base: &self.selection.base_dn,
            scope: Scope::Subtree,
            filter,
            attributes: &self.search_attributes,
            controls: vec![paging::request(page), extended_dn()],
        };
        let (done, entries) = read(&mut self.session, query, true, "reading everything").await?;
        if done.result.rc != code::SUCCESS {
            return Err(failed("reading everything", &done));
        }
        Ok(UsersPage { entries, next: paging::next(&done) })
    }
}

/// What a search finds. A result other than success is the caller's to judge; entries that cannot be
/// read are an error, for leaving them out would look like a deletion.
async fn read(
    session: &mut Session,
    query: Query<'_>,
    complete: bool,
    what: &'static str,
) -> Result<(Done, Vec<Entry>), DirectoryError> {
    let mut entries = Vec::new();
    let mut malformed = 0_usize;
    let done = session
        .search(query, |entry| match Entry::decode(entry.0, complete) {
            Some(entry) => entries.push(entry),
            None => malformed += 1,
        })
        .await?;
    if done.result.rc == code::SUCCESS && malformed > 0 {
        let cause = format!("{malformed} entries of the reply are malformed");
        return Err(DirectoryError::failed(what, cause));
    }
    Ok((done, entries))
}

/// `SEQUENCE { Flags INTEGER, MaxBytes INTEGER, Cookie OCTET STRING }`, always critical.
fn request(flags: u32, cookie: &[u8]) -> RawControl {
    let value =
        ber::sequence(&[ber::integer_4(flags), ber::integer(MAX_BYTES), ber::octets(cookie)]);
    RawControl { ctype: DIRSYNC.into(), crit: true, val: Some(value) }
}

/// `SEQUENCE { MoreResults INTEGER, unused INTEGER, CookieServer OCTET STRING }`.
fn response(value: &[u8]) -> Option<(bool, Cursor)> {
    let (0x30, content, _) = ber::split(value)? else { return None };
    let (0x02, more, rest) = ber::split(content)? else { return None };
    let (0x02, _unused, rest) = ber::split(rest)? else { return None };
    let (0x04, cookie, _) = ber::split(rest)? else { return None };
    Some((more.iter().any(|byte| *byte != 0), Cursor(cookie.to_vec())))
}

/// Names of objects come with their GUIDs, in text (MS-ADTS 3.1.1.3.4.1.5).
fn extended_dn() -> RawControl {
    let value = ber::sequence(&[ber::integer(1)]);
    RawControl { ctype: EXTENDED_DN.into(), crit: true, val: Some(value) }
}

/// A link of a user has one value: what was added is all of it. Only members come one by one.
fn whole_links(mut entry: Entry) -> Entry {
    const ADDED: &str = ";range=1-1";
    const REMOVED: &str = ";range=0-0";
    let link = |name: &str| {
        let link = name.strip_suffix(ADDED).or_else(|| name.strip_suffix(REMOVED))?;
        (link != "member").then(|| link.to_owned())
    };
    let links: Vec<_> = entry.attributes.keys().filter_map(|name| link(name)).collect();
    for name in links {
        entry.attributes.remove(&format!("{name}{REMOVED}"));
        let values = entry.attributes.remove(&format!("{name}{ADDED}")).unwrap_or_default();
        entry.attributes.insert(name, values);
    }
    entry
}

pub(super) fn show_deleted() -> RawControl {
    RawControl { ctype: SHOW_DELETED.into(), crit: true, val: None }
}

/// With OBJECT_SECURITY an object that the account may no longer read comes without a name.
fn gone_if_invisible(mut entry: Entry) -> Entry {
    if entry.dn.is_empty() {
        entry.attributes.insert("isdeleted".into(), vec![b"TRUE".to_vec()]);
    }
    entry
}

pub(super) fn failed(doing: &'static str, done: &Done) -> DirectoryError {
    let text = one_line(&done.result.text);
    DirectoryError::failed(doing, format!("result {}: {text}", done.result.rc))
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;

    pub fn decode(bytes: &[u8]) {
        response(bytes);
    }

    #[test]
    fn flags_have_four_bytes_whatever_they_are() {
        let value = |flags| request(flags, b"").val.expect("a value");
        assert_eq!(value(0x8000_0801), [0x30, 0x0d, 2, 4, 0x80, 0, 8, 1, 2, 3, 0x10, 0, 0, 4, 0]);
        assert_eq!(value(1)[2..8], [2, 4, 0, 0, 0, 1]);
    }

    #[test]
    fn a_reply_is_read_or_refused() {
        let reply = [0x30, 0x0a, 2, 1, 1, 2, 1, 0, 4, 2, 7, 8];
        assert_eq!(response(&reply), Some((true, Cursor(vec![7, 8]))));
        // AD writes more than one byte here and there.
        let reply = [0x30, 0x0d, 2, 4, 0, 0, 0, 0, 2, 1, 0, 4, 2, 7, 8];
        assert_eq!(response(&reply), Some((false, Cursor(vec![7, 8]))));
        for length in 0..reply.len() {
            assert_eq!(response(&reply[..length]), None);
        }
    }
}
