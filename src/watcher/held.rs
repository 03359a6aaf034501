//! What becomes of what the guard holds: it is approved and told as it is by then, or rejected and
//! taken as told. Both belong into the watcher's one writer, between two reads of the directory.

mod choice;
mod summary;

use std::collections::{BTreeMap, BTreeSet};

use uuid::Uuid;

pub use self::{
    choice::Choice,
    summary::{BatchSummary, HeldUser, Holding, summaries},
};
use super::{
    diff::Arrival,
    draft::Draft,
    guard::{Counts, Loss, Reading},
    journal::notes,
    pipeline::{Pipeline, WatchError, blocking},
    store::{Batch, Store, StoreError},
};
use crate::{
    directory::{Directory, Entry, dn::normalised},
    ops::metrics::METRICS,
};

/// Users that are told in one batch.
const PAGE: usize = 500;

/// The kinds that are meant, by user.
type Meant = BTreeMap<Uuid, BTreeSet<Loss>>;

/// What is held and meant, each user with what the ledger knows of it.
pub fn held(store: &Store, choice: &Choice) -> Result<Vec<Holding>, StoreError> {
    let mut found = Vec::new();
    for (object, mut held) in store.all_held()? {
        held.retain(|_, held| choice.batch.is_none_or(|batch| held.batch == batch));
        if held.is_empty() {
            continue;
        }
        let record = store.record(object)?.unwrap_or_default();
        if choice.means(object, &record) {
            found.push(Holding { object, record, held });
        }
    }
    Ok(found)
}

/// Takes what is meant as told without telling it. Returns of how many users something was held.
pub fn reject(store: &Store, choice: &Choice, now: jiff::Timestamp) -> Result<usize, StoreError> {
    let meant = meant(store, choice)?;
    let mut change = Batch::default();
    for (object, losses) in &meant {
        let mut held = store.held(*object)?;
        let Some(mut record) = store.record(*object)? else { continue };
        for loss in losses {
            let Some(held) = held.remove(loss) else { continue };
            if loss.is_of_account() {
                record.told.blocked = record.blocked_to_consumers(now);
            }
            for name in &held.names {
                if *loss == Loss::RemoveMember {
                    record.told.groups.remove(&normalised(name));
                    continue;
                }
                record.attributes.remove(&name.to_ascii_lowercase());
                record.references.remove(&name.to_ascii_lowercase());
                // What is told together with it has waited for it.
                change.postponed.insert(*object, now);
            }
        }
        change.records.insert(*object, record);
        change.held.insert(*object, held);
    }
    blocking(|| store.apply(&change))?;
    settle(store, &meant)?;
    Ok(meant.len())
}

impl Pipeline {
    /// Tells what is held and meant, as it is now. Returns of how many users something was held.
    /// Who is gone without the ledger knowing stays held until the changes tell more.
    pub async fn approve(
        &self,
        directory: &mut dyn Directory,
        choice: &Choice,
    ) -> Result<usize, WatchError> {
        let meant = meant(&self.store, choice)?;
        let users: Vec<_> = meant.iter().collect();
        for page in users.chunks(PAGE) {
            let mut draft = Draft::new(self)?;
            for (object, losses) in page {
                let known = self.store.record(**object)?;
                let entry = match directory.read(**object).await? {
                    Some(entry) => entry,
                    None if known.is_some_and(|known| known.deleted) => Entry::deleted(**object),
                    None => continue,
                };
                if let Some(mut change) = draft.compare(directory, &entry, Arrival::Created).await?
                {
                    change.approve(losses);
                    draft.changes.push(change);
                }
            }
            self.tell(draft, &mut Reading::default()).await?;
        }
        settle(&self.store, &meant)?;
        Ok(meant.len())
    }

    /// Takes what is meant as told without telling it. Returns of how many users something was
    /// held.
    pub fn reject(&self, choice: &Choice) -> Result<usize, StoreError> {
        let (now, meant) = ((self.clock)(), held(&self.store, choice)?);
        let users = reject(&self.store, choice, now)?;
        let entries = meant.iter().flat_map(|it| notes::rejected(it.object, &it.held, now));
        self.journal.note(entries.collect());
        Ok(users)
    }

    /// Compares anew whoever is held for the clocks alone, once they agree again.
    pub async fn recheck_clock(&self, directory: &mut dyn Directory) -> Result<(), WatchError> {
        let mut waiting = self.store.all_held()?;
        waiting.retain(|_, held| held.values().any(|held| held.by_clock));
        if waiting.is_empty() || super::clock::is_off(directory, (self.clock)()).await? {
            return Ok(());
        }
        let users: Vec<_> = waiting.keys().collect();
        let mut reading = Reading::default();
        for page in users.chunks(PAGE) {
            let mut draft = Draft::new(self)?;
            for object in page {
                if let Some(entry) = directory.read(**object).await?
                    && let Some(change) = draft.compare(directory, &entry, Arrival::Created).await?
                {
                    draft.changes.push(change);
                }
            }
            self.tell(draft, &mut reading).await?;
        }
        Ok(())
    }
}

fn meant(store: &Store, choice: &Choice) -> Result<Meant, StoreError> {
    let found = held(store, choice)?;
    Ok(found.into_iter().map(|it| (it.object, it.held.into_keys().collect())).collect())
}

/// A batch of which nothing is left no longer draws others in.
fn settle(store: &Store, meant: &Meant) -> Result<(), StoreError> {
    let left: BTreeSet<_> =
        store.all_held()?.into_values().flat_map(|held| held.into_keys()).collect();
    let mut counts: Counts = store.counts()?;
    for loss in meant.values().flatten().filter(|loss| !left.contains(loss)) {
        counts.forget_held(*loss);
    }
    blocking(|| store.apply(&Batch { counts: Some(counts), ..Batch::default() }))?;
    METRICS.guard_held(store.held_users()?);
    Ok(())
}
