//! Directory and Graph, user by user.

use serde_json::Value;

use crate::sandbox::{ATTRIBUTES, Sandbox, is_enabled, value};

/// What the comparison found.
#[derive(Debug)]
pub struct Comparison {
    /// How many users were compared.
    pub users: usize,
    /// Where the two differ, in words.
    pub differences: Vec<String>,
}

impl Comparison {
    /// Whether both sides are alike.
    pub fn agrees(&self) -> bool {
        self.differences.is_empty()
    }
}

/// Compares the account state and the mapped attributes of everybody who is on both sides.
pub fn compare(sandbox: &Sandbox) -> Comparison {
    let mut comparison = Comparison { users: 0, differences: Vec::new() };
    for user in sandbox.directory.users() {
        let Some(twin) = sandbox.twins.get(&user.guid) else { continue };
        comparison.users += 1;
        let name = &user.sam_account_name;
        let Some(cloud) = sandbox.graph.user(*twin) else {
            comparison.differences.push(format!("{name} is not in Graph any more"));
            continue;
        };
        let (here, there) = (is_enabled(&user), cloud.account_enabled());
        if here != there {
            comparison
                .differences
                .push(format!("{name}: enabled is {here} here and {there} there"));
        }
        if user.deleted {
            continue; // A tombstone has lost its attributes.
        }
        for (property, attribute) in ATTRIBUTES {
            let here = value(&user, attribute).map_or(Value::Null, Value::from);
            let there = cloud.get(property);
            if here != there {
                comparison
                    .differences
                    .push(format!("{name}: {property} is {here} here and {there} there"));
            }
        }
    }
    comparison
}
