//! `run`, `watch`, `apply`: the roles.

use std::{path::Path, process::ExitCode, sync::Arc};

use anyhow::Context;
use tokio::{task::JoinSet, time::timeout};
use tokio_util::sync::CancellationToken;

use crate::{
    config::{self, Config, Role},
    consumer::{self, Consumer, Rules},
    event::source_of,
    graph::{ErrorKind, GraphClient},
    ops::{
        admin::Admin,
        control,
        dead_letters::keep_counted,
        health::Health,
        metrics::METRICS,
        pause::Pause,
        queue_depth::keep_measured,
        shutdown::GRACE,
        status::Status,
        traces::{self, Traces},
    },
    passwords::{self, Intake},
    queue::{self, Broker, QueueError, letters::Desk},
    sealing::Opener,
    signing::Keys,
    watcher::{self, Watcher, passwords::Keeper},
};

/// Reads the configuration and plays the role until a signal.
pub async fn main(
    path: &Path,
    role: Role,
    shutdown: CancellationToken,
) -> anyhow::Result<ExitCode> {
    #[cfg_attr(not(feature = "sandbox"), expect(unused_mut, reason = "the sandbox fills it in"))]
    let mut config = config::load(path, std::env::vars(), role)?;
    #[cfg(feature = "sandbox")]
    let _sandbox = crate::sandbox::Sandbox::for_config(&mut config).await?;
    let relay = Relay::start(config, role, shutdown).await?;
    if let Ok(address) = relay.admin_address() {
        tracing::info!(%address, "serving the status page, /metrics, /livez and /readyz");
    }
    relay.finish().await?;
    tracing::info!("stopped");
    Ok(ExitCode::SUCCESS)
}

/// The parts of a process, running.
pub struct Relay {
    tasks: JoinSet<anyhow::Result<()>>,
    address: std::io::Result<std::net::SocketAddr>,
    #[cfg_attr(not(feature = "sandbox"), expect(dead_code, reason = "the demo waits for it"))]
    health: Health,
    shutdown: CancellationToken,
}

impl Relay {
    /// Starts the parts of a role. What is set up wrongly is told here; a server that is away is
    /// waited for.
    pub async fn start(
        config: Config,
        role: Role,
        shutdown: CancellationToken,
    ) -> anyhow::Result<Relay> {
        let watching = role.watches().then_some(watcher::PART);
        let applying = role.applies().then_some(consumer::PARTS).into_iter().flatten();
        let health = Health::new(watching.into_iter().chain(applying));
        METRICS.started(role);
        let keys = Keys::load(&config.security, role)?;
        let (traces, exporter) = traces::open(&config.traces, role)?;
        let admin = Admin::bind(&config.admin.listen).await?;
        let address = admin.address();
        let control = control::Server::bind(&config.control)?;
        let broker = queue::open(&config.broker)?;
        match broker.declare().await {
            Err(error @ QueueError::Setup(_)) => return Err(error.into()),
            Err(error) => tracing::warn!(%error, "the queue is not there yet"),
            Ok(()) => {}
        }
        let mut tasks = JoinSet::new();
        if let Some(exporter) = exporter {
            let shutdown = shutdown.clone();
            tasks.spawn(async move {
                exporter.run(shutdown).await;
                Ok(())
            });
        }
        let pause = Pause::of(&config.control);
        let mut watching = control::Watching::Elsewhere;
        if role.applies() {
            let consumer =
                consumer(&config, &keys, Arc::clone(&broker), &health, &pause, &traces).await?;
            let shutdown = shutdown.clone();
            tasks.spawn(async move {
                consumer::run(consumer, shutdown).await;
                Ok(())
            });
        }
        if role.watches() {
            let watcher = Watcher::new(
                &config,
                keys,
                Arc::clone(&broker),
                health.clone(),
                traces,
                shutdown.clone(),
            )?;
            watching = control::Watching::Here(watcher.orders());
            if let Some(keeper) = watcher.keeper() {
                serve_passwords(&mut tasks, &config, keeper, &shutdown).await?;
            }
            tasks.spawn(async move { Ok(watcher.run().await?) });
        }
        let service = control::Service::new(Arc::clone(&broker), watching, pause);
        serve_tools(&mut tasks, (control, service), &broker, &shutdown);
        let status = Status::new(&config, role, health.clone());
        let (kept, end) = (status.clone(), shutdown.clone());
        tasks.spawn(async move {
            let _stopped = end.run_until_cancelled(kept.keep()).await;
            Ok(())
        });
        tokio::spawn(admin.serve(health.clone(), status, shutdown.clone()));
        Ok(Relay { tasks, address, health, shutdown })
    }

    /// Where the admin listener is.
    pub fn admin_address(&self) -> std::io::Result<std::net::SocketAddr> {
        match &self.address {
            Ok(address) => Ok(*address),
            Err(error) => Err(std::io::Error::other(error.to_string())),
        }
    }

    /// Whether every part works.
    #[cfg(feature = "sandbox")]
    pub fn health(&self) -> &Health {
        &self.health
    }

    /// Waits for the end of every part. One that fails ends the others. After the shutdown they
    /// have the grace period; what is not done then is done again by the next process.
    pub async fn finish(mut self) -> anyhow::Result<()> {
        let shutdown = self.shutdown.clone();
        let mut first_error = None;
        let mut drain = |result: Result<anyhow::Result<()>, tokio::task::JoinError>| {
            let error = match result {
                Ok(Ok(())) => None,
                Ok(Err(error)) => Some(error),
                Err(panic) => Some(panic.into()),
            };
            if let Some(error) = error {
                shutdown.cancel();
                first_error.get_or_insert(error);
            }
        };
        while !self.shutdown.is_cancelled() {
            tokio::select! {
                ended = self.tasks.join_next() => match ended {
                    Some(result) => drain(result),
                    None => break,
                },
                () = self.shutdown.cancelled() => {}
            }
        }
        let rest = async {
            while let Some(result) = self.tasks.join_next().await {
                drain(result);
            }
        };
        if timeout(GRACE, rest).await.is_err() {
            tracing::warn!("the grace period is over, leaving the rest to the next process");
            self.tasks.abort_all();
        }
        first_error.map_or(Ok(()), Err)
    }
}

/// Takes passwords in, from domain controllers.
async fn serve_passwords(
    tasks: &mut JoinSet<anyhow::Result<()>>,
    config: &Config,
    keeper: Keeper,
    shutdown: &CancellationToken,
) -> anyhow::Result<()> {
    let path = config.security.sealing_key_file.as_deref();
    let key = path.context("security.sealing_key_file is missing")?;
    let source = source_of(&config.directory.base_dn);
    let intake = Arc::new(Intake::new(&source, key, Arc::new(keeper))?);
    tracing::info!(listen = config.passwords.listen, "taking passwords in");
    let server = passwords::Server::bind(&config.passwords, intake).await?;
    let shutdown = shutdown.clone();
    tasks.spawn(async move {
        server.serve(shutdown).await;
        Ok(())
    });
    Ok(())
}

/// What the process does beside its role: it answers the command line, and counts what waits and
/// what was given up.
fn serve_tools(
    tasks: &mut JoinSet<anyhow::Result<()>>,
    (control, service): (control::Server, control::Service),
    broker: &Arc<dyn Broker>,
    shutdown: &CancellationToken,
) {
    let service = Arc::new(service);
    let (desk, end) = (Desk::new(Arc::clone(broker)), shutdown.clone());
    tasks.spawn(async move {
        control.serve(service, end).await;
        Ok(())
    });
    let end = shutdown.clone();
    tasks.spawn(async move {
        let _stopped = end.run_until_cancelled(keep_counted(&desk)).await;
        Ok(())
    });
    let (broker, end) = (Arc::clone(broker), shutdown.clone());
    tasks.spawn(async move {
        let _stopped = end.run_until_cancelled(keep_measured(broker.as_ref())).await;
        Ok(())
    });
}

async fn consumer(
    config: &Config,
    keys: &Keys,
    broker: Arc<dyn Broker>,
    health: &Health,
    pause: &Pause,
    traces: &Traces,
) -> anyhow::Result<Consumer> {
    let graph = GraphClient::new(&config.graph)?;
    match graph.probe().await {
        Err(error) if matches!(error.kind, ErrorKind::TokenRefused | ErrorKind::Unauthorized) => {
            anyhow::bail!("{error}; {}", error.remedy());
        }
        // Any other refusal of the probe shows that Graph is there.
        Err(error) if error.may_be_outage() => tracing::warn!(%error, "graph does not answer yet"),
        Err(_) | Ok(()) => {}
    }
    Ok(Consumer {
        broker,
        graph: Arc::new(graph),
        partitions: config.broker.partitions,
        rules: Rules::new(&config.apply, &config.scope.protected)?,
        parking: config.parking.clone(),
        max_age: config.security.max_age,
        source: source_of(&config.directory.base_dn),
        verifier: Arc::clone(&keys.verifier),
        opener: Arc::new(Opener::load(&config.security.opening_key_files)?),
        health: health.clone(),
        pause: pause.subscribe(),
        journal: config.journal.is_kept(),
        traces: traces.clone(),
    })
}
