//! The end that serves.

use std::{io, sync::Arc, time::Duration};

use futures_util::{SinkExt, StreamExt};
use tokio::{
    net::UnixStream,
    sync::{Semaphore, mpsc},
    time::{sleep, timeout},
};
use tokio_util::{
    codec::{Framed, LinesCodec},
    sync::CancellationToken,
    task::TaskTracker,
};
use tracing::{debug, warn};

use super::{
    peer::Peer,
    protocol::{MAX_REQUEST, Reply, Request},
    service::Service,
    socket::Socket,
};
use crate::config::model;

/// Connections at once; more wait.
const MAX_CONNECTIONS: usize = 16;

/// How long a peer may take to say what it wants, and to take an answer.
const PEER_TIMEOUT: Duration = Duration::from_secs(30);

/// Replies that wait for the peer to read them.
const REPLIES: usize = 64;

/// A control socket that is bound but does not serve yet.
#[derive(Debug)]
pub struct Server {
    socket: Socket,
    owner: Peer,
}

impl Server {
    /// Binds the socket, so that a path in use is told before anything else starts.
    pub fn bind(config: &model::Control) -> io::Result<Server> {
        let path = config.path().ok_or_else(|| {
            io::Error::new(io::ErrorKind::InvalidInput, "control.listen is not unix:PATH")
        })?;
        Ok(Server { socket: Socket::bind(path, "control.listen")?, owner: Peer::own()? })
    }

    /// Serves until the shutdown, then removes the socket. What is being done then is dropped.
    pub async fn serve(self, service: Arc<Service>, shutdown: CancellationToken) {
        let connections = TaskTracker::new();
        let room = Arc::new(Semaphore::new(MAX_CONNECTIONS));
        while let Some(accepted) = shutdown.run_until_cancelled(self.socket.listener.accept()).await
        {
            let stream = match accepted {
                Ok((stream, _)) => stream,
                Err(error) => {
                    // Out of file descriptors, most likely: it would come again at once.
                    warn!(%error, "the control socket accepts no connection");
                    sleep(Duration::from_secs(1)).await;
                    continue;
                }
            };
            let Ok(place) = Arc::clone(&room).acquire_owned().await else { break };
            let (service, owner, shutdown) = (Arc::clone(&service), self.owner, shutdown.clone());
            connections.spawn(async move {
                let conversation = converse(stream, owner, &service);
                if let Some(Err(error)) = shutdown.run_until_cancelled(conversation).await {
                    debug!(%error, "a control connection ended");
                }
                drop(place);
            });
        }
        drop(self.socket);
        connections.close();
        connections.wait().await;
    }
}

type Lines = Framed<UnixStream, LinesCodec>;

/// One request and its replies.
async fn converse(stream: UnixStream, owner: Peer, service: &Service) -> io::Result<()> {
    let peer = Peer::of(&stream)?;
    let mut lines = Framed::new(stream, LinesCodec::new_with_max_length(MAX_REQUEST));
    if !peer.may_command(&owner) {
        warn!(%peer, "refused a control connection of another user");
        let text = format!("this process belongs to {owner}: be that user, or root");
        return send(&mut lines, &Reply::Failed(text)).await;
    }
    let line = timeout(PEER_TIMEOUT, lines.next()).await.map_err(|_| io::ErrorKind::TimedOut)?;
    let request: Request = match line.map(|line| line.map(|line| serde_json::from_str(&line))) {
        None => return Ok(()),
        Some(Ok(Ok(request))) => request,
        Some(Ok(Err(error))) => {
            let text = format!("the running process does not understand this: {error}");
            return send(&mut lines, &Reply::Failed(text)).await;
        }
        Some(Err(error)) => return Err(io::Error::other(error)),
    };
    let (sender, mut replies) = mpsc::channel(REPLIES);
    let mut work = std::pin::pin!(service.answer(request, &peer, sender));
    let mut working = true;
    loop {
        tokio::select! {
            () = &mut work, if working => working = false,
            reply = replies.recv() => match reply {
                Some(reply) => send(&mut lines, &reply).await?,
                None => return Ok(()),
            },
            // Nothing more is expected: the peer has gone, and with it the wish for an answer.
            _ = lines.next(), if working => return Ok(()),
        }
    }
}

async fn send(lines: &mut Lines, reply: &Reply) -> io::Result<()> {
    let line = serde_json::to_string(reply).map_err(io::Error::other)?;
    let sent = timeout(PEER_TIMEOUT, lines.send(line)).await;
    sent.map_err(|_| io::ErrorKind::TimedOut)?.map_err(io::Error::other)
}
