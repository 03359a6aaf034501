//! The servers and helpers that the tests stand on.

mod ca;
mod loopback;
pub mod process;
pub mod rabbit;
pub mod relay;
pub mod samba;
pub mod scale;
pub mod site;
pub mod wait;
