//! What `install` prints: the API server takes it, and its rights are enough for the sites that it was printed for.

use std::{
    thread,
    time::{Duration, Instant},
};

use serde_json::Value;
use sitewright_e2e::{Lab, Running};

use crate::lineage::{answers_at, reader};

/// What a test waits for comes long before this.
const PATIENCE: Duration = Duration::from_secs(180);

const OBJECTS: &str = "
apiVersion: v1
kind: ConfigMap
metadata: { name: settings, namespace: '{ns}' }
data: { color: blue }
---
apiVersion: rbac.authorization.k8s.io/v1
kind: Role
metadata: { name: reader, namespace: '{ns}' }
rules: [{ apiGroups: [\"\"], resources: [secrets], verbs: [get] }]
---
apiVersion: rbac.authorization.k8s.io/v1
kind: RoleBinding
metadata: { name: reader, namespace: '{ns}' }
roleRef: { apiGroup: rbac.authorization.k8s.io, kind: Role, name: reader }
subjects: [{ kind: ServiceAccount, name: default, namespace: '{ns}' }]
---
apiVersion: apiextensions.k8s.io/v1
kind: CustomResourceDefinition
metadata: { name: boxes.install.example.org }
spec:
  group: install.example.org
  names: { kind: Box, plural: boxes, singular: box, listKind: BoxList }
  scope: Namespaced
  versions:
    - { name: v1, served: true, storage: true, schema: { openAPIV3Schema: { type: object, x-kubernetes-preserve-unknown-fields: true } } }
---
apiVersion: install.example.org/v1
kind: Box
metadata: { name: box, namespace: '{ns}' }
spec: { size: 3 }
";

/// The API server takes what has it ask the agent; the certificate is cert-manager's, which is not here.
fn asks_before_something_serves(lab: &Lab) {
    let asked = ["--lineage", "20Gi", "--lineage-settings", "--lineage-admission"];
    let printed = lab.run(&[&["install", ".", "--namespace", "installed"], &asked[..]].concat());
    assert_eq!(printed.code, 0, "{printed}");
    let (others, ours): (Vec<_>, Vec<_>) = printed
        .stdout
        .split("---\n")
        .partition(|text| text.contains("apiVersion: cert-manager.io"));
    assert_eq!(others.len(), 2, "{printed}");
    let webhook = "kind: ValidatingWebhookConfiguration";
    assert!(ours.iter().any(|text| text.contains(webhook)), "{printed}");
    let dry = ["apply", "--server-side", "--force-conflicts", "--dry-run=server", "-f", "-"];
    lab.kubectl_with(&dry, &ours.join("---\n"));
    let deployment = ours.iter().find(|text| text.contains("kind: Deployment")).unwrap();
    for argument in ["--lineage-settings=/etc/sitewright/lineage.yaml", "--lineage-admission-tls="]
    {
        assert!(deployment.contains(argument), "{deployment}");
    }
}

#[test]
fn the_rights_that_are_printed_for_a_site_are_enough_for_it_and_for_no_other() {
    let mut lab = Lab::new("installed");
    lab.component("app", OBJECTS);
    let printed = lab.run(&["install", ".", "--namespace", "installed", "--lineage", "20Gi"]);
    assert_eq!(printed.code, 0, "{printed}");
    assert!(!printed.stdout.contains("cluster-admin"), "{printed}");
    let apply = ["apply", "--server-side", "--force-conflicts", "-f", "-"];
    lab.kubectl_with(&apply, &printed.stdout);
    // nobody but who asks for metrics and webhooks is let in, and the agent is let out
    let policy = lab.live("networkpolicy", "sitewright-agent").expect("it was printed");
    assert_eq!(policy["spec"]["policyTypes"], serde_json::json!(["Ingress"]), "{policy:#}");
    let ports: Vec<&Value> = policy["spec"]["ingress"]
        .as_array()
        .unwrap()
        .iter()
        .map(|rule| &rule["ports"][0])
        .collect();
    assert_eq!((&ports[0]["port"], &ports[1]["port"]), (&8080.into(), &8081.into()), "{policy:#}");
    let deployment = lab.live("deployment", "sitewright-agent").expect("it was printed");
    let labels = &deployment["spec"]["template"]["metadata"]["labels"];
    for (key, value) in policy["spec"]["podSelector"]["matchLabels"].as_object().unwrap() {
        assert_eq!(labels.get(key), Some(value), "it selects the agent's pods");
    }
    let without = lab.run(&["install", ".", "--no-network-policy"]);
    assert!(!without.stdout.contains("NetworkPolicy"), "{without}");
    asks_before_something_serves(&lab);

    let account = "system:serviceaccount:installed:sitewright-agent";
    let groups = ["system:serviceaccounts", "system:serviceaccounts:installed"];
    let kubeconfig = lab.control_plane().kubeconfig_for(account, &groups).expect("a certificate");
    let run = lab.run_with(&["apply", "--yes"], |command| {
        command.env("KUBECONFIG", &kubeconfig);
    });
    assert_eq!(run.code, 0, "{run}");

    let claim = lab.live("pvc", "sitewright-agent-lineage").expect("it was printed");
    assert_eq!(claim["spec"]["resources"]["requests"]["storage"], "20Gi");
    let scratch = tempfile::tempdir().unwrap();
    let path = |name: &str| scratch.path().join(name).display().to_string();
    let (ledger, key) = (path("ledger"), path("lineage.key"));
    assert_eq!(lab.run(&["lineage", "key", "installed", "--to", &key]).code, 0);
    let recording =
        ["--lineage", &ledger, "--lineage-key", &key, "--lineage-listen", "127.0.0.1:0"];
    let agent = ["agent", "--site", ".", "--poll", "1h", "--log-format", "json"];
    let arguments = [agent.as_slice(), &recording].concat();
    let mut command = lab.command(&arguments);
    let agent = Running::start(command.env("KUBECONFIG", &kubeconfig));
    agent.handle().wait_to_say("NewRevision");
    let edit = r#"{"data":{"color":"red"}}"#;
    lab.kubectl(&["patch", "cm", "settings", "-n", "installed", "--type=merge", "-p", edit]);
    let deadline = Instant::now() + PATIENCE;
    let color = || lab.live("cm", "settings").map(|live| live["data"]["color"].clone());
    while color() != Some(Value::from("blue")) {
        assert!(Instant::now() < deadline, "it is not mended");
        thread::sleep(Duration::from_millis(100));
    }
    // its rights are enough to see everything that is recorded, and to find out who asks for it
    thread::sleep(Duration::from_secs(3));
    let (server, token) = (answers_at(&agent), reader(&lab, "installed", "auditor", true));
    let asked = lab.run(&["lineage", "gaps", "--ledger", &server, "--token-file", &token]);
    assert_eq!((asked.code, asked.stdout.as_str()), (0, ""), "{asked}");
    agent.handle().signal("TERM");
    agent.end();
    let gaps = lab.run(&["lineage", "gaps", "--ledger", &ledger]);
    assert_eq!((gaps.code, gaps.stdout.as_str()), (0, ""), "{gaps}");

    lab.component(
        "app",
        "apiVersion: v1\nkind: Secret\nmetadata: { name: more, namespace: '{ns}' }\n",
    );
    let run = lab.run_with(&["apply", "--yes"], |command| {
        command.env("KUBECONFIG", &kubeconfig);
    });
    assert_ne!(run.code, 0, "it has no right to Secrets: {run}");
    assert!(lab.live("secret", "more").is_none());
}

#[test]
fn rights_without_a_site_are_asked_for_by_name() {
    let lab = Lab::new("uninformed");
    let run = lab.run(&["install"]);
    assert_eq!(run.code, 1, "{run}");
    assert!(run.says("--broad"), "{run}");
    let broad = lab.run(&["install", "--broad", "--replicas", "2"]);
    assert_eq!(broad.code, 0, "{broad}");
    assert!(broad.says("cluster-admin") && broad.says("--elect"), "{broad}");
    let _ = lab.control_plane().kubectl(&["create", "namespace", "sitewright-system"]);
    lab.kubectl_with(&["apply", "--server-side", "--dry-run=server", "-f", "-"], &broad.stdout);
    let crds = lab.run(&["install", "--crds"]);
    assert!(crds.says("kind: SiteSync") && !crds.says("kind: Deployment"), "{crds}");
}
