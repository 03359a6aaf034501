//! What goes back to the watcher: events whose user is not in Entra yet, at growing intervals, and
//! enabling events that are too old. Pure.

use jiff::{SignedDuration, Timestamp};

use super::mailbox::Parcel;
use crate::{
    config::model,
    event::{Event, MAX_BODY, Waiting},
    queue::{
        Delivery, Message, ParkingDelay,
        refresh::{RefreshRequest, Why},
    },
};

/// Whether an event has waited for its user long enough.
pub fn is_over(parking: &model::Parking, event: &Event, now: Timestamp) -> bool {
    let since = event.waiting.map_or(now, |waiting| waiting.since);
    now.duration_since(since) >= signed(parking.horizon)
}

/// The next round of what waits together: since when the first of them does, and the number of the
/// round.
pub fn next_round(parcels: &[Parcel<Delivery>], now: Timestamp) -> Waiting {
    let waiting = || parcels.iter().filter_map(|parcel| parcel.event.waiting);
    Waiting {
        since: waiting().map(|waiting| waiting.since).min().unwrap_or(now),
        attempt: waiting().map(|waiting| waiting.attempt).max().unwrap_or(0).saturating_add(1),
    }
}

/// How long round number `attempt` waits, counted from 1: the delays between the first and the
/// longest that are configured, in turn.
pub fn delay(parking: &model::Parking, attempt: u32) -> ParkingDelay {
    let fits = |delay: &ParkingDelay| {
        delay.duration() >= parking.first_delay && delay.duration() <= parking.max_delay
    };
    let [shortest, ..] = ParkingDelay::ALL;
    let round = usize::try_from(attempt.saturating_sub(1)).unwrap_or(usize::MAX);
    let fitting = ParkingDelay::ALL.into_iter().filter(fits).take(round.saturating_add(1)).last();
    // None lies between: the next shorter one.
    let shorter = |delay: &ParkingDelay| delay.duration() <= parking.max_delay;
    fitting.or_else(|| ParkingDelay::ALL.into_iter().rfind(shorter)).unwrap_or(shortest)
}

/// Whether an enabling event is too old to be applied: it may have been held back on purpose. Its
/// time is the watcher's, the age is taken by our own clock: a watcher that is ahead makes events
/// younger than they are, one that is behind makes them older. From `max_age` behind on, nobody is
/// enabled any more: what is told anew is too old again.
pub fn is_too_old(event: &Event, max_age: std::time::Duration, now: Timestamp) -> bool {
    now.duration_since(event.time) > signed(max_age)
}

/// The requests that carry these events, as few as keep each below the size of a few bodies.
pub fn requests(parcels: &[Parcel<Delivery>], why: Why, waiting: Waiting) -> Vec<Message> {
    let mut rest = parcels;
    let mut requests = Vec::new();
    while let [first, ..] = rest {
        let mut size = 0;
        let fits = |parcel: &&Parcel<Delivery>| {
            size += parcel.receipt.message.body.len();
            size <= MAX_BODY
        };
        let count = rest.iter().take_while(fits).count().max(1);
        let (now, later) = rest.split_at(count);
        let originals = now.iter().map(|parcel| (&parcel.receipt.message).into()).collect();
        let object = first.event.object;
        let request = RefreshRequest { object, why, originals, waiting: Some(waiting) };
        requests.push(request.to_message());
        rest = later;
    }
    requests
}

fn signed(duration: std::time::Duration) -> SignedDuration {
    SignedDuration::try_from(duration).unwrap_or(SignedDuration::MAX)
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use async_trait::async_trait;
    use uuid::Uuid;

    use super::*;
    use crate::{
        event::{Detail, Identity},
        queue::{QueueError, Receipt},
    };

    struct Unsettled;

    #[async_trait]
    impl Receipt for Unsettled {
        async fn ack(self: Box<Self>) -> Result<(), QueueError> {
            Ok(())
        }
        async fn release(self: Box<Self>) -> Result<(), QueueError> {
            Ok(())
        }
    }

    fn parcel(sequence: u64, body: usize, waiting: Option<(i64, u32)>) -> Parcel<Delivery> {
        let (object, time) = (Uuid::from_u128(7), Timestamp::UNIX_EPOCH);
        let identity = Identity::default();
        let detail = Detail::UserDeleted;
        let mut event = Event::new("ldap:///dc=x", object, sequence, time, identity, detail);
        event.waiting = waiting.map(|(since, attempt)| Waiting { since: at(since), attempt });
        let mut message = Message::from_event(&event);
        message.body = vec![0; body].into();
        let receipt =
            Delivery { message, redelivered: false, in_place: true, receipt: Box::new(Unsettled) };
        Parcel { event, receipt }
    }

    fn at(second: i64) -> Timestamp {
        Timestamp::from_second(second).expect("a time")
    }

    fn parking(first: u64, max: u64) -> model::Parking {
        model::Parking {
            first_delay: Duration::from_secs(first),
            max_delay: Duration::from_secs(max),
            horizon: Duration::from_secs(100),
        }
    }

    #[test]
    fn delays_grow_within_their_bounds() {
        let delays = |parking: model::Parking| {
            [1, 2, 3, 4, 5, u32::MAX].map(|round| delay(&parking, round).as_str())
        };
        assert_eq!(delays(parking(15, 1800)), ["15s", "1m", "5m", "30m", "30m", "30m"]);
        assert_eq!(delays(parking(30, 300)), ["1m", "5m", "5m", "5m", "5m", "5m"]);
        assert_eq!(delays(parking(20, 50)), ["15s"; 6]);
        assert_eq!(delays(parking(1, 2)), ["15s"; 6]);
    }

    #[test]
    fn rounds_count_on_from_the_first_that_waits() {
        let now = at(50);
        let fresh = [parcel(1, 1, None)];
        assert_eq!(next_round(&fresh, now), Waiting { since: now, attempt: 1 });
        let mixed = [parcel(1, 1, Some((10, 3))), parcel(2, 1, None), parcel(3, 1, Some((20, 1)))];
        assert_eq!(next_round(&mixed, now), Waiting { since: at(10), attempt: 4 });
    }

    #[test]
    fn the_horizon_counts_from_the_first_round() {
        let is_over = |waiting, now, parking| is_over(&parking, &parcel(1, 1, waiting).event, now);
        assert!(!is_over(None, at(1000), parking(15, 60)));
        assert!(!is_over(Some((10, 9)), at(109), parking(15, 60)));
        assert!(is_over(Some((10, 1)), at(110), parking(15, 60)));
        let never = model::Parking { horizon: Duration::ZERO, ..parking(15, 60) };
        assert!(is_over(None, at(1000), never));
    }

    #[test]
    fn age_is_what_our_clock_says() {
        let event = parcel(1, 1, None).event;
        let max = Duration::from_secs(10);
        assert!(!is_too_old(&event, max, at(10)));
        assert!(is_too_old(&event, max, at(11)));
        assert!(!is_too_old(&event, max, at(-99)), "a watcher that is ahead");
        assert!(!is_too_old(&event, Duration::MAX, at(1_000_000)));
    }

    #[test]
    fn all_originals_are_carried_in_order_and_no_request_is_large() {
        let round = Waiting { since: at(0), attempt: 1 };
        let half = MAX_BODY / 2;
        let parcels: Vec<_> = [half, half, 1, MAX_BODY, 1]
            .into_iter()
            .zip(1..)
            .map(|(body, sequence)| parcel(sequence, body, None))
            .collect();
        let requests: Vec<_> = requests(&parcels, Why::Parked, round)
            .iter()
            .map(|message| RefreshRequest::from_message(message).expect("a request"))
            .collect();
        let counts: Vec<_> = requests.iter().map(|request| request.originals.len()).collect();
        assert_eq!(counts, [2, 1, 1, 1]);
        let carried: Vec<_> =
            requests.iter().flat_map(|request| &request.originals).map(|one| one.id).collect();
        let sent: Vec<_> = parcels.iter().map(|parcel| parcel.receipt.message.id).collect();
        assert_eq!(carried, sent);
        assert!(requests.iter().all(|request| request.waiting == Some(round)));
    }
}
