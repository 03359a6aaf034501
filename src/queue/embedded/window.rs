//! What one subscription has in hand.

use std::collections::BTreeSet;

use super::store::{Found, Position, Wanted};

/// The unsettled deliveries of a subscription, over all its partitions. Pure bookkeeping.
#[derive(Debug)]
pub(super) struct Window {
    prefetch: usize,
    partitions: Vec<Partition>,
}

#[derive(Debug)]
struct Partition {
    table: String,
    in_hand: BTreeSet<u64>,
    /// Every number below is settled or in hand.
    next: u64,
}

impl Window {
    /// Nothing in hand yet.
    pub(super) fn new(tables: Vec<String>, prefetch: u16) -> Window {
        let partition = |table| Partition { table, in_hand: BTreeSet::new(), next: 0 };
        Window {
            prefetch: usize::from(prefetch.max(1)),
            partitions: tables.into_iter().map(partition).collect(),
        }
    }

    /// What there is room for.
    pub(super) fn wanted(&self) -> Vec<Wanted> {
        let room = |partition: &Partition| self.prefetch.saturating_sub(partition.in_hand.len());
        self.partitions
            .iter()
            .filter(|partition| room(partition) > 0)
            .map(|partition| Wanted {
                table: partition.table.clone(),
                from: partition.next,
                except: partition.in_hand.range(partition.next..).copied().collect(),
                limit: room(partition),
            })
            .collect()
    }

    /// Takes in hand what was read for the last [`Window::wanted`].
    pub(super) fn take(&mut self, found: &[Found]) {
        for Found { position, .. } in found {
            if let Some(partition) = self.partition(&position.table) {
                partition.in_hand.insert(position.number);
                partition.next = partition.next.max(position.number + 1);
            }
        }
    }

    /// It has left the queue.
    pub(super) fn settle(&mut self, position: &Position) {
        if let Some(partition) = self.partition(&position.table) {
            partition.in_hand.remove(&position.number);
        }
    }

    /// It goes back to its place.
    pub(super) fn release(&mut self, position: &Position) {
        if let Some(partition) = self.partition(&position.table) {
            partition.in_hand.remove(&position.number);
            partition.next = partition.next.min(position.number);
        }
    }

    fn partition(&mut self, table: &str) -> Option<&mut Partition> {
        self.partitions.iter_mut().find(|partition| partition.table == table)
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use proptest::prelude::*;

    use super::*;
    use crate::queue::contract;

    fn at(number: u64) -> Position {
        Position { table: "t".into(), number }
    }

    /// Reads as the store does.
    fn fill(window: &mut Window, queue: &BTreeSet<u64>) -> Vec<u64> {
        let mut taken = Vec::new();
        for Wanted { from, except, limit, .. } in window.wanted() {
            let numbers = queue.range(from..).filter(|n| !except.contains(n)).take(limit);
            taken.extend(numbers.copied());
        }
        let found = taken.iter().map(|number| Found {
            position: at(*number),
            seen: false,
            message: contract::message(1, 1),
        });
        window.take(&found.collect::<Vec<_>>());
        taken
    }

    proptest! {
        #[test]
        fn what_is_neither_settled_nor_in_hand_comes_lowest_first(
            prefetch in 1_u16..6,
            steps in proptest::collection::vec((0_usize..6, any::<bool>()), 0..80)
        ) {
            let mut window = Window::new(vec!["t".into()], prefetch);
            let mut queue: BTreeSet<u64> = (0..40).collect();
            let mut in_hand = BTreeSet::new();
            for (which, settle) in steps {
                let waiting = queue.difference(&in_hand).copied();
                let expected: Vec<_> =
                    waiting.take(usize::from(prefetch) - in_hand.len()).collect();
                let taken = fill(&mut window, &queue);
                prop_assert_eq!(&taken, &expected);
                in_hand.extend(taken);
                let Some(&number) = in_hand.iter().nth(which) else { continue };
                in_hand.remove(&number);
                if settle {
                    queue.remove(&number);
                    window.settle(&at(number));
                } else {
                    window.release(&at(number));
                }
            }
        }
    }
}
