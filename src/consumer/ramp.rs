//! How many requests are under way at once: few after an outage, more with every success.

use std::sync::{Mutex, MutexGuard, PoisonError};

use tokio::sync::Notify;

/// A limit that starts again from one and grows by one with every success.
#[derive(Debug)]
pub struct Ramp {
    top: usize,
    state: Mutex<State>,
    room: Notify,
}

#[derive(Debug)]
struct State {
    limit: usize,
    busy: usize,
}

/// A place below the limit, until it is dropped.
#[derive(Debug)]
pub struct Place<'a>(&'a Ramp);

impl Ramp {
    /// At its top.
    pub fn new(top: usize) -> Ramp {
        Ramp { top, state: Mutex::new(State { limit: top, busy: 0 }), room: Notify::new() }
    }

    /// Waits for a place.
    pub async fn enter(&self) -> Place<'_> {
        loop {
            {
                let mut state = self.state();
                if state.busy < state.limit {
                    state.busy += 1;
                    return Place(self);
                }
            }
            // Whoever made room meanwhile has left a permit, so this returns at once.
            self.room.notified().await;
        }
    }

    /// Back to one at a time. Who has a place keeps it.
    pub fn restart(&self) {
        self.state().limit = 1;
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Place<'_> {
    /// What had this place succeeded.
    pub fn succeeded(&self) {
        let mut state = self.0.state();
        state.limit = self.0.top.min(state.limit + 1);
        drop(state);
        self.0.room.notify_one();
    }
}

impl Drop for Place<'_> {
    fn drop(&mut self) {
        self.0.state().busy -= 1;
        self.0.room.notify_one();
    }
}

#[cfg(test)]
mod tests {
    use futures_util::FutureExt;

    use super::*;

    #[tokio::test]
    async fn grows_by_one_with_every_success_up_to_its_top() {
        let ramp = Ramp::new(3);
        let places: Vec<_> = (0..3).filter_map(|_| ramp.enter().now_or_never()).collect();
        assert_eq!(places.len(), 3);
        ramp.restart();
        let waiting = ramp.enter();
        tokio::pin!(waiting);
        assert!(waiting.as_mut().now_or_never().is_none());
        drop(places);
        let first = waiting.await;
        assert!(ramp.enter().now_or_never().is_none());
        first.succeeded();
        let second = ramp.enter().now_or_never().expect("two at once");
        assert!(ramp.enter().now_or_never().is_none());
        (0..5).for_each(|_| second.succeeded());
        let third = ramp.enter().now_or_never();
        assert!(third.is_some() && ramp.enter().now_or_never().is_none());
    }

    #[tokio::test]
    async fn every_one_who_waits_gets_a_place_in_the_end() {
        let ramp = Ramp::new(8);
        ramp.restart();
        let work = (0..100).map(|_| async {
            let place = ramp.enter().await;
            tokio::task::yield_now().await;
            place.succeeded();
        });
        futures_util::future::join_all(work).await;
    }
}
