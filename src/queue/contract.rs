//! What every queue must keep, as tests that know the traits only.
//!
//! The unit tests run them on the embedded queue; the integration tests take this file in as well
//! and run them on a real RabbitMQ. Each test has a queue to itself.

use std::{any::Any, collections::BTreeMap, sync::Arc, time::Duration};

use uuid::Uuid;

use super::{
    Broker, Delivery, Lane, Message, ParkingDelay, Publisher, Queue, QueueError, Role, Subscriber,
    journal::QUEUE_MESSAGES, model, open,
};

/// Every test of the contract, for a fixture that makes a [`Bench`].
macro_rules! contract_tests {
    ($fixture:path) => {
        contract_tests! { @each $fixture;
            order_survives_thirty_releases_of_a_full_prefetch,
            what_a_lost_subscriber_had_comes_again_in_order,
            everything_survives_reopening,
            a_settled_message_never_returns,
            lanes_do_not_wait_for_each_other,
            every_partition_is_received_and_nothing_is_altered,
            one_subscriber_is_active_and_the_next_takes_over,
            receiving_can_be_cancelled,
            depth_follows_the_queue,
            a_parked_message_comes_to_refresh_after_its_delay,
            one_watcher_may_publish,
            dead_letters_keep_their_order,
            outcomes_nobody_reads_are_bounded,
            copies_take_nothing_from_the_queues,
            an_old_receipt_is_worth_nothing,
            ten_thousand_messages_pass,
        }
    };
    (@each $fixture:path; $($test:ident,)*) => {
        $(
            #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
            async fn $test() {
                contract::$test(&$fixture().await).await;
            }
        )*
    };
}
pub(crate) use contract_tests;

/// Longer than anything may take on a busy machine.
const PATIENCE: Duration = Duration::from_secs(90);

const URGENT: Queue = Queue::Lane(Lane::Urgent);
const BULK: Queue = Queue::Lane(Lane::Bulk);

/// A queue of one's own.
pub struct Bench {
    config: model::Broker,
    _folder: Box<dyn Any + Send + Sync>,
}

impl Bench {
    /// Opens the queue by `config`; `folder` lives as long as the test.
    pub fn new(config: model::Broker, folder: impl Any + Send + Sync) -> Bench {
        Bench { config, _folder: Box::new(folder) }
    }

    fn open(&self) -> Arc<dyn Broker> {
        open(&self.config).expect("the queue opens")
    }

    async fn declared(&self) -> Arc<dyn Broker> {
        let broker = self.open();
        broker.declare().await.expect("the queue is declared");
        broker
    }
}

/// A message of an object, told from the others by a number.
pub fn message(object: u128, number: u64) -> Message {
    Message {
        id: Uuid::from_u128((object << 64) | u128::from(number)),
        kind: "entra-relay.account.disabled.v1".into(),
        object: Uuid::from_u128(object),
        content_type: "application/cloudevents+json".into(),
        headers: BTreeMap::from([("relay-key-id".into(), "ü".into())]),
        body: number.to_be_bytes().to_vec().into(),
    }
}

fn number(delivery: &Delivery) -> u64 {
    u64::from_be_bytes(delivery.message.body[..].try_into().expect("eight bytes"))
}

fn messages(object: u128, numbers: std::ops::Range<u64>) -> Vec<Message> {
    numbers.map(|number| message(object, number)).collect()
}

async fn publish(broker: &dyn Broker, queue: Queue, messages: &[Message]) {
    broker.publisher(Role::Other).publish(queue, messages).await.expect("published");
}

async fn subscribe(broker: &dyn Broker, queue: Queue, prefetch: u16) -> Box<dyn Subscriber> {
    broker.subscribe(queue, prefetch).await.expect("subscribed")
}

async fn next(subscriber: &mut Box<dyn Subscriber>) -> Delivery {
    let received = tokio::time::timeout(PATIENCE, subscriber.receive()).await;
    received.expect("a message arrives").expect("the subscription lives")
}

async fn take(subscriber: &mut Box<dyn Subscriber>, count: usize) -> Vec<Delivery> {
    let mut taken = Vec::new();
    for _ in 0..count {
        taken.push(next(subscriber).await);
    }
    taken
}

async fn ack(deliveries: impl IntoIterator<Item = Delivery>) {
    for delivery in deliveries {
        delivery.receipt.ack().await.expect("acknowledged");
    }
}

/// Waits until so many messages wait in the queue.
async fn depth_becomes(broker: &dyn Broker, queue: Queue, expected: u64) {
    let reached = async {
        while broker.depth(queue).await.expect("depth") != expected {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    tokio::time::timeout(PATIENCE, reached).await.expect("the depth is reached");
}

pub async fn order_survives_thirty_releases_of_a_full_prefetch(bench: &Bench) {
    const PREFETCH: u16 = 50;
    let broker = bench.declared().await;
    publish(&*broker, URGENT, &messages(7, 0..120)).await;
    let mut subscriber = subscribe(&*broker, URGENT, PREFETCH).await;
    for round in 0..30 {
        let taken = take(&mut subscriber, PREFETCH.into()).await;
        let numbers: Vec<_> = taken.iter().map(number).collect();
        assert_eq!(numbers, (0..50).collect::<Vec<_>>(), "round {round}");
        assert!(round == 0 || taken.iter().all(|delivery| delivery.redelivered));
        for delivery in taken {
            delivery.receipt.release().await.expect("released");
        }
    }
    // Nothing is acknowledged before all of it has come again.
    let again = take(&mut subscriber, PREFETCH.into()).await;
    assert_eq!(again.iter().map(number).collect::<Vec<_>>(), (0..50).collect::<Vec<_>>());
    ack(again).await;
    for expected in 50..120 {
        let delivery = next(&mut subscriber).await;
        assert_eq!(number(&delivery), expected);
        ack([delivery]).await;
    }
    depth_becomes(&*broker, URGENT, 0).await;
}

pub async fn what_a_lost_subscriber_had_comes_again_in_order(bench: &Bench) {
    let broker = bench.declared().await;
    publish(&*broker, URGENT, &messages(7, 0..10)).await;
    let mut subscriber = subscribe(&*broker, URGENT, 5).await;
    let mut taken = take(&mut subscriber, 5).await;
    assert!(taken.iter().all(|delivery| !delivery.redelivered), "first delivery");
    ack(taken.drain(1..3)).await;
    // A delivery that is dropped unsettled is still unsettled.
    drop(taken);
    drop(subscriber);
    let mut subscriber = subscribe(&*broker, URGENT, 20).await;
    let again = take(&mut subscriber, 8).await;
    assert_eq!(again.iter().map(number).collect::<Vec<_>>(), [0, 3, 4, 5, 6, 7, 8, 9]);
    assert!(again[..3].iter().all(|delivery| delivery.redelivered), "delivered before");
    ack(again).await;
    depth_becomes(&*broker, URGENT, 0).await;
}

pub async fn everything_survives_reopening(bench: &Bench) {
    let broker = bench.declared().await;
    publish(&*broker, BULK, &messages(7, 0..20)).await;
    let mut subscriber = subscribe(&*broker, BULK, 6).await;
    let mut taken = take(&mut subscriber, 6).await;
    ack(taken.drain(..2)).await;
    // In the middle of things: four in hand, nothing said.
    drop((taken, subscriber, broker));
    let broker = bench.declared().await;
    let mut subscriber = subscribe(&*broker, BULK, 100).await;
    let again = take(&mut subscriber, 18).await;
    assert_eq!(again.iter().map(number).collect::<Vec<_>>(), (2..20).collect::<Vec<_>>());
    assert!(again[..4].iter().all(|delivery| delivery.redelivered));
    ack(again).await;
    depth_becomes(&*broker, BULK, 0).await;
}

pub async fn a_settled_message_never_returns(bench: &Bench) {
    let broker = bench.declared().await;
    let mut subscriber = subscribe(&*broker, URGENT, 1).await;
    publish(&*broker, URGENT, &messages(7, 0..1)).await;
    ack([next(&mut subscriber).await]).await;
    drop(subscriber);
    publish(&*broker, URGENT, &messages(7, 1..2)).await;
    let mut subscriber = subscribe(&*broker, URGENT, 10).await;
    let delivery = next(&mut subscriber).await;
    assert_eq!(number(&delivery), 1);
    ack([delivery]).await;
}

pub async fn lanes_do_not_wait_for_each_other(bench: &Bench) {
    let broker = bench.declared().await;
    publish(&*broker, BULK, &messages(7, 0..100)).await;
    let mut bulk = subscribe(&*broker, BULK, 10).await;
    let in_hand = take(&mut bulk, 10).await;
    publish(&*broker, URGENT, &messages(7, 500..501)).await;
    let mut urgent = subscribe(&*broker, URGENT, 10).await;
    let delivery = next(&mut urgent).await;
    assert_eq!(number(&delivery), 500);
    ack([delivery]).await;
    ack(in_hand).await;
    assert_eq!(number(&next(&mut bulk).await), 10);
}

pub async fn every_partition_is_received_and_nothing_is_altered(bench: &Bench) {
    let broker = bench.declared().await;
    let mut sent: Vec<_> = (0..64).map(|object| message(object, 1)).collect();
    sent.push(Message {
        id: Uuid::nil(),
        kind: String::new(),
        object: Uuid::nil(),
        content_type: String::new(),
        headers: BTreeMap::new(),
        body: Default::default(),
    });
    sent.push(Message { body: vec![0xff; 300_000].into(), ..message(99, 1) });
    publish(&*broker, BULK, &sent).await;
    let mut subscriber = subscribe(&*broker, BULK, 100).await;
    let taken = take(&mut subscriber, sent.len()).await;
    for message in &sent {
        assert!(taken.iter().any(|delivery| delivery.message == *message), "{message:?}");
    }
    ack(taken).await;
}

pub async fn one_subscriber_is_active_and_the_next_takes_over(bench: &Bench) {
    let broker = bench.declared().await;
    publish(&*broker, URGENT, &messages(7, 0..4)).await;
    let mut first = subscribe(&*broker, URGENT, 2).await;
    let in_hand = take(&mut first, 2).await;
    let mut second = subscribe(&*broker, URGENT, 10).await;
    let waiting = tokio::spawn(async move { (next(&mut second).await, second) });
    ack(in_hand).await;
    let last = take(&mut first, 2).await;
    assert_eq!(last.iter().map(number).collect::<Vec<_>>(), [2, 3]);
    assert!(!waiting.is_finished(), "all of the partition goes to the first");
    drop((first, last));
    let (delivery, mut second) = waiting.await.expect("received");
    let next = next(&mut second).await;
    assert_eq!([number(&delivery), number(&next)], [2, 3]);
    ack([delivery, next]).await;
}

pub async fn receiving_can_be_cancelled(bench: &Bench) {
    let broker = bench.declared().await;
    let mut subscriber = subscribe(&*broker, URGENT, 3).await;
    let publisher = broker.publisher(Role::Other);
    let sending = tokio::spawn(async move {
        for number in 0..200 {
            publisher.publish(URGENT, &[message(7, number)]).await.expect("published");
        }
    });
    for expected in 0..200 {
        let delivery = loop {
            tokio::select! {
                biased;
                () = tokio::task::yield_now() => {}
                received = subscriber.receive() => break received.expect("the subscription lives"),
            }
            tokio::select! {
                biased;
                received = subscriber.receive() => break received.expect("the subscription lives"),
                () = tokio::time::sleep(Duration::from_micros(200)) => {}
            }
        };
        assert_eq!(number(&delivery), expected);
        ack([delivery]).await;
    }
    sending.await.expect("sent");
}

pub async fn depth_follows_the_queue(bench: &Bench) {
    let broker = bench.declared().await;
    for queue in [URGENT, Queue::Refresh, Queue::DeadLetters] {
        assert_eq!(broker.depth(queue).await.expect("depth"), 0);
        let sent: Vec<_> = (0..30).map(|object| message(object, 1)).collect();
        publish(&*broker, queue, &sent).await;
        depth_becomes(&*broker, queue, 30).await;
        let mut subscriber = subscribe(&*broker, queue, 100).await;
        ack(take(&mut subscriber, 30).await).await;
        depth_becomes(&*broker, queue, 0).await;
    }
    publish(&*broker, Queue::Parked(ParkingDelay::Minutes30), &messages(7, 0..3)).await;
    depth_becomes(&*broker, Queue::Parked(ParkingDelay::Minutes30), 3).await;
}

pub async fn a_parked_message_comes_to_refresh_after_its_delay(bench: &Bench) {
    let broker = bench.declared().await;
    let mut refresh = subscribe(&*broker, Queue::Refresh, 10).await;
    publish(&*broker, Queue::Parked(ParkingDelay::Minutes30), &messages(7, 0..1)).await;
    publish(&*broker, Queue::Parked(ParkingDelay::Seconds15), &messages(7, 1..3)).await;
    publish(&*broker, Queue::Refresh, &messages(7, 3..4)).await;
    // What is not parked overtakes.
    let taken = take(&mut refresh, 3).await;
    assert_eq!(taken.iter().map(number).collect::<Vec<_>>(), [3, 1, 2]);
    assert_eq!(taken[1].message, message(7, 1), "nothing is altered on the way");
    ack(taken).await;
    depth_becomes(&*broker, Queue::Parked(ParkingDelay::Seconds15), 0).await;
    assert_eq!(broker.depth(Queue::Parked(ParkingDelay::Minutes30)).await.expect("depth"), 1);
    let error = broker.subscribe(Queue::Parked(ParkingDelay::Minutes30), 1).await.err();
    assert!(matches!(error, Some(QueueError::Setup(_))), "{error:?}");
}

pub async fn one_watcher_may_publish(bench: &Bench) {
    let broker = bench.declared().await;
    let first = broker.publisher(Role::Watcher);
    let second = broker.publisher(Role::Watcher);
    first.ready().await.expect("the first is the watcher");
    first.ready().await.expect("and stays it");
    for attempt in [second.ready().await, second.publish(URGENT, &messages(7, 0..1)).await] {
        assert!(matches!(attempt, Err(QueueError::Standby)), "{attempt:?}");
    }
    broker.publisher(Role::Other).ready().await.expect("others publish beside it");
    first.publish(URGENT, &messages(7, 0..1)).await.expect("the watcher publishes");
    drop(first);
    let takes_over = async {
        while let Err(error) = second.publish(URGENT, &messages(7, 1..2)).await {
            assert!(matches!(error, QueueError::Standby), "{error}");
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    };
    tokio::time::timeout(PATIENCE, takes_over).await.expect("the second takes over");
    let mut subscriber = subscribe(&*broker, URGENT, 10).await;
    let taken = take(&mut subscriber, 2).await;
    assert_eq!(taken.iter().map(number).collect::<Vec<_>>(), [0, 1]);
}

pub async fn dead_letters_keep_their_order(bench: &Bench) {
    let broker = bench.declared().await;
    let letters: Vec<_> = (0..20).map(|object| message(object, 1)).collect();
    publish(&*broker, Queue::DeadLetters, &letters).await;
    let mut subscriber = subscribe(&*broker, Queue::DeadLetters, 50).await;
    let taken = take(&mut subscriber, letters.len()).await;
    let received: Vec<_> = taken.iter().map(|delivery| delivery.message.clone()).collect();
    assert_eq!(received, letters);
    ack(taken).await;
}

pub async fn an_old_receipt_is_worth_nothing(bench: &Bench) {
    let broker = bench.declared().await;
    publish(&*broker, URGENT, &messages(7, 0..2)).await;
    let mut subscriber = subscribe(&*broker, URGENT, 2).await;
    let mut old = take(&mut subscriber, 2).await;
    drop(subscriber);
    let mut subscriber = subscribe(&*broker, URGENT, 2).await;
    let new = take(&mut subscriber, 2).await;
    old.pop().expect("two").receipt.ack().await.expect_err("it is somebody else's now");
    old.pop().expect("two").receipt.release().await.expect_err("it is somebody else's now");
    assert_eq!(new.iter().map(number).collect::<Vec<_>>(), [0, 1]);
    ack(new).await;
    depth_becomes(&*broker, URGENT, 0).await;
}

pub async fn ten_thousand_messages_pass(bench: &Bench) {
    const OBJECTS: u64 = 500;
    let broker = bench.declared().await;
    let publisher: Arc<dyn Publisher> = broker.publisher(Role::Watcher);
    let sending = tokio::spawn(async move {
        for part in 0..20 {
            // Twenty messages of each object, one in each part.
            let batch: Vec<_> = (0..OBJECTS).map(|object| message(object.into(), part)).collect();
            publisher.publish(BULK, &batch).await.expect("published");
        }
    });
    let mut subscriber = subscribe(&*broker, BULK, 200).await;
    let mut expected: BTreeMap<Uuid, u64> = BTreeMap::new();
    let mut settling = tokio::task::JoinSet::new();
    for _ in 0..OBJECTS * 20 {
        let delivery = next(&mut subscriber).await;
        let turn = expected.entry(delivery.message.object).or_default();
        assert_eq!(number(&delivery), *turn, "{}", delivery.message.object);
        *turn += 1;
        settling.spawn(delivery.receipt.ack());
    }
    while let Some(settled) = settling.join_next().await {
        settled.expect("settles").expect("acknowledged");
    }
    sending.await.expect("sent");
    depth_becomes(&*broker, BULK, 0).await;
}

/// The queue for the journal keeps the newest: nobody need ever read it.
pub async fn outcomes_nobody_reads_are_bounded(bench: &Bench) {
    let broker = bench.declared().await;
    let most = u64::from(QUEUE_MESSAGES);
    let many: Vec<_> = (0..most + 10).map(|number| message(number.into(), number)).collect();
    publish(&*broker, Queue::Outcomes, &many).await;
    assert_eq!(broker.depth(Queue::Outcomes).await.expect("a depth"), most);
    let mut subscriber = subscribe(&*broker, Queue::Outcomes, 10).await;
    assert_eq!(number(&next(&mut subscriber).await), 10, "the oldest have gone");
}

/// Who follows the events sees what both lanes get from then on, and they get it all the same.
pub async fn copies_take_nothing_from_the_queues(bench: &Bench) {
    let broker = bench.declared().await;
    publish(&*broker, URGENT, &messages(1, 0..1)).await;
    let mut tail = broker.tail().await.expect("copies");
    publish(&*broker, URGENT, &messages(1, 1..3)).await;
    publish(&*broker, BULK, &messages(2, 3..4)).await;
    publish(&*broker, Queue::Refresh, &messages(3, 4..5)).await;
    let mut seen = Vec::new();
    for _ in 0..3 {
        let copy = next(&mut tail).await;
        seen.push(number(&copy));
        copy.receipt.ack().await.expect("acknowledged");
    }
    seen.sort_unstable();
    assert_eq!(seen, [1, 2, 3]);
    drop(tail);
    assert_eq!(broker.depth(URGENT).await.expect("a depth"), 3);
    assert_eq!(broker.depth(BULK).await.expect("a depth"), 1);
}
