//! Memberships that Entra has otherwise than was told: that is taken down, and whatever the
//! directory says against it is then told as any change is, through the guard.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use uuid::Uuid;

use super::{
    diff::Arrival,
    draft::Draft,
    guard::Reading,
    pipeline::{Pipeline, WatchError, blocking},
    record::Record,
    store::Batch,
};
use crate::directory::{Directory, dn::normalised};

/// Users that are told in one batch.
const PAGE: usize = 500;

/// Whether a user is in the group of Entra that follows one of the directory.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Membership {
    /// objectGUID of the user.
    pub object: Uuid,
    /// The group of the directory, as `apply.groups` has it.
    pub group: String,
    /// Whether Entra has the user in it.
    pub member: bool,
}

impl Pipeline {
    /// Takes for told what Entra has, and tells how it should be. Returns of how many users.
    pub async fn correct(
        &self,
        directory: &mut dyn Directory,
        found: &[Membership],
    ) -> Result<usize, WatchError> {
        let mut users: BTreeMap<Uuid, Vec<&Membership>> = BTreeMap::new();
        let is_mapped = |it: &&Membership| {
            self.rules.groups.iter().any(|group| normalised(group) == normalised(&it.group))
        };
        for membership in found.iter().filter(is_mapped) {
            users.entry(membership.object).or_default().push(membership);
        }
        let users: Vec<_> = users.into_iter().collect();
        let mut known = 0;
        for page in users.chunks(PAGE) {
            let mut batch = Batch::default();
            for (object, memberships) in page {
                if let Some(mut record) = self.store.record(*object)? {
                    memberships.iter().for_each(|it| note(&mut record, it));
                    batch.records.insert(*object, record);
                }
            }
            blocking(|| self.store.apply(&batch))?;
            known += batch.records.len();
            let mut draft = Draft::new(self)?;
            for object in batch.records.keys() {
                let Some(entry) = directory.read(*object).await? else { continue };
                let change = draft.compare(directory, &entry, Arrival::Created).await?;
                draft.changes.extend(change);
            }
            self.tell(draft, &mut Reading::default()).await?;
        }
        Ok(known)
    }
}

fn note(record: &mut Record, Membership { group, member, .. }: &Membership) {
    let group = normalised(group);
    if *member {
        record.told.groups.insert(group);
    } else {
        record.told.groups.remove(&group);
    }
}
