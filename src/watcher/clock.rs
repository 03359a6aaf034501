//! Whether our clock can be trusted where it decides about accounts.

use jiff::{SignedDuration, Timestamp};

use crate::directory::{Directory, DirectoryError};

/// How far apart the clocks may be. Beyond, Kerberos refuses to work (RFC 4120 section 5.2.8 and
/// the domain's default policy), so nobody lives with such a clock for long.
const TOLERANCE: SignedDuration = SignedDuration::from_mins(5);

/// Whether our time and the directory's disagree. One that tells no time is not contradicted.
pub async fn is_off(directory: &mut dyn Directory, now: Timestamp) -> Result<bool, DirectoryError> {
    let Some(theirs) = directory.time().await? else { return Ok(false) };
    let is_off = now.duration_since(theirs).abs() > TOLERANCE;
    if is_off {
        tracing::error!(ours = %now, %theirs, server = directory.server(),
            "our clock and the directory's disagree: what expires is held; mend the clock");
    }
    Ok(is_off)
}
