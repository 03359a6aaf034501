//! entra-relay
