//! The kind SiteSync on a real server: what it takes, what it refuses, how it reads.

use serde_json::{Value, json};
use sitewright_cluster::sync::{Change, Condition, SiteSyncStatus, SyncKey, definition};

use crate::site::{cluster, control_plane, namespace};

fn install() {
    let definition = serde_json::to_vec(&definition()).unwrap();
    control_plane().kubectl_with(&["apply", "--server-side", "-f", "-"], &definition).unwrap();
    let established = ["wait", "--for=condition=Established", "crd/sitesyncs.sitewright.dev"];
    control_plane().kubectl(&established).unwrap();
}

fn sync(name: &str, spec: &Value) -> Result<String, String> {
    sync_in("syncs", name, spec)
}

fn sync_in(namespace: &str, name: &str, spec: &Value) -> Result<String, String> {
    let body = json!({ "apiVersion": "sitewright.dev/v1alpha1", "kind": "SiteSync",
        "metadata": { "name": name, "namespace": namespace }, "spec": spec });
    let body = serde_json::to_vec(&body).unwrap();
    let arguments = ["create", "--dry-run=server", "-f", "-"];
    control_plane().kubectl_with(&arguments, &body).map_err(|error| format!("{error:#}"))
}

fn spec(change: impl FnOnce(&mut Value)) -> Value {
    let mut spec = json!({ "source": { "url": "https://git.example.edu/lab/site.git", "ref": "main",
        "path": "sites/lab", "interval": "60s", "secretRef": { "name": "login" } } });
    change(&mut spec);
    spec
}

/// A change of a spec that the server must refuse.
type Wrong = fn(&mut Value);

#[tokio::test]
async fn the_server_takes_a_sync_shows_its_status_and_refuses_nonsense() {
    install();
    namespace("syncs");
    sync("good", &spec(|_| {})).unwrap();
    sync("ssh", &spec(|spec| spec["source"]["url"] = "ssh://git@h/lab.git".into())).unwrap();
    let wrong: [(&str, Wrong); 9] = [
        ("credentials", |spec| spec["source"]["url"] = "https://u:p@h/lab.git".into()),
        ("an https, http or ssh address", |spec| spec["source"]["url"] = "file:///srv/x".into()),
        ("a path within", |spec| spec["source"]["path"] = "../other".into()),
        ("at least 5s", |spec| spec["source"]["interval"] = "1s".into()),
        ("at least 10s", |spec| spec["resync"] = "1s".into()),
        ("unknown field", |spec| spec["sourc"] = json!({})),
        ("Unsupported value", |spec| spec["drift"] = "mend".into()),
        ("service account", |spec| spec["serviceAccountName"] = "Not One".into()),
        ("spec.source: Required", |spec| *spec = json!({})),
    ];
    for (expected, change) in wrong {
        let error = sync("wrong", &spec(change)).expect_err(expected);
        assert!(error.contains(expected), "{expected}: {error}");
    }
}

#[tokio::test]
async fn the_server_takes_notifications_that_can_be_and_no_others() {
    install();
    namespace("told-syncs");
    let sync = |name: &str, spec: &Value| sync_in("told-syncs", name, spec);
    let with = |notifications: Value| spec(|spec| spec["notifications"] = notifications);
    let chat = json!({ "name": "chat", "slack": { "urlSecretRef": { "name": "chat" } },
        "events": ["Failed", "Held"] });
    let commits = json!({ "name": "commits", "commitStatus": { "forge": "gitlab",
        "url": "https://git.example.edu/api/v4", "repository": "lab/group/site",
        "targetUrl": "https://grafana.example.edu/d/1", "secretRef": { "name": "forge" } } });
    let events = json!({ "name": "events", "cloudEvents": {
        "url": "https://events.example.edu/x?y=z", "secretRef": { "name": "signing" } } });
    sync("told", &with(json!([chat, commits, events]))).unwrap();
    let changed = |whole: &Value, pointer: &str, value: Value| {
        let mut whole = whole.clone();
        *whole.pointer_mut(pointer).unwrap() = value;
        whole
    };
    let both =
        json!({ "name": "both", "slack": chat["slack"], "cloudEvents": events["cloudEvents"] });
    let chosen = json!({ "name": "chosen", "commitStatus": commits["commitStatus"],
        "events": ["Failed"] });
    let nowhere = json!({ "name": "nowhere", "cloudEvents": {} });
    let wrong = [
        ("exactly one of", json!([{ "name": "none" }])),
        ("exactly one of", json!([both])),
        ("no choice of events", json!([chosen])),
        ("one of url and urlSecretRef", json!([nowhere])),
        ("Duplicate value", json!([chat, chat])),
        (
            "without credentials",
            json!([changed(&events, "/cloudEvents/url", "https://u:p@h/".into())]),
        ),
        (
            "without credentials",
            json!([changed(&commits, "/commitStatus/url", "https://h/?x=1".into())]),
        ),
        ("owner/name", json!([changed(&commits, "/commitStatus/repository", "../x".into())])),
        (
            "Unsupported value",
            json!([changed(&commits, "/commitStatus/forge", "sourcehut".into())]),
        ),
        ("Unsupported value", json!([changed(&chat, "/events/0", "Everything".into())])),
        ("lower case letters", json!([changed(&chat, "/name", "The Chat".into())])),
    ];
    for (expected, notifications) in wrong {
        let error = sync("wrong", &with(notifications)).expect_err(expected);
        assert!(error.contains(expected), "{expected}: {error}");
    }
}

#[tokio::test]
async fn a_sync_is_followed_and_its_status_reads_like_a_dashboard() {
    install();
    namespace("followed-sync");
    let cluster = cluster().await;
    let mut syncs = cluster.syncs(Some("followed-sync"));
    assert!(matches!(syncs.next().await, Ok(Change::All(keys)) if keys.is_empty()));
    let body = json!({ "apiVersion": "sitewright.dev/v1alpha1", "kind": "SiteSync",
        "metadata": { "name": "lab", "namespace": "followed-sync" }, "spec": spec(|_| {}) });
    let text = serde_json::to_vec(&body).unwrap();
    control_plane().kubectl_with(&["create", "-f", "-"], &text).unwrap();
    let Ok(Change::Set(seen)) = syncs.next().await else { panic!("it is new") };
    assert_eq!(seen.spec.source.reference.as_deref(), Some("main"));
    let key = SyncKey { namespace: "followed-sync".into(), name: "lab".into() };
    let status = SiteSyncStatus {
        observed_generation: Some(1),
        state: "Ready".into(),
        held_changes: 2,
        conditions: vec![Condition {
            kind: "Ready".into(),
            status: "True".into(),
            reason: "Applied".into(),
            message: "main@1f3c9e2a01bc is applied and healthy".into(),
            observed_generation: Some(1),
            last_transition_time: "2026-11-25T00:00:00Z".into(),
        }],
        ..SiteSyncStatus::default()
    };
    cluster.write_status(&key, &status).await.unwrap();
    let Ok(Change::Set(seen)) = syncs.next().await else { panic!("it changed") };
    assert_eq!(seen.status.as_ref(), Some(&status));
    let table = control_plane().kubectl(&["get", "sitesyncs", "-n", "followed-sync"]).unwrap();
    for part in ["READY", "HELD", "DRIFTED", "True", "Ready", "main@1f3c9e2a01bc is applied"] {
        assert!(table.contains(part), "{table}");
    }
    cluster.teller(&seen).tell("Held", true, "one change is held").await;
    let events = control_plane().kubectl(&["get", "events", "-n", "followed-sync"]).unwrap();
    assert!(events.contains("one change is held"), "{events}");
    control_plane().kubectl(&["delete", "sitesync", "lab", "-n", "followed-sync"]).unwrap();
    assert!(matches!(syncs.next().await, Ok(Change::Gone(gone)) if gone == key));
    assert!(cluster.secret(&key, "login").await.unwrap().is_none());
}

#[tokio::test]
async fn one_leads_and_the_next_takes_over_when_it_lets_go() {
    let (first, second) = (cluster().await, cluster().await);
    let leadership = first.lead(Some("takes-over"), |_| {}).await.unwrap();
    let mut told = Vec::new();
    let waiting = second.lead(Some("takes-over"), |holder| told.push(holder.to_owned()));
    let release = async {
        tokio::time::sleep(std::time::Duration::from_secs(20)).await;
        leadership.release().await.unwrap();
    };
    let (next, ()) = tokio::join!(waiting, release);
    next.unwrap().release().await.unwrap();
    assert_eq!(told.len(), 1, "{told:?}");
    assert!(told[0].starts_with("process "), "{told:?}");
}
