//! Microsoft Graph: who we are to it, what we ask of it, and what its answers mean.
//!
//! [`GraphClient`] sends a request once, renewing the token after a 401; whether and when a failed
//! one is tried again is for [`retry`] to say and for the caller to do, because only the caller
//! knows what else waits. How fast requests may go is the matter of [`quota`]. [`GraphError`] is typed by what there is to do about it.

mod access;
mod client;
mod credential;
mod error;
mod groups;
mod listing;
mod operation;
mod password;
pub mod quota;
mod remedy;
pub mod retry;
mod set_password;
#[cfg(test)]
pub(crate) mod stub;
#[cfg(test)]
mod tests;
mod token;
mod trace;
mod transport;
mod user;
mod users;
mod wire;

pub use access::Access;
pub use client::{GraphClient, SetupError};
pub use error::{ErrorKind, GraphError};
pub use groups::{Closed, Group};
pub use listing::NextPage;
pub use operation::Operation;
pub use trace::{Exchange, traced};
pub use user::User;
pub use users::{Accepted, Filter};
pub use wire::REQUEST_TIMEOUT;
