//! A schema and a value side by side: defaults to fill in.

use serde_json::{Map, Value, json};

use super::layers;
use crate::format::walk::{Reach, applying, below_index, below_key, properties};

/// The most defaults that are filled in: a schema that refers to itself could ask for ever more.
const MAX_DEFAULTS: usize = 10_000;
/// The deepest values that defaults are filled into: deeper than any YAML that is read.
const MAX_DEPTH: usize = 80;

/// The defaults of a schema have no end.
#[derive(Debug)]
pub(super) struct Endless;

/// Fills in the defaults of the schema `root` that `value` leaves open; a `null` closes.
pub(super) fn fill(root: &Value, value: &mut Value) -> Result<(), Endless> {
    Filler { root, path: Vec::new(), left: MAX_DEFAULTS }.fill(&[root], value)
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
                    self.fill(&below_index(&schemas, index, Reach::Always), item)?;
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
            self.fill(&below_key(schemas, key, Reach::Always), value)?;
        }
        Ok(())
    }

    /// Returns the default of the property `key`: its own, or a map where something below it has one.
    fn default_of(&mut self, schemas: &[&'a Value], key: &str) -> Option<Value> {
        let own = applying(self.root, &below_key(schemas, key, Reach::Always), Reach::Always);
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
            let below = below_key(&schemas, key, Reach::Always);
            let own = applying(self.root, &below, Reach::Always);
            own.iter().any(|schema| schema.get("default").is_some()) || self.has_defaults(own)
        });
        self.path.pop();
        has
    }
}
