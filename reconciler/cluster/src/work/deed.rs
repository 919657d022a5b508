//! One deed. Holding back is server-side apply under a field manager of its own, so that giving back takes away what it
//! added, and nothing that a person or another site set. Each is bound to the UID that the ledger names.

use std::time::Duration;

use serde_json::{Value, json};
use sitewright_model::{
    digest::canonical_json,
    drain::{Deed, HeldQueue},
    managed::drain_manager,
    name::SiteName,
};

use super::HELD_BY;
use crate::{
    Error,
    client::{
        http::{Failure, Http, Request, Verb},
        path::query,
        status::Refused,
    },
};

/// How long a disruption budget is asked.
const PATIENCE: Duration = Duration::from_secs(2);

/// Does one deed; one that is done already, or whose object is gone, is done.
pub(super) async fn run(http: &Http, site: &SiteName, deed: &Deed) -> Result<(), Error> {
    match deed {
        Deed::Cordon { node, uid } => {
            let metadata = json!({ "name": node, "uid": uid, "annotations": { HELD_BY: site } });
            let spec = json!({ "unschedulable": true });
            apply(http, site, of_node(node, metadata, Some(spec))).await
        }
        Deed::Uncordon { node, uid } => {
            apply(http, site, of_node(node, json!({ "name": node, "uid": uid }), None)).await
        }
        Deed::Stop { queue, held } => {
            let metadata =
                json!({ "name": queue, "uid": held.uid, "annotations": { HELD_BY: site } });
            let spec = json!({ "stopPolicy": "Hold" });
            apply(http, site, of_queue(queue, held, metadata, Some(spec))).await
        }
        Deed::Resume { queue, held } => {
            let metadata = json!({ "name": queue, "uid": held.uid });
            apply(http, site, of_queue(queue, held, metadata, None)).await
        }
        Deed::Label { node, uid, key, value } => label(http, site, node, uid, (key, value)).await,
        Deed::Evict { namespace, name, uid } => evict(http, namespace, name, uid).await,
        Deed::Restart { namespace, name, uid } => {
            let url = format!("/api/v1/namespaces/{namespace}/pods/{name}");
            let what = format!("Pod {namespace}/{name}");
            let options = canonical_json(&json!({ "preconditions": { "uid": uid } }));
            let request = Request::delete(url, what.clone(), options);
            done(http, http.send(request).await.map(drop), Verb::Delete, &what)
        }
    }
}

/// An object to apply: its path, its name for people, and its body.
type Applied = (String, String, Value);

fn of_node(name: &str, metadata: Value, spec: Option<Value>) -> Applied {
    let mut body = json!({ "apiVersion": "v1", "kind": "Node", "metadata": metadata });
    set(&mut body, spec);
    (format!("/api/v1/nodes/{name}"), format!("Node {name}"), body)
}

fn of_queue(name: &str, held: &HeldQueue, metadata: Value, spec: Option<Value>) -> Applied {
    let mut body =
        json!({ "apiVersion": held.api_version, "kind": "ClusterQueue", "metadata": metadata });
    set(&mut body, spec);
    let path = format!("/apis/{}/clusterqueues/{name}", held.api_version);
    (path, format!("ClusterQueue {name}"), body)
}

fn set(body: &mut Value, spec: Option<Value>) {
    if let (Some(map), Some(spec)) = (body.as_object_mut(), spec) {
        map.insert("spec".into(), spec);
    }
}

async fn apply(http: &Http, site: &SiteName, applied: Applied) -> Result<(), Error> {
    let (path, what, body) = applied;
    apply_as(http, &drain_manager(site), &path, &what, &body).await
}

async fn apply_as(
    http: &Http,
    manager: &str,
    path: &str,
    what: &str,
    body: &Value,
) -> Result<(), Error> {
    let url = query(path, [("fieldManager", manager), ("force", "true")]);
    let request = Request::apply(Verb::Apply, url, what.to_owned(), canonical_json(body)).pinned();
    done(http, http.send(request).await.map(drop), Verb::Apply, what)
}

/// The label stays after the wave, so it is not under the manager that gives back.
async fn label(
    http: &Http,
    site: &SiteName,
    node: &str,
    uid: &str,
    (key, value): (&str, &str),
) -> Result<(), Error> {
    let manager = format!("sitewright-wave/{site}/{key}");
    let manager: String = manager.chars().take(128).collect();
    let metadata = json!({ "name": node, "uid": uid, "labels": { key: value } });
    let (path, what, body) = of_node(node, metadata, None);
    apply_as(http, &manager, &path, &what, &body).await
}

async fn evict(http: &Http, namespace: &str, name: &str, uid: &str) -> Result<(), Error> {
    let url = format!("/api/v1/namespaces/{namespace}/pods/{name}/eviction");
    let what = format!("Pod {namespace}/{name}");
    let body = json!({ "apiVersion": "policy/v1", "kind": "Eviction",
        "metadata": { "name": name, "namespace": namespace },
        "deleteOptions": { "preconditions": { "uid": uid } } });
    let request = Request::post(Verb::Create, url, what.clone(), canonical_json(&body));
    match http.send(request.within(PATIENCE)).await {
        // a disruption budget, which the next look asks again
        Err(Failure::Refused(refused)) if refused.code == 429 => Err(Error::Refused {
            verb: "evict".into(),
            resource: what,
            why: refused.message.clone(),
        }),
        result => done(http, result.map(drop), Verb::Create, &what),
    }
}

/// Where the UID is another's, or nothing has that name, what was meant is gone.
fn done(http: &Http, result: Result<(), Failure>, verb: Verb, what: &str) -> Result<(), Error> {
    match result {
        Ok(()) => Ok(()),
        Err(Failure::Refused(refused)) if refused.is_not_found() || is_another(&refused) => Ok(()),
        Err(failure) => Err(http.error(failure, verb, what)),
    }
}

/// Returns whether a precondition on the UID failed, by the words of deletes and of applies.
fn is_another(refused: &Refused) -> bool {
    refused.code == 409 && refused.message.to_ascii_lowercase().contains("uid")
}
