//! How a new password comes from a domain controller to the watcher.
//!
//! Whoever has it at the moment it is set (a hook on the domain controller) [`submit`]s it, and
//! the watcher's [`Intake`] takes it in: over a Unix socket or over TLS with client certificates,
//! one small HTTP request per connection. It is read into memory that is wiped, and sealed before
//! it is kept. The answers are the same whoever the user is.

mod account;
mod client;
mod http;
mod intake;
mod limit;
mod listen;
mod quality;
mod samba;
#[cfg(test)]
mod tests;

pub use self::{
    account::Account,
    client::{ClientTls, SubmitError, submit},
    http::Submission,
    intake::{Intake, Shelf},
    listen::{Address, Server},
    quality::is_complex,
    samba::{LdifError, read_ldif},
};
