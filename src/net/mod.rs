//! What every connection shares: trust in certificates, and patience.

pub mod backoff;
pub mod tls;
