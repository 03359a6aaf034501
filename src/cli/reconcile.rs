//! `reconcile`: every user in scope, compared with Entra.

use std::{
    collections::{BTreeMap, BTreeSet},
    io::{self, Write},
    path::Path,
    process::ExitCode,
    time::Duration,
};

use clap::{Args, ValueEnum};
use indicatif::{ProgressBar, ProgressStyle};
use serde_json::json;
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

use super::{
    LEFT_OVER, Output,
    both::Both,
    reach,
    table::{clean, printed},
};
use crate::{
    config::model::Quota,
    ops::control::protocol::Request,
    queue::refresh::Why,
    reconcile::{Finding, Kind, Mend, Progress},
    watcher::{membership::Membership, orders::Order},
};

/// Users in one request.
const PAGE: usize = 1000;

/// Memberships in one request: names of groups are long.
const MEMBERSHIPS: usize = 250;

/// Findings of a kind that the table shows.
const SAMPLE: usize = 5;

/// Compares every user in scope with Entra, and shows what the relay would do.
///
/// Nothing is written without --apply. With --output json each finding is a line of its own; the
/// last line is the summary.
#[derive(Debug, Args)]
pub struct Arguments {
    /// Has the watcher tell again who differs, through guard and queue.
    #[arg(long)]
    apply: bool,
    /// What else is mended or shown.
    #[arg(long, value_enum)]
    include: Vec<Include>,
}

/// What is mended or shown only where it is asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Include {
    /// Mends who is enabled in the directory and blocked in Entra, perhaps by hand for a reason.
    Enable,
    /// Shows who never was in scope, and may sign in by a linked user of Entra.
    Outsiders,
}

/// What was found, as far as it is kept.
#[derive(Debug, Default)]
struct Found {
    counts: BTreeMap<Kind, u64>,
    samples: BTreeMap<Kind, Vec<Finding>>,
    refresh: BTreeSet<Uuid>,
    enable: BTreeSet<Uuid>,
    correct: Vec<Membership>,
    /// Findings that nothing of this run mends.
    left: u64,
    /// Findings that are not left to another tool.
    ours: u64,
    writes: u64,
}

/// Runs the command.
pub async fn main(
    arguments: Arguments,
    path: &Path,
    output: Output,
    shutdown: CancellationToken,
) -> anyhow::Result<ExitCode> {
    let both = Both::open(path)?;
    let (mut directory, reconciliation) = both.prepare(path).await?;
    let enables = arguments.include.contains(&Include::Enable);
    let mut found = Found::default();
    let bar = Bar::new();
    let mut written = Ok(());
    let compared = reconciliation.run(
        directory.as_mut(),
        arguments.include.contains(&Include::Outsiders),
        |progress| bar.show(progress),
        |finding| {
            if output == Output::Json && written.is_ok() {
                written = line(&json!(finding));
            }
            found.take(finding, enables);
        },
    );
    let Some(users) = shutdown.run_until_cancelled(compared).await else {
        anyhow::bail!("interrupted; nothing was changed");
    };
    let users = users?;
    drop(bar);
    printed(written)?;
    found.print(users, &both.config.graph.quota, output)?;
    if arguments.apply {
        apply(path, &found).await?;
        if output == Output::Table {
            let Found { refresh, enable, correct, .. } = &found;
            let (again, enabled, moved) = (refresh.len(), enable.len(), correct.len());
            println!(
                "Asked for: {again} users to be told again, {enabled} to be enabled, {moved} \
                 memberships to be corrected."
            );
        }
    }
    if arguments.apply || found.counts.is_empty() {
        match reach::tell(path, Request::Watcher(Order::Reconciled)).await {
            Ok(()) => {}
            Err(error) => eprintln!(
                "entra-relay: relay_unreconciled stays as it is: {error:#}; run this where the \
                 watcher runs"
            ),
        }
    }
    let open = if arguments.apply { found.left } else { found.ours };
    Ok(if open == 0 { ExitCode::SUCCESS } else { ExitCode::from(LEFT_OVER) })
}

async fn apply(path: &Path, found: &Found) -> anyhow::Result<()> {
    let refresh: Vec<_> = found.refresh.iter().copied().collect();
    for page in refresh.chunks(PAGE) {
        let request = Request::Refresh { objects: page.to_vec(), why: Why::Reconcile };
        reach::tell(path, request).await?;
    }
    let enable: Vec<_> = found.enable.iter().copied().collect();
    for page in enable.chunks(PAGE) {
        reach::tell(path, Request::Watcher(Order::Enable(page.to_vec()))).await?;
    }
    for page in found.correct.chunks(MEMBERSHIPS) {
        reach::tell(path, Request::Watcher(Order::Correct(page.to_vec()))).await?;
    }
    Ok(())
}

impl Found {
    fn take(&mut self, finding: Finding, enables: bool) {
        *self.counts.entry(finding.kind).or_default() += 1;
        let mend = finding.kind.mend();
        self.ours += u64::from(mend != Mend::Source);
        match (mend, finding.object) {
            (Mend::Refresh, Some(object)) => {
                // A block ends the sessions too; properties are one write together.
                let blocks = !matches!(finding.kind, Kind::Differs | Kind::Lacking | Kind::Cleared);
                let first = self.refresh.insert(object);
                self.writes += if blocks { 2 } else { u64::from(first) };
            }
            (Mend::Enable, Some(object)) if enables => {
                self.enable.insert(object);
                self.writes += 1;
            }
            (Mend::Correct, Some(object)) => {
                if let Some(group) = finding.group.clone() {
                    let member = finding.kind == Kind::Member;
                    self.correct.push(Membership { object, group, member });
                    self.writes += 1;
                }
            }
            (Mend::Source, _) => {}
            _ => self.left += 1,
        }
        let samples = self.samples.entry(finding.kind).or_default();
        if samples.len() < SAMPLE {
            samples.push(finding);
        }
    }

    /// How long the writes take at the quota.
    fn estimate(&self, quota: &Quota) -> Duration {
        let share = self.writes as f64 / f64::from(quota.writes.max(1));
        Duration::from_secs(quota.per.mul_f64(share).as_secs())
    }

    fn print(&self, users: u64, quota: &Quota, output: Output) -> anyhow::Result<()> {
        let estimate = self.estimate(quota);
        if output == Output::Json {
            let counts: BTreeMap<_, _> =
                self.counts.iter().map(|(kind, count)| (kind.as_str(), count)).collect();
            let summary = json!({ "summary": {
                "users": users,
                "differences": counts,
                "writes": self.writes,
                "estimated_seconds": estimate.as_secs(),
                "left_to_a_person": self.left,
            }});
            return printed(line(&summary));
        }
        if self.counts.is_empty() {
            println!("Directory and Entra agree on all {users} users in scope.");
            return Ok(());
        }
        println!("{users} users in scope were compared.");
        for (kind, count) in &self.counts {
            let mend = match kind.mend() {
                Mend::Refresh | Mend::Correct => "mended by --apply",
                Mend::Source => "left to that tool",
                Mend::Enable => "mended by --apply --include enable",
                Mend::Person => "for a person to mend",
            };
            println!("{count:>7}  {}: {} ({mend})", kind.as_str(), kind.sentence());
            for Finding { user, entra, group, what, .. } in &self.samples[kind] {
                let user = user.as_deref().or(entra.as_deref()).unwrap_or_default();
                let what: Vec<_> = group.iter().chain(what).map(String::as_str).collect();
                println!("             {}  {}", clean(user), clean(&what.join(", ")));
            }
        }
        let estimate = humantime::format_duration(estimate);
        println!("{} writes to Graph, about {estimate} at the quota.", self.writes);
        Ok(())
    }
}

fn line(value: &serde_json::Value) -> io::Result<()> {
    writeln!(io::stdout().lock(), "{value}")
}

/// How far it is: on standard error, where that is a terminal.
struct Bar(ProgressBar);

impl Bar {
    fn new() -> Bar {
        let style = ProgressStyle::with_template("{spinner} {msg} {pos}, {per_sec}");
        let style = style.unwrap_or_else(|_| ProgressStyle::default_bar());
        Bar(ProgressBar::no_length().with_style(style))
    }

    fn show(&self, progress: Progress) {
        let (what, done) = match progress {
            Progress::Entra(done) => ("users of Entra read:", done),
            Progress::Directory(done) => ("users of the directory compared:", done),
        };
        self.0.set_message(what);
        self.0.set_position(done);
    }
}

impl Drop for Bar {
    fn drop(&mut self) {
        self.0.finish_and_clear();
    }
}
