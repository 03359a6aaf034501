//! How long the consumers wait, and how much they do at once.

use std::time::Duration;

use crate::graph;

/// Users that a lane works on at the same time.
pub const USERS_AT_ONCE: usize = 64;

/// Unsettled deliveries per partition.
pub const PREFETCH: u16 = 256;

/// Users whose last sequence, match or deletion is kept in mind, at least.
pub const REMEMBERED: usize = 50_000;

/// How long a match is used before the user is searched again.
pub const MATCH_AGE: Duration = Duration::from_secs(600);

/// For so long after it created a user Graph may not show it.
pub const CREATE_LAG: Duration = Duration::from_secs(60);

/// How often a block is read back.
pub const VERIFY_READS: u32 = 8;

/// The longest wait that Graph can ask for one user's request while it answers others: all tries
/// together must stay below [`Pace::held`].
pub const LONGEST_WAIT: Duration = Duration::from_secs(60);

/// A wait that Graph asks for and that is at least so long counts as a pause.
pub const NOTABLE_WAIT: Duration = Duration::from_secs(2);

/// How often a lane that has nothing to do tells that it lives.
pub const BEAT: Duration = Duration::from_secs(30);

/// How long the consumers wait. Of waits that grow: the first, and the longest.
#[derive(Debug, Clone, Copy)]
pub struct Pace {
    /// Before an event is tried again.
    pub retry: (Duration, Duration),
    /// Before Graph is probed again in an outage.
    pub probe: (Duration, Duration),
    /// Before a block is read back again.
    pub verify: (Duration, Duration),
    /// Before the queue is asked again.
    pub queue: (Duration, Duration),
    /// For so long after a write of ours Graph may show an older state.
    pub read_lag: Duration,
    /// For so long after a partition was taken over, requests of its former holder may still take
    /// effect.
    pub take_over: Duration,
    /// While Graph is away nothing is kept in hand for longer than this: it goes back to the queue.
    pub paused: Duration,
    /// At no time anything is kept in hand for longer than this. RabbitMQ closes the channel of a
    /// consumer that holds a delivery for half an hour (`consumer_timeout`).
    pub held: Duration,
}

impl Default for Pace {
    fn default() -> Self {
        Pace {
            retry: (Duration::from_millis(500), Duration::from_secs(30)),
            probe: (Duration::from_secs(1), Duration::from_secs(30)),
            verify: (Duration::from_millis(100), Duration::from_secs(5)),
            queue: (Duration::from_millis(500), Duration::from_secs(5)),
            read_lag: Duration::from_secs(60),
            take_over: graph::REQUEST_TIMEOUT,
            paused: Duration::from_secs(5 * 60),
            held: Duration::from_secs(20 * 60),
        }
    }
}
