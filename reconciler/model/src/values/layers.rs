//! Layers of values, merged.

use std::collections::BTreeMap;

use serde_json::{Map, Value};

use crate::format::site::{Component, Site};

/// Returns what the site file gives the component; `null`s are kept, since they remove defaults.
pub(super) fn given(site: &Site, component: &Component) -> Value {
    let map = |map: &BTreeMap<String, Value>| {
        Value::Object(map.iter().map(|(key, value)| (key.clone(), value.clone())).collect())
    };
    let defaults = site.spec.defaults.get(&component.blueprint.name).map(map);
    let mut value = defaults.unwrap_or_else(|| Value::Object(Map::new()));
    lay_over(&mut value, map(&component.values));
    value
}

/// Lays `upper` over `value`: maps merge key by key, all else is replaced.
fn lay_over(value: &mut Value, upper: Value) {
    match (value, upper) {
        (Value::Object(value), Value::Object(upper)) => lay_map_over(value, upper),
        (value, upper) => *value = upper,
    }
}

/// Lays the keys of `upper` over those of `map`.
pub(super) fn lay_map_over(map: &mut Map<String, Value>, upper: Map<String, Value>) {
    for (key, upper) in upper {
        match map.get_mut(&key) {
            Some(value) => lay_over(value, upper),
            None => {
                map.insert(key, upper);
            }
        }
    }
}

/// Removes the keys whose value is `null`, at every depth outside lists.
pub(super) fn drop_nulls(value: &mut Value) {
    if let Value::Object(map) = value {
        map.retain(|_, value| !value.is_null());
        map.values_mut().for_each(drop_nulls);
    }
}
