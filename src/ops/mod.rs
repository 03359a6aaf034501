//! How the process is run: metrics, health, logs, shutdown.

pub mod admin;
pub mod control;
pub mod health;
pub mod log;
pub mod metrics;
pub mod shutdown;
