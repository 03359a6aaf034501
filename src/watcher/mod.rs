//! The watcher: observe → diff → guard → publish → commit. One per directory.
//!
//! [`diff`], [`guard`] and [`refresh`] are the pure core, [`store`] the memory, [`pipeline`] the
//! order of steps that loses nothing, [`intake`] where others ask for a user to be told again, and
//! [`held`] what becomes of what the guard stopped; this file keeps them running.

pub mod change;
pub mod diff;
pub mod guard;
pub mod held;
pub mod intake;
pub mod pipeline;
pub mod record;
pub mod refresh;
pub mod scope;
pub mod store;

use std::{sync::Arc, time::Duration};

use futures_util::future::BoxFuture;
use jiff::Timestamp;
use thiserror::Error;
use tokio::time::{Instant, sleep};
use tokio_util::sync::CancellationToken;

use crate::{
    config::{Config, model::Doorbell},
    directory::{Directory, DirectoryError, Login, Source},
    event::source_of,
    mapping::Mappings,
    net::backoff::Backoff,
    ops::{health::Health, metrics::METRICS},
    queue::{Broker, QueueError, Role},
    signing::Keys,
};
use diff::Rules;
use guard::Guard;
use intake::Intake;
use pipeline::{Pipeline, WatchError};
use scope::Scope;
use store::{Store, StoreError};

/// Opens a connection to the directory.
pub type Connect =
    Box<dyn Fn() -> BoxFuture<'static, Result<Box<dyn Directory>, DirectoryError>> + Send + Sync>;

/// The watcher's name in the health report.
pub const PART: &str = "watcher";

/// Why the watcher ended.
#[derive(Debug, Error)]
pub enum WatcherError {
    /// The directory cannot be used as configured.
    #[error(transparent)]
    Directory(#[from] DirectoryError),
    /// The queue cannot be used as configured.
    #[error(transparent)]
    Queue(#[from] QueueError),
    /// The store failed.
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// A watcher, ready to run.
pub struct Watcher {
    pipeline: Pipeline,
    broker: Arc<dyn Broker>,
    connect: Connect,
    /// Whether the server is asked for its USN between sweeps.
    rings: bool,
    usn_interval: Duration,
    sweep_interval: Duration,
    health: Health,
    shutdown: CancellationToken,
}

impl Watcher {
    /// As the configuration says. Opens the store; the network is left for [`Watcher::run`].
    pub fn new(
        config: &Config,
        keys: Keys,
        broker: Arc<dyn Broker>,
        health: Health,
        shutdown: CancellationToken,
    ) -> Result<Watcher, StoreError> {
        let directory = &config.directory;
        let source = source_of(&directory.base_dn);
        let upn_attribute = directory.upn_attribute();
        // A configuration with mappings that cannot be read is refused before.
        let mapped = Mappings::parse(&config.apply.attributes).unwrap_or_default().attributes();
        let read = mapped.iter().map(String::as_str).chain([upn_attribute]);
        let followed = Source::from_config(directory, read);
        let store = Store::open(&config.state.path, &source)?;
        METRICS.unreconciled.set(store.unreconciled()?.into());
        METRICS.guard_held(store.held_users()?);
        Ok(Watcher {
            pipeline: Pipeline {
                source,
                rules: Rules {
                    upn_attribute: upn_attribute.to_owned(),
                    mapped,
                    scope: Scope::from_config(&config.scope),
                },
                store,
                keys,
                guard: Guard::from_config(&config.guard),
                publisher: broker.publisher(Role::Watcher),
                clock: Arc::new(Timestamp::now),
                shutdown: shutdown.clone(),
            },
            broker,
            connect: connector(Login::from_config(directory), followed),
            rings: directory.doorbell != Doorbell::None,
            usn_interval: directory.usn_interval,
            sweep_interval: directory.sweep_interval,
            health,
            shutdown,
        })
    }

    /// Runs until the shutdown, through every outage. What is set up wrongly ends it, but only
    /// before it has worked once: later, a password that was changed must not stop it for good.
    pub async fn run(self) -> Result<(), WatcherError> {
        let mut worked = false;
        let mut backoff = Backoff::reconnect();
        while !self.shutdown.is_cancelled() {
            let error = match self.cycle(&mut worked, &mut backoff).await {
                Ok(()) | Err(WatcherError::Queue(QueueError::Standby)) => continue,
                Err(WatcherError::Store(error)) => return Err(error.into()),
                Err(error) => error,
            };
            if !worked && is_setup(&error) {
                return Err(error);
            }
            // Logins that are refused again and again would lock the account.
            let least = if is_setup(&error) { Duration::from_secs(30) } else { Duration::ZERO };
            let delay = backoff.next_delay().max(least);
            tracing::warn!(%error, retry_in = ?delay, "the watcher waits and tries again");
            self.pause(delay).await;
        }
        Ok(())
    }

    /// From a connection to its end.
    async fn cycle(&self, worked: &mut bool, backoff: &mut Backoff) -> Result<(), WatcherError> {
        self.health.beat(PART);
        if let Err(error) = self.pipeline.publisher.ready().await {
            if matches!(error, QueueError::Standby) {
                self.health.detail(PART, "standby: another watcher is active");
                self.pause(Duration::from_secs(2)).await;
            }
            return Err(error.into());
        }
        let result = match self.pipeline.recover().await {
            Ok(()) => self.watch(worked, backoff).await,
            Err(error) => Err(error),
        };
        METRICS.directory_connected.set(0);
        match result {
            Ok(()) | Err(WatchError::Stopping) => Ok(()),
            Err(WatchError::Store(error)) => Err(error.into()),
            Err(WatchError::Directory(error)) => Err(error.into()),
        }
    }

    async fn watch(&self, worked: &mut bool, backoff: &mut Backoff) -> Result<(), WatchError> {
        let mut directory = tokio::select! {
            directory = (self.connect)() => directory?,
            () = self.shutdown.cancelled() => return Ok(()),
        };
        METRICS.directory_connected.set(1);
        tracing::info!(
            server = directory.server(),
            doorbell = if self.rings { "usn" } else { "none" },
            "connected to the directory"
        );
        let (sender, mut intake) = Intake::new();
        tokio::select! {
            result = self.observe(directory.as_mut(), &mut intake, worked, backoff) => result,
            never = intake::receive(self.broker.as_ref(), sender) => match never {},
        }
    }

    async fn observe(
        &self,
        directory: &mut dyn Directory,
        intake: &mut Intake,
        worked: &mut bool,
        backoff: &mut Backoff,
    ) -> Result<(), WatchError> {
        loop {
            // The bell is looked at before the changes are read: whatever moves it later is new.
            let bell = if self.rings { directory.doorbell().await? } else { None };
            let busy = self.pipeline.follow(directory).await?;
            self.pipeline.refresh(directory, intake.take()).await?;
            *worked = true;
            backoff.reset();
            self.health.ready(PART);
            // However busy the domain, the server has half of its time for others.
            let rest = busy.max(self.usn_interval);
            if !self.wait(directory, intake, bell, rest).await? {
                return Ok(());
            }
        }
    }

    /// Waits for the doorbell, a refresh request or the sweep. False when the process is asked to stop.
    async fn wait(
        &self,
        directory: &mut dyn Directory,
        intake: &mut Intake,
        bell: Option<u64>,
        rest: Duration,
    ) -> Result<bool, WatchError> {
        let sweep = Instant::now() + self.sweep_interval;
        let mut pause = rest.min(self.sweep_interval);
        let mut rested = false;
        loop {
            self.health.beat(PART);
            tokio::select! {
                () = sleep(pause) => rested = true,
                () = intake.ring(), if rested => return Ok(true),
                () = self.shutdown.cancelled() => return Ok(false),
            }
            if Instant::now() >= sweep {
                return Ok(true);
            }
            let left = sweep.saturating_duration_since(Instant::now());
            if bell.is_none() {
                pause = left;
                continue;
            }
            if directory.doorbell().await? != bell {
                return Ok(true);
            }
            METRICS.cursor_moved();
            pause = self.usn_interval.min(left);
        }
    }

    async fn pause(&self, delay: Duration) {
        tokio::select! {
            () = sleep(delay) => {}
            () = self.shutdown.cancelled() => {}
        }
    }
}

fn is_setup(error: &WatcherError) -> bool {
    match error {
        WatcherError::Directory(error) => error.is_setup(),
        WatcherError::Queue(error) => !error.is_transient(),
        WatcherError::Store(_) => true,
    }
}

fn connector(login: Login, source: Source) -> Connect {
    Box::new(move || {
        let (login, source) = (login.clone(), source.clone());
        Box::pin(async move { source.connect(&login).await })
    })
}

#[cfg(test)]
mod tests;
