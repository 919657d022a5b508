//! Entries of keyed lists that another manager left beside ours: they pass to us, so that our next
//! apply removes them (kubernetes#130292).
//!
//! `managedFields` may be written by anyone who may write the object; the patch is bound to the
//! resource version that was looked at.

use serde_json::{Map, Value, json};
use sitewright_model::{
    digest::canonical_json,
    live::LiveObject,
    managed::{ManagerEntry, Transfer},
};

use super::{ObjectOutcome, change::refused, remove::is_stale, scene::Scene};
use crate::{
    Error,
    client::{
        http::{Failure, Request, Verb},
        path::{Resource, query},
    },
    observe::{body, judge::stop_if_broken, refusal},
};

/// What came of a transfer.
pub(super) enum Moved {
    /// The object after it.
    Done(Box<LiveObject>),
    /// The object was changed since it was read.
    Stale,
    /// It cannot be done.
    Refused(ObjectOutcome),
}

/// Moves the fields.
pub(super) async fn send(
    scene: &Scene<'_>,
    resource: &Resource,
    live: &LiveObject,
    transfers: &[Transfer],
) -> Result<Moved, Error> {
    let id = live.object.id();
    let manager = scene.judge.manager();
    let fields = moved(&live.managers, transfers, manager, live.object.api_version());
    let patch = json!([
        { "op": "test", "path": "/metadata/resourceVersion", "value": live.resource_version },
        { "op": "replace", "path": "/metadata/managedFields", "value": fields },
    ]);
    let path = resource.object(id.namespace.as_deref(), &id.name);
    let url = query(&path, [("fieldManager", manager)]);
    let request = Request::json_patch(Verb::Update, url, id.to_string(), canonical_json(&patch));
    match scene.http.send(request).await {
        Ok(answer) => {
            let after = body::read(answer.json()?, live.object.sensitive());
            after.map(|after| Moved::Done(Box::new(after))).ok_or_else(|| Error::BadAnswer {
                verb: Verb::Update.text().into(),
                resource: id.to_string(),
                why: "it is no object".into(),
            })
        }
        Err(Failure::Refused(refused)) if is_stale(&refused) => Ok(Moved::Stale),
        Err(failure) => {
            stop_if_broken(&failure)?;
            Ok(Moved::Refused(refused(refusal::meaning(&failure, &live.object, None))))
        }
    }
}

/// Returns `managedFields` with the transfers done.
fn moved(
    managers: &[ManagerEntry],
    transfers: &[Transfer],
    ours: &str,
    api_version: &str,
) -> Vec<Value> {
    let mut managers = managers.to_vec();
    for transfer in transfers {
        let loser = managers.iter_mut().find(|entry| {
            entry.manager == transfer.manager
                && entry.operation == transfer.operation
                && entry.subresource == transfer.subresource
        });
        if let Some(entry) = loser {
            subtract(&mut entry.fields, &transfer.fields);
        }
        let is_ours = |entry: &&mut ManagerEntry| {
            entry.manager == ours && entry.operation == "Apply" && entry.subresource.is_empty()
        };
        match managers.iter_mut().find(is_ours) {
            Some(entry) => merge(&mut entry.fields, &transfer.fields),
            None => managers.push(ManagerEntry {
                manager: ours.to_owned(),
                operation: "Apply".into(),
                subresource: String::new(),
                api_version: api_version.to_owned(),
                time: None,
                fields: transfer.fields.clone(),
            }),
        }
    }
    let is_left =
        |entry: &&ManagerEntry| entry.fields.as_object().is_none_or(|map| !map.is_empty());
    managers.iter().filter(is_left).map(raw).collect()
}

fn raw(entry: &ManagerEntry) -> Value {
    let mut raw = json!({
        "manager": entry.manager, "operation": entry.operation, "apiVersion": entry.api_version,
        "fieldsType": "FieldsV1", "fieldsV1": entry.fields,
    });
    let further = [
        ("subresource", Some(&entry.subresource).filter(|name| !name.is_empty())),
        ("time", entry.time.as_ref()),
    ];
    for (key, value) in further {
        if let (Some(value), Some(map)) = (value, raw.as_object_mut()) {
            map.insert(key.into(), value.clone().into());
        }
    }
    raw
}

/// Takes `part` out of `fields`; what is empty then goes too.
fn subtract(fields: &mut Value, part: &Value) {
    let (Some(map), Some(part)) = (fields.as_object_mut(), part.as_object()) else { return };
    for (key, below) in part {
        let is_leaf = below.as_object().is_none_or(Map::is_empty);
        let Some(slot) = map.get_mut(key) else { continue };
        if !is_leaf {
            subtract(slot, below);
        }
        if is_leaf || slot.as_object().is_none_or(Map::is_empty) {
            map.remove(key);
        }
    }
}

fn merge(fields: &mut Value, part: &Value) {
    let (Some(map), Some(part)) = (fields.as_object_mut(), part.as_object()) else { return };
    for (key, below) in part {
        match map.get_mut(key) {
            Some(slot) => merge(slot, below),
            None => {
                map.insert(key.clone(), below.clone());
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn entry(manager: &str, operation: &str, fields: Value) -> ManagerEntry {
        ManagerEntry {
            manager: manager.into(),
            operation: operation.into(),
            subresource: String::new(),
            api_version: "v1".into(),
            time: None,
            fields,
        }
    }

    #[test]
    fn an_entry_passes_to_us_and_the_rest_stays() {
        let port = |port: u16| format!(r#"k:{{"port":{port},"protocol":"TCP"}}"#);
        let theirs = json!({ "f:spec": { "f:type": {}, "f:ports": { port(81): { ".": {}, "f:port": {} } } } });
        let part = json!({ "f:spec": { "f:ports": { port(81): { ".": {}, "f:port": {} } } } });
        let ours = json!({ "f:spec": { "f:ports": { port(80): { ".": {} } } } });
        let managers = [entry("kubectl-edit", "Update", theirs), entry("us", "Apply", ours)];
        let transfer = Transfer {
            manager: "kubectl-edit".into(),
            operation: "Update".into(),
            subresource: String::new(),
            entries: Vec::new(),
            fields: part,
        };
        let after = moved(&managers, std::slice::from_ref(&transfer), "us", "v1");
        assert_eq!(after[0]["fieldsV1"], json!({ "f:spec": { "f:type": {} } }));
        let ports = after[1]["fieldsV1"]["f:spec"]["f:ports"].as_object().unwrap();
        assert_eq!(ports.len(), 2);
        let all = [entry("kubectl-edit", "Update", transfer.fields.clone())];
        let after = moved(&all, &[transfer], "us", "v1");
        assert_eq!((after.len(), &after[0]["manager"]), (1, &json!("us")));
    }
}
