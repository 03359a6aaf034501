//! How the process is run: metrics, health, logs, shutdown.

pub mod metrics;
