//! Whether, and when at the earliest, a failed request is worth another try.
//!
//! Every write of ours sets a value or revokes what is to be revoked: doing it twice does no harm.
//! So it is the kind of error alone that decides.

use std::time::Duration;

use jiff::{Timestamp, fmt::rfc2822};
use reqwest::header::{HeaderMap, RETRY_AFTER};

use super::error::ErrorKind;

/// How often a request is tried before it is given up, while Graph answers others.
pub const ATTEMPTS: u32 = 8;

/// What is waited after a 429 that does not say how long.
pub const THROTTLED: Duration = Duration::from_secs(10);

/// The longest wait that an answer can ask for.
const LONGEST: Duration = Duration::from_secs(600);

/// What to do after a failure.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Next {
    /// Try again, after one's own backoff and not before this time has passed.
    After(Duration),
    /// Another try would fail alike.
    GiveUp,
}

/// Decides after the failure of attempt number `attempt`, counted from 1. Being throttled is no
/// failure of the request, so it may go on for ever.
pub fn next(kind: &ErrorKind, attempt: u32) -> Next {
    match kind {
        ErrorKind::Throttled { retry_after, .. } => Next::After(retry_after.unwrap_or(THROTTLED)),
        ErrorKind::Transient { .. } | ErrorKind::Unauthorized | ErrorKind::TokenRefused
            if attempt >= ATTEMPTS =>
        {
            Next::GiveUp
        }
        ErrorKind::Transient { retry_after } => Next::After(retry_after.unwrap_or_default()),
        ErrorKind::Unauthorized | ErrorKind::TokenRefused => Next::After(Duration::ZERO),
        ErrorKind::Forbidden
        | ErrorKind::NotFound
        | ErrorKind::Conflict { .. }
        | ErrorKind::Mastered
        | ErrorKind::Refused => Next::GiveUp,
    }
}

/// `Retry-After`: seconds or an HTTP date (RFC 9110 section 10.2.3), bounded.
pub(super) fn retry_after(headers: &HeaderMap) -> Option<Duration> {
    let text = headers.get(RETRY_AFTER)?.to_str().ok()?.trim();
    let wait = match text.parse() {
        Ok(seconds) => Duration::from_secs(seconds),
        Err(_) => until(text, Timestamp::now())?,
    };
    Some(wait.min(LONGEST))
}

/// The time from `now` to an HTTP date; zero where it has passed.
fn until(date: &str, now: Timestamp) -> Option<Duration> {
    let then = rfc2822::DateTimeParser::new().parse_timestamp(date).ok()?;
    Some(then.duration_since(now).try_into().unwrap_or_default())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn being_throttled_never_ends_and_the_rest_ends_soon() {
        let retry_after = Some(Duration::from_secs(7));
        let scope = crate::graph::quota::Scope { writes: true, own: true };
        let throttled = ErrorKind::Throttled { retry_after, scope };
        assert_eq!(next(&throttled, 1000), Next::After(Duration::from_secs(7)));
        let silent = ErrorKind::Throttled { retry_after: None, scope };
        assert_eq!(next(&silent, 1), Next::After(THROTTLED));
        let transient = ErrorKind::Transient { retry_after };
        assert_eq!(next(&transient, 1), Next::After(Duration::from_secs(7)));
        assert_eq!(next(&transient, ATTEMPTS), Next::GiveUp);
        assert_eq!(next(&ErrorKind::Unauthorized, 1), Next::After(Duration::ZERO));
        for kind in [ErrorKind::Forbidden, ErrorKind::NotFound, ErrorKind::Refused] {
            assert_eq!(next(&kind, 1), Next::GiveUp);
        }
    }

    #[test]
    fn retry_after_comes_as_seconds_or_date_and_is_bounded() {
        let read = |value: &str| {
            let mut headers = HeaderMap::new();
            headers.insert(RETRY_AFTER, value.parse().expect("header"));
            retry_after(&headers)
        };
        assert_eq!(read("3"), Some(Duration::from_secs(3)));
        assert_eq!(read("999999999"), Some(LONGEST));
        assert_eq!(read("Sun, 06 Nov 1994 08:49:37 GMT"), Some(Duration::ZERO));
        assert_eq!(read("soon"), None);
        assert_eq!(retry_after(&HeaderMap::new()), None);
        let now = "1994-11-06T08:49:07Z".parse().expect("timestamp");
        let wait = until("Sun, 06 Nov 1994 08:49:37 GMT", now);
        assert_eq!(wait, Some(Duration::from_secs(30)));
    }
}
