//! What the queue does with its file. All calls block.

use std::{
    collections::{BTreeSet, HashMap},
    path::Path,
};

use jiff::Timestamp;
use redb::{ReadableTable, ReadableTableMetadata, TableDefinition, TableHandle, WriteTransaction};

use super::{
    file::{Failure, File},
    rows::{from_key, message, parked_names, parked_table, row, table, to_key},
};
use crate::queue::{
    Message, Queue, QueueError,
    journal::QUEUE_MESSAGES,
    names::{all_queues, name_for, names_of},
};

/// What the file was made for.
const SETTINGS: TableDefinition<&str, u64> = TableDefinition::new("settings");
const PARTITIONS: &str = "partitions";

/// A change of the file.
#[derive(Debug)]
pub(super) enum Write {
    /// Adds messages at the end of a queue.
    Publish(Queue, Vec<Message>),
    /// Removes a message.
    Remove(Position),
}

/// Where a message is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Position {
    /// The queue and partition.
    pub(super) table: String,
    /// Its number there.
    pub(super) number: u64,
}

/// What to read of a table.
#[derive(Debug)]
pub(super) struct Wanted {
    /// The queue and partition.
    pub(super) table: String,
    /// The first number that counts.
    pub(super) from: u64,
    /// Numbers to leave out.
    pub(super) except: BTreeSet<u64>,
    /// At most so many messages.
    pub(super) limit: usize,
}

/// A message that was read.
#[derive(Debug)]
pub(super) struct Found {
    /// Where it is.
    pub(super) position: Position,
    /// Whether it was read before, or was in the file when it was opened.
    pub(super) seen: bool,
    /// The message.
    pub(super) message: Message,
}

/// The queues in the open file.
#[derive(Debug)]
pub(super) struct Store {
    file: File,
    end: End,
    /// The number of the first message of a table that was never read.
    unseen: HashMap<String, u64>,
}

/// Where new messages go.
#[derive(Debug)]
struct End {
    partitions: u16,
    /// The number of a table's next message. Kept here, for an empty table cannot tell it.
    next: HashMap<String, u64>,
}

impl Store {
    /// Opens the file, or makes it. What is in it counts as seen.
    pub(super) fn open(path: &Path, partitions: u16) -> Result<Store, QueueError> {
        let mut file = File::open(path)?;
        let next = file.write(|transaction| {
            check_partitions(transaction, partitions)?;
            let mut next = HashMap::new();
            for queue in all_queues() {
                for name in names_of(queue, partitions) {
                    let number = next_number(transaction, queue, &name)?;
                    next.insert(name, number);
                }
            }
            Ok(next)
        })?;
        Ok(Store { file, unseen: next.clone(), end: End { partitions, next } })
    }

    /// Applies all changes in one transaction.
    pub(super) fn apply<'a>(
        &mut self,
        writes: impl IntoIterator<Item = &'a Write>,
    ) -> Result<(), QueueError> {
        let Store { file, end, .. } = self;
        file.write(|transaction| {
            for write in writes {
                match write {
                    Write::Publish(queue, messages) => {
                        for message in messages {
                            end.add(transaction, *queue, message)?;
                        }
                    }
                    Write::Remove(Position { table: name, number }) => {
                        transaction.open_table(table(name))?.remove(number)?;
                    }
                }
            }
            Ok(())
        })
    }

    /// Moves the parked messages that are due at `now` to refresh, and tells how many those are.
    pub(super) fn move_due(&mut self, now: Timestamp) -> Result<usize, QueueError> {
        let Store { file, end, .. } = self;
        file.write(|transaction| {
            let mut due = Vec::new();
            for name in parked_names() {
                let mut parked = transaction.open_table(parked_table(&name))?;
                for row in parked.extract_from_if(..=(to_key(now), u64::MAX), |_, _| true)? {
                    due.push(message(row?.1.value()));
                }
            }
            for message in &due {
                end.add(transaction, Queue::Refresh, message)?;
            }
            Ok(due.len())
        })
    }

    /// When the next parked message is due.
    pub(super) fn next_due(&mut self) -> Result<Option<Timestamp>, QueueError> {
        self.file.read(|transaction| {
            let mut first = None;
            for name in parked_names() {
                let table = transaction.open_table(parked_table(&name))?;
                let due = table.first()?.map(|(key, _)| key.value().0);
                first = first.into_iter().chain(due).min();
            }
            Ok(first.map(from_key))
        })
    }

    /// Reads messages; each counts as seen from now on.
    pub(super) fn read(&mut self, wanted: &[Wanted]) -> Result<Vec<Found>, QueueError> {
        let rows = self.file.read(|transaction| {
            let mut rows = Vec::new();
            for Wanted { table: name, from, except, limit } in wanted {
                let table = transaction.open_table(table(name))?;
                let before = rows.len();
                for row in table.range(*from..)? {
                    if rows.len() - before == *limit {
                        break;
                    }
                    let (number, row) = row?;
                    let number = number.value();
                    if !except.contains(&number) {
                        rows.push((Position { table: name.clone(), number }, message(row.value())));
                    }
                }
            }
            Ok(rows)
        })?;
        let found = rows.into_iter().map(|(position, message)| {
            let unseen = self.unseen.entry(position.table.clone()).or_default();
            let seen = position.number < *unseen;
            *unseen = (*unseen).max(position.number + 1);
            Found { position, seen, message }
        });
        Ok(found.collect())
    }

    /// How many messages a queue holds.
    pub(super) fn depth(&mut self, queue: Queue) -> Result<u64, QueueError> {
        let names = names_of(queue, self.end.partitions);
        self.file.read(|transaction| {
            let mut messages = 0;
            for name in names {
                messages += match queue {
                    Queue::Parked(_) => transaction.open_table(parked_table(&name))?.len()?,
                    _ => transaction.open_table(table(&name))?.len()?,
                };
            }
            Ok(messages)
        })
    }
}

impl End {
    fn add(
        &mut self,
        transaction: &WriteTransaction,
        queue: Queue,
        message: &Message,
    ) -> Result<(), Failure> {
        let name = name_for(queue, message.object, self.partitions);
        let next = self.next.entry(name.clone()).or_default();
        let number = *next;
        // Never taken back: after a failure a gap does no harm.
        *next += 1;
        if let Queue::Parked(delay) = queue {
            let due = Timestamp::now() + delay.duration();
            transaction
                .open_table(parked_table(&name))?
                .insert((to_key(due), number), row(message))?;
        } else {
            let mut table = transaction.open_table(table(&name))?;
            table.insert(number, row(message))?;
            if queue == Queue::Outcomes && table.len()? > QUEUE_MESSAGES.into() {
                table.pop_first()?;
            }
        }
        Ok(())
    }
}

/// Makes the table if it is missing, and tells the number of its next message.
fn next_number(
    transaction: &WriteTransaction,
    queue: Queue,
    name: &str,
) -> Result<u64, redb::Error> {
    let last = if let Queue::Parked(_) = queue {
        let mut last = None;
        for row in transaction.open_table(parked_table(name))?.iter()? {
            last = last.max(Some(row?.0.value().1));
        }
        last
    } else {
        transaction.open_table(table(name))?.last()?.map(|(number, _)| number.value())
    };
    Ok(last.map_or(0, |last| last + 1))
}

/// Another number of partitions moves objects to other partitions, which is safe only while no
/// message of theirs waits in the old one.
fn check_partitions(transaction: &WriteTransaction, partitions: u16) -> Result<(), Failure> {
    let mut settings = transaction.open_table(SETTINGS)?;
    let before = settings.get(PARTITIONS)?.map(|value| value.value());
    settings.insert(PARTITIONS, u64::from(partitions))?;
    let Some(before) = before.filter(|before| *before != u64::from(partitions)) else {
        return Ok(());
    };
    for handle in transaction.list_tables()? {
        let name = handle.name().to_owned();
        let is_lane = name.starts_with("relay.urgent.") || name.starts_with("relay.bulk.");
        if is_lane && !transaction.open_table(table(&name))?.is_empty()? {
            return Err(Failure::Setup(format!(
                "broker.partitions is {partitions}, but the queue was made for {before} and {name} \
                 still holds messages: set it back to {before}, let the queue run empty, and \
                 change it then"
            )));
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::{
        event::Lane,
        queue::{ParkingDelay, contract},
    };

    fn read(store: &mut Store, queue: Queue) -> Vec<Found> {
        let all = |table| Wanted { table, from: 0, except: BTreeSet::new(), limit: 100 };
        let wanted: Vec<_> = names_of(queue, store.end.partitions).into_iter().map(all).collect();
        store.read(&wanted).expect("read")
    }

    #[test]
    fn parked_messages_are_due_in_order_of_their_delay_also_after_reopening() {
        let dir = tempfile::tempdir().expect("tempdir");
        let path = dir.path().join("queue.redb");
        let mut store = Store::open(&path, 1).expect("open");
        let parked = |delay, number| {
            Write::Publish(Queue::Parked(delay), vec![contract::message(1, number)])
        };
        let now = Timestamp::now();
        store
            .apply(&[parked(ParkingDelay::Minute1, 1), parked(ParkingDelay::Seconds15, 2)])
            .expect("apply");
        drop(store);
        let mut store = Store::open(&path, 1).expect("open again");
        let due = store.next_due().expect("due").expect("some");
        assert!(due >= now + Duration::from_secs(14) && due <= now + Duration::from_secs(30));
        assert_eq!(store.move_due(now).expect("nothing yet"), 0);
        assert_eq!(store.move_due(now + Duration::from_secs(40)).expect("one"), 1);
        assert_eq!(store.move_due(now + Duration::from_secs(90)).expect("the other"), 1);
        let found = read(&mut store, Queue::Refresh);
        let bodies: Vec<_> = found.iter().map(|found| found.message.clone()).collect();
        assert_eq!(bodies, [contract::message(1, 2), contract::message(1, 1)]);
        assert_eq!(store.next_due().expect("due"), None);
    }

    #[test]
    fn a_number_is_never_used_again() {
        let dir = tempfile::tempdir().expect("tempdir");
        let mut store = Store::open(&dir.path().join("queue.redb"), 1).expect("open");
        let mut last = None;
        for number in 0..3 {
            let write = Write::Publish(Queue::Refresh, vec![contract::message(1, number)]);
            store.apply(&[write]).expect("publish");
            let [found] = &read(&mut store, Queue::Refresh)[..] else { panic!("one message") };
            assert!(!found.seen);
            assert!(Some(found.position.number) > last);
            last = Some(found.position.number);
            store.apply(&[Write::Remove(found.position.clone())]).expect("remove");
        }
    }

    #[test]
    fn the_number_of_partitions_changes_only_when_the_lanes_are_empty() {
        let dir = tempfile::tempdir().expect("tempdir");
        let path = dir.path().join("queue.redb");
        let lane = Queue::Lane(Lane::Bulk);
        let mut store = Store::open(&path, 4).expect("open");
        store.apply(&[Write::Publish(lane, vec![contract::message(1, 1)])]).expect("publish");
        drop(store);
        let error = Store::open(&path, 2).expect_err("refused").to_string();
        assert!(error.contains("set it back to 4"), "{error}");
        let mut store = Store::open(&path, 4).expect("open as before");
        let position = read(&mut store, lane).remove(0).position;
        store.apply(&[Write::Remove(position)]).expect("remove");
        drop(store);
        Store::open(&path, 2).expect("empty: allowed");
    }
}
