//! One connection to one directory server.

use std::{path::PathBuf, sync::Arc, time::Duration};

use ldap3::{
    Ldap, LdapConnAsync, LdapConnSettings, LdapError, LdapResult, ResultEntry, Scope, SearchStream,
    StdStream,
    controls::{Control, RawControl},
};
use rustls::ClientConfig;
use tokio::{task::JoinHandle, time::timeout};

use super::{
    channel::{Channel, Watch},
    entry::decode_parts,
    error::{DirectoryError, bind_error, one_line},
    kerberos::Kerberos,
    message::weight_of,
    servers::Servers,
};
use crate::{
    config::{
        Secret,
        model::{self, BindMethod},
    },
    net::tls::{self, Identity},
};

/// How long connecting and the TLS handshake may take.
const CONNECT: Duration = Duration::from_secs(5);
/// How long the server may be silent in the middle of an operation. Samba needs long before the
/// first entry of a DirSync over a large domain.
const SILENCE: Duration = Duration::from_secs(120);

/// What the answer to one search may take in memory, in bytes. Samba's DirSync gives everything in
/// one answer, up to 256 MiB on the wire.
const LARGEST_ANSWER: usize = 1024 * 1024 * 1024;

/// LDAP result codes (RFC 4511 appendix A) that mean something to us.
pub(super) mod code {
    pub const SUCCESS: u32 = 0;
    pub const OPERATIONS_ERROR: u32 = 1;
    pub const PROTOCOL_ERROR: u32 = 2;
    pub const UNAVAILABLE_CRITICAL_EXTENSION: u32 = 12;
    pub const SIZE_LIMIT_EXCEEDED: u32 = 4;
    pub const ADMIN_LIMIT_EXCEEDED: u32 = 11;
    pub const NO_SUCH_OBJECT: u32 = 32;
    pub const INVALID_DN_SYNTAX: u32 = 34;
    pub const INSUFFICIENT_ACCESS_RIGHTS: u32 = 50;
    pub const BUSY: u32 = 51;
    pub const UNWILLING_TO_PERFORM: u32 = 53;
    pub const REFERRAL: u32 = 10;
    /// RFC 4533 section 2.6.
    pub const SYNC_REFRESH_REQUIRED: u32 = 4096;
}

/// Where to connect and as whom.
#[derive(Debug, Clone)]
pub struct Login {
    /// Where to connect.
    pub servers: Servers,
    /// The account, for people.
    pub user: String,
    /// How it proves who it is.
    pub credential: Credential,
    /// CA to trust instead of the system's.
    pub ca_file: Option<PathBuf>,
    /// Upgrades `ldap://`.
    pub start_tls: bool,
}

/// How an account proves who it is.
#[derive(Debug, Clone)]
pub enum Credential {
    /// By a password.
    Password(Secret),
    /// By a password in a file, read anew at every login.
    PasswordFile(PathBuf),
    /// By a client certificate (SASL EXTERNAL, RFC 4422 appendix A), read anew at every login.
    Certificate(Identity),
    /// By a ticket, got with the key in a keytab.
    Kerberos(Kerberos),
}

impl Login {
    /// Tries this server first.
    pub fn prefer(&self, url: &str) {
        self.servers.prefer(url);
    }

    /// As the configuration says.
    pub fn from_config(config: &model::Directory) -> Login {
        let bind = &config.bind;
        let tls = &config.tls;
        let (user, credential) = match (bind.method, &bind.password) {
            (BindMethod::External, _) => {
                let certificate = tls.client_certificate_file.clone().unwrap_or_default();
                let key = tls.private_key_file.clone().unwrap_or_default();
                let name = format!("the certificate {}", certificate.display());
                (name, Credential::Certificate(Identity { certificate, key }))
            }
            (BindMethod::Kerberos, _) => {
                let name = format!("{} (Kerberos)", bind.user);
                (name, Credential::Kerberos(Kerberos::from_config(bind)))
            }
            (BindMethod::Simple, Some(password)) => {
                (bind.user.clone(), Credential::Password(password.clone()))
            }
            (BindMethod::Simple, None) => {
                let file = bind.password_file.clone().unwrap_or_default();
                (bind.user.clone(), Credential::PasswordFile(file))
            }
        };
        Login {
            servers: Servers::from_config(config),
            user,
            credential,
            ca_file: config.tls.ca_file.clone(),
            start_tls: config.tls.start_tls,
        }
    }

    fn tls(&self) -> Result<Arc<ClientConfig>, DirectoryError> {
        let identity = match &self.credential {
            Credential::Certificate(identity) => Some(identity),
            _ => None,
        };
        tls::client_config_as(self.ca_file.as_deref(), identity).map_err(|cause| {
            DirectoryError::Setup {
                what: cause.to_string(),
                remedy: "mend what directory.tls names".into(),
            }
        })
    }

    fn kerberos(&self) -> Option<&Kerberos> {
        match &self.credential {
            Credential::Kerberos(kerberos) => Some(kerberos),
            _ => None,
        }
    }

    /// Logs in, unless that was done when the channel was opened: then there is no result.
    async fn bind(
        &self,
        ldap: &mut Ldap,
    ) -> Result<Option<ldap3::result::Result<LdapResult>>, DirectoryError> {
        let password = match &self.credential {
            Credential::Kerberos(_) => return Ok(None),
            Credential::Certificate(_) => return Ok(Some(ldap.sasl_external_bind().await)),
            Credential::Password(value) => value.clone(),
            Credential::PasswordFile(path) => {
                Secret::read(path).map_err(|cause| DirectoryError::Setup {
                    what: cause.to_string(),
                    remedy: "name a readable file in directory.bind.password_file".into(),
                })?
            }
        };
        Ok(Some(ldap.simple_bind(&self.user, password.expose()).await))
    }
}

/// A connection, logged in. Dropped, it is closed.
pub(super) struct Session {
    ldap: Ldap,
    driver: JoinHandle<()>,
    _channel: Channel,
    watch: Watch,
    url: String,
}

/// What a search gave besides its entries.
pub(super) struct Done {
    pub result: LdapResult,
    pub controls: Vec<Control>,
}

impl Session {
    /// Logs in at the first server that answers.
    pub async fn connect(login: &Login) -> Result<Session, DirectoryError> {
        login.servers.first(|url| async move { Session::open(&url, login).await }).await
    }

    /// Logs in at this server.
    pub async fn open(url: &str, login: &Login) -> Result<Session, DirectoryError> {
        let tls =
            if login.start_tls || url.starts_with("ldaps") { Some(login.tls()?) } else { None };
        let (channel, stream) = Channel::open(url, tls, login.kerberos()).await?;
        let settings = LdapConnSettings::new().set_std_stream(StdStream::Unix(stream));
        let (connection, mut ldap) = LdapConnAsync::with_settings(settings, "ldapi:///")
            .await
            .map_err(|error| DirectoryError::unreachable(url, error))?;
        // The driver is a task of its own, so that a malformed answer on which the library panics
        // ends this connection and nothing else.
        let driver = tokio::spawn(async move {
            if let Err(error) = connection.drive().await {
                tracing::debug!(%error, "directory connection ended");
            }
        });
        let watch = channel.watch();
        let session =
            Session { ldap: ldap.clone(), driver, _channel: channel, watch, url: url.to_owned() };
        let Some(result) = timeout(CONNECT, login.bind(&mut ldap))
            .await
            .map_err(|_| DirectoryError::unreachable(url, "no answer to the bind in time"))??
        else {
            return Ok(session);
        };
        let result = result.map_err(|error| lost(url, &session.watch, &error))?;
        if result.rc != code::SUCCESS {
            return Err(bind_error(url, &login.user, result.rc, &result.text));
        }
        Ok(session)
    }

    /// The server's URL.
    pub fn url(&self) -> &str {
        &self.url
    }

    /// Whether the server's root entry lists `value`.
    pub async fn offers(&mut self, attribute: &str, value: &str) -> Result<bool, DirectoryError> {
        let attributes = [attribute.to_owned()];
        let mut listed = false;
        self.search(root(&attributes), |entry| {
            let values = decode_parts(entry.0)
                .and_then(|(_, mut attributes)| attributes.remove(&attribute.to_ascii_lowercase()));
            listed = values.is_some_and(|values| values.iter().any(|v| v == value.as_bytes()));
        })
        .await?;
        Ok(listed)
    }

    /// Asks for an answer, whatever it is.
    pub async fn probe(&mut self) -> Result<(), DirectoryError> {
        let no_attributes = ["1.1".to_owned()];
        self.search(root(&no_attributes), |_| {}).await.map(|_| ())
    }

    /// Starts a search that the server is not expected to end.
    pub async fn stream(&mut self, query: Query<'_>) -> Result<Stream, DirectoryError> {
        let url = self.url.clone();
        let search = self.ldap.with_controls(query.controls).streaming_search(
            query.base,
            query.scope,
            query.filter,
            query.attributes.to_vec(),
        );
        let stream = timeout(SILENCE, search)
            .await
            .map_err(|_| DirectoryError::unreachable(&url, "the server stopped answering"))?
            .map_err(|error| lost(&url, &self.watch, &error))?;
        Ok(Stream { stream, watch: self.watch.clone(), url })
    }

    /// Runs a search and gives every entry to `take` as it comes. Referrals are not chased.
    pub async fn search(
        &mut self,
        query: Query<'_>,
        mut take: impl FnMut(ResultEntry) + Send,
    ) -> Result<Done, DirectoryError> {
        let (url, watch) = (self.url.clone(), self.watch.clone());
        let silent = |_| DirectoryError::unreachable(&url, "the server stopped answering");
        let search = self.ldap.with_controls(query.controls).streaming_search(
            query.base,
            query.scope,
            query.filter,
            query.attributes,
        );
        let mut stream = timeout(SILENCE, search)
            .await
            .map_err(silent)?
            .map_err(|error| lost(&url, &watch, &error))?;
        let mut kept = 0;
        // Timing out on a direct stream loses nothing; we give up on the connection then anyway.
        while let Some(entry) = timeout(SILENCE, stream.next())
            .await
            .map_err(silent)?
            .map_err(|error| lost(&url, &watch, &error))?
        {
            watch.taken(&entry.0);
            kept += weight_of(&entry.0);
            if kept > LARGEST_ANSWER {
                let largest = LARGEST_ANSWER / 1024 / 1024;
                let cause = format!("an answer takes more than {largest} MiB");
                return Err(DirectoryError::unreachable(&url, cause));
            }
            if !entry.is_ref() && !entry.is_intermediate() {
                take(entry);
            }
        }
        Ok(Done::new(stream.finish().await))
    }
}

/// A search that goes on.
pub(super) struct Stream {
    stream: SearchStream<'static, String, Vec<String>>,
    watch: Watch,
    url: String,
}

impl Stream {
    /// Waits for what comes next, for ever; none when the server has ended the search.
    pub async fn next(&mut self) -> Result<Option<ResultEntry>, DirectoryError> {
        let next = self.stream.next().await;
        let entry = next.map_err(|error| lost(&self.url, &self.watch, &error))?;
        if let Some(entry) = &entry {
            self.watch.taken(&entry.0);
        }
        Ok(entry)
    }

    /// How the server ended the search.
    pub async fn finish(&mut self) -> Done {
        Done::new(self.stream.finish().await)
    }
}

/// Why a connection ended: the channel knows best.
fn lost(url: &str, watch: &Watch, error: &LdapError) -> DirectoryError {
    let cause = watch.fault().map_or_else(|| one_line(&error.to_string()), str::to_owned);
    DirectoryError::unreachable(url, cause)
}

fn root(attributes: &[String]) -> Query<'_> {
    Query {
        base: "",
        scope: Scope::Base,
        filter: "(objectClass=*)",
        attributes,
        controls: Vec::new(),
    }
}

impl Drop for Session {
    fn drop(&mut self) {
        self.driver.abort();
    }
}

/// A search (RFC 4511 section 4.5.1).
pub(super) struct Query<'a> {
    pub base: &'a str,
    pub scope: Scope,
    pub filter: &'a str,
    pub attributes: &'a [String],
    pub controls: Vec<RawControl>,
}

impl std::fmt::Debug for Session {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Session").field("url", &self.url).finish_non_exhaustive()
    }
}

impl Done {
    fn new(mut result: LdapResult) -> Done {
        let controls = std::mem::take(&mut result.ctrls);
        Done { result, controls }
    }

    /// The value of the control with this OID.
    pub fn control(&self, oid: &str) -> Option<&[u8]> {
        self.controls
            .iter()
            .find(|control| control.1.ctype == oid)
            .and_then(|control| control.1.val.as_deref())
    }
}
