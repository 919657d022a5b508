//! Laying one tree of values over another, as helm does with several value files.

use serde_json::Value;

/// Lays `over` over `base`: maps key by key, everything else replaced; `null` in `over` takes the key away.
///
/// A key that is taken away is kept as `null`, since for helm `null` means "drop the chart's own default".
pub(super) fn lay_over(base: &mut Value, over: &Value) {
    match (base, over) {
        (Value::Object(base), Value::Object(over)) => {
            for (key, value) in over {
                match base.get_mut(key) {
                    Some(below) => lay_over(below, value),
                    None => {
                        base.insert(key.clone(), value.clone());
                    }
                }
            }
        }
        (base, over) => *base = over.clone(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn maps_are_merged_and_everything_else_is_replaced() {
        let mut base = json!({ "a": { "x": 1, "y": [1, 2] }, "b": "kept" });
        lay_over(&mut base, &json!({ "a": { "y": [3], "z": null }, "c": true }));
        assert_eq!(base, json!({ "a": { "x": 1, "y": [3], "z": null }, "b": "kept", "c": true }));
    }
}
