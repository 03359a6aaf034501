//! A relay that only observes, beside a tool that writes: it journals what that tool does, and
//! writes nothing.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use entra_relay::sandbox::administrator::Administrator;
use entra_relay::sandbox::directory::UserSnapshot;
use entra_relay::sandbox::{Sandbox, is_enabled, value};
use serde_json::{Value, json};
use tokio::sync::watch;
use uuid::Uuid;

use crate::support::relay::{Relay, Setup};
use crate::support::twins::people;
use crate::support::wait::eventually;

/// Graph's property and the directory's attribute.
const PROPERTIES: [(&str, &str); 5] = [
    ("jobTitle", "title"),
    ("department", "department"),
    ("mobilePhone", "mobile"),
    ("usageLocation", "c"),
    ("userPrincipalName", "userPrincipalName"),
];
/// How often the other tool looks at the directory.
const CYCLE: Duration = Duration::from_secs(1);
const WAVES: usize = 7;

/// Whose property was written; a deleted user is one whose `deleted` was.
type Writes = BTreeSet<(Uuid, String)>;

/// A tool that compares the directory with what it saw in its last cycle, and writes what has
/// changed: every property that it masters, and nothing else.
struct Connect<'a> {
    sandbox: &'a Sandbox,
    journal: &'a Journal<'a>,
    seen: BTreeMap<Uuid, BTreeMap<&'static str, Value>>,
    cycles: watch::Sender<usize>,
}

impl Connect<'_> {
    async fn run(mut self) {
        loop {
            tokio::time::sleep(CYCLE).await;
            self.cycle().await;
            self.cycles.send_modify(|cycles| *cycles += 1);
        }
    }

    async fn cycle(&mut self) {
        let now = import(self.sandbox);
        let changed: Vec<_> = now.keys().filter(|it| self.seen[it] != now[it]).copied().collect();
        // It takes its time, as such tools do: here, until the relay has had its say.
        eventually("the relay has seen who has changed", async || {
            changed.iter().all(|object| self.journal.speaks_of(*object))
        })
        .await;
        for object in changed {
            let twin = self.sandbox.twins[&object];
            for (property, value) in &now[&object] {
                match self.seen[&object].get(property) {
                    Some(before) if before == value => {}
                    _ if *property == "deleted" => self.sandbox.graph.delete(twin),
                    _ => self.sandbox.graph.set(twin, property, value.clone()),
                }
            }
        }
        self.seen = now;
    }
}

/// What such a tool reads of everybody who has a twin.
fn import(sandbox: &Sandbox) -> BTreeMap<Uuid, BTreeMap<&'static str, Value>> {
    let mut users = sandbox.directory.users();
    users.retain(|user| sandbox.twins.contains_key(&user.guid));
    let read = |user: &UserSnapshot| match user.deleted {
        true => BTreeMap::from([("deleted", json!(true))]),
        false => PROPERTIES
            .into_iter()
            .map(|(property, attribute)| (property, json!(value(user, attribute))))
            .chain([("accountEnabled", json!(is_enabled(user)))])
            .collect(),
    };
    users.iter().map(|user| (user.guid, read(user))).collect()
}

/// What the relay writes down, from a line on.
struct Journal<'a> {
    relay: &'a Relay<'a>,
    from: watch::Sender<usize>,
}

impl Journal<'_> {
    fn lines(&self) -> Vec<Value> {
        let output = self.relay.output();
        let lines = output.lines().skip(*self.from.borrow());
        lines.filter_map(|line| serde_json::from_str(line).ok()).collect()
    }

    /// From here on.
    fn turn_over(&self) {
        self.from.send_replace(self.relay.output().lines().count());
    }

    /// Whether the relay has said what it would do of a user.
    fn speaks_of(&self, object: Uuid) -> bool {
        let object = json!(object);
        let decided = |line: &Value| is_decided(line) && line["object"] == object;
        self.lines().iter().any(decided) && self.is_settled()
    }

    /// Whether all that was seen has been decided about.
    fn is_settled(&self) -> bool {
        let lines = self.lines();
        let observed = lines.iter().filter(|line| line["message"] == "change observed");
        observed.count() == lines.iter().filter(|line| is_decided(line)).count()
    }

    /// What the relay would have written, but for what only a relay does: it revokes sessions and
    /// reads back.
    fn would_write(&self) -> Writes {
        let mut writes = Writes::new();
        for line in self.lines().iter().filter(|line| line["message"] == "would apply") {
            let object: Uuid = line["object"].as_str().unwrap().parse().unwrap();
            for action in line["actions"].as_str().unwrap().split(", ") {
                let property = match action {
                    "revoke sessions" | "verify" => continue,
                    "delete" => "deleted",
                    "block sign-in" if line["kind"] == "user.deleted" => "deleted",
                    "block sign-in" | "allow sign-in" => "accountEnabled",
                    update => update.strip_prefix("update ").unwrap_or(update),
                };
                writes.insert((object, property.to_owned()));
            }
        }
        writes
    }

    /// Of whom it would have left something to the other tool.
    fn ceded(&self) -> BTreeSet<Uuid> {
        let why = "ceded to the directory-sync tool";
        let lines = self.lines();
        let ceded = lines.iter().filter(|line| line["why"] == why);
        ceded.map(|line| line["object"].as_str().unwrap().parse().unwrap()).collect()
    }
}

fn is_decided(line: &Value) -> bool {
    ["would apply", "would not apply", "skipped"].iter().any(|text| line["message"] == *text)
}

/// What is done to a user; each wave does something else to each.
async fn edit(administrator: &mut Administrator, user: &UserSnapshot, wave: usize, what: usize) {
    let (dn, text) = (&user.dn, format!("wave {wave}"));
    let edited = match what {
        0 => administrator.set_enabled(dn, !is_enabled(user)).await,
        1 => administrator.set(dn, "title", &text).await,
        2 if value(user, "department").is_some() => administrator.clear(dn, "department").await,
        2 => administrator.set(dn, "department", &text).await,
        3 => administrator.set(dn, "mobile", &format!("+49 30 {wave}")).await,
        4 => {
            let other = if value(user, "c") == Some("AT") { "CH" } else { "AT" };
            administrator.set(dn, "c", other).await
        }
        _ => {
            let name = format!("{}.{wave}@corp.example", user.sam_account_name);
            administrator.set(dn, "userPrincipalName", &name).await
        }
    };
    edited.unwrap();
}

#[tokio::test]
async fn what_it_would_do_is_what_the_other_tool_does() {
    let sandbox = Sandbox::start(24).await.unwrap();
    // Half of them are synced: their tool is their source. The others it only writes.
    let everybody = people(&sandbox);
    let synced: BTreeSet<_> = everybody.iter().step_by(2).map(|user| user.guid).collect();
    for user in &everybody {
        let twin = sandbox.twins[&user.guid];
        let link = entra_relay::event::Identity::default().immutable_ids(user.guid).remove(0);
        sandbox.graph.set(twin, "onPremisesImmutableId", link);
        sandbox.graph.set(twin, "usageLocation", value(user, "c"));
        if synced.contains(&user.guid) {
            sandbox.graph.set(twin, "onPremisesSyncEnabled", true);
        }
    }
    let setup = Setup::new()
        .sandbox(&sandbox)
        .set("apply.mode", "observe")
        .set("apply.attributes", BTreeMap::from(PROPERTIES))
        .set("apply.on_deleted", "delete")
        .set("guard.max_percent", 100);
    let mut relay = setup.start(&["--log-format", "json", "run"]);
    relay.ready().await;
    let before = sandbox.graph.last_order();
    let journal = Journal { relay: &relay, from: watch::Sender::new(0) };
    journal.turn_over();
    let cycles = watch::Sender::new(0);
    let mut done = cycles.subscribe();
    let connect = Connect { sandbox: &sandbox, journal: &journal, seen: import(&sandbox), cycles };
    let mut administrator = Administrator::connect(&sandbox.directory).await.unwrap();
    let edits = async {
        for wave in 0..=WAVES {
            let seen = import(&sandbox);
            let users = people(&sandbox);
            for (index, user) in users.iter().enumerate() {
                if wave < WAVES {
                    edit(&mut administrator, user, wave, (index / 2 + wave) % 6).await;
                } else if index < 4 {
                    administrator.delete(&user.dn).await.unwrap();
                }
            }
            let now = import(&sandbox);
            // The cycle that runs may have begun before, the next one has not.
            let cycle = *done.borrow() + 2;
            done.wait_for(|done| *done >= cycle).await.unwrap();
            eventually("the relay has decided", async || journal.is_settled()).await;

            let changes = |object: &Uuid| {
                let (seen, now) = (&seen[object], &now[object]);
                let properties = now.iter().filter(|(name, value)| seen.get(*name) != Some(value));
                properties.map(|(name, _)| (*object, (*name).to_owned())).collect::<Vec<_>>()
            };
            let wrote: Writes = now.keys().flat_map(changes).collect();
            let free = ["accountEnabled", "usageLocation", "deleted"];
            let (ceded, own): (Writes, Writes) = wrote.into_iter().partition(|(object, name)| {
                synced.contains(object) && !free.contains(&name.as_str())
            });
            assert!(own.len() >= 4, "{own:?}");
            assert_eq!(journal.would_write(), own, "wave {wave}");
            let ceded: BTreeSet<_> = ceded.into_iter().map(|(object, _)| object).collect();
            assert_eq!(journal.ceded(), ceded, "wave {wave}");
            journal.turn_over();
        }
    };
    tokio::select! {
        () = edits => {}
        () = connect.run() => {}
    }
    let log = sandbox.graph.log_since(before);
    let is_read = |method: &str| method == "GET";
    assert!(log.iter().all(|it| is_read(&it.method) || it.path.ends_with("/token")), "{log:?}");
    // Both agree not only on what is written, but on the values too.
    let found = setup.json(&["reconcile"], 0).await;
    assert_eq!(found.last().unwrap()["summary"]["differences"], json!({}), "{found:?}");
}
