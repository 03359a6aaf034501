//! Reaches a running process by its control socket; where none runs, does its work here.

use std::path::Path;

use tokio::sync::mpsc;
use tokio_util::task::AbortOnDropHandle;

use crate::{
    config::{self, Role},
    ops::{
        control::{
            Client, Peer, Service, Watching,
            protocol::{Reply, Request},
        },
        pause::Pause,
    },
    queue,
};

/// Replies that wait to be printed.
const REPLIES: usize = 64;

/// The replies to a request. Dropped, it takes back the wish for them.
pub enum Replies {
    /// From the running process.
    Running(Box<Client>),
    /// From this one.
    Own {
        /// As they come.
        replies: mpsc::Receiver<Reply>,
        /// Ends with this.
        _work: AbortOnDropHandle<()>,
    },
}

/// Sends a request to whoever serves it, by the configuration file `path`.
pub async fn ask(path: &Path, request: Request) -> anyhow::Result<Replies> {
    let config = config::load(path, std::env::vars(), Role::Tool)?;
    if let Some(mut client) = Client::connect(&config.control).await? {
        client.send(&request).await?;
        return Ok(Replies::Running(Box::new(client)));
    }
    let pause = Pause::of(&config.control);
    let service = Service::new(queue::open(&config.broker)?, Watching::nobody(&config), pause);
    let peer = Peer::own()?;
    let (sender, replies) = mpsc::channel(REPLIES);
    let work = async move { service.answer(request, &peer, sender).await };
    Ok(Replies::Own { replies, _work: AbortOnDropHandle::new(tokio::spawn(work)) })
}

/// Sends a request of which only the end matters.
pub async fn tell(path: &Path, request: Request) -> anyhow::Result<()> {
    let mut replies = ask(path, request).await?;
    while replies.next().await?.is_some() {}
    Ok(())
}

impl Replies {
    /// The next reply; none after the last. What did not work is an error.
    pub async fn next(&mut self) -> anyhow::Result<Option<Reply>> {
        let reply = match self {
            Replies::Running(client) => client.receive().await?,
            Replies::Own { replies, .. } => {
                let ended = || anyhow::anyhow!("the work ended without a result");
                replies.recv().await.ok_or_else(ended)?
            }
        };
        match reply {
            Reply::End => Ok(None),
            Reply::Failed(text) => Err(anyhow::anyhow!(text)),
            reply => Ok(Some(reply)),
        }
    }
}
