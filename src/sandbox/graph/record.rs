//! The stored properties of one user in a single allocation.

use std::collections::BTreeMap;

use serde_json::Value;

use super::properties::Prop;

/// Only the properties that have a value, each as number, length and JSON text, in table order.
///
/// A user costs a few hundred bytes this way, so that a million of them fit; a property is
/// parsed when it is asked for.
#[derive(Clone, Default)]
pub(super) struct Record(Box<[u8]>);

impl Record {
    /// The value of a property; null where nothing is stored.
    pub(super) fn get(&self, prop: Prop) -> Value {
        self.entries()
            .find(|(stored, _)| *stored == prop)
            .and_then(|(_, json)| serde_json::from_slice(json).ok())
            .unwrap_or(Value::Null)
    }

    /// The value of a string property.
    pub(super) fn text(&self, prop: Prop) -> Option<String> {
        match self.get(prop) {
            Value::String(text) => Some(text),
            _ => None,
        }
    }

    /// Stores the values; null removes one.
    pub(super) fn set(&mut self, changes: impl IntoIterator<Item = (Prop, Value)>) {
        let mut entries: BTreeMap<Prop, Vec<u8>> =
            self.entries().map(|(prop, json)| (prop, json.to_vec())).collect();
        for (prop, value) in changes {
            if value.is_null() {
                entries.remove(&prop);
            } else {
                entries.insert(prop, value.to_string().into_bytes());
            }
        }
        let mut bytes = Vec::with_capacity(entries.values().map(|json| json.len() + 5).sum());
        for (prop, json) in entries {
            let length = u32::try_from(json.len()).expect("a request body is smaller than 4 GiB");
            bytes.push(prop.number());
            bytes.extend(length.to_le_bytes());
            bytes.extend(json);
        }
        self.0 = bytes.into();
    }

    fn entries(&self) -> impl Iterator<Item = (Prop, &[u8])> {
        let mut rest = &*self.0;
        std::iter::from_fn(move || {
            let (number, tail) = rest.split_first()?;
            let (length, tail) = tail.split_first_chunk()?;
            let (json, tail) = tail.split_at_checked(u32::from_le_bytes(*length) as usize)?;
            rest = tail;
            Some((Prop::numbered(*number)?, json))
        })
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::sandbox::graph::properties::{ACCOUNT_ENABLED, DISPLAY_NAME, MAIL};

    #[test]
    fn keeps_what_was_set_and_forgets_nulls() {
        let mut record = Record::default();
        record.set([(ACCOUNT_ENABLED, json!(true)), (DISPLAY_NAME, json!("Ada \"L\" ü"))]);
        record.set([(MAIL, json!("ada@contoso.com")), (ACCOUNT_ENABLED, json!(false))]);
        assert_eq!(record.get(ACCOUNT_ENABLED), json!(false));
        assert_eq!(record.text(DISPLAY_NAME).as_deref(), Some("Ada \"L\" ü"));
        record.set([(MAIL, Value::Null)]);
        assert_eq!(record.get(MAIL), Value::Null);
        assert_eq!(record.text(DISPLAY_NAME).as_deref(), Some("Ada \"L\" ü"));
    }
}
