//! Which kinds the server serves: aggregated discovery, two requests.

use std::collections::{BTreeMap, BTreeSet};

use kube::client::{APIGroupDiscovery, APIGroupDiscoveryList, APIResourceDiscovery};
use kube::core::discovery::v2::ACCEPT_AGGREGATED_DISCOVERY_V2;
use serde_json::Value;
use sitewright_model::{
    live::KindFacts,
    object::{GroupKind, ObjectId},
};

use crate::{
    Error,
    client::{
        http::{Http, Request},
        path::Resource,
    },
};

/// The kinds that a server serves.
#[derive(Clone, Debug, Default)]
pub(crate) struct Kinds {
    served: BTreeMap<GroupKind, Served>,
    /// Group versions whose server did not answer: nothing can be said of their kinds.
    stale: BTreeSet<(String, String)>,
}

/// One served kind.
#[derive(Clone, Debug)]
pub(crate) struct Served {
    /// The resource by version, the preferred version first.
    by_version: Vec<Resource>,
    /// Whether its objects can be listed: some kinds are only requests, such as TokenReview.
    listable: bool,
}

impl Kinds {
    /// Asks the server.
    pub(crate) async fn discover(http: &Http) -> Result<Self, Error> {
        let mut kinds = Self::default();
        for path in ["/api", "/apis"] {
            let request =
                Request::get(path, "the served kinds").accept(ACCEPT_AGGREGATED_DISCOVERY_V2);
            let list = read_list(path, http.ask(request).await?.json()?)?;
            list.items.iter().for_each(|group| kinds.read_group(group));
        }
        Ok(kinds)
    }

    fn read_group(&mut self, group: &APIGroupDiscovery) {
        let name = group.metadata.as_ref().and_then(|metadata| metadata.name.clone());
        let name = name.unwrap_or_default();
        for version in &group.versions {
            let Some(number) = &version.version else { continue };
            if version.freshness.as_deref() == Some("Stale") {
                self.stale.insert((name.clone(), number.clone()));
            }
            for resource in &version.resources {
                self.read_resource(&name, number, resource);
            }
        }
    }

    fn read_resource(&mut self, group: &str, version: &str, resource: &APIResourceDiscovery) {
        let kind = resource.response_kind.as_ref().and_then(|kind| kind.kind.clone());
        let (Some(kind), Some(plural)) = (kind, resource.resource.clone()) else { return };
        let found = Resource {
            group: group.to_owned(),
            version: version.to_owned(),
            kind: kind.clone(),
            plural,
            namespaced: resource.scope.as_deref() == Some("Namespaced"),
        };
        let listable = resource.verbs.iter().any(|verb| verb == "list");
        self.served
            .entry(GroupKind::new(group, kind))
            .and_modify(|served| served.by_version.push(found.clone()))
            .or_insert_with(|| Served { by_version: vec![found], listable });
    }

    /// Returns where objects of `kind` are found in `version`; in the preferred one where that is not served.
    pub(crate) fn any(&self, kind: &GroupKind, version: &str) -> Option<&Resource> {
        let served = self.served.get(kind)?;
        self.exactly(kind, version).or_else(|| served.by_version.first())
    }

    /// Returns where objects of `kind` are found in `version`.
    pub(crate) fn exactly(&self, kind: &GroupKind, version: &str) -> Option<&Resource> {
        let served = self.served.get(kind)?;
        served.by_version.iter().find(|resource| resource.version == version)
    }

    /// Returns where objects of `kind` are found in its preferred version.
    pub(crate) fn preferred(&self, kind: &GroupKind) -> Option<&Resource> {
        self.served.get(kind)?.by_version.first()
    }

    /// Returns whether objects of `kind` can be listed.
    pub(crate) fn is_listable(&self, kind: &GroupKind) -> bool {
        self.served.get(kind).is_some_and(|served| served.listable)
    }

    /// Returns an error where `kind` is not served and the server of any version of its group did not
    /// answer: it must not be taken for gone.
    pub(crate) fn expect_fresh(&self, kind: &GroupKind) -> Result<(), Error> {
        let silent = self.stale.iter().find(|(group, _)| *group == kind.group);
        match silent.filter(|_| !self.served.contains_key(kind)) {
            None => Ok(()),
            Some((group, version)) => {
                Err(Error::PartialDiscovery { group_version: format!("{group}/{version}") })
            }
        }
    }

    /// Returns the group versions whose server did not answer.
    pub(crate) fn stale(&self) -> Vec<String> {
        self.stale.iter().map(|(group, version)| format!("{group}/{version}")).collect()
    }

    /// Returns what the plan is told of `kind`; `coming` is the desired CRD that brings it, and its scope.
    pub(crate) fn facts(&self, kind: &GroupKind, coming: Option<(&ObjectId, bool)>) -> KindFacts {
        match (self.served.get(kind), coming) {
            (Some(served), _) => KindFacts::Served {
                versions: served.by_version.iter().map(|found| found.version.clone()).collect(),
                namespaced: served.by_version.iter().any(|found| found.namespaced),
            },
            (None, Some((crd, namespaced))) => KindFacts::Coming { crd: crd.clone(), namespaced },
            (None, None) => KindFacts::Unknown,
        }
    }
}

/// An old proxy in between may answer with the legacy form, whose fields are others: read as the new
/// one, it says that nothing is served.
fn read_list(path: &str, answer: Value) -> Result<APIGroupDiscoveryList, Error> {
    let bad = |why: String| Error::BadAnswer {
        verb: "get".into(),
        resource: format!("the served kinds ({path})"),
        why,
    };
    match answer.get("kind").and_then(Value::as_str) {
        Some("APIGroupDiscoveryList") => {
            serde_json::from_value(answer).map_err(|error| bad(error.to_string()))
        }
        other => Err(bad(format!(
            "it is of kind `{}`, not `APIGroupDiscoveryList`; does a proxy change the `Accept` header?",
            other.unwrap_or_default()
        ))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn kinds(list: serde_json::Value) -> Kinds {
        let list: APIGroupDiscoveryList = serde_json::from_value(list).unwrap();
        let mut kinds = Kinds::default();
        list.items.iter().for_each(|group| kinds.read_group(group));
        kinds
    }

    #[test]
    fn versions_are_in_the_servers_order_of_preference() {
        let resource = |version: &str| {
            json!({ "resource": "horizontalpodautoscalers", "scope": "Namespaced", "verbs": ["list"],
                    "responseKind": { "group": "autoscaling", "version": version, "kind": "HorizontalPodAutoscaler" } })
        };
        let kinds = kinds(json!({ "items": [{ "metadata": { "name": "autoscaling" }, "versions": [
            { "version": "v2", "resources": [resource("v2")] },
            { "version": "v1", "resources": [resource("v1")] },
        ] }] }));
        let kind = GroupKind::new("autoscaling", "HorizontalPodAutoscaler");
        assert_eq!(kinds.preferred(&kind).unwrap().version, "v2");
        assert_eq!(kinds.any(&kind, "v1").unwrap().version, "v1");
        assert_eq!(kinds.any(&kind, "v2beta2").unwrap().version, "v2");
        assert!(kinds.exactly(&kind, "v2beta2").is_none());
    }

    #[test]
    fn a_kind_of_a_dead_aggregated_api_is_not_taken_for_gone() {
        let kinds =
            kinds(json!({ "items": [{ "metadata": { "name": "metrics.k8s.io" }, "versions": [
            { "version": "v1", "resources": [] },
            { "version": "v1beta1", "freshness": "Stale", "resources": [] }
        ] }] }));
        assert!(kinds.expect_fresh(&GroupKind::new("metrics.k8s.io", "NodeMetrics")).is_err());
        assert!(kinds.expect_fresh(&GroupKind::new("x.io", "Y")).is_ok());
    }

    #[test]
    fn the_legacy_form_is_not_read_as_nothing() {
        let legacy =
            json!({ "kind": "APIGroupList", "apiVersion": "v1", "groups": [{ "name": "apps" }] });
        let error = read_list("/apis", legacy).unwrap_err();
        assert!(error.to_string().contains("APIGroupList"), "{error}");
        let new = json!({ "kind": "APIGroupDiscoveryList", "items": [] });
        assert!(read_list("/apis", new).is_ok());
    }
}
