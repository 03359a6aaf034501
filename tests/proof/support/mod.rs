//! The servers and helpers that the tests stand on.

pub mod browser;
pub mod ca;
pub mod dirsrv;
mod http;
pub mod loopback;
pub mod people;
pub mod process;
pub mod prometheus;
pub mod proxy;
pub mod rabbit;
pub mod relay;
pub mod samba;
pub mod scale;
pub mod site;
pub mod slapd;
pub mod told;
pub mod twins;
pub mod wait;
