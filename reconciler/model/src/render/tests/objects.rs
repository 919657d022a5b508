use super::*;
use crate::{desired::Desired, object::GroupKind};

#[test]
fn templates_see_values_site_component_blueprint_and_capabilities() {
    let template = r#"
apiVersion: v1
kind: ConfigMap
metadata: { name: {{ component.name }}, namespace: {{ site.name }} }
data:
  blueprint: {{ blueprint.name }}-{{ blueprint.version }}
{% if "storage" in capabilities %}
  storage: "yes"
{% endif %}
  list: {{ values.list | to_json | to_json }}
  inline: {{ values.list }}
  nothing: {{ values.nothing }}
  flag: "{{ values.flag }}"
  block: |{{ values.map | to_yaml(indent=4) }}
  digest: {{ "x" | sha256 }}
  secret: {{ "foob" | b64encode }}
"#;
    let values = json!({
        "list": [1, "a: b"], "nothing": null, "flag": true, "map": { "a": { "b": ["c"] } }
    });
    let rendered = render_one(template, values).unwrap();
    assert_eq!(
        bodies(&rendered),
        [json!({
            "apiVersion": "v1", "kind": "ConfigMap",
            "metadata": { "name": "queues", "namespace": "lab" },
            "data": {
                "blueprint": "demo-1.2.3",
                "storage": "yes",
                "list": "[1,\"a: b\"]",
                "inline": [1, "a: b"],
                "nothing": null,
                "flag": "true",
                "block": "a:\n  b:\n  - c\n",
                "digest": "2d711642b726b04401627ca9fbac32f5c8530fb1903cc4db02258717921a4881",
                "secret": "Zm9vYg==",
            }
        })]
    );
}

#[test]
fn any_text_may_stand_in_a_template_as_json() {
    let template = "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: a, namespace: ns}\n\
                    data: {once: {{ values.text | tojson }}, twice: {{ [values.text] | tojson | tojson }}}\n";
    let text = "\u{7f}: \u{85}#\u{9f}\u{feff}'\"\\{{ x }}";
    let rendered = render_one(template, json!({ "text": text })).unwrap();
    let data = &bodies(&rendered)[0]["data"];
    assert_eq!(data["once"], text);
    let twice: Vec<String> = serde_json::from_str(data["twice"].as_str().unwrap()).unwrap();
    assert_eq!(twice, [text]);
}

#[test]
fn templates_include_and_import_within_the_folder() {
    let files = [
        ("templates/_macros.j2", "{% macro name(x) %}team-{{ x }}{% endmacro %}"),
        ("templates/_labels.j2", "  labels: { team: {{ values.team }} }\n"),
        (
            "templates/all.yaml.j2",
            "{% import './_macros.j2' as m %}apiVersion: v1\nkind: Namespace\nmetadata:\n  name: {{ \
             m.name(values.team) }}\n{% include 'templates/_labels.j2' %}\n",
        ),
    ];
    let rendered = component(&input(&files, json!({ "team": "nlp" })), &[]).unwrap();
    assert_eq!(
        bodies(&rendered),
        [json!({
            "apiVersion": "v1", "kind": "Namespace",
            "metadata": { "name": "team-nlp", "labels": { "team": "nlp" } },
        })]
    );
}

#[test]
fn plain_files_are_taken_as_they_are_and_other_files_are_left_alone() {
    let files = [
        (
            "templates/plain.yaml",
            "apiVersion: v1\nkind: Namespace\nmetadata: { name: '{{ x }}' }\n",
        ),
        ("templates/_part.yaml", "not: an object\n"),
        ("templates/README.md", "# not YAML: at: all\n"),
    ];
    let rendered = component(&input(&files, json!({})), &[]).unwrap();
    assert_eq!(rendered.objects[0].object.id().to_string(), "Namespace {{ x }}");
    assert_eq!(&*rendered.objects[0].origin, "templates/plain.yaml");
    assert_eq!(rendered.objects.len(), 1);
}

#[test]
fn lists_are_unpacked_and_empty_documents_skipped() {
    let template = "---\n# nothing\n---\nnull\n---\n{}\n---\napiVersion: v1\nkind: List\nitems:\n- apiVersion: v1\n  kind: List\n  items:\n  - {apiVersion: v1, kind: Namespace, metadata: {name: a}}\n---\napiVersion: v1\nkind: NamespaceList\nitems:\n- metadata: {name: b}\n---\napiVersion: v1\nkind: ConfigMapList\nitems: null\n";
    let rendered = render_one(template, json!({})).unwrap();
    let names: Vec<String> =
        rendered.objects.iter().map(|object| object.object.id().to_string()).collect();
    assert_eq!(names, ["Namespace a", "Namespace b"]);
}

#[test]
fn what_the_server_owns_is_dropped() {
    let template = r#"
apiVersion: apiextensions.k8s.io/v1
kind: CustomResourceDefinition
metadata: { name: foos.x.dev, creationTimestamp: null, resourceVersion: "1", annotations: null, namespace: n }
spec: { group: x.dev, names: { kind: Foo }, scope: Cluster }
status: { conditions: [] }
"#;
    let rendered = render_one(template, json!({})).unwrap();
    assert_eq!(
        bodies(&rendered),
        [json!({
            "apiVersion": "apiextensions.k8s.io/v1", "kind": "CustomResourceDefinition",
            "metadata": { "name": "foos.x.dev" },
            "spec": { "group": "x.dev", "names": { "kind": "Foo" }, "scope": "Cluster" },
        })]
    );
}

#[test]
fn secret_values_mark_the_leaves_that_hold_them() {
    let template = "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: a, namespace: ns}\ndata: {url: {{ ('https://u:' ~ values.token ~ '@h') | to_json }}, other: x}\n";
    let files = [("templates/all.yaml.j2", template)];
    let mut input = input(&files, json!({ "token": "canary" }));
    input.sensitive.insert("/token".into());
    let rendered = component(&input, &[]).unwrap();
    let object = &rendered.objects[0].object;
    assert_eq!(object.sensitive().iter().collect::<Vec<_>>(), ["/data/url"]);
    assert!(!object.redacted().to_string().contains("canary"));
}

#[test]
fn the_same_input_gives_the_same_bytes() {
    let template = "{% for name in values.names %}---\napiVersion: v1\nkind: Namespace\nmetadata: { name: {{ name }} }\n{% endfor %}";
    let names: Vec<String> = (0..200).map(|number| format!("n{}", (number * 7919) % 200)).collect();
    let render = || render_one(template, json!({ "names": names })).unwrap();
    let (first, second) = (render(), render());
    let digests = |rendered: &RenderedComponent| {
        rendered.objects.iter().map(|object| object.digest).collect::<Vec<_>>()
    };
    assert_eq!(digests(&first), digests(&second));
    assert!(first.objects.is_sorted_by(|a, b| a.object.id() < b.object.id()));
}

fn site_of(components: Vec<(&str, RenderedComponent)>) -> Result<Desired, String> {
    let blueprint = input(&[], json!({})).blueprint;
    let parts = SiteParts {
        site: "lab".parse().unwrap(),
        revision: crate::revision::Revision {
            repository: "r".into(),
            path: "sites/lab".into(),
            reference: None,
            commit: None,
            dirty: false,
            inputs: crate::digest::Digest::of(""),
        },
        policy: Default::default(),
        tombstones: Vec::new(),
    };
    let components = components
        .into_iter()
        .map(|(name, rendered)| {
            let component: Component = serde_json::from_value(json!({
                "name": name, "blueprint": { "name": "demo" },
            }))
            .unwrap();
            let values = Values { values: &Value::Null, sensitive: &BTreeSet::new() };
            (without_objects(&component, &blueprint.blueprint, values, Vec::new()), rendered)
        })
        .collect();
    assemble(parts, components).map_err(|error| shown(&error))
}

#[test]
fn an_object_declared_twice_names_both_places() {
    let template = "{apiVersion: v1, kind: Namespace, metadata: {name: a}}\n";
    let one = || render_one(template, json!({})).unwrap();
    let error = site_of(vec![("one", one()), ("two", one())]).unwrap_err();
    insta::assert_snapshot!(error, @r"
    Error SW0308: Namespace a is declared 2 times
      component one
      note: component `one` declares it in templates/all.yaml.j2
      note: component `two` declares it in templates/all.yaml.j2
      help: keep one of them; `exclude` leaves an object out of a source
    ");
}

#[test]
fn a_renamed_template_is_the_same_desire_and_a_changed_object_another() {
    let render = |path: &str, label: &str| {
        let text = format!(
            "{{apiVersion: v1, kind: Namespace, metadata: {{name: a, labels: {{x: {label}}}}}}}\n"
        );
        let rendered = component(&input(&[(path, &text)], json!({})), &[]).unwrap();
        site_of(vec![("one", rendered)]).unwrap().digest
    };
    let first = render("templates/a.yaml", "v");
    assert_eq!(first, render("templates/b.yaml", "v"));
    assert_ne!(first, render("templates/a.yaml", "w"));
}

/// A component whose source has a namespace and brings an object of the custom kind `Foo`.
fn foo_in(namespace: &str) -> RenderedComponent {
    let blueprint = "sources: [{name: up, namespace: NS, manifests: {path: up.yaml}}]\n";
    let blueprint = blueprint.replace("NS", namespace);
    let text = "{apiVersion: x.dev/v1, kind: Foo, metadata: {name: a}}\n";
    let files = Files {
        label: "up".into(),
        entries: BTreeMap::from([("up.yaml".to_owned(), Arc::from(text.as_bytes()))]),
    };
    let output = SourceOutput { name: "up".parse().unwrap(), text: SourceText::Manifests(files) };
    let files = [("blueprint.yaml", blueprint.as_str()), ("templates/x.md", "")];
    component(&input(&files, json!({})), &[output]).unwrap()
}

fn foo() -> BTreeSet<GroupKind> {
    BTreeSet::from([GroupKind::new("x.dev", "Foo")])
}

#[test]
fn a_kind_that_only_the_cluster_knows_finds_its_scope_there() {
    let site = || site_of(vec![("user", foo_in("sys"))]).unwrap();
    let id = |desired: &Desired| desired.objects().next().unwrap().1.object.id().to_string();
    assert_eq!(open_kinds(&site()), foo());
    let as_it_is = in_served_scopes(site(), &BTreeSet::new()).unwrap();
    assert_eq!((id(&as_it_is), as_it_is.digest), ("Foo.x.dev sys/a".to_owned(), site().digest));
    let moved = in_served_scopes(site(), &foo()).unwrap();
    assert_eq!(id(&moved), "Foo.x.dev a");
    assert_ne!(moved.digest, site().digest);
    let (_, object) = moved.objects().next().unwrap();
    assert_eq!(object.digest, object.object.digest());
    assert_eq!(open_kinds(&moved), BTreeSet::new());
}

#[test]
fn a_cluster_scoped_object_is_declared_once_whatever_namespaces_its_sources_have() {
    let site = site_of(vec![("one", foo_in("x")), ("two", foo_in("z"))]).unwrap();
    let error = shown(&in_served_scopes(site, &foo()).unwrap_err());
    assert!(error.contains("Foo.x.dev a is declared 2 times"), "{error}");
}

#[test]
fn a_custom_kind_that_another_component_defines_finds_its_scope() {
    let crd = |scope: &str| {
        let text = format!(
            "apiVersion: apiextensions.k8s.io/v1\nkind: CustomResourceDefinition\nmetadata: {{name: foos.x.dev}}\nspec: {{group: x.dev, names: {{kind: Foo}}, scope: {scope}}}\n"
        );
        render_one(&text, json!({})).unwrap()
    };
    let user = || foo_in("sys");
    let id = |components| {
        let desired = site_of(components).unwrap();
        let object = desired.objects().find(|(_, object)| object.object.id().kind.kind == "Foo");
        object.unwrap().1.object.id().to_string()
    };
    assert_eq!(id(vec![("user", user()), ("crds", crd("Namespaced"))]), "Foo.x.dev sys/a");
    assert_eq!(id(vec![("user", user()), ("crds", crd("Cluster"))]), "Foo.x.dev a");
    assert_eq!(id(vec![("user", user())]), "Foo.x.dev sys/a");
}

#[test]
fn requirements_become_dependencies() {
    let component = |name: &str, spec: Value, depends_on: &[&str]| {
        let mut input = input(&[("blueprint.yaml", &spec.to_string())], json!({}));
        input.component.name = name.parse().unwrap();
        input.component.depends_on = depends_on.iter().map(|name| name.parse().unwrap()).collect();
        (input.component, Arc::try_unwrap(input.blueprint).unwrap())
    };
    let storage = || component("ceph", json!({ "provides": ["storage"] }), &[]);
    let user = || component("hub", json!({ "requires": ["storage", "oidc?"] }), &["gpus"]);
    let gpus = || component("gpus", json!({}), &[]);
    let edges = depends(&[user(), storage(), gpus()]).unwrap();
    assert_eq!(edges["hub"], ["gpus", "ceph"]);
    assert!(edges["ceph"].is_empty());
    insta::assert_snapshot!(depends(&[user(), gpus()]).unwrap_err(), @r"
    Error SW0309: blueprint `demo` requires `storage`, and no component of the site provides it
      component hub
      help: add a component of a blueprint that provides `storage`: `rook-ceph`
    ");
    let circular = component("ceph", json!({ "provides": ["storage"] }), &["hub"]);
    insta::assert_snapshot!(depends(&[user(), circular, gpus()]).unwrap_err(), @r"
    Error SW0310: components wait for each other: `ceph` waits for `hub` waits for `ceph`
      component ceph
      help: take one of them out of `dependsOn`, or out of the `requires` of its blueprint
    ");
}
