//! What goes on in a directory all day.

use std::{convert::Infallible, time::Duration};

use tokio::time::{MissedTickBehavior, interval};

use super::{
    administrator::{Administrator, AdministratorError},
    directory::SandboxDirectory,
    value,
};

/// Does what people and administrators do, one user after the other: titles change, and every fifth
/// time an account is disabled or enabled. Ends only by failing.
pub async fn change(
    directory: &SandboxDirectory,
    every: Duration,
) -> Result<Infallible, AdministratorError> {
    let mut administrator = Administrator::connect(directory).await?;
    let users = directory.users();
    let people: Vec<_> = users.iter().filter(|user| value(user, "displayName").is_some()).collect();
    let mut ticks = interval(every);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut round = 0_usize;
    loop {
        ticks.tick().await;
        if let Some(user) = people.get(round % people.len().max(1)) {
            // Each account that is disabled is enabled by the next turn but one.
            match round % 10 {
                4 => administrator.set_enabled(&user.dn, false).await?,
                9 => {
                    administrator.set_enabled(&people[(round - 5) % people.len()].dn, true).await?
                }
                _ => administrator.set(&user.dn, "title", &format!("Title {round}")).await?,
            }
        }
        round = round.wrapping_add(1);
    }
}
