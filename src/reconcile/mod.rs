//! The comparison of directory and Entra, whole: both sides stream by, and memory stays bounded.
//!
//! Entra comes first, into a nameless file (`tenant`); then each user of the directory is looked
//! up there (`compare`), with what surrounds it (`surroundings`, `groups`). Nothing is written: what
//! differs is mended by the watcher, which tells those users again, so that guard and lanes are
//! passed as ever.

mod compare;
mod finding;
mod groups;
mod person;
mod surroundings;
mod tenant;
#[cfg(test)]
mod tests;

use std::collections::BTreeSet;

use jiff::Timestamp;
use uuid::Uuid;

use self::{
    compare::Comparison, groups::Group, person::Person, surroundings::Surroundings, tenant::Tenant,
};
pub use self::{
    finding::{Finding, Kind, Mend},
    surroundings::{Knowledge, members_of, nested_groups},
};
use crate::{
    consumer,
    directory::{Directory, Entry, Link, dn::normalised},
    graph::GraphClient,
    watcher::{
        diff::{Arrival, Circumstances, Rules, Step, observe},
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
pub struct Sides<'a> {
    /// The directory's name.
    pub source: &'a str,
    /// What the watcher tells.
    pub watcher: &'a Rules,
    /// What the consumers do.
    pub consumer: &'a consumer::Rules,
    /// The tenant.
    pub graph: &'a GraphClient,
}

/// A comparison that can begin: what decides about everybody was read.
pub struct Reconciliation<'a> {
    sides: Sides<'a>,
    surroundings: Surroundings,
    domains: Vec<String>,
    role_holders: Option<BTreeSet<String>>,
}

impl<'a> Reconciliation<'a> {
    /// Reads what decides about everybody, beside what a watcher knows.
    pub async fn prepare(
        sides: Sides<'a>,
        directory: &mut dyn Directory,
        known: Knowledge,
    ) -> anyhow::Result<Reconciliation<'a>> {
        Ok(Reconciliation {
            surroundings: Surroundings::read(directory, sides.watcher, known).await?,
            domains: sides.graph.verified_domains().await?,
            role_holders: sides.graph.role_holders().await?,
            sides,
        })
    }

    /// Compares everybody, `outsiders` too, who never were in scope. Returns how many users of the
    /// directory took part.
    pub async fn run(
        &self,
        directory: &mut dyn Directory,
        outsiders: bool,
        mut progress: impl FnMut(Progress),
        mut take: impl FnMut(Finding),
    ) -> anyhow::Result<u64> {
        let Sides { watcher, consumer, graph, .. } = &self.sides;
        let tenant = Tenant::new()?;
        let managers = self.manager_attribute().is_some();
        let (mut page, mut users) = (None, 0);
        loop {
            let (found, next) = graph.list_users(&consumer.select, managers, page).await?;
            users += found.len() as u64;
            tenant.add(&found)?;
            progress(Progress::Entra(users));
            page = next;
            if page.is_none() {
                break;
            }
        }
        let names = &watcher.groups;
        let groups =
            groups::read(graph, consumer, names, &self.surroundings, &tenant, &mut take).await?;
        let comparison = self.comparison(&tenant, &groups, outsiders);
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
        tenant.managers(&mut take)?;
        tenant.orphans(|user| {
            if let Some(finding) = comparison.orphan(&user) {
                take(finding);
            }
        })?;
        Ok(in_scope)
    }

    /// Compares one user, but for its memberships and its manager. Who is not in the directory has nothing that
    /// differs.
    pub async fn one(
        &self,
        directory: &mut dyn Directory,
        object: Uuid,
    ) -> anyhow::Result<Vec<Finding>> {
        let person = directory.read(object).await?.and_then(|entry| self.person(&entry));
        let Some(person) = person else { return Ok(Vec::new()) };
        let person = Person { manager: None, ..person };
        let tenant = Tenant::new()?;
        let comparison = self.comparison(&tenant, &[], false);
        let Sides { consumer, graph, .. } = &self.sides;
        for filter in comparison.searches(&person) {
            tenant.add(&graph.find_users(&filter, &consumer.select).await?)?;
        }
        Ok(comparison.person(&person)?)
    }

    fn comparison<'b>(
        &'b self,
        tenant: &'b Tenant,
        groups: &'b [Group],
        outsiders: bool,
    ) -> Comparison<'b> {
        Comparison {
            source: self.sides.source,
            rules: self.sides.consumer,
            tenant,
            domains: &self.domains,
            role_holders: self.role_holders.as_ref(),
            surroundings: &self.surroundings,
            groups,
            outsiders,
        }
    }

    /// The attribute that names a user's manager, where that is mapped.
    fn manager_attribute(&self) -> Option<&String> {
        let mut mappings = self.sides.consumer.mappings.iter();
        mappings.find(|mapping| mapping.property.is_reference())?.inputs().first()
    }

    /// The user of an entry, as the watcher understands it.
    fn person(&self, entry: &Entry) -> Option<Person> {
        let (rules, now) = (self.sides.watcher, Timestamp::now());
        let groups = self.surroundings.groups_of(entry.object);
        let references = Default::default();
        let circumstances = Circumstances {
            now,
            arrival: Arrival::Baseline,
            password_signal: false,
            lockout_duration: self.surroundings.lockout_duration,
            named: &self.surroundings.known.named,
            groups: &groups,
            references: &references,
        };
        let Step::Change { record, .. } = observe(rules, None, entry, circumstances) else {
            return None;
        };
        let manager = self.manager_attribute().map(|name| {
            let value = entry.values(name)?.first()?;
            let name = Link::parse(value).map(|link| link.dn.to_owned());
            Some(normalised(&name.unwrap_or_else(|| String::from_utf8_lossy(value).into_owned())))
        });
        Some(Person {
            object: entry.object,
            in_scope: record.part == Part::Inside,
            blocked: record.blocked(now),
            attributes: rules.values(entry),
            identity: record.identity,
            groups,
            dn: normalised(&record.dn),
            manager,
        })
    }
}
