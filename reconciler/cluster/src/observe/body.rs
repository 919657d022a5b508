//! From a live body to what the plan needs of it.

use std::collections::BTreeSet;

use serde_json::Value;
use sitewright_model::{
    health::finalizers,
    live::{Judgement, LiveObject, settled_digest},
    managed::ManagerEntry,
    object::{Object, Uid},
};

/// Reads a live object; none where the server's answer is no object.
///
/// `sensitive` are the pointers that the desired object marks as secret: they are secret live too.
pub(crate) fn read(mut body: Value, sensitive: &BTreeSet<String>) -> Option<LiveObject> {
    let managers = take_managers(&mut body);
    let text = |pointer: &str| body.pointer(pointer).and_then(Value::as_str).map(str::to_owned);
    let uid = Uid(text("/metadata/uid")?);
    let resource_version = text("/metadata/resourceVersion")?;
    let deleting_since = text("/metadata/deletionTimestamp");
    let finalizers = finalizers::of(&body).map(str::to_owned).collect();
    let settled = settled_digest(&body);
    let object = Object::new(body).ok()?.with_sensitive(sensitive.iter().cloned());
    Some(LiveObject {
        uid,
        resource_version,
        deleting_since,
        finalizers,
        object,
        managers,
        settled,
        judgement: Judgement::NotAsked,
    })
}

/// Takes `metadata.managedFields` out of a body.
pub(crate) fn take_managers(body: &mut Value) -> Vec<ManagerEntry> {
    let metadata = body.get_mut("metadata").and_then(Value::as_object_mut);
    match metadata.and_then(|metadata| metadata.remove("managedFields")) {
        Some(Value::Array(entries)) => entries.into_iter().map(manager).collect(),
        _ => Vec::new(),
    }
}

fn manager(mut entry: Value) -> ManagerEntry {
    let fields = entry.get_mut("fieldsV1").map(Value::take).unwrap_or_default();
    let text = |key: &str| entry.get(key).and_then(Value::as_str).unwrap_or_default().to_owned();
    ManagerEntry {
        manager: text("manager"),
        operation: text("operation"),
        subresource: text("subresource"),
        api_version: text("apiVersion"),
        time: Some(text("time")).filter(|time| !time.is_empty()),
        fields,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn what_changes_by_itself_does_not_change_the_settled_digest() {
        let body = |version: &str, status: &str| {
            json!({ "apiVersion": "v1", "kind": "ConfigMap", "status": status,
                    "metadata": { "name": "c", "uid": "u", "resourceVersion": version,
                        "managedFields": [{ "manager": "m", "operation": "Apply", "fieldsV1": { "f:data": {} } }] } })
        };
        let one = read(body("1", "a"), &BTreeSet::new()).unwrap();
        let other = read(body("2", "b"), &BTreeSet::new()).unwrap();
        assert_eq!(one.settled, other.settled);
        assert_eq!(one.managers[0].fields, json!({ "f:data": {} }));
        assert!(one.object.expose().pointer("/metadata/managedFields").is_none());
    }
}
