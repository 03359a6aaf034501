//! The token: cached, renewed ahead of its end, and asked for by one caller at a time.

use std::{
    sync::{Arc, PoisonError, RwLock},
    time::Duration,
};

use reqwest::header::HeaderValue;
use tokio::{
    sync::{Mutex, MutexGuard},
    time::Instant,
};
use tracing::{info, warn};

use super::{
    credential::{Credential, parse_grant},
    error::GraphError,
    operation::Operation,
    transport::Transport,
};

/// A token is renewed this long before it ends, or at half of a shorter life.
const AHEAD: Duration = Duration::from_secs(300);

/// When a renewal failed, the next try waits this long, as long as the token still serves.
const RENEWAL_PAUSE: Duration = Duration::from_secs(30);

/// A token in use.
#[derive(Clone)]
pub(super) struct Token {
    /// The value of `Authorization`.
    pub(super) header: HeaderValue,
    number: u64,
    renew_at: Instant,
    ends_at: Instant,
}

/// The tokens of one credential.
#[derive(Clone)]
pub(super) struct Tokens(Arc<Inner>);

struct Inner {
    credential: Credential,
    transport: Arc<Transport>,
    current: RwLock<Option<Token>>,
    /// Held by whoever asks the authority.
    authority: Mutex<Asked>,
}

#[derive(Default)]
struct Asked {
    grants: u64,
    /// When the last request failed, and how.
    failure: Option<(Instant, GraphError)>,
}

impl Tokens {
    pub(super) fn new(credential: Credential, transport: Arc<Transport>) -> Tokens {
        let (current, authority) = (RwLock::default(), Mutex::default());
        Tokens(Arc::new(Inner { credential, transport, current, authority }))
    }

    /// A token that is good now. One that still serves is not waited for while it is renewed.
    pub(super) async fn current(&self) -> Result<Token, GraphError> {
        let now = Instant::now();
        match self.0.known() {
            Some(token) if now < token.renew_at => Ok(token),
            Some(token) if now < token.ends_at => {
                let inner = Arc::clone(&self.0);
                tokio::spawn(async move { inner.renew().await });
                Ok(token)
            }
            known => self.other_than(known.map(|token| token.number)).await,
        }
    }

    /// Another token than the one that Graph refused.
    pub(super) async fn instead_of(&self, refused: &Token) -> Result<Token, GraphError> {
        self.other_than(Some(refused.number)).await
    }

    /// Asks in a task of its own: a caller who goes away must not make the next one ask again.
    async fn other_than(&self, old: Option<u64>) -> Result<Token, GraphError> {
        let (inner, since) = (Arc::clone(&self.0), Instant::now());
        let asking = tokio::spawn(async move { inner.replace(old, since).await });
        asking.await.unwrap_or_else(|_| {
            let message = "the request for a token was dropped".to_owned();
            Err(GraphError::unanswered(Operation::Token, message))
        })
    }
}

impl Inner {
    fn known(&self) -> Option<Token> {
        self.current.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Replaces the token of that number, unless somebody did.
    async fn replace(&self, old: Option<u64>, since: Instant) -> Result<Token, GraphError> {
        let asked = self.authority.lock().await;
        if let Some(token) = self.known()
            && Some(token.number) != old
        {
            return Ok(token);
        }
        // Whoever waited while a request failed shares its failure.
        if let Some((failed, error)) = &asked.failure
            && *failed >= since
        {
            return Err(error.clone());
        }
        self.ask(asked).await
    }

    /// Renews the token ahead of its end, unless somebody does.
    async fn renew(&self) {
        let Ok(asked) = self.authority.try_lock() else { return };
        if self.known().is_some_and(|token| Instant::now() < token.renew_at) {
            return;
        }
        if let Err(error) = self.ask(asked).await {
            warn!(%error, remedy = error.remedy(), "the token could not be renewed yet");
            let mut current = self.current.write().unwrap_or_else(PoisonError::into_inner);
            if let Some(token) = &mut *current {
                token.renew_at = Instant::now() + RENEWAL_PAUSE;
            }
        }
    }

    async fn ask(&self, mut asked: MutexGuard<'_, Asked>) -> Result<Token, GraphError> {
        let operation = self.credential.operation();
        let result = match self.credential.request() {
            Ok(request) => self.transport.send(operation, request).await,
            Err(error) => Err(error),
        };
        let grant = result.and_then(|reply| parse_grant(operation, &reply.body));
        let token = grant.and_then(|grant| {
            let unusable = "the token is not a valid header value".to_owned();
            let mut header = HeaderValue::try_from(format!("Bearer {}", grant.token.expose()))
                .map_err(|_| GraphError::unanswered(operation, unusable))?;
            header.set_sensitive(true);
            let (now, life) = (Instant::now(), grant.lifetime);
            let renew_at = now + life - AHEAD.min(life / 2);
            Ok(Token { header, number: asked.grants + 1, renew_at, ends_at: now + life })
        });
        match &token {
            Ok(token) => {
                let lifetime = token.ends_at.duration_since(Instant::now()).as_secs();
                info!(lifetime, "got a token for graph");
                asked.grants += 1;
                asked.failure = None;
                *self.current.write().unwrap_or_else(PoisonError::into_inner) = Some(token.clone());
            }
            Err(error) => asked.failure = Some((Instant::now(), error.clone())),
        }
        token
    }
}
