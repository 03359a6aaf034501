//! What a process says of itself at one instant: its metrics and the state of its parts.

use std::collections::BTreeMap;

use serde::Deserialize;
use tokio::time::Instant;

/// The state of a part of a process.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
pub struct Part {
    /// Whether it has worked once.
    #[serde(default)]
    pub ready: bool,
    /// What it is doing, where that is worth a word.
    #[serde(default)]
    pub detail: String,
}

/// An answer of an admin listener.
#[derive(Debug, Clone)]
pub struct Sample {
    /// When it came.
    pub taken: Instant,
    /// Series, as name and labels are written, and its value.
    series: BTreeMap<String, f64>,
    /// The parts of the process.
    pub parts: BTreeMap<String, Part>,
}

impl Sample {
    /// Reads what a listener answered; lines that cannot be read are left out.
    pub fn read(metrics: &str, parts: &str) -> Sample {
        let series = metrics.lines().filter(|line| !line.starts_with('#')).filter_map(|line| {
            let (name, value) = line.rsplit_once(' ')?;
            let value: f64 = value.parse().ok()?;
            value.is_finite().then(|| (name.to_owned(), value))
        });
        let parts = serde_json::from_str(parts).unwrap_or_default();
        Sample { taken: Instant::now(), series: series.collect(), parts }
    }

    /// The value of a series: `relay_held`, `relay_queue_messages{lane="bulk"}`.
    pub fn get(&self, series: &str) -> Option<f64> {
        self.series.get(series).copied()
    }

    /// Whether a series is above zero.
    pub fn is_set(&self, series: &str) -> bool {
        self.get(series).is_some_and(|value| value > 0.0)
    }

    /// A series that counts, as a number.
    pub fn count(&self, series: &str) -> u64 {
        // Saturates; a negative count is none.
        self.get(series).unwrap_or_default() as u64
    }

    /// The labels of each series of a metric, with its value.
    pub fn labelled<'a>(
        &'a self,
        metric: &'a str,
    ) -> impl Iterator<Item = (BTreeMap<&'a str, &'a str>, f64)> {
        self.series.iter().filter_map(move |(series, value)| {
            let labels = series.strip_prefix(metric)?.strip_prefix('{')?.strip_suffix('}')?;
            let pairs = labels.split("\",").filter_map(|pair| pair.split_once("=\""));
            Some((pairs.map(|(name, text)| (name, text.trim_end_matches('"'))).collect(), *value))
        })
    }

    /// The sum over the series of a metric whose labels fit.
    pub fn sum(&self, metric: &str, fits: impl Fn(&BTreeMap<&str, &str>) -> bool) -> f64 {
        self.labelled(metric).filter(|(labels, _)| fits(labels)).map(|(_, value)| value).sum()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn series_are_found_by_name_and_labels_and_garbage_is_left_out() {
        let text = "# HELP x y\nrelay_a 3\nrelay_b{lane=\"bulk\",why=\"x, y\"} 1\n\
                    relay_b{lane=\"urgent\",why=\"\"} 0.5\nrelay_c NaN\nno value\n";
        let parts = r#"{"watcher":{"ready":true,"detail":"a"}}"#;
        let sample = Sample::read(text, parts);
        assert_eq!(sample.get("relay_a"), Some(3.0));
        assert_eq!(sample.get("relay_c"), None);
        assert_eq!(sample.sum("relay_b", |_| true), 1.5);
        assert_eq!(sample.sum("relay_b", |labels| labels["lane"] == "bulk"), 1.0);
        assert_eq!(sample.labelled("relay_b").next().expect("one").0["why"], "x, y");
        assert_eq!(sample.parts["watcher"].detail, "a");
        assert!(Sample::read("", "no JSON").parts.is_empty());
    }
}
