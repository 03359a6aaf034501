//! Search filters (RFC 4511 section 4.5.1.7) with Active Directory's bit rules.
//!
//! They are read from the BER tree, not through the codec's own type: that one keeps assertion
//! values as UTF-8 text, which `(objectGUID=...)` is not.

use ldap3_lber::structure::{PL, StructureTag};

use super::{dn, object::Slot, schema::Attr, store::Store, value::Key};

/// `LDAP_MATCHING_RULE_BIT_AND` (MS-ADTS 3.1.1.3.4.4.1)
const BIT_AND: &[u8] = b"1.2.840.113556.1.4.803";
/// `LDAP_MATCHING_RULE_BIT_OR` (MS-ADTS 3.1.1.3.4.4.2)
const BIT_OR: &[u8] = b"1.2.840.113556.1.4.804";

/// A filter, its assertions ready to compare.
#[derive(Debug, Clone, PartialEq)]
pub enum Filter {
    /// All must be true.
    And(Vec<Filter>),
    /// One must be true.
    Or(Vec<Filter>),
    /// Must be false.
    Not(Box<Filter>),
    /// Has a value.
    Present(Attr),
    /// Has this value.
    Equal(Attr, Key),
    /// Has a value no smaller.
    AtLeast(Attr, Key),
    /// Has a value no greater.
    AtMost(Attr, Key),
    /// Has a value made of these pieces.
    Substring(Attr, Pieces),
    /// Is of this category, by its common name.
    Category(String),
    /// Has a number with all these bits.
    AllBits(Attr, i64),
    /// Has a number with one of these bits.
    AnyBit(Attr, i64),
    /// Can be neither true nor false: an unknown attribute or rule, or a value that does not fit.
    Undefined,
}

/// The pieces of a substring assertion, in lower case.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Pieces {
    initial: String,
    middle: Vec<String>,
    end: String,
}

impl Pieces {
    fn match_text(&self, text: &str) -> bool {
        let Some(mut rest) = text.strip_prefix(&self.initial) else { return false };
        for piece in &self.middle {
            match rest.find(piece.as_str()) {
                Some(at) => rest = &rest[at + piece.len()..],
                None => return false,
            }
        }
        rest.ends_with(&self.end)
    }
}

/// The filter is not well-formed.
#[derive(Debug, thiserror::Error)]
#[error("malformed search filter")]
pub struct Malformed;

impl Filter {
    /// Reads a filter from its BER tree, whose depth the parser has bounded.
    pub fn decode(tag: StructureTag) -> Result<Filter, Malformed> {
        let many = |payload| -> Result<Vec<Filter>, Malformed> {
            constructed(payload)?.into_iter().map(Filter::decode).collect()
        };
        Ok(match tag.id {
            0 => Filter::And(many(tag.payload)?),
            1 => Filter::Or(many(tag.payload)?),
            2 => {
                let mut inner = many(tag.payload)?;
                let filter = inner.pop().filter(|_| inner.is_empty()).ok_or(Malformed)?;
                Filter::Not(Box::new(filter))
            }
            // An approximate match is an equality match to Active Directory.
            3 | 8 => {
                let (attr, value) = assertion(tag.payload)?;
                attr.map_or(Filter::Undefined, |attr| Filter::equal(attr, &value))
            }
            4 => substring(tag.payload)?,
            5 => ordered(tag.payload, Filter::AtLeast)?,
            6 => ordered(tag.payload, Filter::AtMost)?,
            7 => attribute(&primitive(tag.payload)?).map_or(Filter::Undefined, Filter::Present),
            9 => extensible(tag.payload)?,
            _ => return Err(Malformed),
        })
    }

    /// The filter `(attr=value)`.
    pub fn equal(attr: Attr, value: &[u8]) -> Filter {
        if attr == Attr::ObjectCategory {
            return category(value);
        }
        Key::of(attr, value).map_or(Filter::Undefined, |key| Filter::Equal(attr, key))
    }

    /// What the filter says of an object; `None` is *undefined*.
    pub fn evaluate(&self, store: &Store, slot: Slot) -> Option<bool> {
        let any = |attr: Attr, test: &dyn Fn(&[u8]) -> bool| {
            Some(store.any_value(slot, attr, &mut |value| test(value)))
        };
        let number = |value: &[u8]| std::str::from_utf8(value).ok()?.parse::<i64>().ok();
        match self {
            Filter::And(filters) => all(filters, false, |filter| filter.evaluate(store, slot)),
            Filter::Or(filters) => all(filters, true, |filter| filter.evaluate(store, slot)),
            Filter::Not(filter) => filter.evaluate(store, slot).map(|truth| !truth),
            Filter::Present(attr) => any(*attr, &|_| true),
            Filter::Equal(attr, key) => any(*attr, &|value| key.matches(*attr, value)),
            Filter::AtLeast(attr, key) => {
                any(*attr, &|value| Key::of(*attr, value).is_some_and(|value| value >= *key))
            }
            Filter::AtMost(attr, key) => {
                any(*attr, &|value| Key::of(*attr, value).is_some_and(|value| value <= *key))
            }
            Filter::Substring(attr, pieces) => any(*attr, &|value| {
                std::str::from_utf8(value).is_ok_and(|text| pieces.match_text(&text.to_lowercase()))
            }),
            Filter::Category(name) => {
                let object = store.get(slot);
                Some(!object.deleted && object.class.category().eq_ignore_ascii_case(name))
            }
            Filter::AllBits(attr, bits) => {
                any(*attr, &|value| number(value).is_some_and(|value| value & bits == *bits))
            }
            Filter::AnyBit(attr, bits) => {
                any(*attr, &|value| number(value).is_some_and(|value| value & bits != 0))
            }
            Filter::Undefined => None,
        }
    }
}

/// The three-valued *or* (`decisive` true) or *and* (`decisive` false): a decisive part decides,
/// else an undefined one leaves the whole undefined.
fn all(
    filters: &[Filter],
    decisive: bool,
    evaluate: impl Fn(&Filter) -> Option<bool>,
) -> Option<bool> {
    let mut result = Some(!decisive);
    for filter in filters {
        match evaluate(filter) {
            Some(truth) if truth == decisive => return Some(decisive),
            Some(_) => {}
            None => result = None,
        }
    }
    result
}

fn primitive(payload: PL) -> Result<Vec<u8>, Malformed> {
    match payload {
        PL::P(bytes) => Ok(bytes),
        PL::C(_) => Err(Malformed),
    }
}

fn constructed(payload: PL) -> Result<Vec<StructureTag>, Malformed> {
    match payload {
        PL::C(tags) => Ok(tags),
        PL::P(_) => Err(Malformed),
    }
}

fn attribute(name: &[u8]) -> Option<Attr> {
    std::str::from_utf8(name).ok().and_then(Attr::parse)
}

fn assertion(payload: PL) -> Result<(Option<Attr>, Vec<u8>), Malformed> {
    let [name, value] = constructed(payload)?.try_into().map_err(|_| Malformed)?;
    Ok((attribute(&primitive(name.payload)?), primitive(value.payload)?))
}

fn ordered(payload: PL, build: fn(Attr, Key) -> Filter) -> Result<Filter, Malformed> {
    let (attr, value) = assertion(payload)?;
    let key = attr.and_then(|attr| Some((attr, Key::of(attr, &value)?)));
    Ok(key.map_or(Filter::Undefined, |(attr, key)| build(attr, key)))
}

fn substring(payload: PL) -> Result<Filter, Malformed> {
    let [name, parts] = constructed(payload)?.try_into().map_err(|_| Malformed)?;
    let attr = attribute(&primitive(name.payload)?);
    let mut pieces = Pieces::default();
    for part in constructed(parts.payload)? {
        let id = part.id;
        let text = String::from_utf8_lossy(&primitive(part.payload)?).to_lowercase();
        match id {
            0 => pieces.initial = text,
            1 => pieces.middle.push(text),
            2 => pieces.end = text,
            _ => return Err(Malformed),
        }
    }
    Ok(attr.map_or(Filter::Undefined, |attr| Filter::Substring(attr, pieces)))
}

fn extensible(payload: PL) -> Result<Filter, Malformed> {
    let (mut rule, mut attr, mut value) = (None, None, None);
    for part in constructed(payload)? {
        let id = part.id;
        let bytes = primitive(part.payload)?;
        match id {
            1 => rule = Some(bytes),
            2 => attr = attribute(&bytes),
            3 => value = Some(bytes),
            4 => {}
            _ => return Err(Malformed),
        }
    }
    let value = value.ok_or(Malformed)?;
    let bits = std::str::from_utf8(&value).ok().and_then(|text| text.parse::<i64>().ok());
    Ok(match (rule.as_deref(), attr, bits) {
        (Some(BIT_AND), Some(attr), Some(bits)) => Filter::AllBits(attr, bits),
        (Some(BIT_OR), Some(attr), Some(bits)) => Filter::AnyBit(attr, bits),
        (None, Some(attr), _) => Filter::equal(attr, &value),
        _ => Filter::Undefined,
    })
}

/// `objectCategory` may be asserted by the class's own name instead of the category's DN.
fn category(value: &[u8]) -> Filter {
    let Ok(text) = std::str::from_utf8(value) else { return Filter::Undefined };
    let name = match dn::parse(text) {
        Some(steps) => steps.into_iter().next().map(|rdn| rdn.value).unwrap_or_default(),
        None => match text.to_ascii_lowercase().as_str() {
            "user" | "contact" => "Person".to_owned(),
            "organizationalunit" => "Organizational-Unit".to_owned(),
            "domain" | "domaindns" => "Domain-DNS".to_owned(),
            "ntdsdsa" => "NTDS-DSA".to_owned(),
            _ => text.to_owned(),
        },
    };
    Filter::Category(name)
}
