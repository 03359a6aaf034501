//! Who changes in the directory, how, and what must follow in Graph.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use entra_relay::sandbox::graph::{LoggedRequest, NewUser, SandboxGraph};
use rand::RngExt;
use rand::rngs::StdRng;
use serde_json::Value;
use tokio::sync::Mutex;
use tokio::time::sleep;
use uuid::Uuid;

use super::history::{Fault, History, Write};
use crate::support::samba::{Admin, UPN_SUFFIX, User};

/// The most changes of one user in a row.
const MOST_IN_A_ROW: usize = 6;
/// The longest rest between two changes.
const MOST_REST_MS: u64 = 100;

/// What every new password begins with.
pub const PASSWORDS: &str = "Chang3d-Passw0rd-";

const STATE: &str = "accountEnabled";
const UPN: &str = "userPrincipalName";
/// Mapped properties, and the attributes they come from.
pub const MAPPED: [(&str, &str); 3] =
    [("jobTitle", "title"), ("mobilePhone", "mobile"), (UPN, UPN)];

/// Where somebody is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Place {
    Inside,
    Outside,
    Gone,
}

/// Someone in the directory, and what became of them there.
struct Person {
    user: User,
    twin: Uuid,
    place: Place,
    disabled: bool,
    /// Created while things went wrong: who comes and goes before anybody looks was never there.
    new: bool,
    has_moved: bool,
    histories: BTreeMap<&'static str, History>,
    password_set: Option<Instant>,
}

impl Person {
    /// The state that Graph is to have may have changed.
    fn push_state(&mut self) {
        let enabled = self.place == Place::Inside && !self.disabled;
        let history = self.histories.get_mut(STATE).unwrap();
        if *history.last() != enabled {
            history.push(enabled.into());
        }
    }

    /// Whether a property follows the directory to the end. Who has left is blocked, and no more.
    fn follows(&self, property: &str, writes: &[Write]) -> bool {
        match property {
            // Nobody is blocked whom the watcher never saw there.
            STATE => !(self.new && writes.is_empty()),
            _ => self.place == Place::Inside,
        }
    }
}

pub struct People<'a> {
    /// Who changes the directory; whoever stops that takes it away meanwhile.
    admin: &'a Mutex<Admin>,
    graph: &'a SandboxGraph,
    units: [String; 2],
    everyone: Vec<Person>,
    random: StdRng,
    /// How many changes there were, by kind.
    pub changes: BTreeMap<&'static str, usize>,
}

impl<'a> People<'a> {
    /// So many, all in the first of two units, which is followed.
    pub async fn new(
        number: usize,
        units: [String; 2],
        admin: &'a Mutex<Admin>,
        graph: &'a SandboxGraph,
        random: StdRng,
    ) -> People<'a> {
        let (everyone, changes) = (Vec::new(), BTreeMap::new());
        let mut people = People { admin, graph, units, everyone, random, changes };
        for number in 0..number {
            people.add(number % 2 == 0, false).await;
        }
        people
    }

    async fn add(&mut self, linked: bool, new: bool) {
        let name = format!("user{:05}", self.everyone.len());
        let user = self.admin.lock().await.add_user(&self.units[0], &name).await;
        let mut twin = NewUser::new(&user.upn);
        if linked {
            twin = twin.immutable_id(&user.immutable_id());
        }
        let twin = self.graph.add_user(twin);
        let mut histories = BTreeMap::from([(STATE, History::new(Value::Bool(true)))]);
        histories.extend(MAPPED.map(|(property, _)| (property, History::new(Value::Null))));
        histories.insert(UPN, History::new(user.upn.clone().into()));
        self.everyone.push(Person {
            user,
            twin,
            place: Place::Inside,
            disabled: false,
            new,
            has_moved: false,
            histories,
            password_set: None,
        });
    }

    /// Changes something every now and then, some things in a row of one user.
    pub async fn change_until(&mut self, end: Instant) {
        while Instant::now() < end {
            let person = self.random.random_range(0..self.everyone.len());
            for _ in 0..self.random.random_range(1..=MOST_IN_A_ROW) {
                self.change(person).await;
            }
            let rest = self.random.random_range(0..MOST_REST_MS);
            sleep(Duration::from_millis(rest)).await;
        }
    }

    async fn change(&mut self, index: usize) {
        let unique = self.changes.values().sum::<usize>();
        let kind = self.random.random_range(0..100);
        let person = &mut self.everyone[index];
        let inside = person.place == Place::Inside;
        if person.place == Place::Gone || (92..96).contains(&kind) {
            *self.changes.entry("created").or_default() += 1;
            return self.add(true, true).await;
        }
        let mut admin = self.admin.lock().await;
        let Person { user, histories, .. } = person;
        let name = match kind {
            0..44 => {
                person.disabled = !person.disabled;
                // Written without being read before: that spares the server half of the work.
                let control = if person.disabled { "514" } else { "512" };
                admin.replace(user, "userAccountControl", &[control]).await;
                if person.disabled { "disabled" } else { "enabled" }
            }
            44..74 if inside => {
                let (property, attribute) = MAPPED[kind % 2];
                let value = format!("+{unique}");
                admin.replace(user, attribute, &[&value]).await;
                histories.get_mut(property).unwrap().push(value.into());
                "attribute"
            }
            74..78 if inside => {
                person.password_set = Some(Instant::now());
                admin.set_password(user, &format!("{PASSWORDS}{unique}")).await;
                "password"
            }
            78..84 if inside => {
                let upn = format!("{}-{unique}@{UPN_SUFFIX}", user.name);
                admin.replace(user, UPN, &[&upn]).await;
                histories.get_mut(UPN).unwrap().push(upn.into());
                "renamed"
            }
            96.. => {
                admin.delete(user).await;
                person.place = Place::Gone;
                "deleted"
            }
            _ => {
                let unit = &self.units[usize::from(inside)];
                admin.move_to(user, unit).await;
                person.place = if inside { Place::Outside } else { Place::Inside };
                person.has_moved = true;
                "moved"
            }
        };
        person.push_state();
        *self.changes.entry(name).or_default() += 1;
    }

    /// Whether Graph is as the directory: states, attributes, and sessions revoked after the
    /// last new password.
    pub fn agree(&self) -> Result<(), String> {
        let log = self.graph.log();
        let revocations =
            log.iter().filter(|request| request.path.ends_with("/revokeSignInSessions"));
        let revoked: BTreeMap<_, _> =
            revocations.map(|request| (request.user, request.at)).collect();
        let writes = writes(&log);
        for person in &self.everyone {
            let Person { user, twin, histories, .. } = person;
            let cloud = self.graph.user(*twin).unwrap();
            for (property, history) in histories {
                let (there, here) = (cloud.get(property), history.last());
                let of = writes.get(&(*twin, *property)).map_or(&[][..], Vec::as_slice);
                if person.follows(property, of) && there != *here {
                    let Person { place, new, .. } = person;
                    let who = format!("{} ({}, {place:?}, new: {new})", user.name, user.guid);
                    return Err(format!("{property} of {who} is {there}, not {here}"));
                }
            }
            let stayed = person.place == Place::Inside && !person.new && !person.has_moved;
            let set = person.password_set.filter(|_| stayed);
            if set.is_some_and(|set| revoked.get(&Some(*twin)).is_none_or(|at| *at < set)) {
                return Err(format!("{} still has its old sessions", user.name));
            }
        }
        Ok(())
    }

    /// Checks everybody's order. Returns how many writes there were, and how many of them were
    /// repeats.
    pub fn check_order(&self, faults: &[Fault]) -> (usize, usize) {
        let writes = writes(&self.graph.log());
        let mut repeats = 0;
        for person in &self.everyone {
            // The name comes by both lanes, as what changed and as an attribute: only how it ends is
            // certain.
            let histories = person.histories.iter().filter(|(property, _)| **property != UPN);
            for (property, history) in histories {
                let writes = writes.get(&(person.twin, *property)).map_or(&[][..], Vec::as_slice);
                let checked = history.check(writes, faults, person.follows(property, writes));
                let name = &person.user.name;
                repeats += checked.unwrap_or_else(|why| panic!("{property} of {name}: {why}"));
            }
        }
        (writes.values().map(Vec::len).sum(), repeats)
    }

    /// How many there are and were.
    pub fn number(&self) -> usize {
        self.everyone.len()
    }
}

/// The writes that took effect, by user and property.
fn writes(log: &[LoggedRequest]) -> BTreeMap<(Uuid, &'static str), Vec<Write>> {
    let mut writes: BTreeMap<_, Vec<_>> = BTreeMap::new();
    for request in log.iter().filter(|request| request.method == "PATCH") {
        let accepted = request.status.is_none_or(|status| status < 300);
        let Some((twin, body)) = request.user.zip(request.body.json()) else { continue };
        for property in [STATE].into_iter().chain(MAPPED.map(|(property, _)| property)) {
            if let Some(value) = body.get(property).filter(|_| accepted) {
                let write = Write { at: request.at, value: value.clone() };
                writes.entry((twin, property)).or_default().push(write);
            }
        }
    }
    writes
}
