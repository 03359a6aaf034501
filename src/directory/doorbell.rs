//! Doorbells: what says when to look. Each has a connection of its own, so that neither waits for
//! the other's answer, and is connected again by itself when it is lost. What happens meanwhile is
//! found by the sweep at the latest.

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use ldap3::{Scope, controls::RawControl};
use tokio::{
    sync::Notify,
    time::{Instant, sleep, timeout},
};
use tokio_util::task::AbortOnDropHandle;

use super::{
    controller::committed_usn,
    dirsync::{failed, show_deleted},
    error::DirectoryError,
    session::{Login, Query, Session, code},
};
use crate::{net::backoff::Backoff, ops::metrics::METRICS};

/// Change notification (MS-ADTS 3.1.1.3.4.1.9). It has no value.
pub(super) const NOTIFICATION: &str = "1.2.840.113556.1.4.528";
/// How often a connection on which nothing comes is asked whether it still stands. AD closes one
/// that is idle for 900 s (MS-ADTS 3.1.1.3.4.6, MaxConnIdleTime).
const PROBE: Duration = Duration::from_secs(60);
/// How long the answer to the smallest question may take.
const ANSWER: Duration = Duration::from_secs(5);
/// Samba ends a notification when the ticket of its bind does, by default after ten hours: a new
/// connection before that is no loss.
const RENEW: Duration = Duration::from_secs(4 * 3600);
/// Logins that are refused again and again would lock the account.
const REFUSED: Duration = Duration::from_secs(60);

/// Rings when there may be something to see. Dropped, it ends.
#[derive(Debug)]
pub struct Bell {
    kind: &'static str,
    wire: Ringer,
    _task: AbortOnDropHandle<()>,
}

/// The other end of a [`Bell`].
#[derive(Debug, Clone, Default)]
pub struct Ringer {
    rung: Arc<Notify>,
    stands: Arc<AtomicBool>,
}

impl Bell {
    /// A bell that `task` rings.
    pub fn start<F>(kind: &'static str, task: impl FnOnce(Ringer) -> F) -> Bell
    where
        F: Future<Output = ()> + Send + 'static,
    {
        let wire = Ringer::default();
        let task = tokio::spawn(task(wire.clone()));
        Bell { kind, wire, _task: AbortOnDropHandle::new(task) }
    }

    /// Its name, as in `directory.doorbell`.
    pub fn kind(&self) -> &'static str {
        self.kind
    }

    /// Waits until it rings, at once if it rang since the last time. Cancel-safe.
    pub async fn ring(&self) {
        self.wire.rung.notified().await;
    }

    /// Whether its connection stands: then whoever has seen everything by the last ring has seen
    /// everything there is, as far as the server tells at once.
    pub fn stands(&self) -> bool {
        self.wire.stands.load(Ordering::Relaxed)
    }
}

impl Ringer {
    /// Rings.
    pub fn ring(&self) {
        self.rung.notify_one();
    }

    /// The connection stands, or no longer. Either is a reason to look: before, something may have
    /// been missed, and after, the server may be gone.
    pub fn stands(&self, stands: bool) {
        if self.stands.swap(stands, Ordering::Relaxed) != stands {
            METRICS.doorbell_connected.set(stands.into());
            self.ring();
        }
    }
}

impl Drop for Bell {
    fn drop(&mut self) {
        METRICS.doorbell_connected.set(0);
    }
}

/// How a domain controller says that something changed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum How {
    /// It sends what changes.
    Notification,
    /// It is asked so often for the highest USN in use.
    Usn(Duration),
}

impl How {
    pub fn as_str(self) -> &'static str {
        match self {
            How::Notification => "notification",
            How::Usn(_) => "usn",
        }
    }
}

/// Listens to one domain controller.
pub(super) struct Listener {
    pub login: Login,
    pub url: String,
    pub base_dn: String,
    pub how: How,
}

impl Listener {
    /// The bell of this domain controller.
    pub fn start(self) -> Bell {
        Bell::start(self.how.as_str(), |ringer| self.keep(ringer))
    }

    async fn keep(self, ringer: Ringer) {
        let mut backoff = Backoff::reconnect();
        loop {
            let listened = match self.how {
                How::Notification => self.notified(&ringer).await,
                How::Usn(interval) => self.poll(interval, &ringer).await,
            };
            let Err(error) = listened else { continue };
            if ringer.stands.load(Ordering::Relaxed) {
                backoff.reset();
                ringer.stands(false);
            }
            let least = if error.is_setup() { REFUSED } else { Duration::ZERO };
            let delay = backoff.next_delay().max(least);
            tracing::warn!(server = %self.url, doorbell = self.how.as_str(), %error,
                retry_in = ?delay, "the doorbell is silent, the sweep goes on without it");
            sleep(delay).await;
        }
    }

    /// Until the connection is to be renewed, or is lost.
    async fn notified(&self, ringer: &Ringer) -> Result<(), DirectoryError> {
        let mut session = Session::open(&self.url, &self.login).await?;
        let attributes = ["1.1".to_owned()];
        let notification = RawControl { ctype: NOTIFICATION.into(), crit: true, val: None };
        let mut changes = session
            .stream(Query {
                base: &self.base_dn,
                scope: Scope::Subtree,
                // The only filter that AD takes here.
                filter: "(objectClass=*)",
                attributes: &attributes,
                // Windows tells of deletions without it, Samba does not.
                controls: vec![notification, show_deleted()],
            })
            .await?;
        ringer.stands(true);
        let end = Instant::now() + RENEW;
        while Instant::now() < end {
            let asked = tokio::select! {
                change = changes.next() => match change? {
                    Some(_) => {
                        ringer.ring();
                        continue;
                    }
                    None => {
                        let done = changes.finish().await;
                        return Err(match done.result.rc {
                            code::BUSY | code::ADMIN_LIMIT_EXCEEDED => DirectoryError::failed(
                                "listening for changes",
                                "the server has too many notifications on this connection",
                            ),
                            _ => failed("listening for changes", &done),
                        });
                    }
                },
                () = sleep(PROBE) => timeout(ANSWER, session.probe()).await,
            };
            asked.map_err(|_| self.silent())??;
        }
        Ok(())
    }

    async fn poll(&self, interval: Duration, ringer: &Ringer) -> Result<(), DirectoryError> {
        let mut session = Session::open(&self.url, &self.login).await?;
        let mut last = None;
        let end = Instant::now() + RENEW;
        while Instant::now() < end {
            let usn = timeout(ANSWER, committed_usn(&mut session));
            let usn = usn.await.map_err(|_| self.silent())??;
            ringer.stands(true);
            if last.replace(usn) != Some(usn) {
                ringer.ring();
            }
            sleep(interval).await;
        }
        Ok(())
    }

    fn silent(&self) -> DirectoryError {
        DirectoryError::unreachable(&self.url, "the server stopped answering")
    }
}
