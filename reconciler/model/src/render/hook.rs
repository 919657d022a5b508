//! Helm hooks: objects that helm makes around an installation and then forgets.
//!
//! We have no installation and no afterwards: objects are applied when they change. So tests are always
//! left out; other hooks are left out with a warning, unless the blueprint says `hooks: true`, which makes
//! those of installation and upgrade ordinary objects. Hooks that run around a deletion or a rollback
//! never become objects: what they do would happen at once.

use serde_json::{Map, Value};

const HOOK: &str = "helm.sh/hook";
/// What is taken off an object that was a hook.
const ANNOTATIONS: [&str; 3] = [HOOK, "helm.sh/hook-weight", "helm.sh/hook-delete-policy"];
/// The events after which the object is wanted on the cluster. `crd-install` is helm 2's.
const KEPT: [&str; 5] =
    ["pre-install", "post-install", "pre-upgrade", "post-upgrade", "crd-install"];

/// What becomes of a rendered document of a chart.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Fate {
    /// It is an ordinary object.
    Kept,
    /// It is a test.
    Test,
    /// It is a hook of these events, and left out.
    LeftOut(String),
}

/// Decides about one document, and takes the annotations of hooks off what is kept.
pub(super) fn decide(body: &mut Value, hooks: bool) -> Fate {
    let annotations = body.pointer("/metadata/annotations");
    let Some(events) = annotations.and_then(|all| all.get(HOOK)).and_then(Value::as_str) else {
        return Fate::Kept;
    };
    let events: Vec<&str> = events.split(',').map(str::trim).collect();
    if events.iter().all(|event| matches!(*event, "test" | "test-success" | "test-failure")) {
        return Fate::Test;
    }
    let is_crd = events.contains(&"crd-install");
    if !(is_crd || hooks && events.iter().any(|event| KEPT.contains(event))) {
        return Fate::LeftOut(events.join(", "));
    }
    if let Some(Value::Object(metadata)) = body.get_mut("metadata") {
        take_off(metadata);
    }
    Fate::Kept
}

fn take_off(metadata: &mut Map<String, Value>) {
    let Some(Value::Object(annotations)) = metadata.get_mut("annotations") else { return };
    annotations.retain(|key, _| !ANNOTATIONS.contains(&key.as_str()));
    if annotations.is_empty() {
        metadata.remove("annotations");
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn with(events: &str) -> Value {
        json!({ "metadata": { "annotations": {
            "helm.sh/hook": events, "helm.sh/hook-weight": "1", "helm.sh/hook-delete-policy": "x"
        } } })
    }

    #[test]
    fn what_becomes_of_hooks() {
        let left_out = |events: &str| Fate::LeftOut(events.to_owned());
        for (events, hooks, fate) in [
            ("test", true, Fate::Test),
            ("test-success, test-failure", false, Fate::Test),
            ("pre-install,pre-upgrade", false, left_out("pre-install, pre-upgrade")),
            ("pre-install", true, Fate::Kept),
            ("pre-delete", true, left_out("pre-delete")),
            ("crd-install", false, Fate::Kept),
        ] {
            assert_eq!(decide(&mut with(events), hooks), fate, "{events}");
        }
        assert_eq!(decide(&mut json!({ "metadata": {} }), false), Fate::Kept);
    }

    #[test]
    fn a_kept_hook_is_an_ordinary_object() {
        let mut body = with("post-install");
        assert_eq!(decide(&mut body, true), Fate::Kept);
        assert_eq!(body, json!({ "metadata": {} }));
    }
}
