//! Any value that passes a JSON Schema, for property tests: the keywords that values schemas of blueprints use.

use proptest::{collection, prelude::*, sample::select, string::string_regex};
use serde_json::{Map, Value, json};

/// The most entries of a list or a map: each costs a request in the test.
const ENTRIES: usize = 3;
/// Bounds of integers that the schema leaves open.
const INTEGERS: (i64, i64) = (-1000, 1_000_000);
/// A text where the schema asks for none in particular: quotes, braces, line breaks, other scripts.
const TEXT: &str = "[ -~äß中\n]{0,24}";

/// Values that pass the schema.
pub(crate) fn of(schema: &Value) -> BoxedStrategy<Value> {
    Schema { root: schema }.value(schema.clone())
}

/// A schema, of which parts are looked at.
#[derive(Clone, Copy)]
struct Schema<'a> {
    root: &'a Value,
}

impl Schema<'_> {
    /// Values that pass `part`; those that its other keywords refuse are drawn anew.
    fn value(self, part: Value) -> BoxedStrategy<Value> {
        let part = self.resolved(part);
        let validator = self.validator(&part);
        let values = self.loose(&part);
        values.prop_filter("refused by the schema", move |value| validator.is_valid(value)).boxed()
    }

    /// Follows `$ref`; what stands beside it goes along.
    fn resolved(self, part: Value) -> Value {
        let Some(pointer) = part["$ref"].as_str().and_then(|all| all.strip_prefix('#')) else {
            return part;
        };
        let mut whole = self.root.pointer(pointer).expect("the reference leads somewhere").clone();
        for (key, value) in part.as_object().expect("a schema is a map") {
            if key != "$ref" {
                whole[key] = value.clone();
            }
        }
        self.resolved(whole)
    }

    fn validator(self, part: &Value) -> jsonschema::Validator {
        let mut whole = part.clone();
        whole["$defs"] = self.root["$defs"].clone();
        if whole["$defs"].is_null() {
            whole["$defs"] = json!({});
        }
        jsonschema::validator_for(&whole).expect("the part is a schema")
    }

    fn loose(self, part: &Value) -> BoxedStrategy<Value> {
        if let Some(constant) = part.get("const") {
            return Just(constant.clone()).boxed();
        }
        if let Some(choices) = part["enum"].as_array() {
            return select(choices.clone()).boxed();
        }
        if part.get("type").is_none()
            && let Some(choices) = part["oneOf"].as_array()
        {
            let choices: Vec<_> = choices.iter().map(|one| self.value(one.clone())).collect();
            return proptest::strategy::Union::new(choices).boxed();
        }
        match part["type"].as_str().unwrap_or_else(|| panic!("no type: {part}")) {
            "boolean" => any::<bool>().prop_map(Value::from).boxed(),
            "integer" => {
                let bound = |key: &str, open: i64| part[key].as_i64().unwrap_or(open);
                (bound("minimum", INTEGERS.0)..=bound("maximum", INTEGERS.1))
                    .prop_map(Value::from)
                    .boxed()
            }
            "number" => {
                let bound = |key: &str, open: f64| part[key].as_f64().unwrap_or(open);
                (bound("minimum", 0.0)..=bound("maximum", 1000.0)).prop_map(Value::from).boxed()
            }
            "string" => text(part),
            "array" => self.list(part),
            "object" => self.map(part),
            other => panic!("no values of type {other} are made"),
        }
    }

    fn list(self, part: &Value) -> BoxedStrategy<Value> {
        let (least, most) = bounds(part, "minItems", "maxItems");
        collection::vec(self.value(part["items"].clone()), least..=most)
            .prop_map(Value::from)
            .boxed()
    }

    fn map(self, part: &Value) -> BoxedStrategy<Value> {
        let required: Vec<&str> =
            part["required"].as_array().into_iter().flatten().filter_map(Value::as_str).collect();
        let mut map = Just(Map::new()).boxed();
        for (key, property) in part["properties"].as_object().into_iter().flatten() {
            let (key, value) = (key.clone(), self.value(property.clone()));
            let value = if required.contains(&key.as_str()) {
                value.prop_map(Some).boxed()
            } else {
                proptest::option::of(value).boxed()
            };
            map = (map, value)
                .prop_map(move |(mut map, value)| {
                    map.extend(value.map(|value| (key.clone(), value)));
                    map
                })
                .boxed();
        }
        if part["additionalProperties"].is_object() {
            let mut names = part["propertyNames"].clone();
            if names.is_null() {
                names = json!({ "pattern": "^[a-z][a-z0-9-]{0,8}[a-z0-9]$" });
            }
            names["type"] = "string".into();
            let (least, most) = bounds(part, "minProperties", "maxProperties");
            let entry = (self.value(names), self.value(part["additionalProperties"].clone()));
            map = (map, collection::vec(entry, least..=most))
                .prop_map(|(mut map, entries)| {
                    let text = |name: Value| name.as_str().unwrap_or_default().to_owned();
                    map.extend(entries.into_iter().map(|(name, value)| (text(name), value)));
                    map
                })
                .boxed();
        }
        map.prop_map(Value::from).boxed()
    }
}

fn bounds(part: &Value, least: &str, most: &str) -> (usize, usize) {
    let number = |key: &str| part[key].as_u64().and_then(|number| usize::try_from(number).ok());
    let least = number(least).unwrap_or(0);
    (least, number(most).unwrap_or(ENTRIES).min(ENTRIES).max(least))
}

fn text(part: &Value) -> BoxedStrategy<Value> {
    let pattern = match part["pattern"].as_str() {
        // A `*` of the pattern goes up to 32 repetitions, the ends are implied.
        Some(pattern) => pattern.trim_start_matches('^').trim_end_matches('$'),
        None => TEXT,
    };
    string_regex(pattern).expect("the pattern can be drawn from").prop_map(Value::from).boxed()
}
