//! What can go wrong on a connection, and what that means for whoever asked.

use std::{fmt, time::Duration};

use lapin::ErrorKind;

use crate::{queue::QueueError, text::one_line};

/// The longest that any single answer of the server is waited for.
pub(super) const ANSWER_TIMEOUT: Duration = Duration::from_secs(15);

/// The most that is shown of what the server says, in characters.
const MOST_SAID: usize = 500;

/// AMQP 0-9-1 reply codes (specification, section 1.1).
pub(super) mod code {
    pub(crate) const ACCESS_REFUSED: u16 = 403;
    pub(crate) const NOT_FOUND: u16 = 404;
    pub(crate) const RESOURCE_LOCKED: u16 = 405;
    pub(crate) const PRECONDITION_FAILED: u16 = 406;
    pub(crate) const NOT_ALLOWED: u16 = 530;
}

/// Why an operation did not succeed.
#[derive(Debug)]
pub(super) enum Fault {
    /// No answer in time to the named operation.
    Silence(&'static str),
    /// The client or the server reports an error.
    Error(lapin::Error),
}

impl Fault {
    /// The server's reply code, if the server closed a channel or the connection.
    pub(super) fn code(&self) -> Option<u16> {
        match self {
            Fault::Error(error) => match error.kind() {
                ErrorKind::ProtocolError(error) => Some(error.get_id()),
                _ => None,
            },
            Fault::Silence(_) => None,
        }
    }

    /// What the server said, or else what happened.
    pub(super) fn text(&self) -> String {
        match self {
            Fault::Silence(operation) => {
                format!("no answer to {operation} for {} s", ANSWER_TIMEOUT.as_secs())
            }
            Fault::Error(error) => match error.kind() {
                ErrorKind::ProtocolError(error) => error.get_message().to_string(),
                ErrorKind::IOError(error) => error.to_string(),
                _ => error.to_string(),
            },
        }
    }

    /// Whether the server's certificate was not accepted.
    pub(super) fn is_certificate(&self) -> bool {
        let Fault::Error(error) = self else { return false };
        let ErrorKind::IOError(error) = error.kind() else { return false };
        let inner = error.get_ref().and_then(|inner| inner.downcast_ref::<rustls::Error>());
        matches!(inner, Some(rustls::Error::InvalidCertificate(_)))
    }
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&one_line(&self.text(), MOST_SAID))
    }
}

impl From<Fault> for QueueError {
    fn from(fault: Fault) -> QueueError {
        match fault.code() {
            Some(code::ACCESS_REFUSED) => QueueError::Setup(format!(
                "the broker refuses: {fault}; give the user configure, write and read \
                 permission on ^relay\\. in this virtual host, or declare everything for it: \
                 deploy/rabbitmq/README.md"
            )),
            _ => QueueError::Unavailable(fault.text()),
        }
    }
}

/// Waits for an answer of the server, but not for ever.
pub(super) async fn within<T>(
    operation: &'static str,
    answer: impl Future<Output = lapin::Result<T>>,
) -> Result<T, Fault> {
    match tokio::time::timeout(ANSWER_TIMEOUT, answer).await {
        Ok(result) => result.map_err(Fault::Error),
        Err(_) => Err(Fault::Silence(operation)),
    }
}

#[cfg(test)]
mod tests {
    use lapin::protocol::{AMQPError, AMQPSoftError};

    use super::*;

    #[test]
    fn missing_rights_are_for_a_person_and_the_rest_for_a_retry() {
        let refused = AMQPError::new(AMQPSoftError::ACCESSREFUSED.into(), "no access".into());
        let error = QueueError::from(Fault::Error(ErrorKind::ProtocolError(refused).into()));
        assert!(!error.is_transient());
        assert!(error.to_string().contains("no access; give the user"), "{error}");
        assert!(QueueError::from(Fault::Silence("basic.qos")).is_transient());
    }
}
