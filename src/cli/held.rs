//! `held`: what the guard stopped, to look at, to approve, to reject.

use std::{
    io::{self, Write},
    path::Path,
    process::ExitCode,
};

use clap::{Args, Subcommand};
use serde_json::json;
use tokio_util::sync::CancellationToken;

use super::{
    LEFT_OVER, Output, confirm, reach,
    table::{clean, columns, instant, printed},
};
use crate::{
    ops::control::protocol::{Reply, Request},
    watcher::{
        held::{BatchSummary, Choice, HeldUser},
        orders::{Answer, Order},
    },
};

/// What to do with changes that the guard holds.
///
/// They were seen in the directory and not told. Whoever changes back leaves the batch by himself.
#[derive(Debug, Args)]
pub struct Arguments {
    #[command(subcommand)]
    what: What,
}

#[derive(Debug, Subcommand)]
enum What {
    /// Lists the batches; ends with code 3 if there are any.
    List {
        #[command(flatten)]
        which: Which,
        /// Every user too, not only some.
        #[arg(long = "users")]
        everyone: bool,
    },
    /// Lets them through, each user as the directory has it by then.
    Approve {
        #[command(flatten)]
        which: Which,
        /// Does not ask.
        #[arg(long)]
        yes: bool,
    },
    /// Takes them as told: Entra stays as it is until the user changes again.
    Reject {
        #[command(flatten)]
        which: Which,
        /// Does not ask.
        #[arg(long)]
        yes: bool,
    },
}

/// Which of what is held; all of it where nothing is named.
#[derive(Debug, Clone, Args)]
struct Which {
    /// The batch's number.
    #[arg(value_name = "BATCH")]
    batch: Option<u64>,
    /// sAMAccountName, UPN, DN, SID or objectGUID; may be given more than once.
    #[arg(long = "user", value_name = "USER")]
    users: Vec<String>,
    /// The users below this DN.
    #[arg(long, value_name = "DN")]
    ou: Option<String>,
}

impl From<Which> for Choice {
    fn from(which: Which) -> Choice {
        let Which { batch, users, ou } = which;
        Choice { batch, users, under: ou, ..Choice::default() }
    }
}

/// What was answered.
#[derive(Debug, Default)]
struct Found {
    batches: Vec<BatchSummary>,
    users: Vec<HeldUser>,
    done: usize,
}

/// Runs the command.
pub async fn main(
    arguments: Arguments,
    config: &Path,
    output: Output,
    shutdown: CancellationToken,
) -> anyhow::Result<ExitCode> {
    let (order, yes, verb) = match arguments.what {
        What::List { which, everyone } => {
            let order = Order::List { choice: which.into(), users: everyone };
            let found = give(config, order).await?;
            printed(print_list(&found, output))?;
            let empty = found.batches.is_empty();
            return Ok(if empty { ExitCode::SUCCESS } else { ExitCode::from(LEFT_OVER) });
        }
        What::Approve { which, yes } => (Order::Approve(which.into()), yes, "Approve"),
        What::Reject { which, yes } => (Order::Reject(which.into()), yes, "Reject"),
    };
    if !yes && let Some(code) = ask_first(config, &order, verb, &shutdown).await? {
        return Ok(code);
    }
    let given = shutdown.run_until_cancelled(give(config, order)).await;
    let Some(found) = given else { anyhow::bail!("interrupted; what was begun goes on") };
    let users = found?.done;
    match output {
        Output::Json => println!("{}", json!({ "users": users })),
        Output::Table => println!("{verb}: {users} users."),
    }
    Ok(ExitCode::SUCCESS)
}

async fn give(config: &Path, order: Order) -> anyhow::Result<Found> {
    let mut found = Found::default();
    let mut replies = reach::ask(config, Request::Watcher(order)).await?;
    while let Some(reply) = replies.next().await? {
        match reply {
            Reply::Watcher(Answer::Batch(batch)) => found.batches.push(*batch),
            Reply::Watcher(Answer::User(user)) => found.users.push(*user),
            Reply::Watcher(Answer::Done(users)) => found.done = users,
            _ => {}
        }
    }
    Ok(found)
}

/// Shows what is meant and asks; an exit code if it is not to be done.
async fn ask_first(
    config: &Path,
    order: &Order,
    verb: &str,
    shutdown: &CancellationToken,
) -> anyhow::Result<Option<ExitCode>> {
    let (Order::Approve(choice) | Order::Reject(choice)) = order else { return Ok(None) };
    let why = format!("{} decides about many users", verb.to_lowercase());
    if let Some(code) = confirm::cannot_ask(&why) {
        return Ok(Some(code));
    }
    let found = give(config, Order::List { choice: choice.clone(), users: false }).await?;
    printed(print_list(&found, Output::Table))?;
    if found.batches.is_empty() {
        return Ok(Some(ExitCode::SUCCESS));
    }
    confirm::ask(&format!("{verb} these?"), "Nothing was changed.", shutdown).await
}

fn print_list(found: &Found, output: Output) -> io::Result<()> {
    let mut out = io::BufWriter::new(io::stdout().lock());
    match output {
        Output::Json => {
            let all = json!({ "batches": found.batches, "users": found.users });
            serde_json::to_writer_pretty(&mut out, &all)?;
            writeln!(out)?;
        }
        Output::Table if found.batches.is_empty() => writeln!(out, "Nothing is held.")?,
        Output::Table => {
            for batch in &found.batches {
                print_batch(&mut out, batch)?;
            }
            if !found.users.is_empty() {
                columns(&mut out, ["BATCH", "USER", "CHANGE", "DN"], found.users.iter().map(row))?;
            }
        }
    }
    out.flush()
}

fn print_batch(out: &mut impl Write, batch: &BatchSummary) -> io::Result<()> {
    let BatchSummary { batch: number, kind, since, users, by_change, by_unit, sample } = batch;
    let since = instant(*since);
    writeln!(out, "Batch {number}: {} of {users} users, held since {since}", kind.as_str())?;
    for (title, counts) in [("by what changed", by_change), ("by container", by_unit)] {
        let mut counts: Vec<_> = counts.iter().collect();
        counts.sort_by_key(|(_, users)| std::cmp::Reverse(**users));
        writeln!(out, "  {title}:")?;
        for (name, users) in counts.iter().take(10) {
            writeln!(out, "    {users:>7}  {}", clean(name))?;
        }
        if let Some(more) = counts.len().checked_sub(11) {
            writeln!(out, "             and {} more", more + 1)?;
        }
    }
    let names: Vec<_> = sample.iter().map(name).collect();
    writeln!(out, "  such as {}", names.join(", "))
}

fn row(user: &HeldUser) -> [String; 4] {
    [user.batch.to_string(), name(user), clean(&user.changes.join(", ")), clean(&user.dn)]
}

fn name(user: &HeldUser) -> String {
    user.user.as_deref().map_or_else(|| user.object.to_string(), clean)
}
