//! Lays defaults, file and environment over each other, and reads them value by value.
//!
//! Every value is tried alone on top of the defaults, so that one bad value hides no other.

use ::config::{Environment, File, FileFormat};
use serde_json::{Map, Value};

use super::{Config, Problem};

const PREFIX: &str = "RELAY";

/// The configuration without the values that were refused, and why each was.
pub fn merge(
    text: &str,
    environment: impl IntoIterator<Item = (String, String)>,
) -> Result<(Config, Vec<Problem>), Problem> {
    let given = read(text, environment)?;
    let mut tree = to_tree(&Config::default());
    let mut problems = Vec::new();
    let mut leaves = Vec::new();
    collect(given, &tree, &mut Vec::new(), &mut leaves, &mut problems);
    for (path, value) in leaves {
        let mut alone = to_tree(&Config::default());
        put(&mut alone, &path, value.clone());
        match serde_json::from_value::<Config>(alone) {
            Ok(_) => put(&mut tree, &path, value),
            Err(cause) => problems.push(refused(&path, &value, &cause)),
        }
    }
    let config = serde_json::from_value(tree)
        .map_err(|cause| Problem::new(cause.to_string(), "compare with the shipped relay.yaml"))?;
    Ok((config, problems))
}

fn to_tree(config: &Config) -> Value {
    serde_json::to_value(config).expect("the configuration has string keys only")
}

fn read(
    text: &str,
    environment: impl IntoIterator<Item = (String, String)>,
) -> Result<Value, Problem> {
    let layers = ::config::Config::builder()
        .add_source(File::from_str(text, FileFormat::Yaml))
        .add_source(
            Environment::with_prefix(PREFIX)
                .prefix_separator("_")
                .separator("__")
                .source(Some(environment.into_iter().collect())),
        )
        .build()
        .map_err(|cause| Problem::new(format!("is not valid YAML: {cause}"), "mend the file"))?;
    layers.try_deserialize().map_err(|cause| {
        Problem::new(cause.to_string(), "the file must be a mapping of sections, such as graph:")
    })
}

/// Walks what was given beside what may be given. A mapping whose default is empty takes any key.
fn collect(
    given: Value,
    known: &Value,
    path: &mut Vec<String>,
    leaves: &mut Vec<(Vec<String>, Value)>,
    problems: &mut Vec<Problem>,
) {
    let Some(section) = known.as_object().filter(|section| !section.is_empty()) else {
        leaves.push((path.clone(), coerce(given, known)));
        return;
    };
    let keys = match given {
        Value::Object(keys) => keys,
        Value::Null => return, // `section:` with everything below it commented out
        other => {
            problems.push(
                Problem::at(&path.join("."), "is not a section", known_keys(section))
                    .with_value(plain(&other)),
            );
            return;
        }
    };
    for (key, value) in keys {
        path.push(key.clone());
        match section.get(&key) {
            Some(known) => collect(value, known, path, leaves, problems),
            None => problems.push(Problem::at(
                &path.join("."),
                "is not a known key",
                nearest(&key, section)
                    .map_or_else(|| known_keys(section), |near| format!("did you mean {near:?}?")),
            )),
        }
        path.pop();
    }
}

fn known_keys(section: &Map<String, Value>) -> String {
    let keys: Vec<_> = section.keys().map(String::as_str).collect();
    format!("known here: {}", keys.join(", "))
}

/// The known key that differs in at most a third of its letters.
fn nearest<'a>(key: &str, section: &'a Map<String, Value>) -> Option<&'a str> {
    section
        .keys()
        .map(|known| (distance(key, known), known))
        .filter(|(distance, known)| *distance * 3 <= known.len().max(3))
        .min()
        .map(|(_, known)| known.as_str())
}

/// Levenshtein's distance.
fn distance(a: &str, b: &str) -> usize {
    let b: Vec<char> = b.chars().collect();
    let mut row: Vec<usize> = (0..=b.len()).collect();
    for (i, x) in a.chars().enumerate() {
        let mut diagonal = row[0];
        row[0] = i + 1;
        for (j, y) in b.iter().enumerate() {
            let replaced = diagonal + usize::from(x != *y);
            diagonal = row[j + 1];
            row[j + 1] = replaced.min(diagonal + 1).min(row[j] + 1);
        }
    }
    row[b.len()]
}

/// The environment holds text only, and YAML takes a bare number for a number where a text is
/// wanted. The default tells which it should be.
fn coerce(given: Value, known: &Value) -> Value {
    match (given, known) {
        (Value::String(text), Value::Bool(_) | Value::Number(_)) => {
            serde_json::from_str(&text).unwrap_or(Value::String(text))
        }
        (Value::String(text), Value::Array(_)) => {
            text.split(',').map(str::trim).filter(|item| !item.is_empty()).collect()
        }
        (Value::Number(number), Value::String(_) | Value::Null) => {
            Value::String(number.to_string())
        }
        (given, _) => given,
    }
}

fn put(tree: &mut Value, path: &[String], value: Value) {
    let mut place = tree;
    for key in path {
        place = &mut place[key.as_str()];
    }
    *place = value;
}

fn refused(path: &[String], value: &Value, cause: &serde_json::Error) -> Problem {
    let key = path.join(".");
    let cause = cause.to_string();
    let remedy = if cause.contains("unknown variant") {
        "write one of these"
    } else if cause.contains("duration") || cause.contains("time unit") {
        "write a number with a unit, such as 25ms, 60s or 24h"
    } else if cause.contains("boolean") {
        "write true or false"
    } else {
        "compare with the shipped relay.yaml"
    };
    let problem = Problem::at(&key, format!("is not valid: {cause}"), remedy);
    let secret = ["password", "client_secret"].iter().any(|name| key.ends_with(name));
    if secret {
        Problem::at(&key, "is not valid: a text is expected", "quote the value")
    } else {
        problem.with_value(plain(value))
    }
}

fn plain(value: &Value) -> String {
    value.as_str().map_or_else(|| value.to_string(), str::to_owned)
}
