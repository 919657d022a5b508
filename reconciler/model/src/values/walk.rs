//! A schema and a value side by side: defaults to fill in, secrets to mark.

use serde_json::{Map, Value, json};

use super::layers;
use crate::format::explain;

/// The most defaults that are filled in: a schema that refers to itself could ask for ever more.
const MAX_DEFAULTS: usize = 10_000;
/// The deepest values that defaults are filled into: deeper than any YAML that is read.
const MAX_DEPTH: usize = 80;
/// How many `$ref` and `allOf` steps are followed at one place.
const MAX_HOPS: usize = 64;

/// The defaults of a schema have no end.
#[derive(Debug)]
pub(super) struct Endless;

/// Which subschemas are looked at.
#[derive(Clone, Copy, PartialEq)]
enum Reach {
    /// Those that hold in any case.
    Always,
    /// Those that may hold.
    Perhaps,
}

/// Fills in the defaults of the schema `root` that `value` leaves open; a `null` closes.
pub(super) fn fill(root: &Value, value: &mut Value) -> Result<(), Endless> {
    Filler { root, path: Vec::new(), left: MAX_DEFAULTS }.fill(&[root], value)
}

/// Which values are looked for.
#[derive(Clone, Copy, PartialEq)]
pub(super) enum Wanted {
    /// Those that the schema marks `writeOnly`.
    Secret,
    /// Those too that the schema does not describe: a secret under a mistyped key is one of them.
    NotKnownToBeShowable,
}

/// Returns the pointers of the values in `value` that are `wanted`, by the schema `root`.
pub(super) fn find(root: &Value, value: &Value, wanted: Wanted) -> Vec<String> {
    let mut found = Vec::new();
    Finder { root, wanted, found: &mut found }.look(&[root], value, String::new());
    found
}

struct Filler<'a> {
    root: &'a Value,
    /// The schemas of what holds the value at hand.
    path: Vec<Vec<&'a Value>>,
    /// How many more defaults may be filled in.
    left: usize,
}

impl<'a> Filler<'a> {
    fn fill(&mut self, schemas: &[&'a Value], value: &mut Value) -> Result<(), Endless> {
        if self.path.len() > MAX_DEPTH {
            return Err(Endless);
        }
        let schemas = applying(self.root, schemas, Reach::Always);
        self.path.push(schemas.clone());
        match value {
            Value::Object(map) => self.fill_map(&schemas, map)?,
            Value::Array(items) => {
                for (index, item) in items.iter_mut().enumerate() {
                    self.fill(&below_index(&schemas, index), item)?;
                }
            }
            _ => {}
        }
        self.path.pop();
        Ok(())
    }

    fn fill_map(
        &mut self,
        schemas: &[&'a Value],
        map: &mut Map<String, Value>,
    ) -> Result<(), Endless> {
        for default in schemas.iter().filter_map(|schema| schema.get("default")?.as_object()) {
            let given = std::mem::replace(map, default.clone());
            layers::lay_map_over(map, given);
        }
        for key in schemas.iter().flat_map(|schema| properties(schema)) {
            if map.contains_key(key) {
                continue;
            }
            if let Some(default) = self.default_of(schemas, key) {
                self.left = self.left.checked_sub(1).ok_or(Endless)?;
                map.insert(key.clone(), default);
            }
        }
        for (key, value) in map.iter_mut() {
            self.fill(&below_key(schemas, key), value)?;
        }
        Ok(())
    }

    /// Returns the default of the property `key`: its own, or a map where something below it has one.
    fn default_of(&mut self, schemas: &[&'a Value], key: &str) -> Option<Value> {
        let own = applying(self.root, &below_key(schemas, key), Reach::Always);
        if let Some(default) = own.iter().find_map(|schema| schema.get("default")) {
            return (!default.is_null()).then(|| default.clone());
        }
        self.has_defaults(own).then(|| json!({}))
    }

    /// Returns whether a property below `schemas` has a default; a schema within itself has none.
    fn has_defaults(&mut self, schemas: Vec<&'a Value>) -> bool {
        let seen =
            |schema: &&Value| self.path.iter().flatten().any(|outer| std::ptr::eq(*outer, *schema));
        if schemas.iter().any(seen) || self.path.len() > MAX_DEPTH {
            return false;
        }
        self.path.push(schemas.clone());
        let has = schemas.iter().flat_map(|schema| properties(schema)).any(|key| {
            let own = applying(self.root, &below_key(&schemas, key), Reach::Always);
            own.iter().any(|schema| schema.get("default").is_some()) || self.has_defaults(own)
        });
        self.path.pop();
        has
    }
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
                    self.look(&below_key(&schemas, key), value, explain::join(&at, key));
                }
            }
            Value::Array(items) => {
                for (index, item) in items.iter().enumerate() {
                    let below = below_index(&schemas, index);
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

/// Returns `schemas` and all that apply at the same place by `$ref`, `allOf` and the like.
fn applying<'a>(root: &'a Value, schemas: &[&'a Value], reach: Reach) -> Vec<&'a Value> {
    let mut all: Vec<&Value> = schemas.to_vec();
    let mut next = 0;
    while let Some(schema) = all.get(next).copied().filter(|_| next < MAX_HOPS) {
        next += 1;
        let reference = schema.get("$ref").and_then(Value::as_str);
        let target = reference.and_then(|reference| reference.strip_prefix('#'));
        let target = target.and_then(|pointer| root.pointer(pointer));
        let groups: &[&str] = match reach {
            Reach::Always => &["allOf"],
            Reach::Perhaps => &["allOf", "anyOf", "oneOf"],
        };
        let groups = groups.iter().filter_map(|key| schema.get(key)?.as_array()).flatten();
        let branches: &[&str] = match reach {
            Reach::Always => &[],
            Reach::Perhaps => &["then", "else"],
        };
        let branches = branches.iter().filter_map(|key| schema.get(key));
        for further in target.into_iter().chain(groups).chain(branches) {
            if !all.iter().any(|known| std::ptr::eq(*known, further)) {
                all.push(further);
            }
        }
    }
    all
}

fn properties(schema: &Value) -> impl Iterator<Item = &String> {
    schema.get("properties").and_then(Value::as_object).into_iter().flat_map(Map::keys)
}

/// Returns the subschemas for the value under `key`.
fn below_key<'a>(schemas: &[&'a Value], key: &str) -> Vec<&'a Value> {
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
        }
    }
    below
}

/// Returns the subschemas for the item at `index`.
fn below_index<'a>(schemas: &[&'a Value], index: usize) -> Vec<&'a Value> {
    let of = |schema: &'a Value| {
        let positional = schema.get("prefixItems").and_then(|items| items.get(index));
        positional.or_else(|| schema.get("items"))
    };
    schemas.iter().filter_map(|schema| of(schema)).collect()
}
