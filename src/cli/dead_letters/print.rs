//! What the commands print.

use std::io::{self, IsTerminal, Write};

use jiff::{Timestamp, Unit};
use serde_json::{Value, json};

use super::{Found, Output};
use crate::queue::letters::{Answer, Command, Entry, Letter, Plan, Summary};

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

fn columns<const N: usize>(
    out: &mut impl Write,
    head: [&str; N],
    rows: impl Iterator<Item = [String; N]>,
) -> io::Result<()> {
    let rows: Vec<_> = rows.collect();
    let mut widths = head.map(str::len);
    for row in &rows {
        for (width, cell) in widths.iter_mut().zip(row) {
            *width = (*width).max(cell.chars().count());
        }
    }
    let (bold, plain) = if is_coloured() { ("\x1b[1m", "\x1b[0m") } else { ("", "") };
    writeln!(out, "{bold}{}{plain}", line(&head, &widths))?;
    for row in &rows {
        writeln!(out, "{}", line(row, &widths))?;
    }
    Ok(())
}

fn line(cells: &[impl AsRef<str>], widths: &[usize]) -> String {
    let cells = cells.iter().zip(widths);
    let padded: Vec<_> = cells.map(|(cell, width)| format!("{:width$}", cell.as_ref())).collect();
    padded.join("  ").trim_end().to_owned()
}

/// Styles are for terminals, and not for those who do not want them (no-color.org).
fn is_coloured() -> bool {
    let unwanted = std::env::var_os("NO_COLOR").is_some_and(|value| !value.is_empty());
    io::stdout().is_terminal() && !unwanted
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

fn instant(instant: Timestamp) -> String {
    instant.round(Unit::Second).unwrap_or(instant).to_string()
}

/// Without control characters: strangers may have written the text, and terminals obey it.
fn clean(text: &str) -> String {
    text.chars().map(|c| if c.is_control() { '\u{fffd}' } else { c }).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_are_as_wide_as_their_widest_cell_and_end_without_spaces() {
        let rows = [["a".to_owned(), "b".to_owned()], ["länger".to_owned(), "c".to_owned()]];
        let mut out = Vec::new();
        columns(&mut out, ["X", "Y"], rows.into_iter()).expect("written");
        let text = String::from_utf8(out).expect("text");
        assert_eq!(text, "X       Y\na       b\nlänger  c\n");
    }

    #[test]
    fn a_stranger_s_text_does_not_command_the_terminal() {
        assert_eq!(clean("a\x1b[2Jb\n"), "a\u{fffd}[2Jb\u{fffd}");
    }
}
