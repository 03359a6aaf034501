//! What surrounds the users: units that move, a group in a group, and what a server tells of that.

use uuid::Uuid;

use super::{World, object};
use crate::directory::Entry;

/// The unit in scope.
pub(in super::super) const INSIDE: usize = 50;
/// A unit that moves.
pub(in super::super) const TEAM: usize = 51;
/// A unit beside the scope.
pub(in super::super) const OUTSIDE: usize = 52;
/// A group.
pub(in super::super) const OUTER: usize = 53;
/// A group that may be in the other one.
pub(in super::super) const INNER: usize = 54;

const UNIT: &str = "organizationalUnit";
const GROUP: &str = "group";

impl World {
    /// The units, the third of them in the first, and the groups, one in the other.
    pub(in super::super) fn add_places(&mut self) {
        for (index, class, name) in [
            (INSIDE, UNIT, "inside"),
            (OUTSIDE, UNIT, "outside"),
            (TEAM, UNIT, "team"),
            (OUTER, GROUP, "outer"),
            (INNER, GROUP, "inner"),
        ] {
            self.users.insert(object(index), Default::default());
            self.set(index, "objectclass", Some(class));
            self.set(index, "name", Some(name));
        }
        self.put(TEAM, INSIDE);
        self.link(object(OUTER), object(INNER), true);
    }

    /// Puts an object into a unit.
    pub(in super::super) fn put(&mut self, index: usize, unit: usize) {
        let parent = object(unit).to_bytes_le().to_vec();
        let parent = String::from_utf8(parent).expect("small numbers are ASCII");
        self.set(index, "parentguid", Some(&parent));
        let name = self.is(index, "name").unwrap_or("user").to_owned();
        self.set(index, "name", Some(&name));
    }

    /// Makes something a member of a group, or ends that.
    pub(in super::super) fn link(&mut self, group: Uuid, member: Uuid, is_one: bool) {
        let link = (group, member);
        if self.links.get(&link).is_some_and(|(before, _)| *before) != is_one {
            self.usn += 1;
            self.links.insert(link, (is_one, self.usn));
        }
    }

    /// Whether an object is below a unit.
    pub(in super::super) fn is_below(&self, index: usize, unit: usize) -> bool {
        self.dn(object(index)).ends_with(&self.dn(object(unit)))
    }

    /// Whether something is a direct member of a group.
    pub(in super::super) fn is_member(&self, index: usize, group: usize) -> bool {
        self.links.get(&(object(group), object(index))).is_some_and(|(is_one, _)| *is_one)
    }

    pub(super) fn is_user(&self, object: Uuid) -> bool {
        self.users.get(&object).is_some_and(|user| !user.contains_key("objectclass"))
    }

    /// The distinguished name as it is now: a move tells nothing of those below.
    pub(in super::super) fn dn(&self, object: Uuid) -> String {
        let value = |name| self.users.get(&object)?.get(name)?.0.as_deref();
        let rdn = match (value("objectclass"), value("name")) {
            (Some(UNIT), Some(name)) => format!("OU={name}"),
            (Some(_), Some(name)) => format!("CN={name}"),
            _ => format!("CN={object}"),
        };
        let parent = value("parentguid").and_then(|guid| Uuid::from_slice_le(guid.as_bytes()).ok());
        parent.map_or_else(|| rdn.clone(), |parent| format!("{rdn},{}", self.dn(parent)))
    }

    /// What this name is of.
    pub(super) fn named(&self, dn: &str) -> Option<Uuid> {
        self.users
            .keys()
            .copied()
            .find(|object| !self.is_deleted(*object) && self.dn(*object) == dn)
    }

    pub(super) fn containers(&self) -> Vec<Entry> {
        self.of_class(UNIT)
    }

    pub(super) fn nested_groups(&self) -> Vec<Entry> {
        let mut groups = self.of_class(GROUP);
        groups.retain(|group| {
            self.links.iter().any(|((_, member), link)| *member == group.object && link.0)
        });
        groups
    }

    /// The members that are alive.
    pub(super) fn members(&self, group: Uuid) -> Option<Vec<Uuid>> {
        let members = self.links.iter().filter(|((of, _), link)| *of == group && link.0);
        let members = members.map(|((_, member), _)| *member);
        (!self.is_user(group)).then(|| members.filter(|it| !self.is_deleted(*it)).collect())
    }

    fn is_deleted(&self, object: Uuid) -> bool {
        let user = self.users.get(&object);
        user.and_then(|user| user.get("isdeleted")).is_some_and(|(value, _)| value.is_some())
    }

    /// The links of a group that changed after this: name, value and number.
    pub(super) fn news_of(
        &self,
        group: Uuid,
        after: u64,
    ) -> impl Iterator<Item = (&'static str, Vec<u8>, u64)> {
        let links =
            self.links.iter().filter(move |((of, _), (_, usn))| *of == group && *usn > after);
        links.map(|((_, member), (is_one, usn))| {
            let name = if *is_one { "member;range=1-1" } else { "member;range=0-0" };
            (name, format!("<GUID={member}>;CN=x").into_bytes(), *usn)
        })
    }

    fn of_class(&self, class: &str) -> Vec<Entry> {
        let is = |object: &&Uuid| {
            let value = self.users[*object].get("objectclass");
            value.is_some_and(|(value, _)| value.as_deref() == Some(class))
        };
        let found = self.users.keys().filter(is).filter_map(|object| self.entry(*object, None));
        found.map(|(_, entry)| entry).collect()
    }
}
