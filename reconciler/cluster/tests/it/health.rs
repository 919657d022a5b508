//! Health as a real server tells it.

use serde_json::json;
use sitewright_cluster::observe::Depth;
use sitewright_model::health::Health;

use crate::site::{Site, apply_on, cluster, config_map, control_plane, namespace};

#[tokio::test]
async fn status_tells_what_is_there_and_why_the_rest_is_not_ready() {
    namespace("status");
    // more than the quota allows: the controller cannot make a pod, and only an event says so
    control_plane().kubectl(&["create", "quota", "none", "-n", "status", "--hard=pods=0"]).unwrap();
    let settings = config_map("status", "settings", "v");
    let gone = config_map("status", "gone", "v");
    let set = json!({ "apiVersion": "apps/v1", "kind": "StatefulSet",
        "metadata": { "name": "web", "namespace": "status" },
        "spec": { "replicas": 1, "serviceName": "web", "selector": { "matchLabels": { "app": "web" } },
            "template": { "metadata": { "labels": { "app": "web" } },
                "spec": { "containers": [{ "name": "web", "image": "registry.example/web:1" }] } } } });
    let site = Site::new("status").component("app", [settings, gone, set]);
    let options = sitewright_cluster::apply::Options {
        longest_wait: Some(std::time::Duration::from_secs(6)),
        ..Default::default()
    };
    let cluster = cluster().await;
    let report = apply_on(&cluster, &site, options).await.unwrap();
    let set = report.components[0].objects.iter().find(|object| object.id.name == "web").unwrap();
    assert!(set.reasons.iter().any(|reason| reason.contains("exceeded quota")), "{set:#?}");
    control_plane().kubectl(&["delete", "configmap", "gone", "-n", "status"]).unwrap();
    let live = cluster.observe(site.desired(), Depth::SkipCreates).await.unwrap();
    let all = cluster.status(site.desired(), &live).await.unwrap();
    let of = |name: &str| all.iter().find(|health| health.id.name == name).unwrap();
    assert_eq!(of("settings").health, Health::Current);
    assert_eq!(of("gone").health, Health::Missing);
    assert!(matches!(of("web").health, Health::InProgress { .. }), "{:?}", of("web"));
    assert!(
        of("web").reasons.iter().any(|reason| reason.contains("exceeded quota")),
        "{:?}",
        of("web")
    );
}

#[tokio::test]
async fn a_deletion_that_hangs_tells_who_serves_the_finalizer_and_who_added_it() {
    namespace("detained");
    let site = Site::new("detained").component("app", [config_map("detained", "held", "v")]);
    apply_on(&cluster().await, &site, sitewright_cluster::apply::Options::default()).await.unwrap();
    let kubectl = |arguments: &[&str]| control_plane().kubectl(arguments).unwrap();
    let finalizers = |list: &str| {
        let patch = format!(r#"{{"metadata":{{"finalizers":{list}}}}}"#);
        let object = ["patch", "configmap", "held", "-n", "detained", "--type=merge", "-p", &patch];
        kubectl(&[object.as_slice(), &["--field-manager=hold-controller"]].concat());
    };
    finalizers(r#"["kubernetes.io/pvc-protection","example.org/hold"]"#);
    kubectl(&["delete", "configmap", "held", "-n", "detained", "--wait=false"]);
    let cluster = cluster().await;
    let live = cluster.observe(site.desired(), Depth::SkipCreates).await.unwrap();
    let all = cluster.status(site.desired(), &live).await.unwrap();
    finalizers("[]");
    let Health::Terminating { why } = &all[0].health else { panic!("{all:#?}") };
    let held = "held by finalizers kubernetes.io/pvc-protection (kube-controller-manager: until no \
                pod uses the claim) and example.org/hold (by its name, a controller of example.org; \
                added by hold-controller)";
    assert!(why.ends_with(held), "{why}");
}
