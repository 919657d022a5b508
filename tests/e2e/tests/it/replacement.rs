//! Immutable fields: a replacement is proven first (law 5).

use sitewright_e2e::Lab;

const FROZEN: &str = "
apiVersion: v1
kind: ConfigMap
metadata: { name: frozen, namespace: '{ns}' }
immutable: true
data: { color: blue }
";

fn deployment(selector: &str, replicas: &str) -> String {
    format!(
        "apiVersion: apps/v1\nkind: Deployment\nmetadata: {{ name: web, namespace: '{{ns}}' }}\nspec:\n  replicas: {replicas}\n\
         \u{20} selector: {{ matchLabels: {{ app: {selector} }} }}\n  template:\n    metadata: {{ labels: {{ app: {selector} }} }}\n\
         \u{20}   spec: {{ containers: [{{ name: web, image: 'registry.example/web:1' }}] }}\n"
    )
}

#[test]
fn an_immutable_change_replaces_the_object() {
    let mut lab = Lab::new("immutable");
    lab.component("app", FROZEN);
    lab.apply();
    let uid = lab.live("configmap", "frozen").unwrap()["metadata"]["uid"].clone();
    lab.component("app", &FROZEN.replace("blue", "green"));
    let change = lab.change("ConfigMap", "frozen");
    assert_eq!(change["action"]["is"], "replace", "{change:#}");
    lab.apply();
    let live = lab.live("configmap", "frozen").unwrap();
    assert_eq!(live["data"]["color"], "green");
    assert_ne!(live["metadata"]["uid"], uid);
}

#[test]
fn an_invalid_value_is_never_read_as_immutable() {
    let mut lab = Lab::new("invalid");
    lab.component("app", &deployment("web", "0"));
    lab.apply();
    let uid = lab.live("deployment", "web").unwrap()["metadata"]["uid"].clone();
    // Negative replicas: Flux's `force` deletes the live object here (fluxcd/kustomize-controller#834).
    lab.component("app", &deployment("web", "-1"));
    let change = lab.change("Deployment", "web");
    assert_eq!(change["gates"][0]["waitsFor"], "refused", "{change:#}");
    // The selector is immutable *and* the replicas are invalid: the replacement would fail too.
    lab.component("app", &deployment("other", "-1"));
    let change = lab.change("Deployment", "web");
    assert_eq!(change["gates"][0]["waitsFor"], "refused", "{change:#}");
    assert_eq!(lab.run(&["apply", "--yes"]).code, 1);
    assert_eq!(lab.live("deployment", "web").unwrap()["metadata"]["uid"], uid);
}
