//! What the commands print.

use std::io::{self, Write};

use serde_json::{Value, json};

use super::{Found, Output};
use crate::{
    cli::table::{clean, columns, instant},
    queue::letters::{Answer, Command, Entry, Letter, Plan, Summary},
};

/// Prints what came of a command.
pub fn results(command: &Command, found: &Found, output: Output) -> io::Result<()> {
    let mut out = io::BufWriter::new(io::stdout().lock());
    match output {
        Output::Json => {
            serde_json::to_writer_pretty(&mut out, &as_json(command, found))?;
            writeln!(out)?;
        }
        Output::Table => table(&mut out, command, found)?,
    }
    out.flush()
}

fn as_json(command: &Command, found: &Found) -> Value {
    let of = |form: fn(&Answer) -> Option<Value>| -> Value {
        found.answers.iter().filter_map(form).collect()
    };
    match command {
        Command::List(_) | Command::Show(_) => of(|answer| match answer {
            Answer::Entry(entry) => Some(json!(entry)),
            Answer::Letter(letter) => Some(json!(letter)),
            _ => None,
        }),
        Command::Replay { dry_run, .. } | Command::Discard { dry_run, .. } => json!({
            "dry_run": dry_run,
            "interrupted": found.interrupted,
            "summary": found.summary,
            "planned": of(|a| if let Answer::Planned(plan) = a { Some(json!(plan)) } else { None }),
            "refused": of(|a| if let Answer::Refused(e) = a { Some(json!(e)) } else { None }),
        }),
    }
}

fn table(out: &mut impl Write, command: &Command, found: &Found) -> io::Result<()> {
    let mut entries = Vec::new();
    let mut refused = Vec::new();
    let mut plans = Vec::new();
    for answer in &found.answers {
        match answer {
            Answer::Entry(entry) => entries.push(entry),
            Answer::Refused(entry) => refused.push(entry),
            Answer::Planned(plan) => plans.push(plan),
            Answer::Letter(letter) => show(out, letter)?,
            Answer::Progress { .. } | Answer::Summary(_) => {}
        }
    }
    if !entries.is_empty() {
        columns(out, ["ID", "GIVEN UP", "REASON", "TYPE", "USER"], entries.iter().map(|e| row(e)))?;
    }
    if !plans.is_empty() {
        columns(out, ["USER", "LETTERS", "REASONS"], plans.iter().map(|plan| plan_row(plan)))?;
    }
    for entry in refused {
        let (id, why) = (entry.id, entry.poison.as_deref().unwrap_or_default());
        writeln!(out, "not replayed: {id} ({}): {}", entry.reason.as_str(), clean(why))?;
    }
    closing(out, command, found)
}

/// The last lines: how much came of it, and what is left.
fn closing(out: &mut impl Write, command: &Command, found: &Found) -> io::Result<()> {
    let Summary { meant, beyond_limit, done, users, refused, left, unseen } = found.summary;
    match command {
        Command::Show(_) => {}
        Command::List(_) if meant == 0 => writeln!(out, "No dead letters.")?,
        Command::List(_) => writeln!(out, "{meant} dead letters.")?,
        Command::Replay { dry_run: true, .. } => {
            writeln!(out, "{done} dead letters of {users} users would be replayed.")?;
        }
        Command::Replay { .. } => writeln!(out, "{done} dead letters replayed.")?,
        Command::Discard { .. } => writeln!(out, "{done} dead letters discarded.")?,
    }
    if found.interrupted {
        writeln!(out, "Interrupted: what was not done is as it was.")?;
    }
    for (count, what) in [
        (refused as u64, "cannot be replayed; see them with show, and discard them"),
        (left as u64, "are left; run the command again"),
        (beyond_limit as u64, "more are beyond --limit"),
        (unseen, "more were not looked at; deal with these first"),
    ] {
        if count > 0 {
            writeln!(out, "{count} {what}.")?;
        }
    }
    Ok(())
}

fn row(entry: &Entry) -> [String; 5] {
    [
        entry.id.to_string().chars().take(8).collect(),
        instant(entry.given_up),
        entry.reason.as_str().to_owned(),
        clean(&entry.kind),
        entry.user.as_deref().map_or_else(|| entry.object.to_string(), clean),
    ]
}

fn plan_row(plan: &Plan) -> [String; 3] {
    let reasons: Vec<_> = plan.reasons.iter().map(|reason| reason.as_str()).collect();
    let user = plan.user.as_deref().map_or_else(|| plan.object.to_string(), clean);
    [user, plan.letters.to_string(), reasons.join(", ")]
}

fn show(out: &mut impl Write, letter: &Letter) -> io::Result<()> {
    let entry = &letter.entry;
    let mut field = |name: &str, value: &str| writeln!(out, "{name:<14}{}", clean(value));
    field("id", &entry.id.to_string())?;
    field("reason", entry.reason.as_str())?;
    field("what happened", &entry.sentence)?;
    field("what mends it", &entry.remedy)?;
    field("user", entry.user.as_deref().unwrap_or("(no name known)"))?;
    field("objectGUID", &entry.object.to_string())?;
    field("type", &entry.kind)?;
    field("attempts", &entry.attempts.to_string())?;
    field("first tried", &instant(entry.first_tried))?;
    field("given up", &instant(entry.given_up))?;
    if let Some(status) = entry.graph_status {
        field("Graph status", &status.to_string())?;
    }
    if let Some(code) = &entry.graph_code {
        field("Graph error", code)?;
    }
    if let Some(request) = &entry.request_id {
        field("request-id", request)?;
    }
    if let Some(why) = &entry.poison {
        field("no replay", why)?;
    }
    field("content type", &letter.content_type)?;
    for (name, value) in &letter.headers {
        field("header", &format!("{name}: {value}"))?;
    }
    if let Some(event) = &letter.event {
        writeln!(out, "event\n{event:#}")?;
    }
    if let Some(bytes) = &letter.bytes {
        writeln!(out, "bytes (base64)\n{bytes}")?;
    }
    writeln!(out)
}
