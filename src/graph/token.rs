//! The token: cached, renewed ahead of its end, and asked for by one caller at a time.

use std::time::{Duration, Instant};

use reqwest::header::HeaderValue;
use tokio::sync::Mutex;
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
pub(super) struct Tokens {
    credential: Credential,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    token: Option<Token>,
    requests: u64,
    /// When the last request failed, and how.
    failure: Option<(Instant, GraphError)>,
}

impl Tokens {
    pub(super) fn new(credential: Credential) -> Tokens {
        Tokens { credential, state: Mutex::default() }
    }

    /// A token that is good now.
    pub(super) async fn current(&self, transport: &Transport) -> Result<Token, GraphError> {
        let asked = Instant::now();
        let mut state = self.state.lock().await;
        if let Some(token) = &state.token
            && Instant::now() < token.renew_at
        {
            return Ok(token.clone());
        }
        let error = match self.request(&mut state, asked, transport).await {
            Ok(token) => return Ok(token),
            Err(error) => error,
        };
        match &mut state.token {
            Some(token) if Instant::now() < token.ends_at => {
                warn!(%error, remedy = error.remedy(), "the token could not be renewed yet");
                token.renew_at = Instant::now() + RENEWAL_PAUSE;
                Ok(token.clone())
            }
            _ => Err(error),
        }
    }

    /// Another token than the one that Graph refused.
    pub(super) async fn instead_of(
        &self,
        refused: &Token,
        transport: &Transport,
    ) -> Result<Token, GraphError> {
        let asked = Instant::now();
        let mut state = self.state.lock().await;
        match &state.token {
            Some(token) if token.number != refused.number => Ok(token.clone()),
            _ => {
                state.token = None;
                self.request(&mut state, asked, transport).await
            }
        }
    }

    /// Asks the authority. Whoever waited for the lock while a request failed shares its failure.
    async fn request(
        &self,
        state: &mut State,
        asked: Instant,
        transport: &Transport,
    ) -> Result<Token, GraphError> {
        if let Some((failed, error)) = &state.failure
            && *failed >= asked
        {
            return Err(error.clone());
        }
        let result = match self.credential.request() {
            Ok(request) => transport.send(Operation::Token, request).await,
            Err(error) => Err(error),
        };
        let grant = result.and_then(|reply| parse_grant(&reply.body));
        let token = grant.and_then(|grant| {
            let unusable = "the token is not a valid header value".to_owned();
            let mut header = HeaderValue::try_from(format!("Bearer {}", grant.token.expose()))
                .map_err(|_| GraphError::unanswered(Operation::Token, unusable))?;
            header.set_sensitive(true);
            let (now, life) = (Instant::now(), grant.lifetime);
            let renew_at = now + life - AHEAD.min(life / 2);
            Ok(Token { header, number: state.requests + 1, renew_at, ends_at: now + life })
        });
        match &token {
            Ok(token) => {
                let lifetime = token.ends_at.duration_since(Instant::now()).as_secs();
                info!(lifetime, "got a token for graph");
                state.requests += 1;
                state.failure = None;
                state.token = Some(token.clone());
            }
            Err(error) => state.failure = Some((Instant::now(), error.clone())),
        }
        token
    }
}
