//! Sets a password.

use bytes::Bytes;
use reqwest::Method;
use secrecy::zeroize::Zeroizing;
use serde::Serialize;

use super::{client::GraphClient, error::GraphError, operation::Operation, users::Accepted};
use crate::sealing::{MAX_PASSWORD, Password};

/// Room for the body: each byte of the password may have six in JSON.
const BODY: usize = 6 * MAX_PASSWORD + 128;

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Body<'a> {
    password_profile: Profile<'a>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Profile<'a> {
    password: &'a str,
    force_change_password_next_sign_in: bool,
}

impl GraphClient {
    /// Sets the password. Sent alone: beside other properties, one missing permission would fail
    /// both. The body is wiped once it is sent; what HTTP and TLS make of it is theirs.
    pub async fn set_password(
        &self,
        id: &str,
        password: &Password,
        must_change: bool,
    ) -> Result<Accepted, GraphError> {
        let profile = Profile {
            password: password.expose(),
            force_change_password_next_sign_in: must_change,
        };
        // With its room from the start, it is in one place only.
        let mut body = Zeroizing::new(Vec::with_capacity(BODY));
        serde_json::to_writer(&mut *body, &Body { password_profile: profile })
            .expect("a text and a flag always serialize");
        let (url, body) = (self.url(&["users", id]), Bytes::from_owner(body));
        let reply = self.call_with(Operation::SetPassword, Method::PATCH, url, Some(body)).await;
        // Whatever a gateway says, the password is not repeated in a log or a dead letter.
        let reply = reply.map_err(|mut error| {
            if error.message.contains(password.expose()) {
                error.message = "the answer repeats the password and is not shown".into();
            }
            error
        })?;
        Ok(Accepted { request_id: reply.request_id })
    }
}
