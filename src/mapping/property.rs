//! The properties of a Graph user that a mapping can write, and the shape of their values.
//!
//! Types and limits are those of the `user` resource of Microsoft Graph v1.0.

use serde_json::{Map, Value, json};

use Form::{List, Reference, Required, Text};

/// The form of a value.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Form {
    /// A string; null where it is unset.
    Text,
    /// A string that cannot be unset.
    Required,
    /// A list of at most so many strings.
    List(usize),
    /// Another user. It is set by a request of its own.
    Reference,
}

/// Name, form, and the most UTF-16 code units of a value (0: Graph states none).
const PROPERTIES: [(&str, Form, usize); 25] = [
    ("displayName", Required, 256),
    ("givenName", Text, 64),
    ("surname", Text, 64),
    ("jobTitle", Text, 128),
    ("department", Text, 64),
    ("companyName", Text, 64),
    ("officeLocation", Text, 0),
    ("mobilePhone", Text, 64),
    ("businessPhones", List(1), 64),
    ("streetAddress", Text, 1024),
    ("city", Text, 128),
    ("state", Text, 128),
    ("country", Text, 128),
    ("postalCode", Text, 40),
    ("employeeId", Text, 16),
    ("employeeType", Text, 0),
    ("employeeOrgData.costCenter", Text, 0),
    ("employeeOrgData.division", Text, 0),
    ("usageLocation", Required, 2),
    ("preferredLanguage", Text, 0),
    ("otherMails", List(250), 250),
    ("mail", Required, 0),
    ("mailNickname", Required, 64),
    ("userPrincipalName", Required, 113),
    ("manager", Reference, 0),
];

/// The object whose members are all replaced by a write: what is not sent becomes null.
const REPLACED_WHOLE: &str = "employeeOrgData";

const EXTENSIONS: &str = "onPremisesExtensionAttributes.extensionAttribute";

/// A property, such as `jobTitle` or `employeeOrgData.costCenter`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Property {
    path: String,
    form: Form,
    max: usize,
}

impl Property {
    /// The property of this name, if a mapping can write it.
    pub fn named(path: &str) -> Option<Property> {
        let (form, max) = match path.strip_prefix(EXTENSIONS) {
            Some(number) => {
                (1..=15).find(|known: &u8| known.to_string() == number)?;
                (Text, 1024)
            }
            None => {
                let (_, form, max) = PROPERTIES.iter().find(|(known, ..)| *known == path)?;
                (*form, *max)
            }
        };
        Some(Property { path: path.to_owned(), form, max })
    }

    /// Its name.
    pub fn path(&self) -> &str {
        &self.path
    }

    /// What `$select` asks for to read it: nested properties come with their object.
    pub fn root(&self) -> &str {
        self.path.split('.').next().unwrap_or_default()
    }

    /// Whether a directory-sync tool is its source where it syncs the user. A full list of what
    /// Graph refuses then is not documented; these are known to stay writable.
    pub fn is_mastered(&self) -> bool {
        !matches!(self.path.as_str(), "usageLocation" | "otherMails")
    }

    /// Whether it names another user.
    pub fn is_reference(&self) -> bool {
        self.form == Reference
    }

    /// The most UTF-16 code units of a value.
    pub fn longest(&self) -> usize {
        if self.max == 0 { usize::MAX } else { self.max }
    }

    /// Whether it holds several values.
    pub fn is_list(&self) -> bool {
        matches!(self.form, List(_))
    }

    /// Graph's value for the values of a directory attribute; no values, or empty ones, mean that
    /// it was cleared. The error says why Graph would refuse it.
    pub fn value(&self, values: &[String]) -> Result<Value, String> {
        let mut values = values.iter().filter(|value| !value.is_empty());
        let length = |value: &String| value.encode_utf16().count();
        let longest = values.clone().map(length).max().unwrap_or_default();
        if self.max > 0 && longest > self.max {
            let (path, max) = (&self.path, self.max);
            return Err(format!("{path} takes {max} characters, the value has {longest}"));
        }
        if self.path == "usageLocation" && !values.clone().all(|value| is_country(value)) {
            return Err("usageLocation takes two letters (ISO 3166), such as DE".into());
        }
        match self.form {
            List(most) => Ok(values.take(most).cloned().collect()),
            Text => Ok(values.next().map_or(Value::Null, |value| json!(value))),
            Required => match values.next() {
                Some(value) => Ok(json!(value)),
                None => Err(format!("{} cannot be cleared in Entra", self.path)),
            },
            Reference => Err(format!("{} is no text", self.path)),
        }
    }

    /// Whether the value differs from what [`Property::root`] holds now. The order within a list
    /// means nothing.
    pub fn differs(&self, root: &Value, value: &Value) -> bool {
        let current = match self.path.split_once('.') {
            Some((_, leaf)) => &root[leaf],
            None => root,
        };
        match (current.as_array(), value.as_array()) {
            (Some(current), Some(value)) => {
                current.len() != value.len() || value.iter().any(|item| !current.contains(item))
            }
            (None, Some(value)) => !value.is_empty(),
            _ => current != value,
        }
    }

    /// Puts the value into the body of an update, where [`Property::root`] holds `current` now.
    pub fn put(&self, body: &mut Map<String, Value>, current: &Value, value: Value) {
        let Some((root, leaf)) = self.path.split_once('.') else {
            body.insert(self.path.clone(), value);
            return;
        };
        let object = body.entry(root).or_insert_with(|| {
            if root == REPLACED_WHOLE && current.is_object() { current.clone() } else { json!({}) }
        });
        object[leaf] = value;
    }
}

fn is_country(value: &str) -> bool {
    value.len() == 2 && value.bytes().all(|byte| byte.is_ascii_alphabetic())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn value(path: &str, values: &[&str]) -> Result<Value, String> {
        let values: Vec<_> = values.iter().map(|&value| value.to_owned()).collect();
        Property::named(path).expect("known").value(&values)
    }

    #[test]
    fn only_writable_properties_have_a_name() {
        for name in ["jobTitle", "employeeOrgData.division"] {
            assert!(Property::named(name).is_some(), "{name}");
        }
        for number in [1, 15] {
            assert!(Property::named(&format!("{EXTENSIONS}{number}")).is_some());
        }
        for name in ["id", "proxyAddresses", "employeeHireDate", "jobtitle", "employeeOrgData"] {
            assert!(Property::named(name).is_none(), "{name}");
        }
        for number in ["0", "16", "01", ""] {
            assert!(Property::named(&format!("{EXTENSIONS}{number}")).is_none(), "{number}");
        }
    }

    #[test]
    fn values_have_the_shape_that_graph_takes() {
        assert_eq!(value("jobTitle", &["Clerk"]), Ok(json!("Clerk")));
        assert_eq!(value("jobTitle", &[]), Ok(Value::Null));
        assert_eq!(value("jobTitle", &[""]), Ok(Value::Null));
        assert_eq!(value("businessPhones", &["1", "2"]), Ok(json!(["1"])));
        assert_eq!(value("otherMails", &[]), Ok(json!([])));
        assert_eq!(value("department", &["ä".repeat(64).as_str()]), Ok(json!("ä".repeat(64))));
        let error = value("department", &["a".repeat(65).as_str()]).expect_err("too long");
        assert_eq!(error, "department takes 64 characters, the value has 65");
        assert!(value("displayName", &[]).expect_err("required").contains("cannot be cleared"));
        assert_eq!(value("usageLocation", &["DE"]), Ok(json!("DE")));
        assert!(value("usageLocation", &["D1"]).expect_err("no country").contains("ISO 3166"));
    }

    #[test]
    fn equal_values_do_not_differ() {
        let user = json!({
            "jobTitle": null, "otherMails": ["a@x", "b@x"],
            "employeeOrgData": { "costCenter": "1", "division": "d" },
        });
        let differs = |path: &str, value: Value| {
            let property = Property::named(path).expect("known");
            property.differs(&user[property.root()], &value)
        };
        assert!(!differs("jobTitle", Value::Null));
        assert!(differs("jobTitle", json!("Clerk")));
        assert!(!differs("otherMails", json!(["b@x", "a@x"])));
        assert!(differs("otherMails", json!(["b@x"])));
        assert!(!differs("businessPhones", json!([])));
        assert!(!differs("employeeOrgData.costCenter", json!("1")));
        assert!(differs("employeeOrgData.costCenter", json!("2")));
        assert!(!differs("onPremisesExtensionAttributes.extensionAttribute1", Value::Null));
    }

    #[test]
    fn an_object_that_is_replaced_whole_keeps_its_other_member() {
        let user = json!({
            "employeeOrgData": { "costCenter": "1", "division": "d" },
            "onPremisesExtensionAttributes": { "extensionAttribute2": "x" },
        });
        let mut body = Map::new();
        for (path, value) in [
            ("employeeOrgData.costCenter", json!("2")),
            ("onPremisesExtensionAttributes.extensionAttribute1", json!("y")),
            ("city", json!("Bonn")),
        ] {
            let property = Property::named(path).expect("known");
            property.put(&mut body, &user[property.root()], value);
        }
        assert_eq!(
            Value::Object(body),
            json!({
                "employeeOrgData": { "costCenter": "2", "division": "d" },
                "onPremisesExtensionAttributes": { "extensionAttribute1": "y" },
                "city": "Bonn",
            })
        );
    }
}
