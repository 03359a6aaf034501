//! Whose turn it is: each user in order, all users alike, and what a take-over holds up. Pure.

use std::collections::{HashMap, VecDeque};

use tokio::time::Instant;
use uuid::Uuid;

use super::mailbox::{Batch, Mailbox};
use crate::event::{Detail, Event};

/// What is to be done with a batch.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Work {
    /// Apply and settle it.
    Apply,
    /// Apply it, and once more after the take-over: until then a former holder's late request may
    /// undo it.
    Secure,
    /// Settle it: what follows takes the access away again, or sets another password.
    Supersede,
}

/// The waiting events of all users.
#[derive(Debug)]
pub struct Schedule<T> {
    /// Users with something waiting or at work.
    users: HashMap<Uuid, User<T>>,
    /// Users whose turn comes, in this order.
    ready: VecDeque<Uuid>,
    /// Users that wait for the end of a take-over, the first to go on first. One that is woken
    /// before stays in here.
    delayed: VecDeque<(Instant, Uuid)>,
}

#[derive(Debug)]
struct User<T> {
    mailbox: Mailbox<T>,
    state: State,
    /// The sequence of what was applied, but is to be applied again.
    secured: Option<u64>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    Ready,
    Working,
    Delayed,
}

impl<T> Schedule<T> {
    /// Nobody.
    pub fn new() -> Schedule<T> {
        Schedule { users: HashMap::new(), ready: VecDeque::new(), delayed: VecDeque::new() }
    }

    /// Takes an event in.
    pub fn push(&mut self, event: Event, receipt: T) {
        let object = event.object;
        let ends_access = ends_access(&event);
        let user = self.users.entry(object).or_insert_with(|| {
            self.ready.push_back(object);
            User { mailbox: Mailbox::new(), state: State::Ready, secured: None }
        });
        user.mailbox.push(event, receipt);
        if ends_access && user.state == State::Delayed {
            user.state = State::Ready;
            self.ready.push_back(object);
        }
    }

    /// What is next. While a take-over lasts, until `take_over`, enabling waits; disabling does
    /// not, but is done twice. The user's next turn comes after [`Schedule::end`].
    pub fn next(&mut self, take_over: Option<Instant>) -> Option<(Batch<T>, Work)> {
        loop {
            let object = self.ready.pop_front()?;
            let Some(user) = self.users.get_mut(&object) else { continue };
            let enables = user.mailbox.peek().is_some_and(enables);
            let work = match take_over {
                _ if user.mailbox.peek().is_some_and(|event| user.is_outdated(event)) => {
                    Work::Supersede
                }
                Some(_) if enables && user.mailbox.iter().any(ends_access) => Work::Supersede,
                Some(until) if enables => {
                    user.state = State::Delayed;
                    self.delayed.push_back((until, object));
                    continue;
                }
                Some(_) if user.mailbox.peek().is_some_and(|event| user.needs_securing(event)) => {
                    Work::Secure
                }
                _ => Work::Apply,
            };
            user.state = State::Working;
            if let Some(batch) = user.mailbox.next() {
                return Some((batch, work));
            }
        }
    }

    /// The user's turn is over: whoever else waits comes first.
    pub fn end(&mut self, object: Uuid) {
        let Some(user) = self.users.get_mut(&object) else { return };
        if user.mailbox.is_empty() {
            self.users.remove(&object);
        } else {
            user.state = State::Ready;
            self.ready.push_back(object);
        }
    }

    /// The user's turn is over, but what it did is to be done once more at the end of the
    /// take-over.
    pub fn again(&mut self, batch: Batch<T>, take_over: Option<Instant>) {
        let Batch { event, parcels } = batch;
        let Some(user) = self.users.get_mut(&event.object) else { return };
        user.secured = Some(event.sequence);
        user.mailbox.put_back(parcels);
        match take_over {
            Some(until) => {
                user.state = State::Delayed;
                self.delayed.push_back((until, event.object));
            }
            None => self.end(event.object),
        }
    }

    /// When the next user goes on that a take-over held up.
    pub fn wakes_at(&self) -> Option<Instant> {
        self.delayed.front().map(|(until, _)| *until)
    }

    /// Lets those go on whose time has come.
    pub fn wake(&mut self, now: Instant) {
        while let Some((until, object)) = self.delayed.front().copied()
            && until <= now
        {
            self.delayed.pop_front();
            if let Some(user) = self.users.get_mut(&object)
                && user.state == State::Delayed
            {
                user.state = State::Ready;
                self.ready.push_back(object);
            }
        }
    }
}

impl<T> User<T> {
    /// Whether it sets a password that another one follows.
    fn is_outdated(&self, event: &Event) -> bool {
        let later = |other: &Event| sets_password(other) && other.sequence > event.sequence;
        sets_password(event) && self.mailbox.iter().any(later)
    }

    fn needs_securing(&self, event: &Event) -> bool {
        ends_access(event) && self.secured != Some(event.sequence)
    }
}

fn enables(event: &Event) -> bool {
    matches!(event.detail, Detail::AccountEnabled { .. })
}

fn sets_password(event: &Event) -> bool {
    matches!(event.detail, Detail::PasswordSet(_))
}

fn ends_access(event: &Event) -> bool {
    matches!(event.detail, Detail::AccountDisabled { .. } | Detail::UserDeleted)
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use jiff::Timestamp;

    use super::*;
    use crate::event::{Identity, Reason};

    const DISABLED: Detail = Detail::AccountDisabled { reason: Reason::Disabled };
    const ENABLED: Detail = Detail::AccountEnabled { ended: Reason::Disabled };

    /// A schedule whose receipts are the sequences.
    #[derive(Debug)]
    struct Desk(Schedule<u64>);

    impl Desk {
        fn new(events: &[(u128, u64, Detail)]) -> Desk {
            let mut desk = Desk(Schedule::new());
            events.iter().for_each(|(object, sequence, detail)| {
                desk.push(*object, *sequence, detail.clone());
            });
            desk
        }

        fn push(&mut self, object: u128, sequence: u64, detail: Detail) {
            let (object, identity) = (Uuid::from_u128(object), Identity::default());
            let time = Timestamp::UNIX_EPOCH;
            let event = Event::new("ldap:///dc=x", object, sequence, time, identity, detail);
            self.0.push(event, sequence);
        }

        /// Takes the next batch and ends its turn.
        fn turn(&mut self, take_over: Option<Instant>) -> Option<(u64, Work)> {
            let (batch, work) = self.0.next(take_over)?;
            let sequence = batch.event.sequence;
            match work {
                Work::Secure => self.0.again(batch, take_over),
                _ => self.0.end(batch.event.object),
            }
            Some((sequence, work))
        }
    }

    #[test]
    fn a_user_has_one_turn_at_a_time_and_then_comes_last() {
        let mut desk = Desk::new(&[(1, 1, DISABLED), (2, 2, DISABLED), (1, 3, ENABLED)]);
        let (first, _) = desk.0.next(None).expect("user 1");
        assert_eq!(desk.turn(None), Some((2, Work::Apply)));
        assert!(desk.0.next(None).is_none(), "user 1 is at work");
        desk.push(3, 4, DISABLED);
        desk.0.end(first.event.object);
        assert_eq!(desk.turn(None), Some((4, Work::Apply)));
        assert_eq!(desk.turn(None), Some((3, Work::Apply)));
        assert!(desk.0.users.is_empty());
    }

    #[test]
    fn after_a_take_over_enabling_waits_and_disabling_is_done_twice() {
        let until = Instant::now();
        let before = until.checked_sub(Duration::from_secs(1)).expect("the machine is up");
        let mut desk = Desk::new(&[(1, 1, ENABLED), (2, 2, DISABLED), (2, 3, ENABLED)]);
        assert_eq!(desk.turn(Some(until)), Some((2, Work::Secure)));
        assert_eq!(desk.turn(Some(until)), None);
        assert_eq!(desk.0.wakes_at(), Some(until));
        desk.0.wake(before);
        assert_eq!(desk.turn(None), None);
        desk.0.wake(until);
        assert_eq!(desk.turn(None), Some((1, Work::Apply)));
        assert_eq!(desk.turn(None), Some((2, Work::Apply)));
        assert_eq!(desk.turn(None), Some((3, Work::Apply)));
        assert!(desk.0.users.is_empty());
    }

    #[test]
    fn a_second_take_over_holds_up_what_was_secured_no_longer() {
        let now = Instant::now();
        let later = now + Duration::from_secs(1);
        let mut desk = Desk::new(&[(1, 1, DISABLED), (2, 2, ENABLED)]);
        assert_eq!(desk.turn(Some(now)), Some((1, Work::Secure)));
        assert_eq!(desk.turn(Some(now)), None);
        desk.0.wake(now);
        assert_eq!(desk.turn(Some(later)), Some((1, Work::Apply)));
        assert_eq!(desk.turn(Some(later)), None);
        desk.0.wake(later);
        assert_eq!(desk.turn(None), Some((2, Work::Apply)));
    }

    #[test]
    fn a_disable_never_waits_for_the_enable_before_it() {
        let until = Instant::now();
        let mut desk = Desk::new(&[(1, 1, ENABLED)]);
        assert_eq!(desk.turn(Some(until)), None);
        desk.push(1, 2, DISABLED);
        assert_eq!(desk.turn(Some(until)), Some((1, Work::Supersede)));
        assert_eq!(desk.turn(Some(until)), Some((2, Work::Secure)));
        desk.0.wake(until);
        assert_eq!(desk.turn(None), Some((2, Work::Apply)));
        assert!(desk.0.users.is_empty());
    }
}
