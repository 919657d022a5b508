use super::*;

fn error(template: &str, values: Value) -> String {
    shown(&render_one(template, values).expect_err("the template is wrong"))
}

#[test]
fn a_value_that_is_not_there() {
    let template =
        "apiVersion: v1\nkind: ConfigMap\nmetadata:\n  name: {{ values.teems.vision }}\n";
    insta::assert_snapshot!(error(template, json!({ "teams": {} })), @r"
    Error SW0302: template uses `values.teems`, which is not there
      at blueprints/demo/templates/all.yaml.j2:4:12
      |   name: {{ values.teems.vision }}
      |            ^^^^^^^^^^^^^^^^^^^ did you mean `values.teams`?
      component queues
      help: give it a default in the values schema, or ask with `is defined`
    ");
}

#[test]
fn a_mistake_in_the_template_language() {
    insta::assert_snapshot!(error("a: {{ values.x }\n", json!({ "x": 1 })), @r"
    Error SW0301: syntax error: unexpected `}`, expected end of variable block
      at blueprints/demo/templates/all.yaml.j2:1:16
      | a: {{ values.x }
      |                ^
      component queues
      help: mend the template there; where it says no itself, mend the values of the component
    ");
    insta::assert_snapshot!(error("a: 1\n{% for x in %}\n", json!({})), @r"
    Error SW0301: syntax error: unexpected end of block
      at blueprints/demo/templates/all.yaml.j2:2:13
      | {% for x in %}
      |             ^^
      component queues
      help: mend the template there; where it says no itself, mend the values of the component
    ");
    insta::assert_snapshot!(error("a: {{ values.x | to_jsn }}\n", json!({ "x": 1 })), @r"
    Error SW0301: unknown filter: filter to_jsn is unknown
      at blueprints/demo/templates/all.yaml.j2:1:18
      | a: {{ values.x | to_jsn }}
      |                  ^^^^^^
      component queues
      help: mend the template there; where it says no itself, mend the values of the component
    ");
}

#[test]
fn a_mistake_in_an_included_template_names_both() {
    let files = [
        ("templates/_part.j2", "x: 1\ny: {{ nothing }}\n"),
        ("templates/all.yaml.j2", "a: 1\n{% include './_part.j2' %}\n"),
    ];
    insta::assert_snapshot!(shown(&component(&input(&files, json!({})), &[]).unwrap_err()), @r"
    Error SW0302: template uses a value that is not there: `nothing` is undefined
      at blueprints/demo/templates/_part.j2:2:7
      | y: {{ nothing }}
      |       ^^^^^^^
      component queues
      note: it is used by blueprints/demo/templates/all.yaml.j2:2
      help: give it a default in the values schema, or ask with `is defined`
    ");
}

#[test]
fn a_template_that_is_not_there() {
    insta::assert_snapshot!(error("{% include '../../../etc/passwd' %}\n", json!({})), @r"
    Error SW0304: template is not in the blueprint's folder: tried to include non-existing template '../../../etc/passwd'
      at blueprints/demo/templates/all.yaml.j2:1:4
      | {% include '../../../etc/passwd' %}
      |    ^^^^^^^^^^^^^^^^^^^^^^^^^^^^^
      component queues
      help: paths start at the blueprint's folder; `./` and `../` start at the template's own
    ");
    let input = input(
        &[("blueprint.yaml", "templates: [templats/]\n"), ("templates/a.yaml", "")],
        json!({}),
    );
    insta::assert_snapshot!(shown(&component(&input, &[]).unwrap_err()), @r"
    Error SW0304: blueprint `demo` has no file or folder `templats/`
      at blueprints/demo/blueprint.yaml:1:13
      | templates: [templats/]
      |             ^^^^^^^^^
      component queues
      help: did you mean `templates/a.yaml`?
    ");
}

#[test]
fn a_template_that_is_no_text_is_called_so() {
    let mut input = input(&[("templates/all.yaml.j2", "")], json!({}));
    let folder = std::sync::Arc::get_mut(&mut input.blueprint).unwrap();
    folder.files.entries.insert("templates/all.yaml.j2".into(), vec![0x7f, b'E', 0xff].into());
    let error = shown(&component(&input, &[]).unwrap_err());
    assert!(error.contains("SW0106") && error.contains("component queues"), "{error}");
}

#[test]
fn a_template_says_no() {
    let template = "{% if values.size > 3 %}{{ fail('size must be at most 3') }}{% endif %}";
    insta::assert_snapshot!(error(template, json!({ "size": 4 })), @r"
    Error SW0301: size must be at most 3
      at blueprints/demo/templates/all.yaml.j2:1:28
      | {% if values.size > 3 %}{{ fail('size must be at most 3') }}{% endif %}
      |                            ^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^
      component queues
      help: mend the template there; where it says no itself, mend the values of the component
    ");
}

#[test]
fn loops_and_explosions_end() {
    let nested = "{% for a in range(100000) %}{% for b in range(100000) %}{% endfor %}{% endfor %}";
    insta::assert_snapshot!(error(nested, json!({})), @r"
    Error SW0303: template does more work than one template may: it loops without end, or over too much
      at blueprints/demo/templates/all.yaml.j2:1:41
      | {% for a in range(100000) %}{% for b in range(100000) %}{% endfor %}{% endfor %}
      |                                         ^^^^^^^^^^^^^
      component queues
      help: take fewer values, or write fewer objects with one template
    ");
    let doubling = "{% set ns = namespace(s='xxxxxxxxxxxxxxxx') %}{% for i in range(64) %}{% set ns.s = ns.s ~ ns.s %}{% endfor %}";
    assert!(error(doubling, json!({})).contains("SW0303"));
    for work in ["x | sha256", "x | to_json | length", "x | to_yaml | length", "x"] {
        let over_and_over = format!(
            "{{% set x = range(100000) | list %}}{{% for a in range(10000) %}}{{{{ {work} }}}}{{% endfor %}}"
        );
        assert!(error(&over_and_over, json!({})).contains("SW0303"), "{work}");
    }
    let within_itself = "{% set ns = namespace(l=[1]) %}{% for i in range(60) %}{% set ns.l = [ns.l, ns.l] %}{% endfor %}{{ ns.l | sha256 }}";
    assert!(error(within_itself, json!({})).contains("SW0303"));
    let recursive = "{% include 'templates/all.yaml.j2' %}";
    insta::assert_snapshot!(error(recursive, json!({})), @r"
    Error SW0303: template includes or calls itself without end
      at blueprints/demo/templates/all.yaml.j2:1:4
      | {% include 'templates/all.yaml.j2' %}
      |    ^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^
      component queues
      note: it is used by blueprints/demo/templates/all.yaml.j2:1
      help: take fewer values, or write fewer objects with one template
    ");
    let macros = "{% macro f() %}{{ f() }}{% endmacro %}{{ f() }}";
    assert!(error(macros, json!({})).contains("SW0303"));
    let long = "{% for a in range(100000) %}{% for b in range(100000) %}xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx{% endfor %}{% endfor %}";
    assert!(error(long, json!({})).contains("SW0303"));
    let repeat = "{{ 'x' * 1000000000 }}";
    assert!(error(repeat, json!({})).contains("SW0303"), "{}", error(repeat, json!({})));
}

#[test]
fn output_that_is_not_yaml_points_to_its_line_and_to_the_template() {
    let template = "apiVersion: v1\nkind: ConfigMap\nmetadata:\n  name: {{ values.name }}\n";
    insta::assert_snapshot!(error(template, json!({ "name": "a: b: c" })), @r"
    Error SW0305: rendered text is not YAML: `:` stands where no key can be
      at blueprints/demo/templates/all.yaml.j2:4:12
      |   name: {{ values.name }}
      |            ^^^^^^^^^^^ written here
      component queues
      note: line 4 of the output: `  name: a: b: c`
      help: quote text that holds `: `
    ");
    let raw = "apiVersion: v1\nkind: [ConfigMap\nmetadata: { name: a }\n";
    insta::assert_snapshot!(error(raw, json!({})), @r"
    Error SW0305: rendered text is not YAML: `:` stands where no key can be
      at blueprints/demo/templates/all.yaml.j2:3:9
      | metadata: { name: a }
      |         ^ written here
      component queues
      note: line 3 of the output: `metadata: { name: a }`
      help: quote text that holds `: `
    ");
}

#[test]
fn output_that_may_hold_a_secret_is_not_quoted() {
    let template =
        "apiVersion: v1\nkind: ConfigMap\nmetadata:\n  name: a\n  x: {{ values.token }}\n";
    let files = [("templates/all.yaml.j2", template)];
    let mut input = input(&files, json!({ "token": "canary: [" }));
    input.sensitive.insert("/token".into());
    let error = shown(&component(&input, &[]).unwrap_err());
    assert!(!error.contains("canary"), "{error}");
    insta::assert_snapshot!(error, @r"
    Error SW0305: rendered text is not YAML: `:` stands where no key can be
      at blueprints/demo/templates/all.yaml.j2:5:9
      |   x: {{ values.token }}
      |         ^^^^^^^^^^^^ written here
      component queues
      note: it is line 5 of the output, not shown since it may hold a secret
      help: quote text that holds `: `
    ");
}

#[test]
fn documents_that_are_no_objects() {
    for (template, message) in [
        ("kind: A\nmetadata: {name: a}\n", "`apiVersion` is missing or is not text"),
        ("apiVersion: v1\nmetadata: {name: a}\n", "`kind` is missing or is not text"),
        ("apiVersion: v1\nkind: Namespace\n", "`metadata.name` is missing or is not text"),
        ("apiVersion: v1\nkind: Namespace\nmetadata: {name: 5}\n", "`metadata.name` is not text"),
        (
            "apiVersion: v1\nkind: Pod\nmetadata: {name: a, namespace: n}\n",
            "`metadata.namespace` is not text",
        ),
        ("- a\n- b\n", "it is not a map"),
        ("just text\n", "it is not a map"),
        ("apiVersion: v1\nkind: Pod\nmetadata: {generateName: x-}\n", "`generateName`"),
        ("apiVersion: v1\nkind: Pod\nmetadata: {name: ../x}\n", "which no object can be called"),
        ("apiVersion: v1\nkind: Pod\nmetadata: {name: a}\n", "names none"),
        (
            "apiVersion: v1\nkind: Namespace\nmetadata: {name: a, labels: {x: true}}\n",
            "value of `metadata.labels.x` is not text",
        ),
    ] {
        let error = error(template, json!({}));
        assert!(error.contains(message), "{template}{error}");
        assert!(error.contains("blueprints/demo/templates/all.yaml.j2"), "{error}");
    }
    let second = "apiVersion: v1\nkind: Namespace\nmetadata: {name: a}\n---\n{% for x in [1] %}\nkind: Namespace\n{% endfor %}\n";
    insta::assert_snapshot!(error(second, json!({})), @r"
    Error SW0306: rendered document is not a Kubernetes object: `apiVersion` is missing or is not text
      at blueprints/demo/templates/all.yaml.j2:6:1
      | kind: Namespace
      | ^^^^^^^^^^^^^^^
      component queues
      help: every document needs `apiVersion`, `kind` and `metadata.name`
    ");
}

#[test]
fn a_secret_as_a_name_is_refused() {
    let template = "apiVersion: v1\nkind: Namespace\nmetadata:\n  name: {{ values.token }}\n";
    let files = [("templates/all.yaml.j2", template)];
    let mut input = input(&files, json!({ "token": "canary" }));
    input.sensitive.insert("/token".into());
    let error = shown(&component(&input, &[]).unwrap_err());
    assert!(error.contains("SW0317") && !error.contains("canary"), "{error}");
}

#[test]
fn no_mistake_of_an_object_shows_a_secret_that_names_it() {
    for template in [
        "apiVersion: v1\nkind: Pod\nmetadata: {name: 'canary/x', namespace: n}\n",
        "apiVersion: v1\nkind: Pod\nmetadata: {name: canary}\n",
        "apiVersion: v1\nkind: Pod\nmetadata: {name: a, namespace: 'canary%'}\n",
        "apiVersion: v1\nkind: Namespace\nmetadata: {name: a, labels: {canary: true}}\n",
        "apiVersion: v1\nkind: Namespace\nmetadata: {generateName: canary-, labels: {canary: 1}}\n",
    ] {
        let template = template.replace("canary", "{{ values.token }}");
        let files = [("templates/all.yaml.j2", template.as_str())];
        let mut input = input(&files, json!({ "token": "canary" }));
        input.sensitive.insert("/token".into());
        let error = shown(&component(&input, &[]).unwrap_err());
        assert!(!error.contains("canary"), "{error}");
    }
}

#[test]
fn every_wrong_template_is_told_at_once() {
    let files = [("templates/a.yaml.j2", "{{ x }}"), ("templates/b.yaml.j2", "{{ y }}")];
    let error = component(&input(&files, json!({})), &[]).unwrap_err();
    assert_eq!(error.0.len(), 2);
}
