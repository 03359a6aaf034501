//! Which requests a piece of work sent, so that it can be explained later.

use std::cell::RefCell;

use reqwest::Method;

use super::{error::GraphError, operation::Operation};

/// The most requests that are kept: the last ones, for these decided.
const MOST: usize = 16;

tokio::task_local! {
    static SENT: RefCell<Vec<Exchange>>;
}

/// A request and its answer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Exchange {
    /// What was asked.
    pub operation: Operation,
    /// HTTP status; none where no answer came.
    pub status: Option<u16>,
    /// Graph's error code.
    pub code: Option<String>,
    /// Graph's `request-id`.
    pub request_id: Option<String>,
}

/// Does the work, and tells which writes it sent, and which requests failed.
pub async fn traced<T>(work: impl Future<Output = T>) -> (T, Vec<Exchange>) {
    let traced = async {
        let done = work.await;
        (done, SENT.with(RefCell::take))
    };
    SENT.scope(RefCell::default(), traced).await
}

/// A request was answered with a success.
pub(super) fn succeeded(
    operation: Operation,
    method: &Method,
    status: u16,
    request_id: Option<&String>,
) {
    let is_write = *method != Method::GET
        && !matches!(operation, Operation::Token | Operation::ManagedToken | Operation::Probe);
    if is_write {
        let request_id = request_id.cloned();
        note(Exchange { operation, status: Some(status), code: None, request_id });
    }
}

/// A request failed.
pub(super) fn failed(error: &GraphError) {
    if error.operation != Operation::Probe {
        let GraphError { operation, status, code, request_id, .. } = error.clone();
        note(Exchange { operation, status, code, request_id });
    }
}

fn note(exchange: Exchange) {
    // Outside of traced work nobody asks.
    let _not_traced = SENT.try_with(|sent| {
        let mut sent = sent.borrow_mut();
        if sent.len() == MOST {
            sent.remove(0);
        }
        sent.push(exchange);
    });
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn writes_and_failures_of_the_work_are_told_and_the_last_are_kept() {
        let id = "r".to_owned();
        succeeded(Operation::SetEnabled, &Method::PATCH, 204, Some(&id));
        let (done, sent) = traced(async {
            succeeded(Operation::Token, &Method::POST, 200, None);
            succeeded(Operation::FindUsers, &Method::GET, 200, None);
            failed(&GraphError::unanswered(Operation::Probe, String::new()));
            failed(&GraphError::unanswered(Operation::FindUsers, "away".into()));
            for _ in 0..MOST {
                succeeded(Operation::SetEnabled, &Method::PATCH, 204, Some(&id));
            }
            7
        })
        .await;
        assert_eq!((done, sent.len()), (7, MOST));
        assert!(sent.iter().all(|exchange| exchange.operation == Operation::SetEnabled));
        assert_eq!(traced(async {}).await.1, []);
    }
}
