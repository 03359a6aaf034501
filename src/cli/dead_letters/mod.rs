//! `dead-letters`: what was given up, to look at, to replay, to discard.

mod print;
mod progress;

use std::{path::Path, process::ExitCode};

use clap::{Args, Subcommand};
use jiff::Timestamp;
use tokio_util::sync::CancellationToken;

use self::progress::Progress;
use super::{LEFT_OVER, Output, confirm, filters::Filters, reach, table::printed};
use crate::{
    ops::control::protocol::{Reply, Request},
    queue::letters::{Answer, Command, Selection, Summary},
};

/// What to do with dead letters.
///
/// Looking at them takes none out of the queue, but a queue can show its messages only by
/// delivering them: they go back to their places and count as redelivered.
#[derive(Debug, Args)]
pub struct Arguments {
    #[command(subcommand)]
    what: What,
}

#[derive(Debug, Subcommand)]
enum What {
    /// Lists them.
    List {
        #[command(flatten)]
        filters: Filters,
    },
    /// Prints all about one.
    Show {
        /// Id, or the beginning of one.
        #[arg(required = true, value_name = "ID", value_parser = id)]
        ids: Vec<String>,
    },
    /// Lets the watcher tell the users anew; a letter leaves once its request is in the queue.
    ///
    /// Without ids or filters: all. Interrupting it loses nothing, replaying twice does no harm.
    Replay {
        /// Ids, or beginnings of ids.
        #[arg(value_name = "ID", value_parser = id)]
        ids: Vec<String>,
        #[command(flatten)]
        filters: Filters,
        /// Shows what would be done.
        #[arg(long)]
        dry_run: bool,
        /// At most so many users in a second, minute or hour: 10/s, 100/m.
        #[arg(long, value_name = "N/s", value_parser = rate)]
        rate: Option<f64>,
    },
    /// Removes them for good. Without ids or filters: all.
    Discard {
        /// Ids, or beginnings of ids.
        #[arg(value_name = "ID", value_parser = id)]
        ids: Vec<String>,
        #[command(flatten)]
        filters: Filters,
        /// Does not ask.
        #[arg(long)]
        yes: bool,
    },
}

/// Runs the command.
pub async fn main(
    arguments: Arguments,
    config: &Path,
    output: Output,
    shutdown: CancellationToken,
) -> anyhow::Result<ExitCode> {
    let command = match arguments.what {
        What::List { filters } => Command::List(selection(filters, vec![])),
        What::Show { ids } => Command::Show(selection(Filters::default(), ids)),
        What::Replay { ids, filters, dry_run, rate } => {
            Command::Replay { selection: selection(filters, ids), dry_run, rate }
        }
        What::Discard { ids, filters, yes } => {
            // What is given up after the question is not meant by the answer.
            let until = Some(Timestamp::now());
            let selection = Selection { until, ..selection(filters, ids) };
            if !yes && let Some(code) = ask_first(config, &selection, &shutdown).await? {
                return Ok(code);
            }
            Command::Discard { selection, dry_run: false }
        }
    };
    let found = carry_out(config, command.clone(), &shutdown).await?;
    printed(print::results(&command, &found, output))?;
    if matches!(command, Command::Show(_)) && found.summary.meant == 0 {
        anyhow::bail!("there is no such dead letter");
    }
    Ok(match command {
        Command::Replay { .. } | Command::Discard { .. } if found.is_incomplete() => {
            ExitCode::from(LEFT_OVER)
        }
        _ => ExitCode::SUCCESS,
    })
}

/// What came of a command.
#[derive(Debug, Default)]
struct Found {
    /// All but progress and summary.
    answers: Vec<Answer>,
    summary: Summary,
    interrupted: bool,
}

impl Found {
    /// Whether something is left over of what was asked for.
    fn is_incomplete(&self) -> bool {
        let Summary { refused, left, unseen, .. } = self.summary;
        self.interrupted || refused > 0 || left > 0 || unseen > 0
    }
}

async fn carry_out(
    config: &Path,
    command: Command,
    shutdown: &CancellationToken,
) -> anyhow::Result<Found> {
    let mut found = Found::default();
    let mut progress = Progress::default();
    let mut replies = reach::ask(config, Request::DeadLetters(command)).await?;
    loop {
        let Some(reply) = shutdown.run_until_cancelled(replies.next()).await else {
            found.interrupted = true;
            return Ok(found);
        };
        match reply? {
            Some(Reply::DeadLetters(Answer::Progress { done, total })) => {
                progress.show(done, total);
                found.summary.done = done;
                found.summary.left = total - done;
            }
            Some(Reply::DeadLetters(Answer::Summary(summary))) => found.summary = summary,
            Some(Reply::DeadLetters(answer)) => found.answers.push(answer),
            Some(_) | None => return Ok(found),
        }
    }
}

/// Asks whether the letters shall be discarded; an exit code if not.
async fn ask_first(
    config: &Path,
    selection: &Selection,
    shutdown: &CancellationToken,
) -> anyhow::Result<Option<ExitCode>> {
    if let Some(code) = confirm::cannot_ask("discard removes dead letters for good") {
        return Ok(Some(code));
    }
    let command = Command::Discard { selection: selection.clone(), dry_run: true };
    let letters = carry_out(config, command, shutdown).await?.summary.done;
    if letters == 0 {
        eprintln!("No dead letter is meant.");
        return Ok(Some(ExitCode::SUCCESS));
    }
    let question = format!("Discard {letters} dead letters for good?");
    confirm::ask(&question, "Nothing was discarded.", shutdown).await
}

fn selection(filters: Filters, ids: Vec<String>) -> Selection {
    let Filters { reasons, kinds, user, since, limit } = filters;
    Selection { ids, reasons, kinds, user, since, until: None, limit }
}

/// The beginning of a UUID.
fn id(text: &str) -> Result<String, String> {
    let is_id = !text.is_empty() && text.chars().all(|c| c.is_ascii_hexdigit() || c == '-');
    is_id.then(|| text.to_lowercase()).ok_or_else(|| "not the beginning of an id".to_owned())
}

/// Per second.
fn rate(text: &str) -> Result<f64, String> {
    let (number, unit) = text.split_once('/').unwrap_or((text, "s"));
    let seconds = match unit {
        "s" => 1.0,
        "m" => 60.0,
        "h" => 3600.0,
        _ => return Err("write N/s, N/m or N/h".into()),
    };
    let number: f64 = number.parse().map_err(|_| "write N/s, such as 10/s".to_owned())?;
    let rate = number / seconds;
    (rate.is_finite() && rate > 0.0).then_some(rate).ok_or_else(|| "must be above zero".to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rates_are_per_second() {
        assert_eq!(rate("10"), Ok(10.0));
        assert_eq!(rate("10/s"), Ok(10.0));
        assert_eq!(rate("120/m"), Ok(2.0));
        for wrong in ["0", "-1/s", "x", "1/y", "inf"] {
            rate(wrong).expect_err(wrong);
        }
    }

    #[test]
    fn an_id_is_hexadecimal() {
        assert_eq!(id("0A-b"), Ok("0a-b".into()));
        id("").expect_err("empty");
        id("xyz").expect_err("no id");
    }
}
