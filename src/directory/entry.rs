//! A search result entry as the server sent it.

use std::collections::BTreeMap;

use ldap3::asn1::{PL, StructureTag};
use uuid::Uuid;

use super::Link;

/// Protocol op of a search result entry (RFC 4511 section 4.5.2).
const SEARCH_RESULT_ENTRY: u64 = 4;

/// The classes of objects that users can be below.
pub(super) const CONTAINERS: [&str; 4] =
    ["organizationalUnit", "container", "builtinDomain", "domainDNS"];

/// What an object is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Class {
    /// A person.
    User,
    /// A group.
    Group,
    /// What users can be below.
    Container,
}

/// Attribute → values, the names in lower case.
pub type Attributes = BTreeMap<String, Vec<Vec<u8>>>;

/// One object with some of its attributes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entry {
    /// objectGUID: the key. Names change, this does not.
    pub object: Uuid,
    /// Its distinguished name, for people.
    pub dn: String,
    /// Attribute → values, the names in lower case, options such as `;range=1-1` included. An
    /// attribute that is here without values was cleared, or has values that are never shown.
    pub attributes: Attributes,
    /// Whether these are all of the selected attributes: then one that is absent has no value.
    /// Otherwise it has not changed.
    pub complete: bool,
}

impl Entry {
    /// Reads an entry. None if it is no entry, is malformed, or has no objectGUID.
    pub fn decode(tag: StructureTag, complete: bool) -> Option<Entry> {
        let (dn, attributes) = decode_parts(tag)?;
        let guid = attributes.get("objectguid")?.first()?;
        let object = Uuid::from_bytes_le(guid.as_slice().try_into().ok()?);
        let dn = Link::parse(dn.as_bytes()).map_or(dn.as_str(), |link| link.dn).to_owned();
        Some(Entry { object, dn, attributes, complete })
    }

    /// What a deletion looks like, for an object that is found to be gone.
    pub fn deleted(object: Uuid) -> Entry {
        let attributes = Attributes::from([("isdeleted".into(), vec![b"TRUE".to_vec()])]);
        Entry { object, dn: String::new(), attributes, complete: false }
    }

    /// What nothing has changed of, under this name.
    pub fn unchanged(object: Uuid, dn: String) -> Entry {
        Entry { object, dn, attributes: Attributes::new(), complete: false }
    }

    /// objectGUID of the parent, where the entry tells.
    pub fn parent(&self) -> Option<Uuid> {
        let values = self.attributes.get("parentguid")?;
        Some(Uuid::from_bytes_le(values.first()?.as_slice().try_into().ok()?))
    }

    /// What the object is, where the entry tells.
    pub fn class(&self) -> Option<Class> {
        let classes = self.attributes.get("objectclass")?;
        let is = |name: &[u8]| classes.iter().any(|class| class.eq_ignore_ascii_case(name));
        Some(if is(b"user") {
            Class::User
        } else if is(b"group") {
            Class::Group
        } else if CONTAINERS.iter().any(|name| is(name.as_bytes())) {
            Class::Container
        } else {
            Class::User
        })
    }

    /// The attribute's values; none if the entry does not speak of it.
    pub fn values(&self, name: &str) -> Option<&[Vec<u8>]> {
        match self.attributes.get(&name.to_ascii_lowercase()) {
            Some(values) => Some(values),
            None if self.complete => Some(&[]),
            None => None,
        }
    }

    /// The same entry with the values that `now` has of these attributes, which is complete.
    pub fn with_values_of<'a>(
        &self,
        now: &Entry,
        names: impl Iterator<Item = &'a String>,
    ) -> Entry {
        let mut entry = self.clone();
        for name in names {
            let values = now.values(name).unwrap_or_default().to_vec();
            entry.attributes.insert(name.to_ascii_lowercase(), values);
        }
        entry
    }

    /// The first value as text: outer none if the entry does not speak of the attribute, inner
    /// none if it has no value (or none that is text).
    pub fn text(&self, name: &str) -> Option<Option<String>> {
        let values = self.values(name)?;
        Some(values.first().and_then(|value| String::from_utf8(value.clone()).ok()))
    }

    /// The first value as a decimal number, in the same two steps.
    pub fn number(&self, name: &str) -> Option<Option<i64>> {
        Some(self.text(name)?.and_then(|text| text.trim().parse().ok()))
    }
}

/// Name and attributes of a search result entry, whatever it is of.
pub(super) fn decode_parts(tag: StructureTag) -> Option<(String, Attributes)> {
    if tag.id != SEARCH_RESULT_ENTRY {
        return None;
    }
    let mut parts = constructed(tag)?.into_iter();
    let dn = String::from_utf8_lossy(&primitive(parts.next()?)?).into_owned();
    let mut attributes = Attributes::new();
    for attribute in constructed(parts.next()?)? {
        let mut attribute = constructed(attribute)?.into_iter();
        let name = String::from_utf8(primitive(attribute.next()?)?).ok()?.to_ascii_lowercase();
        let values = constructed(attribute.next()?)?;
        let values: Option<Vec<_>> = values.into_iter().map(primitive).collect();
        attributes.insert(name, values?);
    }
    Some((dn, attributes))
}

fn constructed(tag: StructureTag) -> Option<Vec<StructureTag>> {
    match tag.payload {
        PL::C(parts) => Some(parts),
        // An empty SET or SEQUENCE may arrive as a primitive of no length.
        PL::P(bytes) if bytes.is_empty() => Some(Vec::new()),
        PL::P(_) => None,
    }
}

fn primitive(tag: StructureTag) -> Option<Vec<u8>> {
    match tag.payload {
        PL::P(bytes) => Some(bytes),
        PL::C(_) => None,
    }
}

#[cfg(test)]
mod tests {
    use ldap3::asn1::TagClass;

    use super::*;

    fn tag(id: u64, payload: PL) -> StructureTag {
        StructureTag { class: TagClass::Universal, id, payload }
    }

    fn octets(bytes: &[u8]) -> StructureTag {
        tag(4, PL::P(bytes.to_vec()))
    }

    fn sample(attributes: &[(&str, &[&[u8]])]) -> StructureTag {
        let attributes = attributes.iter().map(|(name, values)| {
            let values = values.iter().map(|value| octets(value)).collect();
            tag(16, PL::C(vec![octets(name.as_bytes()), tag(17, PL::C(values))]))
        });
        tag(4, PL::C(vec![octets(b"CN=a"), tag(16, PL::C(attributes.collect()))]))
    }

    #[test]
    fn reads_values_empty_sets_and_absence_apart() {
        let guid: &[u8] = &[1; 16];
        let tag = sample(&[("objectGUID", &[guid]), ("mail", &[]), ("uSNChanged", &[b"12"])]);
        let entry = Entry::decode(tag.clone(), false).expect("an entry");
        assert_eq!(entry.text("mail"), Some(None), "cleared");
        assert_eq!(entry.text("title"), None, "unchanged");
        assert_eq!(entry.number("USNCHANGED"), Some(Some(12)));
        assert_eq!(Entry::decode(tag, true).expect("an entry").text("title"), Some(None));
    }

    #[test]
    fn a_name_in_the_extended_form_is_read_without_it() {
        let guid: &[u8] = &[1; 16];
        let mut tag = sample(&[("objectGUID", &[guid]), ("objectClass", &[b"top", b"Group"])]);
        if let PL::C(parts) = &mut tag.payload {
            parts[0] = octets(b"<GUID=bcd2e574-8d58-4136-a9df-8a19b145db79>;CN=a,DC=x");
        }
        let entry = Entry::decode(tag, true).expect("an entry");
        assert_eq!((entry.dn.as_str(), entry.class()), ("CN=a,DC=x", Some(Class::Group)));
    }

    #[test]
    fn what_is_no_entry_is_refused_without_panic() {
        assert!(Entry::decode(sample(&[("cn", &[b"x"])]), true).is_none(), "no objectGUID");
        assert!(Entry::decode(sample(&[("objectGUID", &[b"short"])]), true).is_none());
        assert!(Entry::decode(sample(&[("objectGUID", &[])]), true).is_none());
        assert!(Entry::decode(tag(4, PL::P(vec![1, 2])), true).is_none());
        assert!(Entry::decode(tag(19, PL::C(vec![])), true).is_none());
        assert!(Entry::decode(tag(4, PL::C(vec![octets(b"CN=a")])), true).is_none());
    }
}
