//! How fast the relay may ask, so that Graph need not say no.
//!
//! Two buckets after "Microsoft Graph service-specific throttling limits", identity and access:
//! writes, as `graph.quota` says, and resource units. A bulk request leaves the reserve to urgent
//! ones, and each lane's requests go in the order in which they came. What Graph tells of its own
//! count corrects ours: other processes and other programs may use the same limits.

use std::{
    sync::{Mutex as StdMutex, MutexGuard, PoisonError},
    time::Duration,
};

use tokio::{
    sync::Mutex,
    time::{Instant, sleep},
};
use tracing::warn;

use crate::{config::model, event::Lane, ops::metrics::METRICS};

/// Resource units of the smallest tenants; each of our requests costs one or two.
const UNITS: (f64, Duration) = (3500.0, Duration::from_secs(10));

/// Throttled in spite of the quota, the pace is multiplied by this, ...
const SLOWER: f64 = 0.5;

/// ... but never falls below this, ...
const SLOWEST: f64 = 0.1;

/// ... and gains this much with every period without a refusal.
const FASTER: f64 = 0.1;

/// Whoever waits looks again at the latest after this time: shares and pace may have changed.
const LOOK_AGAIN: Duration = Duration::from_secs(1);

/// How often what is left is told.
const MEASURED: Duration = Duration::from_secs(10);

tokio::task_local! {
    static LANE: Lane;
}

/// Sends the requests of `work` as those of a lane. Without it they are urgent.
pub async fn of_lane<T>(lane: Lane, work: impl Future<Output = T>) -> T {
    LANE.scope(lane, work).await
}

/// The lane whose work this is.
pub(super) fn lane() -> Lane {
    LANE.try_with(|lane| *lane).unwrap_or(Lane::Urgent)
}

/// Which limit a 429 speaks of (`x-ms-throttle-scope`).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Scope {
    /// Whether it holds for writes; not, where it is said of reads alone.
    pub writes: bool,
    /// Whether it is our own app's limit; not, where all apps of the tenant share it.
    pub own: bool,
}

impl Scope {
    /// Reads `Tenant_Application/Write/<app>/<tenant>`; what is not told is taken to be ours.
    pub(super) fn parse(header: Option<&str>) -> Scope {
        let mut parts = header.unwrap_or_default().split('/');
        let own = parts.next().is_none_or(|who| who.is_empty() || who.contains("Application"));
        Scope { writes: parts.next() != Some("Read"), own }
    }
}

/// The quota of this process.
pub struct Quota {
    writes: (f64, Duration),
    urgent_reserve: f64,
    state: StdMutex<State>,
    /// Of each lane one waits for its tokens, the others behind it.
    lines: [Mutex<()>; 2],
}

struct State {
    /// The part of each lane's partitions that this process serves.
    shares: [f64; 2],
    writes: Bucket,
    units: Bucket,
    /// The part of the configured pace that Graph bears, as of `paced`.
    pace: f64,
    paced: Instant,
    /// Graph asked to send nothing before.
    closed_until: Instant,
}

#[derive(Debug)]
struct Bucket {
    full: f64,
    per: Duration,
    level: f64,
    at: Instant,
}

impl Quota {
    /// A full quota for all partitions.
    pub fn new(config: &model::Quota) -> Quota {
        let now = Instant::now();
        let bucket = |(full, per): (f64, Duration)| Bucket { full, per, level: full, at: now };
        let writes = (f64::from(config.writes), config.per);
        let state = State {
            shares: [1.0; 2],
            writes: bucket(writes),
            units: bucket(UNITS),
            pace: 1.0,
            paced: now,
            closed_until: now,
        };
        Quota {
            writes,
            urgent_reserve: f64::from(config.urgent_reserve.0) / 100.0,
            state: StdMutex::new(state),
            lines: Default::default(),
        }
    }

    /// Of a lane's partitions this process serves that part, the others are served elsewhere. Its
    /// part of the quota is the larger one of both lanes: who serves no bulk events still may need
    /// all of the quota to block a hundred users.
    pub fn serves(&self, lane: Lane, share: f64) {
        let mut state = self.state();
        let now = Instant::now();
        let before = state.share();
        state.refill(now, self.writes.1);
        state.shares[lane as usize] = share.clamp(0.0, 1.0);
        let gained = (state.share() - before).max(0.0);
        let state = &mut *state;
        for bucket in [&mut state.writes, &mut state.units] {
            bucket.level += gained * bucket.full;
        }
    }

    /// Waits until a request may be sent, and counts it.
    pub(super) async fn take(&self, write: bool) {
        let lane = lane();
        let _first_in_line = self.lines[lane as usize].lock().await;
        loop {
            let wait = self.state().take(lane, write, self, Instant::now());
            self.measure();
            match wait {
                None => return,
                Some(wait) => sleep(wait.min(LOOK_AGAIN)).await,
            }
        }
    }

    /// Graph told which part of its limit is used (`x-ms-throttle-limit-percentage`): there is no
    /// more left for us than that.
    pub(super) fn used(&self, part: f64) {
        let mut state = self.state();
        state.refill(Instant::now(), self.writes.1);
        let left = (1.0 - part).max(0.0) * state.writes.full * state.share();
        state.writes.level = state.writes.level.min(left);
    }

    /// Graph refused a request with 429: nothing goes before `wait` has passed, and then more
    /// slowly, if it was our own limit.
    pub(super) fn throttled(&self, wait: Duration, scope: Scope) {
        let now = Instant::now();
        let mut state = self.state();
        state.refill(now, self.writes.1);
        // Those that were under way together are refused together, and that says nothing new.
        let news = state.closed_until <= now;
        state.closed_until = state.closed_until.max(now + wait);
        state.units.level = 0.0;
        if scope.writes {
            state.writes.level = 0.0;
        }
        if news && scope.own && scope.writes {
            state.pace = (state.pace * SLOWER).max(SLOWEST);
            state.paced = now;
            let pace = state.pace;
            drop(state);
            let remedy = "if this repeats, lower graph.quota.writes";
            warn!(?wait, pace, remedy, "graph throttles in spite of the quota, going more slowly");
        }
    }

    /// Tells without end what is left, for it fills up while nobody takes.
    pub async fn keep_measured(&self) {
        loop {
            self.measure();
            sleep(MEASURED).await;
        }
    }

    /// Tells what is left of the writes, as a metric.
    fn measure(&self) {
        let mut state = self.state();
        state.refill(Instant::now(), self.writes.1);
        let size = state.writes.size(state.share());
        METRICS.quota_available.set((state.writes.level / size).clamp(0.0, 1.0));
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    fn share(&self) -> f64 {
        self.shares[0].max(self.shares[1])
    }

    fn refill(&mut self, now: Instant, period: Duration) {
        let share = self.share();
        self.writes.refill(now, share, self.pace);
        self.units.refill(now, share, 1.0);
        while self.pace < 1.0 && now.duration_since(self.paced) >= period {
            self.pace = (self.pace + FASTER).min(1.0);
            self.paced += period;
        }
    }

    /// Takes what a request costs, or tells how long to wait at least.
    fn take(&mut self, lane: Lane, write: bool, quota: &Quota, now: Instant) -> Option<Duration> {
        self.refill(now, quota.writes.1);
        if now < self.closed_until {
            return Some(self.closed_until - now);
        }
        let reserve = match lane {
            Lane::Urgent => 0.0,
            Lane::Bulk => quota.urgent_reserve,
        };
        let share = self.share();
        let (writes, units) = if write { (1.0, 2.0) } else { (0.0, 1.0) };
        let wait = self
            .writes
            .lacks(writes, reserve, share, self.pace)
            .max(self.units.lacks(units, reserve, share, 1.0));
        if wait.is_some() {
            return wait;
        }
        self.writes.level -= writes;
        self.units.level -= units;
        None
    }
}

impl Bucket {
    /// What fits in; at least one request.
    fn size(&self, share: f64) -> f64 {
        (self.full * share).max(2.0)
    }

    /// Tokens a second; never none, so that nobody waits for ever.
    fn rate(&self, share: f64, pace: f64) -> f64 {
        (self.full * share * pace).max(1.0) / self.per.as_secs_f64().max(f64::MIN_POSITIVE)
    }

    fn refill(&mut self, now: Instant, share: f64, pace: f64) {
        let gained = now.duration_since(self.at).as_secs_f64() * self.rate(share, pace);
        self.level = (self.level + gained).min(self.size(share));
        self.at = now;
    }

    /// How long until `tokens` are there above the reserve; none if they are, or none is needed.
    fn lacks(&self, tokens: f64, reserve: f64, share: f64, pace: f64) -> Option<Duration> {
        let size = self.size(share);
        let missing = (reserve * size).min(size - tokens) + tokens - self.level;
        (tokens > 0.0 && missing > 1e-9).then(|| {
            // A millisecond is what timers can tell apart.
            Duration::from_secs_f64(missing / self.rate(share, pace)).max(Duration::from_millis(1))
        })
    }
}

#[cfg(test)]
mod tests {
    use futures_util::{FutureExt, future::join_all};

    use super::*;
    use crate::config::model::Percent;

    fn quota(writes: u32, reserve: u8) -> Quota {
        let per = Duration::from_secs(10);
        Quota::new(&model::Quota { writes, per, urgent_reserve: Percent(reserve) })
    }

    async fn bulk(quota: &Quota) {
        of_lane(Lane::Bulk, quota.take(true)).await;
    }

    #[tokio::test(start_paused = true)]
    async fn bulk_leaves_the_reserve_and_an_urgent_write_does_not_wait() {
        let quota = quota(100, 25);
        for _ in 0..75 {
            bulk(&quota).now_or_never().expect("above the reserve");
        }
        assert!(bulk(&quota).now_or_never().is_none());
        for _ in 0..25 {
            quota.take(true).now_or_never().expect("the reserve");
        }
        let started = Instant::now();
        quota.take(true).await;
        let waited = started.elapsed().as_secs_f64();
        assert!((0.1..0.2).contains(&waited), "ten a second: {waited}");
    }

    #[tokio::test(start_paused = true)]
    async fn the_rate_is_kept_by_many_at_once() {
        let quota = quota(100, 0);
        let started = Instant::now();
        join_all((0..300).map(|_| quota.take(true))).await;
        let took = started.elapsed().as_secs_f64();
        assert!((20.0..21.0).contains(&took), "100 at once and 200 in 20 s: {took}");
    }

    #[tokio::test(start_paused = true)]
    async fn a_process_takes_the_part_that_it_serves() {
        let quota = quota(100, 0);
        quota.serves(Lane::Urgent, 0.25);
        quota.serves(Lane::Bulk, 0.0);
        for _ in 0..25 {
            quota.take(true).now_or_never().expect("a quarter");
        }
        assert!(quota.take(true).now_or_never().is_none());
        quota.serves(Lane::Bulk, 0.5);
        for _ in 0..25 {
            quota.take(true).now_or_never().expect("another quarter");
        }
        assert!(quota.take(true).now_or_never().is_none());
    }

    #[tokio::test(start_paused = true)]
    async fn what_graph_tells_corrects_what_is_left() {
        let quota = quota(100, 0);
        quota.used(0.95);
        for _ in 0..5 {
            quota.take(true).now_or_never().expect("five are left");
        }
        assert!(quota.take(true).now_or_never().is_none());
        quota.used(1.8);
        assert!(quota.take(false).now_or_never().is_some(), "reading is not writing");
    }

    #[tokio::test(start_paused = true)]
    async fn a_refusal_slows_down_once_and_is_forgotten() {
        let quota = quota(100, 0);
        let own = Scope::parse(Some("Tenant_Application/Write/app/tenant"));
        for _ in 0..64 {
            quota.throttled(Duration::from_secs(5), own);
        }
        let started = Instant::now();
        join_all((0..35).map(|_| quota.take(true))).await;
        let took = started.elapsed().as_secs_f64();
        assert!((7.0..7.2).contains(&took), "5 s of silence, then five a second: {took}");
        tokio::time::advance(Duration::from_secs(70)).await;
        let started = Instant::now();
        join_all((0..200).map(|_| quota.take(true))).await;
        let took = started.elapsed().as_secs_f64();
        assert!((9.0..11.0).contains(&took), "full pace again: {took}");
    }

    #[test]
    fn scopes_are_read_and_unknown_ones_are_ours() {
        let read = |header| Scope::parse(header);
        assert_eq!(read(None), Scope { writes: true, own: true });
        assert_eq!(read(Some("Tenant/ReadWrite/a/t")), Scope { writes: true, own: false });
        assert_eq!(read(Some("Application/Read/a/t")), Scope { writes: false, own: true });
    }

    #[tokio::test(start_paused = true)]
    async fn even_the_smallest_quota_lets_everything_through_in_the_end() {
        let quota = quota(1, 100);
        quota.serves(Lane::Urgent, 0.0);
        quota.serves(Lane::Bulk, 0.0);
        for _ in 0..5 {
            bulk(&quota).await;
        }
    }
}
