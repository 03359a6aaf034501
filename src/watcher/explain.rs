//! What happened to a user: the journal's entries beside what the ledger holds now.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use thiserror::Error;
use uuid::Uuid;

use super::{
    held::Choice,
    journal::{Journal, JournalError},
    store::{Store, StoreError},
};
use crate::queue::journal::Entry;

/// The most users that a name is taken to mean.
const MOST_USERS: usize = 10;

/// The most entries that are told of a user.
pub const MOST_ENTRIES: usize = 1000;

/// What is asked.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Question {
    /// sAMAccountName, UPN, DN, SID or objectGUID.
    pub user: String,
    /// Entries since then alone.
    pub since: Option<Timestamp>,
    /// The last so many entries; [`MOST_ENTRIES`] at most.
    pub limit: usize,
}

/// The answer, for one user.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Story {
    /// objectGUID.
    pub object: Uuid,
    /// sAMAccountName.
    pub user: Option<String>,
    /// The value of the UPN attribute.
    pub user_principal_name: Option<String>,
    /// What the ledger holds now; none for one whom it does not know.
    pub now: Option<Now>,
    /// What happened, the oldest first.
    pub entries: Vec<Entry>,
}

/// A user as the watcher's ledger has it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Now {
    /// Why the consumers were told that the account is blocked, if so.
    pub told_blocked: Option<String>,
    /// Whether the object is deleted.
    pub deleted: bool,
    /// The kinds of change that the guard holds.
    pub held: Vec<String>,
}

/// Why it cannot be told.
#[derive(Debug, Error)]
pub enum ExplainError {
    /// The store failed.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The journal failed.
    #[error(transparent)]
    Journal(#[from] JournalError),
    /// There is none.
    #[error(
        "no journal is kept: set journal.keep and journal.max_size; if they are set, the watcher's \
         log says why it cannot be opened"
    )]
    NotKept,
}

/// What happened to whoever has this name; nothing where nobody has.
pub async fn explain(
    store: &Store,
    journal: &Journal,
    question: &Question,
) -> Result<Vec<Story>, ExplainError> {
    if !journal.is_kept() {
        return Err(ExplainError::NotKept);
    }
    let choice = Choice { users: vec![question.user.clone()], ..Choice::default() };
    let mut stories = Vec::new();
    for (object, record) in store.find(|object, record| choice.means(object, record))? {
        let held = store.held(object)?;
        let now = Now {
            told_blocked: record.told.blocked.map(|reason| reason.as_str().to_owned()),
            deleted: record.deleted,
            held: held.keys().map(|loss| loss.as_str().to_owned()).collect(),
        };
        stories.push(Story {
            object,
            user: record.identity.sam_account_name,
            user_principal_name: record.identity.user_principal_name,
            now: Some(now),
            entries: Vec::new(),
        });
    }
    // One whom the ledger does not know, or no longer, may be in the journal.
    if let (Ok(object), true) = (question.user.trim_matches(['{', '}']).parse(), stories.is_empty())
    {
        let names = (None, None);
        let (user, user_principal_name) = names;
        stories.push(Story { object, user, user_principal_name, now: None, entries: Vec::new() });
    }
    stories.truncate(MOST_USERS);
    for story in &mut stories {
        let limit = question.limit.min(MOST_ENTRIES);
        story.entries = journal.read(story.object, question.since, limit).await?;
    }
    Ok(stories)
}
