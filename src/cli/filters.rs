//! Filters, spelled the same in every command that has them.

use std::time::Duration;

use clap::{
    Args,
    builder::{PossibleValuesParser, TypedValueParser},
};
use jiff::Timestamp;

use crate::{event::Kind, queue::dead_letter::DeadReason};

/// Which of many are meant.
#[derive(Debug, Clone, Default, Args)]
pub struct Filters {
    /// Reason code; may be given more than once.
    #[arg(long = "reason", value_name = "REASON", value_parser = reasons())]
    pub reasons: Vec<DeadReason>,
    /// Type of event; may be given more than once.
    #[arg(long = "type", value_name = "TYPE", value_parser = kinds())]
    pub kinds: Vec<String>,
    /// sAMAccountName, UPN, SID or objectGUID.
    #[arg(long, value_name = "USER")]
    pub user: Option<String>,
    /// Of the last hours, days ...: 2h, 3days.
    #[arg(long, value_name = "AGE", value_parser = since)]
    pub since: Option<Timestamp>,
    /// The first so many alone.
    #[arg(long, value_name = "N")]
    pub limit: Option<usize>,
}

fn reasons() -> impl TypedValueParser<Value = DeadReason> {
    PossibleValuesParser::new(DeadReason::ALL.map(DeadReason::as_str)).map(|code| {
        let reason = DeadReason::ALL.into_iter().find(|reason| reason.as_str() == code);
        reason.expect("only codes of reasons are possible")
    })
}

/// The types of event, in their short form.
pub fn kinds() -> PossibleValuesParser {
    PossibleValuesParser::new(Kind::ALL.map(Kind::as_str))
}

/// An instant, given as an age: 2h.
pub fn since(text: &str) -> Result<Timestamp, String> {
    let age: Duration = humantime::parse_duration(text).map_err(|error| error.to_string())?;
    Timestamp::now().checked_sub(age).map_err(|_| "longer ago than time is counted".to_owned())
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;

    #[derive(Debug, Parser)]
    struct Line {
        #[command(flatten)]
        filters: Filters,
    }

    #[test]
    fn filters_are_checked_when_they_are_read() {
        let parse = |words: &[&str]| {
            Line::try_parse_from([&["x"], words].concat()).map(|line| line.filters)
        };
        let filters =
            parse(&["--reason", "graph_error", "--type", "user.deleted", "--since", "2h"])
                .expect("valid");
        assert_eq!(filters.reasons, [DeadReason::GraphError]);
        assert_eq!(filters.kinds, ["user.deleted"]);
        let age = Timestamp::now().duration_since(filters.since.expect("since"));
        assert!(age.as_secs() >= 7200, "{age:?}");
        for wrong in [["--reason", "x"], ["--type", "x"], ["--since", "x"], ["--limit", "-1"]] {
            parse(&wrong).expect_err(wrong[0]);
        }
    }
}
