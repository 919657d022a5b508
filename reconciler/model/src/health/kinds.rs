//! Built-in rules by kind, after kstatus (sigs.k8s.io/cli-utils `pkg/kstatus/status/core.go`).

use serde_json::Value;

use super::{Health, Rules};

/// Returns the health of an object that no blueprint rule speaks of.
pub(super) fn assess(live: &Value, rules: &Rules) -> Health {
    let text = |pointer: &str| live.pointer(pointer).and_then(Value::as_str).unwrap_or_default();
    let group = text("/apiVersion").rsplit_once('/').map_or("", |(group, _)| group);
    match (group, text("/kind")) {
        ("apps", "Deployment") => deployment(live),
        ("apps", "StatefulSet") => stateful_set(live),
        ("apps", "DaemonSet") => daemon_set(live),
        ("apps", "ReplicaSet") => replica_set(live),
        ("batch", "Job") => job(live),
        ("", "Pod") => pod(live),
        ("", "PersistentVolumeClaim") if rules.waits_for_a_consumer(live) => Health::Current,
        ("", "PersistentVolumeClaim") => bound_claim(live),
        ("", "Service") => service(live),
        ("apiextensions.k8s.io", "CustomResourceDefinition") => custom_resource_definition(live),
        ("apiregistration.k8s.io", "APIService") => wanted_condition(live, "Available"),
        // Their conditions tell of workloads or traffic, not of the object itself.
        ("policy", "PodDisruptionBudget")
        | ("autoscaling", "HorizontalPodAutoscaler")
        | ("batch", "CronJob") => Health::Current,
        _ => standard_conditions(live),
    }
}

/// Returns the first condition that is not as a healthy object has it, in words.
pub(super) fn unmet_condition(live: &Value) -> Option<String> {
    let positive = ["Ready", "Available", "Active", "Established", "Progressing"];
    let wanted = positive
        .iter()
        .find_map(|kind| condition(live, kind).filter(|condition| !condition.is("True")));
    wanted
        .or_else(|| conditions(live).find(|condition| condition.is("False")))
        .map(|condition| condition.describe())
}

/// One entry of `status.conditions`.
struct Condition<'a>(&'a Value);

impl<'a> Condition<'a> {
    fn text(&self, key: &str) -> &'a str {
        self.0.get(key).and_then(Value::as_str).unwrap_or_default()
    }

    fn is(&self, status: &str) -> bool {
        self.text("status") == status
    }

    fn describe(&self) -> String {
        let parts = [self.text("reason"), self.text("message").trim()];
        let tail: String =
            parts.iter().filter(|part| !part.is_empty()).map(|part| format!(": {part}")).collect();
        format!("{} is {}{tail}", self.text("type"), self.text("status"))
    }
}

fn conditions(live: &Value) -> impl Iterator<Item = Condition<'_>> {
    live.pointer("/status/conditions")
        .and_then(Value::as_array)
        .into_iter()
        .flatten()
        .map(Condition)
}

fn condition<'a>(live: &'a Value, kind: &str) -> Option<Condition<'a>> {
    conditions(live).find(|condition| condition.text("type") == kind)
}

fn number(live: &Value, pointer: &str, default: i64) -> i64 {
    live.pointer(pointer).and_then(Value::as_i64).unwrap_or(default)
}

/// Any custom resource with the standard conditions (kstatus: `Reconciling`, `Stalled`, `Ready`).
fn standard_conditions(live: &Value) -> Health {
    let generation = number(live, "/metadata/generation", 0);
    if let Some(stalled) = condition(live, "Stalled").filter(|condition| condition.is("True")) {
        return Health::failed(stalled.describe());
    }
    if let Some(busy) = condition(live, "Reconciling").filter(|condition| condition.is("True")) {
        return Health::in_progress(busy.describe());
    }
    let Some(ready) = condition(live, "Ready") else { return Health::Current };
    let seen = ready.0.get("observedGeneration").and_then(Value::as_i64).unwrap_or(generation);
    match ready.is("True") {
        true if seen < generation => Health::in_progress(format!(
            "Ready speaks of generation {seen}, the object is at {generation}"
        )),
        true => Health::Current,
        false => Health::in_progress(ready.describe()),
    }
}

fn wanted_condition(live: &Value, kind: &str) -> Health {
    match condition(live, kind) {
        Some(condition) if condition.is("True") => Health::Current,
        Some(condition) => Health::in_progress(condition.describe()),
        None => Health::in_progress(format!("{kind} is not reported yet")),
    }
}

fn custom_resource_definition(live: &Value) -> Health {
    match condition(live, "NamesAccepted").filter(|condition| condition.is("False")) {
        Some(names) => Health::failed(names.describe()),
        None => wanted_condition(live, "Established"),
    }
}

/// A controller that has never written a status has not looked yet.
fn unreported(live: &Value) -> Option<Health> {
    live.pointer("/status/observedGeneration")
        .is_none()
        .then(|| Health::in_progress("its controller has not reported a status yet"))
}

fn count(what: &str, have: i64, want: i64) -> Option<Health> {
    (have < want).then(|| Health::in_progress(format!("{have} of {want} pods {what}")))
}

fn deployment(live: &Value) -> Health {
    if let Some(health) = unreported(live) {
        return health;
    }
    if let Some(late) =
        condition(live, "Progressing").filter(|c| c.text("reason") == "ProgressDeadlineExceeded")
    {
        return Health::failed(late.describe());
    }
    let want = number(live, "/spec/replicas", 1);
    let updated = number(live, "/status/updatedReplicas", 0);
    let old = number(live, "/status/replicas", 0) - updated;
    let steps = [
        count("updated", updated, want),
        (old > 0).then(|| Health::in_progress(format!("{old} old pods still to go"))),
        count("available", number(live, "/status/availableReplicas", 0), want).map(|health| {
            match condition(live, "ReplicaFailure").filter(|condition| condition.is("True")) {
                Some(failure) => Health::in_progress(failure.describe()),
                None => health,
            }
        }),
    ];
    steps.into_iter().flatten().next().unwrap_or(Health::Current)
}

fn stateful_set(live: &Value) -> Health {
    let on_delete =
        live.pointer("/spec/updateStrategy/type").and_then(Value::as_str) == Some("OnDelete");
    if let Some(health) = unreported(live) {
        return health;
    }
    let want = number(live, "/spec/replicas", 1);
    let partition = number(live, "/spec/updateStrategy/rollingUpdate/partition", 0);
    let revision = |key: &str| live.pointer(key).and_then(Value::as_str).unwrap_or_default();
    let rolled = on_delete
        || partition > 0
        || revision("/status/currentRevision") == revision("/status/updateRevision")
        || number(live, "/status/updatedReplicas", 0) >= want;
    let steps = [
        count("ready", number(live, "/status/readyReplicas", 0), want),
        (!on_delete && partition > 0)
            .then(|| count("updated", number(live, "/status/updatedReplicas", 0), want - partition))
            .flatten(),
        (!rolled).then(|| Health::in_progress("waits for its pods to take the new revision")),
    ];
    steps.into_iter().flatten().next().unwrap_or(Health::Current)
}

fn daemon_set(live: &Value) -> Health {
    if let Some(health) = unreported(live) {
        return health;
    }
    let on_delete =
        live.pointer("/spec/updateStrategy/type").and_then(Value::as_str) == Some("OnDelete");
    let want = number(live, "/status/desiredNumberScheduled", 0);
    let steps = [
        (!on_delete)
            .then(|| count("updated", number(live, "/status/updatedNumberScheduled", 0), want))
            .flatten(),
        count("available", number(live, "/status/numberAvailable", 0), want),
    ];
    steps.into_iter().flatten().next().unwrap_or(Health::Current)
}

fn replica_set(live: &Value) -> Health {
    if let Some(health) = unreported(live) {
        return health;
    }
    if let Some(failure) =
        condition(live, "ReplicaFailure").filter(|condition| condition.is("True"))
    {
        return Health::in_progress(failure.describe());
    }
    count(
        "available",
        number(live, "/status/availableReplicas", 0),
        number(live, "/spec/replicas", 1),
    )
    .unwrap_or(Health::Current)
}

/// A job is as asked for once it runs, is suspended, or is complete; what it computes is not our business.
fn job(live: &Value) -> Health {
    if let Some(failed) = condition(live, "Failed").filter(|condition| condition.is("True")) {
        return Health::failed(failed.describe());
    }
    let suspended = live.pointer("/spec/suspend").and_then(Value::as_bool).unwrap_or(false);
    let started = live.pointer("/status/startTime").is_some();
    if suspended || started || condition(live, "Complete").is_some() {
        Health::Current
    } else {
        Health::in_progress("has not started yet")
    }
}

fn pod(live: &Value) -> Health {
    let phase = live.pointer("/status/phase").and_then(Value::as_str).unwrap_or("Pending");
    match phase {
        "Succeeded" => Health::Current,
        "Failed" => Health::failed("phase is Failed"),
        "Running" => wanted_condition(live, "Ready"),
        _ => Health::in_progress(
            unmet_condition(live).unwrap_or_else(|| format!("phase is {phase}")),
        ),
    }
}

fn bound_claim(live: &Value) -> Health {
    match live.pointer("/status/phase").and_then(Value::as_str) {
        Some("Bound") => Health::Current,
        Some("Lost") => Health::failed("its volume is gone"),
        _ => Health::in_progress("is not bound to a volume"),
    }
}

fn service(live: &Value) -> Health {
    let is_load_balancer =
        live.pointer("/spec/type").and_then(Value::as_str) == Some("LoadBalancer");
    let has_address = live
        .pointer("/status/loadBalancer/ingress")
        .and_then(Value::as_array)
        .is_some_and(|l| !l.is_empty());
    if is_load_balancer && !has_address {
        return Health::in_progress("waits for an address from the load balancer");
    }
    Health::Current
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn verdict(api_version: &str, kind: &str, spec: Value, status: Value) -> Health {
        assess(
            &json!({ "apiVersion": api_version, "kind": kind, "metadata": { "name": "x", "generation": 1 },
            "spec": spec, "status": status }),
            &Rules::default(),
        )
    }

    #[test]
    fn deployments() {
        let check = |status| verdict("apps/v1", "Deployment", json!({ "replicas": 2 }), status);
        assert_eq!(
            check(json!({})),
            Health::in_progress("its controller has not reported a status yet")
        );
        assert_eq!(
            check(json!({ "observedGeneration": 1, "replicas": 2, "updatedReplicas": 1 })),
            Health::in_progress("1 of 2 pods updated")
        );
        assert_eq!(
            check(
                json!({ "observedGeneration": 1, "replicas": 3, "updatedReplicas": 2, "availableReplicas": 2 })
            ),
            Health::in_progress("1 old pods still to go")
        );
        assert_eq!(
            check(
                json!({ "observedGeneration": 1, "replicas": 2, "updatedReplicas": 2, "availableReplicas": 2 })
            ),
            Health::Current
        );
        let late = json!({ "observedGeneration": 1, "conditions": [
            { "type": "Progressing", "status": "False", "reason": "ProgressDeadlineExceeded", "message": "stuck" }] });
        assert_eq!(
            check(late),
            Health::failed("Progressing is False: ProgressDeadlineExceeded: stuck")
        );
    }

    #[test]
    fn daemon_sets_without_nodes_are_current() {
        let status = json!({ "observedGeneration": 1, "desiredNumberScheduled": 0 });
        assert_eq!(verdict("apps/v1", "DaemonSet", json!({}), status), Health::Current);
    }

    #[test]
    fn stateful_sets_with_a_partition() {
        let spec =
            json!({ "replicas": 3, "updateStrategy": { "rollingUpdate": { "partition": 2 } } });
        let status = |updated| {
            json!({ "observedGeneration": 1, "readyReplicas": 3, "updatedReplicas": updated,
            "currentRevision": "a", "updateRevision": "b" })
        };
        assert_eq!(verdict("apps/v1", "StatefulSet", spec.clone(), status(1)), Health::Current);
        assert_eq!(
            verdict("apps/v1", "StatefulSet", spec, status(0)),
            Health::in_progress("0 of 1 pods updated")
        );
    }

    #[test]
    fn custom_resources_with_standard_conditions() {
        let check = |conditions| {
            verdict("x.io/v1", "Thing", json!({}), json!({ "conditions": conditions }))
        };
        assert_eq!(check(json!([])), Health::Current);
        assert_eq!(check(json!([{ "type": "Ready", "status": "True" }])), Health::Current);
        assert_eq!(
            check(json!([{ "type": "Ready", "status": "True", "observedGeneration": 0 }])),
            Health::in_progress("Ready speaks of generation 0, the object is at 1")
        );
        assert_eq!(
            check(json!([{ "type": "Stalled", "status": "True", "reason": "Bad" }])),
            Health::failed("Stalled is True: Bad")
        );
    }

    #[test]
    fn jobs_claims_services_and_definitions() {
        assert_eq!(
            verdict("batch/v1", "Job", json!({ "suspend": true }), json!({})),
            Health::Current
        );
        assert!(!verdict("batch/v1", "Job", json!({}), json!({})).is_current());
        assert!(
            !verdict("v1", "PersistentVolumeClaim", json!({}), json!({ "phase": "Pending" }))
                .is_current()
        );
        assert!(
            !verdict("v1", "Service", json!({ "type": "LoadBalancer" }), json!({})).is_current()
        );
        let names = json!({ "conditions": [{ "type": "NamesAccepted", "status": "False", "reason": "ListKindConflict" }] });
        assert!(matches!(
            verdict("apiextensions.k8s.io/v1", "CustomResourceDefinition", json!({}), names),
            Health::Failed { .. }
        ));
    }
}
