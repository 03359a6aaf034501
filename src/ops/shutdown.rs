//! The end of a process: asked for by a first signal, at once by a second.

use std::{io, process, time::Duration};

use tokio::signal::unix::{SignalKind, signal};
use tokio_util::sync::CancellationToken;

/// How long work in progress may take after the first signal. It is less than the 30 seconds that
/// container runtimes give before they kill.
pub const GRACE: Duration = Duration::from_secs(25);

/// Exit code of a process that was ended by a second signal: 128 + SIGTERM, as shells report it.
const KILLED: i32 = 143;

/// A token that the first SIGTERM or SIGINT cancels. A second one ends the process. In a container
/// the relay is process 1, for which the kernel has no default action on signals.
pub fn on_signal() -> io::Result<CancellationToken> {
    let token = CancellationToken::new();
    let mut terminate = signal(SignalKind::terminate())?;
    let mut interrupt = signal(SignalKind::interrupt())?;
    let asked = token.clone();
    tokio::spawn(async move {
        let mut first = true;
        loop {
            tokio::select! {
                _ = terminate.recv() => {}
                _ = interrupt.recv() => {}
            }
            if !first {
                tracing::warn!("second signal, ending now");
                process::exit(KILLED);
            }
            first = false;
            tracing::info!(grace = ?GRACE, "signal received, finishing what is in hand");
            asked.cancel();
        }
    });
    Ok(token)
}
