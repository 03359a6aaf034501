//! Which requests a piece of work sent, so that it can be explained later.

use std::cell::RefCell;

use jiff::Timestamp;
use reqwest::Method;

use super::{error::GraphError, operation::Operation};

/// The most requests that are kept: the last ones, for these decided.
const MOST: usize = 32;

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
    /// Whether it changed nothing and succeeded: a read, or a token.
    pub is_read: bool,
    /// When it was sent.
    pub began: Timestamp,
    /// When its answer was there, or was waited for no longer.
    pub ended: Timestamp,
}

/// Does the work, and tells which requests it sent.
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
    began: Timestamp,
) {
    let is_read =
        *method == Method::GET || matches!(operation, Operation::Token | Operation::ManagedToken);
    note(Exchange {
        operation,
        status: Some(status),
        code: None,
        request_id: request_id.cloned(),
        is_read,
        began,
        ended: Timestamp::now(),
    });
}

/// A request failed.
pub(super) fn failed(error: &GraphError, began: Timestamp) {
    let GraphError { operation, status, code, request_id, .. } = error.clone();
    let ended = Timestamp::now();
    note(Exchange { operation, status, code, request_id, is_read: false, began, ended });
}

fn note(exchange: Exchange) {
    // It asks for all, not for the work in hand.
    if exchange.operation == Operation::Probe {
        return;
    }
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
    async fn requests_of_the_work_are_told_and_the_last_are_kept() {
        let id = "r".to_owned();
        let now = Timestamp::UNIX_EPOCH;
        let write = || succeeded(Operation::SetEnabled, &Method::PATCH, 204, Some(&id), now);
        write();
        let (done, sent) = traced(async {
            succeeded(Operation::Token, &Method::POST, 200, None, now);
            succeeded(Operation::FindUsers, &Method::GET, 200, None, now);
            failed(&GraphError::unanswered(Operation::Probe, String::new()), now);
            failed(&GraphError::unanswered(Operation::FindUsers, "away".into()), now);
            7
        })
        .await;
        let told: Vec<_> = sent.iter().map(|it| (it.operation, it.is_read)).collect();
        let (token, search) = (Operation::Token, Operation::FindUsers);
        assert_eq!((done, told), (7, vec![(token, true), (search, true), (search, false)]));
        let (done, sent) = traced(async {
            failed(&GraphError::unanswered(Operation::FindUsers, "away".into()), now);
            (0..MOST).for_each(|_| write());
            7
        })
        .await;
        assert_eq!((done, sent.len()), (7, MOST));
        assert!(sent.iter().all(|exchange| exchange.operation == Operation::SetEnabled));
        assert_eq!(traced(async {}).await.1, []);
    }
}
