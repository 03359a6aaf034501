//! What the types cannot say: what must be there, what contradicts what, what is not safe.

mod bind;
mod cloud;
mod graph;
mod passwords;
mod privacy;
mod traces;

use std::{collections::BTreeSet, net::IpAddr, time::Duration};

use url::{Host, Url};
use uuid::Uuid;

use super::{
    Config, Problem, Role,
    model::{BrokerKind, Source},
};
use crate::mapping::Mappings;

/// The shortest delay that the queue has.
const SHORTEST_DELAY: Duration = Duration::from_secs(15);

/// Everything that is wrong with `config` for `role`.
pub fn problems(config: &Config, role: Role) -> Vec<Problem> {
    let mut found = Vec::new();
    if config.directory.source != Source::Sandbox && role != Role::Tool {
        base_dn(config, &mut found);
    }
    if role.watches() {
        directory(config, &mut found);
        scope(config, &mut found);
    }
    broker(config, role, &mut found);
    signing(config, role, &mut found);
    if role.applies() {
        graph::problems(config, &mut found);
        if config.apply.match_by.is_empty() && !config.graph.is_sandbox() {
            found.push(Problem::at(
                "apply.match",
                "is empty, so no user could ever be found",
                "write [immutable_id, user_principal_name]",
            ));
        }
    }
    passwords::problems(config, role, &mut found);
    parking(config, &mut found);
    mappings(config, &mut found);
    groups(config, &mut found);
    privacy::problems(config, role, &mut found);
    traces::problems(&config.traces, &mut found);
    guard(config, &mut found);
    not_yet(config, &mut found);
    intervals(config, &mut found);
    if config.admin.listen.parse::<std::net::SocketAddr>().is_err() {
        found.push(
            Problem::at(
                "admin.listen",
                "is not an address",
                "write IP:PORT, such as 127.0.0.1:9464",
            )
            .with_value(&config.admin.listen),
        );
    }
    if config.control.path().is_none() {
        found.push(
            Problem::at(
                "control.listen",
                "is not a Unix socket",
                "write unix:PATH, such as unix:data/control.sock",
            )
            .with_value(&config.control.listen),
        );
    }
    found
}

/// Both halves need it: consumers refuse what comes from another directory.
fn base_dn(config: &Config, found: &mut Vec<Problem>) {
    let base_dn = &config.directory.base_dn;
    if !base_dn.contains('=') {
        found.push(
            Problem::at(
                "directory.base_dn",
                "is not a distinguished name",
                "write the root of the domain's naming context, such as DC=corp,DC=example",
            )
            .with_value(base_dn),
        );
    }
}

fn directory(config: &Config, found: &mut Vec<Problem>) {
    let directory = &config.directory;
    if directory.source == Source::Sandbox {
        return;
    }
    // Without a domain there is no DNS name to ask for its controllers.
    let has_domain = directory.base_dn.to_ascii_lowercase().contains("dc=");
    if directory.urls.is_empty() && (directory.source != Source::Dirsync || !has_domain) {
        found.push(Problem::at(
            "directory.urls",
            "is empty",
            "name at least one domain controller, such as ldaps://dc1.corp.example",
        ));
    }
    for url in &directory.urls {
        directory_url(config, url, found);
    }
    bind::problems(config, found);
}

fn directory_url(config: &Config, text: &str, found: &mut Vec<Problem>) {
    let problem =
        |what: &str, remedy: &str| Problem::at("directory.urls", what, remedy).with_value(text);
    let url = match Url::parse(text) {
        Ok(url) if matches!(url.scheme(), "ldap" | "ldaps") && url.host().is_some() => url,
        _ => {
            found.push(problem("is not an LDAP URL", "write ldaps://HOST or ldap://HOST:PORT"));
            return;
        }
    };
    let start_tls = config.directory.tls.start_tls;
    if url.scheme() == "ldaps" && start_tls {
        found.push(problem(
            "is TLS from the start, so StartTLS cannot be used on it",
            "set directory.tls.start_tls to false, or write ldap://",
        ));
    }
    let plain = url.scheme() == "ldap" && !start_tls;
    if plain && !config.directory.allow_plaintext && !is_loopback(&url) {
        found.push(problem(
            "would send the bind password unencrypted",
            "write ldaps://, or set directory.tls.start_tls; directory.allow_plaintext lets it through",
        ));
    }
}

fn scope(config: &Config, found: &mut Vec<Problem>) {
    let follows_groups = matches!(config.directory.source, Source::Dirsync | Source::Sandbox);
    for (key, is_empty) in [
        ("scope.groups", config.scope.groups.is_empty()),
        ("apply.groups", config.apply.groups.is_empty()),
    ] {
        if !follows_groups && !is_empty {
            found.push(Problem::at(
                key,
                "names groups, which only DirSync follows",
                "leave it empty with this directory.source",
            ));
        }
    }
    for (key, patterns) in
        [("scope.exclude", &config.scope.exclude), ("scope.protected", &config.scope.protected)]
    {
        for pattern in patterns.iter().filter(|pattern| pattern.trim_matches(['*', ' ']).is_empty())
        {
            found.push(
                Problem::at(key, "matches every account", "write a name, or a part of one with *")
                    .with_value(pattern),
            );
        }
    }
}

fn broker(config: &Config, role: Role, found: &mut Vec<Problem>) {
    let broker = &config.broker;
    if !(1..=64).contains(&broker.partitions) {
        found.push(
            Problem::at("broker.partitions", "is out of range", "write 1 to 64")
                .with_value(broker.partitions),
        );
    }
    if broker.kind == BrokerKind::Embedded {
        if !matches!(role, Role::Run | Role::Compare | Role::Tool) {
            found.push(
                Problem::at(
                    "broker.kind",
                    "is for watcher and consumer in one process",
                    "start `entra-relay run`, or use rabbitmq",
                )
                .with_value("embedded"),
            );
        }
        return;
    }
    let url = match Url::parse(&broker.url) {
        Ok(url) if matches!(url.scheme(), "amqp" | "amqps") && url.host().is_some() => url,
        _ => {
            found.push(
                // Its value is not shown: there may be a password in it.
                Problem::at("broker.url", "is not an AMQP URL", "write amqps://USER@HOST/VHOST"),
            );
            return;
        }
    };
    if url.password().is_some() {
        found.push(Problem::at(
            "broker.url",
            "holds a password",
            "take it out and name a file that holds it in broker.password_file",
        ));
    }
    if url.scheme() == "amqp" && !broker.allow_plaintext && !is_loopback(&url) {
        let what = "would send the broker's password and every event unencrypted";
        let remedy = "write amqps://; broker.allow_plaintext lets it through, where the network \
                      between is your own";
        found.push(Problem::at("broker.url", what, remedy));
    }
    one_secret("broker.password", broker.password.is_some(), broker.password_file.is_some(), found);
}

/// Who signs, and who asks for signatures.
fn signing(config: &Config, role: Role, found: &mut Vec<Problem>) {
    let security = &config.security;
    // Who only compares neither tells nor believes anything.
    if security.allow_unsigned || role == Role::Compare {
        return;
    }
    let broker = &config.broker;
    let remote = broker.kind == BrokerKind::Rabbitmq
        && Url::parse(&broker.url).is_ok_and(|url| !is_loopback(&url));
    let (signs, verifies) =
        (security.signing_key_file.is_some(), !security.verify_key_files.is_empty());
    let exposed = "is missing, and the broker is on another host, where others could put forged \
                   events into the queue";
    if role.watches() && !signs && (remote || verifies) {
        let what = if remote {
            exposed
        } else {
            "is missing, while security.verify_key_files asks for signatures"
        };
        found.push(Problem::at(
            "security.signing_key_file",
            what,
            "make keys with `entra-relay keygen` and name signing.key here, or accept the risk \
             with security.allow_unsigned: true",
        ));
    }
    // A consumer beside its watcher knows that one's key; who only asks or commands applies nothing.
    if role.applies() && !role.watches() && !verifies && remote {
        found.push(Problem::at(
            "security.verify_key_files",
            exposed,
            "name the watcher's signing.pub here (`entra-relay keygen` makes it), or accept the \
             risk with security.allow_unsigned: true",
        ));
    }
}

fn parking(config: &Config, found: &mut Vec<Problem>) {
    let parking = &config.parking;
    let problem = |key, what, remedy: String, value| {
        Problem::at(key, what, remedy).with_value(humantime::format_duration(value))
    };
    if parking.max_delay < SHORTEST_DELAY {
        let least = humantime::format_duration(SHORTEST_DELAY);
        let (key, remedy) = ("parking.max_delay", format!("write {least} or more"));
        found.push(problem(key, "is too short", remedy, parking.max_delay));
    } else if parking.first_delay > parking.max_delay {
        let remedy = "write no more than parking.max_delay".to_owned();
        let what = "is longer than the longest delay";
        found.push(problem("parking.first_delay", what, remedy, parking.first_delay));
    }
}

/// Both halves need them: the watcher tells what the consumers map.
fn mappings(config: &Config, found: &mut Vec<Problem>) {
    for error in Mappings::parse(&config.apply.attributes).err().into_iter().flatten() {
        let key = format!("apply.attributes.{}", error.property);
        found.push(Problem::at(&key, error.what, error.remedy).with_value(error.rule));
    }
}

/// Which group follows which: two sources for one group would undo each other's members.
fn groups(config: &Config, found: &mut Vec<Problem>) {
    let mut targets = BTreeSet::new();
    for (dn, id) in &config.apply.groups {
        let problem = |what, remedy| {
            Problem::at("apply.groups", what, remedy).with_value(format!("{dn}: {id}"))
        };
        if !dn.contains('=') {
            let remedy = "write the group's DN, such as CN=Sales,OU=Groups,DC=corp,DC=example";
            found.push(problem("does not begin with a distinguished name", remedy));
        }
        match Uuid::try_parse(id) {
            Err(_) => {
                found.push(problem("names no object id", "copy the group's object id from Entra"))
            }
            Ok(id) if !targets.insert(id) => {
                found.push(problem(
                    "names a group that follows another one already",
                    "map one group to it",
                ));
            }
            Ok(_) => {}
        }
    }
}

fn guard(config: &Config, found: &mut Vec<Problem>) {
    let percent = config.guard.max_percent;
    if !(1..=100).contains(&percent) {
        let remedy = "write 1 to 100; 100 counts numbers alone";
        found.push(Problem::at("guard.max_percent", "is no share", remedy).with_value(percent));
    }
}

/// What the format has room for and this version cannot do: refused, so that nobody relies on it.
fn not_yet(config: &Config, found: &mut Vec<Problem>) {
    let directory = &config.directory;
    let asks_for_anchor = directory.anchor_attribute != "auto"
        && matches!(directory.source, Source::Dirsync | Source::Sandbox);
    if asks_for_anchor {
        let what = "asks for what this version cannot do yet";
        found.push(Problem::at("directory.anchor_attribute", what, "use auto"));
    }
}

fn intervals(config: &Config, found: &mut Vec<Problem>) {
    for (key, value, least) in [
        ("directory.usn_interval", config.directory.usn_interval, Duration::from_millis(1)),
        ("directory.sweep_interval", config.directory.sweep_interval, Duration::from_millis(100)),
        (
            "directory.full_read_interval",
            config.directory.full_read_interval(),
            Duration::from_secs(60),
        ),
        ("canary.interval", config.canary.interval, Duration::from_secs(1)),
        ("graph.quota.per", config.graph.quota.per, Duration::from_secs(1)),
        ("passwords.confirm_within", config.passwords.confirm_within, Duration::from_secs(1)),
        ("passwords.ttl", config.passwords.ttl, Duration::from_secs(1)),
        ("security.max_age", config.security.max_age, Duration::from_secs(1)),
    ] {
        if value < least {
            let least = humantime::format_duration(least);
            found.push(
                Problem::at(key, "is too short", format!("write {least} or more"))
                    .with_value(humantime::format_duration(value)),
            );
        }
    }
}

fn one_secret(key: &str, value: bool, file: bool, found: &mut Vec<Problem>) {
    match (value, file) {
        (false, false) => found.push(Problem::at(
            &format!("{key}_file"),
            "is missing",
            "name a file that holds it, readable by the relay alone",
        )),
        (true, true) => found.push(Problem::at(
            key,
            format!("and {key}_file are both given"),
            "keep the file and remove the value",
        )),
        _ => {}
    }
}

/// Whether a URL leads to this machine alone. A name other than `localhost` is not trusted to.
pub fn is_loopback(url: &Url) -> bool {
    match url.host() {
        Some(Host::Ipv4(address)) => address.is_loopback(),
        Some(Host::Ipv6(address)) => address.is_loopback(),
        // A scheme that `url` does not know by name keeps an IPv4 address as a domain.
        Some(Host::Domain(name)) => {
            name == "localhost" || name.parse::<IpAddr>().is_ok_and(|address| address.is_loopback())
        }
        None => false,
    }
}
