//! What the server's dry run says, read from a real server.

use serde_json::{Value, json};
use sitewright_cluster::observe::Depth;
use sitewright_model::{
    live::{Deferred, Judgement, Live, Observation, Refusal},
    object::ObjectId,
};

use crate::site::{Site, cluster, config_map, control_plane, id, namespace};

async fn observe(site: &Site) -> Live {
    cluster().await.observe(site.desired(), Depth::Full).await.unwrap()
}

fn judgement<'l>(live: &'l Live, id: &ObjectId) -> &'l Judgement {
    match &live.objects[id] {
        Observation::Absent(judgement) => judgement,
        Observation::Present(live) => &live.judgement,
        Observation::Settled => panic!("{id} is settled"),
        Observation::Unseen(why) => panic!("{id} was not seen: {why}"),
    }
}

async fn judge(site: &str, body: Value) -> Judgement {
    let id = id(&body);
    let site = Site::new(site).component("app", [body]);
    judgement(&observe(&site).await, &id).clone()
}

fn kubectl_apply(body: &Value) {
    let body = serde_json::to_vec(body).unwrap();
    control_plane().kubectl_with(&["apply", "--server-side", "-f", "-"], &body).unwrap();
}

fn deployment(namespace: &str, selector: &str, replicas: i64) -> Value {
    json!({ "apiVersion": "apps/v1", "kind": "Deployment",
        "metadata": { "name": "web", "namespace": namespace },
        "spec": { "replicas": replicas, "selector": { "matchLabels": { "app": selector } },
            "template": { "metadata": { "labels": { "app": selector } },
                "spec": { "containers": [{ "name": "web", "image": "registry.example/web:1" }] } } } })
}

#[tokio::test]
async fn a_new_object_is_judged_with_its_defaults() {
    namespace("judged");
    let judgement = judge("judged", deployment("judged", "a", 0)).await;
    let Judgement::Accepted(object) = judgement else { panic!("{judgement:?}") };
    assert_eq!(object.expose()["spec"]["progressDeadlineSeconds"], 600);
    assert!(object.expose()["metadata"].get("managedFields").is_none());
}

#[tokio::test]
async fn an_unknown_field_is_invalid_at_once() {
    namespace("unknown-field");
    let mut body = deployment("unknown-field", "a", 0);
    body["spec"]["replicsa"] = 3.into();
    let cluster = cluster().await;
    let site = Site::new("unknown-field").component("app", [body.clone()]);
    let live = cluster.observe(site.desired(), Depth::Full).await.unwrap();
    let Judgement::Refused(Refusal::Invalid(causes)) = judgement(&live, &id(&body)) else {
        panic!("{:?}", judgement(&live, &id(&body)))
    };
    assert_eq!(causes[0].field, "spec.replicsa", "{causes:?}");
    assert_eq!(cluster.requests().retries, 0);
}

#[tokio::test]
async fn a_namespace_that_comes_with_the_site_defers() {
    let body = config_map("coming", "c", "v");
    let namespace =
        json!({ "apiVersion": "v1", "kind": "Namespace", "metadata": { "name": "coming" } });
    let site = Site::new("coming").component("app", [namespace, body.clone()]);
    let live = observe(&site).await;
    let deferred = judgement(&live, &id(&body));
    assert!(matches!(deferred, Judgement::Deferred(Deferred::NamespaceIsComing)), "{deferred:?}");
}

#[tokio::test]
async fn a_namespace_that_nobody_makes_is_refused() {
    let judgement = judge("no-namespace", config_map("nowhere", "c", "v")).await;
    let Judgement::Refused(Refusal::Invalid(causes)) = judgement else { panic!("{judgement:?}") };
    assert!(causes[0].message.contains("nowhere"), "{causes:?}");
}

#[tokio::test]
async fn a_kind_that_nobody_serves_is_refused() {
    let body =
        json!({ "apiVersion": "nobody.example/v1", "kind": "Thing", "metadata": { "name": "t" } });
    let judgement = judge("no-kind", body).await;
    assert!(matches!(judgement, Judgement::Refused(Refusal::NoSuchKind)), "{judgement:?}");
}

#[tokio::test]
async fn an_immutable_field_is_proven_by_a_new_object() {
    namespace("immutable");
    kubectl_apply(&deployment("immutable", "a", 0));
    let judgement = judge("immutable", deployment("immutable", "b", 0)).await;
    let Judgement::Refused(Refusal::Immutable { causes, replacement }) = judgement else {
        panic!("{judgement:?}")
    };
    assert_eq!(causes[0].field, "spec.selector");
    assert_eq!(replacement, Ok(()));
}

#[tokio::test]
async fn an_invalid_value_beside_an_immutable_field_is_invalid() {
    namespace("both");
    kubectl_apply(&deployment("both", "a", 0));
    let judgement = judge("both", deployment("both", "b", -1)).await;
    assert!(matches!(judgement, Judgement::Refused(Refusal::Invalid(_))), "{judgement:?}");
}

#[tokio::test]
async fn immutable_fields_of_many_kinds_are_seen() {
    namespace("frozen");
    let before_and_after = [
        (
            json!({ "apiVersion": "v1", "kind": "ConfigMap", "metadata": { "name": "c", "namespace": "frozen" },
                    "immutable": true, "data": { "a": "1" } }),
            ("/data/a", json!("2")),
        ),
        (
            json!({ "apiVersion": "v1", "kind": "Secret", "metadata": { "name": "s", "namespace": "frozen" },
                    "type": "Opaque" }),
            ("/type", json!("example.org/other")),
        ),
        (
            json!({ "apiVersion": "v1", "kind": "Service", "metadata": { "name": "s", "namespace": "frozen" },
                    "spec": { "clusterIP": "10.96.12.34", "ports": [{ "port": 80 }] } }),
            ("/spec/clusterIP", json!("10.96.12.35")),
        ),
        (
            json!({ "apiVersion": "v1", "kind": "PersistentVolumeClaim", "metadata": { "name": "p", "namespace": "frozen" },
                    "spec": { "accessModes": ["ReadWriteOnce"], "storageClassName": "a", "resources": { "requests": { "storage": "1Gi" } } } }),
            ("/spec/storageClassName", json!("b")),
        ),
        (
            json!({ "apiVersion": "batch/v1", "kind": "Job", "metadata": { "name": "j", "namespace": "frozen" },
                    "spec": { "suspend": false, "template": { "spec": { "restartPolicy": "Never", "containers": [{ "name": "c", "image": "i:1" }] } } } }),
            ("/spec/template/spec/containers/0/image", json!("i:2")),
        ),
        (
            json!({ "apiVersion": "apps/v1", "kind": "StatefulSet", "metadata": { "name": "s", "namespace": "frozen" },
                    "spec": { "replicas": 0, "serviceName": "a", "selector": { "matchLabels": { "a": "b" } },
                        "template": { "metadata": { "labels": { "a": "b" } }, "spec": { "containers": [{ "name": "c", "image": "i:1" }] } } } }),
            ("/spec/serviceName", json!("b")),
        ),
        (
            json!({ "apiVersion": "storage.k8s.io/v1", "kind": "StorageClass", "metadata": { "name": "frozen" },
                    "provisioner": "a.example" }),
            ("/provisioner", json!("b.example")),
        ),
        (
            json!({ "apiVersion": "rbac.authorization.k8s.io/v1", "kind": "ClusterRoleBinding", "metadata": { "name": "frozen" },
                    "roleRef": { "apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": "a" } }),
            ("/roleRef/name", json!("b")),
        ),
        (
            json!({ "apiVersion": "scheduling.k8s.io/v1", "kind": "PriorityClass", "metadata": { "name": "frozen" }, "value": 1 }),
            ("/value", json!(2)),
        ),
        (
            json!({ "apiVersion": "apiextensions.k8s.io/v1", "kind": "CustomResourceDefinition", "metadata": { "name": "things.frozen.example" },
                    "spec": { "group": "frozen.example", "scope": "Namespaced", "names": { "plural": "things", "kind": "Thing" },
                        "versions": [{ "name": "v1", "served": true, "storage": true, "schema": { "openAPIV3Schema": { "type": "object" } } }] } }),
            ("/spec/scope", json!("Cluster")),
        ),
    ];
    for (before, (pointer, value)) in before_and_after {
        kubectl_apply(&before);
        let mut after = before.clone();
        *after.pointer_mut(pointer).unwrap() = value;
        let judgement = judge("frozen", after).await;
        let proven = matches!(
            &judgement,
            Judgement::Refused(Refusal::Immutable { replacement: Ok(()), .. })
        );
        assert!(proven, "{}: {judgement:?}", before["kind"]);
    }
}

#[tokio::test]
async fn a_conflict_names_the_other_manager() {
    namespace("conflict");
    let body = serde_json::to_vec(&deployment("conflict", "a", 2)).unwrap();
    let arguments = ["apply", "--server-side", "--field-manager=autoscaler", "-f", "-"];
    control_plane().kubectl_with(&arguments, &body).unwrap();
    let judgement = judge("conflict", deployment("conflict", "a", 0)).await;
    let Judgement::Refused(Refusal::Conflict(conflicts)) = judgement else {
        panic!("{judgement:?}")
    };
    assert_eq!(conflicts[0].manager, "autoscaler");
}

#[tokio::test]
async fn what_a_server_says_of_a_secret_is_not_repeated() {
    namespace("shy");
    let body = json!({ "apiVersion": "v1", "kind": "Secret",
        "metadata": { "name": "s", "namespace": "shy" }, "data": { "a": "canary!" } });
    let judgement = judge("shy", body).await;
    assert!(matches!(judgement, Judgement::Refused(Refusal::Invalid(_))), "{judgement:?}");
    assert!(!format!("{judgement:?}").contains("canary"), "{judgement:?}");
}

#[tokio::test]
async fn a_plan_without_rights_names_the_right() {
    let plane = control_plane();
    let kubeconfig = plane.kubeconfig_for("nobody", &["nobodies"]).unwrap();
    let connection =
        sitewright_cluster::Connection { kubeconfig: Some(kubeconfig), ..Default::default() };
    let error = sitewright_cluster::Cluster::connect(&connection).await.unwrap_err();
    assert_eq!(error.code().number, 606, "{error}");
    assert!(error.to_string().contains("namespace kube-system"), "{error}");
}

#[tokio::test]
async fn a_cluster_that_is_not_there_is_said_so_within_seconds() {
    let folder = control_plane().folder().join("nowhere.kubeconfig");
    let config = json!({ "apiVersion": "v1", "kind": "Config", "current-context": "n",
        "contexts": [{ "name": "n", "context": { "cluster": "n", "user": "n" } }],
        "clusters": [{ "name": "n", "cluster": { "server": "https://127.0.0.1:1" } }],
        "users": [{ "name": "n", "user": {} }] });
    std::fs::write(&folder, config.to_string()).unwrap();
    let connect = |context: Option<&str>| {
        let connection = sitewright_cluster::Connection {
            kubeconfig: Some(folder.clone()),
            context: context.map(str::to_owned),
            ..Default::default()
        };
        async move { sitewright_cluster::Cluster::connect(&connection).await.unwrap_err() }
    };
    let error = connect(None).await;
    assert_eq!(error.code().number, 601, "{error}");
    assert!(error.to_string().contains("refused"), "{error}");
    assert_eq!(connect(Some("other")).await.code().number, 603);
}
