//! From text to JSON values, with the settings that make it read as Kubernetes does.

use std::fmt;

use serde::de::{Deserialize, DeserializeSeed, Deserializer, Error, MapAccess, SeqAccess, Visitor};
use serde_json::{Map, Number, Value};

use super::{MAX_DEPTH, MAX_DOCUMENTS, MAX_NODES, MAX_REPEATED, Mistake};

/// What the keys of maps may be.
#[derive(Clone, Copy)]
pub(super) enum Keys {
    /// Text, as it is written; what a plain word would be read as is looked at later.
    AsWritten,
    /// Whole numbers too, which become text as in Go.
    NumbersToo,
}

/// Reads every document of `text`.
pub(super) fn read(text: &str, keys: Keys) -> Result<Vec<Value>, Mistake> {
    let options = options();
    let values = match keys {
        Keys::AsWritten => serde_yaml::from_multiple_with_options::<Written>(text, options)
            .map(|documents| documents.into_iter().map(|document| document.0).collect()),
        Keys::NumbersToo => serde_yaml::from_multiple_with_options::<Rendered>(text, options)
            .map(|documents| documents.into_iter().map(|document| document.0).collect()),
    };
    values.map_err(|error| Mistake::from_error(text, &error))
}

fn options() -> serde_yaml::Options {
    serde_yaml::options! {
        budget: serde_yaml::budget! {
            max_events: 3 * MAX_NODES,
            max_nodes: MAX_NODES,
            max_documents: MAX_DOCUMENTS,
            max_depth: MAX_DEPTH,
            max_total_scalar_bytes: 2 * super::MAX_BYTES,
            max_recorded_anchor_events: MAX_REPEATED,
            // A manifest may repeat one anchor as often as it likes; MAX_REPEATED bounds the sum.
            enforce_alias_anchor_ratio: false,
        },
        alias_limits: serde_yaml::alias_limits! { max_total_replayed_events: MAX_REPEATED },
        // Comments are not data; emitted, more than 32 in a row would be refused.
        emit_comments: false,
        // `defaultMode: 0644` is 420.
        legacy_octal_numbers: true,
        // Our own report shows the text.
        with_snippet: false,
    }
}

/// A document that a person wrote.
struct Written(Value);
/// A document that a program wrote.
struct Rendered(Value);

impl<'de> Deserialize<'de> for Written {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Node(Keys::AsWritten).deserialize(deserializer).map(Self)
    }
}

impl<'de> Deserialize<'de> for Rendered {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Node(Keys::NumbersToo).deserialize(deserializer).map(Self)
    }
}

/// Reads one node of any type.
#[derive(Clone, Copy)]
struct Node(Keys);

impl<'de> DeserializeSeed<'de> for Node {
    type Value = Value;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Value, D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Node {
    type Value = Value;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("any YAML value")
    }

    fn visit_bool<E>(self, value: bool) -> Result<Value, E> {
        Ok(Value::Bool(value))
    }

    fn visit_i64<E>(self, value: i64) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_u64<E>(self, value: u64) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_f64<E: Error>(self, value: f64) -> Result<Value, E> {
        number(value).map(Value::Number).ok_or_else(|| E::custom("a number that is not finite"))
    }

    fn visit_str<E>(self, value: &str) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_string<E>(self, value: String) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_unit<E>(self) -> Result<Value, E> {
        Ok(Value::Null)
    }

    fn visit_none<E>(self) -> Result<Value, E> {
        Ok(Value::Null)
    }

    fn visit_some<D: Deserializer<'de>>(self, deserializer: D) -> Result<Value, D::Error> {
        self.deserialize(deserializer)
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<Value, A::Error> {
        let mut list = Vec::new();
        while let Some(item) = items.next_element_seed(self)? {
            list.push(item);
        }
        Ok(Value::Array(list))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut entries: A) -> Result<Value, A::Error> {
        let mut map = Map::new();
        while let Some(key) = entries.next_key_seed(Key(self.0))? {
            let value = entries.next_value_seed(self)?;
            if map.insert(key, value).is_some() {
                return Err(A::Error::custom("a key that is given twice once numbers are text"));
            }
        }
        Ok(Value::Object(map))
    }
}

/// Returns `value` as JSON; whole numbers lose their point, since Go prints `10.0` as `10`
/// and the API server then reads an integer.
fn number(value: f64) -> Option<Number> {
    /// Up to here every whole `f64` has a neighbour at a distance of one.
    const EXACT: f64 = 9_007_199_254_740_992.0;
    if value.fract() == 0.0 && value.abs() <= EXACT {
        #[expect(clippy::cast_possible_truncation, reason = "whole and within 2^53")]
        return Some(Number::from(value as i64));
    }
    Number::from_f64(value)
}

/// Reads one key.
struct Key(Keys);

impl<'de> DeserializeSeed<'de> for Key {
    type Value = String;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<String, D::Error> {
        match self.0 {
            Keys::AsWritten => deserializer.deserialize_str(self),
            Keys::NumbersToo => deserializer.deserialize_any(self),
        }
    }
}

impl<'de> Visitor<'de> for Key {
    type Value = String;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("text")
    }

    fn visit_str<E>(self, key: &str) -> Result<String, E> {
        Ok(key.to_owned())
    }

    fn visit_string<E>(self, key: String) -> Result<String, E> {
        Ok(key)
    }

    fn visit_bool<E: Error>(self, _: bool) -> Result<String, E> {
        Err(not_text("a boolean"))
    }

    fn visit_i64<E>(self, key: i64) -> Result<String, E> {
        Ok(key.to_string())
    }

    fn visit_u64<E>(self, key: u64) -> Result<String, E> {
        Ok(key.to_string())
    }

    fn visit_f64<E: Error>(self, key: f64) -> Result<String, E> {
        let whole = number(key).filter(|number| !number.is_f64());
        whole.map(|whole| whole.to_string()).ok_or_else(|| not_text("a number"))
    }

    fn visit_unit<E: Error>(self) -> Result<String, E> {
        Err(not_text("null"))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, _: A) -> Result<String, A::Error> {
        Err(not_text("a list"))
    }

    fn visit_map<A: MapAccess<'de>>(self, _: A) -> Result<String, A::Error> {
        Err(not_text("a map"))
    }
}

/// Returns what Kubernetes would read the plain word `key` as, if that is not text.
pub(super) fn read_as(key: &str) -> Option<&'static str> {
    if !may_be_more_than_text(key) {
        return None;
    }
    match read(key, Keys::AsWritten).as_deref() {
        Ok([]) => Some("null"),
        Ok([Value::Bool(_)]) => Some("a boolean"),
        Ok([Value::Number(_)]) => Some("a number"),
        // `.inf` is no number in JSON.
        Err(_) => Some("a number"),
        Ok(_) => None,
    }
}

/// Returns whether the word `key` may be a boolean, a number or null.
pub(super) fn may_be_more_than_text(key: &str) -> bool {
    const WORDS: [&str; 10] = ["", "null", "true", "false", "yes", "no", "on", "off", "y", "n"];
    key.starts_with(['+', '-', '.', '~', '0', '1', '2', '3', '4', '5', '6', '7', '8', '9'])
        || WORDS.iter().any(|word| key.eq_ignore_ascii_case(word))
}

/// What [`Mistake::from_error`] knows an unfit key by.
pub(super) const KEY_IS: &str = "key is ";

fn not_text<E: Error>(what: &str) -> E {
    E::custom(format_args!("{KEY_IS}{what}"))
}
