//! Faults that a test can switch on.

use std::sync::atomic::{AtomicU32, Ordering};

use ldap3_proto::LdapResultCode;
use tokio::sync::watch;

/// The switches, all off at first.
#[derive(Debug, Default)]
pub struct Faults {
    /// The result code that every DirSync request gets; zero is none.
    dirsync: AtomicU32,
    held: watch::Sender<bool>,
}

impl Faults {
    /// Refuses every DirSync request with this result code, or no longer.
    pub fn refuse_dirsync(&self, code: Option<u32>) {
        self.dirsync.store(code.unwrap_or(0), Ordering::Relaxed);
    }

    /// The code that DirSync is to be refused with, `other` if it is not one of LDAP.
    pub fn dirsync(&self) -> Option<LdapResultCode> {
        match self.dirsync.load(Ordering::Relaxed) {
            0 => None,
            code => {
                Some(LdapResultCode::try_from(i64::from(code)).unwrap_or(LdapResultCode::Other))
            }
        }
    }

    /// Holds change notifications back, or lets them go.
    pub fn hold_notifications(&self, hold: bool) {
        self.held.send_replace(hold);
    }

    /// Waits while notifications are held back.
    pub async fn notifications_released(&self) {
        // The sender lives as long as `self`, so waiting cannot fail.
        let _ = self.held.subscribe().wait_for(|held| !held).await;
    }
}
