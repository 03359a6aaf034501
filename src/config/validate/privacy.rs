//! `apply.never` and `apply.anonymize`.

use crate::{
    config::{Config, Problem, Role},
    mapping::Mappings,
};

/// What the relay cannot do without: who a user is, and whether it may sign in. In lower case.
const NEEDED: [&str; 11] = [
    "accountexpires",
    "isdeleted",
    "lockouttime",
    "ms-ds-consistencyguid",
    "name",
    "objectguid",
    "objectsid",
    "parentguid",
    "pwdlastset",
    "samaccountname",
    "useraccountcontrol",
];

/// What is wrong with them.
pub fn problems(config: &Config, role: Role, found: &mut Vec<Problem>) {
    let apply = &config.apply;
    let upn = config.directory.upn_attribute();
    for (key, names) in [("apply.never", &apply.never), ("apply.anonymize", &apply.anonymize)] {
        for name in names {
            let lower = name.to_ascii_lowercase();
            if NEEDED.contains(&lower.as_str()) || name.eq_ignore_ascii_case(upn) {
                let what = "names an attribute that the relay cannot do without";
                found.push(Problem::at(key, what, "take it out").with_value(name));
            }
        }
    }
    let mappings = Mappings::parse(&apply.attributes).unwrap_or_default();
    for name in mappings.inputs() {
        if apply.never.iter().any(|never| never.eq_ignore_ascii_case(name)) {
            let what = "names an attribute that apply.attributes sends";
            let remedy = "take it out of one of the two";
            found.push(Problem::at("apply.never", what, remedy).with_value(name));
        }
    }
    for name in mappings.references() {
        if apply.anonymize.iter().any(|hidden| hidden.eq_ignore_ascii_case(name)) {
            let what =
                "names an attribute that names another user, of whom a hash would tell nothing";
            let remedy = "take it out of one of apply.anonymize and apply.attributes";
            found.push(Problem::at("apply.anonymize", what, remedy).with_value(name));
        }
    }
    if role.watches() && !apply.anonymize.is_empty() && apply.anonymize_key_file.is_none() {
        found.push(Problem::at(
            "apply.anonymize_key_file",
            "is missing",
            "name a file that holds a random key, made with `openssl rand -base64 -out FILE 48`",
        ));
    }
}
