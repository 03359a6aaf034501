//! The members of a group, however many: a server returns so many values of an attribute at once
//! and says by an option of its name which ones (MS-ADTS 3.1.1.3.1.3.3).

use uuid::Uuid;

use super::{Link, entry::Attributes};

/// What to ask for, from this value on.
pub(super) fn from(start: usize) -> String {
    format!("member;range={start}-*")
}

/// One answer.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Range {
    pub members: Vec<Uuid>,
    /// Where the next range starts; none if this is the last.
    pub next: Option<usize>,
}

/// Reads an answer to a question that started at `start`. None if it makes no sense.
pub(super) fn range(attributes: &Attributes, start: usize) -> Option<Range> {
    let members = |values: &[Vec<u8>]| values.iter().filter_map(|value| object(value)).collect();
    for (name, values) in attributes {
        let Some(option) = name.strip_prefix("member;range=") else { continue };
        let (low, high) = option.split_once('-')?;
        if low.parse::<usize>().ok()? != start {
            return None;
        }
        let next = match high {
            "*" => None,
            high => Some(high.parse::<usize>().ok().filter(|high| *high >= start)? + 1),
        };
        return Some(Range { members: members(values), next });
    }
    // A server without ranges returns all values.
    let values = attributes.get("member").map(Vec::as_slice).unwrap_or_default();
    Some(Range { members: members(values), next: None })
}

fn object(value: &[u8]) -> Option<Uuid> {
    Link::parse(value).map(|link| link.object)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn attributes(name: &str) -> Attributes {
        let value = format!("<GUID={}>;CN=a", Uuid::from_u128(7)).into_bytes();
        [(name.to_owned(), vec![value])].into()
    }

    #[test]
    fn ranges_are_followed_to_the_last() {
        let members = vec![Uuid::from_u128(7)];
        let read = |name, start| range(&attributes(name), start);
        let whole = Some(Range { members: members.clone(), next: None });
        assert_eq!(read("member", 0), whole);
        assert_eq!(read("member;range=1500-*", 1500), whole);
        assert_eq!(read("member;range=0-1499", 0), Some(Range { members, next: Some(1500) }));
        assert_eq!(range(&Attributes::new(), 0), Some(Range { members: Vec::new(), next: None }));
        // Else a server could keep us asking for ever.
        assert_eq!(read("member;range=0-1499", 1500), None);
        assert_eq!(read("member;range=1500-1499", 1500), None);
    }
}
