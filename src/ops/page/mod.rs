//! The status page: one document without outside assets, and `/status.json`, which it shows.
//!
//! The browser is told to run nothing but this script and to ask nobody but this listener (Content
//! Security Policy Level 3). Trusted Types are required and none is made, so that no text, whoever
//! wrote it, can become markup.

use std::sync::LazyLock;

use axum::{
    Json, Router,
    extract::State,
    http::{HeaderName, HeaderValue, header},
    response::{Html, IntoResponse},
    routing::get,
};
use base64::{Engine, prelude::BASE64_STANDARD};
use sha2::{Digest, Sha256};

use super::status::Status;

/// Macros, for `concat!` takes no constants.
macro_rules! style {
    () => {
        concat!(include_str!("colours.css"), include_str!("layout.css"))
    };
}

macro_rules! script {
    () => {
        concat!(
            include_str!("words.js"),
            include_str!("draw.js"),
            include_str!("flow.js"),
            include_str!("plot.js"),
            include_str!("page.js"),
        )
    };
}

const PAGE: &str = concat!(
    include_str!("head.html"),
    "<style>",
    style!(),
    "</style>",
    include_str!("body.html"),
    "<script>",
    script!(),
    "</script>\n",
);

static POLICY: LazyLock<HeaderValue> = LazyLock::new(|| {
    let policy = format!(
        "default-src 'none'; script-src '{}'; style-src '{}'; connect-src 'self'; img-src data:; \
         base-uri 'none'; form-action 'none'; frame-ancestors 'none'; \
         require-trusted-types-for 'script'; trusted-types 'none'",
        hash(script!()),
        hash(style!())
    );
    HeaderValue::from_str(&policy).expect("the policy is visible ASCII")
});

/// The page and what it shows.
pub(super) fn routes(status: Status) -> Router {
    Router::new().route("/", get(page)).route("/status.json", get(document)).with_state(status)
}

async fn page() -> impl IntoResponse {
    let policy = [(header::CONTENT_SECURITY_POLICY, POLICY.clone())];
    (policy, caution(), Html(PAGE))
}

async fn document(State(status): State<Status>) -> impl IntoResponse {
    (caution(), Json(status.document()))
}

/// What holds for both: no guessing of types, no copies, nothing for other sites.
fn caution() -> [(HeaderName, &'static str); 4] {
    [
        (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
        (header::CACHE_CONTROL, "no-store"),
        (header::REFERRER_POLICY, "no-referrer"),
        (HeaderName::from_static("cross-origin-resource-policy"), "same-origin"),
    ]
}

/// A source expression for an inline element (CSP Level 3, section 2.3.1).
fn hash(text: &str) -> String {
    format!("sha256-{}", BASE64_STANDARD.encode(Sha256::digest(text)))
}

#[cfg(test)]
mod tests;
