//! Order: definitions before instances, webhooks after their endpoints, finalizers, dying namespaces.

use sitewright_e2e::Lab;

fn widgets(lab: &str, size: &str) -> String {
    format!(
        "apiVersion: apiextensions.k8s.io/v1\nkind: CustomResourceDefinition\nmetadata: {{ name: widgets.{lab}.example }}\n\
         spec:\n  group: {lab}.example\n  scope: Namespaced\n  names: {{ plural: widgets, singular: widget, kind: Widget, listKind: WidgetList }}\n\
         \u{20} versions:\n    - name: v1\n      served: true\n      storage: true\n      schema:\n        openAPIV3Schema:\n          type: object\n\
         \u{20}         properties: {{ spec: {{ type: object, properties: {{ size: {{ type: integer }} }} }} }}\n\
         ---\napiVersion: {lab}.example/v1\nkind: Widget\nmetadata: {{ name: one, namespace: '{lab}-inner' }}\nspec: {{ size: {size} }}\n\
         ---\napiVersion: v1\nkind: Namespace\nmetadata: {{ name: '{lab}-inner' }}\n"
    )
}

#[test]
fn a_definition_its_instance_and_a_namespace_go_in_one_apply() {
    let mut lab = Lab::new("one-go");
    lab.component("widgets", &widgets("one-go", "1"));
    let change = lab.change("Widget", "one");
    assert_eq!(change["action"]["is"], "create");
    assert_eq!(change["judged"]["by"], "schema", "{change:#}");
    lab.apply();
    assert_eq!(
        lab.kubectl(&[
            "get",
            "widget.one-go.example",
            "one",
            "-n",
            "one-go-inner",
            "-o",
            "jsonpath={.spec.size}"
        ]),
        "1"
    );
    assert_eq!(lab.run(&["plan"]).code, 0);
}

#[test]
fn an_instance_that_its_coming_definition_refuses_is_found_before_anything_is_written() {
    let mut lab = Lab::new("offline");
    lab.component("widgets", &widgets("offline", "large"));
    let change = lab.change("Widget", "one");
    assert_eq!(change["gates"][0]["waitsFor"], "refused", "{change:#}");
    assert!(change["gates"][0].to_string().contains("spec.size"), "{change:#}");
}

#[test]
fn a_finalizer_that_hangs_is_named_and_the_object_not_forgotten() {
    let mut lab = Lab::new("finalizer");
    let held = "---\napiVersion: v1\nkind: ConfigMap\nmetadata: { name: held, namespace: '{ns}', finalizers: [example.org/hold] }\n";
    let stays =
        "---\napiVersion: v1\nkind: ConfigMap\nmetadata: { name: stays, namespace: '{ns}' }\n";
    lab.component("app", &format!("{held}{stays}"));
    lab.apply();
    lab.component("app", stays);
    let run = lab.run(&["apply", "--yes", "--timeout", "5s"]);
    assert_eq!(run.code, 1, "{run}");
    assert!(run.says("example.org/hold"), "{run}");
    assert!(lab.live("configmap", "held").is_some());
    lab.kubectl(&[
        "patch",
        "configmap",
        "held",
        "-n",
        lab.name(),
        "--type=json",
        "-p",
        r#"[{"op":"remove","path":"/metadata/finalizers"}]"#,
    ]);
    lab.apply();
    assert_eq!(lab.run(&["plan"]).code, 0);
}

#[test]
fn a_namespace_that_is_going_away_is_said_so_and_nothing_hangs() {
    let mut lab = Lab::new("dying");
    lab.kubectl(&["create", "namespace", "dying-inner"]);
    lab.kubectl_with(&["apply", "-f", "-"], "apiVersion: v1\nkind: ConfigMap\nmetadata: { name: hold, namespace: dying-inner, finalizers: [example.org/hold] }\n");
    lab.kubectl(&["delete", "namespace", "dying-inner", "--wait=false"]);
    lab.component(
        "app",
        "apiVersion: v1\nkind: ConfigMap\nmetadata: { name: new, namespace: dying-inner }\n",
    );
    let run = lab.run(&["apply", "--yes", "--timeout", "5s"]);
    assert_eq!(run.code, 1, "{run}");
    assert!(
        run.says("SW0506: metadata.namespace: namespace dying-inner is being terminated"),
        "{run}"
    );
    lab.kubectl(&[
        "patch",
        "configmap",
        "hold",
        "-n",
        "dying-inner",
        "--type=json",
        "-p",
        r#"[{"op":"remove","path":"/metadata/finalizers"}]"#,
    ]);
}

#[test]
fn a_webhook_configuration_waits_for_its_endpoint() {
    let mut lab = Lab::new("webhook");
    // Fails closed for config maps of this namespace alone; its service has no endpoints.
    lab.component(
        "hook",
        "apiVersion: v1\nkind: Service\nmetadata: { name: judge, namespace: '{ns}' }\nspec: { selector: { app: judge }, ports: [{ port: 443 }] }\n\
         ---\napiVersion: admissionregistration.k8s.io/v1\nkind: ValidatingWebhookConfiguration\nmetadata: { name: judge.webhook.example }\n\
         webhooks:\n  - name: judge.webhook.example\n    clientConfig: { service: { name: judge, namespace: '{ns}' } }\n    failurePolicy: Fail\n\
         \u{20}   sideEffects: None\n    admissionReviewVersions: [v1]\n    namespaceSelector: { matchLabels: { kubernetes.io/metadata.name: '{ns}' } }\n\
         \u{20}   rules: [{ apiGroups: [''], apiVersions: [v1], operations: [CREATE], resources: [configmaps] }]\n",
    );
    lab.component(
        "app",
        "apiVersion: v1\nkind: ConfigMap\nmetadata: { name: free, namespace: '{ns}' }\n",
    );
    let run = lab.run(&["apply", "--yes", "--timeout", "5s"]);
    assert_eq!(run.code, 1, "{run}");
    assert!(run.says("endpoint"), "{run}");
    assert!(lab.live("configmap", "free").is_some(), "other branches go on:\n{run}");
    let hooks = lab.kubectl(&[
        "get",
        "validatingwebhookconfiguration",
        "judge.webhook.example",
        "--ignore-not-found",
    ]);
    assert!(hooks.is_empty(), "a webhook without an endpoint would block the namespace");
    lab.kubectl_with(
        &["apply", "-f", "-"],
        "apiVersion: discovery.k8s.io/v1\nkind: EndpointSlice\nmetadata: { name: judge-1, namespace: '{ns}', labels: { kubernetes.io/service-name: judge } }\n\
         addressType: IPv4\nports: [{ port: 443 }]\nendpoints: [{ addresses: [192.0.2.10], conditions: { ready: true } }]\n",
    );
    lab.apply();
    lab.kubectl(&["delete", "validatingwebhookconfiguration", "judge.webhook.example"]);
}
