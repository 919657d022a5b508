//! Law 5: a replacement is proven by a dry run of the new object before anything calls a field immutable.
//!
//! The live object has the name, so the new one is tried under another: a validation error that only
//! looks like immutability shows itself here, since it refuses the new object too.

use serde_json::Value;
use sitewright_model::{
    digest::canonical_json,
    live::{Cause, Judgement, LiveObject, Refusal},
    object::Object,
};

use super::{judge::stop_if_broken, refusal};
use crate::{
    Error,
    client::{
        http::{Failure, Http, Request, Verb},
        path::{Resource, query},
    },
};

/// Longest name that any kind takes, less what is appended.
const NAME_KEPT: usize = 63 - MARK.len() - 5;

const MARK: &str = "-swcheck-";

/// Judges an update whose refusal looks like immutability: `causes` as they may be shown.
pub(super) async fn judge(
    http: &Http,
    resource: &Resource,
    object: &Object,
    live: &LiveObject,
    causes: Vec<Cause>,
    manager: &str,
) -> Result<Judgement, Error> {
    let replacement = match prove(http, resource, object, live.object.expose(), manager).await {
        Ok(()) => Ok(()),
        Err(failure) => {
            stop_if_broken(&failure)?;
            let Failure::Refused(refused) = &failure else { return Ok(Judgement::NotAsked) };
            let found = refusal::causes(refused, object);
            if refused.is_invalid() {
                return Ok(Judgement::Refused(Refusal::Invalid(found)));
            }
            Err(found)
        }
    };
    Ok(Judgement::Refused(Refusal::Immutable { causes, replacement }))
}

/// Asks whether the server would create `object` in place of `live`.
pub(crate) async fn prove(
    http: &Http,
    resource: &Resource,
    object: &Object,
    live: &Value,
    manager: &str,
) -> Result<(), Failure> {
    let body = under_another_name(object.expose(), live);
    let namespace = object.id().namespace.as_deref();
    let pairs = [("dryRun", "All"), ("fieldManager", manager), ("fieldValidation", "Strict")];
    let url = query(&resource.collection(namespace), pairs);
    let what = format!("{} (its replacement)", object.id());
    let request = Request::post(Verb::DryRun, url, what, canonical_json(&body));
    http.send(request).await.map(drop)
}

fn under_another_name(desired: &Value, live: &Value) -> Value {
    let mut body = desired.clone();
    let suffix = format!("{:05x}", rand::random_range(0..0x10_0000_u32));
    let name = body.pointer("/metadata/name").and_then(Value::as_str).unwrap_or_default();
    let renamed = if is_crd(desired) {
        rename_crd(&mut body, &suffix)
    } else {
        let kept: String = name.chars().take(NAME_KEPT).collect();
        format!("{}{MARK}{suffix}", kept.trim_end_matches(['-', '.']))
    };
    if let Some(metadata) = body.get_mut("metadata").and_then(Value::as_object_mut) {
        metadata.insert("name".into(), renamed.into());
    }
    free_allocated(&mut body, live);
    body
}

fn is_crd(body: &Value) -> bool {
    body.get("kind").and_then(Value::as_str) == Some("CustomResourceDefinition")
}

/// A CRD's name is made of its plural and group.
fn rename_crd(body: &mut Value, suffix: &str) -> String {
    let group = body.pointer("/spec/group").and_then(Value::as_str).unwrap_or_default().to_owned();
    let plural = body.pointer("/spec/names/plural").and_then(Value::as_str).unwrap_or_default();
    let plural = format!("{plural}swcheck{suffix}");
    if let Some(names) = body.pointer_mut("/spec/names").and_then(Value::as_object_mut) {
        names.insert("plural".into(), plural.clone().into());
    }
    format!("{plural}.{group}")
}

/// A Service's addresses and node ports are taken by the live one; the replacement gets them once it is gone.
fn free_allocated(body: &mut Value, live: &Value) {
    if body.get("kind").and_then(Value::as_str) != Some("Service") {
        return;
    }
    let same = |pointer: &str, body: &Value| {
        body.pointer(pointer).is_some() && body.pointer(pointer) == live.pointer(pointer)
    };
    for key in ["clusterIP", "clusterIPs", "healthCheckNodePort"] {
        if same(&format!("/spec/{key}"), body)
            && body.pointer("/spec/clusterIP").and_then(Value::as_str) != Some("None")
            && let Some(spec) = body.get_mut("spec").and_then(Value::as_object_mut)
        {
            spec.remove(key);
        }
    }
    let held: Vec<&Value> = live
        .pointer("/spec/ports")
        .and_then(Value::as_array)
        .into_iter()
        .flatten()
        .filter_map(|port| port.get("nodePort"))
        .collect();
    let ports = body.pointer_mut("/spec/ports").and_then(Value::as_array_mut);
    for port in ports.into_iter().flatten().filter_map(Value::as_object_mut) {
        if port.get("nodePort").is_some_and(|asked| held.contains(&asked)) {
            port.remove("nodePort");
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn the_trial_has_a_name_of_its_own_that_every_kind_takes() {
        let long = "a".repeat(63);
        let body = json!({ "kind": "ConfigMap", "metadata": { "name": long } });
        let trial = under_another_name(&body, &json!({}));
        let name = trial["metadata"]["name"].as_str().unwrap();
        assert!(name.len() <= 63 && name.contains("-swcheck-"), "{name}");
    }

    #[test]
    fn a_crd_is_tried_under_another_plural() {
        let body = json!({ "kind": "CustomResourceDefinition", "metadata": { "name": "widgets.x.io" },
            "spec": { "group": "x.io", "names": { "plural": "widgets", "kind": "Widget" } } });
        let trial = under_another_name(&body, &json!({}));
        let plural = trial["spec"]["names"]["plural"].as_str().unwrap();
        assert_eq!(trial["metadata"]["name"], format!("{plural}.x.io"));
    }

    #[test]
    fn what_the_live_service_holds_is_not_asked_for_twice() {
        let live = json!({ "spec": { "clusterIP": "10.0.0.9", "ports": [{ "port": 80, "nodePort": 30080 }] } });
        let body = json!({ "kind": "Service", "metadata": { "name": "s" },
            "spec": { "clusterIP": "10.0.0.9",
                "ports": [{ "port": 80, "nodePort": 30080 }, { "port": 81, "nodePort": 30081 }] } });
        let trial = under_another_name(&body, &live);
        // another port may be somebody else's: that is to be tried
        let ports = json!([{ "port": 80 }, { "port": 81, "nodePort": 30081 }]);
        assert_eq!(trial["spec"], json!({ "ports": ports }));
    }
}
