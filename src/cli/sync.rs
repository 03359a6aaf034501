//! `sync`: these users now, and what came of it.

use std::{collections::BTreeMap, path::Path, process::ExitCode, time::Duration};

use clap::Args;
use serde_json::json;
use tokio::time::{Instant, sleep};
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

use super::{LEFT_OVER, Output, both::Both, reach, table::clean};
use crate::{
    ops::control::protocol::{Reply, Request},
    queue::refresh::Why,
    reconcile::{Finding, Mend},
    watcher::{
        held::Choice,
        orders::{Answer, Order},
    },
};

/// How often Graph is asked whether it agrees.
const ASK: Duration = Duration::from_millis(500);

/// Users in one request.
const PAGE: usize = 1000;

/// Has the watcher tell users again, and waits until Entra agrees with the directory.
///
/// It needs the directory and Graph, for the outcome is read back from there.
#[derive(Debug, Args)]
#[command(group(clap::ArgGroup::new("who").required(true).multiple(true)))]
pub struct Arguments {
    /// sAMAccountName, UPN, DN, SID or objectGUID.
    #[arg(value_name = "USER", group = "who")]
    users: Vec<String>,
    /// Everybody below this DN.
    #[arg(long, value_name = "DN", group = "who")]
    ou: Option<String>,
    /// How long to wait.
    #[arg(long, value_name = "TIME", default_value = "30s", value_parser = humantime::parse_duration)]
    wait: Duration,
}

/// Runs the command.
pub async fn main(
    arguments: Arguments,
    path: &Path,
    output: Output,
    shutdown: CancellationToken,
) -> anyhow::Result<ExitCode> {
    let Arguments { users, ou, wait } = arguments;
    let both = Both::open(path)?;
    let choice = Choice { batch: None, users, under: ou };
    let names = find(path, choice.clone()).await?;
    let unknown = choice.users.len().saturating_sub(names.len());
    anyhow::ensure!(!names.is_empty(), "the watcher knows no such user");
    let mut directory = both.connect().await?;
    let objects: Vec<_> = names.keys().copied().collect();
    for page in objects.chunks(PAGE) {
        let request = Request::Refresh { objects: page.to_vec(), why: Why::Sync };
        reach::tell(path, request).await?;
    }
    let mut waiting = names.clone();
    let mut open: BTreeMap<Uuid, Vec<Finding>> = BTreeMap::new();
    let until = Instant::now() + wait;
    let reconciliation = both.reconciliation();
    loop {
        for object in waiting.keys().copied().collect::<Vec<_>>() {
            let found = reconciliation.one(directory.as_mut(), object).await?;
            // What the relay does not mend by itself is not worth waiting for.
            let ends = !found.iter().any(|finding| finding.kind.mend() == Mend::Refresh);
            open.insert(object, found);
            if ends {
                waiting.remove(&object);
            }
        }
        if waiting.is_empty() || Instant::now() >= until {
            break;
        }
        if shutdown.run_until_cancelled(sleep(ASK)).await.is_none() {
            break;
        }
    }
    let mut left = unknown;
    for (object, found) in &open {
        left += usize::from(!found.is_empty());
        print(&names[object], *object, found, output);
    }
    if unknown > 0 {
        eprintln!("entra-relay: {unknown} of the names mean nobody whom the watcher knows");
    }
    Ok(if left == 0 { ExitCode::SUCCESS } else { ExitCode::from(LEFT_OVER) })
}

/// The users that are meant, as the watcher's ledger knows them.
async fn find(path: &Path, choice: Choice) -> anyhow::Result<BTreeMap<Uuid, String>> {
    let mut replies = reach::ask(path, Request::Watcher(Order::Find(choice))).await?;
    let mut found = BTreeMap::new();
    while let Some(reply) = replies.next().await? {
        if let Reply::Watcher(Answer::Known { object, user }) = reply {
            found.insert(object, user.unwrap_or_else(|| object.to_string()));
        }
    }
    Ok(found)
}

fn print(user: &str, object: Uuid, found: &[Finding], output: Output) {
    if output == Output::Json {
        println!("{}", json!({ "user": user, "object": object, "differences": found }));
    } else if found.is_empty() {
        println!("{}: Entra agrees with the directory", clean(user));
    } else {
        for Finding { kind, what, .. } in found {
            let (sentence, what) = (kind.sentence(), clean(&what.join(", ")));
            println!("{}: {sentence} {what}", clean(user));
        }
    }
}
