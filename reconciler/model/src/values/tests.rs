use serde_json::json;

use super::*;
use crate::{format::site, report};

const SCHEMA: &str = r##"{
  "$schema": "https://json-schema.org/draft/2020-12/schema",
  "type": "object",
  "additionalProperties": false,
  "required": ["domain"],
  "properties": {
    "domain": { "type": "string", "description": "The domain of the cluster." },
    "mons": { "type": "integer", "minimum": 1, "maximum": 9, "default": 3 },
    "mode": { "enum": ["fast", "safe"], "default": "safe" },
    "tags": { "type": "array", "items": { "type": "string" }, "default": ["a", "b"] },
    "dashboard": {
      "type": "object",
      "additionalProperties": false,
      "properties": {
        "enabled": { "type": "boolean", "default": true },
        "tls": {
          "type": "object",
          "properties": { "days": { "type": "integer", "default": 90 } }
        },
        "password": { "type": "string", "minLength": 12, "writeOnly": true }
      }
    },
    "pools": {
      "type": "object",
      "additionalProperties": { "$ref": "#/$defs/pool" },
      "default": { "home": { "replicas": 2 } }
    }
  },
  "$defs": {
    "pool": {
      "type": "object",
      "additionalProperties": false,
      "properties": {
        "replicas": { "type": "integer", "minimum": 1, "default": 3 },
        "keys": { "type": "array", "items": { "type": "string", "writeOnly": true } }
      }
    }
  }
}"##;

fn schema(text: &str) -> ValuesSchema {
    ValuesSchema::parse("blueprints/storage/values.schema.json", text).unwrap()
}

fn site(defaults: &str, values: &str) -> Located<site::Site> {
    let text = format!(
        "apiVersion: sitewright.dev/v1alpha1\nkind: Site\nmetadata: {{ name: lab }}\nspec:\n  \
         defaults:\n    storage: {defaults}\n  components:\n    - name: gpus\n      \
         blueprint: {{ name: gpus }}\n    - name: store\n      \
         blueprint: {{ name: storage }}\n      values: {values}\n"
    );
    site::parse("sites/lab/site.yaml", &text).unwrap()
}

fn resolved(defaults: &str, values: &str) -> Result<Resolved, Diagnostics> {
    let site = site(defaults, values);
    resolve(Some(&schema(SCHEMA)), &site, &site.value.spec.components[1])
}

fn report(result: Result<Resolved, Diagnostics>) -> String {
    report::render(&result.unwrap_err(), report::Style::default())
}

#[test]
fn defaults_are_filled_in_at_every_depth() {
    let value = resolved("{}", "{ domain: x }").unwrap().value;
    assert_eq!(
        value,
        json!({
            "domain": "x", "mons": 3, "mode": "safe", "tags": ["a", "b"],
            "dashboard": { "enabled": true, "tls": { "days": 90 } },
            "pools": { "home": { "replicas": 2 } },
        })
    );
}

#[test]
fn maps_merge_lists_are_replaced_and_null_removes() {
    let value = resolved(
        "{ domain: x, tags: [c], dashboard: { enabled: false }, mons: 5 }",
        "{ mons: 1, mode: null, dashboard: { tls: { days: 7 } }, pools: { home: null, fast: {} } }",
    );
    assert_eq!(
        value.unwrap().value,
        json!({
            "domain": "x", "mons": 1, "tags": ["c"],
            "dashboard": { "enabled": false, "tls": { "days": 7 } },
            "pools": { "fast": { "replicas": 3 } },
        })
    );
    let value = resolved("{ domain: x, dashboard: null }", "{ pools: null }").unwrap().value;
    assert_eq!(value, json!({ "domain": "x", "mons": 3, "mode": "safe", "tags": ["a", "b"] }));
}

#[test]
fn values_marked_write_only_are_sensitive() {
    let values =
        "{ domain: x, dashboard: { password: correct-horse }, pools: { a: { keys: [k, l] } } }";
    let resolved = resolved("{}", values).unwrap();
    assert_eq!(resolved.sensitive, ["/dashboard/password", "/pools/a/keys/0", "/pools/a/keys/1"]);
    assert!(!format!("{resolved:?}").contains("horse"));
}

#[test]
fn a_secret_is_marked_by_whatever_may_apply_to_it() {
    let secret =
        r#"{"properties": {"p": {"writeOnly": true}, "l": {"items": {"writeOnly": true}}}}"#;
    let many: Vec<String> = (0..100).map(|n| format!(r#"{{"required": ["k{n}"]}}"#)).collect();
    let any_of_many = format!(r#"{{"anyOf": [{}, {secret}]}}"#, many.join(", "));
    let schemas = [
        secret.to_owned(),
        any_of_many,
        format!(r#"{{"if": {secret}, "else": {{}}}}"#),
        format!(r#"{{"if": {{}}, "then": {secret}}}"#),
        format!(r#"{{"if": {{}}, "else": {secret}}}"#),
        format!(r#"{{"not": {{"not": {secret}}}}}"#),
        format!(r#"{{"dependentSchemas": {{"p": {secret}}}}}"#),
        r#"{"unevaluatedProperties": {"writeOnly": true}}"#.to_owned(),
        r#"{"patternProperties": {"p|l": {"writeOnly": true}}}"#.to_owned(),
        r#"{"properties": {"p": {"writeOnly": true}, "l": {"contains": {"writeOnly": true}}}}"#.to_owned(),
        r#"{"properties": {"p": {"writeOnly": true}, "l": {"unevaluatedItems": {"writeOnly": true}}}}"#
            .to_owned(),
    ];
    for text in schemas {
        let site = site("{}", "{ p: canary, l: [canary] }");
        let component = &site.value.spec.components[1];
        let found = resolve(Some(&schema(&text)), &site, component).unwrap().sensitive;
        assert_eq!(found.len(), 2, "{text}: {found:?}");
    }
}

#[test]
fn mistakes_are_shown_in_the_site_file() {
    insta::assert_snapshot!(report(resolved(
        "{ mons: 12, mod: fast }",
        "{ mode: sfae, tags: [1], pools: { home: { replicas: two } }, dashboard: [] }",
    )));
}

#[test]
fn a_secret_is_never_shown_not_even_beside_a_mistake() {
    let values = "{ domain: 1, dashboard: { password: canary, enabled: 2, x: 3 }, pools: { a: { keys: [{ b: canary }] } } }";
    let shown = report(resolved("{ dashboard: { password: canary } }", values));
    assert!(!shown.contains("canary"), "{shown}");
    insta::assert_snapshot!(shown);
}

#[test]
fn a_secret_under_a_mistyped_key_is_not_shown_either() {
    let shown =
        report(resolved("{}", "{ domain: x, dashboard: { pasword: canary }, extra: [canary] }"));
    assert!(shown.contains("did you mean `password`?") && !shown.contains("canary"), "{shown}");
}

#[test]
fn a_blueprint_without_a_schema_takes_no_values() {
    let none = site("{}", "{}");
    assert!(resolve(None, &none, &none.value.spec.components[1]).is_ok());
    let some = site("{ a: secret }", "{ b: secret }");
    let shown = report(resolve(None, &some, &some.value.spec.components[1]));
    assert!(shown.contains("unknown key `a`") && shown.contains("unknown key `b`"), "{shown}");
    assert!(!shown.contains("secret"), "{shown}");
}

#[test]
fn a_broken_schema_is_the_authors_mistake() {
    let broken = [
        (r#"{"type": "objct"}"#, 1),
        (r#"{"properties": {"a": {"$ref": "https://example.org/x"}}}"#, 1),
        (r#"{"properties": {"a": {"$ref": "other.json#/x"}}}"#, 1),
        (r##"{"properties": {"a": {"$ref": "#/$defs/none"}}}"##, 1),
        (r##"{"properties": {"a": {"$ref": "#name"}}, "$defs": {"x": {"$anchor": "name"}}}"##, 2),
        (r##"{"properties": {"a": {"$ref": "#/%24defs/x"}}, "$defs": {"x": {}}}"##, 1),
        (
            r##"{"properties": {"a": {"$dynamicRef": "#x"}}, "$defs": {"x": {"$dynamicAnchor": "x"}}}"##,
            2,
        ),
        (r##"{"$defs": {"x": {"$id": "https://example.org/x"}}}"##, 1),
        (r#"{"$schema": "http://json-schema.org/draft-07/schema#"}"#, 1),
        (r#"{"properties": {"a": {"type": "integer", "default": "x"}}}"#, 1),
        (r#"{"properties": {"a": {"pattern": "("}}}"#, 1),
        (r##"{"properties": {"a": {"$ref": "#", "default": {}}}}"##, 1),
        (
            r##"{"properties": {"a": {"$ref": "#", "default": {}}, "b": {"$ref": "#", "default": {}}}}"##,
            1,
        ),
        ("[]", 1),
        ("{}\n---\n{}", 1),
    ];
    for (text, count) in broken {
        let errors = ValuesSchema::parse("values.schema.json", text).unwrap_err().0;
        assert_eq!(errors.len(), count, "{text}: {errors:?}");
        assert_eq!(errors[0].code, format::BROKEN_VALUES_SCHEMA, "{text}");
    }
    let tabs = SCHEMA.replace("  ", "\t");
    assert!(ValuesSchema::parse("values.schema.json", &tabs).is_ok());
}

#[test]
fn a_default_that_breaks_its_schema_is_shown_where_it_stands() {
    let text = "{\n  \"properties\": {\n    \"a\": { \"type\": \"integer\", \"default\": \"x\" }\n  }\n}\n";
    let errors = ValuesSchema::parse("values.schema.json", text).unwrap_err();
    insta::assert_snapshot!(report::render(&errors, report::Style::default()));
}

#[test]
fn a_schema_that_refers_to_itself_is_fine_where_its_defaults_end() {
    let tree =
        r##"{"properties": {"child": {"$ref": "#"}, "n": {"type": "integer", "default": 1}}}"##;
    let site = site("{}", "{ child: { child: {} } }");
    let component = &site.value.spec.components[1];
    let value = resolve(Some(&schema(tree)), &site, component).unwrap().value;
    assert_eq!(value["child"]["child"]["n"], 1);
}
