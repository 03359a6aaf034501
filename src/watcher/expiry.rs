//! What follows when a password expires in the directory.
//!
//! Entra takes "must change" only together with a password, and by then nobody has it in plaintext.
//! So what was told is kept as it was, sealed to the consumers, and told once more.

use jiff::{SignedDuration, Timestamp};
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use super::{passwords::Passwords, pipeline::WatchError, record::Record};
use crate::{directory::Directory, event::SealedPassword};

/// How soon the directory is asked again about a password that never expires: that may change.
const AGAIN: SignedDuration = SignedDuration::from_hours(24);

/// The last password that was told of a user.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Kept {
    /// As it was told.
    pub sealed: SealedPassword,
    /// When to ask the directory whether it has expired.
    pub look: Timestamp,
}

impl Passwords {
    /// What is kept of a password that is told; nothing where Entra asks for another one already.
    pub(super) async fn keep(
        &self,
        directory: &mut dyn Directory,
        object: Uuid,
        sealed: &SealedPassword,
        now: Timestamp,
    ) -> Result<Option<Box<Kept>>, WatchError> {
        if !self.enforce_expiry || sealed.must_change {
            return Ok(None);
        }
        let look = directory.password_expires(object).await?.unwrap_or_else(|| later(now));
        Ok(Some(Box::new(Kept { sealed: sealed.clone(), look })))
    }

    /// The password that is kept, if the user must change it by now: to be told once more.
    pub(super) async fn expired(
        &self,
        directory: &mut dyn Directory,
        object: Uuid,
        (known, record): (Option<&Record>, &mut Record),
        now: Timestamp,
    ) -> Result<Option<SealedPassword>, WatchError> {
        let demanded = record.must_change_password()
            && known.is_some_and(|known| !known.must_change_password());
        let Some(kept) = record.told.kept.as_mut().filter(|kept| demanded || kept.look <= now)
        else {
            return Ok(None);
        };
        match directory.password_expires(object).await? {
            Some(expires) if expires <= now => {
                tracing::info!(%object, "a password has expired: Entra asks for another one");
                let sealed = record.told.kept.take().map(|kept| kept.sealed);
                let expires = self.good_until(now);
                Ok(sealed.map(|sealed| SealedPassword { must_change: true, expires, ..sealed }))
            }
            expires => {
                kept.look = expires.unwrap_or_else(|| later(now));
                Ok(None)
            }
        }
    }
}

fn later(now: Timestamp) -> Timestamp {
    now.checked_add(AGAIN).unwrap_or(Timestamp::MAX)
}
