//! Attributes that name other users, such as `manager`: who that is, and what follows where that
//! user goes or comes back.
//!
//! An object is known by its GUID, so a manager who is renamed or moved is still the same. When one
//! is deleted, its name goes from whoever it was in, and nothing is reported of these; so they are
//! read again.

use std::collections::{BTreeMap, BTreeSet};

use uuid::Uuid;

use super::{
    diff::{Arrival, identify, is_deleted},
    draft::Draft,
    pipeline::{Pipeline, WatchError},
    record::{Record, Referred, fingerprint},
};
use crate::{
    directory::{Directory, DirectoryError, Entry, Link},
    event::{Identity, Reference},
};

/// Whom an attribute names.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Pointing {
    /// What the ledger keeps of it; none where there is no value.
    pub referred: Option<Referred>,
    /// How that user is known, where that is to be told; none where there is no such user.
    pub reference: Option<Reference>,
}

impl Pointing {
    /// objectGUID of the user.
    pub fn object(&self) -> Option<Uuid> {
        self.referred.and_then(|referred| referred.object)
    }
}

impl Pipeline {
    /// Adds to the entries, whole, whoever names somebody who was deleted or has come back.
    pub(super) async fn with_referring(
        &self,
        directory: &mut dyn Directory,
        mut entries: Vec<Entry>,
    ) -> Result<Vec<Entry>, WatchError> {
        if self.rules.mappings.references().is_empty() {
            return Ok(entries);
        }
        let mut referring = BTreeSet::new();
        for entry in &entries {
            let Some(deleted) = is_deleted(entry) else { continue };
            let known = self.store.record(entry.object)?;
            if known.is_some_and(|known| known.deleted != deleted) {
                referring.extend(self.store.referring(entry.object)?);
            }
        }
        for object in referring {
            entries.extend(directory.read(object).await?);
        }
        Ok(entries)
    }
}

impl Draft<'_> {
    /// Whom an entry names, as far as the ledger does not know that.
    pub(super) async fn pointings(
        &self,
        directory: &mut dyn Directory,
        known: Option<&Record>,
        entry: &Entry,
        arrival: Arrival,
    ) -> Result<BTreeMap<String, Pointing>, WatchError> {
        // Nothing is told of them, so it need not be known who that is.
        let silent = known.is_none() && arrival == Arrival::Baseline;
        let mut pointings = BTreeMap::new();
        for name in self.pipeline.rules.mappings.references() {
            let Some(values) = entry.values(name) else { continue };
            let key = name.to_ascii_lowercase();
            let before = known.and_then(|known| known.references.get(&key));
            let Some(value) = values.first() else {
                if before.is_some() {
                    pointings.insert(name.clone(), Pointing { referred: None, reference: None });
                }
                continue;
            };
            let link = Link::parse(value).map(|link| link.object);
            let print = fingerprint(&[link.map_or(value.clone(), |object| object.into())]);
            if let Some(Referred { object: Some(object), print: known }) = before
                && *known == print
                && self.is_alive(*object)?
            {
                continue;
            }
            let reference = match link {
                Some(object) if silent => {
                    let referred = Some(Referred { object: Some(object), print });
                    pointings.insert(name.clone(), Pointing { referred, reference: None });
                    continue;
                }
                Some(object) => self.reference(directory, object).await?,
                None => match directory.find(&String::from_utf8_lossy(value)).await? {
                    Some(object) => self.reference(directory, object).await?,
                    None => None,
                },
            };
            let object = reference.as_ref().map(|reference| reference.object);
            let referred = Some(Referred { object, print });
            pointings.insert(name.clone(), Pointing { referred, reference });
        }
        Ok(pointings)
    }

    /// How a user is known, whether it takes part or not; none for what is no user, or is gone.
    pub(super) async fn reference(
        &self,
        directory: &mut dyn Directory,
        object: Uuid,
    ) -> Result<Option<Reference>, WatchError> {
        if let Some(known) = self.latest(object)? {
            let identity = known.identity;
            return Ok((!known.deleted).then_some(Reference { object, identity }));
        }
        let entry = match directory.read(object).await {
            // It may be an object of another domain.
            Err(error @ DirectoryError::Failed { .. }) => {
                tracing::warn!(%object, %error, "a user that another one names cannot be read");
                None
            }
            read => read?,
        };
        let rules = &self.pipeline.rules;
        Ok(entry.map(|entry| {
            let mut identity = Identity::default();
            identify(rules, &rules.veil.over(&entry), &mut identity);
            Reference { object, identity }
        }))
    }

    fn is_alive(&self, object: Uuid) -> Result<bool, WatchError> {
        Ok(self.latest(object)?.is_some_and(|known| !known.deleted))
    }

    /// What is known of an object, this batch included.
    fn latest(&self, object: Uuid) -> Result<Option<Record>, WatchError> {
        match self.changes.iter().find(|change| change.object == object) {
            Some(change) => Ok(Some(change.record.clone())),
            None => Ok(self.pipeline.store.record(object)?),
        }
    }
}
