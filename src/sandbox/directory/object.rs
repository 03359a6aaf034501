//! One object of the directory, stored compactly: a million of them must fit into memory.
//!
//! The values of all attributes lie one after another in one block; a cell per attribute says where
//! its values end and at which USN they last changed. An attribute that was cleared keeps its cell,
//! without values, for DirSync has to report the clearing.

use uuid::Uuid;

use super::schema::{Attr, Class};

/// An update sequence number: every change of the directory gets the next one.
pub type Usn = u64;

/// An object's place in the store, which never changes.
pub type Slot = u32;

/// Values of an attribute, as a client writes them.
pub type Values = Vec<Vec<u8>>;

#[derive(Debug, Clone, Copy)]
struct Cell {
    usn: Usn,
    end: u32,
    attr: Attr,
}

/// An object, alive or a tombstone.
#[derive(Debug)]
pub struct Object {
    /// `objectGUID`
    pub guid: Uuid,
    /// `uSNCreated`
    pub created: Usn,
    /// `uSNChanged`
    pub changed: Usn,
    /// `whenCreated`, in seconds since 1970.
    pub when_created: i64,
    /// `whenChanged`, in seconds since 1970.
    pub when_changed: i64,
    /// The object above; the root is its own parent.
    pub parent: Slot,
    /// The last part of `objectSid`; zero for what is no security principal.
    pub rid: u32,
    /// What kind of object this is.
    pub class: Class,
    /// Whether `isDeleted` is set.
    pub deleted: bool,
    cells: Box<[Cell]>,
    data: Box<[u8]>,
}

impl Object {
    /// A new object, created by the change `usn`, without attributes.
    pub fn new(class: Class, parent: Slot, guid: Uuid, usn: Usn, now: i64) -> Object {
        Object {
            guid,
            created: usn,
            changed: usn,
            when_created: now,
            when_changed: now,
            parent,
            rid: 0,
            class,
            deleted: false,
            cells: Box::default(),
            data: Box::default(),
        }
    }

    /// Gives a new object its attributes, each named once. That costs less than one by one.
    pub fn fill(&mut self, mut fields: Vec<(Attr, Values)>, usn: Usn) {
        fields.sort_by_key(|(attr, _)| *attr);
        let mut data = Vec::new();
        let cells = fields.iter().map(|(attr, values)| {
            pack(*attr, values, &mut data);
            Cell { usn, end: data.len() as u32, attr: *attr }
        });
        self.cells = cells.collect();
        self.data = data.into_boxed_slice();
    }

    /// Replaces the values of an attribute and stamps it with `usn`. No values clear it.
    pub fn set(&mut self, attr: Attr, values: &[Vec<u8>], usn: Usn) {
        let place = self.cells.binary_search_by_key(&attr, |cell| cell.attr);
        let at = place.unwrap_or_else(|at| at);
        let start = self.start(at);
        let old_end = if place.is_ok() { self.cells[at].end as usize } else { start };

        let mut data = self.data[..start].to_vec();
        pack(attr, values, &mut data);
        let end = data.len();
        data.extend(&self.data[old_end..]);

        let mut cells = self.cells.to_vec();
        let cell = Cell { usn, end: end as u32, attr };
        match place {
            Ok(_) => cells[at] = cell,
            Err(_) => cells.insert(at, cell),
        }
        for later in &mut cells[at + 1..] {
            later.end = (later.end as usize + end - old_end) as u32;
        }
        self.cells = cells.into_boxed_slice();
        self.data = data.into_boxed_slice();
    }

    fn start(&self, at: usize) -> usize {
        at.checked_sub(1).map_or(0, |before| self.cells[before].end as usize)
    }

    fn position(&self, attr: Attr) -> Option<usize> {
        self.cells.binary_search_by_key(&attr, |cell| cell.attr).ok()
    }

    /// The stored values of an attribute; none when it is absent or cleared.
    pub fn values(&self, attr: Attr) -> impl Iterator<Item = &[u8]> {
        let packed = self
            .position(attr)
            .map_or(&[][..], |at| &self.data[self.start(at)..self.cells[at].end as usize]);
        Unpack { rest: packed, multi: attr.is_multi() }
    }

    /// The first value as text, if there is one.
    pub fn text(&self, attr: Attr) -> Option<&str> {
        self.values(attr).next().and_then(|value| std::str::from_utf8(value).ok())
    }

    /// The first value as a number, if it is one.
    pub fn number(&self, attr: Attr) -> Option<i64> {
        self.text(attr).and_then(|text| text.parse().ok())
    }

    /// When the attribute last changed; `None` if it never held a value.
    pub fn stamp(&self, attr: Attr) -> Option<Usn> {
        self.position(attr).map(|at| self.cells[at].usn)
    }

    /// Every attribute that holds or once held a value.
    pub fn attrs(&self) -> impl Iterator<Item = Attr> {
        self.cells.iter().map(|cell| cell.attr)
    }

    /// The RDN's value.
    pub fn name(&self) -> &str {
        self.text(Attr::Name).unwrap_or_default()
    }
}

/// A single value is stored as it is, several each behind their length.
fn pack(attr: Attr, values: &[Vec<u8>], data: &mut Vec<u8>) {
    for value in values {
        if attr.is_multi() {
            data.extend((value.len() as u32).to_le_bytes());
        }
        data.extend(value);
    }
}

struct Unpack<'a> {
    rest: &'a [u8],
    multi: bool,
}

impl<'a> Iterator for Unpack<'a> {
    type Item = &'a [u8];

    fn next(&mut self) -> Option<&'a [u8]> {
        if self.rest.is_empty() {
            return None;
        }
        if !self.multi {
            return Some(std::mem::take(&mut self.rest));
        }
        let (length, rest) = self.rest.split_first_chunk::<4>()?;
        let (value, rest) = rest.split_at_checked(u32::from_le_bytes(*length) as usize)?;
        self.rest = rest;
        Some(value)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn values(texts: &[&str]) -> Values {
        texts.iter().map(|text| text.as_bytes().to_vec()).collect()
    }

    fn object() -> Object {
        let mut object = Object::new(Class::User, 0, Uuid::nil(), 1, 0);
        let fields = vec![
            (Attr::Title, values(&["Engineer"])),
            (Attr::Name, values(&["Ann"])),
            (Attr::ProxyAddresses, values(&["SMTP:a@x", "smtp:b@x"])),
        ];
        object.fill(fields, 1);
        object
    }

    #[test]
    fn values_survive_changes_of_their_neighbours() {
        let mut object = object();
        object.set(Attr::Name, &values(&["Annabel"]), 2);
        object.set(Attr::Department, &values(&["Sales"]), 3);
        object.set(Attr::Title, &[], 4);
        assert_eq!(object.name(), "Annabel");
        assert_eq!(object.text(Attr::Department), Some("Sales"));
        assert_eq!(object.text(Attr::Title), None);
        let proxies: Vec<_> = object.values(Attr::ProxyAddresses).collect();
        assert_eq!(proxies, [&b"SMTP:a@x"[..], b"smtp:b@x"]);
    }

    #[test]
    fn stamps_tell_what_changed_when_even_after_clearing() {
        let mut object = object();
        object.set(Attr::Title, &[], 7);
        assert_eq!(object.stamp(Attr::Title), Some(7));
        assert_eq!(object.stamp(Attr::Name), Some(1));
        assert_eq!(object.stamp(Attr::Mail), None);
    }
}
