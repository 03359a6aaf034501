//! What a process does when it is asked to, with an audit line for what changes something.

use std::{path::PathBuf, sync::Arc};

use jiff::Timestamp;
use serde_json::json;
use tokio::sync::mpsc;

use super::{
    audit::Audit,
    peer::Peer,
    protocol::{Reply, Request},
};
use crate::{
    config::Config,
    event::source_of,
    ops::pause::Pause,
    queue::{
        Broker, Delivery, Publisher, Queue, Role,
        letters::{self, Command, Desk, Summary},
        refresh::{RefreshRequest, Why},
    },
    watcher::{
        explain::{Question, explain},
        journal::{self, Bounds, Journal},
        orders::{self, Order, Orders},
        store::Store,
    },
};

/// Answers that wait to be passed on.
const ANSWERS: usize = 16;

/// Where the watcher is whose store is asked for.
#[derive(Debug, Clone)]
pub enum Watching {
    /// In this process.
    Here(Orders),
    /// In another one, which has its own socket.
    Elsewhere,
    /// No process runs: its store can be opened.
    Nobody {
        /// The store's file.
        path: PathBuf,
        /// The directory it is of.
        source: String,
        /// Its journal, and what is kept of that.
        journal: Option<(PathBuf, Bounds)>,
    },
}

impl Watching {
    /// Where no process runs.
    pub fn nobody(config: &Config) -> Watching {
        let source = source_of(&config.directory.base_dn);
        let journal = journal::settings(config);
        Watching::Nobody { path: config.state.path.clone(), source, journal }
    }
}

/// Serves requests: those of the control socket, or, where no process runs, the command line's own.
pub struct Service {
    desk: Desk,
    broker: Arc<dyn Broker>,
    publisher: Arc<dyn Publisher>,
    watching: Watching,
    pause: Pause,
}

impl Service {
    /// Works at this queue, for this watcher and this switch.
    pub fn new(broker: Arc<dyn Broker>, watching: Watching, pause: Pause) -> Service {
        let publisher = broker.publisher(Role::Other);
        let desk = Desk::new(Arc::clone(&broker));
        Service { desk, broker, publisher, watching, pause }
    }

    /// Serves one request. Cancelled, it stops; what is done is done.
    pub async fn answer(&self, request: Request, peer: &Peer, replies: mpsc::Sender<Reply>) {
        let last = match request {
            Request::DeadLetters(command) => self.dead_letters(command, peer, &replies).await,
            Request::Watcher(order) => self.order(order, peer, &replies).await,
            Request::Refresh { objects, why } => self.refresh(&objects, why, peer).await,
            Request::Explain(question) => self.explain(&question, &replies).await,
            Request::Tail => self.tail(&replies).await,
            Request::Pause => self.switch(true, peer, &replies).await,
            Request::Resume => self.switch(false, peer, &replies).await,
        };
        let last = match last {
            Ok(()) => Reply::End,
            Err(error) => Reply::Failed(format!("{error:#}")),
        };
        // Who does not listen any longer needs no answer.
        let _nobody_listens = replies.send(last).await;
    }

    async fn order(
        &self,
        order: Order,
        peer: &Peer,
        replies: &mpsc::Sender<Reply>,
    ) -> anyhow::Result<()> {
        let mut audit = match &order {
            Order::List { .. } | Order::Find(_) | Order::Surroundings(_) | Order::Canary(_) => None,
            Order::Approve(choice) => Some(Audit::begin(peer, "held approve", choice)),
            Order::Reject(choice) => Some(Audit::begin(peer, "held reject", choice)),
            Order::Enable(users) => Some(Audit::begin(peer, "reconcile enable", users)),
            Order::Correct(found) => Some(Audit::begin(peer, "reconcile members", found)),
            Order::Reconciled => Some(Audit::begin(peer, "reconcile", &())),
        };
        let (sender, mut answers) = mpsc::channel(ANSWERS);
        let pass_on = async {
            while let Some(answer) = answers.recv().await {
                let _nobody_listens = replies.send(Reply::Watcher(answer)).await;
            }
        };
        let work = async move {
            match &self.watching {
                Watching::Here(orders) => Ok(orders.give(order, &sender).await?),
                Watching::Elsewhere => {
                    anyhow::bail!("this process is not the watcher: ask where `watch` runs")
                }
                Watching::Nobody { path, .. } if !path.exists() => {
                    anyhow::bail!("no watcher has worked with {} yet", path.display())
                }
                Watching::Nobody { path, source, .. } => {
                    let store = Store::open(path, source)?;
                    Ok(orders::carry_out_alone(&store, order, &sender).await?)
                }
            }
        };
        let (outcome, ()) = tokio::join!(work, pass_on);
        if let Some(audit) = &mut audit {
            audit.note(match &outcome {
                Ok(users) => format!("done, {users} users"),
                Err(error) => error.to_string(),
            });
        }
        outcome.map(drop)
    }

    /// Passes copies of the events on, until nobody listens.
    async fn tail(&self, replies: &mpsc::Sender<Reply>) -> anyhow::Result<()> {
        let mut copies = self.broker.tail().await?;
        loop {
            let Delivery { message, receipt, .. } = copies.receive().await?;
            if replies.send(Reply::Copy((&message).into())).await.is_err() {
                return Ok(());
            }
            receipt.ack().await?;
        }
    }

    async fn explain(
        &self,
        question: &Question,
        replies: &mpsc::Sender<Reply>,
    ) -> anyhow::Result<()> {
        let stories = match &self.watching {
            Watching::Here(orders) => orders.explain(question).await?,
            Watching::Elsewhere => {
                anyhow::bail!("this process is not the watcher: ask where `watch` runs")
            }
            Watching::Nobody { path, .. } if !path.exists() => {
                anyhow::bail!("no watcher has worked with {} yet", path.display())
            }
            Watching::Nobody { path, source, journal } => {
                let store = Store::open(path, source)?;
                // Not made by whoever asks: the watcher may be another user.
                let journal = match journal {
                    Some((path, bounds)) if path.exists() => Journal::open(path, *bounds)?,
                    _ => Journal::default(),
                };
                explain(&store, &journal, question).await?
            }
        };
        for story in stories {
            let _nobody_listens = replies.send(Reply::Story(story.into())).await;
        }
        Ok(())
    }

    /// Asks the watcher, wherever it is, to tell users again.
    async fn refresh(&self, objects: &[uuid::Uuid], why: Why, peer: &Peer) -> anyhow::Result<()> {
        let mut audit = Audit::begin(peer, "refresh", &json!({ "why": why, "users": objects }));
        let request = |object: &uuid::Uuid| {
            RefreshRequest { object: *object, why, originals: Vec::new(), waiting: None }
                .to_message()
        };
        let requests: Vec<_> = objects.iter().map(request).collect();
        match self.publisher.publish(Queue::Refresh, &requests).await {
            Ok(()) => audit.note(format!("done, {} users", objects.len())),
            Err(error) => {
                audit.note(error.to_string());
                return Err(error.into());
            }
        }
        Ok(())
    }

    async fn switch(
        &self,
        paused: bool,
        peer: &Peer,
        replies: &mpsc::Sender<Reply>,
    ) -> anyhow::Result<()> {
        let what = if paused { "pause" } else { "resume" };
        let mut audit = Audit::begin(peer, what, &());
        let changed = if paused {
            self.pause.pause(&format!("paused by {peer} at {:.0}\n", Timestamp::now()))
        } else {
            self.pause.resume()
        };
        audit.note(match &changed {
            Ok(true) => "done".to_owned(),
            Ok(false) => "it was so already".to_owned(),
            Err(error) => error.to_string(),
        });
        let running = !matches!(self.watching, Watching::Nobody { .. });
        let _nobody_listens = replies.send(Reply::Switched { changed: changed?, running }).await;
        Ok(())
    }

    async fn dead_letters(
        &self,
        command: Command,
        peer: &Peer,
        replies: &mpsc::Sender<Reply>,
    ) -> anyhow::Result<()> {
        let mut audit = match &command {
            Command::Replay { selection, dry_run: false, .. } => {
                Some(Audit::begin(peer, "dead-letters replay", selection))
            }
            Command::Discard { selection, dry_run: false } => {
                Some(Audit::begin(peer, "dead-letters discard", selection))
            }
            _ => None,
        };
        let (sender, mut answers) = mpsc::channel(ANSWERS);
        let pass_on = async {
            while let Some(answer) = answers.recv().await {
                if let (letters::Answer::Progress { done, .. }, Some(audit)) = (&answer, &mut audit)
                {
                    audit.note(format!("interrupted after {done} letters"));
                }
                let _nobody_listens = replies.send(Reply::DeadLetters(answer)).await;
            }
        };
        let work = async move { self.desk.carry_out(command, &sender).await };
        let (outcome, ()) = tokio::join!(work, pass_on);
        if let Some(audit) = &mut audit {
            audit.note(match &outcome {
                Ok(Summary { done, users, refused, left, .. }) => {
                    format!("done, {done} letters of {users} users, {refused} refused, {left} left")
                }
                Err(error) => error.to_string(),
            });
        }
        Ok(outcome.map(drop)?)
    }
}
