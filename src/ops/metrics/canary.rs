//! How the last canary fared.

use std::time::Duration;

use jiff::Timestamp;
use prometheus::{GaugeVec, IntGauge, Opts, Registry};

use super::add;

const HOPS: [&str; 4] = ["directory", "publish", "queue", "graph"];

pub(super) struct CanaryMetrics {
    success: IntGauge,
    at: IntGauge,
    hops: GaugeVec,
}

impl CanaryMetrics {
    pub(super) fn new(registry: &Registry) -> CanaryMetrics {
        let gauge = |name: &str, help: &str| add(registry, IntGauge::new(name, help));
        let success = gauge(
            "relay_canary_success",
            "1 if the last canary came back from a consumer that saw its user in Graph",
        );
        let at = gauge(
            "relay_canary_timestamp_seconds",
            "When the last canary came back or was given up, in Unix time (0: not yet)",
        );
        let hops = Opts::new("relay_canary_hop_seconds", "How long each hop of it took");
        let hops = add(registry, GaugeVec::new(hops, &["hop"]));
        for hop in HOPS {
            hops.with_label_values(&[hop]);
        }
        CanaryMetrics { success, at, hops }
    }

    pub(super) fn note(&self, hops: Option<[(&str, Duration); 4]>) {
        self.success.set(hops.is_some().into());
        self.at.set(Timestamp::now().as_second());
        for (hop, took) in hops.into_iter().flatten() {
            self.hops.with_label_values(&[hop]).set(took.as_secs_f64());
        }
    }
}
