//! The dead letters, for a person: to look at, to replay, to discard.
//!
//! AMQP cannot show a queue without delivering from it. So every command takes all letters in hand,
//! does its work, and lets go of the rest: they go back to their places, but count as redelivered.
//! One process at a time has them in hand, so each sees all; the others wait.
//!
//! A replay asks the watcher to tell the users anew ([`RefreshRequest`](super::refresh)), with the
//! letters' events as originals. A letter is acknowledged only once its request is safe in the
//! queue: an interruption leaves it, and asking twice does no harm.

mod entry;
mod replay;
mod selection;
#[cfg(test)]
mod tests;

use std::{
    collections::BTreeMap,
    sync::Arc,
    time::{Duration, Instant},
};

use futures_util::future::try_join_all;
use serde::{Deserialize, Serialize};
use tokio::{
    sync::mpsc,
    time::{sleep, timeout},
};

use self::{entry::Opened, replay::bundles};
pub use self::{
    entry::{Entry, Letter},
    replay::Plan,
    selection::Selection,
};
use super::{
    Broker, Claim, Delivery, Message, Publisher, Queue, QueueError, Role, Subscriber,
    dead_letter::DeadReason,
};

/// The longest wait for a letter that the queue said was there.
const RECEIVE_TIMEOUT: Duration = Duration::from_secs(15);

/// How long letters are kept in hand at most: after 30 minutes RabbitMQ takes them back
/// (`consumer_timeout`).
const TURN: Duration = Duration::from_secs(20 * 60);

/// Users that are replayed, and letters that are discarded, between two reports of progress.
const STEP: usize = 50;

/// The most letters that are read to count them by reason.
const COUNTED: usize = 10_000;

/// What to do with which letters.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Command {
    /// Tells of each.
    List(Selection),
    /// Tells all of each.
    Show(Selection),
    /// Sends each user's letters back to the watcher.
    Replay {
        /// Which.
        selection: Selection,
        /// Tells what would be done, and does nothing.
        dry_run: bool,
        /// At most so many users per second.
        rate: Option<f64>,
    },
    /// Removes them for good.
    Discard {
        /// Which.
        selection: Selection,
        /// Tells what would be done, and does nothing.
        dry_run: bool,
    },
}

/// What is told while a command runs; the summary comes last.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Answer {
    /// A letter.
    Entry(Box<Entry>),
    /// All of a letter.
    Letter(Box<Letter>),
    /// What is replayed of a user.
    Planned(Plan),
    /// A letter that is not replayed.
    Refused(Box<Entry>),
    /// So many of the letters that are meant have been dealt with.
    Progress {
        /// Dealt with.
        done: usize,
        /// Meant.
        total: usize,
    },
    /// The end.
    Summary(Summary),
}

/// What came of a command.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Summary {
    /// Letters that the selection meant, up to its limit.
    pub meant: usize,
    /// Further letters that it meant, beyond its limit.
    pub beyond_limit: usize,
    /// Letters replayed or discarded; in a dry run, those that would be.
    pub done: usize,
    /// The users whom they are about.
    pub users: usize,
    /// Letters that replay refused.
    pub refused: usize,
    /// Letters that were meant and that time did not suffice for.
    pub left: usize,
    /// Letters that nobody looked at: more than fit in a hand.
    pub unseen: u64,
}

/// Where the dead letters are dealt with.
pub struct Desk {
    broker: Arc<dyn Broker>,
    publisher: Arc<dyn Publisher>,
}

/// A letter in hand.
struct InHand {
    opened: Opened,
    delivery: Delivery,
}

/// All letters, in hand. Dropped, what is left goes back.
struct Hand {
    letters: Vec<Delivery>,
    unseen: u64,
    subscriber: Box<dyn Subscriber>,
}

impl Desk {
    /// At this queue.
    pub fn new(broker: Arc<dyn Broker>) -> Desk {
        let publisher = broker.publisher(Role::Other);
        Desk { broker, publisher }
    }

    /// Carries out a command. Cancelled, it lets go of what it has not done. Answers that nobody
    /// hears are no reason to stop.
    pub async fn carry_out(
        &self,
        command: Command,
        answers: &mpsc::Sender<Answer>,
    ) -> Result<Summary, QueueError> {
        let summary = match command {
            Command::List(selection) => {
                self.tell(&selection, answers, |opened| Answer::Entry(opened.entry.into())).await
            }
            Command::Show(selection) => {
                self.tell(&selection, answers, |opened| Answer::Letter(opened.letter().into()))
                    .await
            }
            Command::Replay { selection, dry_run, rate } => {
                self.replay(&selection, dry_run, rate, answers).await
            }
            Command::Discard { selection, dry_run } => {
                self.discard(&selection, dry_run, answers).await
            }
        }?;
        say(answers, Answer::Summary(summary)).await;
        Ok(summary)
    }

    /// How many letters there are of each reason, and how many were not looked at: beyond a bound
    /// they are only counted. Looks at headers alone.
    pub async fn count(&self) -> Result<(BTreeMap<DeadReason, u64>, u64), QueueError> {
        let Hand { letters, unseen, .. } = self.take(COUNTED).await?;
        let mut counts = BTreeMap::new();
        for delivery in &letters {
            *counts.entry(reason(&delivery.message)).or_default() += 1;
        }
        Ok((counts, unseen))
    }

    async fn tell(
        &self,
        selection: &Selection,
        answers: &mpsc::Sender<Answer>,
        form: impl Fn(Opened) -> Answer,
    ) -> Result<Summary, QueueError> {
        let (letters, summary) = {
            // The letters go back before they are told: whoever listens may be slow.
            let mut hand = self.take(usize::from(Claim::MOST)).await?;
            let (letters, summary) = hand.choose(selection);
            (letters.into_iter().map(|letter| letter.opened).collect::<Vec<_>>(), summary)
        };
        for opened in letters {
            say(answers, form(opened)).await;
        }
        Ok(summary)
    }

    async fn replay(
        &self,
        selection: &Selection,
        dry_run: bool,
        rate: Option<f64>,
        answers: &mpsc::Sender<Answer>,
    ) -> Result<Summary, QueueError> {
        let mut hand = self.take(usize::from(Claim::MOST)).await?;
        let (letters, mut summary) = hand.choose(selection);
        let (sound, poison): (Vec<_>, Vec<_>) =
            letters.into_iter().partition(|letter| letter.opened.entry.poison.is_none());
        summary.refused = poison.len();
        for letter in poison {
            say(answers, Answer::Refused(letter.opened.entry.into())).await;
        }
        let total = sound.len();
        let bundles = bundles(sound);
        if dry_run {
            for bundle in &bundles {
                say(answers, Answer::Planned(bundle.plan())).await;
            }
            return Ok(Summary { done: total, users: bundles.len(), ..summary });
        }
        let pause = rate.map(|rate| Duration::try_from_secs_f64(1.0 / rate).unwrap_or(TURN));
        let step = if pause.is_some() { 1 } else { STEP };
        let begun = Instant::now();
        let mut bundles = bundles.into_iter();
        loop {
            let some: Vec<_> = bundles.by_ref().take(step).collect();
            if some.is_empty() {
                return Ok(summary);
            }
            let last = bundles.len() == 0;
            let requests: Vec<_> = some.iter().flat_map(|bundle| bundle.requests()).collect();
            let messages: Vec<_> = requests.iter().map(|request| request.to_message()).collect();
            self.publisher.publish(Queue::Refresh, &messages).await?;
            summary.users += some.len();
            let done = some.into_iter().flat_map(|bundle| bundle.into_letters()).collect();
            let late = begun.elapsed() + pause.unwrap_or_default() >= TURN;
            summary.done += hand.settle(done, last || late).await?;
            say(answers, Answer::Progress { done: summary.done, total }).await;
            if late {
                return Ok(Summary { left: total - summary.done, ..summary });
            }
            if let Some(pause) = pause.filter(|_| summary.done < total) {
                sleep(pause).await;
            }
        }
    }

    async fn discard(
        &self,
        selection: &Selection,
        dry_run: bool,
        answers: &mpsc::Sender<Answer>,
    ) -> Result<Summary, QueueError> {
        let mut hand = self.take(usize::from(Claim::MOST)).await?;
        let (letters, mut summary) = hand.choose(selection);
        let total = letters.len();
        if dry_run {
            return Ok(Summary { done: total, ..summary });
        }
        let mut letters = letters.into_iter();
        while summary.done < total {
            let step = letters.by_ref().take(STEP).collect();
            summary.done += hand.settle(step, letters.len() == 0).await?;
            say(answers, Answer::Progress { done: summary.done, total }).await;
        }
        Ok(summary)
    }

    /// Takes all letters in hand that are there now, `most` at most.
    async fn take(&self, most: usize) -> Result<Hand, QueueError> {
        let Claim { waiting, mut subscriber } = self.broker.claim(Queue::DeadLetters).await?;
        let most = usize::try_from(waiting).unwrap_or(usize::MAX).min(most);
        let mut letters = Vec::new();
        while letters.len() < most {
            match timeout(RECEIVE_TIMEOUT, subscriber.receive()).await {
                Ok(delivery) => letters.push(delivery?),
                Err(_silence) => break,
            }
        }
        let unseen = waiting.saturating_sub(letters.len() as u64);
        Ok(Hand { letters, unseen, subscriber })
    }
}

impl Hand {
    /// The letters that are meant. Those that are not stay unsettled.
    fn choose(&mut self, selection: &Selection) -> (Vec<InHand>, Summary) {
        let limit = selection.limit.unwrap_or(usize::MAX);
        let mut summary = Summary { unseen: self.unseen, ..Summary::default() };
        let mut chosen = Vec::new();
        for delivery in self.letters.drain(..) {
            let opened = Opened::read(&delivery.message);
            if !selection.takes(&opened) {
                continue;
            }
            if chosen.len() < limit {
                chosen.push(InHand { opened, delivery });
            } else {
                summary.beyond_limit += 1;
            }
        }
        summary.meant = chosen.len();
        (chosen, summary)
    }

    /// Settles letters for good; `last` makes sure of these and all before.
    ///
    /// AMQP confirms no acknowledgement, and a channel of RabbitMQ that closes forgets those that it
    /// has not passed on to a quorum queue: it passes on 32 and keeps the rest back for a while. So
    /// the last letter is put back first: when it comes again, all that went before have arrived.
    async fn settle(&mut self, mut done: Vec<InHand>, last: bool) -> Result<usize, QueueError> {
        let marker = if last { done.pop() } else { None };
        let mut settled = acknowledge(&mut done).await?;
        if let Some(InHand { delivery, .. }) = marker {
            let (id, body) = (delivery.message.id, delivery.message.body.clone());
            delivery.receipt.release().await?;
            loop {
                let again = timeout(RECEIVE_TIMEOUT, self.subscriber.receive()).await;
                let again = again.map_err(|_silence| {
                    QueueError::Unavailable("the broker does not tell what it has settled".into())
                })??;
                if again.message.id == id && again.message.body == body {
                    again.receipt.ack().await?;
                    settled += 1;
                    break;
                }
                // A letter that is new: it goes back with the rest.
                self.letters.push(again);
            }
        }
        Ok(settled)
    }
}

/// The reason by the header; what has none that we know is malformed.
fn reason(message: &Message) -> DeadReason {
    let code = message.headers.get("relay-reason").map(String::as_str);
    let known = DeadReason::ALL.into_iter().find(|reason| Some(reason.as_str()) == code);
    known.unwrap_or(DeadReason::Malformed)
}

/// Settles letters together, for each may cost a write to a disk, and tells how many they were.
async fn acknowledge(letters: &mut Vec<InHand>) -> Result<usize, QueueError> {
    let receipts = letters.drain(..).map(|letter| letter.delivery.receipt.ack());
    Ok(try_join_all(receipts).await?.len())
}

async fn say(answers: &mpsc::Sender<Answer>, answer: Answer) {
    // Whoever does not listen any longer cancels this, or does not care.
    let _nobody_listens = answers.send(answer).await;
}
