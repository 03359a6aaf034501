//! What a process does when it is asked to, with an audit line for what changes something.

use std::sync::Arc;

use tokio::sync::mpsc;

use super::{
    peer::Peer,
    protocol::{Reply, Request},
};
use crate::queue::{
    Broker, QueueError,
    letters::{Answer, Command, Desk, Selection, Summary},
};

/// Answers that wait to be passed on.
const ANSWERS: usize = 16;

/// Serves requests: those of the control socket, or, where no process runs, the command line's own.
pub struct Service {
    desk: Desk,
}

impl Service {
    /// Works at this queue.
    pub fn new(broker: Arc<dyn Broker>) -> Service {
        Service { desk: Desk::new(broker) }
    }

    /// Serves one request. Cancelled, it stops; what is done is done.
    pub async fn answer(&self, request: Request, peer: &Peer, replies: mpsc::Sender<Reply>) {
        let last = match request {
            Request::DeadLetters(command) => self.dead_letters(command, peer, &replies).await,
        };
        let last = match last {
            Ok(()) => Reply::End,
            Err(error) => Reply::Failed(error.to_string()),
        };
        // Who does not listen any longer needs no answer.
        let _nobody_listens = replies.send(last).await;
    }

    async fn dead_letters(
        &self,
        command: Command,
        peer: &Peer,
        replies: &mpsc::Sender<Reply>,
    ) -> Result<(), QueueError> {
        let mut audit = Audit::of(&command, peer);
        let (sender, mut answers) = mpsc::channel(ANSWERS);
        let pass_on = async {
            while let Some(answer) = answers.recv().await {
                if let (Answer::Progress { done, .. }, Some(audit)) = (&answer, &mut audit) {
                    audit.summary.done = *done;
                }
                let _nobody_listens = replies.send(Reply::DeadLetters(answer)).await;
            }
        };
        let work = async move { self.desk.carry_out(command, &sender).await };
        let (outcome, ()) = tokio::join!(work, pass_on);
        if let Some(audit) = &mut audit {
            match &outcome {
                Ok(summary) => (audit.summary, audit.outcome) = (*summary, "done".into()),
                Err(error) => audit.outcome = error.to_string(),
            }
        }
        outcome.map(drop)
    }
}

/// The line that remains of a command that changes something; written at its end, however it ends.
struct Audit {
    who: String,
    what: &'static str,
    selection: Selection,
    summary: Summary,
    outcome: String,
}

impl Audit {
    fn of(command: &Command, peer: &Peer) -> Option<Audit> {
        let (what, selection) = match command {
            Command::Replay { selection, dry_run: false, .. } => ("dead-letters replay", selection),
            Command::Discard { selection, dry_run: false } => ("dead-letters discard", selection),
            _ => return None,
        };
        Some(Audit {
            who: peer.to_string(),
            what,
            selection: selection.clone(),
            summary: Summary::default(),
            outcome: "interrupted".into(),
        })
    }
}

impl Drop for Audit {
    fn drop(&mut self) {
        let selection = serde_json::to_string(&self.selection).unwrap_or_default();
        let Audit { who, what, outcome, summary, .. } = self;
        let Summary { done, users, refused, left, .. } = summary;
        tracing::info!(
            target: "audit",
            who, what, selection, done, users, refused, left, outcome,
            "command carried out"
        );
    }
}
