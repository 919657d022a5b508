//! The ledger on the cluster: a ConfigMap of one site, written before anything is held back (law 2).

use serde_json::{Value, json};
use sitewright_model::{
    digest::canonical_json,
    drain::{FORMAT, Ledger},
    name::SiteName,
};

use crate::{
    Error,
    client::http::{Failure, Http, Request, Verb},
    home::{self, NAMESPACE},
};

const COLLECTION: &str = "/api/v1/namespaces/sitewright-system/configmaps";

/// The ledger is no part of an inventory, so it has another label; a dot, since a site has none in its name.
fn name(site: &SiteName) -> String {
    format!("sitewright-{site}.drains")
}

pub(super) fn what(site: &SiteName) -> String {
    format!("ConfigMap {NAMESPACE}/{}", name(site))
}

/// Reads the ledger with its resource version; none where there is none.
pub(super) async fn load(http: &Http, site: &SiteName) -> Result<Option<(Ledger, String)>, Error> {
    let request = Request::get(format!("{COLLECTION}/{}", name(site)), what(site));
    let body: Value = match http.send(request).await {
        Ok(answer) => answer.json()?,
        Err(Failure::Refused(refused)) if refused.is_not_found() => return Ok(None),
        Err(failure) => return Err(http.error(failure, Verb::Get, &what(site))),
    };
    let text = |key: &str| body.pointer("/data").and_then(|data| data.get(key)?.as_str());
    let unreadable = |why: String| Error::InventoryUnreadable { object: what(site), why };
    match text("format") {
        Some(FORMAT) => {}
        other => {
            return Err(unreadable(format!(
                "its format is `{}`, not `{FORMAT}`",
                other.unwrap_or_default()
            )));
        }
    }
    let ledger = serde_json::from_str(text("ledger").unwrap_or_default())
        .map_err(|error| unreadable(format!("`data.ledger` cannot be read: {error}")))?;
    let version = body.pointer("/metadata/resourceVersion").and_then(Value::as_str);
    Ok(Some((ledger, version.unwrap_or_default().to_owned())))
}

/// Writes the ledger, bound to the version that was read; empty: it must not be there. Returns the new version.
pub(super) async fn write(
    http: &Http,
    site: &SiteName,
    ledger: &Ledger,
    version: &str,
) -> Result<String, Error> {
    let text = serde_json::to_string(ledger).expect("our formats have text keys only");
    let mut metadata = json!({ "name": name(site), "namespace": NAMESPACE, "labels": {
        "sitewright.dev/drains": site, "app.kubernetes.io/managed-by": "sitewright" } });
    home::bind(&mut metadata, version);
    let body = canonical_json(&json!({ "apiVersion": "v1", "kind": "ConfigMap",
        "metadata": metadata, "data": { "format": FORMAT, "ledger": text } }));
    let (verb, request) = if version.is_empty() {
        (Verb::Create, Request::post(Verb::Create, COLLECTION.to_owned(), what(site), body))
    } else {
        (Verb::Update, Request::put(format!("{COLLECTION}/{}", name(site)), what(site), body))
    };
    match http.send(request).await {
        Ok(answer) => {
            let written: Value = answer.json()?;
            let version = written.pointer("/metadata/resourceVersion").and_then(Value::as_str);
            Ok(version.unwrap_or_default().to_owned())
        }
        Err(Failure::Refused(refused)) if refused.code == 409 => match load(http, site).await? {
            // our own write, whose answer was lost
            Some((there, version)) if there == *ledger => Ok(version),
            _ => Err(Error::InventoryRace { object: what(site) }),
        },
        Err(failure) => Err(http.error(failure, verb, &what(site))),
    }
}
