//! `passwords` and the keys that it needs.

use crate::{
    config::{Config, Problem, Role, model::Source},
    passwords::Address,
};

/// Who takes passwords in seals them, and who applies them opens them.
pub fn problems(config: &Config, role: Role, found: &mut Vec<Problem>) {
    let (passwords, security) = (&config.passwords, &config.security);
    if !passwords.enabled || !role.watches() {
        return;
    }
    let source = config.directory.source;
    if !matches!(source, Source::Dirsync | Source::Sandbox) {
        let what = "takes passwords of Active Directory alone";
        found.push(Problem::at("passwords.enabled", what, "set it to false"));
    }
    if passwords.enforce_expiry && role.applies() && !config.apply.must_change_password {
        let what = "asks for what apply.must_change_password: false forbids";
        found.push(Problem::at("passwords.enforce_expiry", what, "set one of the two"));
    }
    let keygen = "`entra-relay keygen` makes it";
    if security.sealing_key_file.is_none() {
        let remedy = format!("name the consumers' sealing.pub; {keygen}");
        found.push(Problem::at("security.sealing_key_file", "is missing", remedy));
    }
    if role.applies() && security.opening_key_files.is_empty() {
        let remedy = format!("name opening.key; {keygen}");
        found.push(Problem::at("security.opening_key_files", "is empty", remedy));
    }
    match Address::parse(&passwords.listen) {
        Some(Address::Unix(_)) => {}
        Some(Address::Https { .. }) => {
            let tls = &passwords.tls;
            for (key, file) in [
                ("passwords.tls.certificate_file", &tls.certificate_file),
                ("passwords.tls.private_key_file", &tls.private_key_file),
                ("passwords.tls.client_ca_file", &tls.client_ca_file),
            ] {
                if file.is_none() {
                    found.push(Problem::at(key, "is missing", "https needs it: name a PEM file"));
                }
            }
        }
        None => found.push(
            Problem::at(
                "passwords.listen",
                "is no address",
                "write unix:PATH or https://HOST:PORT",
            )
            .with_value(&passwords.listen),
        ),
    }
}
