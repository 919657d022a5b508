//! What was said of an object, kept in the inventory; and what only the server knows of a kind.

use std::collections::BTreeSet;

use sitewright_cluster::{apply::ObjectOutcome, observe::Depth};
use sitewright_model::{
    format::blueprint::{Hazard, HazardOn, HazardRule},
    inventory::{DeletionHazard, Said},
    object::GroupKind,
    plan::{Action, Gate},
};

use crate::site::{Site, apply, cluster, config_map, id, live, namespace, outcome, plan};

fn site_with(hazard: Option<Hazard>) -> Site {
    let rule = |is| HazardRule {
        kind: "ConfigMap".into(),
        name: None,
        on: HazardOn::Delete,
        is,
        because: "jobs read it".into(),
        hits: None,
    };
    Site::new("recorded")
        .component("stays", [config_map("recorded", "stays", "v")])
        .component("app", [config_map("recorded", "c", "v")])
        .with(|component| component.hazards = hazard.map(rule).into_iter().collect())
}

#[tokio::test]
async fn what_a_blueprint_says_is_recorded_once_without_a_request_and_outlives_it() {
    namespace("recorded");
    let map = config_map("recorded", "c", "v");
    apply(&site_with(None)).await;
    let site = site_with(Some(Hazard::DestroysData));
    let report = apply(&site).await;
    assert_eq!(outcome(&report, &map), ObjectOutcome::Recorded);
    assert_eq!((report.requests.apply, report.requests.dry_run), (0, 0), "{:?}", report.requests);
    let seen = cluster().await.observe(site.desired(), Depth::Full).await.unwrap();
    let because = "jobs read it".to_owned();
    let deletion = Some(DeletionHazard { is: Hazard::DestroysData, because: because.clone() });
    let said = seen.inventory.entries[&id(&map)].said.clone();
    assert_eq!(said, Some(Said { deletion, secret: BTreeSet::new() }));
    assert_eq!(apply(&site).await.requests.total(), 0);

    let without = Site::new("recorded").component("stays", [config_map("recorded", "stays", "v")]);
    let gone = plan(&without).await.change(&id(&map)).unwrap().clone();
    assert!(matches!(gone.action, Action::Delete { .. }), "{gone:?}");
    assert!(
        matches!(gone.gates.as_slice(), [Gate::Tombstone { because: why, .. }] if *why == because),
        "{gone:?}"
    );
    apply(&without).await;
    assert!(live(&map).is_some());
}

#[tokio::test]
async fn the_server_tells_which_kinds_live_outside_namespaces() {
    let cluster = cluster().await;
    let kind = |group: &str, kind: &str| GroupKind::new(group, kind);
    let kinds = BTreeSet::from([
        kind("rbac.authorization.k8s.io", "ClusterRole"),
        kind("apps", "Deployment"),
        kind("example.org", "NoSuchKind"),
    ]);
    let outside = cluster.outside_namespaces(&kinds).await.unwrap();
    assert_eq!(outside, BTreeSet::from([kind("rbac.authorization.k8s.io", "ClusterRole")]));
    let before = cluster.requests();
    assert_eq!(cluster.outside_namespaces(&BTreeSet::new()).await.unwrap(), BTreeSet::new());
    assert_eq!(cluster.requests().since(&before).total(), 0);
}
