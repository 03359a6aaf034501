//! `status`: one screen of what the processes and the queues say of themselves.
//!
//! A process is asked at its admin listener, so one on another host can be asked alike. The broker
//! is asked for the depths of its queues; where a process has the embedded queue's file open, and
//! for the reasons of dead letters, what the processes have counted stands in.

mod print;
mod report;

use std::{
    collections::BTreeMap,
    io::{self, IsTerminal, Write},
    net::SocketAddr,
    path::Path,
    process::ExitCode,
    sync::Arc,
    time::Duration,
};

use clap::Args;
use futures_util::future::join_all;
use jiff::Timestamp;
use tokio::time::{sleep, timeout};
use tokio_util::sync::CancellationToken;

use self::report::{Process, Report};
use super::{
    Output,
    http::{get, reachable},
    table::clean,
};
use crate::{
    config::{
        self, Config, Role,
        model::{self, BrokerKind},
    },
    event::Lane,
    ops::status::{Part, Queues, Sample, Told},
    queue::{self, Broker, ParkingDelay, Queue, QueueError},
};

/// The time between the two samples that a rate takes.
const RATE: Duration = Duration::from_secs(1);

/// The longest wait for the broker.
const BROKER: Duration = Duration::from_secs(5);

/// `entra-relay status`
#[derive(Debug, Args)]
#[command(
    after_help = "Asks the process of this configuration, those named, and the broker. What \
answers is shown, and said what cannot be seen. Rates are those of the last second, or since the \
last screen. Ends with 1 where nothing answers."
)]
pub struct Arguments {
    /// Admin listener of a further process, such as a consumer on another host.
    #[arg(value_name = "HOST:PORT")]
    others: Vec<String>,
    /// Goes on until interrupted, with a new screen every so often.
    #[arg(
        long,
        value_name = "TIME",
        num_args = 0..=1,
        require_equals = true,
        default_missing_value = "2s",
        value_parser = interval
    )]
    watch: Option<Duration>,
}

/// Runs the command.
pub async fn main(
    arguments: Arguments,
    path: &Path,
    output: Output,
    shutdown: CancellationToken,
) -> anyhow::Result<ExitCode> {
    let config = config::load(path, std::env::vars(), Role::Tool)?;
    let mut view = View::new(&config, arguments.others);
    view.sample().await;
    let interval = arguments.watch.unwrap_or(RATE);
    loop {
        if shutdown.run_until_cancelled(sleep(interval)).await.is_none() {
            return Ok(ExitCode::SUCCESS);
        }
        let Some(report) = shutdown.run_until_cancelled(view.report()).await else {
            return Ok(ExitCode::SUCCESS);
        };
        match show(&report, output, arguments.watch.is_some()) {
            // Whoever reads has seen enough.
            Err(error) if error.kind() == io::ErrorKind::BrokenPipe => {
                return Ok(ExitCode::SUCCESS);
            }
            shown => shown?,
        }
        if arguments.watch.is_none() {
            let answered = report.processes.iter().any(|process| process.told.is_some());
            let seen = answered || report.queues.waiting.is_some();
            return Ok(if seen { ExitCode::SUCCESS } else { ExitCode::FAILURE });
        }
    }
}

fn show(report: &Report, output: Output, again: bool) -> io::Result<()> {
    let stdout = io::stdout();
    let on_screen = again && stdout.is_terminal();
    let mut out = io::BufWriter::new(stdout.lock());
    match output {
        Output::Json if again => writeln!(out, "{}", serde_json::to_string(report)?)?,
        Output::Json => writeln!(out, "{}", serde_json::to_string_pretty(report)?)?,
        Output::Table => {
            if on_screen {
                // Home, and whatever was there is gone (ECMA-48: CUP, ED).
                out.write_all(b"\x1b[H\x1b[2J")?;
            }
            print::screen(&mut out, report)?;
            if again && !on_screen {
                writeln!(out)?;
            }
        }
    }
    out.flush()
}

/// What is looked at, and what was last seen.
struct View {
    broker: model::Broker,
    /// Connected while it works.
    open: Option<Arc<dyn Broker>>,
    /// The process of this configuration comes first.
    addresses: Vec<String>,
    before: BTreeMap<String, Sample>,
}

impl View {
    fn new(config: &Config, others: Vec<String>) -> View {
        let listener: SocketAddr =
            config.admin.listen.parse().expect("the configuration was checked when it was read");
        let mut addresses = vec![reachable(listener).to_string()];
        addresses.extend(others);
        View { broker: config.broker.clone(), open: None, addresses, before: BTreeMap::new() }
    }

    /// Asks every process.
    async fn sample(&mut self) -> Vec<(String, io::Result<Sample>)> {
        let asked = self.addresses.iter().map(async |address| {
            let sample = sample(address).await;
            (address.clone(), sample)
        });
        let answers = join_all(asked).await;
        let seen = answers
            .iter()
            .filter_map(|(address, sample)| Some((address.clone(), sample.as_ref().ok()?.clone())));
        self.before = seen.collect();
        answers
    }

    async fn report(&mut self) -> Report {
        let before = std::mem::take(&mut self.before);
        let answers = self.sample().await;
        let mut unseen = Vec::new();
        // Whoever watches and whoever applies count alike.
        let counted = answers.iter().filter_map(|(_, sample)| sample.as_ref().ok()).next();
        let mut queues = counted.map(Queues::counted_by).unwrap_or_default();
        match timeout(BROKER, self.depths(counted.is_some())).await {
            Ok(Ok(Some(asked))) => {
                let by_reason = queues.dead_letters_by_reason;
                queues = Queues { dead_letters_by_reason: by_reason, ..asked };
            }
            Ok(Ok(None)) => {}
            Ok(Err(error)) => unseen.push(format!("the broker: {error}")),
            Err(_elapsed) => unseen.push("the broker: no answer within 5 seconds".into()),
        }
        let processes: Vec<_> = answers
            .into_iter()
            .map(|(address, sample)| match sample {
                Ok(now) => {
                    let told = Some(Told::new(&now, before.get(&address)));
                    Process { address, error: None, told }
                }
                Err(error) => Process { address, error: Some(error.to_string()), told: None },
            })
            .collect();
        let told = || processes.iter().filter_map(|process| process.told.as_ref());
        if !told().any(|told| told.watcher.is_some()) {
            unseen.push(
                "the watcher: cursor, held users and reconciliation; ask where it runs, or name \
                 its admin listener as HOST:PORT"
                    .into(),
            );
        }
        if !told().any(|told| told.consumer.is_some()) {
            unseen.push(
                "consumers: rate, quota and last disable; ask where they run, or name their admin \
                 listeners as HOST:PORT"
                    .into(),
            );
        }
        if told().next().is_none() && queues.dead_letters.is_some_and(|letters| letters > 0) {
            unseen.push("the reasons of dead letters: see dead-letters list".into());
        }
        Report { time: Timestamp::now(), processes, queues, unseen }
    }

    /// What the broker says; none where it is a file in the hands of a process, or not there.
    async fn depths(&mut self, runs: bool) -> Result<Option<Queues>, QueueError> {
        if self.broker.kind == BrokerKind::Embedded && (runs || !self.broker.path.exists()) {
            return Ok(None);
        }
        let broker = match self.open.take() {
            Some(broker) => broker,
            None => queue::open(&self.broker)?,
        };
        let mut waiting = BTreeMap::new();
        for lane in Lane::ALL {
            waiting.insert(lane.as_str(), broker.depth(Queue::Lane(lane)).await?);
        }
        let mut parked = 0;
        for delay in ParkingDelay::ALL {
            parked += broker.depth(Queue::Parked(delay)).await?;
        }
        let dead_letters = Some(broker.depth(Queue::DeadLetters).await?);
        if self.broker.kind == BrokerKind::Rabbitmq {
            self.open = Some(broker);
        }
        let (waiting, parked) = (Some(waiting), Some(parked));
        Ok(Some(Queues { waiting, parked, dead_letters, ..Queues::default() }))
    }
}

/// Asks the listener at `address`. What stands there ends up in a terminal.
async fn sample(address: &str) -> io::Result<Sample> {
    let (status, metrics) = get(address, "/metrics").await?;
    if status != 200 {
        return Err(io::Error::other(format!("/metrics answers {status}")));
    }
    let (_, parts) = get(address, "/readyz").await?;
    let metrics: Vec<_> = metrics.lines().map(clean).collect();
    let mut sample = Sample::read(&metrics.join("\n"), &parts);
    sample.parts = std::mem::take(&mut sample.parts)
        .into_iter()
        .map(|(name, part)| (clean(&name), Part { detail: clean(&part.detail), ..part }))
        .collect();
    Ok(sample)
}

fn interval(text: &str) -> Result<Duration, String> {
    let interval = humantime::parse_duration(text).map_err(|error| error.to_string())?;
    if interval < Duration::from_millis(100) {
        return Err("write 100ms or more".into());
    }
    Ok(interval)
}

#[cfg(test)]
mod tests;
