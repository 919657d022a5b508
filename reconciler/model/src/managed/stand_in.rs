//! The body that a dry-run update judges where the apply itself cannot be dry-run.
//!
//! A transfer of list entries takes two requests: `managedFields` first, then the apply that removes
//! the entries. The server has no dry run for two requests, so what the apply will make is put
//! together here and the server judges that; it is for the plan alone and is never written.

use serde_json::{Map, Value};

use super::fields::Owners;
use crate::field::{FieldPath, default_of, push_token, remove_pointer, tokens};

/// Returns `live` without the entries at `gone`, without what we own and no longer want, and with `desired` laid over it.
pub(crate) fn judge_body(
    live: &Value,
    desired: &Value,
    gone: &[&str],
    (owners, ours): (&Owners<'_>, &str),
) -> Value {
    let mut body = live.clone();
    let mut doomed: Vec<String> = gone.iter().map(|pointer| (*pointer).to_owned()).collect();
    doomed.extend(dropped(live, desired, owners, ours));
    doomed.sort_by_key(|pointer| std::cmp::Reverse(order(pointer)));
    doomed.dedup();
    for pointer in doomed {
        remove_pointer(&mut body, &pointer);
    }
    if let Some(metadata) = body.get_mut("metadata").and_then(Value::as_object_mut) {
        metadata.remove("managedFields");
    }
    overlay(&mut body, desired, "", live, owners);
    body
}

/// Returns what is live, ours alone, and no longer desired: the apply removes it.
fn dropped(live: &Value, desired: &Value, owners: &Owners<'_>, ours: &str) -> Vec<String> {
    let is_shared =
        |pointer: &str| owners.others(ours).any(|(_, theirs)| theirs.owns(pointer, live));
    let undesired = |path: &FieldPath| path.pointers(desired).is_empty();
    owners
        .ours(ours)
        .flat_map(|(_, set)| set.paths())
        .filter(undesired)
        .flat_map(|path| path.pointers(live))
        .filter(|pointer| !is_shared(pointer))
        .collect()
}

/// Later entries of a list come after earlier ones, whatever their number of digits.
fn order(pointer: &str) -> Vec<(Option<usize>, String)> {
    tokens(pointer).map(|token| (token.parse().ok(), token)).collect()
}

fn overlay(body: &mut Value, desired: &Value, pointer: &str, live: &Value, owners: &Owners<'_>) {
    match (body, desired) {
        (Value::Object(body), Value::Object(desired)) => {
            for (key, desired) in desired.iter().filter(|(_, value)| !value.is_null()) {
                let below = push_token(pointer, key);
                let slot = body.entry(key.clone()).or_insert(Value::Null);
                overlay(slot, desired, &below, live, owners);
            }
        }
        (Value::Array(body), Value::Array(desired)) => match owners.list_keys(pointer, live) {
            Some(keys) => overlay_list(body, desired, &keys),
            None => body.clone_from(desired),
        },
        (body, desired) => *body = desired.clone(),
    }
}

/// Lays keyed entries over each other; what is below an entry is laid over key by key.
fn overlay_list(body: &mut Vec<Value>, desired: &[Value], keys: &[String]) {
    for entry in desired {
        match body.iter_mut().find(|known| same_keys(known, entry, keys)) {
            Some(Value::Object(known)) => merge_maps(known, entry),
            Some(known) => *known = entry.clone(),
            None => body.push(entry.clone()),
        }
    }
}

fn merge_maps(body: &mut Map<String, Value>, desired: &Value) {
    for (key, value) in desired.as_object().into_iter().flatten() {
        match (body.get_mut(key), value) {
            (Some(Value::Object(known)), Value::Object(_)) => merge_maps(known, value),
            _ => {
                body.insert(key.clone(), value.clone());
            }
        }
    }
}

fn same_keys(one: &Value, other: &Value, keys: &[String]) -> bool {
    let value = |entry: &Value, key: &str| {
        entry.get(key).cloned().or_else(|| default_of(key).map(Value::from))
    };
    keys.iter().all(|key| value(one, key) == value(other, key))
}
