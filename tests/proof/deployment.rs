//! What lies in `deploy/` is right: rules, runbook, units.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use clap::Parser;
use entra_relay::cli::Arguments;

use crate::support::process::run;

fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("deploy")
}

fn read(file: &str) -> String {
    fs::read_to_string(folder().join(file)).unwrap()
}

#[tokio::test]
async fn the_rules_pass_their_own_tests() {
    for (what, file) in [
        ("check config", "prometheus.yml"),
        ("check rules", "rules.yml"),
        ("test rules", "rules_test.yml"),
    ] {
        let mut promtool = Command::new("promtool");
        promtool.current_dir(folder().join("prometheus")).args(what.split(' ')).arg(file);
        run(promtool).await;
    }
}

#[test]
fn every_alert_is_seen_firing_and_silent_and_has_its_section() {
    let (rules, tests, runbook) =
        (read("prometheus/rules.yml"), read("prometheus/rules_test.yml"), read("RUNBOOK.md"));
    let after = |line: &str, mark: &str| line.trim().strip_prefix(mark).map(str::to_owned);
    let alerts: BTreeSet<_> = rules.lines().filter_map(|line| after(line, "- alert: ")).collect();
    assert!(alerts.len() > 10, "{alerts:?}");
    let cases: BTreeSet<_> = tests
        .split("\n  - name: ")
        .filter_map(|case| {
            let alert = case.lines().find_map(|line| after(line, "- alertname: "))?;
            Some((alert, case.contains("exp_alerts: []")))
        })
        .collect();
    for alert in &alerts {
        for silent in [false, true] {
            assert!(cases.contains(&(alert.clone(), silent)), "{alert}, silent: {silent}");
        }
        let link = format!("runbook_url: RUNBOOK.md#{}\n", alert.to_ascii_lowercase());
        assert!(rules.contains(&link), "{link}");
        assert!(runbook.lines().any(|line| line == format!("### {alert}")), "{alert}");
    }
    let sections: BTreeSet<_> =
        runbook.lines().filter_map(|line| after(line, "### Relay")).collect();
    assert_eq!(sections.len(), alerts.len(), "a section of an alert that is gone: {sections:?}");
}

#[tokio::test]
async fn every_command_of_the_runbook_parses() {
    let runbook = read("RUNBOOK.md");
    let blocks: Vec<_> = runbook.split("\n```sh\n").skip(1).collect();
    let mut commands = 0;
    for block in blocks {
        let (script, _rest) = block.split_once("\n```").expect("a code block ends");
        let mut shell = Command::new("bash");
        shell.args(["-n", "-c", script]);
        run(shell).await;
        for words in script.lines().filter_map(own_command) {
            // `--version` is no command, and no mistake either.
            if let Err(error) = Arguments::try_parse_from(&words)
                && error.use_stderr()
            {
                panic!("{words:?}: {error}");
            }
            commands += 1;
        }
    }
    assert!(commands > 15, "only {commands} commands of entra-relay were found");
}

/// The words of a call of entra-relay, whatever it is called through.
fn own_command(line: &str) -> Option<Vec<String>> {
    let line = line.split(" #").next()?;
    let mut words = line
        .split_whitespace()
        .map(|word| word.trim_matches(['\'', '"']).to_owned())
        .skip_while(|word| word != "entra-relay")
        .take_while(|word| !["|", "&&", ";", ">"].contains(&word.as_str()))
        .peekable();
    words.peek()?;
    // That of `systemctl restart entra-relay` is the unit's name, not the program.
    let calls_program = !line.trim_start().starts_with("systemctl");
    calls_program.then(|| words.collect())
}

#[tokio::test]
async fn systemd_takes_the_units_and_finds_them_hardened() {
    let scratch = tempfile::tempdir().unwrap();
    for unit in ["entra-relay-watch.service", "entra-relay-apply@.service"] {
        // The program is where the package of a user has it; systemd insists that it is there.
        let text = read(&format!("systemd/{unit}"));
        let program = "/usr/local/bin/entra-relay";
        assert!(text.contains(program), "{unit}");
        let file = scratch.path().join(unit.replace('@', "@1"));
        fs::write(&file, text.replace(program, env!("CARGO_BIN_EXE_entra-relay"))).unwrap();
        let mut verify = Command::new("systemd-analyze");
        verify.args(["verify", "--man=no", "--recursive-errors=no"]).arg(&file);
        run(verify).await;
        let mut security = Command::new("systemd-analyze");
        // Tenths of systemd's own measure, of which below 2.0 is its best class.
        security.args(["security", "--offline=true", "--threshold=20", "--no-pager"]).arg(&file);
        run(security).await;
    }
}
