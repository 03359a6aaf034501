//! The table of all metrics in `deploy/METRICS.md`, and the test that keeps it true.
//!
//! `RELAY_UPDATE=1 cargo test --lib metrics` writes it anew.

use std::{
    collections::{BTreeMap, BTreeSet},
    fmt::Write,
    path::Path,
};

use prometheus::proto::{MetricFamily, MetricType};

use super::Metrics;
use crate::config::Role;

/// Everything that a process can export.
fn families() -> Vec<MetricFamily> {
    let metrics = Metrics::new();
    metrics.started(Role::Run);
    // Told where the credential has an end.
    metrics.credential_expires("certificate", 0);
    metrics.registry.gather()
}

fn label_names(family: &MetricFamily) -> BTreeSet<&str> {
    family.get_metric().iter().flat_map(|metric| metric.get_label()).map(|l| l.name()).collect()
}

fn table(families: &[MetricFamily]) -> String {
    let mut text =
        String::from("| metric | type | labels | meaning |\n| --- | --- | --- | --- |\n");
    for family in families {
        let kind = match family.get_field_type() {
            MetricType::COUNTER => "counter",
            MetricType::GAUGE => "gauge",
            MetricType::HISTOGRAM => "histogram",
            MetricType::SUMMARY | MetricType::UNTYPED => "untyped",
        };
        let labels: Vec<_> = label_names(family).into_iter().map(|l| format!("`{l}`")).collect();
        let (name, labels, help) = (family.name(), labels.join(", "), family.help());
        writeln!(text, "| `{name}` | {kind} | {labels} | {help} |").unwrap();
    }
    text
}

/// What each label can be. That of a version or a status is no list.
fn label_values(families: &[MetricFamily]) -> String {
    let mut values: BTreeMap<&str, BTreeSet<&str>> = BTreeMap::new();
    for family in families {
        for label in family.get_metric().iter().flat_map(|metric| metric.get_label()) {
            values.entry(label.name()).or_default().insert(label.value());
        }
    }
    values.remove("version");
    values.insert("role", ["watch", "apply", "run"].into());
    let mut text = String::from("| label | values |\n| --- | --- |\n");
    for (name, values) in values {
        let values: Vec<_> = values.into_iter().map(|value| format!("`{value}`")).collect();
        writeln!(text, "| `{name}` | {} |", values.join(", ")).unwrap();
    }
    text
}

#[test]
fn the_documented_metrics_are_the_exported_ones() {
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("deploy/METRICS.md");
    let families = families();
    let documented = std::fs::read_to_string(&file).unwrap();
    let parts = [("metrics", table(&families)), ("labels", label_values(&families))];
    let generated = parts.iter().fold(documented.clone(), |text, (name, part)| {
        let (begin, end) =
            (format!("<!-- {name}: generated -->\n"), format!("<!-- end of {name} -->"));
        let (before, rest) = text.split_once(&begin).expect("the mark where a table begins");
        let (_old, after) = rest.split_once(&end).expect("the mark where a table ends");
        format!("{before}{begin}{part}{end}{after}")
    });
    if std::env::var_os("RELAY_UPDATE").is_some() {
        std::fs::write(&file, &generated).unwrap();
    } else {
        assert_eq!(documented, generated, "write it anew: RELAY_UPDATE=1 cargo test --lib metrics");
    }
}

#[test]
fn every_metric_has_a_name_by_the_rules() {
    for family in families() {
        let name = family.name();
        // Those of the process are named and explained by the library.
        if name.starts_with("process_") {
            continue;
        }
        assert!(name.starts_with("relay_"), "{name}");
        let counts = family.get_field_type() == MetricType::COUNTER;
        assert_eq!(name.ends_with("_total"), counts, "{name}");
        assert!(!family.help().is_empty() && !family.help().ends_with('.'), "{name}");
    }
}
