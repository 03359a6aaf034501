//! The people of a sandbox who are in both of its halves.

use entra_relay::sandbox::directory::UserSnapshot;
use entra_relay::sandbox::{Sandbox, value};

/// Users with a twin, enabled or not.
pub fn people(sandbox: &Sandbox) -> Vec<UserSnapshot> {
    let mut users = sandbox.directory.users();
    users.retain(|user| sandbox.twins.contains_key(&user.guid) && !user.deleted);
    users
}

/// A user's sAMAccountName.
pub fn name(user: &UserSnapshot) -> &str {
    value(user, "sAMAccountName").unwrap()
}
