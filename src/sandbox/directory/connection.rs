//! One connection: reads requests, answers them in order, keeps its notifications running.

use std::{collections::HashMap, io, sync::Arc, time::Duration};

use bytes::Bytes;
use futures_util::StreamExt;
use ldap3_proto::{
    LdapResultCode,
    proto::{LdapBindResponse, LdapExtendedResponse, LdapMsg, LdapOp, LdapResult},
};
use tokio::{
    io::AsyncWriteExt,
    net::{
        TcpStream,
        tcp::{OwnedReadHalf, OwnedWriteHalf},
    },
    sync::mpsc,
    task::{AbortHandle, JoinSet},
    time::timeout,
};
use tokio_util::{codec::FramedRead, sync::CancellationToken};

use super::{
    codec::{self, Codec, Request},
    refusal::{Refusal, result},
    server::{Directory, Rights},
};

/// `MaxConnIdleTime` of the default LDAP policy.
const IDLE: Duration = Duration::from_secs(900);
/// A client that takes nothing for so long is gone.
const WRITE: Duration = Duration::from_secs(120);
/// Replies waiting for the socket, each of at most one page.
const QUEUE: usize = 16;
/// Notice of disconnection (RFC 4511 section 4.4.1)
const NOTICE: &str = "1.3.6.1.4.1.1466.20036";

/// Serves a connection until the client leaves or `cut` ends it.
pub async fn serve(stream: TcpStream, directory: Arc<Directory>, cut: CancellationToken) {
    // A failure costs latency only.
    let _ = stream.set_nodelay(true);
    let (read, write) = stream.into_split();
    let (replies, queue) = mpsc::channel(QUEUE);
    let mut writer = tokio::spawn(write_all(write, queue));
    let connection = Connection {
        directory,
        replies,
        rights: None,
        watches: JoinSet::new(),
        watch_ids: HashMap::new(),
    };
    let served = cut.run_until_cancelled(async {
        tokio::select! {
            outcome = connection.run(read) => {
                if let Err(error) = outcome {
                    tracing::debug!(%error, "a connection to the sandbox directory failed");
                }
                // What is queued still goes out.
                let _ = (&mut writer).await;
            }
            _ = &mut writer => {}
        }
    });
    if served.await.is_none() {
        writer.abort();
    }
}

async fn write_all(mut socket: OwnedWriteHalf, mut queue: mpsc::Receiver<Bytes>) {
    while let Some(bytes) = queue.recv().await {
        if !matches!(timeout(WRITE, socket.write_all(&bytes)).await, Ok(Ok(()))) {
            return;
        }
    }
}

/// The state of a connection.
pub struct Connection {
    /// The directory it talks to.
    pub directory: Arc<Directory>,
    /// Where its replies go.
    pub replies: mpsc::Sender<Bytes>,
    /// What the bound account may do; `None` while anonymous.
    pub rights: Option<Rights>,
    /// Its notification searches; they end with the connection.
    pub watches: JoinSet<()>,
    /// Their message ids.
    pub watch_ids: HashMap<i32, AbortHandle>,
}

impl Connection {
    async fn run(mut self, socket: OwnedReadHalf) -> io::Result<()> {
        let mut requests = FramedRead::new(socket, Codec);
        loop {
            let request = match timeout(IDLE, requests.next()).await {
                Ok(None) => return Ok(()),
                Ok(Some(Ok(request))) => request,
                Ok(Some(Err(error))) => {
                    self.send([notice(&error.to_string())]).await?;
                    return Err(error);
                }
                // A client that only listens is not idle.
                Err(_) if !self.watches.is_empty() => continue,
                Err(_) => return Ok(()),
            };
            match request.op {
                LdapOp::UnbindRequest => return Ok(()),
                LdapOp::AbandonRequest(id) => self.abandon(id),
                _ => self.answer(request).await?,
            }
            while self.watches.try_join_next().is_some() {}
        }
    }

    /// Hands messages to the writer.
    pub async fn send(&self, messages: impl IntoIterator<Item = LdapMsg>) -> io::Result<()> {
        let bytes = codec::encode(messages)?;
        self.replies.send(bytes).await.map_err(|_| io::ErrorKind::BrokenPipe.into())
    }

    fn abandon(&mut self, id: i32) {
        // Only notifications last; everything else is answered before the next request is read.
        if let Some(watch) = self.watch_ids.remove(&id) {
            watch.abort();
        }
    }

    async fn answer(&mut self, request: Request) -> io::Result<()> {
        let Request { id, op, filter, controls } = request;
        let controls = match controls {
            Ok(controls) => controls,
            Err(refusal) => return self.send([refuse(id, &op, refusal)]).await,
        };
        if let (LdapOp::SearchRequest(search), Some(filter)) = (&op, filter) {
            return match self.search(id, search, filter, controls).await? {
                Ok(()) => Ok(()),
                Err(refusal) => self.send([refuse(id, &op, refusal)]).await,
            };
        }
        let outcome = match &op {
            LdapOp::BindRequest(bind) => {
                // A bind ends what ran before it (RFC 4511 section 4.2.1).
                self.watches.abort_all();
                self.watch_ids.clear();
                self.rights = None;
                self.directory.bind(bind).map(|rights| self.rights = rights)
            }
            _ => self.change(&op, controls.show_deleted),
        };
        self.send([reply(id, &op, result(outcome))]).await
    }

    fn change(&self, op: &LdapOp, show_deleted: bool) -> Result<(), Refusal> {
        let unknown = || {
            let message = "0000203D: LdapErr: comment: Unknown request";
            Refusal::new(LdapResultCode::ProtocolError, message)
        };
        let writes = matches!(
            op,
            LdapOp::AddRequest(_)
                | LdapOp::ModifyRequest(_)
                | LdapOp::DelRequest(_)
                | LdapOp::ModifyDNRequest(_)
        );
        if !writes {
            return Err(unknown());
        }
        if !self.rights()?.write {
            return Err(Refusal::access_denied());
        }
        self.directory.write(|store| match op {
            LdapOp::AddRequest(add) => store.add(&add.dn, add.attributes.clone()).map(drop),
            LdapOp::ModifyRequest(modify) => {
                let slot = store.target(&modify.dn, show_deleted)?;
                store.modify(slot, modify.changes.clone())
            }
            LdapOp::DelRequest(dn) => {
                let slot = store.target(dn, false)?;
                store.delete(slot)
            }
            LdapOp::ModifyDNRequest(rename) => {
                let slot = store.target(&rename.dn, false)?;
                store.rename(slot, rename)
            }
            _ => Err(unknown()),
        })
    }

    /// What the bound account may do; an anonymous user may do nothing.
    pub fn rights(&self) -> Result<Rights, Refusal> {
        self.rights.ok_or_else(|| {
            let message = "00002020: Operation unavailable without authentication";
            Refusal::new(LdapResultCode::OperationsError, message)
        })
    }
}

fn refuse(id: i32, op: &LdapOp, refusal: Refusal) -> LdapMsg {
    reply(id, op, result(Err(refusal)))
}

/// The reply that belongs to a request.
fn reply(id: i32, op: &LdapOp, res: LdapResult) -> LdapMsg {
    let reply = match op {
        LdapOp::BindRequest(_) => LdapOp::BindResponse(LdapBindResponse { res, saslcreds: None }),
        LdapOp::SearchRequest(_) => LdapOp::SearchResultDone(res),
        LdapOp::AddRequest(_) => LdapOp::AddResponse(res),
        LdapOp::ModifyRequest(_) => LdapOp::ModifyResponse(res),
        LdapOp::DelRequest(_) => LdapOp::DelResponse(res),
        LdapOp::ModifyDNRequest(_) => LdapOp::ModifyDNResponse(res),
        LdapOp::CompareRequest(_) => LdapOp::CompareResult(res),
        _ => LdapOp::ExtendedResponse(LdapExtendedResponse { res, name: None, value: None }),
    };
    LdapMsg::new(id, reply)
}

fn notice(reason: &str) -> LdapMsg {
    let message = format!("00000057: LdapErr: comment: {reason}");
    let res = result(Err(Refusal::new(LdapResultCode::ProtocolError, message)));
    let name = Some(NOTICE.to_owned());
    LdapMsg::new(0, LdapOp::ExtendedResponse(LdapExtendedResponse { res, name, value: None }))
}
