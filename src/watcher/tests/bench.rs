//! A watcher's pipeline on a world, and what a test has it do.

use std::sync::atomic::{AtomicI64, Ordering};

use redb::backends::InMemoryBackend;
use tokio::time::timeout;

use super::world::*;
use crate::{
    config::model,
    event::Event,
    ops::traces::Traces,
    queue::Delivery,
    signing::Signer,
    watcher::{
        held::{Choice, summaries},
        resync::Comparison,
        *,
    },
};

/// Reads `apply.attributes`.
pub(super) fn mappings(mappings: &[(&str, &str)]) -> Mappings {
    let own = |(property, rule): &(&str, &str)| ((*property).into(), (*rule).into());
    Mappings::parse(&mappings.iter().map(own).collect()).expect("mappings")
}

/// A watcher's work on a world.
pub(super) struct Bench {
    pub(super) world: Shared,
    pub(super) store: Store,
    pub(super) guard: model::Guard,
    pub(super) scope: model::Scope,
    pub(super) keys: Keys,
    /// How long whatever gives access waits.
    pub(super) settle: Duration,
    pub(super) passwords: Option<Passwords>,
    /// Which properties follow which attributes.
    pub(super) mappings: Mappings,
    /// The groups whose members are told of.
    pub(super) groups: Vec<String>,
    /// Where traces go.
    pub(super) traces: Traces,
    time: Arc<AtomicI64>,
}

impl Bench {
    pub(super) fn new(guard: model::Guard) -> Bench {
        Bench {
            keys: Keys::of(Signer::generate()),
            world: Shared::default(),
            store: Store::on(InMemoryBackend::new(), "ldap:///dc=x").expect("store"),
            guard,
            scope: model::Scope::default(),
            settle: Duration::ZERO,
            passwords: None,
            mappings: mappings(&[("jobTitle", "title")]),
            groups: Vec::new(),
            traces: Traces::default(),
            time: Arc::default(),
        }
    }

    /// Begins anew, with a store that knows nobody.
    pub(super) fn lose_store(&mut self) {
        self.store = Store::on(InMemoryBackend::new(), "ldap:///dc=x").expect("store");
    }

    /// After the first baseline, with this many users.
    pub(super) fn with_users(users: usize, guard: model::Guard) -> Bench {
        let bench = Bench::new(guard);
        for index in 0..users {
            bench.lock().create(index);
        }
        assert!(bench.run(), "the baseline");
        assert!(bench.lock().told.is_empty(), "a first baseline tells nothing");
        bench
    }

    pub(super) fn lock(&self) -> std::sync::MutexGuard<'_, World> {
        self.world.lock().expect("lock")
    }

    /// Sets an attribute of a user.
    pub(super) fn set(&self, index: usize, name: &'static str, value: Option<&str>) {
        self.lock().set(index, name, value);
    }

    /// Lets time pass.
    pub(super) fn sleep(&self, seconds: i64) {
        self.time.fetch_add(3 * seconds, Ordering::Relaxed);
    }

    /// What time it is for the watcher.
    pub(super) fn now(&self) -> Timestamp {
        moment(self.time.load(Ordering::Relaxed))
    }

    /// What has been told since the last call.
    pub(super) fn told(&self) -> Vec<Event> {
        let told = std::mem::take(&mut self.lock().told);
        told.iter().map(|message| Event::from_json(&message.body).expect("an event")).collect()
    }

    pub(super) fn directory(&self) -> FakeDirectory {
        FakeDirectory(Arc::clone(&self.world))
    }

    pub(super) fn pipeline(&self) -> Pipeline {
        let time = Arc::clone(&self.time);
        Pipeline {
            canary: Arc::default(),
            source: "ldap:///dc=x".into(),
            rules: Rules {
                upn_attribute: "userPrincipalName".into(),
                mappings: self.mappings.clone(),
                scope: Scope::from_config(&self.scope),
                veil: Default::default(),
                groups: self.groups.clone(),
                count_lockouts: false,
            },
            store: self.store.clone(),
            guard: Guard::from_config(&self.guard),
            full_read_interval: Duration::from_secs(24 * 3600),
            settle: self.settle,
            census: Census::default(),
            passwords: self.passwords.clone(),
            journal: Journal::default(),
            traces: self.traces.clone(),
            keys: self.keys.clone(),
            publisher: Arc::new(FakePublisher(Arc::clone(&self.world))),
            // A clock that stands still now and then.
            clock: Arc::new(move || moment(time.fetch_add(1, Ordering::Relaxed))),
            shutdown: CancellationToken::new(),
        }
    }

    /// A run of the process: ends by having read and handled everything, by an error, or by death.
    pub(super) fn run(&self) -> bool {
        let mut directory = FakeDirectory(Arc::clone(&self.world));
        let pipeline = self.pipeline();
        block_on(async {
            pipeline.recover().await?;
            pipeline.follow(&mut directory).await?;
            let mut comparison = Comparison::default();
            while pipeline.comparison_due()?
                && !pipeline.compare(&mut directory, &mut comparison).await?
            {}
            pipeline.settle(&mut directory).await?;
            pipeline.hand_over(&mut directory).await?;
            let requests = self.lock().requests.clone();
            let deliveries = requests.into_iter().map(|message| Delivery {
                receipt: Box::new(FakeReceipt(Arc::clone(&self.world), message.id)),
                redelivered: false,
                in_place: true,
                message,
            });
            pipeline.refresh(&mut directory, deliveries.collect()).await
        })
        .is_some()
    }

    /// The same, while a user cannot be read.
    pub(super) fn run_with_gone(&self, index: usize) -> bool {
        self.lock().gone = Some(object(index));
        let done = self.run();
        self.lock().gone = None;
        done
    }

    /// Approves the oldest batch that is held, if there is one.
    pub(super) fn approve(&self) -> bool {
        let held = held::held(&self.store, &Choice::default()).expect("store");
        let Some(oldest) = summaries(&held).into_iter().next() else { return false };
        self.approve_what(&Choice { batch: Some(oldest.batch), ..Choice::default() })
    }

    /// Approves a part of what is held.
    pub(super) fn approve_what(&self, choice: &Choice) -> bool {
        let pipeline = self.pipeline();
        let mut directory = FakeDirectory(Arc::clone(&self.world));
        block_on(async {
            pipeline.recover().await?;
            pipeline.approve(&mut directory, choice).await
        })
        .is_some()
    }

    /// Looks again at what is held by the clock.
    pub(super) fn recheck(&self) -> bool {
        let mut directory = FakeDirectory(Arc::clone(&self.world));
        block_on(self.pipeline().recheck_clock(&mut directory)).is_some()
    }
}

fn moment(ticks: i64) -> Timestamp {
    Timestamp::from_second(1_700_000_000 + ticks / 3).expect("in range")
}

/// With the clock paused, waiting for the queue takes no time, and what waits for ever is dead.
pub(super) fn block_on<T>(work: impl Future<Output = Result<T, WatchError>>) -> Option<T> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_time()
        .start_paused(true)
        .build()
        .expect("runtime");
    runtime.block_on(async { timeout(Duration::from_secs(3600), work).await.ok()?.ok() })
}
