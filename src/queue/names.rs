//! What the queues are called, alike in both implementations.

use uuid::Uuid;

use super::{ParkingDelay, Queue, partition_of};
use crate::event::Lane;

/// The queue of an object's messages.
pub(super) fn name_for(queue: Queue, object: Uuid, partitions: u16) -> String {
    name(queue, partition_of(object, partitions))
}

/// One queue for each partition of a lane, else a single one.
pub(super) fn names_of(queue: Queue, partitions: u16) -> Vec<String> {
    let count = if matches!(queue, Queue::Lane(_)) { partitions.max(1) } else { 1 };
    (0..count).map(|partition| name(queue, partition)).collect()
}

/// Every queue there is.
pub(super) fn all_queues() -> impl Iterator<Item = Queue> {
    let lanes = Lane::ALL.into_iter().map(Queue::Lane);
    let parked = ParkingDelay::ALL.into_iter().map(Queue::Parked);
    lanes.chain([Queue::Refresh]).chain(parked).chain([Queue::DeadLetters, Queue::Outcomes])
}

fn name(queue: Queue, partition: u16) -> String {
    match queue {
        Queue::Lane(lane) => format!("relay.{}.{partition}", lane.as_str()),
        Queue::Refresh => "relay.refresh".into(),
        Queue::Parked(delay) => format!("relay.parked.{}", delay.as_str()),
        Queue::DeadLetters => "relay.dead-letters".into(),
        Queue::Outcomes => "relay.outcomes".into(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lanes_are_partitioned_and_nothing_else() {
        let names: Vec<_> = all_queues().flat_map(|queue| names_of(queue, 2)).collect();
        let expected = [
            "relay.urgent.0",
            "relay.urgent.1",
            "relay.bulk.0",
            "relay.bulk.1",
            "relay.refresh",
            "relay.parked.15s",
            "relay.parked.1m",
            "relay.parked.5m",
            "relay.parked.30m",
            "relay.dead-letters",
            "relay.outcomes",
        ];
        assert_eq!(names, expected);
    }

    #[test]
    fn an_object_has_one_partition() {
        let object = Uuid::from_u128(7);
        let lane = Queue::Lane(Lane::Bulk);
        assert!(names_of(lane, 4).contains(&name_for(lane, object, 4)));
        assert_eq!(name_for(Queue::Refresh, object, 4), "relay.refresh");
    }
}
