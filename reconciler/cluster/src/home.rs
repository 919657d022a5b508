//! The namespace where Sitewright keeps what is its own: inventories and locks.

use serde_json::{Value, json};
use sitewright_model::digest::canonical_json;

use crate::{
    Error,
    client::http::{Failure, Http, Request, Verb},
};

/// Where Sitewright keeps what is its own.
pub(crate) const NAMESPACE: &str = "sitewright-system";

/// Makes the namespace where it is missing.
pub(crate) async fn make(http: &Http) -> Result<(), Error> {
    let body = json!({ "apiVersion": "v1", "kind": "Namespace", "metadata": { "name": NAMESPACE,
        "labels": { "app.kubernetes.io/managed-by": "sitewright" } } });
    let what = format!("namespace {NAMESPACE}");
    let url = "/api/v1/namespaces".to_owned();
    let request = Request::post(Verb::Create, url, what.clone(), canonical_json(&body));
    match http.send(request).await {
        Ok(_) => Ok(()),
        Err(Failure::Refused(refused)) if refused.reason == "AlreadyExists" => Ok(()),
        // an agent with the least rights may not make it, and need not: it was installed there
        Err(Failure::Refused(refused)) if refused.code == 403 => Ok(()),
        Err(failure) => Err(http.error(failure, Verb::Create, &what)),
    }
}

/// Binds a write to the version that was read; a new object has none.
pub(crate) fn bind(metadata: &mut Value, version: &str) {
    if let Some(map) = metadata.as_object_mut().filter(|_| !version.is_empty()) {
        map.insert("resourceVersion".into(), version.into());
    }
}
