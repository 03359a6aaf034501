//! What carries a request to its answer: pooled connections over TCP, and in tests a function.

use std::{error::Error, fmt::Write, time::Duration};

use reqwest::{Client, Request, Response, StatusCode, header::HeaderMap, redirect};
use rustls::ClientConfig;

const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);

/// A request that has no answer after this time is given up.
pub const REQUEST_TIMEOUT: Duration = Duration::from_secs(20);

/// The largest answer that is read, in bytes.
const MAX_ANSWER: usize = 4 << 20;

/// An answer as it came.
pub(super) type Answer = (StatusCode, HeaderMap, Vec<u8>);

/// Why no answer came.
pub(super) struct Silence {
    pub(super) message: String,
    pub(super) timed_out: bool,
}

/// A way to the server.
#[derive(Clone)]
pub(super) enum Wire {
    /// A pool of connections.
    Tcp(Client),
    /// A server in this process, without sockets: it obeys the runtime's clock.
    #[cfg(test)]
    Local(super::stub::Local),
}

impl Wire {
    /// A new pool; `proxied` says whether the proxy that the environment names is used.
    pub(super) fn tcp(tls: &ClientConfig, proxied: bool) -> Result<Wire, reqwest::Error> {
        let builder = Client::builder()
            .tls_backend_preconfigured(tls.clone())
            .user_agent(concat!("entra-relay/", env!("CARGO_PKG_VERSION")))
            .connect_timeout(CONNECT_TIMEOUT)
            .timeout(REQUEST_TIMEOUT)
            // A redirect would carry the token or the secret elsewhere.
            .redirect(redirect::Policy::none());
        Ok(Wire::Tcp(if proxied { builder } else { builder.no_proxy() }.build()?))
    }

    /// Sends a request and reads its answer, both bounded in time and size.
    pub(super) async fn exchange(&self, request: Request) -> Result<Answer, Silence> {
        match self {
            Wire::Tcp(http) => {
                let mut response = http.execute(request).await?;
                let body = read(&mut response).await?;
                let headers = std::mem::take(response.headers_mut());
                Ok((response.status(), headers, body))
            }
            #[cfg(test)]
            Wire::Local(answer) => {
                let told = tokio::time::timeout(REQUEST_TIMEOUT, answer(request)).await;
                let message = "operation timed out".to_owned();
                told.map_err(|_| Silence { message, timed_out: true })?
                    .ok_or_else(|| Silence { message: "connection reset".into(), timed_out: false })
            }
        }
    }
}

async fn read(response: &mut Response) -> Result<Vec<u8>, Silence> {
    let mut body = Vec::new();
    while let Some(chunk) = response.chunk().await? {
        if body.len() + chunk.len() > MAX_ANSWER {
            let message = format!("the answer has more than {MAX_ANSWER} bytes");
            return Err(Silence { message, timed_out: false });
        }
        body.extend_from_slice(&chunk);
    }
    Ok(body)
}

impl From<reqwest::Error> for Silence {
    /// The URL is left out, for its query names users; the causes are told instead.
    fn from(error: reqwest::Error) -> Silence {
        let timed_out = error.is_timeout();
        let error = error.without_url();
        let mut message = error.to_string();
        let mut cause = error.source();
        while let Some(error) = cause {
            let _infallible = write!(message, ": {error}");
            cause = error.source();
        }
        Silence { message, timed_out }
    }
}
