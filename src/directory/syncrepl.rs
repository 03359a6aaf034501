//! Content synchronization (RFC 4533, refreshAndPersist), as OpenLDAP's overlay `syncprov` has it.
//!
//! The cookie is the cursor. A server that still knows what was deleted since then tells the
//! changes alone; one that does not would list whoever is left, which is what a full read with a
//! comparison does better.

use std::time::Duration;

use async_trait::async_trait;
use ldap3::ResultEntry;
use uuid::Uuid;

use super::{
    Changes, Cursor, Directory, Page, UsersPage,
    entry::Entry,
    error::DirectoryError,
    feed::Feed,
    people::People,
    session::{Done, Login, Query, Session, code},
};

mod message;

use message::{Info, REQUEST, State, StateControl, request};

/// Entries of one answer to "what changed?".
const BATCH: usize = 1000;
/// How long the server may think before and while it tells what changed since a cookie.
const REFRESH: Duration = Duration::from_secs(120);

/// A connection to a server with content synchronization.
#[derive(Debug)]
pub struct Syncrepl {
    session: Session,
    login: Login,
    people: People,
    feed: Option<Feed<Item>>,
    /// Whether the server has told everything up to now, and tells changes as they happen.
    refreshed: bool,
    cursor: Cursor,
}

/// What one message of the server says.
#[derive(Debug, Default, PartialEq)]
struct Item {
    entries: Vec<Entry>,
    cookie: Option<Vec<u8>>,
    /// The server lists who is there instead of who is gone.
    lists_present: bool,
    refreshed: bool,
}

impl Syncrepl {
    /// Connects and logs in. What is read first decides how listening begins.
    pub async fn connect(login: &Login, mut people: People) -> Result<Syncrepl, DirectoryError> {
        let mut session = Session::connect(login).await?;
        if !session.offers("supportedControl", REQUEST).await? {
            return Err(not_offered(session.url()));
        }
        people.learn_key(&mut session).await?;
        let cursor = Cursor(Vec::new());
        Ok(Syncrepl { session, login: login.clone(), people, feed: None, refreshed: false, cursor })
    }

    async fn listen(&mut self, cookie: &[u8]) -> Result<(), DirectoryError> {
        let decoder = self.people.clone();
        let url = self.session.url().to_owned();
        let query = Query { controls: vec![request(cookie)], ..self.people.query() };
        let feed = Feed::start(
            Session::open(self.session.url(), &self.login).await?,
            query,
            move |message| decode(&decoder, message),
            move |done: &Done| refused(&url, done),
        )
        .await?;
        self.feed = Some(feed);
        self.refreshed = false;
        self.cursor = Cursor(cookie.to_vec());
        Ok(())
    }

    /// Takes what is known of an item out of it.
    fn note(&mut self, item: &mut Item) {
        self.refreshed |= item.refreshed;
        if let Some(cookie) = item.cookie.take() {
            self.cursor = Cursor(cookie);
        }
    }
}

#[async_trait]
impl Directory for Syncrepl {
    fn server(&self) -> &str {
        self.session.url()
    }

    /// Without a cookie the server tells everything before it begins to tell changes. All of it is
    /// read and dropped here, for the full read that follows comes in pages.
    async fn now(&mut self) -> Result<Cursor, DirectoryError> {
        if self.feed.is_none() || !self.refreshed {
            self.listen(&[]).await?;
        }
        while !self.refreshed {
            let Some(feed) = &mut self.feed else { break };
            let mut item = feed.next(REFRESH).await?;
            self.note(&mut item);
        }
        Ok(self.cursor.clone())
    }

    async fn changes(&mut self, cursor: &Cursor) -> Result<Changes, DirectoryError> {
        if self.feed.is_none() {
            if cursor.0.is_empty() {
                let cause = "the server gave no cookie".to_owned();
                return Err(DirectoryError::CursorRejected(cause));
            }
            self.listen(&cursor.0).await?;
        }
        let mut entries = Vec::new();
        while entries.len() < BATCH {
            let Some(feed) = &mut self.feed else { break };
            let item = if self.refreshed {
                feed.take()?
            } else {
                match feed.next(REFRESH).await {
                    Err(error @ DirectoryError::CursorRejected(_)) => {
                        self.feed = None;
                        return Err(error);
                    }
                    item => Some(item?),
                }
            };
            let Some(mut item) = item else { break };
            if item.lists_present && !self.refreshed {
                self.feed = None;
                let cause = "the server no longer knows what was deleted since then".to_owned();
                return Err(DirectoryError::CursorRejected(cause));
            }
            self.note(&mut item);
            entries.append(&mut item.entries);
        }
        if let (true, Some(feed)) = (entries.is_empty(), &mut self.feed) {
            feed.probe().await?;
        }
        let more = !self.refreshed || self.feed.as_ref().is_some_and(Feed::has_more);
        Ok(Changes { entries, next: self.cursor.clone(), more })
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
        Ok(Some(self.feed.as_ref().map_or(0, Feed::arrived)))
    }
}

fn decode(people: &People, message: ResultEntry) -> Result<Option<Item>, DirectoryError> {
    let malformed = || DirectoryError::failed("following changes", "a message is malformed");
    if message.is_intermediate() {
        return Ok(Info::of(message.0).ok_or_else(malformed)?.map(Item::from));
    }
    let control = StateControl::of(&message.1).ok_or_else(malformed)?;
    let mut item = Item { cookie: control.cookie, ..Item::default() };
    match control.state {
        State::Present => item.lists_present = true,
        State::Delete => item.entries.push(Entry::deleted(control.object)),
        State::Change if message.is_ref() => {}
        State::Change => {
            let entry = people.entry(message.0).filter(|entry| entry.object == control.object);
            item.entries.push(entry.ok_or_else(malformed)?);
        }
    }
    Ok(Some(item))
}

impl From<Info> for Item {
    fn from(info: Info) -> Item {
        let item = Item { cookie: info.cookie, refreshed: info.refreshed, ..Item::default() };
        let entries = info.deleted.into_iter().map(Entry::deleted).collect();
        Item { entries, lists_present: info.lists_present, ..item }
    }
}

fn refused(url: &str, done: &Done) -> Option<DirectoryError> {
    match done.result.rc {
        code::SYNC_REFRESH_REQUIRED => {
            let text = super::error::one_line(&done.result.text);
            Some(DirectoryError::CursorRejected(text))
        }
        code::UNAVAILABLE_CRITICAL_EXTENSION => Some(not_offered(url)),
        _ => None,
    }
}

fn not_offered(url: &str) -> DirectoryError {
    DirectoryError::Setup {
        what: format!("{url} does not offer content synchronization"),
        remedy: "load the overlay syncprov on the database, or set directory.source to dirsync or \
                 persistent-search"
            .into(),
    }
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;

    pub fn decode(bytes: &[u8]) {
        message::tests::decode(bytes);
    }

    pub fn decode_message(people: &People, message: ResultEntry) {
        // What is malformed is refused; that it is done without a panic is all there is to see.
        let _ = super::decode(people, message);
    }
}
