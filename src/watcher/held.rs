//! What becomes of a held batch: it is approved and told as it is by then, or rejected and taken
//! as told. Both belong into the watcher's one writer, between two reads of the directory.

use std::collections::{BTreeMap, BTreeSet};

use uuid::Uuid;

use super::{
    diff::Arrival,
    guard::{Counts, Holdings, Loss, Reading},
    pipeline::{Draft, Pipeline, WatchError, blocking},
    store::{Batch, StoreError},
};
use crate::{
    directory::{Directory, Entry},
    ops::metrics::METRICS,
};

impl Pipeline {
    /// Everything that is held, by user.
    pub fn held(&self) -> Result<BTreeMap<Uuid, Holdings>, StoreError> {
        self.store.all_held()
    }

    /// Tells what is held in a batch, as it is now. Returns of how many users something was held.
    /// Who is gone without the ledger knowing stays held until the changes tell more.
    pub async fn approve(
        &self,
        directory: &mut dyn Directory,
        batch: u64,
    ) -> Result<usize, WatchError> {
        const PAGE: usize = 500;
        let of_batch: Vec<_> = self.of_batch(batch)?.into_iter().collect();
        for page in of_batch.chunks(PAGE) {
            let mut draft = Draft::new(self)?;
            for (object, losses) in page {
                let known = self.store.record(*object)?;
                let entry = match directory.read(*object).await? {
                    Some(entry) => entry,
                    None if known.is_some_and(|known| known.deleted) => Entry::deleted(*object),
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
        let losses = of_batch.iter().flat_map(|(_, losses)| losses).copied().collect();
        let counts = Some(self.settled(&losses)?);
        blocking(|| self.store.apply(&Batch { counts, ..Batch::default() }))?;
        Ok(of_batch.len())
    }

    /// Takes a batch as told without telling it. Returns of how many users something was held.
    pub fn reject(&self, batch: u64) -> Result<usize, WatchError> {
        let now = (self.clock)();
        let of_batch = self.of_batch(batch)?;
        let mut change = Batch::default();
        for (object, losses) in &of_batch {
            let mut held = self.store.held(*object)?;
            let Some(mut record) = self.store.record(*object)? else { continue };
            for loss in losses {
                let Some(held) = held.remove(loss) else { continue };
                for name in &held.attributes {
                    record.attributes.remove(&name.to_ascii_lowercase());
                }
                if *loss != Loss::Blank {
                    record.told.blocked = record.blocked(now);
                }
            }
            change.records.insert(*object, record);
            change.held.insert(*object, held);
        }
        change.counts = Some(self.settled(&of_batch.values().flatten().copied().collect())?);
        blocking(|| self.store.apply(&change))?;
        METRICS.guard_held(self.store.held_users()?);
        Ok(of_batch.len())
    }

    fn of_batch(&self, batch: u64) -> Result<BTreeMap<Uuid, BTreeSet<Loss>>, StoreError> {
        let mut found: BTreeMap<Uuid, BTreeSet<Loss>> = BTreeMap::new();
        for (object, holdings) in self.store.all_held()? {
            for (loss, _) in holdings.iter().filter(|(_, held)| held.batch == batch) {
                found.entry(object).or_default().insert(*loss);
            }
        }
        Ok(found)
    }

    fn settled(&self, losses: &BTreeSet<Loss>) -> Result<Counts, StoreError> {
        let mut counts = self.store.counts()?;
        for loss in losses {
            counts.forget_held(*loss);
        }
        Ok(counts)
    }
}
