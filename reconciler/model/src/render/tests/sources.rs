use super::*;

const CHART: &str = "
sources:
- name: controller
  helm: { path: chart }
  namespace: sys
  values: values.yaml.j2
  when: values.enabled
  exclude: [{ kind: Service, name: gone }, { kind: Widget }]
";

fn chart_output(text: &str) -> SourceOutput {
    SourceOutput { name: "controller".parse().unwrap(), text: SourceText::Chart(text.into()) }
}

fn chart_input(blueprint: &str, values: Value) -> ComponentInput {
    let template = "replicas: {{ values.replicas }}\nimage: { tag: v1, pull: Always }\n";
    let files =
        [("blueprint.yaml", blueprint), ("values.yaml.j2", template), ("templates/x.md", "")];
    input(&files, values)
}

#[test]
fn a_chart_gets_the_blueprints_values_and_the_components_over_them() {
    let mut input = chart_input(CHART, json!({ "enabled": true, "replicas": 2 }));
    let upstream = json!({ "controller": { "image": { "tag": "v2" }, "extra": [1] } });
    input.component.upstream = serde_json::from_value(upstream).unwrap();
    let [request] = sources(&input).unwrap().try_into().unwrap();
    assert_eq!(request.namespace.as_deref(), Some("sys"));
    let Artifact::Chart { release, values, .. } = request.artifact else { panic!("a chart") };
    assert_eq!(release, "queues");
    assert_eq!(
        values,
        json!({ "replicas": 2, "image": { "tag": "v2", "pull": "Always" }, "extra": [1] })
    );
}

#[test]
fn a_source_whose_condition_is_false_is_left_out() {
    let input = chart_input(CHART, json!({ "enabled": false, "replicas": 2 }));
    assert!(sources(&input).unwrap().is_empty());
}

#[test]
fn an_upstream_name_that_no_source_has() {
    let mut input = chart_input(CHART, json!({}));
    input.component.upstream = serde_json::from_value(json!({ "controler": { "a": 1 } })).unwrap();
    let mut unknown = unknown_upstream(&input.component, &input.blueprint.blueprint);
    insta::assert_snapshot!(show(&unknown.pop().unwrap().1), @r"
    Error SW0315: `upstream.controler` names no source of blueprint `demo`
      component queues
      help: did you mean `controller`?
    ");
}

#[test]
fn conditions_that_are_neither_true_nor_false() {
    let input = chart_input(CHART, json!({ "enabled": "maybe", "replicas": 2 }));
    insta::assert_snapshot!(shown(&sources(&input).unwrap_err()), @r"
    Error SW0313: condition `values.enabled` gives a value of type string, not true or false
      at blueprints/demo/blueprint.yaml:7:9
      |   when: values.enabled
      |         ^^^^^^^^^^^^^^ must be true or false
      component queues
      help: compare it with something, or use a test such as `values.x is defined`
    ");
    let input = chart_input(CHART, json!({ "replicas": 2 }));
    insta::assert_snapshot!(shown(&sources(&input).unwrap_err()), @r"
    Error SW0313: condition `values.enabled` gives a value of type undefined, not true or false
      at blueprints/demo/blueprint.yaml:7:9
      |   when: values.enabled
      |         ^^^^^^^^^^^^^^ must be true or false
      component queues
      help: compare it with something, or use a test such as `values.x is defined`
    ");
}

#[test]
fn chart_values_must_be_a_map() {
    let files = [("blueprint.yaml", CHART), ("values.yaml.j2", "- a\n"), ("templates/x.md", "")];
    let input = input(&files, json!({ "enabled": true }));
    insta::assert_snapshot!(shown(&sources(&input).unwrap_err()), @r"
    Error SW0314: template of a chart's values must render to one map
      at blueprints/demo/values.yaml.j2:1:1
      | - a
      | ^^^
      component queues
    ");
}

const OUTPUT: &str = r#"---
# Source: kueue/crds/foo.yaml
apiVersion: apiextensions.k8s.io/v1
kind: CustomResourceDefinition
metadata: { name: foos.x.dev }
spec: { group: x.dev, names: { kind: Foo }, scope: Cluster }
---
# Source: kueue/templates/all.yaml
apiVersion: apps/v1
kind: Deployment
metadata: { name: controller }
---
# Source: kueue/templates/all.yaml
apiVersion: v1
kind: Service
metadata: { name: gone, namespace: other }
---
# Source: kueue/templates/foo.yaml
apiVersion: x.dev/v1
kind: Foo
metadata: { name: a, namespace: wrong }
---
# Source: kueue/templates/tests/test.yaml
apiVersion: v1
kind: Pod
metadata: { name: test, annotations: { "helm.sh/hook": test } }
---
# Source: kueue/templates/hook.yaml
apiVersion: batch/v1
kind: Job
metadata: { name: migrate, annotations: { "helm.sh/hook": pre-upgrade, "helm.sh/hook-weight": "1" } }
"#;

#[test]
fn what_helm_prints_becomes_objects_in_their_namespaces() {
    let input = chart_input(CHART, json!({ "enabled": true, "replicas": 1 }));
    let rendered = component(&input, &[chart_output(OUTPUT)]).unwrap();
    let list: Vec<String> = rendered
        .objects
        .iter()
        .map(|object| format!("{} from {}", object.object.id(), object.origin))
        .collect();
    insta::assert_snapshot!(list.join("\n"), @r"
    CustomResourceDefinition.apiextensions.k8s.io foos.x.dev from chart controller: crds/foo.yaml
    Deployment.apps sys/controller from chart controller: templates/all.yaml
    Foo.x.dev a from chart controller: templates/foo.yaml
    ");
    insta::assert_snapshot!(shown(&rendered.warnings), @r"
    Warning SW0311: source `controller`: helm hooks are left out: Job `migrate` (pre-upgrade)
      component queues
      help: `hooks: true` on the source makes hooks of installation and upgrade ordinary objects

    Warning SW0312: source `controller` excludes Widget, and holds no such object
      component queues
      help: take the selector out, or mend its kind and name
    ");
}

#[test]
fn hooks_become_objects_where_the_blueprint_says_so() {
    let blueprint = CHART.replace("{ path: chart }", "{ path: chart, hooks: true }");
    let input = chart_input(&blueprint, json!({ "enabled": true, "replicas": 1 }));
    let rendered = component(&input, &[chart_output(OUTPUT)]).unwrap();
    let job = rendered.objects.iter().find(|object| object.object.id().kind.kind == "Job").unwrap();
    assert_eq!(job.object.id().to_string(), "Job.batch sys/migrate");
    assert!(job.object.expose()["metadata"].get("annotations").is_none());
}

#[test]
fn a_manifest_that_is_wrong_is_shown_and_a_chart_is_not() {
    let blueprint = "sources: [{name: up, manifests: {path: up}}]\n";
    let files = Files {
        label: "https://example.org/up".into(),
        entries: BTreeMap::from([
            ("up.yaml".to_owned(), Arc::from(&b"kind: X\n"[..])),
            ("README.md".to_owned(), Arc::from(&b"# no\n"[..])),
        ]),
    };
    let output = SourceOutput { name: "up".parse().unwrap(), text: SourceText::Manifests(files) };
    let files = [("blueprint.yaml", blueprint), ("templates/x.md", "")];
    let error = component(&input(&files, json!({})), &[output]).unwrap_err();
    insta::assert_snapshot!(shown(&error), @r"
    Error SW0306: rendered document is not a Kubernetes object: `apiVersion` is missing or is not text
      at https://example.org/up/up.yaml:1:1
      | kind: X
      | ^^^^^^^
      component queues
      help: every document needs `apiVersion`, `kind` and `metadata.name`
    ");
    let input = chart_input(CHART, json!({ "enabled": true, "replicas": 1 }));
    let output = chart_output("---\n# Source: kueue/templates/a.yaml\na: [\n");
    insta::assert_snapshot!(shown(&component(&input, &[output]).unwrap_err()), @r"
    Error SW0305: rendered text is not YAML: `[` is not closed
      at chart controller: templates/a.yaml:1:1
      | 
      |
      component queues
      note: line 3 of the output: `a: [`
      help: add `]`
    ");
}

#[test]
fn plain_manifests_take_the_namespace_of_their_source() {
    let blueprint = "sources: [{name: up, namespace: sys, manifests: {path: up}}]\n";
    let mut body = config_map("a");
    body["metadata"].as_object_mut().unwrap().remove("namespace");
    let files = Files {
        label: "up".into(),
        entries: BTreeMap::from([("x".to_owned(), Arc::from(body.to_string().as_bytes()))]),
    };
    let output = SourceOutput { name: "up".parse().unwrap(), text: SourceText::Manifests(files) };
    let files = [("blueprint.yaml", blueprint), ("templates/x.md", "")];
    let rendered = component(&input(&files, json!({})), &[output]).unwrap();
    assert_eq!(rendered.objects[0].object.id().to_string(), "ConfigMap sys/a");
    assert_eq!(&*rendered.objects[0].origin, "manifests up: x");
}

#[test]
fn a_kustomization_beside_manifests_is_left_to_kustomize() {
    let blueprint = "sources: [{name: up, namespace: sys, manifests: {path: up}}]\n";
    let kustomization = b"apiVersion: kustomize.config.k8s.io/v1beta1\nkind: Kustomization\n";
    let files = Files {
        label: "up".into(),
        entries: BTreeMap::from([
            ("a.yaml".to_owned(), Arc::from(config_map("a").to_string().as_bytes())),
            ("kustomization.yaml".to_owned(), Arc::from(kustomization.as_slice())),
            ("below/kustomization.yml".to_owned(), Arc::from(kustomization.as_slice())),
        ]),
    };
    let output = SourceOutput { name: "up".parse().unwrap(), text: SourceText::Manifests(files) };
    let files = [("blueprint.yaml", blueprint), ("templates/x.md", "")];
    let rendered = component(&input(&files, json!({})), &[output]).unwrap();
    assert_eq!(rendered.objects.len(), 1);
}

#[test]
fn the_name_of_a_hook_that_is_left_out_shows_no_secret() {
    let mut input =
        chart_input(CHART, json!({ "enabled": true, "replicas": 2, "token": "canary" }));
    input.sensitive.insert("/token".into());
    let hook = "apiVersion: batch/v1\nkind: Job\nmetadata: {name: migrate-canary, annotations: {helm.sh/hook: pre-upgrade}}\n";
    let rendered = component(&input, &[chart_output(hook)]).unwrap();
    let shown = shown(&rendered.warnings);
    assert!(shown.contains("`migrate-(secret)`") && !shown.contains("canary"), "{shown}");
}
