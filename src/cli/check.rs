//! `check`: everything that is set up wrongly, and how to mend it.

use std::{
    io::{self, Write},
    path::Path,
    process::ExitCode,
};

use clap::Args;
use serde_json::json;

use super::{
    Output, USAGE, reach,
    table::{clean, is_coloured},
};
use crate::{
    check::{self, Area, Check, Subject, Verdict},
    config,
    ops::control::protocol::{Reply, Request},
    watcher::orders::{Answer, Order},
};

/// Tests every connection, right and permission; says what is missing and how to mend it.
///
/// Nothing is changed anywhere, and a relay that runs is not disturbed. Of watcher and consumer
/// those are tested that the configuration has a login for. Ends with 1 where something fails, and
/// with 2 where the configuration cannot be used.
#[derive(Debug, Args)]
pub struct Arguments {
    /// Looks at the configuration and its files alone, and connects to nothing.
    #[arg(long)]
    offline: bool,
    /// Also sends a canary on its way: the watcher that runs here reads this user, a consumer looks
    /// it up in Graph and writes nothing, and each hop is measured.
    #[arg(long, value_name = "USER", conflicts_with = "offline")]
    canary: Option<String>,
}

/// Runs the command.
pub async fn main(arguments: &Arguments, path: &Path, output: Output) -> anyhow::Result<ExitCode> {
    let (config, role) = match config::load_halves(path, std::env::vars()) {
        Ok(loaded) => loaded,
        Err(invalid) => {
            print(&check::of_configuration(&invalid), output)?;
            return Ok(ExitCode::from(USAGE));
        }
    };
    let mut checks = if arguments.offline {
        check::offline(&config, role)
    } else {
        check::online(&config, role).await
    };
    if let Some(user) = &arguments.canary {
        checks.push(fly(path, user).await);
    }
    print(&checks, output)?;
    Ok(if check::is_good(&checks) { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

/// The round trip of a canary, by the watcher that runs with this configuration.
async fn fly(path: &Path, user: &str) -> Check {
    let subject = Subject(Area::Local, "canary");
    let order = Request::Watcher(Order::Canary(user.to_owned()));
    let flown = async {
        let mut replies = reach::ask(path, order).await?;
        while let Some(reply) = replies.next().await? {
            if let Reply::Watcher(Answer::Flown(hops)) = reply {
                return Ok(hops);
            }
        }
        anyhow::bail!("the watcher gave no answer")
    };
    match flown.await {
        Ok(hops) => {
            let milliseconds = |took: std::time::Duration| took.as_secs_f64() * 1000.0;
            let all: std::time::Duration = hops.named().iter().map(|(_, took)| *took).sum();
            let each =
                hops.named().map(|(hop, took)| format!("{hop} {:.1} ms", milliseconds(took)));
            subject.pass(format!("back after {:.1} ms: {}", milliseconds(all), each.join(", ")))
        }
        Err(error) => subject.failed(format!("{error:#}"), "start the watcher, then ask again"),
    }
}

fn print(checks: &[Check], output: Output) -> io::Result<()> {
    let mut out = io::stdout().lock();
    if output == Output::Json {
        return writeln!(out, "{:#}", json!({ "good": check::is_good(checks), "checks": checks }));
    }
    write!(out, "{}", table(checks, is_coloured()))
}

/// A line for each check, its remedy below it, and what it comes to.
pub(super) fn table(checks: &[Check], coloured: bool) -> String {
    let area = |check: &Check| format!("{:?}", check.area).to_lowercase();
    let widest = |cell: fn(&Check) -> usize| checks.iter().map(cell).max().unwrap_or_default();
    let (areas, names) =
        (widest(|check| format!("{:?}", check.area).len()), widest(|check| check.name.len()));
    let mut text = String::new();
    for check in checks {
        let (word, colour) = match check.verdict {
            Verdict::Pass => ("pass", "32"),
            Verdict::Skip => ("skip", "2"),
            Verdict::Warn => ("WARN", "33"),
            Verdict::Fail => ("FAIL", "31"),
        };
        let word = if coloured { format!("\x1b[{colour}m{word}\x1b[0m") } else { word.to_owned() };
        let (area, name, told) = (area(check), check.name, clean(&check.told));
        text += &format!("{word}  {area:areas$}  {name:names$}  {told}\n");
        if let Some(remedy) = &check.remedy {
            text += &format!("      {:areas$}  {:names$}  -> {}\n", "", "", clean(remedy));
        }
    }
    let count = |verdict| checks.iter().filter(|check| check.verdict == verdict).count();
    let [pass, skip, warn, fail] =
        [Verdict::Pass, Verdict::Skip, Verdict::Warn, Verdict::Fail].map(count);
    text + &format!("\n{pass} passed, {warn} warned, {fail} failed, {skip} skipped\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_remedy_stands_below_its_check() {
        let checks = [
            Subject(Area::Local, "clock").pass("agrees"),
            Subject(Area::Directory, "login").fail("a\x1bb", "mend it"),
        ];
        let told = table(&checks, false);
        let expected = "pass  local      clock  agrees\n\
                        FAIL  directory  login  a\u{fffd}b\n\
                        \u{20}                       -> mend it\n\n\
                        1 passed, 0 warned, 1 failed, 0 skipped\n";
        assert_eq!(told, expected);
        assert!(table(&checks, true).contains("\x1b[31mFAIL\x1b[0m"));
    }
}
