//! Users whose state changes without an entry of the directory: those whose time has come, and
//! those around whom something has changed.

use std::time::Duration;

use super::{
    diff::Arrival,
    draft::Draft,
    guard::Reading,
    pipeline::{Pipeline, WatchError, blocking},
    store::{Due, StoreError},
};
use crate::directory::{Directory, Entry};

/// The most users in one round.
const PAGE: usize = 1000;

impl Pipeline {
    /// How long it is until the next user is due, by the wall clock as it is now.
    pub(super) fn until_due(&self) -> Result<Duration, StoreError> {
        let Some(due) = self.store.next_due()? else { return Ok(Duration::MAX) };
        Ok(due.duration_since((self.clock)()).try_into().unwrap_or(Duration::ZERO))
    }

    /// Compares everybody who is due. Called after the changes were read, so that whoever was given
    /// more time meanwhile is not blocked first.
    pub(super) async fn settle_due(
        &self,
        directory: &mut dyn Directory,
        reading: &mut Reading,
    ) -> Result<(), WatchError> {
        loop {
            let due = self.store.due((self.clock)(), PAGE)?;
            if due.is_empty() {
                return Ok(());
            }
            self.compare_again(directory, &due, reading).await?;
            blocking(|| self.store.strike(&due))?;
        }
    }

    /// The domain's lockoutDuration, where a lockout counts.
    pub(super) fn lockout_duration(&self) -> Result<Option<i64>, StoreError> {
        const UNTIL_UNLOCKED: i64 = 0;
        if !self.rules.count_lockouts {
            return Ok(None);
        }
        Ok(Some(self.store.lockout_duration()?.unwrap_or(UNTIL_UNLOCKED)))
    }

    async fn compare_again(
        &self,
        directory: &mut dyn Directory,
        due: &[Due],
        reading: &mut Reading,
    ) -> Result<(), WatchError> {
        let mut draft = Draft::new(self)?;
        let mut objects: Vec<_> = due.iter().map(|due| due.object).collect();
        objects.sort_unstable();
        objects.dedup();
        for object in objects {
            let Some(known) = self.store.record(object)? else { continue };
            // A container above may have another name by now, of which the users below are not told.
            let above = known.parent.map(|parent| self.store.container(parent)).transpose()?;
            let entry = Entry::unchanged(object, known.placed(above.flatten().as_ref()));
            if let Some(change) = draft.compare(directory, &entry, Arrival::Created).await? {
                draft.changes.push(change);
            }
        }
        self.tell(draft, reading).await?;
        Ok(())
    }
}
