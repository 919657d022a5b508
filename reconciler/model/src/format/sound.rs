//! What is left of a file with mistakes once what is wrong is cut out: enough to find the mistakes of what
//! it leads to, and to tell them all at once.

use std::collections::BTreeSet;

use jsonschema::{Validator, error::ValidationErrorKind as Kind};
use serde_json::Value;

/// What was cut off may uncover more; a file that needs more rounds is left alone.
const ROUNDS: usize = 8;
/// The most cuts of one round.
const CUTS: usize = 100;

/// Cuts out of `value` all that `validator` refuses, and returns where; none where something would be missing.
///
/// Items of the list at `list` are never cut out: places are counted by their position.
pub(super) fn cut(
    value: &mut Value,
    validator: &Validator,
    list: &str,
) -> Option<BTreeSet<String>> {
    let mut all = BTreeSet::new();
    for _ in 0..ROUNDS {
        let found: BTreeSet<String> =
            validator.iter_errors(value).take(CUTS).flat_map(refused).collect();
        if found.is_empty() {
            return Some(all);
        }
        // Backwards, so that an item that is taken out of a list moves none that is still to go.
        for pointer in found.iter().rev() {
            let (parent, _) = pointer.rsplit_once('/')?;
            if parent == list || !remove(value, pointer) {
                return None;
            }
        }
        all.extend(found);
    }
    None
}

fn refused(error: jsonschema::ValidationError<'_>) -> Vec<String> {
    let at = error.instance_path().as_str();
    match error.kind() {
        Kind::AdditionalProperties { unexpected } | Kind::UnevaluatedProperties { unexpected } => {
            let escaped = unexpected.iter().map(|key| key.replace('~', "~0").replace('/', "~1"));
            escaped.map(|key| format!("{at}/{key}")).collect()
        }
        _ => vec![at.to_owned()],
    }
}

/// Returns whether there was something to remove; the whole, and what is gone with its parent, counts as nothing.
fn remove(value: &mut Value, pointer: &str) -> bool {
    let Some((parent, key)) = pointer.rsplit_once('/') else { return false };
    let key = key.replace("~1", "/").replace("~0", "~");
    match value.pointer_mut(parent) {
        Some(Value::Object(map)) => map.remove(&key).is_some(),
        Some(Value::Array(items)) => match key.parse::<usize>() {
            Ok(index) if index < items.len() => {
                items.remove(index);
                true
            }
            _ => false,
        },
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn validator() -> Validator {
        let schema = json!({ "type": "object", "required": ["list"], "additionalProperties": false, "properties": {
            "list": { "type": "array", "items": { "type": "object", "required": ["name"], "additionalProperties": false,
                "properties": { "name": { "type": "string" }, "size": { "type": "integer" } } } } } });
        jsonschema::options().offline().build(&schema).unwrap()
    }

    #[test]
    fn what_is_wrong_is_cut_out_and_the_rest_kept() {
        let mut value = json!({ "lst": 1, "a/b": 2, "list": [{ "name": "a", "size": "big" }, { "name": "b", "size": 3 }] });
        let cuts = cut(&mut value, &validator(), "/list").unwrap();
        assert_eq!(cuts.into_iter().collect::<Vec<_>>(), ["/a~1b", "/list/0/size", "/lst"]);
        assert_eq!(value, json!({ "list": [{ "name": "a" }, { "name": "b", "size": 3 }] }));
    }

    #[test]
    fn what_must_be_there_is_not_made_up() {
        assert_eq!(cut(&mut json!({ "list": [{ "nam": "a" }] }), &validator(), "/list"), None);
        assert_eq!(cut(&mut json!({ "lst": [] }), &validator(), "/list"), None);
        assert_eq!(cut(&mut json!([]), &validator(), "/list"), None);
    }
}
