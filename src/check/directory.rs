//! The directory: login at every server, base DN, DirSync, deleted objects, what is readable.

use jiff::Timestamp;

use super::{Area, Check, Found, Subject, clock, sample};
use crate::{
    config::{Config, model},
    directory::{Directory, DirectoryError, Domain, Login, Source, Trial},
    mapping::Mappings,
    watcher,
};

const AWAY: &str = "check directory.urls, name resolution and firewalls, and that the server runs";
const LOGIN: Subject = Subject(Area::Directory, "login");
const BASE: Subject = Subject(Area::Directory, "base DN");
const DIRSYNC: Subject = Subject(Area::Directory, "DirSync");
const DELETED: Subject = Subject(Area::Directory, "deleted objects");
const STATE: Subject = Subject(Area::Directory, "account state");
const MAPPED: Subject = Subject(Area::Directory, "attributes");
const SCOPE: Subject = Subject(Area::Directory, "scope");

pub(super) async fn checks(config: &Config) -> Found {
    if config.directory.source == model::Source::Sandbox {
        return (vec![LOGIN.skip("the sandbox lives in the process that runs it")], None);
    }
    let login = Login::from_config(&config.directory);
    match watcher::followed(config) {
        Source::Dirsync(domain) => of_domain(config, &login, &domain).await,
        other => of_other(config, &login, &other).await,
    }
}

/// Every domain controller, for each may have to serve alone.
async fn of_domain(config: &Config, login: &Login, domain: &Domain) -> Found {
    let urls = match login.servers.candidates().await {
        Ok(urls) => urls,
        Err(error) => return (vec![LOGIN.failed(error, AWAY)], None),
    };
    let mut checks = Vec::new();
    let mut good = None;
    for url in &urls {
        match Trial::open(url, login, domain).await {
            Ok(trial) => {
                checks.push(LOGIN.pass(format!("{url} lets {} in", login.user)));
                good.get_or_insert(trial);
            }
            Err(error) => {
                let is_refused = matches!(error, DirectoryError::Credentials { .. });
                checks.push(LOGIN.failed(error, AWAY));
                if is_refused {
                    // More of them would lock the account.
                    break;
                }
            }
        }
    }
    let Some(mut trial) = good else {
        let why = "not tried: no server lets us in";
        checks.extend([BASE, DIRSYNC, DELETED, STATE].map(|subject| subject.skip(why)));
        return (checks, None);
    };
    let ahead = ahead(trial.directory()).await;
    if let Err(error) = trial.is_of_the_domain() {
        checks.push(BASE.failed(error, AWAY));
        let why = "not tried: the base DN is wrong";
        checks.extend([DIRSYNC, DELETED, STATE].map(|subject| subject.skip(why)));
        return (checks, ahead);
    }
    checks.push(BASE.pass(config.directory.base_dn.clone()));
    checks.push(outcome(DIRSYNC, trial.may_dirsync().await, "may be used"));
    checks.push(outcome(DELETED, trial.sees_deleted_objects().await, "are seen"));
    let names = mapped(config);
    let known = trial.schema(&names).await;
    checks.extend(
        of_users(config, trial.directory(), |users| match known {
            Ok(known) => {
                let unknown: Vec<_> = names
                    .iter()
                    .filter(|name| !known.contains_key(&plain(name)))
                    .cloned()
                    .collect();
                let unseen = sample::unseen(users, &names);
                let (hidden, empty) = unseen
                    .into_iter()
                    .filter(|name| !unknown.contains(name))
                    .partition(|name| known.get(&plain(name)).is_some_and(|it| it.0));
                attributes(&unknown, hidden, empty, users.len())
            }
            Err(error) => MAPPED.skip(format!("not tried: {error}")),
        })
        .await,
    );
    checks.extend(scope(config, trial.directory()).await);
    (checks, ahead)
}

/// Other servers say all of it when they are connected to.
async fn of_other(config: &Config, login: &Login, source: &Source) -> Found {
    let mut directory = match source.connect(login).await {
        Ok(directory) => directory,
        Err(error) => {
            let why = "not tried: the server does not let us in";
            return (vec![LOGIN.failed(error, AWAY), STATE.skip(why)], None);
        }
    };
    let ahead = ahead(directory.as_mut()).await;
    let mut checks = vec![LOGIN.pass(format!("{} lets {} in", directory.server(), login.user))];
    let names = mapped(config);
    let of_mapped =
        |users: &[_]| attributes(&[], Vec::new(), sample::unseen(users, &names), users.len());
    checks.extend(of_users(config, directory.as_mut(), of_mapped).await);
    (checks, ahead)
}

/// One page of users shows what the account can see.
async fn of_users(
    config: &Config,
    directory: &mut dyn Directory,
    of_mapped: impl FnOnce(&[crate::directory::Entry]) -> Check,
) -> Vec<Check> {
    let users = match directory.users(None).await {
        Ok(page) => page.entries,
        Err(error) => return vec![STATE.failed(error, "let the account read the users")],
    };
    let mut checks = vec![sample::state(&users)];
    if users.is_empty() {
        return checks;
    }
    checks.push(of_mapped(&users));
    let mappings = Mappings::parse(&config.apply.attributes).unwrap_or_default();
    checks.extend(sample::values(&users, &mappings));
    checks
}

fn attributes(unknown: &[String], hidden: Vec<String>, unseen: Vec<String>, users: usize) -> Check {
    if !unknown.is_empty() {
        return MAPPED.fail(
            format!("the directory's schema has no {}", unknown.join(", ")),
            "correct the names in apply.attributes and directory.upn_attribute",
        );
    }
    if !hidden.is_empty() {
        return MAPPED.fail(
            format!("the account may not read {}, which the schema calls confidential", hidden.join(", ")),
            "grant it \"control access\" for them on the users (dsacls ... /g ACCOUNT:CA;ATTRIBUTE), \
             or take them out of apply.attributes",
        );
    }
    if !unseen.is_empty() {
        let names = unseen.join(", ");
        return MAPPED.warn(
            format!(
                "none of {users} users shows {names}: they are empty, or hidden from the account"
            ),
            format!("if users have values there, grant the account \"read property\" for {names}"),
        );
    }
    MAPPED.pass("every mapped one is seen")
}

/// The mapped attributes and that of the UPN.
fn mapped(config: &Config) -> Vec<String> {
    let mappings = Mappings::parse(&config.apply.attributes).unwrap_or_default();
    let mut names: Vec<_> = mappings.inputs().cloned().collect();
    let upn = config.directory.upn_attribute();
    if !names.iter().any(|name| name.eq_ignore_ascii_case(upn)) {
        names.push(upn.to_owned());
    }
    names
}

/// Without options, in lower case.
fn plain(name: &str) -> String {
    name.split(';').next().unwrap_or_default().to_ascii_lowercase()
}

/// Whether the account sees what the configuration names.
async fn scope(config: &Config, directory: &mut dyn Directory) -> Option<Check> {
    let scope = &config.scope;
    let names: Vec<_> = scope
        .organizational_units
        .iter()
        .chain(&scope.groups)
        .chain(config.apply.groups.keys())
        .collect();
    if names.is_empty() {
        return None;
    }
    let mut missing = Vec::new();
    for dn in &names {
        match directory.find(dn).await {
            Ok(Some(_)) => {}
            Ok(None) => missing.push(dn.as_str()),
            Err(error) => return Some(SCOPE.failed(error, "correct scope: in the configuration")),
        }
    }
    if missing.is_empty() {
        return Some(SCOPE.pass(format!("all {} units and groups are there", names.len())));
    }
    Some(SCOPE.fail(
        format!("the account sees no {}", missing.join(", no ")),
        "correct the DNs in scope and apply.groups, or let the account read these objects",
    ))
}

fn outcome(subject: Subject, result: Result<(), DirectoryError>, good: &str) -> Check {
    match result {
        Ok(()) => subject.pass(good),
        Err(error) => subject.failed(error, AWAY),
    }
}

async fn ahead(directory: &mut dyn Directory) -> Option<f64> {
    let asked = Timestamp::now();
    let time = directory.time().await.ok().flatten()?;
    Some(clock::ahead(time, asked))
}
