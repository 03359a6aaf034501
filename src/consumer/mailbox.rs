//! What waits for one user, and what of it is done next. Pure.

use std::{collections::VecDeque, mem};

use crate::event::{Detail, Event};

/// An event, and what it came with.
#[derive(Debug)]
pub struct Parcel<T> {
    /// The event.
    pub event: Event,
    /// What settles it.
    pub receipt: T,
}

/// What is done in one go: an event, or several that came to one.
#[derive(Debug)]
pub struct Batch<T> {
    /// What is to be applied.
    pub event: Event,
    /// What it stands for, the newest last.
    pub parcels: Vec<Parcel<T>>,
}

/// The waiting events of one user, in the order in which they came.
#[derive(Debug)]
pub struct Mailbox<T> {
    waiting: VecDeque<Parcel<T>>,
}

impl<T> Mailbox<T> {
    /// An empty one.
    pub fn new() -> Mailbox<T> {
        Mailbox { waiting: VecDeque::new() }
    }

    /// Whether nothing waits.
    pub fn is_empty(&self) -> bool {
        self.waiting.is_empty()
    }

    /// Takes a delivery in.
    pub fn push(&mut self, event: Event, receipt: T) {
        self.waiting.push_back(Parcel { event, receipt });
    }

    /// Puts back what was taken last.
    pub fn put_back(&mut self, parcels: Vec<Parcel<T>>) {
        parcels.into_iter().rev().for_each(|parcel| self.waiting.push_front(parcel));
    }

    /// The event at the head.
    pub fn peek(&self) -> Option<&Event> {
        self.iter().next()
    }

    /// All events, in order.
    pub fn iter(&self) -> impl Iterator<Item = &Event> {
        self.waiting.iter().map(|parcel| &parcel.event)
    }

    /// What is next: the event at the head, together with the changes of attributes that follow
    /// it if it is one too. Everything else keeps its place: a disable that an enable follows is
    /// not undone by it but applied before it.
    pub fn next(&mut self) -> Option<Batch<T>> {
        let first = self.waiting.pop_front()?;
        let mut parcels = vec![first];
        if is_attributes(&parcels[0].event) {
            while self.waiting.front().is_some_and(|next| is_attributes(&next.event)) {
                parcels.extend(self.waiting.pop_front());
            }
            parcels.sort_by_key(|parcel| parcel.event.sequence);
        }
        Some(Batch { event: merge(&parcels), parcels })
    }
}

fn is_attributes(event: &Event) -> bool {
    matches!(event.detail, Detail::AttributesModified { .. })
}

/// The newest event; if it changes attributes, with what the older ones changed besides.
fn merge<T>(parcels: &[Parcel<T>]) -> Event {
    let (newest, older) = parcels.split_last().expect("a batch has at least one parcel");
    let mut event = newest.event.clone();
    if let Detail::AttributesModified { attributes, references } = &mut event.detail {
        let newest = (mem::take(attributes), mem::take(references));
        for parcel in older {
            if let Detail::AttributesModified { attributes: a, references: r } =
                &parcel.event.detail
            {
                attributes.extend(a.clone());
                references.extend(r.clone());
            }
        }
        attributes.extend(newest.0);
        references.extend(newest.1);
    }
    event
}

#[cfg(test)]
mod tests {
    use jiff::Timestamp;
    use uuid::Uuid;

    use super::*;
    use crate::event::{Identity, Reason};

    fn event(sequence: u64, detail: Detail) -> Event {
        let (object, identity) = (Uuid::from_u128(7), Identity::default());
        Event::new("ldap:///dc=x", object, sequence, Timestamp::UNIX_EPOCH, identity, detail)
    }

    fn attributes(sequence: u64, values: &[(&str, &str)]) -> Event {
        let own = |(name, value): &(&str, &str)| ((*name).to_owned(), vec![(*value).to_owned()]);
        event(sequence, Detail::modified(values.iter().map(own).collect()))
    }

    fn filled(events: Vec<Event>) -> Mailbox<u64> {
        let mut mailbox = Mailbox::new();
        for event in events {
            let sequence = event.sequence;
            mailbox.push(event, sequence);
        }
        mailbox
    }

    fn receipts(batch: &Batch<u64>) -> Vec<u64> {
        batch.parcels.iter().map(|parcel| parcel.receipt).collect()
    }

    #[test]
    fn waiting_attributes_become_one_event_with_the_newest_values() {
        let mut mailbox = filled(vec![
            attributes(1, &[("title", "a"), ("l", "x")]),
            attributes(3, &[("title", "c")]),
            attributes(2, &[("title", "b"), ("co", "y")]),
        ]);
        let batch = mailbox.next().expect("a batch");
        assert_eq!(receipts(&batch), [1, 2, 3]);
        assert_eq!(batch.event.sequence, 3);
        let expected = attributes(3, &[("title", "c"), ("l", "x"), ("co", "y")]);
        assert_eq!(batch.event.detail, expected.detail);
        assert!(mailbox.next().is_none() && mailbox.is_empty());
    }

    #[test]
    fn a_disable_and_the_enable_that_follows_are_done_one_after_the_other() {
        let mut mailbox = filled(vec![
            event(1, Detail::AccountDisabled { reason: Reason::Disabled }),
            event(2, Detail::AccountEnabled { ended: Reason::Disabled }),
            attributes(3, &[("title", "a")]),
            event(4, Detail::UserDeleted),
            attributes(5, &[("title", "b")]),
        ]);
        for sequence in 1..=5 {
            let batch = mailbox.next().expect("a batch");
            assert_eq!((receipts(&batch), batch.event.sequence), (vec![sequence], sequence));
        }
        assert!(mailbox.is_empty());
    }
}
