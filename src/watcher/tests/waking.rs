//! The watcher's loop, on the embedded queue.

use super::{bench::*, world::*};
use crate::{
    config::model,
    event::{Event, Kind, Lane},
    queue::{
        self, Message, Queue,
        refresh::{RefreshRequest, Why},
    },
    watcher::*,
};

#[tokio::test(flavor = "multi_thread")]
async fn a_request_rings_and_is_acknowledged_after_the_commit() {
    let folder = tempfile::tempdir().expect("tempdir");
    let config = model::Broker {
        kind: model::BrokerKind::Embedded,
        path: folder.path().join("queue.redb"),
        ..Default::default()
    };
    let broker = queue::open(&config).expect("queue");
    let bench = Bench::new(model::Guard::default());
    bench.lock().create(0);
    bench.set(0, "useraccountcontrol", Some("514"));
    let mut pipeline = bench.pipeline();
    pipeline.publisher = broker.publisher(Role::Watcher);
    let shutdown = CancellationToken::new();
    let world = Arc::clone(&bench.world);
    let (orders, waiting) = Orders::new(bench.store.clone(), Journal::default());
    let watcher = Watcher {
        pipeline,
        canary: model::Canary::default(),
        orders: orders.clone(),
        waiting: Mutex::new(waiting),
        broker: Arc::clone(&broker),
        connect: Box::new(move || {
            let directory = FakeDirectory(Arc::clone(&world));
            Box::pin(async move { Ok(Box::new(directory) as Box<dyn Directory>) })
        }),
        usn_interval: Duration::from_millis(1),
        // Only a request can wake it within the test's time.
        sweep_interval: Duration::from_secs(3600),
        health: Health::default(),
        shutdown: shutdown.clone(),
    };
    let running = tokio::spawn(watcher.run());
    let request =
        RefreshRequest { object: object(0), why: Why::Sync, originals: Vec::new(), waiting: None };
    let garbage = Message { body: b"{".as_slice().into(), ..request.to_message() };
    let publisher = broker.publisher(Role::Other);
    for message in [garbage, request.to_message()] {
        publisher.publish(Queue::Refresh, &[message]).await.expect("published");
    }
    let mut lane = broker.subscribe(Queue::Lane(Lane::Urgent), 1).await.expect("subscribed");
    let patience = Duration::from_secs(60);
    let told = tokio::time::timeout(patience, lane.receive()).await.expect("told").expect("told");
    let event = Event::from_json(&told.message.body).expect("an event");
    assert_eq!(event.kind(), Kind::AccountDisabled);
    let empty = async {
        while broker.depth(Queue::Refresh).await.expect("depth") > 0 {
            sleep(Duration::from_millis(10)).await;
        }
    };
    tokio::time::timeout(patience, empty).await.expect("acknowledged");
    let (sender, mut answers) = tokio::sync::mpsc::channel(4);
    assert!(bench.store.unreconciled().expect("store"));
    assert_eq!(orders.give(orders::Order::Reconciled, &sender).await.expect("an order"), 0);
    assert_eq!(answers.recv().await, Some(orders::Answer::Done(0)));
    assert!(!bench.store.unreconciled().expect("store"), "an order wakes the watcher too");
    shutdown.cancel();
    running.await.expect("no panic").expect("ended");
}
