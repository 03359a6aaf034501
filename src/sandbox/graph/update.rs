//! What a write must pass once its body is sound, and what it does to a user.

use jiff::Timestamp;
use serde_json::Value;
use uuid::Uuid;

use super::call::Call;
use super::changes::{Changes, merge};
use super::error::GraphError;
use super::options::Rules;
use super::properties::{self as table, Prop};
use super::user::{StoredPassword, User, seconds};

/// Refuses what the on-premises directory masters.
pub(super) fn check_source(rules: Rules, user: &User, changes: &Changes) -> Result<(), GraphError> {
    let mastered = |prop: Prop| {
        prop.info().mastered
            || (prop == table::ACCOUNT_ENABLED && !rules.synced_account_enabled)
            || (prop == table::PASSWORD_PROFILE && !rules.synced_password)
    };
    match user.synced() {
        Some(true) if changes.props().any(mastered) => Err(GraphError::on_premises_mastered()),
        // Once synced, Exchange masters the extension attributes.
        Some(false) if changes.get(table::EXTENSION_BAG).is_some() => {
            Err(GraphError::external_service())
        }
        _ => Ok(()),
    }
}

/// Refuses values that the tenant cannot hold: foreign domains, and what somebody else has.
pub(super) fn check_values(
    call: &Call<'_>,
    changes: &Changes,
    user: Option<Uuid>,
) -> Result<(), GraphError> {
    let upn = changes.get(table::UPN).and_then(Value::as_str);
    if let Some((_, domain)) = upn.and_then(|upn| upn.split_once('@')) {
        let verified = |name: &String| name.eq_ignore_ascii_case(domain);
        if !call.tenant.verified_domains.iter().any(verified) {
            return Err(GraphError::unverified_domain());
        }
    }
    match call.store.taken(changes.pairs(), user) {
        Some(prop) => Err(GraphError::conflict(prop.info().name)),
        None => Ok(()),
    }
}

/// Writes checked changes.
pub(super) fn apply(user: &mut User, changes: Changes, now: Timestamp) {
    let mut values = Vec::with_capacity(changes.values.len() + 2);
    if let Some(mail) = changes.get(table::MAIL).and_then(Value::as_str) {
        values.push((
            table::PROXY_ADDRESSES,
            proxies(&user.record.get(table::PROXY_ADDRESSES), mail),
        ));
    }
    for (prop, value) in changes.values {
        values.push((prop, merge(prop, user.record.get(prop), value)));
    }
    // The flags without a password are accepted and do nothing.
    if let Some(password) = changes.password
        && let Some(value) = password.value
    {
        values.push((table::PASSWORD_CHANGED, seconds(now).into()));
        user.password = Some(Box::new(StoredPassword {
            value,
            force_change: password.force_change,
            force_change_with_mfa: password.force_change_with_mfa,
        }));
    }
    user.record.set(values);
}

/// The proxy addresses with this one as the primary; the one before becomes secondary.
fn proxies(old: &Value, mail: &str) -> Value {
    let rest = old.as_array().into_iter().flatten().filter_map(Value::as_str);
    let rest = rest
        .filter(|proxy| !proxy.get(5..).is_some_and(|address| address.eq_ignore_ascii_case(mail)))
        .map(|proxy| proxy.replacen("SMTP:", "smtp:", 1));
    [format!("SMTP:{mail}")].into_iter().chain(rest).collect()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::sandbox::graph::user::NewUser;

    fn changes(body: &Value) -> Changes {
        Changes::read(body).expect("a good body")
    }

    #[test]
    fn synced_users_cede_what_is_mastered() {
        let synced = NewUser::new("ada@contoso.com").synced().build();
        let rules = Rules::default();
        let check = |rules, body: Value| check_source(rules, &synced, &changes(&body)).is_ok();
        assert!(check(rules, json!({"accountEnabled": false, "usageLocation": "DE"})));
        assert!(!check(rules, json!({"accountEnabled": false, "department": "x"})));
        let strict = Rules { synced_account_enabled: false, ..rules };
        assert!(!check(strict, json!({"accountEnabled": false})));

        let once = NewUser::new("ada@contoso.com").with("onPremisesSyncEnabled", false).build();
        let bag = changes(&json!({"onPremisesExtensionAttributes": {"extensionAttribute1": "x"}}));
        assert!(check_source(rules, &once, &bag).is_err());
        assert!(check_source(rules, &once, &changes(&json!({"department": "x"}))).is_ok());
    }

    #[test]
    fn mail_becomes_the_primary_proxy_address() {
        let mut user = NewUser::new("ada@contoso.com").build();
        for mail in ["ada@contoso.com", "al@contoso.com", "ADA@contoso.com"] {
            apply(&mut user, changes(&json!({ "mail": mail })), Timestamp::now());
        }
        let proxies = user.get("proxyAddresses");
        assert_eq!(proxies, json!(["SMTP:ADA@contoso.com", "smtp:al@contoso.com"]));
    }

    #[test]
    fn a_password_flag_alone_does_nothing() {
        let mut user = NewUser::new("ada@contoso.com").build();
        let flag = json!({"passwordProfile": {"forceChangePasswordNextSignIn": true}});
        apply(&mut user, changes(&flag), Timestamp::now());
        assert!(!user.must_change_password());
        let both = json!({"passwordProfile": {
            "password": "Passw0rd!", "forceChangePasswordNextSignIn": true}});
        apply(&mut user, changes(&both), Timestamp::now());
        assert!(user.must_change_password());
        assert_eq!(user.password(), Some("Passw0rd!"));
    }
}
