//! A small record of a site on the cluster: one ConfigMap beside its inventory, bound to the version that was read.

use serde::{Serialize, de::DeserializeOwned};
use serde_json::{Value, json};
use sitewright_model::{digest::canonical_json, name::SiteName};

use crate::{
    Error,
    client::http::{Failure, Http, Request, Verb},
    home::{self, NAMESPACE},
};

const COLLECTION: &str = "/api/v1/namespaces/sitewright-system/configmaps";

/// What a record is about.
#[derive(Clone, Copy)]
pub(crate) struct Record {
    /// What the ConfigMap's name ends with, and its label; behind a dot, since a site has none in its name.
    pub(crate) name: &'static str,
    /// The name and version of its form.
    pub(crate) format: &'static str,
}

impl Record {
    fn object(self, site: &SiteName) -> String {
        format!("sitewright-{site}.{}", self.name)
    }

    /// Returns what it is called in messages.
    pub(crate) fn what(self, site: &SiteName) -> String {
        format!("ConfigMap {NAMESPACE}/{}", self.object(site))
    }

    /// Reads it, with its resource version; none where there is none.
    ///
    /// # Errors
    /// The server does not answer, or it is damaged: it is never taken for empty.
    pub(crate) async fn load<T: DeserializeOwned>(
        self,
        http: &Http,
        site: &SiteName,
    ) -> Result<Option<(T, String)>, Error> {
        let what = self.what(site);
        let request = Request::get(format!("{COLLECTION}/{}", self.object(site)), what.clone());
        let body: Value = match http.send(request).await {
            Ok(answer) => answer.json()?,
            Err(Failure::Refused(refused)) if refused.is_not_found() => return Ok(None),
            Err(failure) => return Err(http.error(failure, Verb::Get, &what)),
        };
        let text = |key: &str| body.pointer("/data").and_then(|data| data.get(key)?.as_str());
        let unreadable = |why: String| Error::InventoryUnreadable { object: what.clone(), why };
        let format = text("format").unwrap_or_default();
        if format != self.format {
            return Err(unreadable(format!("its format is `{format}`, not `{}`", self.format)));
        }
        let content = serde_json::from_str(text("content").unwrap_or_default())
            .map_err(|error| unreadable(format!("`data.content` cannot be read: {error}")))?;
        let version = body.pointer("/metadata/resourceVersion").and_then(Value::as_str);
        Ok(Some((content, version.unwrap_or_default().to_owned())))
    }

    /// Writes it, bound to the version that was read; empty: it must not be there. Returns the new version.
    ///
    /// # Errors
    /// The server does not answer, or another wrote it.
    pub(crate) async fn write<T: Serialize + DeserializeOwned + PartialEq>(
        self,
        http: &Http,
        site: &SiteName,
        content: &T,
        version: &str,
    ) -> Result<String, Error> {
        let what = self.what(site);
        let text = serde_json::to_string(content).expect("our formats have text keys only");
        let mut metadata = json!({ "name": self.object(site), "namespace": NAMESPACE, "labels": {
            "app.kubernetes.io/managed-by": "sitewright" } });
        home::bind(&mut metadata, version);
        let body = canonical_json(&json!({ "apiVersion": "v1", "kind": "ConfigMap",
            "metadata": metadata, "data": { "format": self.format, "content": text } }));
        let (verb, request) = if version.is_empty() {
            (Verb::Create, Request::post(Verb::Create, COLLECTION.to_owned(), what.clone(), body))
        } else {
            let url = format!("{COLLECTION}/{}", self.object(site));
            (Verb::Update, Request::put(url, what.clone(), body))
        };
        match http.send(request).await {
            Ok(answer) => {
                let written: Value = answer.json()?;
                let version = written.pointer("/metadata/resourceVersion").and_then(Value::as_str);
                Ok(version.unwrap_or_default().to_owned())
            }
            Err(Failure::Refused(refused)) if refused.code == 409 => {
                match self.load::<T>(http, site).await? {
                    // our own write, whose answer was lost
                    Some((there, version)) if there == *content => Ok(version),
                    _ => Err(Error::InventoryRace { object: what }),
                }
            }
            Err(failure) => Err(http.error(failure, verb, &what)),
        }
    }
}
