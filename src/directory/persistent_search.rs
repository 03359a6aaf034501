//! Persistent search (draft-ietf-ldapext-psearch-03), as 389 Directory Server and its kin have it.
//!
//! Nothing is remembered from one connection to the next, so a cursor is good for one connection
//! only: after each connect everything is read and compared. An entry that stops to match the
//! filter leaves without a word; the periodic full read finds it.

use std::time::Duration;

use async_trait::async_trait;
use ldap3::{ResultEntry, controls::RawControl};
use uuid::Uuid;

use super::{
    Changes, Cursor, Directory, Page, UsersPage, ber,
    entry::Entry,
    error::DirectoryError,
    feed::Feed,
    people::People,
    session::{Done, Login, Query, Session, code},
};

const PERSISTENT_SEARCH: &str = "2.16.840.1.113730.3.4.3";
const ENTRY_CHANGE: &str = "2.16.840.1.113730.3.4.7";

/// Additions, deletions, modifications, renames.
const ALL_CHANGES: u32 = 1 | 2 | 4 | 8;
const DELETED: &[u8] = &[2];
/// Entries of one answer to "what changed?".
const BATCH: usize = 1000;
/// The server does not say when it has begun to watch. What is read after this time shows
/// everything that happened before it had.
const SETTLE: Duration = Duration::from_millis(500);

/// A connection to a server with persistent search.
#[derive(Debug)]
pub struct PersistentSearch {
    session: Session,
    people: People,
    feed: Feed<Entry>,
    cursor: Cursor,
}

impl PersistentSearch {
    /// Connects, logs in and begins to listen.
    pub async fn connect(
        login: &Login,
        mut people: People,
    ) -> Result<PersistentSearch, DirectoryError> {
        let mut session = Session::connect(login).await?;
        if !session.offers("supportedControl", PERSISTENT_SEARCH).await? {
            return Err(not_offered(session.url()));
        }
        people.learn_key(&mut session).await?;
        let decoder = people.clone();
        let url = session.url().to_owned();
        let query = Query { controls: vec![request()], ..people.query() };
        let feed = Feed::start(
            Session::open(session.url(), login).await?,
            query,
            move |entry| change(&decoder, entry).map(Some),
            move |done: &Done| {
                let refused = done.result.rc == code::UNAVAILABLE_CRITICAL_EXTENSION;
                refused.then(|| not_offered(&url))
            },
        )
        .await?;
        tokio::time::sleep(SETTLE).await;
        let cursor = Cursor(Uuid::new_v4().as_bytes().to_vec());
        Ok(PersistentSearch { session, people, feed, cursor })
    }
}

#[async_trait]
impl Directory for PersistentSearch {
    fn server(&self) -> &str {
        self.session.url()
    }

    fn forgets(&self) -> bool {
        true
    }

    async fn now(&mut self) -> Result<Cursor, DirectoryError> {
        Ok(self.cursor.clone())
    }

    async fn changes(&mut self, cursor: &Cursor) -> Result<Changes, DirectoryError> {
        if *cursor != self.cursor {
            let cause = "a persistent search remembers nothing of earlier connections";
            return Err(DirectoryError::CursorRejected(cause.into()));
        }
        let mut entries = Vec::new();
        while entries.len() < BATCH
            && let Some(entry) = self.feed.take()?
        {
            entries.push(entry);
        }
        if entries.is_empty() {
            self.feed.probe().await?;
        }
        Ok(Changes { entries, next: self.cursor.clone(), more: self.feed.has_more() })
    }

    async fn users(&mut self, page: Option<Page>) -> Result<UsersPage, DirectoryError> {
        self.people.users(&mut self.session, page).await
    }

    async fn read(&mut self, object: Uuid) -> Result<Option<Entry>, DirectoryError> {
        self.people.read(&mut self.session, object).await
    }

    async fn find(&mut self, dn: &str) -> Result<Option<Uuid>, DirectoryError> {
        self.people.find(&mut self.session, dn).await
    }

    async fn doorbell(&mut self) -> Result<Option<u64>, DirectoryError> {
        Ok(Some(self.feed.arrived()))
    }
}

/// `SEQUENCE { changeTypes INTEGER, changesOnly BOOLEAN, returnECs BOOLEAN }`. Critical: a server
/// that does not know it would answer once, and never again.
fn request() -> RawControl {
    let value = ber::sequence(&[ber::integer(ALL_CHANGES), ber::boolean(true), ber::boolean(true)]);
    RawControl { ctype: PERSISTENT_SEARCH.into(), crit: true, val: Some(value) }
}

fn change(people: &People, entry: ResultEntry) -> Result<Entry, DirectoryError> {
    let malformed = || DirectoryError::failed("following changes", "an entry is malformed");
    let control = entry.1.iter().find(|control| control.1.ctype == ENTRY_CHANGE);
    let kind = match control.and_then(|control| control.1.val.as_deref()) {
        Some(value) => Some(change_type(value).ok_or_else(malformed)?.to_vec()),
        None => None,
    };
    let entry = people.entry(entry.0).ok_or_else(malformed)?;
    Ok(if kind.as_deref() == Some(DELETED) { Entry::deleted(entry.object) } else { entry })
}

/// `SEQUENCE { changeType ENUMERATED, previousDN LDAPDN OPTIONAL, changeNumber INTEGER OPTIONAL }`.
fn change_type(value: &[u8]) -> Option<&[u8]> {
    let (0x30, content, _) = ber::split(value)? else { return None };
    let (0x0a, kind, _) = ber::split(content)? else { return None };
    Some(kind)
}

fn not_offered(url: &str) -> DirectoryError {
    DirectoryError::Setup {
        what: format!("{url} does not offer persistent search"),
        remedy: "set directory.source to dirsync for Active Directory and Samba, to syncrepl for \
                 OpenLDAP"
            .into(),
    }
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;

    pub fn decode(bytes: &[u8]) {
        change_type(bytes);
    }

    #[test]
    fn the_request_has_the_form_of_the_draft() {
        let value = request().val.expect("a value");
        assert_eq!(value, [0x30, 9, 2, 1, 0x0f, 1, 1, 0xff, 1, 1, 0xff]);
    }

    #[test]
    fn a_change_type_is_read_or_refused() {
        let whole = [0x30, 0x06, 0x0a, 0x01, 0x02, 0x02, 0x01, 0x07];
        assert_eq!(change_type(&whole), Some(DELETED));
        for length in 0..whole.len() {
            assert_eq!(change_type(&whole[..length]), None);
        }
        assert_eq!(change_type(&[0x30, 3, 2, 1, 2]), None);
    }
}
