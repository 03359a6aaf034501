//! `sync`: these users now, and what came of it.

use std::{
    collections::{BTreeMap, BTreeSet},
    path::Path,
    process::ExitCode,
    time::Duration,
};

use clap::Args;
use serde_json::json;
use tokio::time::{Instant, sleep};
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

use super::{LEFT_OVER, Output, both::Both, reach, table::clean};
use crate::{
    directory::Directory,
    ops::control::protocol::{Reply, Request},
    queue::refresh::Why,
    reconcile::{Finding, Mend, members_of, nested_groups},
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
/// It needs the directory and Graph, for the outcome is read back from there. Memberships are not
/// compared: `reconcile` does that.
#[derive(Debug, Args)]
#[command(group(clap::ArgGroup::new("who").required(true).multiple(true)))]
pub struct Arguments {
    /// sAMAccountName, UPN, DN, SID or objectGUID; the DN of a group means its members, direct and
    /// nested, that of a container everybody below it.
    #[arg(value_name = "USER", group = "who")]
    users: Vec<String>,
    /// Everybody below this DN; with names, those of them who are.
    #[arg(long, value_name = "DN", group = "who")]
    ou: Option<String>,
    /// How long to wait.
    #[arg(long, value_name = "TIME", default_value = "30s", value_parser = humantime::parse_duration)]
    wait: Duration,
}

/// Who is meant.
#[derive(Debug, Default)]
struct Meant {
    users: BTreeMap<Uuid, User>,
    /// Names that mean nobody whom the watcher knows.
    unknown: usize,
}

/// Somebody whom the watcher knows.
#[derive(Debug)]
struct User {
    name: String,
    takes_part: bool,
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
    let (mut directory, reconciliation) = both.prepare(path).await?;
    let meant = Meant::find(path, directory.as_mut(), users, ou).await?;
    anyhow::ensure!(!meant.users.is_empty(), "the watcher knows no such user");
    let (inside, outside): (BTreeMap<_, _>, BTreeMap<_, _>) =
        meant.users.into_iter().partition(|(_, user)| user.takes_part);
    let objects: Vec<_> = inside.keys().copied().collect();
    for page in objects.chunks(PAGE) {
        let request = Request::Refresh { objects: page.to_vec(), why: Why::Sync };
        reach::tell(path, request).await?;
    }
    let mut waiting: BTreeSet<_> = objects.into_iter().collect();
    let mut open: BTreeMap<Uuid, Vec<Finding>> = BTreeMap::new();
    let until = Instant::now() + wait;
    loop {
        for object in waiting.clone() {
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
    let mut left = meant.unknown + outside.len();
    for (object, found) in &open {
        left += usize::from(found.iter().any(|finding| finding.kind.mend() != Mend::Source));
        print(&inside[object].name, *object, found, output);
    }
    for (object, User { name, .. }) in &outside {
        match output {
            Output::Json => {
                println!("{}", json!({ "user": name, "object": object, "out_of_scope": true }));
            }
            Output::Table => println!("{}: out of scope, nothing is done", clean(name)),
        }
    }
    if meant.unknown > 0 {
        let unknown = meant.unknown;
        eprintln!("entra-relay: {unknown} of the names mean nobody whom the watcher knows");
    }
    Ok(if left == 0 { ExitCode::SUCCESS } else { ExitCode::from(LEFT_OVER) })
}

impl Meant {
    /// Finds who is meant: users as the watcher's ledger knows them, groups and containers as the
    /// directory has them.
    async fn find(
        path: &Path,
        directory: &mut dyn Directory,
        users: Vec<String>,
        ou: Option<String>,
    ) -> anyhow::Result<Meant> {
        let mut meant = Meant::default();
        let names_nobody = users.is_empty();
        let (places, names): (Vec<_>, Vec<_>) =
            users.into_iter().partition(|name| name.contains('='));
        if names_nobody || !names.is_empty() {
            let wanted = names.len();
            let choice = Choice { users: names, under: ou.clone(), ..Choice::default() };
            let found = meant.add(path, choice).await?;
            meant.unknown += wanted.saturating_sub(found);
        }
        let mut nested = None;
        for place in places {
            let choice =
                Choice { users: vec![place.clone()], under: ou.clone(), ..Choice::default() };
            if meant.add(path, choice).await? > 0 {
                continue;
            }
            let found = match directory.find(&place).await? {
                None => 0,
                Some(object) => {
                    let nested = match &mut nested {
                        Some(nested) => nested,
                        None => nested.insert(nested_groups(directory).await?),
                    };
                    let choice = match members_of(directory, object, nested).await? {
                        Some(members) if members.is_empty() => continue,
                        Some(members) => Choice {
                            objects: members.into_iter().collect(),
                            under: ou.clone(),
                            ..Choice::default()
                        },
                        None => Choice { under: Some(place), ..Choice::default() },
                    };
                    meant.add(path, choice).await?
                }
            };
            meant.unknown += usize::from(found == 0);
        }
        Ok(meant)
    }

    /// Adds whom the ledger knows. Returns how many that were.
    async fn add(&mut self, path: &Path, choice: Choice) -> anyhow::Result<usize> {
        // A request has an end; so has every page of a large group.
        let mut objects: Vec<_> = choice.objects.iter().copied().collect();
        let mut found = 0;
        loop {
            let page = objects.split_off(objects.len().saturating_sub(PAGE));
            let choice = Choice { objects: page.into_iter().collect(), ..choice.clone() };
            let mut replies = reach::ask(path, Request::Watcher(Order::Find(choice))).await?;
            while let Some(reply) = replies.next().await? {
                if let Reply::Watcher(Answer::Known { object, user, takes_part }) = reply {
                    let name = user.unwrap_or_else(|| object.to_string());
                    self.users.insert(object, User { name, takes_part });
                    found += 1;
                }
            }
            if objects.is_empty() {
                return Ok(found);
            }
        }
    }
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
