//! `relay.yaml`: typed and validated.

pub mod model;
pub mod secret;

pub use model::Config;
pub use secret::Secret;
