//! The comparison of directory and Entra, whole: both sides stream by, and memory stays bounded.
//!
//! Entra comes first, into a nameless file (`tenant`); then each user of the directory is looked
//! up there (`compare`). Nothing is written: what differs is mended by the watcher, which tells
//! those users again, so that guard and lanes are passed as ever.

mod compare;
mod finding;
mod tenant;

use std::collections::BTreeSet;

use jiff::Timestamp;
use uuid::Uuid;

pub use self::finding::{Finding, Kind, Mend};
use self::{
    compare::{Comparison, Person},
    tenant::Tenant,
};
use crate::{
    consumer,
    directory::{Directory, Entry},
    graph::GraphClient,
    watcher::{
        diff::{Arrival, Circumstances, Rules, Step, observe, values_of},
        named::Named,
        record::Part,
    },
};

/// How far the comparison has come.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Progress {
    /// So many users of Entra were read.
    Entra(u64),
    /// So many users of the directory were compared.
    Directory(u64),
}

/// Both sides, and what each half of the relay does with them.
pub struct Reconciliation<'a> {
    /// The directory's name.
    pub source: &'a str,
    /// What the watcher tells.
    pub watcher: &'a Rules,
    /// What the consumers do.
    pub consumer: &'a consumer::Rules,
    /// The tenant.
    pub graph: &'a GraphClient,
}

impl Reconciliation<'_> {
    /// Compares everybody. Returns how many users of the directory took part.
    pub async fn run(
        &self,
        directory: &mut dyn Directory,
        mut progress: impl FnMut(Progress),
        mut take: impl FnMut(Finding),
    ) -> anyhow::Result<u64> {
        // Members of groups are known to the watcher alone.
        anyhow::ensure!(
            self.watcher.scope.groups().next().is_none(),
            "who is in scope.groups cannot be told here, so nobody can be compared; \
             scope.organizational_units can"
        );
        let domains = self.graph.verified_domains().await?;
        let tenant = Tenant::new()?;
        let (mut page, mut users) = (None, 0);
        loop {
            let (found, next) = self.graph.list_users(&self.consumer.select, page).await?;
            users += found.len() as u64;
            tenant.add(&found)?;
            progress(Progress::Entra(users));
            page = next;
            if page.is_none() {
                break;
            }
        }
        let comparison = Comparison {
            source: self.source,
            rules: self.consumer,
            tenant: &tenant,
            domains: &domains,
        };
        let (mut page, mut seen, mut in_scope) = (None, 0, 0);
        loop {
            let found = directory.users(page).await?;
            let mut links = Vec::new();
            for entry in &found.entries {
                if let Some(person) = self.person(entry) {
                    links.extend(comparison.links(&person));
                    in_scope += u64::from(person.in_scope);
                    comparison.person(&person)?.into_iter().for_each(&mut take);
                }
            }
            tenant.expect_links(&links)?;
            seen += found.entries.len() as u64;
            progress(Progress::Directory(seen));
            page = found.next;
            if page.is_none() {
                break;
            }
        }
        anyhow::ensure!(seen > 0, "the directory shows no user at all, which is not believed");
        tenant.orphans(|user| {
            if let Some(finding) = comparison.orphan(&user) {
                take(finding);
            }
        })?;
        Ok(in_scope)
    }

    /// Compares one user. Who is not in the directory has nothing that differs.
    pub async fn one(
        &self,
        directory: &mut dyn Directory,
        object: Uuid,
    ) -> anyhow::Result<Vec<Finding>> {
        let person = directory.read(object).await?.and_then(|entry| self.person(&entry));
        let Some(person) = person else { return Ok(Vec::new()) };
        let domains = self.graph.verified_domains().await?;
        let tenant = Tenant::new()?;
        let comparison = Comparison {
            source: self.source,
            rules: self.consumer,
            tenant: &tenant,
            domains: &domains,
        };
        for filter in comparison.searches(&person) {
            tenant.add(&self.graph.find_users(&filter, &self.consumer.select).await?)?;
        }
        Ok(comparison.person(&person)?)
    }

    /// The user of an entry, as the watcher understands it.
    fn person(&self, entry: &Entry) -> Option<Person> {
        let now = Timestamp::now();
        let (named, groups) = (Named::default(), BTreeSet::new());
        let circumstances = Circumstances {
            now,
            arrival: Arrival::Baseline,
            password_signal: false,
            lockout_duration: None,
            named: &named,
            groups: &groups,
        };
        let Step::Change { record, .. } = observe(self.watcher, None, entry, circumstances) else {
            return None;
        };
        let entry = self.watcher.veil.over(entry);
        let values = |name: &String| Some((name.clone(), values_of(&entry, name)?));
        Some(Person {
            object: entry.object,
            in_scope: record.part == Part::Inside,
            blocked: record.blocked(now),
            attributes: self.watcher.mapped.iter().filter_map(values).collect(),
            identity: record.identity,
        })
    }
}
