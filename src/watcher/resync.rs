//! Reading everything and comparing it with the ledger: for what a cursor cannot be trusted with,
//! and now and then for what the changes do not show.
//!
//! It goes page by page between the reads of what changes, so that these never wait long for it.
//! Whoever is missing is deleted only at the end of a read that completed.

use std::time::Duration;

use jiff::Timestamp;
use tokio::time::Instant;
use uuid::Uuid;

use super::{
    footing::{Finding, Footing, later},
    guard::Loss,
    pipeline::{Passage, Pipeline, WatchError, blocking},
    store::{Batch, StoreError},
};
use crate::{
    directory::{Cursor, Directory, DirectoryError, Entry, Page},
    ops::metrics::METRICS,
};

/// How many users of the ledger are looked for in one step.
const STEP: usize = 1000;

/// A comparison under way. It lasts no longer than its connection, as the pages do.
#[derive(Debug, Default)]
pub struct Comparison {
    progress: Progress,
    /// Who was seen, 16 bytes each.
    seen: Vec<Uuid>,
    passage: Passage,
    started: Option<Timestamp>,
}

#[derive(Debug)]
enum Progress {
    /// The page to read next.
    Reading(Option<Page>),
    /// Who is alive in the ledger is looked for among the seen, from after this one on.
    Missing(Option<Uuid>),
}

impl Default for Progress {
    fn default() -> Progress {
        Progress::Reading(None)
    }
}

/// The comparison of this connection, if there is one.
#[derive(Default)]
pub(super) struct Comparing {
    now: Option<Comparison>,
    /// After one that the server could not finish.
    not_before: Option<Instant>,
}

impl Comparing {
    /// Takes a step of a comparison that is due. Returns how long the directory was kept busy by
    /// that. What the server cannot do now is tried again later, for the changes go on.
    pub(super) async fn step(
        &mut self,
        pipeline: &Pipeline,
        directory: &mut dyn Directory,
    ) -> Result<Duration, WatchError> {
        const LATER: Duration = Duration::from_secs(60);
        if self.not_before.is_some_and(|time| Instant::now() < time)
            || self.now.is_none() && !pipeline.comparison_due()?
        {
            return Ok(Duration::ZERO);
        }
        let asked = Instant::now();
        match pipeline.compare(directory, self.now.get_or_insert_default()).await {
            Ok(false) => {}
            Ok(true) => self.now = None,
            Err(WatchError::Directory(error @ DirectoryError::Failed { .. })) => {
                tracing::warn!(%error, retry_in = ?LATER, "not everything could be compared");
                self.now = None;
                self.not_before = Some(Instant::now() + LATER);
            }
            Err(error) => return Err(error),
        }
        Ok(asked.elapsed())
    }

    /// Whether one is under way.
    pub(super) fn goes_on(&self) -> bool {
        self.now.is_some()
    }
}

impl Pipeline {
    /// Finds out whether the cursor rests on what it rested on, and prepares for a comparison where
    /// it does not. None before the first baseline.
    pub(super) async fn orient(
        &self,
        directory: &mut dyn Directory,
    ) -> Result<Option<(Cursor, Footing)>, WatchError> {
        let Some(cursor) = self.store.cursor()? else { return Ok(None) };
        let now = (self.clock)();
        let mut replica = directory.replica();
        replica.usn = directory.usn().await?.or(replica.usn);
        let known = self.store.footing()?;
        let findings = match &known {
            Some(known) => known.findings(&replica, now),
            None => vec![Finding::NothingNoted],
        };
        let noted = Footing::on(directory.server(), &replica, now);
        let (compared, settles) = known.map_or((None, None), |k| (k.compared, k.settles));
        let footing = Footing { compared, settles, ..noted };
        if findings.is_empty() {
            return Ok(Some((cursor, footing)));
        }
        for finding in &findings {
            tracing::warn!(server = directory.server(), why = %finding,
                "everything is read and compared");
        }
        let distrusted = findings.iter().any(Finding::distrusts_cursor);
        let unreconciled = findings.iter().any(Finding::needs_reconciling);
        let footing = footing.after(&findings, self.settle);
        let cursor = if distrusted { directory.now().await? } else { cursor };
        self.resume(cursor.clone(), footing.clone(), unreconciled)?;
        Ok(Some((cursor, footing)))
    }

    /// The server does not take the cursor: follow from now on, and compare for what was before.
    pub(super) async fn renounce(
        &self,
        directory: &mut dyn Directory,
        footing: Footing,
    ) -> Result<(), WatchError> {
        let cursor = directory.now().await?;
        self.resume(cursor, Footing { compared: None, ..footing }, false)?;
        Ok(())
    }

    /// Goes on from `cursor`, safely: whatever is to be compared is noted with it.
    fn resume(
        &self,
        cursor: Cursor,
        footing: Footing,
        unreconciled: bool,
    ) -> Result<(), StoreError> {
        if unreconciled {
            METRICS.unreconciled.set(1);
        }
        let (cursor, footing) = (Some(cursor), Some(footing));
        let batch = Batch { cursor, footing, unreconciled, ..Batch::default() };
        blocking(|| self.store.apply(&batch))
    }

    /// Whether everything is to be read and compared.
    pub fn comparison_due(&self) -> Result<bool, StoreError> {
        let now = (self.clock)();
        let footing = self.store.footing()?;
        Ok(footing.is_some_and(|footing| footing.comparison_due(self.full_read_interval, now)))
    }

    /// Takes a step of a comparison. True after the last.
    pub async fn compare(
        &self,
        directory: &mut dyn Directory,
        comparison: &mut Comparison,
    ) -> Result<bool, WatchError> {
        let now = (self.clock)();
        let started = *comparison.started.get_or_insert(now);
        // What the changes did not show is not to be trusted at once, unless that is how it goes.
        comparison.passage.waits = (!directory.forgets()).then(|| later(now, self.settle));
        match std::mem::take(&mut comparison.progress) {
            Progress::Reading(page) => {
                if page.is_none() {
                    self.read_surroundings(directory).await?;
                }
                let found = directory.users(page).await?;
                comparison.seen.extend(found.entries.iter().map(|entry| entry.object));
                self.take(directory, found.entries, None, &mut comparison.passage).await?;
                comparison.progress = match found.next {
                    Some(page) => Progress::Reading(Some(page)),
                    None => {
                        comparison.seen.sort_unstable();
                        if comparison.seen.is_empty() {
                            // Rights that were taken away look like this, and so does a server
                            // that is not ready.
                            tracing::error!(
                                server = directory.server(),
                                "the directory shows no user at all: what that means is held"
                            );
                            comparison.passage.reading.distrust(Loss::Delete);
                        }
                        Progress::Missing(None)
                    }
                };
                Ok(false)
            }
            Progress::Missing(after) => {
                let alive = self.store.alive(after, STEP)?;
                let last = alive.last().copied();
                let Some(last) = last else {
                    self.compared(directory.server(), started, comparison.seen.len())?;
                    return Ok(true);
                };
                let missing = alive
                    .into_iter()
                    .filter(|object| comparison.seen.binary_search(object).is_err())
                    .collect();
                self.look_for(directory, missing, &mut comparison.passage).await?;
                comparison.progress = Progress::Missing(Some(last));
                Ok(false)
            }
        }
    }

    fn compared(&self, server: &str, started: Timestamp, users: usize) -> Result<(), StoreError> {
        let took = (self.clock)().duration_since(started);
        tracing::info!(server, users, seconds = took.as_secs(), "read and compared everything");
        METRICS.compared();
        let footing = self.store.footing()?;
        let footing = footing.map(|footing| Footing { compared: Some(started), ..footing });
        blocking(|| self.store.apply(&Batch { footing, ..Batch::default() }))
    }

    /// Asks for these by name once more, for users can be created and moved while pages are read.
    /// Who is gone is deleted; but while the server may lag, only where it says so itself: it may
    /// not have heard of the user yet.
    async fn look_for(
        &self,
        directory: &mut dyn Directory,
        missing: Vec<Uuid>,
        passage: &mut Passage,
    ) -> Result<(), WatchError> {
        let now = (self.clock)();
        let settling = self.store.footing()?.and_then(|footing| footing.settling(now));
        let mut found = Vec::new();
        let mut batch = Batch::default();
        for object in missing {
            if let Some(entry) = directory.read(object).await? {
                found.push(entry);
            } else if let Some(until) = settling
                && !directory.is_tombstone(object).await?
            {
                batch.postponed.insert(object, until);
            } else {
                found.push(Entry::deleted(object));
            }
        }
        if !batch.postponed.is_empty() {
            let (users, server) = (batch.postponed.len(), directory.server());
            tracing::warn!(users, server, "not here and not deleted: looked for again later");
            blocking(|| self.store.apply(&batch))?;
        }
        self.take(directory, found, None, passage).await
    }

    /// Reads those again whose change was postponed and whose time has come, and tells them as they
    /// are by then.
    pub async fn settle(&self, directory: &mut dyn Directory) -> Result<(), WatchError> {
        loop {
            let due = self.store.postponed((self.clock)(), STEP)?;
            if due.is_empty() {
                return Ok(());
            }
            let mut entries = Vec::new();
            for object in due.iter().map(|(_, object)| *object) {
                match directory.read(object).await? {
                    Some(entry) => entries.push(entry),
                    None => entries.push(Entry::deleted(object)),
                }
            }
            self.take(directory, entries, None, &mut Passage::default()).await?;
            blocking(|| self.store.no_longer_postponed(&due))?;
        }
    }
}
