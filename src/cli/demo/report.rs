//! What the demo prints.

use std::{io::Write, net::SocketAddr, time::Duration};

use serde_json::json;

use super::{Output, compare::Comparison, story::Sample};
use crate::sandbox::Sandbox;

/// One row of the table.
struct Row {
    kind: &'static str,
    count: usize,
    p50: Duration,
    p99: Duration,
    max: Duration,
}

/// Prints the measured latencies and whether both sides agree.
pub fn print(samples: &[Sample], comparison: &Comparison, output: Output) -> std::io::Result<()> {
    let rows = rows(samples);
    let mut out = std::io::stdout().lock();
    match output {
        Output::Json => writeln!(out, "{}", as_json(&rows, comparison)),
        Output::Table => table(&mut out, &rows, comparison),
    }
}

fn table(out: &mut impl Write, rows: &[Row], comparison: &Comparison) -> std::io::Result<()> {
    writeln!(
        out,
        "From the directory's change to Graph (disable and delete: read back from it)\n"
    )?;
    writeln!(out, "{:<30} {:>6} {:>9} {:>9} {:>9}", "change", "count", "p50", "p99", "max")?;
    for row in rows {
        let [p50, p99, max] = [row.p50, row.p99, row.max].map(milliseconds);
        writeln!(out, "{:<30} {:>6} {p50:>9} {p99:>9} {max:>9}", row.kind, row.count)?;
    }
    writeln!(out)?;
    for difference in comparison.differences.iter().take(20) {
        writeln!(out, "differs: {difference}")?;
    }
    match comparison.differences.len() {
        0 => writeln!(out, "Directory and Graph agree on all {} users.", comparison.users),
        n => writeln!(
            out,
            "Directory and Graph differ in {n} places over {} users.",
            comparison.users
        ),
    }
}

fn as_json(rows: &[Row], comparison: &Comparison) -> serde_json::Value {
    let rows: Vec<_> = rows
        .iter()
        .map(|row| {
            json!({
                "change": row.kind,
                "count": row.count,
                "p50_seconds": row.p50.as_secs_f64(),
                "p99_seconds": row.p99.as_secs_f64(),
                "max_seconds": row.max.as_secs_f64(),
            })
        })
        .collect();
    json!({
        "latencies": rows,
        "users": comparison.users,
        "agree": comparison.agrees(),
        "differences": comparison.differences,
    })
}

/// One row per kind, in the order of the story.
fn rows(samples: &[Sample]) -> Vec<Row> {
    let mut kinds: Vec<&'static str> = Vec::new();
    for sample in samples {
        if !kinds.contains(&sample.kind) {
            kinds.push(sample.kind);
        }
    }
    kinds.into_iter().map(|kind| row(kind, samples)).collect()
}

fn row(kind: &'static str, samples: &[Sample]) -> Row {
    let mut took: Vec<_> = samples.iter().filter(|s| s.kind == kind).map(|s| s.took).collect();
    took.sort();
    let at = |percent: usize| {
        let rank = (took.len() * percent).div_ceil(100);
        took[rank.clamp(1, took.len()) - 1]
    };
    Row { kind, count: took.len(), p50: at(50), p99: at(99), max: at(100) }
}

fn milliseconds(time: Duration) -> String {
    format!("{:.1} ms", time.as_secs_f64() * 1e3)
}

/// Where to look while the demo keeps running.
pub fn places(sandbox: &Sandbox, admin: SocketAddr) {
    let directory = &sandbox.directory;
    println!(
        "
Changes go on; Ctrl-C ends it.
  status     http://{admin}/
             /status.json  /metrics  /readyz  /livez
  directory  {}  base {}
             writes as {} with password {}
  Graph      {}  tenant {}",
        directory.url(),
        directory.base_dn(),
        directory.administrator_name(),
        directory.administrator_password(),
        sandbox.graph.endpoint(),
        sandbox.graph.options().tenant_id,
    );
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn percentiles_are_of_the_samples() {
        let took = |ms| Sample { kind: "x", took: Duration::from_millis(ms) };
        let samples: Vec<_> = (1..=200).rev().map(took).collect();
        let row = row("x", &samples);
        let ms = [row.p50, row.p99, row.max].map(|time| time.as_millis());
        assert_eq!((row.count, ms), (200, [100, 198, 200]));
        assert_eq!(super::row("x", &samples[..1]).p50.as_millis(), 200);
    }
}
