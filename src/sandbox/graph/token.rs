//! Access tokens: three base64url parts, signed with a key that dies with the simulator.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};
use tokio::time::Instant;

use super::error::GraphError;
use super::permissions::Granted;

/// The audience of the real Graph, accepted beside the simulator's own address.
const GRAPH: &str = "https://graph.microsoft.com";

/// Signs and checks tokens.
#[derive(Debug)]
pub(super) struct Tokens {
    key: [u8; 32],
    started: (Timestamp, Instant),
    issued: AtomicU64,
    /// Tokens up to this number have been expired by hand.
    expired: AtomicU64,
}

/// The payload of a token: the claims an app-only token of Entra has, as far as they matter.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(super) struct Claims {
    pub(super) aud: String,
    pub(super) tid: String,
    pub(super) appid: String,
    pub(super) roles: Vec<String>,
    iat: i64,
    exp: i64,
    /// The token's number.
    uti: String,
}

impl Tokens {
    pub(super) fn new() -> Self {
        Self {
            key: rand::random(),
            started: (Timestamp::now(), Instant::now()),
            issued: AtomicU64::new(0),
            expired: AtomicU64::new(0),
        }
    }

    /// Issues a token.
    pub(super) fn issue(
        &self,
        aud: &str,
        tid: &str,
        appid: &str,
        roles: Vec<String>,
        lifetime: Duration,
    ) -> String {
        let now = self.now();
        let number = self.issued.fetch_add(1, Ordering::SeqCst) + 1;
        let claims = Claims {
            aud: aud.to_owned(),
            tid: tid.to_owned(),
            appid: appid.to_owned(),
            roles,
            iat: now,
            exp: now.saturating_add_unsigned(lifetime.as_secs()),
            uti: number.to_string(),
        };
        let payload = serde_json::to_vec(&claims).expect("claims are plain JSON");
        let header = URL_SAFE_NO_PAD.encode(r#"{"typ":"JWT","alg":"sandbox"}"#);
        let signed = format!("{header}.{}", URL_SAFE_NO_PAD.encode(payload));
        let signature = self.sign(&signed);
        format!("{signed}.{signature}")
    }

    /// What a token grants, or why it does not.
    pub(super) fn check(&self, token: Option<&str>) -> Result<Claims, GraphError> {
        let token = token.filter(|token| !token.is_empty());
        let token = token.ok_or_else(|| GraphError::unauthorized("Access token is empty."))?;
        let (signed, signature) = token
            .rsplit_once('.')
            .ok_or_else(|| GraphError::unauthorized("IDX14100: JWT is not well formed."))?;
        if signature != self.sign(signed) {
            return Err(failed("Invalid signature."));
        }
        let claims = claims(signed).ok_or_else(|| failed("Invalid payload."))?;
        let number: u64 = claims.uti.parse().map_err(|_| failed("Invalid payload."))?;
        if claims.exp <= self.now() || number <= self.expired.load(Ordering::SeqCst) {
            return Err(GraphError::unauthorized(
                "Lifetime validation failed, the token is expired.",
            ));
        }
        if !is_graph(&claims.aud) {
            return Err(failed("Invalid audience."));
        }
        Ok(claims)
    }

    /// Expires every token issued so far.
    pub(super) fn expire(&self) {
        self.expired.store(self.issued.load(Ordering::SeqCst), Ordering::SeqCst);
    }

    /// The time in seconds by the runtime's clock, which a test may turn.
    fn now(&self) -> i64 {
        let (at, since) = self.started;
        at.as_second().saturating_add_unsigned(since.elapsed().as_secs())
    }

    fn sign(&self, text: &str) -> String {
        let digest = Sha256::new().chain_update(self.key).chain_update(text).finalize();
        URL_SAFE_NO_PAD.encode(digest)
    }
}

impl Claims {
    pub(super) fn granted(&self) -> Granted {
        Granted(self.roles.clone())
    }
}

/// Whether a resource is this Graph: the real one's name, or any plain-HTTP address, for under
/// which name or behind which proxy the simulator is reached it cannot know.
pub(super) fn is_graph(resource: &str) -> bool {
    let resource = resource.trim_end_matches('/');
    resource == GRAPH || resource.strip_prefix("http://").is_some_and(|host| !host.is_empty())
}

fn failed(why: &str) -> GraphError {
    GraphError::unauthorized(&format!("Access token validation failure. {why}"))
}

fn claims(signed: &str) -> Option<Claims> {
    let (_, payload) = signed.split_once('.')?;
    serde_json::from_slice(&URL_SAFE_NO_PAD.decode(payload).ok()?).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refusal(tokens: &Tokens, token: &str) -> String {
        tokens.check(Some(token)).err().map(|error| error.message).unwrap_or_default()
    }

    #[test]
    fn tokens_are_checked() {
        let tokens = Tokens::new();
        let hour = Duration::from_secs(3600);
        let good = tokens.issue(GRAPH, "t", "a", vec!["User.Read.All".to_owned()], hour);
        assert_eq!(tokens.check(Some(&good)).expect("good").roles, ["User.Read.All"]);
        assert_eq!(good.split('.').count(), 3);

        let stranger = tokens.issue("https://vault.azure.net", "t", "a", Vec::new(), hour);
        assert!(refusal(&tokens, &stranger).contains("audience"));
        let stale = tokens.issue(GRAPH, "t", "a", Vec::new(), Duration::ZERO);
        assert!(refusal(&tokens, &stale).contains("expired"));
        assert!(refusal(&Tokens::new(), &good).contains("signature"));
        assert!(refusal(&tokens, "opaque").contains("IDX14100"));
        assert!(tokens.check(None).is_err());

        tokens.expire();
        assert!(refusal(&tokens, &good).contains("expired"));
        let renewed = tokens.issue(GRAPH, "t", "a", Vec::new(), hour);
        assert_eq!(refusal(&tokens, &renewed), "");
    }
}
