//! A user as Graph shows it.

use serde::{Deserialize, Serialize, Serializer, de};
use serde_json::{Map, Value};

/// What is always asked for: who it is, and what decides what may be done.
const ALWAYS: [&str; 5] =
    ["id", "userPrincipalName", "accountEnabled", "onPremisesSyncEnabled", "onPremisesImmutableId"];

/// A user, with the properties that were selected.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct User {
    id: String,
    properties: Map<String, Value>,
}

impl User {
    /// The Entra object id.
    pub fn id(&self) -> &str {
        &self.id
    }

    /// Whether sign-in is allowed, where that was told.
    pub fn account_enabled(&self) -> Option<bool> {
        self.properties.get("accountEnabled")?.as_bool()
    }

    /// Whether a directory-sync tool is the source of this user. Never and no longer synced users
    /// have null and false.
    pub fn is_synced(&self) -> bool {
        self.properties.get("onPremisesSyncEnabled").and_then(Value::as_bool).unwrap_or(false)
    }

    /// The same user as if no directory-sync tool were its source.
    pub fn unsynced(&self) -> User {
        let mut user = self.clone();
        user.properties.remove("onPremisesSyncEnabled");
        user
    }

    /// What links the user to its directory object, unless it is empty.
    pub fn immutable_id(&self) -> Option<&str> {
        self.properties.get("onPremisesImmutableId")?.as_str().filter(|id| !id.is_empty())
    }

    /// The object id of the manager, where managers were asked for.
    pub fn manager(&self) -> Option<&str> {
        self.properties.get("manager")?.get("id")?.as_str()
    }

    /// A selected property; null where it is unset or was not selected.
    pub fn property(&self, name: &str) -> &Value {
        self.properties.get(name).unwrap_or(&Value::Null)
    }

    /// The value of `$select` for what is always needed and these properties.
    pub fn select<'a>(properties: impl IntoIterator<Item = &'a str>) -> String {
        let mut names = ALWAYS.to_vec();
        for name in properties {
            if !names.contains(&name) {
                names.push(name);
            }
        }
        names.join(",")
    }
}

impl Serialize for User {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        self.properties.serialize(serializer)
    }
}

impl<'de> Deserialize<'de> for User {
    fn deserialize<D: de::Deserializer<'de>>(deserializer: D) -> Result<User, D::Error> {
        let properties = Map::deserialize(deserializer)?;
        let id = properties.get("id").and_then(Value::as_str);
        let id = id.ok_or_else(|| de::Error::missing_field("id"))?.to_owned();
        // It becomes a part of paths, where "" and ".." would name something else.
        if id.is_empty() || !id.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-') {
            return Err(de::Error::custom("the id of a user is no object id"));
        }
        Ok(User { id, properties })
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn unset_and_unknown_properties_do_no_harm() {
        let json = json!({
            "@odata.type": "#microsoft.graph.user", "id": "1", "onPremisesImmutableId": "",
            "onPremisesSyncEnabled": null, "jobTitle": "Clerk",
        });
        let user: User = serde_json::from_value(json).expect("user");
        assert_eq!((user.id(), user.immutable_id(), user.is_synced()), ("1", None, false));
        assert_eq!(user.account_enabled(), None);
        assert_eq!(user.property("jobTitle"), "Clerk");
        assert_eq!(user.property("city"), &Value::Null);
        assert!(serde_json::from_value::<User>(json!({ "accountEnabled": true })).is_err());
        for id in ["", "..", "a/b", "a?b", "a#", "%2e%2e"] {
            assert!(serde_json::from_value::<User>(json!({ "id": id })).is_err(), "{id}");
        }
    }

    #[test]
    fn each_property_is_selected_once() {
        let select = User::select(["jobTitle", "accountEnabled", "jobTitle"]);
        assert_eq!(select, format!("{},jobTitle", ALWAYS.join(",")));
    }
}
