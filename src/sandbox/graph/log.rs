//! What was asked of the simulator, in the order in which it was done.

use std::collections::VecDeque;
use std::fmt;
use std::sync::Arc;
use std::time::Instant;

use serde_json::Value;
use uuid::Uuid;

/// One request and what became of it.
#[derive(Debug, Clone)]
pub struct LoggedRequest {
    /// Counts up from 1, without gaps, in the order in which requests took effect.
    pub order: u64,
    /// When it took effect.
    pub at: Instant,
    /// The HTTP method.
    pub method: String,
    /// Path and query as sent, still percent-encoded.
    pub path: String,
    /// The body, if it was JSON.
    pub body: LoggedBody,
    /// The HTTP status of the answer; none if the connection was closed instead.
    pub status: Option<u16>,
    /// The object id of the user that the path names, or that was created.
    pub user: Option<Uuid>,
    /// The `request-id` of the answer.
    pub request_id: Uuid,
    /// The `client-request-id` that the caller sent.
    pub client_request_id: Option<String>,
}

/// A JSON body whose `Debug` hides passwords.
#[derive(Clone, Default)]
pub struct LoggedBody(pub(super) Option<Arc<Value>>);

impl LoggedBody {
    /// The body as sent, passwords included; none if there was none or it was no JSON.
    pub fn json(&self) -> Option<&Value> {
        self.0.as_deref()
    }
}

impl fmt::Debug for LoggedBody {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.json() {
            None => f.write_str("none"),
            Some(body) => write!(f, "{}", redacted(body)),
        }
    }
}

fn redacted(body: &Value) -> Value {
    match body {
        Value::Object(members) => members
            .iter()
            .map(|(name, value)| match name.as_str() {
                "password" => (name.clone(), Value::from("[redacted]")),
                _ => (name.clone(), redacted(value)),
            })
            .collect(),
        Value::Array(items) => items.iter().map(redacted).collect(),
        other => other.clone(),
    }
}

/// The latest requests, up to a limit.
#[derive(Debug)]
pub(super) struct Log {
    entries: VecDeque<LoggedRequest>,
    limit: usize,
    last: u64,
}

impl Log {
    pub(super) fn new(limit: usize) -> Self {
        Self { entries: VecDeque::new(), limit, last: 0 }
    }

    /// Appends a request, and gives it its number.
    pub(super) fn push(&mut self, mut request: LoggedRequest) {
        self.last += 1;
        request.order = self.last;
        if self.entries.len() >= self.limit {
            self.entries.pop_front();
        }
        self.entries.push_back(request);
    }

    /// What is kept of the requests behind this number.
    pub(super) fn since(&self, order: u64) -> Vec<LoggedRequest> {
        let from = self.entries.partition_point(|entry| entry.order <= order);
        self.entries.range(from..).cloned().collect()
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn debug_hides_passwords_at_any_depth() {
        let body = json!({"passwordProfile": {"password": "S3cret!!"}, "a": [{"password": "x1"}]});
        let body = LoggedBody(Some(Arc::new(body)));
        let debug = format!("{body:?}");
        assert!(!debug.contains("S3cret!!") && !debug.contains("x1"), "{debug}");
        assert_eq!(body.json().map(|b| b["passwordProfile"]["password"] == "S3cret!!"), Some(true));
    }
}
