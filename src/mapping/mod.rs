//! `apply.attributes`: which property of a user in Entra follows which attributes of the directory.
//!
//! Both halves need it: the watcher to know which attributes to tell, the consumer to know what to
//! write. A mapping names one attribute, or is a [`Template`] of several. The property decides the
//! shape of the value: text, a list (one item a value, or a line of the template), or another user.

mod property;
mod template;

use std::collections::{BTreeMap, BTreeSet};

use serde_json::Value;
use thiserror::Error;

pub use self::{property::Property, template::Template};

/// Directory attribute → its values.
pub type Attributes = BTreeMap<String, Vec<String>>;

/// Attributes whose values are no text, in lower case.
const BINARY: [&str; 9] = [
    "jpegphoto",
    "logonhours",
    "ms-ds-consistencyguid",
    "ntsecuritydescriptor",
    "objectguid",
    "objectsid",
    "thumbnailphoto",
    "unicodepwd",
    "usercertificate",
];

/// A property that follows attributes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Mapping {
    /// The property of Microsoft Graph.
    pub property: Property,
    rule: Rule,
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Rule {
    /// One attribute.
    Attribute([String; 1]),
    Template(Template),
}

/// A mapping that cannot work.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[error("apply.attributes.{property}: {rule:?} {what}; {remedy}")]
pub struct MappingError {
    /// The property, as it is written in the configuration.
    pub property: String,
    /// What it should follow.
    pub rule: String,
    /// What is wrong.
    pub what: String,
    /// What would be right.
    pub remedy: &'static str,
}

/// All mappings of a configuration.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Mappings {
    mappings: Vec<Mapping>,
    attributes: Vec<String>,
    references: Vec<String>,
}

impl Mappings {
    /// Reads `apply.attributes`. All mappings that cannot work are told at once.
    pub fn parse(attributes: &BTreeMap<String, String>) -> Result<Mappings, Vec<MappingError>> {
        let mut mappings = Vec::new();
        let mut errors = Vec::new();
        for (property, rule) in attributes {
            match Mapping::parse(property, rule) {
                Ok(mapping) => mappings.push(mapping),
                Err(error) => errors.push(error),
            }
        }
        if !errors.is_empty() {
            return Err(errors);
        }
        let inputs = |references: bool| {
            once(mappings.iter().filter(|mapping| mapping.property.is_reference() == references))
        };
        let (attributes, references) = (inputs(false), inputs(true));
        Ok(Mappings { mappings, attributes, references })
    }

    /// The mappings, in the order of their properties' names.
    pub fn iter(&self) -> impl Iterator<Item = &Mapping> {
        self.mappings.iter()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.mappings.is_empty()
    }

    /// Attributes whose values are told: the inputs of every property that names nobody else.
    /// Each once, whatever its case.
    pub fn attributes(&self) -> &[String] {
        &self.attributes
    }

    /// Attributes that name another user and are told as such.
    pub fn references(&self) -> &[String] {
        &self.references
    }

    /// All attributes that decide a property.
    pub fn inputs(&self) -> impl Iterator<Item = &String> {
        self.attributes.iter().chain(&self.references)
    }

    /// What is told together with a change of this attribute, itself included: the inputs of every
    /// property that it is an input of, and what is told together with these. So of the inputs of a
    /// property all are told, or none.
    pub fn companions(&self, attribute: &str) -> Vec<String> {
        let mut met = BTreeSet::from([attribute.to_ascii_lowercase()]);
        let mut before = 0;
        while met.len() > before {
            before = met.len();
            for mapping in self.iter().filter(|mapping| !mapping.property.is_reference()) {
                let inputs = || mapping.inputs().iter().map(|input| input.to_ascii_lowercase());
                if inputs().any(|input| met.contains(&input)) {
                    met.extend(inputs());
                }
            }
        }
        let is_met = |name: &&String| met.contains(&name.to_ascii_lowercase());
        self.attributes.iter().filter(is_met).cloned().collect()
    }
}

impl Mapping {
    /// Reads one mapping and checks that it can give what the property takes.
    fn parse(property: &str, rule: &str) -> Result<Mapping, MappingError> {
        let refuse = |what: String, remedy| MappingError {
            property: property.to_owned(),
            rule: rule.to_owned(),
            what,
            remedy,
        };
        let Some(known) = Property::named(property) else {
            return Err(refuse(
                "is mapped to a property that cannot be written".into(),
                "properties are spelled as in Microsoft Graph, such as jobTitle or \
                 employeeOrgData.costCenter",
            ));
        };
        if Template::is_meant(rule) {
            let remedy = "write a template such as {{ givenName }} {{ sn }}";
            if known.is_reference() {
                return Err(refuse("is a template".into(), "name one attribute, such as manager"));
            }
            let template = Template::parse(rule).map_err(|what| refuse(what, remedy))?;
            let mapping = Mapping { property: known, rule: Rule::Template(template) };
            mapping
                .check_fixed()
                .map_err(|what| refuse(what, "shorten or correct the template"))?;
            return Ok(mapping);
        }
        let is_name = !rule.is_empty()
            && rule.chars().all(|c| c.is_ascii_alphanumeric() || matches!(c, '-' | '.' | ';'));
        let remedy = "name one attribute, such as title, or write a template such as \
                      {{ givenName }} {{ sn }}";
        if !is_name {
            return Err(refuse("is no name of a directory attribute".into(), remedy));
        }
        if BINARY.contains(&rule.to_ascii_lowercase().as_str()) {
            return Err(refuse("is an attribute whose values are no text".into(), remedy));
        }
        Ok(Mapping { property: known, rule: Rule::Attribute([rule.to_owned()]) })
    }

    /// What a template always says must fit by itself; one without inputs says nothing else.
    fn check_fixed(&self) -> Result<(), String> {
        let Rule::Template(template) = &self.rule else { return Ok(()) };
        let fixed = self.values(&Attributes::new())?;
        if template.inputs().is_empty() {
            return match fixed.as_slice() {
                [] => Err("says nothing".into()),
                fixed => self.property.value(fixed).map(drop),
            };
        }
        let is_too_long = |value: &String| value.encode_utf16().count() > self.property.longest();
        match fixed.iter().find(|value| is_too_long(value)) {
            Some(_) => Err(format!("is always longer than {} characters", self.property.longest())),
            None => Ok(()),
        }
    }

    /// The attributes that decide the value.
    pub fn inputs(&self) -> &[String] {
        match &self.rule {
            Rule::Attribute(name) => name,
            Rule::Template(template) => template.inputs(),
        }
    }

    /// The property's value for these attributes; none where they do not concern it. The error says
    /// why there is none that Graph would take.
    pub fn value(&self, attributes: &Attributes) -> Option<Result<Value, String>> {
        let told = |input: &String| values_of(attributes, input).is_some();
        let inputs = self.inputs();
        if !inputs.is_empty() && !inputs.iter().any(told) {
            return None;
        }
        if let Some(missing) = inputs.iter().find(|input| !told(input)) {
            let path = self.property.path();
            return Some(Err(format!(
                "{path} needs {missing}, of which the event says nothing (watcher and consumer \
                 need the same apply.attributes)"
            )));
        }
        let path = self.property.path();
        let values = self.values(attributes).map_err(|what| format!("{path}: the template {what}"));
        Some(values.and_then(|values| self.property.value(&values)))
    }

    fn values(&self, attributes: &Attributes) -> Result<Vec<String>, String> {
        match &self.rule {
            Rule::Attribute([name]) => {
                Ok(values_of(attributes, name).map(<[_]>::to_vec).unwrap_or_default())
            }
            Rule::Template(template) => {
                let text = template.render(attributes)?;
                let items: Vec<_> = if self.property.is_list() {
                    text.lines().map(|line| line.trim().to_owned()).collect()
                } else {
                    vec![text]
                };
                Ok(items.into_iter().filter(|item| !item.is_empty()).collect())
            }
        }
    }
}

/// The values of an attribute, whatever the case of its name.
pub(crate) fn values_of<'a>(attributes: &'a Attributes, name: &str) -> Option<&'a [String]> {
    let found = attributes.iter().find(|(key, _)| key.eq_ignore_ascii_case(name));
    found.map(|(_, values)| values.as_slice())
}

fn once<'a>(mappings: impl Iterator<Item = &'a Mapping>) -> Vec<String> {
    let mut seen = BTreeSet::new();
    let inputs = mappings.flat_map(Mapping::inputs);
    inputs.filter(|name| seen.insert(name.to_ascii_lowercase())).cloned().collect()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn parse(mappings: &[(&str, &str)]) -> Result<Mappings, Vec<MappingError>> {
        let own = |(property, rule): &(&str, &str)| ((*property).into(), (*rule).into());
        Mappings::parse(&mappings.iter().map(own).collect())
    }

    fn value(
        property: &str,
        rule: &str,
        attributes: &[(&str, &[&str])],
    ) -> Option<Result<Value, String>> {
        let own = |(name, values): &(&str, &[&str])| {
            ((*name).to_owned(), values.iter().map(|&value| value.to_owned()).collect())
        };
        let mappings = parse(&[(property, rule)]).expect("a mapping");
        mappings.mappings[0].value(&attributes.iter().map(own).collect())
    }

    #[test]
    fn inputs_are_told_together_and_each_once() {
        let mappings = parse(&[
            ("displayName", "{{ givenName }} {{ sn }}"),
            ("surname", "SN"),
            ("mailNickname", "{{ givenName }}{{ initials }}"),
            ("city", "l"),
            ("manager", "manager"),
            ("usageLocation", "{{ 'DE' }}"),
        ])
        .expect("mappings");
        assert_eq!(mappings.attributes(), ["l", "givenName", "sn", "initials"]);
        assert_eq!(mappings.references(), ["manager"]);
        assert_eq!(mappings.companions("Sn"), ["givenName", "sn", "initials"], "and theirs");
        assert_eq!(mappings.companions("L"), ["l"]);
        assert!(mappings.companions("manager").is_empty());
    }

    #[test]
    fn all_bad_mappings_are_told_at_once() {
        let bad = [
            ("jobtitle", "title"),
            ("city", "a city"),
            ("country", ""),
            ("department", "{{ sn|shout }}"),
            ("manager", "{{ sn }}"),
            ("officeLocation", "thumbnailPhoto"),
            ("usageLocation", "{{ 'Germany' }}"),
            ("postalCode", "{{ sn }} and a text that is longer than any postal code can be"),
            ("surname", "sn"),
        ];
        let errors = parse(&bad).expect_err("refused");
        assert_eq!(errors.len(), 8, "{errors:?}");
        let told = |at: usize| errors[at].to_string();
        assert!(told(0).starts_with("apply.attributes.city: \"a city\" is no name"), "{}", told(0));
        assert!(told(6).contains("always longer than 40"), "{}", told(6));
    }

    #[test]
    fn values_follow_their_inputs() {
        let name = "{{ givenName }} {{ sn }}";
        let ada: &[(&str, &[&str])] = &[("GivenName", &["Ada"]), ("sn", &["Lovelace"])];
        assert_eq!(value("displayName", name, ada), Some(Ok(json!("Ada Lovelace"))));
        assert_eq!(value("displayName", name, &[("l", &["Bonn"])]), None);
        let half = value("displayName", name, &ada[..1]).expect("concerned").expect_err("half");
        assert!(half.contains("needs sn"), "{half}");
        assert_eq!(value("jobTitle", "{{ title }}", &[("title", &[])]), Some(Ok(Value::Null)));
        assert_eq!(value("usageLocation", "{{ 'DE' }}", &[]), Some(Ok(json!("DE"))));
        assert_eq!(
            value("otherMails", "{{ values.m|join('\n') }}", &[("m", &["a@x", "b@x"])]),
            Some(Ok(json!(["a@x", "b@x"])))
        );
        let long = "x".repeat(65);
        let refused = value("surname", "{{ sn }}", &[("sn", &[&long])]).expect("concerned");
        assert_eq!(refused, Err("surname takes 64 characters, the value has 65".into()));
    }
}
