//! Which properties of which user another source has been found to master: Graph said so when we
//! wrote them. They are not tried again for a while.

use std::{
    collections::BTreeSet,
    sync::{Mutex, PoisonError},
    time::Duration,
};

use tokio::time::Instant;
use uuid::Uuid;

use super::{pace::REMEMBERED, recent::Recent};

/// After so long a property is tried again: the source of a user can be changed.
const AGE: Duration = Duration::from_secs(3600);

/// What was learned from refusals, in bounded memory: users by their number, properties because
/// only mapped ones are written.
#[derive(Debug)]
pub struct Sources(Mutex<Recent<Uuid, Learned>>);

#[derive(Debug)]
struct Learned {
    since: Instant,
    properties: BTreeSet<String>,
}

impl Sources {
    /// Nothing was learned.
    pub fn new() -> Sources {
        Sources(Mutex::new(Recent::new(REMEMBERED)))
    }

    /// Graph refused this property of the user.
    pub fn learn(&self, object: Uuid, property: &str, now: Instant) {
        let mut all = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let known = all.get(object).filter(|learned| now - learned.since < AGE);
        let mut properties = known.map(|learned| learned.properties.clone()).unwrap_or_default();
        properties.insert(property.to_owned());
        all.insert(object, Learned { since: now, properties });
    }

    /// The properties of the user that Graph refused lately.
    pub fn of(&self, object: Uuid, now: Instant) -> BTreeSet<String> {
        let mut all = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let known = all.get(object).filter(|learned| now - learned.since < AGE);
        known.map(|learned| learned.properties.clone()).unwrap_or_default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_refused_is_known_for_a_while_and_for_that_user_alone() {
        let (sources, now) = (Sources::new(), Instant::now());
        let (ada, bob) = (Uuid::from_u128(1), Uuid::from_u128(2));
        sources.learn(ada, "city", now);
        sources.learn(ada, "state", now + AGE / 2);
        assert_eq!(sources.of(ada, now + AGE).len(), 2);
        assert!(sources.of(bob, now).is_empty());
        assert!(sources.of(ada, now + AGE * 2).is_empty());
    }
}
