//! Traces: whether the collector takes them. The relay works without it.

use super::{Area, Check, Subject};
use crate::{
    config::{Config, Role},
    ops::traces,
};

/// None where no traces are made.
pub(super) async fn check(config: &Config, role: Role) -> Option<Check> {
    let subject = Subject(Area::Configuration, "traces");
    let exporter = match traces::open(&config.traces, role) {
        Ok((_, exporter)) => exporter?,
        Err(error) => return Some(subject.failed(error, "correct traces in relay.yaml")),
    };
    Some(match exporter.try_out().await {
        Ok(()) => subject.pass("the collector takes them"),
        Err(error) => subject.warn(
            format!("the collector does not take them: {error:?}"),
            "see that it runs and takes OTLP over HTTP; the relay works without it",
        ),
    })
}
