//! Nothing is lost and each user's order holds, by random runs of a whole consumer: lost
//! subscriptions, deaths with requests under way and a new consumer in place, publications that
//! are refused, a Graph that fails in every way, users whom Entra gets late. 150 runs of up to 60
//! steps each, with the clock turned, so that every wait and every time-out takes place.
//!
//! Once nothing fails any more: each user is as was told last, every message is settled, and no
//! older state was written after a newer one unless a loss of the queue lies between.

use proptest::prelude::*;
use serde_json::Value;
use tokio::time::sleep;

use super::*;
use crate::{
    event::Waiting,
    queue::{Broker, carried::Carried},
    random_runs::random_runs,
    sandbox::graph::FaultSet,
};

const USERS: usize = 3;
/// Entra has this one only after a while.
const LATE: usize = 2;
const STATE: &str = "accountEnabled";
const TITLE: &str = "jobTitle";

#[derive(Debug, Clone)]
enum Op {
    /// The account is disabled, or enabled again.
    Flip(usize),
    /// A title that nobody had before.
    Title(usize),
    /// The subscriptions end, and what was not acknowledged is delivered again.
    Lose,
    /// The consumer dies, and another one takes over.
    Die,
    /// Whether the queue takes messages.
    Refuse(bool),
    Fail(Failure),
    /// Graph is as it should be.
    Mend,
    /// Entra gets the user it did not have.
    Arrive,
    /// The watcher answers what it was asked.
    Answer,
    /// Milliseconds.
    Wait(u64),
}

#[derive(Debug, Clone, Copy)]
enum Failure {
    Down,
    Reset,
    Hang,
    LoseAnswers,
    Throttle,
    Flaky,
    Garble,
    NoToken,
}

fn op() -> impl Strategy<Value = Op> {
    prop_oneof![
        6 => (0..USERS).prop_map(Op::Flip),
        4 => (0..USERS).prop_map(Op::Title),
        2 => Just(Op::Lose),
        2 => Just(Op::Die),
        1 => any::<bool>().prop_map(Op::Refuse),
        2 => prop::sample::select(vec![
            Failure::Down,
            Failure::Reset,
            Failure::Hang,
            Failure::LoseAnswers,
            Failure::Throttle,
            Failure::Flaky,
            Failure::Garble,
            Failure::NoToken,
        ])
        .prop_map(Op::Fail),
        2 => Just(Op::Mend),
        1 => Just(Op::Arrive),
        2 => Just(Op::Answer),
        6 => (0..100_u64).prop_map(Op::Wait),
        1 => (0..5_000_u64).prop_map(Op::Wait),
    ]
}

fn faults(failure: Failure) -> FaultSet {
    let none = FaultSet::default();
    match failure {
        Failure::Down => FaultSet { down: true, ..none },
        Failure::Reset => FaultSet { reset: true, ..none },
        Failure::Hang => FaultSet { hang: true, ..none },
        Failure::LoseAnswers => FaultSet { lose_answer: true, ..none },
        Failure::Throttle => FaultSet { throttle: Some(1), ..none },
        Failure::Flaky => FaultSet { flaky: Some(2), ..none },
        Failure::Garble => FaultSet { garble: true, ..none },
        Failure::NoToken => FaultSet { token_down: true, ..none },
    }
}

/// A user as the directory has it, and as it was.
struct Person {
    twin: Option<Uuid>,
    states: Vec<Value>,
    titles: Vec<Value>,
}

impl Person {
    fn is_enabled(&self) -> bool {
        self.states.last() == Some(&Value::Bool(true))
    }

    fn state(&self) -> Detail {
        if self.is_enabled() { ENABLED } else { DISABLED }
    }

    fn title(&self) -> Detail {
        let title = self.titles.last().and_then(Value::as_str).unwrap_or_default();
        attributes(&[("title", title)])
    }
}

struct Run {
    world: World,
    people: Vec<Person>,
    sequence: u64,
    /// How far Graph's log had come when a subscription or its holder was lost.
    losses: Vec<u64>,
}

impl Run {
    async fn new() -> Run {
        let latency = Duration::from_millis(20);
        let options = Options { latency, ..Options::default() };
        let mut world = World::timeless(options).await;
        world.pace.take_over = Duration::from_secs(2);
        let person = |index| Person {
            twin: (index != LATE).then(|| world.user(index as u128)),
            states: vec![true.into()],
            titles: vec![Value::Null],
        };
        let people = (0..USERS).map(person).collect();
        world.start();
        Run { world, people, sequence: 0, losses: Vec::new() }
    }

    fn tell(&mut self, index: usize, detail: Detail, waiting: Option<Waiting>) {
        self.sequence += 1;
        let event = event(index as u128, self.sequence, detail);
        self.world.publish(&Event { waiting, ..event });
    }

    async fn apply(&mut self, op: &Op) {
        match *op {
            Op::Flip(index) => {
                let enabled = !self.people[index].is_enabled();
                self.people[index].states.push(enabled.into());
                self.tell(index, self.people[index].state(), None);
            }
            Op::Title(index) => {
                let title = format!("title {}", self.sequence);
                self.people[index].titles.push(title.into());
                self.tell(index, self.people[index].title(), None);
            }
            Op::Lose => {
                self.world.queue.break_connections();
                self.losses.push(self.world.graph.last_order());
            }
            Op::Die => {
                let dead = self.world.consumer.take().expect("started");
                dead.abort();
                assert!(dead.await.is_err_and(|ended| ended.is_cancelled()), "it ran until now");
                self.losses.push(self.world.graph.last_order());
                self.world.start();
            }
            Op::Refuse(refuses) => self.world.queue.refuse(refuses),
            Op::Fail(failure) => self.world.graph.faults().set(|set| *set = faults(failure)),
            Op::Mend => self.world.graph.faults().clear(),
            Op::Arrive => {
                if self.people[LATE].twin.is_none() {
                    self.people[LATE].twin = Some(self.world.user(LATE as u128));
                }
            }
            Op::Answer => self.answer().await,
            Op::Wait(milliseconds) => sleep(Duration::from_millis(milliseconds)).await,
        }
    }

    /// The watcher tells anew, as it is now, what a request or a dead letter is about.
    async fn answer(&mut self) {
        let parked = ParkingDelay::ALL.map(Queue::Parked);
        for queue in parked.into_iter().chain([Queue::Refresh]) {
            for message in self.take(queue).await {
                let request = RefreshRequest::from_message(&message).expect("a request");
                self.tell_again(request.object, &request.originals, request.waiting);
            }
        }
        for message in self.take(Queue::DeadLetters).await {
            let letter = DeadLetter::from_message(&message).expect("a letter");
            assert_eq!(letter.cause.reason, DeadReason::GraphError, "{letter:?}");
            self.tell_again(letter.original.object, &[letter.original], None);
        }
    }

    fn tell_again(&mut self, object: Uuid, originals: &[Carried], waiting: Option<Waiting>) {
        let index = object.as_u128() as usize;
        let events = originals.iter().map(|original| {
            let message = original.message().expect("a message");
            Event::from_json(&message.body).expect("an event")
        });
        let lanes: std::collections::BTreeSet<_> =
            events.map(|event| event.kind().lane() == Lane::Urgent).collect();
        for urgent in lanes {
            let person = &self.people[index];
            let detail = if urgent { person.state() } else { person.title() };
            self.tell(index, detail, waiting);
        }
    }

    async fn take(&self, queue: Queue) -> Vec<Message> {
        let mut messages = Vec::new();
        let mut subscription = self.world.queue.subscribe(queue, 0).await.expect("a subscription");
        for _ in 0..self.world.queue.len(queue) {
            let delivery = subscription.receive().await.expect("a delivery");
            messages.push(delivery.message);
            delivery.receipt.ack().await.expect("taken");
        }
        messages
    }

    /// Without faults everything comes to an end.
    async fn settle(&mut self) {
        self.world.graph.faults().clear();
        self.world.queue.refuse(false);
        self.apply(&Op::Arrive).await;
        let lanes = Lane::ALL.map(Queue::Lane);
        for _ in 0..500 {
            self.answer().await;
            sleep(Duration::from_secs(10)).await;
            let queues = lanes.into_iter().chain(ParkingDelay::ALL.map(Queue::Parked));
            let mut queues = queues.chain([Queue::Refresh, Queue::DeadLetters]);
            if queues.all(|queue| self.world.queue.len(queue) == 0) {
                return;
            }
        }
        panic!("it never ends");
    }

    fn check(&self) {
        let log = self.world.graph.log();
        for (index, person) in self.people.iter().enumerate() {
            let twin = person.twin.expect("everybody arrived");
            let cloud = self.world.graph.user(twin).expect("user");
            for (property, history) in [(STATE, &person.states), (TITLE, &person.titles)] {
                let last = history.last().expect("never empty");
                assert_eq!(cloud.get(property), *last, "{property} of user {index}");
                let writes: Vec<_> = log
                    .iter()
                    .filter(|request| request.method == "PATCH" && request.user == Some(twin))
                    .filter(|request| request.status.is_none_or(|status| status < 300))
                    .filter_map(|it| Some((it.order, it.body.json()?.get(property)?.clone())))
                    .collect();
                self.check_order(history, &writes);
            }
        }
    }

    /// Each write has a place in the history that is not before the place of the write before it,
    /// unless a loss lies between.
    fn check_order(&self, history: &[Value], writes: &[(u64, Value)]) {
        let mut place = 0;
        let mut before = 0;
        for (order, value) in writes {
            if self.losses.iter().any(|loss| (before..*order).contains(loss)) {
                place = 0;
            }
            let found = history[place..].iter().position(|known| known == value);
            let found = found.unwrap_or_else(|| panic!("{value} is late: {writes:?} {history:?}"));
            place += found;
            before = *order;
        }
    }
}

async fn check(ops: &[Op]) {
    let mut run = Run::new().await;
    for op in ops {
        run.apply(op).await;
    }
    run.settle().await;
    run.check();
    run.world.stop().await;
}

proptest! {
    #![proptest_config(random_runs(150))]

    #[test]
    fn everybody_ends_as_was_told_last_and_in_order(ops in prop::collection::vec(op(), 1..60)) {
        let mut runtime = tokio::runtime::Builder::new_current_thread();
        let runtime = runtime.enable_all().start_paused(true).build().expect("runtime");
        runtime.block_on(check(&ops));
    }
}
