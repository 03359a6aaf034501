//! Templates: a property composed of several attributes, such as `{{ givenName }} {{ sn }}`.
//!
//! The language is Jinja's, without its functions: every free name is a directory attribute, with
//! `_` for a hyphen. A name stands for the attribute's first value and is empty where it has none;
//! `values.NAME` is the list of all values. A template reads and writes nothing else, and its work
//! and memory are bounded.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::LazyLock,
};

use minijinja::{Environment, UndefinedBehavior, Value};

use super::{Attributes, values_of};

/// The longest text of a template, in bytes.
const LONGEST: usize = 4096;

/// What one rendering may do: instructions, and 64 bytes of data each.
const FUEL: u64 = 20_000;

/// The name under which all values of an attribute are found.
const VALUES: &str = "values";

/// What attributes hold when a template is tried out.
const SAMPLES: [&[&str]; 4] = [&[], &["Sample"], &["1"], &["Sample", "Other"]];

static LANGUAGE: LazyLock<Environment<'static>> = LazyLock::new(|| {
    let mut language = Environment::new();
    let functions: Vec<_> = language.globals().map(|(name, _)| name.to_owned()).collect();
    functions.iter().for_each(|name| language.remove_global(name));
    language.set_undefined_behavior(UndefinedBehavior::Strict);
    language.set_auto_escape_callback(|_| minijinja::AutoEscape::None);
    language.set_fuel(Some(FUEL));
    // Unlike the built-in ones they find nothing in what is empty, as attributes may be.
    language.add_filter("first", |value: &Value| Ok(or_nothing(items(value)?.next())));
    language.add_filter("last", |value: &Value| Ok(or_nothing(items(value)?.last())));
    language.add_filter("left", |text: String, count: usize| {
        text.chars().take(count).collect::<String>()
    });
    language
});

/// A template that renders.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Template {
    text: String,
    /// The attributes that it uses, with hyphens.
    inputs: Vec<String>,
}

impl Template {
    /// Whether the text asks for a template rather than naming an attribute.
    pub fn is_meant(text: &str) -> bool {
        text.contains('{')
    }

    /// Reads a template and tries it out. The error says what is wrong with it.
    pub fn parse(text: &str) -> Result<Template, String> {
        if text.len() > LONGEST {
            return Err(format!("is longer than {LONGEST} bytes"));
        }
        let parsed = LANGUAGE.template_from_str(text).map_err(|error| explain(&error))?;
        let mut inputs = BTreeSet::new();
        for path in parsed.undeclared_variables(true) {
            let mut parts = path.split('.');
            let name = match parts.next() {
                Some(VALUES) => parts.next().ok_or("uses values without naming an attribute")?,
                Some(name) => name,
                None => continue,
            };
            inputs.insert(name.replace('_', "-"));
        }
        let template = Template { text: text.to_owned(), inputs: inputs.into_iter().collect() };
        for sample in SAMPLES {
            let sample: Vec<_> = sample.iter().map(|&value| value.to_owned()).collect();
            let attributes = template.inputs.iter().map(|name| (name.clone(), sample.clone()));
            template.render(&attributes.collect())?;
        }
        Ok(template)
    }

    /// The attributes that it uses.
    pub fn inputs(&self) -> &[String] {
        &self.inputs
    }

    /// The text for these attributes, without white space around it. The error says why there is
    /// none; it shows no value.
    pub fn render(&self, attributes: &Attributes) -> Result<String, String> {
        let mut context = BTreeMap::new();
        let mut all = BTreeMap::new();
        for input in &self.inputs {
            let values = values_of(attributes, input).unwrap_or_default();
            let name = input.replace('-', "_");
            let first = values.first().map(String::as_str).unwrap_or_default();
            context.insert(name.clone(), Value::from(first));
            all.insert(name, values.iter().map(Value::from).collect::<Value>());
        }
        context.insert(VALUES.to_owned(), Value::from(all));
        match LANGUAGE.render_str(&self.text, context) {
            Ok(text) => Ok(text.trim().to_owned()),
            Err(error) => Err(explain(&error)),
        }
    }
}

/// The characters of a text, or the items of a list.
fn items(value: &Value) -> Result<Box<dyn Iterator<Item = Value> + '_>, minijinja::Error> {
    Ok(match value.as_str() {
        Some(text) => Box::new(text.chars().map(Value::from)),
        None => Box::new(value.try_iter()?),
    })
}

fn or_nothing(found: Option<Value>) -> Value {
    found.unwrap_or_else(|| Value::from(""))
}

fn explain(error: &minijinja::Error) -> String {
    use minijinja::ErrorKind::{OutOfFuel, UndefinedError};
    match (error.kind(), error.detail()) {
        (OutOfFuel, _) => "does more than a template may".into(),
        (UndefinedError, _) => "uses something that is not there; for the beginning of a text \
                                write NAME|left(20), for a name with a hyphen write _"
            .into(),
        (kind, Some(detail)) => format!("cannot be used: {kind}: {detail}"),
        (kind, None) => format!("cannot be used: {kind}"),
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn attributes(values: &[(&str, &[&str])]) -> Attributes {
        let own = |(name, values): &(&str, &[&str])| {
            ((*name).to_owned(), values.iter().map(|&value| value.to_owned()).collect())
        };
        values.iter().map(own).collect()
    }

    fn render(text: &str, values: &[(&str, &[&str])]) -> String {
        let template = Template::parse(text).expect(text);
        template.render(&attributes(values)).expect(text)
    }

    #[test]
    fn attributes_are_composed() {
        let ada: &[(&str, &[&str])] = &[
            ("givenName", &["Ada"]),
            ("sn", &["Lovelace"]),
            ("MSDS-cloudExtensionAttribute1", &["x"]),
            ("proxyAddresses", &["SMTP:ada@x", "smtp:al@x"]),
        ];
        for (text, rendered) in [
            ("{{ givenName }} {{ sn }}", "Ada Lovelace"),
            ("{{ givenName|first|lower }}.{{ sn|lower }}", "a.lovelace"),
            ("{{ sn|upper|left(4) }}", "LOVE"),
            ("{{ GIVENNAME }}", "Ada"),
            ("{{ msDS_cloudExtensionAttribute1 }}", "x"),
            ("{{ initials }} {{ sn }}", "Lovelace"),
            ("{{ initials|first }}{{ initials|last }}", ""),
            ("{% if co == 'Germany' %}DE{% else %}FR{% endif %}", "FR"),
            ("{{ co or 'nowhere' }}", "nowhere"),
            ("{{ values.proxyAddresses|select('startingwith', 'smtp:')|join(',') }}", "smtp:al@x"),
            ("{{ values.proxyAddresses|length }}{{ values.co|join }}", "2"),
            ("{{ '<' ~ givenName ~ '>' }}", "<Ada>"),
        ] {
            assert_eq!(render(text, ada), rendered, "{text}");
        }
    }

    #[test]
    fn inputs_are_what_is_free() {
        let text = "{% for a in values.otherMailbox %}{{ a|lower }}{% endfor %}\
                    {% set b = sn %}{{ b }}{{ msDS_x }}{{ sn|upper }}";
        let template = Template::parse(text).expect("a template");
        assert_eq!(template.inputs(), ["msDS-x", "otherMailbox", "sn"]);
        assert!(Template::parse("{{ 'DE' }}").expect("a constant").inputs().is_empty());
    }

    #[test]
    fn what_cannot_work_is_refused_when_it_is_read() {
        for (text, why) in [
            ("{{ sn", "syntax error"),
            ("{{ sn|shout }}", "unknown filter"),
            ("{{ shout(sn) }}", "not callable"),
            ("{{ range(10) }}", "not callable"),
            ("{{ sn[:4] }}", "left(20)"),
            ("{{ msDS-x }}", "cannot be used"),
            ("{{ sn.upper() }}", "cannot be used"),
            ("{{ values }}", "without naming"),
            ("{% include 'x' %}", "cannot be used"),
            ("{% for a in 'aaaaaaaaaa' * 9999999 %}{% endfor %}", "more than a template may"),
        ] {
            let refused = Template::parse(text).expect_err(text);
            assert!(refused.contains(why), "{text}: {refused}");
        }
        assert!(Template::parse(&"x".repeat(LONGEST + 1)).is_err());
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(256))]

        /// Whatever is written into the configuration or the directory: an answer, never a panic.
        /// That the work is bounded is seen by the test's coming to an end.
        #[test]
        fn no_text_and_no_value_does_harm(
            text in "(\\{\\{|\\}\\}|\\{%|%\\}|[a-c]| |\\||for|in|if|endif|endfor|values|\\.|\\*|'x'|9999|\\[|\\]|:|~|first|left\\(3\\)|upper|set|=|\\(|\\)|\\PC){0,40}",
            value in "\\PC{0,50}",
        ) {
            if let Ok(template) = Template::parse(&text) {
                let values = template.inputs().iter().map(|name| (name.clone(), vec![value.clone()]));
                let _either = template.render(&values.collect());
            }
        }
    }
}
