//! Which server to connect to: the configured ones in their order, or those that the domain's DNS
//! names. Once one works, it is tried first from then on.

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use hickory_resolver::{
    TokioResolver,
    proto::rr::{RData, RecordType, rdata::SRV},
};
use tokio::time::timeout;

use super::error::{DirectoryError, one_line};
use crate::config::model;

/// How long DNS may take.
const LOOKUP: Duration = Duration::from_secs(10);
/// The most servers that an answer is taken for.
const MOST: usize = 64;

/// The servers of a directory. Its clones agree on which one is in use.
#[derive(Debug, Clone)]
pub struct Servers {
    urls: Vec<String>,
    /// Asked where no URL is configured.
    domain: String,
    start_tls: bool,
    current: Arc<Mutex<Option<String>>>,
}

impl Servers {
    /// As the configuration says.
    pub fn from_config(config: &model::Directory) -> Servers {
        Servers {
            urls: config.urls.clone(),
            domain: domain_of(&config.base_dn),
            start_tls: config.tls.start_tls,
            current: Arc::default(),
        }
    }

    /// Tries this one first from now on.
    pub fn prefer(&self, url: &str) {
        *self.current.lock().unwrap_or_else(PoisonError::into_inner) = Some(url.to_owned());
    }

    /// Connects to the first server that will do. One that refuses the login ends the search:
    /// another try elsewhere would only bring the account nearer to its lockout.
    pub async fn first<T, F>(
        &self,
        mut connect: impl FnMut(String) -> F,
    ) -> Result<T, DirectoryError>
    where
        F: Future<Output = Result<T, DirectoryError>>,
    {
        let urls = self.candidates().await?;
        let others = urls.len() > 1;
        let mut worst: Option<DirectoryError> = None;
        for url in urls {
            match connect(url.clone()).await {
                Ok(connected) => {
                    self.prefer(&url);
                    return Ok(connected);
                }
                Err(error @ DirectoryError::Credentials { .. }) => return Err(error),
                Err(error) => {
                    if others {
                        tracing::warn!(server = %url, %error, "trying the next directory server");
                    }
                    // What may mend itself counts more than what somebody has to mend.
                    if worst.as_ref().is_none_or(DirectoryError::is_setup) {
                        worst = Some(error);
                    }
                }
            }
        }
        Err(worst.unwrap_or_else(|| DirectoryError::Setup {
            what: "no directory server is configured".into(),
            remedy: "name one in directory.urls".into(),
        }))
    }

    /// Where to connect, the best first. Asks DNS where no URL is configured.
    pub async fn candidates(&self) -> Result<Vec<String>, DirectoryError> {
        let mut urls = self.urls.clone();
        if urls.is_empty() {
            let resolver = TokioResolver::builder_tokio().and_then(|builder| builder.build());
            let resolver = resolver.map_err(|error| self.unresolved(&error))?;
            urls = self.discover(&resolver).await?;
        }
        let current = self.current.lock().unwrap_or_else(PoisonError::into_inner).clone();
        if let Some(at) = urls.iter().position(|url| Some(url) == current.as_ref()) {
            urls[..=at].rotate_right(1);
        }
        Ok(urls)
    }

    /// The writable domain controllers of the domain (MS-ADTS 6.3.2.3), best first.
    async fn discover(&self, resolver: &TokioResolver) -> Result<Vec<String>, DirectoryError> {
        let answer = timeout(LOOKUP, resolver.lookup(self.service(), RecordType::SRV));
        let answer = match answer.await {
            Ok(answer) => answer.map_err(|error| self.unresolved(&error))?,
            Err(elapsed) => return Err(self.unresolved(&elapsed)),
        };
        let records = answer.answers().iter().filter_map(|record| match &record.data {
            RData::SRV(srv) => Some(srv.clone()),
            _ => None,
        });
        let records: Vec<_> = records.take(MOST).collect();
        Ok(ordered(records, |below| rand::random_range(0..below))
            .iter()
            .map(|srv| self.url(srv))
            .collect())
    }

    fn service(&self) -> String {
        format!("_ldap._tcp.dc._msdcs.{}.", self.domain)
    }

    /// TLS from the start is at a port of its own, which DNS does not tell.
    fn url(&self, srv: &SRV) -> String {
        let target = srv.target.to_utf8();
        let host = target.trim_end_matches('.');
        match self.start_tls {
            true => format!("ldap://{host}:{}", srv.port),
            false => format!("ldaps://{host}"),
        }
    }

    fn unresolved(&self, cause: &dyn std::error::Error) -> DirectoryError {
        let service = self.service();
        let cause = one_line(&cause.to_string());
        DirectoryError::unreachable(
            &self.domain,
            format!("DNS does not tell {service}: {cause}; or name servers in directory.urls"),
        )
    }
}

/// The DNS name of `DC=corp,DC=example`.
fn domain_of(base_dn: &str) -> String {
    let parts = base_dn.split(',').filter_map(|part| part.split_once('='));
    let labels = parts.filter(|(name, _)| name.trim().eq_ignore_ascii_case("dc"));
    labels.map(|(_, label)| label.trim()).collect::<Vec<_>>().join(".")
}

/// The order in which to try them (RFC 2782): by priority, and at random by weight.
fn ordered(records: Vec<SRV>, mut random: impl FnMut(u32) -> u32) -> Vec<SRV> {
    let mut groups: BTreeMap<u16, Vec<SRV>> = BTreeMap::new();
    for record in records {
        groups.entry(record.priority).or_default().push(record);
    }
    let mut ordered = Vec::new();
    for mut group in groups.into_values() {
        group.sort_by_key(|record| record.weight);
        while !group.is_empty() {
            let sum: u32 = group.iter().map(|record| u32::from(record.weight)).sum();
            let mut left = random(sum + 1);
            let at = group.iter().position(|record| {
                let weight = u32::from(record.weight);
                let found = left <= weight;
                left = left.saturating_sub(weight);
                found
            });
            ordered.push(group.remove(at.unwrap_or(0)));
        }
    }
    ordered
}

#[cfg(test)]
mod tests;
