//! What a directory of many users costs the watcher: the first reading, its memory, its ledger, the
//! start with that ledger, idling, and one change among them.
//!
//! Beside the first reading stands a bare client's paged read of the same entries in the same run.
//!
//! `cargo bench --bench scale` reads sandbox directories of 10,000 and 100,000 users and a Samba
//! domain of 2,000. `RELAY_SIZES="1000000"` and `RELAY_SAMBA_USERS=20000` ask for others. As root,
//! with the packages that `tests/run` installs.

#![allow(clippy::unwrap_used, reason = "a panic is how a benchmark reports")]

#[path = "../tests/proof/support/mod.rs"]
#[allow(dead_code, reason = "the tests use more of it")]
mod support;

use std::fs;
use std::time::{Duration, Instant};

use entra_relay::sandbox::administrator::Administrator;
use entra_relay::sandbox::directory::{self, SandboxDirectory};
use ldap3::adapters::{Adapter, EntriesOnly, PagedResults};
use ldap3::{Ldap, LdapConnAsync, Scope};
use serde_json::json;
use tokio::time::sleep;

use support::rabbit::{Rabbit, Vhost};
use support::relay::{Relay, Setup};
use support::samba::{BASE_DN, Samba, Transport};
use support::scale::scale;

/// What the relay asks of each user, by the defaults of these runs.
const ATTRIBUTES: [&str; 14] = [
    "objectClass",
    "objectGUID",
    "objectSid",
    "sAMAccountName",
    "userPrincipalName",
    "employeeID",
    "mS-DS-ConsistencyGuid",
    "userAccountControl",
    "accountExpires",
    "pwdLastSet",
    "lockoutTime",
    "isDeleted",
    "title",
    "department",
];
const USERS: &str = "(&(objectClass=user)(!(objectClass=computer)))";
const MIB: f64 = 1024.0 * 1024.0;

#[tokio::main]
async fn main() {
    entra_relay::net::tls::install_provider();
    let rabbit = Rabbit::start().await;
    head();
    let sizes = std::env::var("RELAY_SIZES").unwrap_or_else(|_| "10000 100000".into());
    for size in sizes.split_whitespace() {
        sandbox(&rabbit, size.parse().expect("RELAY_SIZES holds numbers")).await;
    }
    let users = scale("SAMBA_USERS", 2_000);
    if users > 0 {
        samba(&rabbit, users).await;
    }
}

async fn sandbox(rabbit: &Rabbit, users: usize) {
    let options = directory::Options { users, ..directory::Options::default() };
    let directory = SandboxDirectory::start(options).await.unwrap();
    let vhost = rabbit.vhost();
    let setup = watcher(&vhost);
    let password = setup.secret("bind", directory.bind_password());
    let bind = json!({ "user": directory.bind_name(), "password_file": password });
    let setup = setup
        .set("directory.source", "dirsync")
        .set("directory.urls", [directory.url()])
        .set("directory.base_dn", directory.base_dn())
        .set("directory.bind", bind);

    let mut reader = open(&directory.url(), directory.bind_name(), directory.bind_password()).await;
    let read = paged_read(&mut reader, directory.base_dn()).await;
    let mut admin = Administrator::connect(&directory).await.unwrap();
    let somebody = directory.users().pop().unwrap().dn;
    let change = async || {
        admin.set(&somebody, "title", "Chosen").await.unwrap();
    };
    measure("sandbox", &setup, &vhost, read, change).await;
}

async fn samba(rabbit: &Rabbit, users: u32) {
    let samba = Samba::start_with_users(users).await;
    let mut admin = samba.admin().await;
    let user = admin.add_user(&format!("CN=Users,{BASE_DN}"), "chosen").await;
    let vhost = rabbit.vhost();
    let account = samba.service_account().await;
    let setup = watcher(&vhost).directory(&samba, account);

    let mut reader = samba.bind(Transport::Ldaps, &account.upn, &account.password).await.unwrap();
    let read = paged_read(&mut reader, BASE_DN).await;
    let change = async || admin.replace(&user, "title", &["Chosen"]).await;
    measure("Samba, LDAPS", &setup, &vhost, read, change).await;
}

fn watcher(vhost: &Vhost) -> Setup {
    let attributes = json!({ "jobTitle": "title", "department": "department" });
    Setup::new().rabbit(vhost).set("apply.attributes", attributes)
}

/// How many users a bare client read, and how long it took.
struct Read {
    users: usize,
    time: Duration,
}

async fn paged_read(ldap: &mut Ldap, base: &str) -> Read {
    let since = Instant::now();
    let pages: Vec<Box<dyn Adapter<_, _>>> =
        vec![Box::new(EntriesOnly::new()), Box::new(PagedResults::new(1000))];
    let attributes = ATTRIBUTES.to_vec();
    let mut search =
        ldap.streaming_search_with(pages, base, Scope::Subtree, USERS, attributes).await.unwrap();
    let mut users = 0;
    while let Some(entry) = search.next().await.unwrap() {
        std::hint::black_box(ldap3::SearchEntry::construct(entry));
        users += 1;
    }
    search.finish().await.success().unwrap();
    Read { users, time: since.elapsed() }
}

async fn measure(
    what: &str,
    setup: &Setup,
    vhost: &Vhost,
    read: Read,
    mut change: impl AsyncFnMut(),
) {
    let since = Instant::now();
    let mut watcher = setup.start(&["watch"]);
    ready(&mut watcher).await;
    let baseline = since.elapsed();
    let after_baseline = Memory::of(watcher.pid());
    let ledger = fs::metadata(setup.folder().join("watcher.redb")).unwrap().len();
    assert!(watcher.terminate().await.success());

    let since = Instant::now();
    let mut watcher = setup.start(&["watch"]);
    ready(&mut watcher).await;
    let start = since.elapsed();
    let idle = idle_cpu(watcher.pid()).await;

    change().await;
    let events = events(vhost).await;
    let running = Memory::of(watcher.pid());
    println!(
        "{what:<13} {:>9} {:>8.1} s {:>8.1} s {:>5.2} {:>7.0} MiB {:>7.0} MiB {:>7.1} MiB {:>6.0} B {:>7.2} s {:>7.2} % {events:>7}",
        read.users,
        read.time.as_secs_f64(),
        baseline.as_secs_f64(),
        baseline.as_secs_f64() / read.time.as_secs_f64(),
        after_baseline.peak,
        running.now,
        ledger as f64 / MIB,
        ledger as f64 / read.users as f64,
        start.as_secs_f64(),
        idle * 100.0,
    );
}

fn head() {
    println!(
        "{:<13} {:>9} {:>10} {:>10} {:>5} {:>11} {:>11} {:>11} {:>8} {:>9} {:>9} {:>7}",
        "directory",
        "users",
        "bare read",
        "baseline",
        "ratio",
        "its peak",
        "restarted",
        "ledger",
        "a user",
        "start",
        "idle CPU",
        "events"
    );
}

/// As [`Relay::ready`], however long it takes: a million users take minutes.
async fn ready(relay: &mut Relay<'_>) {
    loop {
        if let Ok((200, _)) = relay.get("/readyz").await {
            return;
        }
        assert!(relay.status().is_none(), "entra-relay ended: {}", relay.output());
        sleep(Duration::from_millis(20)).await;
    }
}

/// How many events wait, once one does and a moment has passed in which no other came.
async fn events(vhost: &Vhost) -> u32 {
    let mut last = 0;
    loop {
        let mut sum = 0;
        for lane in ["urgent", "bulk"] {
            for partition in 0..4 {
                sum += vhost.waiting(&format!("relay.{lane}.{partition}")).await.unwrap();
            }
        }
        if sum > 0 && sum == last {
            return sum;
        }
        last = sum;
        sleep(Duration::from_secs(2)).await;
    }
}

/// A process's memory, in MiB (proc(5), status).
struct Memory {
    peak: f64,
    now: f64,
}

impl Memory {
    fn of(pid: u32) -> Memory {
        let status = fs::read_to_string(format!("/proc/{pid}/status")).unwrap();
        let field = |name: &str| {
            let line = status.lines().find_map(|line| line.strip_prefix(name)).unwrap();
            line.trim().trim_end_matches(" kB").parse::<f64>().unwrap() / 1024.0
        };
        Memory { peak: field("VmHWM:"), now: field("VmRSS:") }
    }
}

/// The share of a core that a process uses over ten seconds.
async fn idle_cpu(pid: u32) -> f64 {
    const WINDOW: Duration = Duration::from_secs(10);
    let ticks = || -> u64 {
        let stat = fs::read_to_string(format!("/proc/{pid}/stat")).unwrap();
        let fields: Vec<_> = stat.rsplit(')').next().unwrap().split_whitespace().collect();
        // utime and stime, in hundredths of a second (proc(5), fields 14 and 15).
        fields[11].parse::<u64>().unwrap() + fields[12].parse::<u64>().unwrap()
    };
    let before = ticks();
    sleep(WINDOW).await;
    (ticks() - before) as f64 / 100.0 / WINDOW.as_secs_f64()
}

async fn open(url: &str, user: &str, password: &str) -> Ldap {
    let (connection, mut ldap) = LdapConnAsync::new(url).await.unwrap();
    ldap3::drive!(connection);
    ldap.simple_bind(user, password).await.unwrap().success().unwrap();
    ldap
}
