//! Why a workload does not get ready: what its pods and events say.

use serde_json::Value;
use sitewright_model::object::GroupKind;

use crate::{
    Error,
    client::{
        http::{Http, Request},
        path::{Resource, query},
    },
    discovery::Kinds,
};

/// So many pods are looked at, and so many events.
const LOOKED_AT: &str = "30";

/// So many reasons are told.
const TOLD: usize = 3;

/// Returns what the pods of a workload tell, one sentence each, and what events do where there is no pod.
///
/// # Errors
/// Only a signal to stop or a server that is gone; what may not be read tells nothing.
pub(crate) async fn reasons(
    http: &Http,
    kinds: &Kinds,
    workload: &Value,
) -> Result<Vec<String>, Error> {
    let namespace = text(workload, "/metadata/namespace");
    let Some(selector) = selector(workload) else { return Ok(Vec::new()) };
    let pods = items(http, kinds, "Pod", namespace, ("labelSelector", &selector)).await?;
    let mut reasons: Vec<String> = pods.iter().filter_map(of_pod).collect();
    reasons.sort();
    reasons.dedup();
    if pods.is_empty() {
        let kind = text(workload, "/kind");
        let name = text(workload, "/metadata/name");
        let fields = format!("involvedObject.kind={kind},involvedObject.name={name},type=Warning");
        let events = items(http, kinds, "Event", namespace, ("fieldSelector", &fields)).await?;
        reasons.extend(events.iter().rev().map(of_event));
        reasons.dedup();
    }
    reasons.truncate(TOLD);
    Ok(reasons)
}

fn selector(workload: &Value) -> Option<String> {
    let labels = workload.pointer("/spec/selector/matchLabels")?.as_object()?;
    let pair = |(key, value): (&String, &Value)| Some(format!("{key}={}", value.as_str()?));
    let pairs: Option<Vec<String>> = labels.iter().map(pair).collect();
    pairs.filter(|pairs| !pairs.is_empty()).map(|pairs| pairs.join(","))
}

async fn items(
    http: &Http,
    kinds: &Kinds,
    kind: &str,
    namespace: &str,
    (key, selector): (&str, &str),
) -> Result<Vec<Value>, Error> {
    let Some(resource) = kinds.any(&GroupKind::new("", kind), "v1") else { return Ok(Vec::new()) };
    match list(http, resource, namespace, (key, selector)).await {
        Ok(items) => Ok(items),
        Err(error) if error.loses_ground() => Err(error),
        Err(_) => Ok(Vec::new()),
    }
}

pub(super) async fn list(
    http: &Http,
    resource: &Resource,
    namespace: &str,
    selector: (&str, &str),
) -> Result<Vec<Value>, Error> {
    let url = query(&resource.collection(Some(namespace)), [selector, ("limit", LOOKED_AT)]);
    let mut list: Value = http.ask(Request::list(url, resource.display())).await?.json()?;
    match list.get_mut("items").map(Value::take) {
        Some(Value::Array(items)) => Ok(items),
        _ => Ok(Vec::new()),
    }
}

/// Returns what is the matter with a pod; none where nothing is.
fn of_pod(pod: &Value) -> Option<String> {
    let name = text(pod, "/metadata/name");
    let of_container = |status: &Value| {
        let waiting = status.pointer("/state/waiting").filter(|waiting| {
            !matches!(text(waiting, "/reason"), "" | "ContainerCreating" | "PodInitializing")
        });
        let ended = status
            .pointer("/state/terminated")
            .filter(|ended| ended.get("exitCode").and_then(Value::as_i64).unwrap_or_default() != 0);
        let state = waiting.or(ended)?;
        let message = text(state, "/message");
        let tail = if message.is_empty() { String::new() } else { format!(": {}", brief(message)) };
        let container = text(status, "/name");
        Some(format!("pod {name}, container {container}: {}{tail}", text(state, "/reason")))
    };
    let statuses = ["/status/initContainerStatuses", "/status/containerStatuses"];
    let statuses = statuses.iter().filter_map(|pointer| pod.pointer(pointer)?.as_array()).flatten();
    statuses.into_iter().find_map(of_container).or_else(|| unscheduled(pod, name))
}

fn unscheduled(pod: &Value, name: &str) -> Option<String> {
    let conditions = pod.pointer("/status/conditions")?.as_array()?;
    let condition = conditions.iter().find(|condition| {
        text(condition, "/type") == "PodScheduled" && text(condition, "/status") == "False"
    })?;
    Some(format!("pod {name} has no node: {}", brief(text(condition, "/message"))))
}

fn of_event(event: &Value) -> String {
    format!("{}: {}", text(event, "/reason"), brief(text(event, "/message")))
}

fn text<'v>(value: &'v Value, pointer: &str) -> &'v str {
    value.pointer(pointer).and_then(Value::as_str).unwrap_or_default()
}

/// The first line, and not too much of it.
fn brief(message: &str) -> String {
    message.lines().next().unwrap_or_default().chars().take(200).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn a_pod_tells_its_container_or_why_it_has_no_node() {
        let stuck = json!({ "metadata": { "name": "web-1" }, "status": { "containerStatuses": [
            { "name": "web", "state": { "waiting": { "reason": "ImagePullBackOff", "message": "no such image\nmore" } } } ] } });
        assert_eq!(
            of_pod(&stuck).unwrap(),
            "pod web-1, container web: ImagePullBackOff: no such image"
        );
        let homeless = json!({ "metadata": { "name": "web-2" }, "status": { "conditions": [
            { "type": "PodScheduled", "status": "False", "message": "0/3 nodes are available" } ] } });
        assert_eq!(of_pod(&homeless).unwrap(), "pod web-2 has no node: 0/3 nodes are available");
        let starting = json!({ "metadata": { "name": "web-3" }, "status": { "containerStatuses": [
            { "name": "web", "state": { "waiting": { "reason": "ContainerCreating" } } } ] } });
        assert_eq!(of_pod(&starting), None);
    }
}
