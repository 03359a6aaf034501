//! `explain`: what happened to one user, from the watcher's journal.

use std::{
    io::{self, Write},
    path::Path,
    process::ExitCode,
};

use clap::Args;
use jiff::Timestamp;

use super::{
    Output, filters, reach,
    table::{bold, clean, columns},
};
use crate::{
    ops::control::protocol::{Reply, Request},
    queue::journal::{Entry, Exchange},
    watcher::explain::{MOST_ENTRIES, Now, Question, Story},
};

/// `entra-relay explain`
#[derive(Debug, Args)]
#[command(
    after_help = "Asks the watcher of this configuration, or opens its files where none runs. \
Consumers report within a second, and their times are by their own clocks. Entries name \
properties, never values; see dead-letters show for the whole of an event that was given up."
)]
pub struct Arguments {
    /// sAMAccountName, UPN, DN, SID or objectGUID.
    user: String,
    /// Of the last hours, days ...: 2h, 3days.
    #[arg(long, value_name = "AGE", value_parser = filters::since)]
    since: Option<Timestamp>,
    /// The last so many entries alone.
    #[arg(long, value_name = "N", default_value = "50", value_parser = limit)]
    limit: usize,
}

/// Runs the command.
pub async fn main(arguments: Arguments, path: &Path, output: Output) -> anyhow::Result<ExitCode> {
    let Arguments { user, since, limit } = arguments;
    let question = Question { user, since, limit };
    let mut replies = reach::ask(path, Request::Explain(question)).await?;
    let mut stories = Vec::new();
    while let Some(reply) = replies.next().await? {
        if let Reply::Story(story) = reply {
            stories.push(*story);
        }
    }
    anyhow::ensure!(!stories.is_empty(), "the watcher knows no such user");
    match print(&stories, output) {
        // Whoever reads has seen enough.
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => {}
        printed => printed?,
    }
    Ok(ExitCode::SUCCESS)
}

fn limit(text: &str) -> Result<usize, String> {
    let limit = text.parse().ok().filter(|limit| (1..=MOST_ENTRIES).contains(limit));
    limit.ok_or_else(|| format!("write a number from 1 to {MOST_ENTRIES}"))
}

fn print(stories: &[Story], output: Output) -> io::Result<()> {
    let mut out = io::BufWriter::new(io::stdout().lock());
    match output {
        Output::Json => writeln!(out, "{}", serde_json::to_string_pretty(stories)?)?,
        Output::Table => {
            for story in stories {
                tell(&mut out, story)?;
            }
        }
    }
    out.flush()
}

fn tell(out: &mut impl Write, story: &Story) -> io::Result<()> {
    let names = [&story.user, &story.user_principal_name].into_iter().flatten();
    let mut head: Vec<_> = names.map(|name| clean(name)).collect();
    head.push(story.object.to_string());
    writeln!(out, "{}", bold(&head.join("  ")))?;
    writeln!(out, "{}\n", now(story.now.as_ref()))?;
    if story.entries.is_empty() {
        return writeln!(out, "The journal has nothing of this user in that time.");
    }
    let head = ["TIME", "WHAT", "TYPE", "EVENT", "AFTER", "WHY AND HOW"];
    columns(out, head, story.entries.iter().flat_map(rows))?;
    writeln!(out)
}

fn now(now: Option<&Now>) -> String {
    let Some(now) = now else { return "The watcher's ledger does not know this user.".into() };
    let state = match (&now.told_blocked, now.deleted) {
        (_, true) => "deleted".to_owned(),
        (Some(reason), _) => format!("told as blocked: {}", clean(reason)),
        (None, _) => "not told as blocked".to_owned(),
    };
    match &now.held[..] {
        [] => format!("Now: {state}."),
        held => format!("Now: {state}; held by the guard: {}.", clean(&held.join(", "))),
    }
}

/// A row for the entry, and one for whatever else there is to say of it.
fn rows(entry: &Entry) -> Vec<[String; 6]> {
    let mut says = Vec::new();
    let why: Vec<_> = [&entry.reason, &entry.detail].into_iter().flatten().cloned().collect();
    says.extend(Some(why.join(": ")).filter(|why| !why.is_empty()));
    if !entry.actions.is_empty() {
        let rule = entry.rule.as_ref().map_or_else(String::new, |rule| format!(" ({rule})"));
        says.push(format!("{}{rule}", entry.actions.join(", ")));
    }
    says.extend(entry.requests.iter().map(request));
    says.extend(entry.remedy.as_ref().map(|remedy| format!("mended by: {remedy}")));
    let mut says = says.iter().map(|text| clean(text));
    let first = [
        precise(entry.time),
        entry.what.as_str().to_owned(),
        entry.kind.as_deref().map_or_else(String::new, clean),
        entry.event.map_or_else(String::new, |id| id.to_string().chars().take(8).collect()),
        entry.latency_ms.map_or_else(String::new, |ms| format!("{ms} ms")),
        says.next().unwrap_or_default(),
    ];
    let empty = || std::array::from_fn::<String, 5, _>(|_| String::new());
    let more = says.map(|text| {
        let [a, b, c, d, e] = empty();
        [a, b, c, d, e, text]
    });
    [first].into_iter().chain(more).collect()
}

fn request(exchange: &Exchange) -> String {
    let Exchange { operation, status, code, request_id } = exchange;
    let status = status.map_or_else(|| "no answer".to_owned(), |status| status.to_string());
    let code = code.as_ref().map_or_else(String::new, |code| format!(" {code}"));
    let id = request_id.as_ref().map_or_else(String::new, |id| format!(", request-id {id}"));
    format!("{operation} {status}{code}{id}")
}

/// To the millisecond: steps follow each other quickly.
fn precise(time: Timestamp) -> String {
    format!("{time:.3}")
}

#[cfg(test)]
mod tests {
    use uuid::Uuid;

    use super::*;
    use crate::queue::journal::What;

    #[test]
    fn an_entry_has_a_row_for_all_that_there_is_to_say() {
        let object = Uuid::from_u128(1);
        let refused = Entry {
            event: Some(Uuid::from_u128(2)),
            kind: Some("account.disabled".into()),
            reason: Some("permission_denied".into()),
            remedy: Some("grant\x1b[2J it".into()),
            requests: vec![Exchange {
                operation: "set_enabled".into(),
                status: Some(403),
                code: Some("Denied".into()),
                request_id: Some("r-1".into()),
            }],
            latency_ms: Some(31),
            ..Entry::new(Timestamp::UNIX_EPOCH, object, What::DeadLettered)
        };
        let applied = Entry {
            actions: vec!["block sign-in".into(), "verify".into()],
            rule: Some("apply.on_disabled".into()),
            ..Entry::new(Timestamp::UNIX_EPOCH, object, What::Applied)
        };
        let now = Now { told_blocked: Some("disabled".into()), deleted: false, held: vec![] };
        let story = Story {
            object,
            user: Some("alice".into()),
            user_principal_name: None,
            now: Some(now),
            entries: vec![refused, applied],
        };
        let mut out = Vec::new();
        tell(&mut out, &story).expect("written");
        let text = String::from_utf8(out).expect("text");
        for part in [
            "alice  00000000",
            "Now: told as blocked: disabled.",
            "1970-01-01T00:00:00.000Z  dead_lettered  account.disabled  00000000  31 ms  permission_denied\n",
            "  set_enabled 403 Denied, request-id r-1\n",
            "  mended by: grant\u{fffd}[2J it\n",
            "  block sign-in, verify (apply.on_disabled)\n",
        ] {
            assert!(text.contains(part), "{part:?} is not in\n{text}");
        }
    }
}
