use std::collections::BTreeMap;

use jiff::Timestamp;
use tokio::sync::mpsc;
use uuid::Uuid;

use super::*;
use crate::{
    config::model,
    event::{Detail, Event, Identity},
    queue::{
        dead_letter::{Cause, DeadLetter},
        open,
        refresh::{RefreshRequest, Why},
    },
};

const SOURCE: &str = "ldap:///dc=corp,dc=example";

struct Bench {
    desk: Desk,
    broker: Arc<dyn Broker>,
    _folder: tempfile::TempDir,
}

fn bench() -> Bench {
    let folder = tempfile::tempdir().expect("tempdir");
    let config = model::Broker {
        kind: model::BrokerKind::Embedded,
        path: folder.path().join("queue.redb"),
        ..Default::default()
    };
    let broker = open(&config).expect("open");
    Bench { desk: Desk::new(broker.clone()), broker, _folder: folder }
}

fn event(user: u128, sequence: u64) -> Message {
    let identity = Identity {
        sam_account_name: Some(format!("user{user}")),
        user_principal_name: Some(format!("User{user}@corp.example")),
        ..Identity::default()
    };
    let (object, time) = (Uuid::from_u128(user), Timestamp::UNIX_EPOCH);
    let event = Event::new(SOURCE, object, sequence, time, identity, Detail::UserDeleted);
    Message::from_event(&event)
}

fn letter(message: &Message, reason: DeadReason, minute: i64) -> Message {
    let cause = Cause {
        reason,
        sentence: "it did not work".into(),
        remedy: "mend it".into(),
        graph_status: Some(403),
        graph_code: None,
        request_id: Some("r-1".into()),
    };
    let at = Timestamp::from_second(minute * 60).expect("an instant");
    DeadLetter::new(message, None, cause, 3, at, at).to_message()
}

impl Bench {
    async fn put(&self, letters: &[Message]) {
        let publisher = self.broker.publisher(Role::Other);
        publisher.publish(Queue::DeadLetters, letters).await.expect("published");
    }

    async fn ask(&self, command: Command) -> (Vec<Answer>, Summary) {
        let (sender, mut receiver) = mpsc::channel(1000);
        let summary = self.desk.carry_out(command, &sender).await.expect("carried out");
        drop(sender);
        let mut answers = Vec::new();
        while let Some(answer) = receiver.recv().await {
            answers.push(answer);
        }
        assert_eq!(answers.pop(), Some(Answer::Summary(summary)));
        (answers, summary)
    }

    async fn list(&self, selection: Selection) -> Vec<Entry> {
        let (answers, _) = self.ask(Command::List(selection)).await;
        let entries = answers.into_iter().map(|answer| match answer {
            Answer::Entry(entry) => *entry,
            other => panic!("not an entry: {other:?}"),
        });
        entries.collect()
    }

    async fn depth(&self, queue: Queue) -> u64 {
        self.broker.depth(queue).await.expect("depth")
    }

    async fn requests(&self) -> Vec<RefreshRequest> {
        let mut subscriber = self.broker.subscribe(Queue::Refresh, 100).await.expect("subscribe");
        let mut requests = Vec::new();
        for _ in 0..self.depth(Queue::Refresh).await {
            let delivery = subscriber.receive().await.expect("a request");
            requests.push(RefreshRequest::from_message(&delivery.message).expect("a request"));
        }
        requests
    }
}

fn replay(selection: Selection) -> Command {
    Command::Replay { selection, dry_run: false, rate: None }
}

#[tokio::test]
async fn looking_takes_nothing_out_and_filters_select() {
    let bench = bench();
    let letters = [
        letter(&event(1, 1), DeadReason::UserNotFound, 1),
        letter(&event(2, 2), DeadReason::GraphError, 2),
        letter(&event(1, 3), DeadReason::GraphError, 3),
    ];
    bench.put(&letters).await;
    let of = async |selection| bench.list(selection).await.len();
    for _ in 0..2 {
        assert_eq!(of(Selection::default()).await, 3);
    }
    let reasons = vec![DeadReason::GraphError];
    assert_eq!(of(Selection { reasons, ..Default::default() }).await, 2);
    for user in ["USER1", "user1@corp.example", "{00000000-0000-0000-0000-000000000001}"] {
        assert_eq!(of(Selection { user: Some(user.into()), ..Default::default() }).await, 2);
    }
    let kinds = vec!["account.disabled".into()];
    assert_eq!(of(Selection { kinds, ..Default::default() }).await, 0);
    let since = Timestamp::from_second(120).ok();
    assert_eq!(of(Selection { since, ..Default::default() }).await, 2);
    assert_eq!(of(Selection { until: since, ..Default::default() }).await, 2);
    let ids = vec![letters[1].id.to_string()[..8].to_owned()];
    assert_eq!(of(Selection { ids, ..Default::default() }).await, 1);
    let (_, summary) =
        bench.ask(Command::List(Selection { limit: Some(1), ..Default::default() })).await;
    assert_eq!((summary.meant, summary.beyond_limit), (1, 2));
}

#[tokio::test]
async fn a_user_s_letters_become_one_request_with_the_oldest_first() {
    let bench = bench();
    let (newer, older, other) = (event(1, 9), event(1, 4), event(2, 5));
    let letters = [&newer, &other, &older].map(|m| letter(m, DeadReason::GraphError, 1));
    bench.put(&letters).await;
    let command = Command::Replay { selection: Selection::default(), dry_run: true, rate: None };
    let (planned, summary) = bench.ask(command).await;
    assert_eq!((planned.len(), summary.done, summary.users), (2, 3, 2));
    assert_eq!(bench.depth(Queue::Refresh).await, 0);
    let (_, summary) = bench.ask(replay(Selection::default())).await;
    assert_eq!((summary.done, summary.users), (3, 2));
    assert_eq!(bench.depth(Queue::DeadLetters).await, 0);
    let requests = bench.requests().await;
    assert_eq!(requests.len(), 2);
    assert!(requests.iter().all(|request| request.why == Why::Replayed));
    let originals: Vec<_> = requests[0].originals.iter().filter_map(|o| o.message()).collect();
    assert_eq!(originals, [older, newer]);
}

#[tokio::test]
async fn poison_is_refused_and_stays() {
    let bench = bench();
    let junk = Message { body: "junk".into(), ..event(3, 1) };
    let stray = Message { headers: BTreeMap::new(), ..junk.clone() };
    let mut forged = event(4, 1);
    forged.object = Uuid::from_u128(5);
    bench
        .put(&[
            letter(&junk, DeadReason::Malformed, 1),
            letter(&event(1, 1), DeadReason::ForeignDirectory, 1),
            letter(&forged, DeadReason::GraphError, 1),
            stray,
            letter(&event(2, 1), DeadReason::GraphError, 1),
        ])
        .await;
    let (answers, summary) = bench.ask(replay(Selection::default())).await;
    assert_eq!((summary.meant, summary.done, summary.refused), (5, 1, 4));
    let refused = answers.iter().filter(|answer| matches!(answer, Answer::Refused(_)));
    assert_eq!(refused.count(), 4);
    assert_eq!(bench.depth(Queue::DeadLetters).await, 4);
    let (counts, unseen) = bench.desk.count().await.expect("counted");
    let expected = [
        (DeadReason::Malformed, 2),
        (DeadReason::ForeignDirectory, 1),
        (DeadReason::GraphError, 1),
    ];
    assert_eq!((counts, unseen), (expected.into(), 0));
    let show = Command::Show(Selection { user: Some("user1".into()), ..Default::default() });
    let (answers, _) = bench.ask(show).await;
    let [Answer::Letter(letter)] = &answers[..] else { panic!("not one letter: {answers:?}") };
    assert_eq!(letter.event.as_ref().expect("json")["sequence"], "1");
    let discard = Command::Discard { selection: Selection::default(), dry_run: false };
    assert_eq!(bench.ask(discard).await.1.done, 4);
    assert_eq!(bench.depth(Queue::DeadLetters).await, 0);
}

#[tokio::test]
async fn an_interrupted_replay_leaves_what_it_has_not_sent() {
    let bench = bench();
    let letters: Vec<_> =
        (1..=5).map(|user| letter(&event(user, 1), DeadReason::GraphError, 1)).collect();
    bench.put(&letters).await;
    let (sender, mut receiver) = mpsc::channel(100);
    let slow =
        Command::Replay { selection: Selection::default(), dry_run: false, rate: Some(0.001) };
    tokio::select! {
        _ = bench.desk.carry_out(slow, &sender) => panic!("not that fast"),
        progress = receiver.recv() => {
            assert_eq!(progress, Some(Answer::Progress { done: 1, total: 5 }));
        }
    }
    assert_eq!(bench.list(Selection::default()).await.len(), 4);
    assert_eq!(bench.ask(replay(Selection::default())).await.1.done, 4);
    assert_eq!(bench.requests().await.len(), 5);
}
