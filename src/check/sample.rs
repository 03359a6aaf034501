//! What the account can see of users, from one page of them: whether attributes that everybody has
//! are there, and what Graph would say to the values of the mapped ones.

use super::{Area, Check, Subject};
use crate::{
    directory::Entry,
    mapping::{Attributes, Mapping, Mappings},
};

/// What every user of a directory has, whatever it is.
const STATE: [&str; 3] = ["sAMAccountName", "userAccountControl", "pwdLastSet"];

/// Whether the account sees users, and of them what decides whether an account is enabled.
pub(super) fn state(users: &[Entry]) -> Check {
    let subject = Subject(Area::Directory, "account state");
    if users.is_empty() {
        return subject.fail(
            "the account sees no user at all",
            "let it read the users, with all their properties, and check directory.base_dn",
        );
    }
    let unseen: Vec<_> = STATE.into_iter().filter(|name| !is_seen(users, name)).collect();
    if unseen.is_empty() {
        return subject.pass(format!("seen of {} users", users.len()));
    }
    subject.fail(
        format!("none of {} users shows the account {}", users.len(), unseen.join(", ")),
        "grant it \"read property\" on the users for them, or for all properties",
    )
}

/// Which of the mapped attributes no user shows. They may be empty, or hidden from the account.
pub(super) fn unseen(users: &[Entry], names: &[String]) -> Vec<String> {
    names.iter().filter(|name| !is_seen(users, name)).cloned().collect()
}

fn is_seen(users: &[Entry], name: &str) -> bool {
    users.iter().any(|user| user.values(name).is_some_and(|values| !values.is_empty()))
}

/// What Graph would refuse of the values that users have now.
pub(super) fn values(users: &[Entry], mappings: &Mappings) -> Option<Check> {
    let subject = Subject(Area::Directory, "values");
    if mappings.is_empty() {
        return None;
    }
    let mut told = Vec::new();
    for mapping in mappings.iter().filter(|mapping| !mapping.property.is_reference()) {
        let mut refusals = users.iter().filter_map(|user| refusal(user, mapping));
        if let Some(first) = refusals.next() {
            told.push(format!("{} of {} users ({first})", 1 + refusals.count(), users.len()));
        }
    }
    Some(if told.is_empty() {
        subject.pass(format!("Graph takes those of {} users", users.len()))
    } else {
        subject.warn(
            format!("Graph would refuse values of {}", told.join("; ")),
            "correct them in the directory, or map a template that fits, such as \
             {{ description|left(128) }}",
        )
    })
}

/// Why Graph would not take the user's value. That a required one is empty is nobody's mistake.
fn refusal(user: &Entry, mapping: &Mapping) -> Option<String> {
    let values = |name: &String| {
        let values = user.values(name).unwrap_or_default();
        let texts = values.iter().map(|value| String::from_utf8_lossy(value).into_owned());
        (name.clone(), texts.collect())
    };
    let attributes: Attributes = mapping.inputs().iter().map(values).collect();
    let is_empty = attributes.values().all(|values: &Vec<String>| values.is_empty());
    if is_empty { None } else { mapping.value(&attributes)?.err() }
}

#[cfg(test)]
mod tests {
    use uuid::Uuid;

    use super::*;
    use crate::check::Verdict;

    fn user(attributes: &[(&str, &str)]) -> Entry {
        let values = |(name, value): &(&str, &str)| {
            (name.to_ascii_lowercase(), vec![value.as_bytes().to_vec()])
        };
        let attributes = attributes.iter().map(values).collect();
        Entry { object: Uuid::nil(), dn: String::new(), attributes, complete: true }
    }

    #[test]
    fn what_nobody_shows_is_named() {
        assert_eq!(state(&[]).verdict, Verdict::Fail);
        let one = [("sAMAccountName", "a"), ("userAccountControl", "512"), ("pwdLastSet", "0")];
        assert_eq!(state(&[user(&one)]).verdict, Verdict::Pass);
        let blind = state(&[user(&one[..1])]);
        assert!(blind.told.contains("userAccountControl, pwdLastSet"), "{blind:?}");
        let names = ["Title".to_owned(), "sn".to_owned()];
        assert_eq!(unseen(&[user(&[("title", "x")])], &names), ["sn"]);
    }

    #[test]
    fn values_that_graph_refuses_are_counted_and_not_shown() {
        let mappings = [("usageLocation", "co"), ("surname", "sn")];
        let mappings = mappings.map(|(p, rule)| (p.to_owned(), rule.to_owned()));
        let mappings = Mappings::parse(&mappings.into()).expect("mappings");
        let good = user(&[("co", "DE"), ("sn", "Lovelace")]);
        assert_eq!(
            values(std::slice::from_ref(&good), &mappings).expect("a row").verdict,
            Verdict::Pass
        );
        let long = "secret".repeat(20);
        let bad = [user(&[("co", "Germany")]), good, user(&[("sn", &long)]), user(&[])];
        let check = values(&bad, &mappings).expect("a row");
        assert_eq!(check.verdict, Verdict::Warn);
        assert!(check.told.contains("1 of 4 users (surname takes 64"), "{check:?}");
        assert!(!check.told.contains("secretsecret"), "{check:?}");
    }
}
