//! Logs: structured, to standard error, as text or JSON.

use std::io::IsTerminal;

use clap::ValueEnum;
use tracing_subscriber::EnvFilter;

/// The form of log lines.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, ValueEnum)]
pub enum Format {
    /// For people.
    #[default]
    Text,
    /// One JSON object per line.
    Json,
}

/// What is logged unless `RUST_LOG` says otherwise. The libraries' own lines are noise: what they
/// report comes back to us as errors.
const DEFAULT: &str = "warn,entra_relay=info,audit=info,lapin=off,ldap3=off";

/// What commands log that print results: errors, and what must remain on record.
const QUIET: &str = "error,audit=info,lapin=off";

/// Starts logging. Call it once; `quiet` leaves warnings alone.
pub fn start(format: Format, quiet: bool) {
    let default = if quiet { QUIET } else { DEFAULT };
    let filter = EnvFilter::try_from_default_env().unwrap_or_else(|_| EnvFilter::new(default));
    let lines = tracing_subscriber::fmt().with_env_filter(filter).with_writer(std::io::stderr);
    let colour = std::io::stderr().is_terminal() && std::env::var_os("NO_COLOR").is_none();
    // Starting twice, as tests do, keeps the first.
    let _already_started = match format {
        Format::Text => lines.with_target(false).with_ansi(colour).try_init(),
        Format::Json => lines.json().flatten_event(true).try_init(),
    };
}
