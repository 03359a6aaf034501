//! `pause` and `resume`: whether the consumer of this configuration applies anything.

use std::{path::Path, process::ExitCode};

use super::reach;
use crate::ops::control::protocol::{Reply, Request};

/// Pauses, or goes on.
pub async fn main(config: &Path, request: Request) -> anyhow::Result<ExitCode> {
    let paused = request == Request::Pause;
    let mut replies = reach::ask(config, request).await?;
    while let Some(reply) = replies.next().await? {
        if let Reply::Switched { changed, running } = reply {
            println!("{}", text(paused, changed, running));
        }
    }
    Ok(ExitCode::SUCCESS)
}

fn text(paused: bool, changed: bool, running: bool) -> &'static str {
    match (paused, changed, running) {
        (true, true, true) => "Paused: events wait in the queue, or go to other consumers.",
        (true, true, false) => "No process runs: the next one begins paused.",
        (true, false, _) => "It was paused already.",
        (false, true, true) => "Applying again.",
        (false, true, false) => "No process runs: the next one begins applying.",
        (false, false, _) => "It was not paused.",
    }
}
