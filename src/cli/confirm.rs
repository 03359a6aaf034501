//! The question before something that cannot be taken back.

use std::{
    io::{IsTerminal, Write},
    process::ExitCode,
};

use anyhow::Context;
use tokio_util::sync::CancellationToken;

use super::USAGE;

/// An exit code where nobody is there to be asked; `why` says what needs the question.
pub fn cannot_ask(why: &str) -> Option<ExitCode> {
    if std::io::stdin().is_terminal() && std::io::stderr().is_terminal() {
        return None;
    }
    eprintln!("entra-relay: {why}; say --yes, or ask for it at a terminal");
    Some(ExitCode::from(USAGE))
}

/// Asks; an exit code if the answer is no, and then says `otherwise`.
pub async fn ask(
    question: &str,
    otherwise: &str,
    shutdown: &CancellationToken,
) -> anyhow::Result<Option<ExitCode>> {
    eprint!("{question} [y/N] ");
    std::io::stderr().flush().context("cannot ask")?;
    let answer = tokio::task::spawn_blocking(|| {
        let mut line = String::new();
        std::io::stdin().read_line(&mut line).map(|_| line)
    });
    let Some(answer) = shutdown.run_until_cancelled(answer).await else {
        return Ok(Some(ExitCode::FAILURE));
    };
    let answer = answer.context("cannot ask")?.context("cannot read the answer")?;
    let agreed = matches!(answer.trim().to_lowercase().as_str(), "y" | "yes");
    if !agreed {
        eprintln!("{otherwise}");
    }
    Ok((!agreed).then_some(ExitCode::SUCCESS))
}
