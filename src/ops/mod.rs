//! How the process is run: metrics, health, status page, control, logs, traces, shutdown.

pub mod admin;
pub mod control;
pub mod dead_letters;
pub mod health;
pub mod log;
pub mod memory;
pub mod metrics;
mod page;
pub mod pause;
pub mod queue_depth;
pub mod shutdown;
pub mod status;
pub mod traces;
