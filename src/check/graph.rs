//! Microsoft Graph: token, permissions, roles, groups, domains.

use jiff::Timestamp;

use super::{Area, Check, Found, Subject, clock, permissions};
use crate::{
    config::Config,
    graph::{Closed, ErrorKind, GraphClient, GraphError},
};

pub(super) async fn checks(config: &Config) -> Found {
    let token = Subject(Area::Graph, "token");
    if config.graph.is_sandbox() {
        return (vec![token.skip("the sandbox lives in the process that runs it")], None);
    }
    let client = match GraphClient::new(&config.graph) {
        Ok(client) => client,
        Err(error) => {
            return (vec![token.failed(error, "correct graph: in the configuration")], None);
        }
    };
    let access = match client.access().await {
        Ok(access) => access,
        Err(error) => return (vec![failed(token, &error)], None),
    };
    let mut checks = vec![token.pass(format!("granted by {}", config.graph.authority))];
    let answers = Subject(Area::Graph, "answers");
    let mut ahead = None;
    let sent = Timestamp::now();
    match client.clock().await {
        Ok(time) => {
            ahead = time.map(|time| clock::ahead(time, sent));
            checks.push(answers.pass(config.graph.endpoint.clone()));
        }
        // The permission that it lacks is told below.
        Err(error) if error.kind == ErrorKind::Forbidden => {
            checks.push(answers.pass(config.graph.endpoint.clone()));
        }
        Err(error) => {
            checks.push(failed(answers, &error));
            return (checks, None);
        }
    }
    match &access {
        Some(access) => {
            checks.extend(permissions::checks(config, access));
            checks.push(permissions::directory_role(access));
        }
        None => {
            let subject = Subject(Area::Graph, "permissions");
            checks.push(subject.skip("the token is opaque: they show when they are used"));
        }
    }
    let reads_groups = checks
        .iter()
        .all(|check| check.name != "to change members" || check.verdict == super::Verdict::Pass);
    checks.extend(groups(config, &client, reads_groups).await);
    checks.extend(domains(config, &client).await);
    (checks, ahead)
}

fn failed(subject: Subject, error: &GraphError) -> Check {
    subject.fail(error.to_string(), error.remedy())
}

/// Whether members of the mapped groups can be changed.
async fn groups(config: &Config, client: &GraphClient, readable: bool) -> Vec<Check> {
    let subject = Subject(Area::Graph, "groups");
    let groups = &config.apply.groups;
    if groups.is_empty() {
        return Vec::new();
    }
    if !readable {
        return vec![subject.skip("not tried: the permission is missing")];
    }
    let mut found = Vec::new();
    for (dn, id) in groups {
        let remedy = "name another group in apply.groups, or leave it out";
        match client.read_group(id).await {
            Ok(group) => {
                if let Some(why) = group.closed() {
                    found.push(
                        subject.fail(format!("{dn}: the group {id} {}", closed(why)), remedy),
                    );
                }
            }
            Err(error) if error.kind == ErrorKind::NotFound => {
                found.push(subject.fail(format!("{dn}: Entra has no group {id}"), remedy));
            }
            Err(error) => found.push(failed(subject, &error)),
        }
    }
    if found.is_empty() {
        found.push(subject.pass(format!("members of {} can be changed", groups.len())));
    }
    found
}

fn closed(why: Closed) -> &'static str {
    match why {
        Closed::Dynamic => "has members by a rule, which nobody can change by hand",
        Closed::Synced => "is synced by another tool, which masters its members",
        Closed::RoleAssignable => "can hold directory roles, which the relay never hands out",
        Closed::MailEnabled => "is managed by Exchange, not by Graph",
    }
}

/// A UPN ends with a domain that the tenant has verified.
async fn domains(config: &Config, client: &GraphClient) -> Option<Check> {
    let targets = &config.apply.upn_suffixes;
    if targets.is_empty() {
        return None;
    }
    let subject = Subject(Area::Graph, "domains");
    let verified = match client.verified_domains().await {
        Ok(verified) => verified,
        Err(error) => return Some(subject.skip(format!("not known: {error}"))),
    };
    let unknown: Vec<_> = targets
        .values()
        .filter(|name| !verified.contains(&name.to_lowercase()))
        .map(String::as_str)
        .collect();
    if unknown.is_empty() {
        return Some(subject.pass("those of apply.upn_suffixes are verified"));
    }
    Some(subject.fail(
        format!("apply.upn_suffixes: the tenant has not verified {}", unknown.join(", ")),
        format!("verify them in Entra, or write one of: {}", verified.join(", ")),
    ))
}
