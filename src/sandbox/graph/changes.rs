//! What the body of a POST or PATCH on users asks for, checked against the property table.

use serde_json::{Map, Value};

use super::error::GraphError;
use super::forms;
use super::properties::{self as table, Access, Area, Kind, Prop};

/// A checked body.
pub(super) struct Changes {
    /// Values in table order; each has the right type, length and form.
    pub(super) values: Vec<(Prop, Value)>,
    pub(super) password: Option<Password>,
}

/// `passwordProfile`.
#[derive(Default)]
pub(super) struct Password {
    /// Without it, an update is accepted and changes nothing.
    pub(super) value: Option<String>,
    pub(super) force_change: bool,
    pub(super) force_change_with_mfa: bool,
}

impl Changes {
    /// Checks every member of the body; the first that is wrong is told.
    pub(super) fn read(body: &Value) -> Result<Self, GraphError> {
        let Value::Object(members) = body else {
            return Err(GraphError::wrong_type(body, "microsoft.graph.user"));
        };
        let mut changes = Self { values: Vec::new(), password: None };
        for (name, value) in members {
            if name.starts_with("@odata.") {
                continue;
            }
            let prop = Prop::named(name).ok_or_else(|| GraphError::undeclared_property(name))?;
            match prop.info().access {
                Access::ReadOnly => return Err(GraphError::read_only(name)),
                Access::Delegated => return Err(GraphError::denied()),
                Access::Write if prop == table::PASSWORD_PROFILE => {
                    changes.password = Some(Password::read(value)?);
                }
                Access::Write => {
                    check(prop, value)?;
                    changes.values.push((prop, value.clone()));
                }
            }
        }
        Ok(changes)
    }

    /// Every property that is to be written.
    pub(super) fn props(&self) -> impl Iterator<Item = Prop> {
        let password = self.password.as_ref().map(|_| table::PASSWORD_PROFILE);
        self.values.iter().map(|(prop, _)| *prop).chain(password)
    }

    /// The areas that are touched, each once per property.
    pub(super) fn areas(&self) -> impl Iterator<Item = Area> {
        self.props().map(|prop| prop.info().area)
    }

    pub(super) fn get(&self, wanted: Prop) -> Option<&Value> {
        self.values.iter().find(|(prop, _)| *prop == wanted).map(|(_, value)| value)
    }

    /// The values, for comparison with those of others.
    pub(super) fn pairs(&self) -> impl Iterator<Item = (Prop, &Value)> {
        self.values.iter().map(|(prop, value)| (*prop, value))
    }
}

impl Password {
    fn read(value: &Value) -> Result<Self, GraphError> {
        let Value::Object(members) = value else {
            return Err(GraphError::wrong_type(value, "microsoft.graph.passwordProfile"));
        };
        let mut password = Self::default();
        for (name, value) in members {
            match name.as_str() {
                "password" => password.value = text(value)?,
                "forceChangePasswordNextSignIn" => password.force_change = flag(value)?,
                "forceChangePasswordNextSignInWithMfa" => {
                    password.force_change_with_mfa = flag(value)?;
                }
                other if other.starts_with("@odata.") => {}
                other => return Err(GraphError::undeclared_property(other)),
            }
        }
        match &password.value {
            Some(value) if !forms::password(value) => Err(GraphError::weak_password()),
            _ => Ok(password),
        }
    }
}

fn text(value: &Value) -> Result<Option<String>, GraphError> {
    match value {
        Value::Null => Ok(None),
        Value::String(text) => Ok(Some(text.clone())),
        other => Err(GraphError::wrong_type(other, "Edm.String")),
    }
}

fn flag(value: &Value) -> Result<bool, GraphError> {
    match value {
        Value::Null => Ok(false),
        Value::Bool(flag) => Ok(*flag),
        other => Err(GraphError::wrong_type(other, "Edm.Boolean")),
    }
}

/// Type, null, length and form of one value.
fn check(prop: Prop, value: &Value) -> Result<(), GraphError> {
    let info = prop.info();
    let invalid = || GraphError::invalid_value(info.name);
    if value.is_null() {
        return if info.nullable { Ok(()) } else { Err(invalid()) };
    }
    let fits = |value: &Value, max: usize| match value {
        Value::String(text) if length(text) > max || !(info.form)(text) => Err(invalid()),
        Value::String(_) => Ok(()),
        other => Err(GraphError::wrong_type(other, "Edm.String")),
    };
    match (info.kind, value) {
        (Kind::Boolean, Value::Bool(_)) => Ok(()),
        (Kind::Boolean, other) => Err(GraphError::wrong_type(other, "Edm.Boolean")),
        (Kind::Text(max), value) => fits(value, max),
        (Kind::Texts { items, .. }, Value::Array(list)) if list.len() > items => Err(invalid()),
        (Kind::Texts { max, .. }, Value::Array(list)) => {
            list.iter().try_for_each(|item| fits(item, max))
        }
        (Kind::Texts { .. }, other) => Err(GraphError::wrong_type(other, "Collection(Edm.String)")),
        (Kind::DateTime, Value::String(text)) if text.parse::<jiff::Timestamp>().is_ok() => Ok(()),
        (Kind::DateTime, other) => Err(GraphError::wrong_type(other, "Edm.DateTimeOffset")),
        (Kind::Object { members, max, .. }, Value::Object(given)) => {
            given.iter().try_for_each(|(name, value)| match value {
                _ if !members.contains(&name.as_str()) => {
                    Err(GraphError::undeclared_property(name))
                }
                Value::Null => Ok(()),
                value => fits(value, max),
            })
        }
        (Kind::Object { .. } | Kind::Password, other) => {
            Err(GraphError::wrong_type(other, "a complex type"))
        }
    }
}

/// Length as the directory counts it: UTF-16 code units.
fn length(text: &str) -> usize {
    text.encode_utf16().count()
}

/// The members of an object property after a write: kept or made null where left out.
pub(super) fn merge(prop: Prop, old: Value, new: Value) -> Value {
    let (Kind::Object { members, merged, .. }, Value::Object(new)) = (prop.info().kind, &new)
    else {
        return new;
    };
    let mut result = match old {
        Value::Object(old) if merged => old,
        _ => Map::new(),
    };
    for name in members {
        let value = new.get(*name).cloned();
        let kept = result.remove(*name).unwrap_or(Value::Null);
        result.insert((*name).to_owned(), value.unwrap_or(kept));
    }
    Value::Object(result)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn refusal(body: &Value) -> String {
        Changes::read(body).err().map(|error| error.message).unwrap_or_default()
    }

    #[test]
    fn accepts_what_the_relay_writes() {
        let body = json!({
            "accountEnabled": false, "department": null, "businessPhones": ["+1"],
            "employeeOrgData": {"costCenter": "7"},
            "passwordProfile": {"password": "Passw0rd!", "forceChangePasswordNextSignIn": true},
        });
        let changes = Changes::read(&body).expect("a good body");
        assert_eq!(changes.get(table::ACCOUNT_ENABLED), Some(&json!(false)));
        assert_eq!(changes.props().count(), 5);
    }

    #[test]
    fn refuses_what_graph_refuses() {
        let invalid = "Invalid value specified for property";
        for (body, message) in [
            (json!({"colour": "red"}), "does not exist"),
            (json!({"id": "x"}), "read-only"),
            (json!({"proxyAddresses": []}), "read-only"),
            (json!({"aboutMe": "x"}), "Insufficient privileges"),
            (json!({"accountEnabled": "false"}), "Edm.Boolean"),
            (json!({"accountEnabled": null}), invalid),
            (json!({"displayName": null}), invalid),
            (json!({"displayName": ""}), invalid),
            (json!({"department": "ü".repeat(65)}), invalid),
            (json!({"department": 7}), "Edm.String"),
            (json!({"businessPhones": ["1", "2"]}), invalid),
            (json!({"businessPhones": null}), invalid),
            (json!({"businessPhones": "1"}), "Collection"),
            (json!({"employeeOrgData": {"colour": "x"}}), "does not exist"),
            (json!({"usageLocation": "Germany"}), invalid),
            (json!({"onPremisesImmutableId": "a_b"}), invalid),
            (json!({"passwordProfile": {"password": "weak"}}), "complexity"),
            (json!({"passwordProfile": {"hash": "x"}}), "does not exist"),
            (json!(["x"]), "microsoft.graph.user"),
        ] {
            let refused = refusal(&body);
            assert!(refused.contains(message), "{body}: {refused:?}");
        }
        assert_eq!(refusal(&json!({"department": "ü".repeat(64)})), "");
    }

    #[test]
    fn objects_merge_or_replace() {
        let org = Prop::named("employeeOrgData").expect("in the table");
        let old = json!({"costCenter": "1", "division": "2"});
        let merged = merge(org, old, json!({"division": "3"}));
        assert_eq!(merged, json!({"costCenter": null, "division": "3"}));

        let old = json!({"extensionAttribute1": "a"});
        let merged = merge(table::EXTENSION_BAG, old, json!({"extensionAttribute2": "b"}));
        assert_eq!(merged["extensionAttribute1"], "a");
        assert_eq!(merged["extensionAttribute2"], "b");
    }
}
