//! What an operator orders the running watcher to do. Orders wait for its one writer, which carries
//! them out between two reads of the directory, so that what they tell has its place in the order.

use std::{future::pending, sync::Arc, time::Duration};

use serde::{Deserialize, Serialize};
use thiserror::Error;
use tokio::{
    sync::{mpsc, oneshot},
    time::{Instant, timeout},
};
use uuid::Uuid;

use super::{
    canary::{Canary, Hops, Lost},
    diff::Arrival,
    draft::Draft,
    explain::{ExplainError, Question, Story, explain},
    guard::Reading,
    held::{self, BatchSummary, Choice, HeldUser, summaries},
    journal::Journal,
    membership::Membership,
    named::Named,
    pipeline::{Pipeline, WatchError},
    record::{Part, Record},
    store::{Store, StoreError},
};
use crate::{
    directory::Directory,
    event::{Detail, Reason},
    ops::metrics::METRICS,
};

/// Orders that wait.
const WAITING: usize = 16;

/// How long the writer may take to begin. It is away for longer only without a directory.
const BEGIN: Duration = Duration::from_secs(30);

/// Users that are told in one batch.
const PAGE: usize = 500;

/// What to do.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Order {
    /// Tells what is held.
    List {
        /// What of it.
        choice: Choice,
        /// Whether every user is told, not only the batches.
        users: bool,
    },
    /// Tells whom the ledger knows by these names.
    Find(Choice),
    /// Tells what the ledger knows behind these names of the configuration, and who is looked after
    /// no more.
    Surroundings(Vec<String>),
    /// Tells what is held to the consumers, as it is by then.
    Approve(Choice),
    /// Takes what is held as told.
    Reject(Choice),
    /// Tells that these users are enabled, if they are: somebody asked for it in so many words.
    Enable(Vec<Uuid>),
    /// Takes note of what Entra has, and tells how it should be.
    Correct(Vec<Membership>),
    /// Takes note that directory and Entra were compared.
    Reconciled,
    /// Sends a canary with this user's name on it, and waits until it is back.
    Canary(String),
}

/// What is answered.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Answer {
    /// A batch.
    Batch(Box<BatchSummary>),
    /// A user whom the ledger knows.
    Known {
        /// objectGUID.
        object: Uuid,
        /// sAMAccountName.
        user: Option<String>,
        /// Whether the user is, or was, in scope.
        takes_part: bool,
    },
    /// What is behind names of the configuration.
    Named(Box<Named>),
    /// Some of those who are looked after no more.
    Gone(Vec<Uuid>),
    /// A user of a batch.
    User(Box<HeldUser>),
    /// It is done, for so many users.
    Done(usize),
    /// The canary is back.
    Flown(Hops),
}

/// Why an order was not carried out.
#[derive(Debug, Error)]
pub enum OrderError {
    /// The store failed.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The writer is away.
    #[error(
        "the watcher does not follow the directory now, and nothing was done; its log and \
         /readyz say why"
    )]
    Away,
    /// The canary is not back.
    #[error(transparent)]
    Canary(#[from] Lost),
    /// It failed under way.
    #[error("{0}; what was not done is as it was")]
    Failed(String),
    /// It needs a directory, and a running watcher has one.
    #[error("no watcher runs: start it, then ask again")]
    NoWatcher,
}

/// Where orders are given to a running watcher.
#[derive(Debug, Clone)]
pub struct Orders {
    store: Store,
    journal: Journal,
    canary: Arc<Canary>,
    sender: mpsc::Sender<Given>,
}

/// An order, and where its end is told.
#[derive(Debug)]
pub struct Given {
    order: Order,
    began: oneshot::Sender<oneshot::Receiver<Result<usize, String>>>,
}

/// The orders that wait for the watcher.
#[derive(Debug)]
pub struct Waiting {
    receiver: mpsc::Receiver<Given>,
    first: Option<Given>,
}

impl Orders {
    /// Orders for the watcher of this store and journal, and where they wait for it.
    pub fn new(store: Store, journal: Journal) -> (Orders, Waiting) {
        let (sender, receiver) = mpsc::channel(WAITING);
        let canary = Arc::default();
        (Orders { store, journal, canary, sender }, Waiting { receiver, first: None })
    }

    /// What happened to a user.
    pub async fn explain(&self, question: &Question) -> Result<Vec<Story>, ExplainError> {
        explain(&self.store, &self.journal, question).await
    }

    /// Where the writer finds the canary that it is to send, and echoes are taken.
    pub fn canary(&self) -> Arc<Canary> {
        Arc::clone(&self.canary)
    }

    /// Sends a canary, and waits until it is back.
    pub async fn fly(&self, user: &str) -> Result<Hops, OrderError> {
        self.canary.fly(self.carried_out(Order::Canary(user.to_owned()))).await
    }

    /// Has an order carried out. Answers that nobody hears are no reason to stop.
    pub async fn give(
        &self,
        order: Order,
        answers: &mpsc::Sender<Answer>,
    ) -> Result<usize, OrderError> {
        match &order {
            Order::List { choice, users } => {
                return list(&self.store, choice, *users, answers).await;
            }
            Order::Find(choice) => return find(&self.store, choice, answers).await,
            Order::Surroundings(names) => return surroundings(&self.store, names, answers).await,
            Order::Canary(user) => {
                let hops = self.fly(user).await?;
                let _nobody_listens = answers.send(Answer::Flown(hops)).await;
                return Ok(1);
            }
            _ => {}
        }
        let users = self.carried_out(order).await?;
        let _nobody_listens = answers.send(Answer::Done(users)).await;
        Ok(users)
    }

    /// Has the writer carry it out, and waits until it has.
    async fn carried_out(&self, order: Order) -> Result<usize, OrderError> {
        let (began, begins) = oneshot::channel();
        let taken = async {
            self.sender.send(Given { order, began }).await.ok()?;
            begins.await.ok()
        };
        // Who gives up waiting has taken the order back: see `carry_out`.
        let end = timeout(BEGIN, taken).await.ok().flatten().ok_or(OrderError::Away)?;
        match end.await {
            Ok(Ok(users)) => Ok(users),
            Ok(Err(cause)) => Err(OrderError::Failed(cause)),
            Err(_dropped) => Err(OrderError::Failed("the watcher stopped".into())),
        }
    }
}

impl Waiting {
    /// Waits until there is an order. Cancel-safe.
    pub async fn ring(&mut self) {
        if self.first.is_none() {
            self.first = self.receiver.recv().await;
        }
        if self.first.is_none() {
            pending().await
        }
    }

    /// The next order.
    fn take(&mut self) -> Option<Given> {
        self.first.take().or_else(|| self.receiver.try_recv().ok())
    }
}

/// Carries out an order where no watcher runs, on its store.
pub async fn carry_out_alone(
    store: &Store,
    order: Order,
    answers: &mpsc::Sender<Answer>,
) -> Result<usize, OrderError> {
    let users = match order {
        Order::List { choice, users } => return list(store, &choice, users, answers).await,
        Order::Find(choice) => return find(store, &choice, answers).await,
        Order::Surroundings(names) => return surroundings(store, &names, answers).await,
        Order::Reject(choice) => held::reject(store, &choice, jiff::Timestamp::now())?,
        Order::Reconciled => {
            store.reconciled()?;
            0
        }
        Order::Approve(_) | Order::Enable(_) | Order::Correct(_) | Order::Canary(_) => {
            return Err(OrderError::NoWatcher);
        }
    };
    let _nobody_listens = answers.send(Answer::Done(users)).await;
    Ok(users)
}

async fn list(
    store: &Store,
    choice: &Choice,
    users: bool,
    answers: &mpsc::Sender<Answer>,
) -> Result<usize, OrderError> {
    let found = held::held(store, choice)?;
    for batch in summaries(&found) {
        let _nobody_listens = answers.send(Answer::Batch(batch.into())).await;
    }
    for user in found.iter().filter(|_| users).flat_map(|holding| holding.users()) {
        let _nobody_listens = answers.send(Answer::User(user.into())).await;
    }
    Ok(found.len())
}

async fn find(
    store: &Store,
    choice: &Choice,
    answers: &mpsc::Sender<Answer>,
) -> Result<usize, OrderError> {
    let found = store.find(|object, record| choice.means(object, record))?;
    let users = found.len();
    for (object, record) in found {
        let (user, takes_part) = (record.identity.sam_account_name, record.part != Part::None);
        let _nobody_listens = answers.send(Answer::Known { object, user, takes_part }).await;
    }
    Ok(users)
}

async fn surroundings(
    store: &Store,
    names: &[String],
    answers: &mpsc::Sender<Answer>,
) -> Result<usize, OrderError> {
    let named = store.named(names.iter())?;
    let _nobody_listens = answers.send(Answer::Named(named.into())).await;
    let is_gone = |record: &Record| match record.part {
        Part::None => false,
        Part::Inside => record.deleted,
        Part::Left => true,
    };
    let gone = store.find(|_, record| is_gone(record))?;
    for page in gone.chunks(PAGE) {
        let page = page.iter().map(|(object, _)| *object).collect();
        let _nobody_listens = answers.send(Answer::Gone(page)).await;
    }
    Ok(gone.len())
}

impl Pipeline {
    /// Carries out the orders that wait, except those that were taken back.
    pub async fn carry_out(
        &self,
        directory: &mut dyn Directory,
        waiting: &mut Waiting,
    ) -> Result<(), WatchError> {
        while let Some(Given { order, began }) = waiting.take() {
            let (end, ends) = oneshot::channel();
            if began.send(ends).is_err() {
                continue;
            }
            let result = self.carry_out_one(directory, order).await;
            let told = match &result {
                Ok(users) => Ok(*users),
                Err(error) => Err(error.to_string()),
            };
            // Whoever asked may have gone; it is done all the same.
            let _nobody_listens = end.send(told);
            result?;
        }
        Ok(())
    }

    async fn carry_out_one(
        &self,
        directory: &mut dyn Directory,
        order: Order,
    ) -> Result<usize, WatchError> {
        match order {
            Order::Approve(choice) => self.approve(directory, &choice).await,
            Order::Reject(choice) => Ok(self.reject(&choice)?),
            Order::Enable(users) => self.enable(directory, &users).await,
            Order::Correct(memberships) => self.correct(directory, &memberships).await,
            Order::Reconciled => {
                self.store.reconciled()?;
                METRICS.unreconciled.set(0);
                Ok(0)
            }
            Order::Canary(user) => self.send_canary(directory, &user).await,
            // These are answered from the store alone.
            Order::List { .. } | Order::Find(_) | Order::Surroundings(_) => Ok(0),
        }
    }

    /// Tells of a user that nothing happened. Returns of how many: none, if the watcher does not
    /// look after such a user.
    async fn send_canary(
        &self,
        directory: &mut dyn Directory,
        user: &str,
    ) -> Result<usize, WatchError> {
        let choice = Choice { users: vec![user.to_owned()], ..Choice::default() };
        let known = self.store.find(|object, record| choice.means(object, record))?;
        let (Some((object, _)), Some(flight)) = (known.into_iter().next(), self.canary.id()) else {
            return Ok(0);
        };
        let began = Instant::now();
        let Some(entry) = directory.read(object).await? else { return Ok(0) };
        let read = began.elapsed();
        let mut draft = Draft::new(self)?;
        let change = draft.compare(directory, &entry, Arrival::Created).await?;
        let Some(mut change) = change.filter(|change| change.takes_part) else { return Ok(0) };
        change.details.push(Detail::Canary { flight });
        draft.changes.push(change);
        self.tell(draft, &mut Reading::default()).await?;
        self.canary.published(read, began.elapsed().saturating_sub(read));
        Ok(1)
    }

    /// Tells that users are enabled, where the directory says so and it was told before. Returns
    /// of how many.
    async fn enable(
        &self,
        directory: &mut dyn Directory,
        users: &[Uuid],
    ) -> Result<usize, WatchError> {
        let mut told = 0;
        for page in users.chunks(PAGE) {
            let mut draft = Draft::new(self)?;
            for object in page {
                let Some(entry) = directory.read(*object).await? else { continue };
                let change = draft.compare(directory, &entry, Arrival::Created).await?;
                let Some(mut change) = change.filter(|change| change.takes_part) else { continue };
                let blocked = change.record.blocked_to_consumers((self.clock)());
                if blocked.is_none() && change.record.told.blocked.is_none() {
                    change.details.push(Detail::AccountEnabled { ended: Reason::Disabled });
                    told += 1;
                }
                draft.changes.push(change);
            }
            self.tell(draft, &mut Reading::default()).await?;
        }
        Ok(told)
    }
}
