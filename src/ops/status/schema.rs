//! The fields of `/status.json` in `deploy/STATUS.md`, and the test that keeps them true.

use std::{collections::BTreeSet, path::Path};

use jiff::Timestamp;
use serde_json::Value;
use uuid::Uuid;

use super::{
    document::{Document, Facts},
    history::{History, STEP},
    recent::Recent,
    sample::Sample,
    spread::Spread,
};
use crate::{
    event::{Detail, Event, Identity, Reason},
    ops::metrics::Outcome,
};

/// A process of which everything is known, with as much to tell as there can be.
const FULL: &str = "relay_build_info{role=\"run\",version=\"1\"} 1
relay_broker_connected 1
process_start_time_seconds 1
relay_full_read_timestamp_seconds 2
relay_last_disable_timestamp_seconds 3
relay_last_disable_propagation_seconds 0.03
relay_dead_letters{reason=\"graph_error\"} 2
relay_graph_down 1
relay_guard_held 1
";

fn document(series: &str) -> Document {
    let start = Timestamp::from_second(1).expect("a time");
    let mut history = History::new(start);
    for step in 0..400_u32 {
        let now = start + STEP * step;
        let sample = Sample::read(series, "{}");
        let mut spread = Spread::default();
        (0..9).for_each(|change| spread.note(f64::from(change * 321)));
        history.look(&super::Told::new(&sample, None), now);
        history.step(sample, [spread.clone(), spread], Some(u64::from(step) << 40), now);
    }
    let recent = Recent::default();
    recent.show_names();
    let name = Some("\"</script>&".repeat(20));
    let identity = Identity { user_principal_name: name, ..Identity::default() };
    let detail = Detail::AccountDisabled { reason: Reason::Disabled };
    let event = Event::new("ldap:///dc=x", Uuid::nil(), 1, start, identity, detail);
    for _ in 0..100 {
        recent.settled(&event, Outcome::DeadLettered, Some("permission_denied"));
    }
    let parts = r#"{"watcher":{"ready":false,"detail":"connecting"}}"#;
    let facts = Facts::new(&Sample::read(series, parts), history.before(), false, false);
    Document::new(facts, &history, &recent.seen(), start)
}

/// The fields as paths; `[]` is each item of a list, `*` each key of a map.
fn fields(value: &Value, path: &str, found: &mut BTreeSet<String>) {
    match value {
        Value::Object(members) => {
            for (name, value) in members {
                let is_map = path.ends_with("_reason")
                    || path.ends_with("lag_seconds")
                    || path.ends_with("queues.waiting");
                let name = if is_map { "*" } else { name };
                let path = if path.is_empty() { name.to_owned() } else { format!("{path}.{name}") };
                fields(value, &path, found);
            }
        }
        Value::Array(items) => {
            items.iter().for_each(|item| fields(item, &format!("{path}[]"), found))
        }
        _ => {
            found.insert(path.to_owned());
        }
    }
}

#[test]
fn every_field_is_documented_and_nothing_else() {
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("deploy/STATUS.md");
    let text = std::fs::read_to_string(file).expect("deploy/STATUS.md");
    let rows = text.lines().filter_map(|line| line.strip_prefix("| `")?.split('`').next());
    let documented: BTreeSet<_> = rows.map(str::to_owned).collect();
    let mut told = BTreeSet::new();
    let half = FULL.replace("\"run\"", "\"watch\"");
    for document in [document(FULL), document(&half)] {
        let value = serde_json::to_value(document).expect("JSON");
        fields(&value, "", &mut told);
    }
    let missing: Vec<_> = told.difference(&documented).collect();
    let gone: Vec<_> = documented.difference(&told).collect();
    assert!(missing.is_empty() && gone.is_empty(), "not documented {missing:?}; not told {gone:?}");
}

#[test]
fn however_much_there_is_to_tell_it_stays_small() {
    let size = serde_json::to_vec(&document(FULL)).expect("JSON").len();
    assert!(size < 40_000, "{size}");
}
