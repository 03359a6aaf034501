//! Faults that can be switched on and off while the simulator runs.

use std::collections::HashMap;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use axum::http::StatusCode;
use tokio::sync::watch;
use uuid::Uuid;

use super::error::GraphError;

/// What is wrong right now. All off by default.
///
/// Where several are on, the first of `hang`, `reset`, `down`, `throttle`, `flaky`, `lose_answer`
/// and `garble` wins. All but `token_down` concern Graph only: the token endpoint is another
/// host in the cloud.
#[derive(Debug, Clone, Default)]
pub struct FaultSet {
    /// Graph takes requests and does not answer until this is off; then it drops them.
    pub hang: bool,
    /// Graph closes the connection without an answer and without doing anything.
    pub reset: bool,
    /// Graph does what it is asked and then closes the connection without an answer.
    pub lose_answer: bool,
    /// Graph does what it is asked, and its JSON ends in the middle.
    pub garble: bool,
    /// Graph answers everything with 503.
    pub down: bool,
    /// Graph answers everything with 429 and this `Retry-After`, in seconds.
    pub throttle: Option<u64>,
    /// Every n-th request gets a 500 or a 503, in turn.
    pub flaky: Option<u32>,
    /// Requests whose path names one of these users are refused with this HTTP status.
    pub failing_users: HashMap<Uuid, u16>,
    /// The token endpoint answers 503.
    pub token_down: bool,
    /// A user created through Graph cannot be seen for this long after.
    pub create_lag: Duration,
}

/// The switches of a running simulator.
#[derive(Debug, Default)]
pub struct Faults {
    set: watch::Sender<FaultSet>,
    requests: AtomicU32,
}

/// What to do with a request before anything else.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Verdict {
    Serve,
    /// Serve it, then close the connection.
    ServeUnanswered,
    /// Serve it, with an answer that nobody can read.
    ServeGarbled,
    Refuse(GraphError),
    /// Close the connection.
    Cut,
    /// Hold the request while the fault is on.
    Hang,
}

impl Faults {
    /// Changes the switches, at once for every request that comes after.
    pub fn set(&self, change: impl FnOnce(&mut FaultSet)) {
        self.set.send_modify(change);
    }

    /// Refuses every request whose path names a user with this HTTP status, or stops doing so.
    pub fn fail_user(&self, user: Uuid, status: Option<u16>) {
        self.set(|set| {
            match status {
                Some(status) => set.failing_users.insert(user, status),
                None => set.failing_users.remove(&user),
            };
        });
    }

    /// Switches everything off.
    pub fn clear(&self) {
        self.set(|set| *set = FaultSet::default());
    }

    /// The switches as they are.
    pub fn get(&self) -> FaultSet {
        self.set.borrow().clone()
    }

    pub(super) fn verdict(&self) -> Verdict {
        let set = self.set.borrow();
        if set.hang {
            Verdict::Hang
        } else if set.reset {
            Verdict::Cut
        } else if set.down {
            Verdict::Refuse(GraphError::of_status(StatusCode::SERVICE_UNAVAILABLE))
        } else if let Some(seconds) = set.throttle {
            Verdict::Refuse(GraphError::throttled(seconds))
        } else if let Some(status) = set.flaky.and_then(|nth| self.flaky(nth)) {
            Verdict::Refuse(GraphError::of_status(status))
        } else if set.lose_answer {
            Verdict::ServeUnanswered
        } else if set.garble {
            Verdict::ServeGarbled
        } else {
            Verdict::Serve
        }
    }

    /// The status of every n-th request.
    fn flaky(&self, nth: u32) -> Option<StatusCode> {
        let count = self.requests.fetch_add(1, Ordering::Relaxed).wrapping_add(1);
        let even = count.checked_div(nth)?.is_multiple_of(2);
        let status =
            if even { StatusCode::SERVICE_UNAVAILABLE } else { StatusCode::INTERNAL_SERVER_ERROR };
        count.is_multiple_of(nth).then_some(status)
    }

    /// The refusal for a user, where one is switched on.
    pub(super) fn of_user(&self, user: Uuid) -> Option<GraphError> {
        let status = *self.set.borrow().failing_users.get(&user)?;
        let status = StatusCode::from_u16(status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
        Some(GraphError::of_status(status))
    }

    pub(super) fn create_lag(&self) -> Duration {
        self.set.borrow().create_lag
    }

    pub(super) fn token_down(&self) -> bool {
        self.set.borrow().token_down
    }

    /// Returns when requests no longer hang.
    pub(super) async fn released(&self) {
        // The sender lives in `self`, so waiting cannot fail.
        let _ = self.set.subscribe().wait_for(|set| !set.hang).await;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_third_request_fails() {
        let faults = Faults::default();
        faults.set(|set| set.flaky = Some(3));
        let statuses: Vec<_> = (0..6)
            .map(|_| match faults.verdict() {
                Verdict::Refuse(error) => error.status.as_u16(),
                _ => 0,
            })
            .collect();
        assert_eq!(statuses, [0, 0, 500, 0, 0, 503]);
        faults.clear();
        assert_eq!(faults.verdict(), Verdict::Serve);
    }
}
