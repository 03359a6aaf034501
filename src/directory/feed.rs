//! A search that never ends, read by a task of its own.

use std::{
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use ldap3::ResultEntry;
use tokio::{
    sync::mpsc::{self, Receiver, error::TryRecvError},
    time::timeout,
};
use tokio_util::task::AbortOnDropHandle;

use super::{
    error::DirectoryError,
    people::failed,
    session::{Done, Query, Session},
};

/// Items that wait for the watcher. When they are this many, the server is made to wait.
const WAITING: usize = 1000;

/// What arrives. Dropped, nobody listens any more.
pub(super) struct Feed<T> {
    items: Receiver<Result<T, DirectoryError>>,
    arrived: Arc<AtomicU64>,
    session: Session,
    _task: AbortOnDropHandle<()>,
}

impl<T: Send + 'static> Feed<T> {
    /// Starts the search, on a connection of its own: dropping that is what ends it. `decode` turns what arrives into items; its error ends the feed, as does
    /// the server, whose refusal `refused` explains.
    pub async fn start(
        mut session: Session,
        query: Query<'_>,
        mut decode: impl FnMut(ResultEntry) -> Result<Option<T>, DirectoryError> + Send + 'static,
        refused: impl FnOnce(&Done) -> Option<DirectoryError> + Send + 'static,
    ) -> Result<Feed<T>, DirectoryError> {
        let mut stream = session.stream(query).await?;
        let (sender, items) = mpsc::channel(WAITING);
        let arrived = Arc::new(AtomicU64::new(0));
        let count = Arc::clone(&arrived);
        let task = tokio::spawn(async move {
            let end = loop {
                let item = match stream.next().await {
                    Ok(Some(entry)) => decode(entry),
                    Ok(None) => {
                        let done = stream.finish().await;
                        break refused(&done).unwrap_or_else(|| failed("following changes", &done));
                    }
                    Err(error) => break error,
                };
                match item {
                    Ok(None) => {}
                    Ok(Some(item)) => {
                        if sender.send(Ok(item)).await.is_err() {
                            return;
                        }
                        count.fetch_add(1, Ordering::Release);
                    }
                    Err(error) => break error,
                }
            };
            // Who does not listen any more needs no reason.
            let _ = sender.send(Err(end)).await;
            count.fetch_add(1, Ordering::Release);
        });
        Ok(Feed { items, arrived, session, _task: AbortOnDropHandle::new(task) })
    }

    /// Moves when something arrives.
    pub fn arrived(&self) -> u64 {
        self.arrived.load(Ordering::Acquire)
    }

    /// What has arrived, if anything has.
    pub fn take(&mut self) -> Result<Option<T>, DirectoryError> {
        match self.items.try_recv() {
            Ok(item) => item.map(Some),
            Err(TryRecvError::Empty) => Ok(None),
            Err(TryRecvError::Disconnected) => Err(ended()),
        }
    }

    /// Waits for what arrives next.
    pub async fn next(&mut self, patience: Duration) -> Result<T, DirectoryError> {
        match timeout(patience, self.items.recv()).await {
            Ok(item) => item.unwrap_or_else(|| Err(ended())),
            Err(_) => Err(DirectoryError::failed("following changes", "the server says nothing")),
        }
    }

    /// Asks whether the server still is there: a connection that died in silence shows itself only
    /// to who asks.
    pub async fn probe(&mut self) -> Result<(), DirectoryError> {
        self.session.probe().await
    }

    /// Whether more can be taken at once.
    pub fn has_more(&self) -> bool {
        !self.items.is_empty()
    }
}

fn ended() -> DirectoryError {
    DirectoryError::failed("following changes", "the search has ended")
}

impl<T> std::fmt::Debug for Feed<T> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Feed").field("arrived", &self.arrived).finish_non_exhaustive()
    }
}
