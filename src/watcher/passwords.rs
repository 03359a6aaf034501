//! From a password that was handed over to the event that carries it.

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use jiff::{SignedDuration, Timestamp};
use tokio::sync::Notify;
use uuid::Uuid;

use super::{
    candidate::{self, Candidate, Handed, Shown},
    diff::Arrival,
    draft::Draft,
    guard::Reading,
    pipeline::{Pipeline, WatchError, blocking},
    record::Record,
    store::{Place, Store, StoreError},
};
use crate::{
    directory::{
        Directory, Entry,
        attributes::{from_filetime, uac},
    },
    event::{Detail, Kind, SealedPassword},
    ops::metrics::{METRICS, PasswordOutcome},
    passwords::{Account, Shelf},
};

/// What the configuration says about passwords.
#[derive(Debug, Clone)]
pub struct Passwords {
    /// How long a candidate waits for its change to show.
    pub confirm_within: Duration,
    /// How long an event is good for.
    pub ttl: Duration,
    /// Whether Entra asks for another password when one expires.
    pub enforce_expiry: bool,
    /// Rings when a password has come that needs no confirmation.
    pub bell: Arc<Arrivals>,
}

/// Rings for whoever waits, or will.
#[derive(Debug, Default)]
pub struct Arrivals {
    notify: Notify,
    rung: AtomicBool,
}

impl Arrivals {
    /// A bell that has rung: what an earlier process left is looked at first.
    pub fn rung() -> Arrivals {
        Arrivals { notify: Notify::new(), rung: AtomicBool::new(true) }
    }

    /// Waits until it has rung.
    pub async fn wait(&self) {
        self.notify.notified().await;
    }

    fn take(&self) -> bool {
        self.rung.swap(false, Ordering::AcqRel)
    }

    fn ring(&self) {
        self.rung.store(true, Ordering::Release);
        self.notify.notify_one();
    }
}

/// Keeps passwords in the store, and rings for those that need no confirmation.
pub struct Keeper {
    /// Where they are kept.
    pub store: Store,
    /// The bell.
    pub bell: Arc<Arrivals>,
}

impl Shelf for Keeper {
    fn keep(&self, candidate: Candidate) -> Result<(), String> {
        let committed = candidate.committed;
        self.store.keep(candidate)?;
        if committed {
            self.bell.ring();
        }
        Ok(())
    }
}

/// The password that is told with a change, and what is wiped with it.
#[derive(Debug)]
pub struct Found {
    /// What is told.
    pub sealed: SealedPassword,
    /// What is told, for the ledger.
    pub handed: Handed,
    /// What is wiped: its own place, and those of what it supersedes.
    pub places: Vec<Place>,
}

impl Pipeline {
    /// Tells the passwords that are known to be set, and wipes those whose change never came.
    pub async fn hand_over(&self, directory: &mut dyn Directory) -> Result<(), WatchError> {
        let Some(passwords) = &self.passwords else { return Ok(()) };
        if !self.store.awaits_passwords()? {
            return Ok(());
        }
        if passwords.bell.take() {
            for account in self.store.accounts_with_committed()? {
                self.hand_over_of(directory, &account).await?;
            }
        }
        let wait =
            SignedDuration::try_from(passwords.confirm_within).unwrap_or(SignedDuration::MAX);
        // Who is created after a change of server is told late, and takes the password along.
        let postponed = self.store.next_postponed()?.is_some();
        if let (Ok(limit), false) = ((self.clock)().checked_sub(wait), postponed) {
            let wiped = blocking(|| self.store.wipe_passwords(limit))?;
            if wiped > 0 {
                tracing::info!(wiped, "passwords were wiped: the directory showed no such change");
                METRICS.passwords(PasswordOutcome::Unconfirmed, wiped);
            }
        }
        Ok(())
    }

    async fn hand_over_of(
        &self,
        directory: &mut dyn Directory,
        account: &str,
    ) -> Result<(), WatchError> {
        let object = match account.split_once(':') {
            Some(("guid", guid)) => Uuid::try_parse(guid).ok(),
            Some(("sid", sid)) => directory.find_user("objectSid", sid).await?,
            Some(("name", name)) => directory.find_user("sAMAccountName", name).await?,
            _ => None,
        };
        let Some(object) = object else { return Ok(()) };
        let Some(entry) = directory.read(object).await? else { return Ok(()) };
        let mut draft = Draft::new(self)?;
        if let Some(change) = draft.compare(directory, &entry, Arrival::Created).await? {
            draft.changes.push(change);
        }
        self.tell(draft, &mut Reading::default()).await?;
        Ok(())
    }
}

impl Passwords {
    /// The password that goes with what was found of a user, if there is one.
    pub async fn find(
        &self,
        store: &Store,
        directory: &mut dyn Directory,
        entry: &Entry,
        record: &Record,
        details: &[Detail],
        now: Timestamp,
    ) -> Result<Option<Found>, WatchError> {
        let pending = pending(store, entry.object, record)?;
        if pending.is_empty() {
            return Ok(None);
        }
        let changed = details
            .iter()
            .any(|detail| matches!(detail.kind(), Kind::PasswordChanged | Kind::UserCreated));
        let confirmed = if changed {
            let shown = shown(directory, entry, record, pending.len()).await?;
            candidate::confirmed(&pending, shown)
        } else {
            None
        };
        let told = record.told.handed.as_ref();
        let chosen = confirmed.or_else(|| candidate::committed(&pending, told));
        let Some(chosen) = chosen else { return self.spend_repeated(store, &pending) };
        let earlier = |it: &&Candidate| it.at <= chosen.at;
        let places = pending.iter().filter(earlier).map(Place::of).collect();
        Ok(Some(Found {
            sealed: self.sealed(chosen, record, now),
            handed: Handed { at: chosen.at, version: chosen.version },
            places,
        }))
    }

    /// What the source handed over once more is of no use.
    fn spend_repeated(
        &self,
        store: &Store,
        pending: &[Candidate],
    ) -> Result<Option<Found>, WatchError> {
        let repeated: Vec<_> = pending.iter().filter(|it| it.committed).map(Place::of).collect();
        if !repeated.is_empty() {
            blocking(|| store.spend_passwords(&repeated))?;
            METRICS.passwords(PasswordOutcome::Superseded, repeated.len());
        }
        Ok(None)
    }

    fn sealed(&self, chosen: &Candidate, record: &Record, now: Timestamp) -> SealedPassword {
        SealedPassword {
            key_id: chosen.key_id.clone(),
            candidate: chosen.id,
            account: chosen.account.clone(),
            sealed: chosen.sealed.clone(),
            must_change: record.must_change_password(),
            never_expires: record.account_control & uac::DONT_EXPIRE_PASSWORD != 0,
            expires: self.good_until(now),
        }
    }

    /// Until when an event of now may be applied.
    pub(super) fn good_until(&self, now: Timestamp) -> Timestamp {
        let ttl = SignedDuration::try_from(self.ttl).unwrap_or(SignedDuration::MAX);
        now.checked_add(ttl).unwrap_or(Timestamp::MAX)
    }
}

/// What waits for a user under any of its names, in the order of its times.
fn pending(store: &Store, object: Uuid, record: &Record) -> Result<Vec<Candidate>, StoreError> {
    let mut pending = Vec::new();
    for account in Account::all_of(object, &record.identity) {
        pending.extend(store.passwords(&account.to_string())?);
    }
    pending.sort_by_key(|candidate| candidate.at);
    Ok(pending)
}

/// When the password was set. The time of the write is read only where it decides something.
async fn shown(
    directory: &mut dyn Directory,
    entry: &Entry,
    record: &Record,
    candidates: usize,
) -> Result<Shown, WatchError> {
    let set = Some(record.password_last_set).filter(|ticks| *ticks > 0).and_then(from_filetime);
    if set.is_some() || candidates < 2 {
        return Ok(Shown { set, written: None });
    }
    let whole = directory.read(entry.object).await?;
    let written = whole.and_then(|whole| whole.text("whenChanged")?);
    let written = written.as_deref().and_then(generalized_time);
    Ok(Shown { set, written })
}

/// `20260131080000.0Z` (MS-ADTS section 3.1.1.2.2.2, String(Generalized-Time)).
fn generalized_time(text: &str) -> Option<Timestamp> {
    let digits = text.get(..14)?;
    let format = jiff::civil::DateTime::strptime("%Y%m%d%H%M%S", digits).ok()?;
    Some(format.to_zoned(jiff::tz::TimeZone::UTC).ok()?.timestamp())
}
