//! What all connections share, and the listener that opens them.

use std::{
    sync::{Arc, Mutex, PoisonError, RwLock, RwLockReadGuard},
    time::Duration,
};

use tokio::{
    net::TcpListener,
    sync::{Semaphore, watch},
    time::sleep,
};
use tokio_util::sync::CancellationToken;

use super::{
    Options, connection,
    faults::Faults,
    object::{Slot, Usn},
    populate::{self, Landmarks},
    refusal::Refusal,
    store::Store,
};

/// More than a relay and its tests ever need, few enough to bound memory.
const MAX_CONNECTIONS: usize = 256;

/// What an account may do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Rights {
    /// Change objects.
    pub write: bool,
    /// Use DirSync without `OBJECT_SECURITY` (`DS-Replication-Get-Changes`).
    pub replicate: bool,
    /// See tombstones.
    pub see_deleted: bool,
}

/// The directory as its connections see it.
#[derive(Debug)]
pub struct Directory {
    /// Where the well-known objects are.
    pub landmarks: Landmarks,
    /// Faults that a test has switched on.
    pub faults: Faults,
    /// How it was started.
    pub options: Options,
    store: RwLock<Store>,
    changes: watch::Sender<Usn>,
    /// Ends the connections of now; replaced when they are dropped.
    connections: Mutex<CancellationToken>,
}

impl Directory {
    /// A directory filled as the options say. `None` when the base DN is not one of a domain.
    pub fn new(options: Options) -> Option<Directory> {
        let (store, landmarks) = populate::populate(&options)?;
        let changes = watch::Sender::new(store.highest_usn());
        Some(Directory {
            landmarks,
            faults: Faults::default(),
            options,
            store: RwLock::new(store),
            changes,
            connections: Mutex::default(),
        })
    }

    /// The contents, for a short look.
    pub fn read(&self) -> RwLockReadGuard<'_, Store> {
        self.store.read().unwrap_or_else(PoisonError::into_inner)
    }

    /// Changes the contents and rouses whoever waits for changes.
    pub fn write<T>(
        &self,
        change: impl FnOnce(&mut Store) -> Result<T, Refusal>,
    ) -> Result<T, Refusal> {
        let (outcome, usn) = {
            let mut store = self.store.write().unwrap_or_else(PoisonError::into_inner);
            (change(&mut store), store.highest_usn())
        };
        self.changes.send_if_modified(|seen| std::mem::replace(seen, (*seen).max(usn)) < usn);
        outcome
    }

    /// Follows `highestCommittedUSN`.
    pub fn changes(&self) -> watch::Receiver<Usn> {
        self.changes.subscribe()
    }

    /// What the account in this slot may do.
    pub fn rights(&self, account: Slot) -> Rights {
        let administrator = account == self.landmarks.administrator;
        let service = account == self.landmarks.service;
        Rights {
            write: administrator,
            replicate: administrator || service && self.options.service_can_replicate,
            see_deleted: administrator || service && self.options.service_sees_deleted,
        }
    }

    fn generation(&self) -> std::sync::MutexGuard<'_, CancellationToken> {
        self.connections.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Cuts every connection that is open now.
    pub fn drop_connections(&self) {
        std::mem::take(&mut *self.generation()).cancel();
    }
}

/// Accepts connections until told to stop.
pub async fn listen(listener: TcpListener, directory: Arc<Directory>, stop: CancellationToken) {
    let places = Arc::new(Semaphore::new(MAX_CONNECTIONS));
    while let Some(accepted) = stop.run_until_cancelled(listener.accept()).await {
        let stream = match accepted {
            Ok((stream, _)) => stream,
            Err(error) => {
                tracing::warn!(%error, "the sandbox directory cannot accept a connection");
                // Out of descriptors, most likely: give others time to close theirs.
                sleep(Duration::from_millis(100)).await;
                continue;
            }
        };
        // Without a free place the connection is closed at once.
        if let Ok(place) = places.clone().try_acquire_owned() {
            let cut = directory.generation().clone();
            let directory = directory.clone();
            tokio::spawn(async move {
                connection::serve(stream, directory, cut).await;
                drop(place);
            });
        }
    }
    directory.drop_connections();
}
