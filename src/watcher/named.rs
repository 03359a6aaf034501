//! What the configuration names in the directory.
//!
//! A name that was found once stands for that object from then on, whatever it is called later: who
//! renames or moves an organizational unit does not mean to block everybody in it.

use std::{
    borrow::Cow,
    collections::{BTreeMap, BTreeSet},
};

use serde::{Deserialize, Serialize};
use uuid::Uuid;

use crate::directory::dn::normalised;

/// The objects behind configured names.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Named {
    /// Normalised name → object, and where it is now.
    objects: BTreeMap<String, (Uuid, Option<String>)>,
    established: BTreeSet<Uuid>,
}

impl Named {
    /// Adds an object; `place` is its distinguished name now, where that is known.
    pub fn add(&mut self, name: &str, object: Uuid, place: Option<&str>) {
        self.objects.insert(normalised(name), (object, place.map(normalised)));
    }

    /// Changes of the membership of this group are told from now on.
    pub fn establish(&mut self, group: Uuid) {
        self.established.insert(group);
    }

    /// The object of a name.
    pub fn object(&self, name: &str) -> Option<Uuid> {
        self.objects.get(&normalised(name)).map(|(object, _)| *object)
    }

    /// Where the object of a name is now, normalised; the name itself where that is not known.
    pub fn place(&self, name: &str) -> Cow<'_, str> {
        let name = normalised(name);
        match self.objects.get(&name) {
            Some((_, Some(place))) => Cow::Borrowed(place),
            _ => Cow::Owned(name),
        }
    }

    /// Whether the members of this group have been taken in once: before that nothing is told of
    /// them.
    pub fn is_established(&self, group: Uuid) -> bool {
        self.established.contains(&group)
    }
}
