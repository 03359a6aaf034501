//! Holds the simulator to Graph's description, so that neither drifts: see `description.txt`.

use std::collections::BTreeMap;

use reqwest::Method;
use serde_json::Value;

use super::bench::{Bench, parts};
use super::properties::{Access, Kind, Property, TABLE};
use super::{GroupKind, NewUser, Options};

const DESCRIPTION: &str = include_str!("description.txt");

/// The fields of every line of a kind; the last one takes the rest.
fn lines<const N: usize>(kind: &str) -> Vec<[&'static str; N]> {
    let read = |line: &'static str| {
        let mut rest = line.strip_prefix(kind)?.trim();
        let mut fields = [""; N];
        for field in &mut fields[..N - 1] {
            let (word, behind) = rest.split_once(char::is_whitespace)?;
            (*field, rest) = (word, behind.trim());
        }
        fields[N - 1] = rest;
        Some(fields)
    };
    DESCRIPTION.lines().filter_map(read).collect()
}

/// What the simulator says of a property, in the words of the description.
fn own(property: &Property) -> [String; 3] {
    let (kind, clears) = match property.kind {
        Kind::Boolean => ("Boolean", "null"),
        Kind::Text(_) => ("String", "null"),
        Kind::Texts { .. } => ("Strings", "[]"),
        Kind::DateTime => ("DateTimeOffset", "null"),
        Kind::Object { .. } => ("Object", "null"),
        Kind::Password => ("Password", "null"),
    };
    let access = match property.access {
        Access::Write => "rw",
        Access::ReadOnly => "ro",
        Access::Delegated => "user",
    };
    let clears = if property.nullable || clears == "[]" { clears } else { "no" };
    [kind, access, clears].map(str::to_owned)
}

fn longest(property: &Property) -> Option<usize> {
    match property.kind {
        Kind::Text(max) | Kind::Texts { max, .. } | Kind::Object { max, .. } => Some(max),
        Kind::Boolean | Kind::DateTime | Kind::Password => None,
    }
}

#[test]
fn properties_are_those_of_the_description() {
    let described: BTreeMap<_, _> = lines::<5>("property ")
        .into_iter()
        .map(|[name, kind, access, clears, longest]| (name, ([kind, access, clears], longest)))
        .collect();
    let mut wrong = Vec::new();
    for property in TABLE {
        let Some((described, limit)) = described.get(property.name) else {
            wrong.push(format!("{} is not described", property.name));
            continue;
        };
        let own = own(property);
        if own != *described {
            wrong.push(format!("{}: {own:?}, described as {described:?}", property.name));
        }
        if *limit != "-" && longest(property).map(|own| own.to_string()).as_deref() != Some(limit) {
            wrong.push(format!("{}: {:?}, at most {limit}", property.name, longest(property)));
        }
    }
    for name in described.keys() {
        if !TABLE.iter().any(|property| property.name == *name) {
            wrong.push(format!("{name} is missing"));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[tokio::test]
async fn calls_answer_as_described() {
    let bench = Bench::start(Options::default()).await;
    let user = bench.graph.add_user(NewUser::new("ada@contoso.com")).to_string();
    let manager = bench.graph.add_user(NewUser::new("boss@contoso.com")).to_string();
    let group = bench.graph.add_group(GroupKind::Assigned).to_string();
    let ids = |text: &str| {
        text.replace("{user}", &user).replace("{manager}", &manager).replace("{group}", &group)
    };
    let calls = lines::<4>("call ");
    assert!(calls.len() > 20);
    for [method, path, status, body] in calls {
        let method = Method::from_bytes(method.as_bytes()).expect("a method");
        let body = (body != "-").then(|| ids(body).parse::<Value>().expect("JSON"));
        let answer = parts(bench.send(method.clone(), &ids(path), body).await).await;
        assert_eq!(answer.0.to_string(), status, "{method} {path}: {}", answer.1);
        assert_eq!(answer.1.is_null(), answer.0 == 204, "{method} {path}: {}", answer.1);
        if answer.0 >= 400 {
            for member in ["code", "message", "innerError"] {
                assert!(!answer.1["error"][member].is_null(), "{method} {path}: {}", answer.1);
            }
        } else if !answer.1.is_null() {
            assert!(answer.1["@odata.context"].is_string(), "{method} {path}: {}", answer.1);
        }
    }
}
