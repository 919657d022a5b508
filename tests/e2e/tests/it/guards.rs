//! Nothing is lost (law 1): tombstones, blast radius, the empty rendering.

use sitewright_e2e::Lab;

fn config_maps(names: &[&str]) -> String {
    let one = |name: &&str| {
        format!(
            "---\napiVersion: v1\nkind: ConfigMap\nmetadata: {{ name: {name}, namespace: '{{ns}}' }}\n"
        )
    };
    names.iter().map(one).collect()
}

/// A CRD whose group is the lab's own, and an instance of it.
fn widgets(lab: &str, with_instance: bool) -> String {
    let crd = format!(
        "apiVersion: apiextensions.k8s.io/v1\nkind: CustomResourceDefinition\nmetadata: {{ name: widgets.{lab}.example }}\n\
         spec:\n  group: {lab}.example\n  scope: Namespaced\n  names: {{ plural: widgets, singular: widget, kind: Widget, listKind: WidgetList }}\n\
         \u{20} versions:\n    - name: v1\n      served: true\n      storage: true\n      schema:\n        openAPIV3Schema:\n          type: object\n\
         \u{20}         properties: {{ spec: {{ type: object, properties: {{ size: {{ type: integer }} }} }} }}\n"
    );
    let instance = format!(
        "---\napiVersion: {lab}.example/v1\nkind: Widget\nmetadata: {{ name: one, namespace: '{{ns}}' }}\nspec: {{ size: 1 }}\n"
    );
    if with_instance { crd + &instance } else { crd }
}

#[test]
fn a_definition_with_instances_goes_only_by_tombstone() {
    let mut lab = Lab::new("crd-guard");
    lab.component("base", &config_maps(&["stays"]))
        .component("widgets", &widgets("crd-guard", true));
    lab.apply();
    // An instance that is not ours: deleting the definition would destroy it.
    lab.kubectl_with(&["apply", "-f", "-"], "apiVersion: crd-guard.example/v1\nkind: Widget\nmetadata: { name: theirs, namespace: '{ns}' }\n");
    lab.remove("widgets");
    let change = lab.change("CustomResourceDefinition", "widgets.crd-guard.example");
    assert_eq!(change["hazard"], "destroys-data", "{change:#}");
    assert_eq!(change["gates"][0]["waitsFor"], "tombstone", "{change:#}");
    let uid = change["gates"][0]["uid"].as_str().unwrap().to_owned();
    let run = lab.run(&["apply", "--yes"]);
    assert!(run.says("tombstone"), "{run}");
    // Not even an approval of the plan lifts it.
    let digest = lab.plan()["digest"].as_str().unwrap().to_owned();
    lab.run(&["apply", "--plan", &digest]);
    assert!(
        !lab.kubectl(&["get", "crd", "widgets.crd-guard.example", "--ignore-not-found"]).is_empty()
    );
    lab.spec(&format!(
        "tombstones: [{{ kind: CustomResourceDefinition, name: widgets.crd-guard.example, uid: {uid}, reason: end of the test }}]"
    ));
    let digest = lab.plan()["digest"].as_str().unwrap().to_owned();
    let run = lab.run(&["apply", "--plan", &digest]);
    assert_eq!(run.code, 0, "{run}");
    assert!(
        lab.kubectl(&["get", "crd", "widgets.crd-guard.example", "--ignore-not-found"]).is_empty()
    );
}

#[test]
fn a_tombstone_of_another_uid_does_not_fit() {
    let mut lab = Lab::new("wrong-uid");
    lab.component("base", &config_maps(&["stays"]))
        .component("widgets", &widgets("wrong-uid", false));
    lab.apply();
    lab.kubectl_with(&["apply", "-f", "-"], "apiVersion: wrong-uid.example/v1\nkind: Widget\nmetadata: { name: theirs, namespace: '{ns}' }\n");
    lab.remove("widgets");
    lab.spec("tombstones: [{ kind: CustomResourceDefinition, name: widgets.wrong-uid.example, uid: 00000000-0000-0000-0000-000000000000, reason: a mistake }]");
    let change = lab.change("CustomResourceDefinition", "widgets.wrong-uid.example");
    assert_eq!(change["gates"][0]["waitsFor"], "tombstone", "{change:#}");
}

#[test]
fn more_deletes_than_the_limit_are_held_together_until_approved() {
    let mut lab = Lab::new("blast");
    lab.spec("policy: { limits: { deletes: 1 } }");
    lab.component("app", &config_maps(&["a", "b", "c"]));
    lab.apply();
    lab.component("app", &config_maps(&["a"]));
    let change = lab.change("ConfigMap", "b");
    assert_eq!(change["gates"][0]["waitsFor"], "blastRadius", "{change:#}");
    lab.run(&["apply", "--yes"]);
    assert!(lab.live("configmap", "b").is_some() && lab.live("configmap", "c").is_some());
    let digest = lab.plan()["digest"].as_str().unwrap().to_owned();
    let run = lab.run(&["apply", "--plan", &digest]);
    assert_eq!(run.code, 0, "{run}");
    assert!(lab.live("configmap", "b").is_none() && lab.live("configmap", "c").is_none());
}

#[test]
fn an_empty_rendering_does_not_delete_everything() {
    let mut lab = Lab::new("emptied");
    lab.component("app", &config_maps(&["a", "b"]));
    lab.apply();
    lab.component("app", "");
    let run = lab.run(&["apply", "--yes"]);
    assert_ne!(run.code, 0, "{run}");
    lab.remove("app");
    let run = lab.run(&["apply", "--yes"]);
    assert_ne!(run.code, 0, "{run}");
    assert!(lab.live("configmap", "a").is_some() && lab.live("configmap", "b").is_some());
}
