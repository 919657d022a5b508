//! A schema and a value side by side: which subschemas apply, and which values may be shown.

use std::collections::{BTreeSet, HashSet};

use serde_json::{Map, Value, json};

use super::explain;

/// Which subschemas are looked at.
#[derive(Clone, Copy, PartialEq)]
pub(crate) enum Reach {
    /// Those that hold in any case.
    Always,
    /// Those that may hold.
    Perhaps,
}

/// Which values are looked for.
#[derive(Clone, Copy, PartialEq)]
pub(crate) enum Wanted {
    /// Those that the schema marks `writeOnly`.
    Secret,
    /// Those too that the schema does not describe: a secret under a mistyped key is one of them.
    NotKnownToBeShowable,
}

/// Returns the pointers of the values in `value` that are `wanted`, by the schema `root`.
pub(crate) fn find(root: &Value, value: &Value, wanted: Wanted) -> Vec<String> {
    let mut found = Vec::new();
    Finder { root, wanted, found: &mut found }.look(&[root], value, String::new());
    found
}

/// Adds to `found` the pointers of all scalars that stand under one of `keys`, at whatever depth.
pub(crate) fn scalars_under(value: &Value, keys: &[&str], found: &mut Vec<String>) {
    fn look(value: &Value, keys: &[&str], is_under: bool, at: String, found: &mut Vec<String>) {
        match value {
            Value::Object(map) => {
                for (key, value) in map {
                    let is_under = is_under || keys.contains(&key.as_str());
                    look(value, keys, is_under, explain::join(&at, key), found);
                }
            }
            Value::Array(items) => {
                for (index, item) in items.iter().enumerate() {
                    look(item, keys, is_under, format!("{at}/{index}"), found);
                }
            }
            _ if is_under => found.push(at),
            _ => {}
        }
    }
    look(value, keys, false, String::new(), found);
}

/// Returns the names of all properties that `schema` describes, at whatever depth.
pub(crate) fn property_names(schema: &Value) -> BTreeSet<&str> {
    let mut names = BTreeSet::new();
    let mut left = vec![schema];
    while let Some(schema) = left.pop() {
        match schema {
            Value::Object(map) => {
                names.extend(properties(schema).map(String::as_str));
                left.extend(map.values());
            }
            Value::Array(items) => left.extend(items),
            _ => {}
        }
    }
    names
}

struct Finder<'a> {
    root: &'a Value,
    wanted: Wanted,
    found: &'a mut Vec<String>,
}

impl<'a> Finder<'a> {
    fn look(&mut self, schemas: &[&'a Value], value: &Value, at: String) {
        let schemas = applying(self.root, schemas, Reach::Perhaps);
        let secret = |schema: &&Value| schema.get("writeOnly") == Some(&Value::Bool(true));
        let undescribed = schemas.iter().all(|schema| !schema.is_object());
        let unknown = self.wanted == Wanted::NotKnownToBeShowable && undescribed;
        if unknown || schemas.iter().any(secret) {
            self.found.push(at);
            return;
        }
        match value {
            Value::Object(map) => {
                for (key, value) in map {
                    let below = below_key(&schemas, key, Reach::Perhaps);
                    self.look(&below, value, explain::join(&at, key));
                }
            }
            Value::Array(items) => {
                for (index, item) in items.iter().enumerate() {
                    let below = below_index(&schemas, index, Reach::Perhaps);
                    // Only a key can be mistyped.
                    if !below.is_empty() {
                        self.look(&below, item, format!("{at}/{index}"));
                    }
                }
            }
            _ => {}
        }
    }
}

/// Returns `schemas` and all that apply at the same place, by `$ref`, `allOf` and the like, each once.
pub(crate) fn applying<'a>(root: &'a Value, schemas: &[&'a Value], reach: Reach) -> Vec<&'a Value> {
    let mut seen: HashSet<*const Value> = HashSet::new();
    let mut is_new = |schema: &&'a Value| seen.insert(std::ptr::from_ref(*schema));
    let mut all: Vec<&Value> = schemas.iter().copied().filter(&mut is_new).collect();
    let mut next = 0;
    while let Some(schema) = all.get(next).copied() {
        next += 1;
        all.extend(beside(root, schema, reach).into_iter().filter(&mut is_new));
    }
    all
}

/// Returns the subschemas of `schema` that are about the same value.
fn beside<'a>(root: &'a Value, schema: &'a Value, reach: Reach) -> Vec<&'a Value> {
    let (one, lists, maps): (&[&str], &[&str], &[&str]) = match reach {
        Reach::Always => (&[], &["allOf"], &[]),
        Reach::Perhaps => {
            let one = &["if", "then", "else", "not"];
            (one, &["allOf", "anyOf", "oneOf"], &["dependentSchemas"])
        }
    };
    let reference = schema.get("$ref").and_then(Value::as_str);
    let target = reference.and_then(|reference| reference.strip_prefix('#'));
    let target = target.and_then(|pointer| root.pointer(pointer));
    let lists = lists.iter().filter_map(|key| schema.get(key)?.as_array()).flatten();
    let one = one.iter().filter_map(|key| schema.get(key));
    let maps = maps.iter().filter_map(|key| schema.get(key)?.as_object()).flat_map(Map::values);
    target.into_iter().chain(lists).chain(one).chain(maps).collect()
}

pub(crate) fn properties(schema: &Value) -> impl Iterator<Item = &String> {
    schema.get("properties").and_then(Value::as_object).into_iter().flat_map(Map::keys)
}

/// Returns the subschemas for the value under `key`.
pub(crate) fn below_key<'a>(schemas: &[&'a Value], key: &str, reach: Reach) -> Vec<&'a Value> {
    let mut below = Vec::new();
    for schema in schemas {
        let named = schema.get("properties").and_then(|properties| properties.get(key));
        let patterns = schema.get("patternProperties").and_then(Value::as_object);
        let matching = patterns.into_iter().flatten().filter(|(pattern, _)| {
            jsonschema::is_valid(&json!({ "pattern": pattern }), &json!(key))
        });
        let before = below.len();
        below.extend(named);
        below.extend(matching.map(|(_, schema)| schema));
        if below.len() == before {
            below.extend(schema.get("additionalProperties"));
            // What others have evaluated it does not hold for; that is not followed up here.
            below.extend(schema.get("unevaluatedProperties").filter(|_| reach == Reach::Perhaps));
        }
    }
    below
}

/// Returns the subschemas for the item at `index`.
pub(crate) fn below_index<'a>(schemas: &[&'a Value], index: usize, reach: Reach) -> Vec<&'a Value> {
    let mut below = Vec::new();
    for schema in schemas {
        let positional = schema.get("prefixItems").and_then(|items| items.get(index));
        below.extend(positional.or_else(|| schema.get("items")));
        if reach == Reach::Perhaps {
            let perhaps = ["contains", "unevaluatedItems"];
            below.extend(perhaps.iter().filter_map(|key| schema.get(key)));
        }
    }
    below
}
