//! The storyline: what happens in the directory, and how long each thing takes to reach Graph.

use std::time::{Duration, Instant};

use anyhow::{Context, ensure};
use indicatif::{ProgressBar, ProgressStyle};
use tokio::time::timeout;
use uuid::Uuid;

use super::administrator;
use crate::sandbox::{
    Sandbox, administrator::Administrator, directory::UserSnapshot, graph::LoggedRequest,
};

/// How often each kind of change is made, one after the other.
const EACH: usize = 40;
/// How many changes the burst has.
const BURST: usize = 200;
/// A change that takes longer than this is lost.
const PATIENCE: Duration = Duration::from_secs(30);

/// How long one change took, from the directory's answer to Graph's.
#[derive(Debug, Clone, Copy)]
pub struct Sample {
    /// What kind of change.
    pub kind: &'static str,
    /// The time it took.
    pub took: Duration,
}

/// A change that is under way.
struct Pending {
    kind: &'static str,
    /// Behind this place of Graph's log.
    after: u64,
    /// When the directory had it.
    since: Instant,
    user: Uuid,
    done: Done,
}

/// Finds in a user's requests when the change was complete.
type Done = fn(&[LoggedRequest]) -> Option<Instant>;

/// Tells the story. It takes some seconds.
pub async fn tell(sandbox: &Sandbox, progress: bool) -> anyhow::Result<Vec<Sample>> {
    let mut story = Story {
        sandbox,
        administrator: administrator(sandbox).await?,
        people: people(sandbox),
        samples: Vec::new(),
        bar: bar(progress),
    };
    ensure!(story.people.len() > BURST + EACH, "the story needs more people");
    story.one_by_one().await?;
    story.burst().await?;
    story.bar.finish_and_clear();
    Ok(story.samples)
}

struct Story<'a> {
    sandbox: &'a Sandbox,
    administrator: Administrator,
    people: Vec<UserSnapshot>,
    samples: Vec<Sample>,
    bar: ProgressBar,
}

impl Story<'_> {
    async fn one_by_one(&mut self) -> anyhow::Result<()> {
        let people = self.people[..EACH].to_vec();
        for person in &people {
            let pending = self.expect("disable", person, read_back);
            self.administrator.set_enabled(&person.dn, false).await?;
            self.finish(pending).await?;
        }
        for person in &people {
            let pending = self.expect("enable", person, updated);
            self.administrator.set_enabled(&person.dn, true).await?;
            self.finish(pending).await?;
        }
        for (index, person) in people.iter().enumerate() {
            let pending = self.expect("password change", person, revoked);
            self.administrator.set_password(&person.dn, &format!("Sandbox-{index}-Pass")).await?;
            self.finish(pending).await?;
        }
        for (index, person) in people.iter().enumerate() {
            let pending = self.expect("attribute edit", person, updated);
            self.administrator.set(&person.dn, "title", &format!("Specialist {index}")).await?;
            self.finish(pending).await?;
        }
        let leavers = self.people[EACH..2 * EACH].to_vec();
        for person in leavers.iter().take(EACH / 4) {
            let pending = self.expect("delete", person, read_back);
            self.administrator.delete(&person.dn).await?;
            self.finish(pending).await?;
        }
        Ok(())
    }

    /// Many changes at once, as a script would make them, and a disable in the middle.
    async fn burst(&mut self) -> anyhow::Result<()> {
        let crowd: Vec<_> = self.people.iter().rev().take(BURST).cloned().collect();
        let leaver = self.people[2 * EACH].clone();
        let mut pending = Vec::new();
        for (index, person) in crowd.iter().enumerate() {
            if index == BURST / 2 {
                let mut disable = self.expect("disable in the burst", &leaver, read_back);
                self.administrator.set_enabled(&leaver.dn, false).await?;
                disable.since = Instant::now();
                pending.push(disable);
            }
            let mut edit = self.expect("attribute edit in the burst", person, updated);
            self.administrator.set(&person.dn, "department", &format!("Team {index}")).await?;
            edit.since = Instant::now();
            pending.push(edit);
        }
        for change in pending {
            self.wait(change).await?;
        }
        Ok(())
    }

    fn expect(&self, kind: &'static str, person: &UserSnapshot, done: Done) -> Pending {
        let after = self.sandbox.graph.last_order();
        let user = self.sandbox.twins[&person.guid];
        self.bar.set_message(kind);
        Pending { kind, after, since: Instant::now(), user, done }
    }

    /// The directory has the change now.
    async fn finish(&mut self, mut pending: Pending) -> anyhow::Result<()> {
        pending.since = Instant::now();
        self.wait(pending).await
    }

    async fn wait(&mut self, pending: Pending) -> anyhow::Result<()> {
        let Pending { kind, after, since, user, done } = pending;
        let mut at = None;
        let found = self.sandbox.graph.wait_until(|graph| {
            let mut answers = graph.log_since(after);
            answers.retain(|request| request.user == Some(user) && succeeded(request));
            at = done(&answers);
            at.is_some()
        });
        timeout(PATIENCE, found).await.with_context(|| format!("{kind} did not reach Graph"))?;
        // A relay that is quicker than the directory's answer to the administrator took no time.
        let took = at.map_or(PATIENCE, |at| at.saturating_duration_since(since));
        self.samples.push(Sample { kind, took });
        self.bar.inc(1);
        Ok(())
    }
}

fn people(sandbox: &Sandbox) -> Vec<UserSnapshot> {
    let mut users = sandbox.directory.users();
    users.retain(|user| sandbox.twins.contains_key(&user.guid) && crate::sandbox::is_enabled(user));
    users
}

fn succeeded(request: &LoggedRequest) -> bool {
    request.status.is_some_and(|status| (200..300).contains(&status))
}

fn updated(requests: &[LoggedRequest]) -> Option<Instant> {
    requests.iter().find(|request| request.method == "PATCH").map(|request| request.at)
}

fn revoked(requests: &[LoggedRequest]) -> Option<Instant> {
    let revoke = |request: &&LoggedRequest| request.path.ends_with("/revokeSignInSessions");
    requests.iter().find(revoke).map(|request| request.at)
}

/// A block is complete when the relay has read it back.
fn read_back(requests: &[LoggedRequest]) -> Option<Instant> {
    let mut later = requests.iter().skip_while(|request| request.method != "PATCH");
    later.find(|request| request.method == "GET").map(|request| request.at)
}

fn bar(visible: bool) -> ProgressBar {
    if !visible {
        return ProgressBar::hidden();
    }
    let bar = ProgressBar::new((4 * EACH + EACH / 4 + BURST + 1) as u64);
    let style = ProgressStyle::with_template("{bar:30} {pos:>3}/{len} {msg}");
    bar.set_style(style.unwrap_or_else(|_| ProgressStyle::default_bar()));
    bar
}
