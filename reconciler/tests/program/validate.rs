//! Mistakes in the files of a site.

use std::fs;

use crate::desk::Desk;

#[test]
fn findings_are_told_as_json() {
    let desk = Desk::new();
    fs::write(desk.path().join("site.yaml"), "apiVersion: sitewright.dev/v1alpha1\nkind: Sit\n")
        .unwrap();
    let output = desk.run(&["validate", "-o", "json"]);
    assert_eq!(output.status.code(), Some(1));
    let findings: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(findings["format"], "sitewright.dev/findings/v1");
    assert_eq!(findings["findings"][0]["file"], "site.yaml");
    assert!(findings["findings"][0]["line"].is_number(), "{findings:#}");
}

const SITE: &str = "\
apiVersion: sitewright.dev/v1alpha1
kind: Site
metadata: { name: lab }
spec:
  polcy: { drift: report }
  components:
    - name: first
      blueprint: { name: hello, version: 1.x }
      values: { greting: hi, times: many }
    - name: second
      blueprint: { name: broken, version: 1.x }
    - name: third
      blueprint: { name: helo, version: 1.x }
";

const HELLO: &str = "\
apiVersion: sitewright.dev/v1alpha1
kind: Blueprint
metadata: { name: hello, version: 1.0.0 }
spec:
  summary: Says hello
  values: values.schema.json
  templates: [templates/]
";

const HELLO_VALUES: &str = r#"{
  "type": "object",
  "additionalProperties": false,
  "properties": { "greeting": { "type": "string" }, "times": { "type": "integer" } }
}"#;

const BROKEN: &str = "\
apiVersion: sitewright.dev/v1alpha1
kind: Blueprint
metadata: { name: broken, version: 1.0.0 }
spec:
  summery: Breaks
  templates: [templates/]
";

const LOCK: &str = "\
apiVersion: sitewright.dev/v1alpha1
kind: Lock
sorces: {}
";

#[test]
fn all_mistakes_in_the_sites_own_files_are_told_at_once() {
    let desk = Desk::new();
    let site = SITE.replace("{ name: hello,", "{ nam: hello,");
    desk.write("site.yaml", &site.replace("name: third", "name: first"));
    desk.write("site.lock", LOCK);
    insta::assert_snapshot!(desk.told(&["validate"]));
}

#[test]
fn all_mistakes_in_blueprints_values_and_references_are_told_at_once() {
    let desk = Desk::new();
    desk.write("site.yaml", &SITE.replace("  polcy: { drift: report }\n", ""));
    desk.write("blueprints/hello/blueprint.yaml", HELLO);
    desk.write("blueprints/hello/values.schema.json", HELLO_VALUES);
    desk.write("blueprints/hello/templates/hello.yaml.j2", "kind: {{ values.greeting }\n");
    desk.write("blueprints/broken/blueprint.yaml", BROKEN);
    desk.write("blueprints/broken/templates/broken.yaml.j2", "kind: ConfigMap\n");
    insta::assert_snapshot!(desk.told(&["validate"]));
}

#[test]
fn mistakes_of_templates_are_told_component_by_component() {
    let desk = Desk::new();
    let site = SITE.replace("  polcy: { drift: report }\n", "");
    let site = site.replace("greting: hi, times: many", "greeting: hi").replace("helo", "hello");
    desk.write("site.yaml", &site);
    desk.write("blueprints/hello/blueprint.yaml", HELLO);
    desk.write("blueprints/hello/values.schema.json", HELLO_VALUES);
    desk.write("blueprints/hello/templates/hello.yaml.j2", "kind: {{ values.greting }}\n");
    desk.write("blueprints/broken/blueprint.yaml", &BROKEN.replace("summery", "summary"));
    desk.write("blueprints/broken/templates/broken.yaml.j2", "kind: ConfigMap\nmetadata: {}\n");
    insta::assert_snapshot!(desk.told(&["validate"]));
}
