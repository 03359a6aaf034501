//! The watcher: observe → diff → guard → publish → commit. One per directory.
//!
//! [`diff`], [`guard`] and [`refresh`] are the pure core, [`store`] the memory, [`pipeline`] the
//! order of steps that loses nothing, `draft` a batch in the making, [`footing`] and [`resync`] what follows where the cursor cannot
//! be trusted, [`intake`] where others ask for a user to be told again, [`orders`] where an operator
//! gives orders, [`held`] what becomes of what the guard stopped, and [`membership`] what follows where
//! Entra has other members; this file keeps them running.

mod agenda;
pub mod canary;
pub mod candidate;
mod census;
pub mod change;
mod clock;
pub mod diff;
mod draft;
pub mod expiry;
pub mod explain;
pub mod footing;
pub mod guard;
pub mod held;
pub mod intake;
pub mod journal;
pub mod membership;
pub mod named;
pub mod orders;
pub mod passwords;
pub mod pipeline;
pub mod record;
pub mod references;
pub mod refresh;
pub mod resync;
pub mod scope;
mod spans;
pub mod store;
mod surroundings;
mod veil;

use std::{sync::Arc, time::Duration};

use futures_util::future::BoxFuture;
use jiff::Timestamp;
use thiserror::Error;
use tokio::{
    sync::Mutex,
    time::{Instant, sleep},
};
use tokio_util::{sync::CancellationToken, task::AbortOnDropHandle};

use crate::{
    config::{Config, model, secret::SecretError},
    directory::{Bell, Directory, DirectoryError, Login, Source},
    event::source_of,
    mapping::Mappings,
    net::backoff::Backoff,
    ops::{health::Health, metrics::METRICS, traces::Traces},
    queue::{Broker, QueueError, Role},
    signing::Keys,
};
use census::Census;
use diff::Rules;
use guard::Guard;
use intake::Intake;
use journal::Journal;
use orders::{OrderError, Orders, Waiting};
use passwords::{Arrivals, Keeper, Passwords};
use pipeline::{Pipeline, WatchError};
use resync::Comparing;
use scope::Scope;
use store::{Store, StoreError};
use veil::Veil;

/// Opens a connection to the directory.
pub type Connect =
    Box<dyn Fn() -> BoxFuture<'static, Result<Box<dyn Directory>, DirectoryError>> + Send + Sync>;

/// How often the watcher says that it lives.
const BEAT: Duration = Duration::from_secs(1);

/// The watcher's name in the health report.
pub const PART: &str = "watcher";

/// What it says there while another one is active.
pub const STANDBY: &str = "standby: another watcher is active";

/// How often the clock is looked at again while it holds something.
const RECHECK: Duration = Duration::from_secs(60);

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
    /// The key of what leaves as a hash alone cannot be read.
    #[error("apply.anonymize_key_file: {0}")]
    Key(#[from] SecretError),
}

/// A watcher, ready to run.
pub struct Watcher {
    pipeline: Pipeline,
    orders: Orders,
    waiting: Mutex<Waiting>,
    broker: Arc<dyn Broker>,
    connect: Connect,
    /// How long the server is left alone between two reads, at least.
    usn_interval: Duration,
    sweep_interval: Duration,
    health: Health,
    canary: model::Canary,
    shutdown: CancellationToken,
}

/// What is told, as the configuration says.
pub fn rules(config: &Config) -> Result<Rules, SecretError> {
    Ok(Rules {
        upn_attribute: config.directory.upn_attribute().to_owned(),
        // A configuration with mappings that cannot be read is refused before.
        mappings: Mappings::parse(&config.apply.attributes).unwrap_or_default(),
        scope: Scope::from_config(&config.scope),
        groups: config.apply.groups.keys().cloned().collect(),
        count_lockouts: config.directory.treat_lockout_as_disabled,
        veil: Veil::from_config(&config.apply)?,
    })
}

/// What is read of the directory, as the configuration says.
pub fn followed(config: &Config) -> Source {
    let mappings = Mappings::parse(&config.apply.attributes).unwrap_or_default();
    let lockout = ["lockoutTime", "lockoutDuration"]
        .into_iter()
        .filter(|_| config.directory.treat_lockout_as_disabled);
    let upn = config.directory.upn_attribute();
    let read = mappings.inputs().map(String::as_str).chain([upn]).chain(lockout);
    let groups = !config.scope.groups.is_empty() || !config.apply.groups.is_empty();
    Source::from_config(&config.directory, read).with_groups(groups).without(&config.apply.never)
}

impl Watcher {
    /// As the configuration says. Opens the store; the network is left for [`Watcher::run`].
    pub fn new(
        config: &Config,
        keys: Keys,
        broker: Arc<dyn Broker>,
        health: Health,
        traces: Traces,
        shutdown: CancellationToken,
    ) -> Result<Watcher, WatcherError> {
        let directory = &config.directory;
        let source = source_of(&directory.base_dn);
        let store = Store::open(&config.state.path, &source)?;
        let login = Login::from_config(directory);
        if let Some(footing) = store.footing()? {
            login.prefer(&footing.url);
        }
        METRICS.postponed(store.postponements()?);
        METRICS.unreconciled.set(store.unreconciled()?.into());
        METRICS.guard_held(store.held_users()?);
        let journal = Journal::from_config(config);
        let (orders, waiting) = Orders::new(store.clone(), journal.clone());
        Ok(Watcher {
            waiting: Mutex::new(waiting),
            canary: config.canary.clone(),
            pipeline: Pipeline {
                canary: orders.canary(),
                source,
                rules: rules(config)?,
                store,
                keys,
                guard: Guard::from_config(&config.guard),
                full_read_interval: directory.full_read_interval(),
                settle: directory.failover_settle,
                census: Census::default(),
                passwords: config.passwords.enabled.then(|| Passwords {
                    confirm_within: config.passwords.confirm_within,
                    ttl: config.passwords.ttl,
                    enforce_expiry: config.passwords.enforce_expiry,
                    bell: Arc::new(Arrivals::rung()),
                }),
                journal,
                traces,
                publisher: broker.publisher(Role::Watcher),
                clock: Arc::new(Timestamp::now),
                shutdown: shutdown.clone(),
            },
            orders,
            broker,
            connect: connector(login, followed(config)),
            usn_interval: directory.usn_interval,
            sweep_interval: directory.sweep_interval,
            health,
            shutdown,
        })
    }

    /// Where an operator gives orders to this watcher.
    pub fn orders(&self) -> Orders {
        self.orders.clone()
    }

    /// Where passwords that are handed over are kept; none where that is not configured.
    pub fn keeper(&self) -> Option<Keeper> {
        let passwords = self.pipeline.passwords.as_ref()?;
        Some(Keeper { store: self.pipeline.store.clone(), bell: Arc::clone(&passwords.bell) })
    }

    /// Runs until the shutdown, through every outage. What is set up wrongly ends it, but only
    /// before it has worked once: later, a password that was changed must not stop it for good.
    pub async fn run(self) -> Result<(), WatcherError> {
        let canaries = canaries(self.orders(), self.canary.clone());
        let _canaries = AbortOnDropHandle::new(tokio::spawn(canaries));
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
            self.health.detail(PART, &error.to_string());
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
                self.health.detail(PART, STANDBY);
                self.pause(Duration::from_secs(2)).await;
            }
            return Err(error.into());
        }
        let work = async {
            self.pipeline.recover().await?;
            self.watch(worked, backoff).await
        };
        // Only the active watcher: a standby has a journal of its own.
        let result = tokio::select! {
            result = work => result,
            never = self.pipeline.journal.receive(self.broker.as_ref()) => match never {},
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
        let (sender, mut intake) = Intake::new();
        let mut waiting = self.waiting.lock().await;
        let asked = (&mut intake, &mut *waiting);
        tokio::select! {
            result = self.observe(directory.as_mut(), asked, worked, backoff) => result,
            never = intake::receive(self.broker.as_ref(), sender) => match never {},
        }
    }

    async fn observe(
        &self,
        directory: &mut dyn Directory,
        (intake, waiting): (&mut Intake, &mut Waiting),
        worked: &mut bool,
        backoff: &mut Backoff,
    ) -> Result<(), WatchError> {
        // It rings from before the first read on: whatever it misses, that read finds.
        let bell = directory.bell();
        let mut comparison = Comparing::default();
        let mut rechecked = Instant::now();
        let connected = format!("connected to {}", directory.server());
        loop {
            let arrived = directory.doorbell().await?;
            let mut busy = self.pipeline.follow(directory).await?;
            self.pipeline.refresh(directory, intake.take()).await?;
            self.pipeline.settle(directory).await?;
            self.pipeline.carry_out(directory, waiting).await?;
            if rechecked.elapsed() >= RECHECK {
                self.pipeline.recheck_clock(directory).await?;
                rechecked = Instant::now();
            }
            self.pipeline.hand_over(directory).await?;
            *worked = true;
            backoff.reset();
            self.health.ready(PART);
            self.health.detail(PART, &connected);
            busy += comparison.step(&self.pipeline, directory).await?;
            // However busy the domain, the server has half of its time for others.
            let rest = busy.max(self.usn_interval);
            let longest = self.longest(&comparison)?;
            let bells = (bell.as_ref(), arrived);
            if !self.wait(directory, (intake, waiting), bells, rest, longest).await? {
                return Ok(());
            }
        }
    }

    /// Rests, then waits for the doorbell, a refresh request, the sweep, or somebody's time. False
    /// when the process is asked to stop.
    async fn wait(
        &self,
        directory: &mut dyn Directory,
        (intake, waiting): (&mut Intake, &mut Waiting),
        (bell, arrived): (Option<&Bell>, Option<u64>),
        rest: Duration,
        longest: Duration,
    ) -> Result<bool, WatchError> {
        let sweep = Instant::now() + longest.max(rest);
        let mut pause = rest;
        let mut rested = false;
        loop {
            self.health.beat(PART);
            tokio::select! {
                () = ring(bell), if rested => return Ok(true),
                () = sleep(pause) => rested = true,
                () = intake.ring(), if rested => return Ok(true),
                () = waiting.ring(), if rested => return Ok(true),
                () = self.password_rings(), if rested => return Ok(true),
                () = self.shutdown.cancelled() => return Ok(false),
            }
            if Instant::now() >= sweep {
                return Ok(true);
            }
            if arrived.is_some() && directory.doorbell().await? != arrived {
                return Ok(true);
            }
            if bell.is_some_and(Bell::stands) {
                METRICS.cursor_moved();
            }
            let turn = if arrived.is_some() { self.usn_interval } else { BEAT };
            pause = turn.min(sweep.saturating_duration_since(Instant::now()));
        }
    }

    /// How long to wait at most: until the sweep, until somebody's time comes, or not at all
    /// where a comparison goes on.
    fn longest(&self, comparison: &Comparing) -> Result<Duration, StoreError> {
        if comparison.goes_on() {
            return Ok(Duration::ZERO);
        }
        let now = (self.pipeline.clock)();
        let due = self.pipeline.store.next_postponed()?;
        let due = due.map(|due| Duration::try_from(due.duration_since(now)).unwrap_or_default());
        let due = due.unwrap_or(Duration::MAX).min(self.pipeline.until_due()?);
        Ok(due.min(self.sweep_interval))
    }

    async fn password_rings(&self) {
        match &self.pipeline.passwords {
            Some(passwords) => passwords.bell.wait().await,
            None => std::future::pending().await,
        }
    }

    async fn pause(&self, delay: Duration) {
        tokio::select! {
            () = sleep(delay) => {}
            () = self.shutdown.cancelled() => {}
        }
    }
}

/// Sends canaries, where one is configured.
async fn canaries(orders: Orders, config: model::Canary) {
    let Some(user) = config.user else { return };
    loop {
        sleep(config.interval).await;
        match orders.fly(&user).await {
            Ok(hops) => tracing::debug!(?hops, "the canary is back"),
            // A watcher that stands by, or waits for its directory, says so elsewhere.
            Err(OrderError::Away) => {}
            Err(error) => tracing::warn!(%error, "the canary is not back"),
        }
    }
}

fn is_setup(error: &WatcherError) -> bool {
    match error {
        WatcherError::Directory(error) => error.is_setup(),
        WatcherError::Queue(error) => !error.is_transient(),
        WatcherError::Store(_) | WatcherError::Key(_) => true,
    }
}

async fn ring(bell: Option<&Bell>) {
    match bell {
        Some(bell) => bell.ring().await,
        None => std::future::pending().await,
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
