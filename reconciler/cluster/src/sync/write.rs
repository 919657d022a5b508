//! The status of a SiteSync, written only where it changed.

use serde_json::json;
use sitewright_model::digest::canonical_json;

use super::{SiteSyncStatus, SyncKey};
use crate::{
    Cluster, Error,
    client::http::{Request, Verb},
};

/// The field manager of the status: no other writes it.
const MANAGER: &str = "sitewright-agent";

impl Cluster {
    /// Writes the status of a SiteSync, whole, by server-side apply.
    ///
    /// # Errors
    /// The server does not answer or refuses; [`Error::Refused`] where it is gone.
    #[tracing::instrument(target = "sitewright::trace", name = "status", skip_all)]
    pub async fn write_status(&self, key: &SyncKey, status: &SiteSyncStatus) -> Result<(), Error> {
        let SyncKey { namespace, name } = key;
        let body = json!({
            "apiVersion": "sitewright.dev/v1alpha1",
            "kind": "SiteSync",
            "metadata": { "name": name, "namespace": namespace },
            "status": status,
        });
        let url = format!(
            "/apis/sitewright.dev/v1alpha1/namespaces/{namespace}/sitesyncs/{name}/status\
             ?fieldManager={MANAGER}&force=true"
        );
        let what = format!("the status of SiteSync {key}");
        let request = Request::apply(Verb::Apply, url, what, canonical_json(&body));
        self.http.ask(request).await.map(drop)
    }
}
