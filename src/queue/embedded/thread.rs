//! The thread that owns the file.

use std::{
    sync::mpsc::{self, Receiver, RecvTimeoutError, Sender},
    thread::JoinHandle,
    time::Duration,
};

use jiff::Timestamp;
use tokio::sync::oneshot;
use tracing::{error, warn};

use super::{
    Queues,
    store::{Found, Store, Wanted, Write},
};
use crate::queue::{Queue, QueueError};

/// The most changes that share a transaction.
const MAX_BATCH: usize = 512;

/// The wait after a failure to look at the parked messages.
const AFTER_FAILURE: Duration = Duration::from_secs(5);

type Reply<T> = oneshot::Sender<Result<T, QueueError>>;

/// What the thread is asked for. Each asker waits for the reply, which bounds what waits here.
enum Request {
    Write(Write, Reply<()>),
    Read(Vec<Wanted>, Reply<Vec<Found>>),
    Depth(Queue, Reply<u64>),
    Close,
}

/// The running thread. Dropped, it finishes what was asked, closes the file and ends.
#[derive(Debug)]
pub(super) struct Thread {
    requests: Sender<Request>,
    handle: Option<JoinHandle<()>>,
}

impl Thread {
    /// Starts the thread.
    pub(super) fn start(store: Store, queues: Queues) -> Result<Thread, QueueError> {
        let (requests, receiver) = mpsc::channel();
        let handle = std::thread::Builder::new()
            .name("queue".into())
            .spawn(move || run(store, &receiver, &queues))
            .map_err(|error| {
                QueueError::Unavailable(format!("no thread for the queue: {error}"))
            })?;
        Ok(Thread { requests, handle: Some(handle) })
    }

    /// Asks for a change; the reply comes when it is on disk. The order of two calls is kept,
    /// whenever their replies are awaited.
    pub(super) fn write(
        &self,
        write: Write,
    ) -> impl Future<Output = Result<(), QueueError>> + use<> {
        self.ask(|reply| Request::Write(write, reply))
    }

    /// Reads messages.
    pub(super) async fn read(&self, wanted: Vec<Wanted>) -> Result<Vec<Found>, QueueError> {
        self.ask(|reply| Request::Read(wanted, reply)).await
    }

    /// How many messages a queue holds.
    pub(super) async fn depth(&self, queue: Queue) -> Result<u64, QueueError> {
        self.ask(|reply| Request::Depth(queue, reply)).await
    }

    fn ask<T, F: FnOnce(Reply<T>) -> Request>(
        &self,
        request: F,
    ) -> impl Future<Output = Result<T, QueueError>> + use<T, F> {
        let (reply, answer) = oneshot::channel();
        let sent = self.requests.send(request(reply));
        async move {
            let gone = || QueueError::Unavailable("the queue's thread has ended".into());
            sent.map_err(|_| gone())?;
            answer.await.unwrap_or_else(|_| Err(gone()))
        }
    }
}

impl Drop for Thread {
    fn drop(&mut self) {
        let _closed_already = self.requests.send(Request::Close);
        if let Some(Err(_)) = self.handle.take().map(JoinHandle::join) {
            error!("the queue's thread has panicked");
        }
    }
}

fn run(mut store: Store, requests: &Receiver<Request>, queues: &Queues) {
    let mut open = true;
    while open {
        let wait = move_due(&mut store, queues);
        let first = match wait {
            Some(wait) => match requests.recv_timeout(wait) {
                Ok(request) => request,
                Err(RecvTimeoutError::Timeout) => continue,
                Err(RecvTimeoutError::Disconnected) => return,
            },
            None => match requests.recv() {
                Ok(request) => request,
                Err(_) => return,
            },
        };
        let mut writes = Vec::new();
        let mut others = Vec::new();
        for request in std::iter::once(first).chain(requests.try_iter()).take(MAX_BATCH) {
            match request {
                Request::Write(write, reply) => writes.push((write, reply)),
                Request::Close => open = false,
                other => others.push(other),
            }
        }
        commit(&mut store, writes, queues);
        for request in others {
            match request {
                Request::Read(wanted, reply) => answer(reply, store.read(&wanted)),
                Request::Depth(queue, reply) => answer(reply, store.depth(queue)),
                Request::Write(..) | Request::Close => {}
            }
        }
    }
}

/// Moves what is due and tells how long to wait for the next.
fn move_due(store: &mut Store, queues: &Queues) -> Option<Duration> {
    let mut work = || {
        let now = Timestamp::now();
        if store.next_due()?.is_some_and(|due| due <= now) && store.move_due(now)? > 0 {
            wake(queues, Queue::Refresh);
        }
        Ok::<_, QueueError>(store.next_due()?.map(|due| Duration::try_from(due - now)))
    };
    match work() {
        Ok(wait) => wait.map(|wait| wait.unwrap_or_default()),
        Err(error) => {
            warn!(%error, "cannot look after parked messages");
            Some(AFTER_FAILURE)
        }
    }
}

fn commit(store: &mut Store, writes: Vec<(Write, Reply<()>)>, queues: &Queues) {
    if writes.is_empty() {
        return;
    }
    let result = store.apply(writes.iter().map(|(write, _)| write));
    for (write, reply) in writes {
        match &result {
            Ok(()) => {
                if let Write::Publish(queue, _) = write {
                    wake(queues, queue);
                }
                answer(reply, Ok(()));
            }
            Err(error) => answer(reply, Err(QueueError::Unavailable(error.to_string()))),
        }
    }
}

fn wake(queues: &Queues, queue: Queue) {
    if let Some(waiting) = queues.get(&queue) {
        waiting.wake.notify_one();
    }
}

fn answer<T>(reply: Reply<T>, result: Result<T, QueueError>) {
    // Whoever does not wait any longer does not need the answer.
    let _asker_gone = reply.send(result);
}
