//! The servers and helpers that the tests stand on.

mod ca;
mod loopback;
pub mod process;
pub mod rabbit;
#[allow(dead_code, reason = "the tests of the whole path, which start the program, come next")]
pub mod relay;
pub mod samba;
pub mod wait;
