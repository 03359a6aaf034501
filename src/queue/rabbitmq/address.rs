//! `broker.url`, taken apart, and the secrets that go with it.

use std::fmt;

use lapin::uri::{AMQPAuthority, AMQPScheme, AMQPUri, AMQPUserInfo};
use url::Url;

use crate::{
    config::{Secret, model},
    queue::QueueError,
};

/// Seconds between heartbeats; the client gives a silent server up after twice that.
const HEARTBEAT: u16 = 10;

/// The account that RabbitMQ comes with. It may log in from loopback only.
const GUEST: &str = "guest";

/// Where the broker is and who we are to it. Shown without the password.
pub(super) struct Address {
    uri: AMQPUri,
    password: Password,
}

/// Where the password comes from. The file is read for every connection, so a changed password
/// is taken up without a restart.
enum Password {
    Value(Secret),
    File(std::path::PathBuf),
}

impl Address {
    /// Checks the URL and that there is a password.
    pub(super) fn new(config: &model::Broker) -> Result<Address, QueueError> {
        let uri = parse(&config.url)
            .map_err(|what| QueueError::Setup(format!("broker.url cannot be used: {what}")))?;
        let user = &uri.authority.userinfo.username;
        let password = match (&config.password, &config.password_file) {
            (_, Some(path)) => Password::File(path.clone()),
            (Some(value), None) => Password::Value(value.clone()),
            (None, None) if user == GUEST => Password::Value(Secret::new(GUEST.into())),
            (None, None) => {
                let text =
                    format!("the broker's user {user} has no password; set broker.password_file");
                return Err(QueueError::Setup(text));
            }
        };
        let address = Address { uri, password };
        address.with_password()?;
        Ok(address)
    }

    /// What the client connects with. It holds the password: never show it.
    pub(super) fn with_password(&self) -> Result<AMQPUri, QueueError> {
        let mut uri = self.uri.clone();
        uri.authority.userinfo.password = match &self.password {
            Password::Value(secret) => secret.expose().to_owned(),
            Password::File(path) => Secret::read(path)
                .map_err(|error| QueueError::Setup(format!("broker.password_file: {error}")))?
                .expose()
                .to_owned(),
        };
        Ok(uri)
    }

    /// Whether the connection is encrypted.
    pub(super) fn is_tls(&self) -> bool {
        self.uri.scheme == AMQPScheme::AMQPS
    }
}

impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let AMQPAuthority { userinfo, host, port } = &self.uri.authority;
        let host = if host.contains(':') { format!("[{host}]") } else { host.clone() };
        let (scheme, user, vhost) = (&self.uri.scheme, &userinfo.username, &self.uri.vhost);
        write!(f, "{scheme}://{user}@{host}:{port}, virtual host {vhost}")
    }
}

impl fmt::Debug for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{self}")
    }
}

fn parse(text: &str) -> Result<AMQPUri, String> {
    let url = Url::parse(text).map_err(|error| error.to_string())?;
    if url.password().is_some() {
        return Err("it must not hold a password; use broker.password_file".into());
    }
    if url.query().is_some() {
        return Err("it takes no parameters".into());
    }
    let host = url.host_str().filter(|host| !host.is_empty()).ok_or("it names no host")?;
    let mut uri: AMQPUri = text.parse()?;
    // The client's own parser takes an IPv6 address for no host at all.
    uri.authority.host = host.trim_matches(['[', ']']).to_owned();
    uri.authority.userinfo =
        AMQPUserInfo { username: uri.authority.userinfo.username, password: String::new() };
    if uri.vhost.is_empty() {
        uri.vhost = "/".into();
    }
    uri.query.heartbeat = Some(HEARTBEAT);
    Ok(uri)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn config(url: &str, password: Option<&str>) -> model::Broker {
        let password = password.map(|value| Secret::new(value.into()));
        model::Broker { url: url.into(), password, ..Default::default() }
    }

    #[test]
    fn the_url_is_taken_apart() {
        let cases = [
            ("amqp://relay@mq", "amqp://relay@mq:5672, virtual host /"),
            ("amqp://relay@mq/", "amqp://relay@mq:5672, virtual host /"),
            ("amqps://relay@mq/a%2Fb", "amqps://relay@mq:5671, virtual host a/b"),
            ("amqp://r%40x@[::1]:99/v", "amqp://r@x@[::1]:99, virtual host v"),
        ];
        for (url, shown) in cases {
            let address = Address::new(&config(url, Some("p@ss/word"))).expect(url);
            assert_eq!(address.to_string(), shown);
            let uri = address.with_password().expect("password");
            assert_eq!(uri.authority.userinfo.password, "p@ss/word");
        }
    }

    #[test]
    fn what_is_wrong_is_told_without_the_password() {
        let cases = [
            ("amqp://relay:hunter2@mq", "broker.password_file"),
            ("amqp://relay@mq", "no password"),
            ("amqp://relay@mq?heartbeat=1", "no parameters"),
            ("http://relay@mq", "scheme"),
            ("mq", "broker.url"),
        ];
        for (url, what) in cases {
            let error = Address::new(&config(url, None)).expect_err(url).to_string();
            assert!(error.contains(what) && !error.contains("hunter2"), "{error}");
        }
    }

    #[test]
    fn the_password_file_is_read_again() {
        let dir = tempfile::tempdir().expect("tempdir");
        let path = dir.path().join("password");
        std::fs::write(&path, "old\n").expect("write");
        let mut config = config("amqp://relay@mq", None);
        config.password_file = Some(path.clone());
        let address = Address::new(&config).expect("address");
        std::fs::write(&path, "new\n").expect("write");
        let uri = address.with_password().expect("password");
        assert_eq!(uri.authority.userinfo.password, "new");
        std::fs::remove_file(&path).expect("remove");
        let error = address.with_password().expect_err("gone").to_string();
        assert!(error.contains("password_file") && error.contains("password:"), "{error}");
    }
}
