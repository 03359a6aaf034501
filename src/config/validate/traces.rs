//! `traces:`

use url::Url;

use super::is_loopback;
use crate::config::{Problem, model::Traces};

/// What is wrong with it.
pub fn problems(traces: &Traces, found: &mut Vec<Problem>) {
    let Some(endpoint) = &traces.endpoint else { return };
    let problem = |what: &str, remedy: &str| {
        Problem::at("traces.endpoint", what, remedy).with_value(endpoint)
    };
    match Url::parse(endpoint) {
        Ok(url) if matches!(url.scheme(), "http" | "https") && url.host().is_some() => {
            if !url.username().is_empty() || url.password().is_some() {
                found.push(Problem::at(
                    "traces.endpoint",
                    "holds a login",
                    "take it out and send it as a header, from traces.headers_file",
                ));
            } else if url.query().is_some() || url.fragment().is_some() {
                found.push(problem("is no base URL", "write it without a query"));
            } else if url.scheme() == "http" && !traces.allow_plaintext && !is_loopback(&url) {
                found.push(problem(
                    "would send traces and headers unencrypted",
                    "write https://; traces.allow_plaintext lets it through",
                ));
            }
        }
        _ => found.push(problem("is no URL", "write that of a collector: http://localhost:4318")),
    }
}
