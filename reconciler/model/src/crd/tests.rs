use super::*;
use serde_json::json;

fn crd(spec: Value) -> Value {
    json!({
        "apiVersion": "apiextensions.k8s.io/v1", "kind": "CustomResourceDefinition",
        "metadata": { "name": "widgets.example.org" },
        "spec": {
            "group": "example.org", "scope": "Namespaced", "names": { "kind": "Widget", "plural": "widgets" },
            "versions": [{ "name": "v1", "served": true, "storage": true, "schema": { "openAPIV3Schema": {
                "type": "object", "properties": { "spec": spec } } } }],
        },
    })
}

fn causes(schema: Value, spec: Value) -> Vec<String> {
    let version = CrdVersion::read(&crd(schema), "v1").unwrap();
    let object = json!({ "apiVersion": "example.org/v1", "kind": "Widget",
        "metadata": { "name": "w", "labels": { "a": "b" } }, "spec": spec });
    let causes = version.check(&Object::new(object).unwrap());
    causes.into_iter().map(|cause| format!("{}: {}", cause.field, cause.message)).collect()
}

#[test]
fn a_value_of_the_wrong_type_is_named_by_its_field() {
    let schema = json!({ "type": "object", "properties": { "size": { "type": "integer" } } });
    let found = causes(schema.clone(), json!({ "size": "large" }));
    assert_eq!(found, [r#"spec.size: "large" is not of type "integer""#]);
    assert!(causes(schema, json!({ "size": 3 })).is_empty());
}

#[test]
fn an_unknown_field_is_refused_unless_the_schema_keeps_it() {
    let mut schema = json!({ "type": "object", "properties": { "size": { "type": "integer" } } });
    assert_eq!(
        causes(schema.clone(), json!({ "sise": 3 })),
        ["spec.sise: unknown field `spec.sise`"]
    );
    schema["x-kubernetes-preserve-unknown-fields"] = true.into();
    assert!(causes(schema, json!({ "sise": 3 })).is_empty());
}

#[test]
fn defaults_count_as_present_and_nulls_as_absent() {
    let schema = json!({ "type": "object", "required": ["a", "b"], "properties": {
        "a": { "type": "string", "default": "x" }, "b": { "type": "string" } } });
    assert_eq!(causes(schema.clone(), json!({})), ["spec.b: required value"]);
    assert_eq!(causes(schema, json!({ "b": null })), ["spec.b: required value"]);
    let nullable =
        json!({ "type": "object", "properties": { "a": { "type": "string", "nullable": true } } });
    assert!(causes(nullable, json!({ "a": null })).is_empty());
}

#[test]
fn a_schema_that_no_server_takes_is_left_to_the_server() {
    let schema = json!({ "type": "string", "nullable": true, "enum": "a" });
    assert!(causes(schema, json!("b")).is_empty());
    let schema = json!({ "type": "string", "nullable": true, "enum": ["a"] });
    assert!(causes(schema.clone(), json!(null)).is_empty());
    assert_eq!(causes(schema, json!("b")).len(), 1);
}

#[test]
fn int_or_string_takes_both() {
    let schema = json!({ "type": "object", "properties": { "port": {
        "x-kubernetes-int-or-string": true, "anyOf": [{ "type": "integer" }, { "type": "string" }] } } });
    assert!(causes(schema.clone(), json!({ "port": 80 })).is_empty());
    assert!(causes(schema.clone(), json!({ "port": "http" })).is_empty());
    assert_eq!(causes(schema, json!({ "port": true })).len(), 2);
}

#[test]
fn value_rules_do_not_say_which_fields_there_are() {
    let schema = json!({ "type": "object", "oneOf": [{ "required": ["a"] }, { "required": ["b"] }],
        "properties": { "a": { "type": "string" }, "b": { "type": "string" }, "c": { "type": "string" } } });
    assert!(causes(schema.clone(), json!({ "a": "1", "c": "2" })).is_empty());
    assert_eq!(causes(schema, json!({ "a": "1", "b": "2" })).len(), 1);
}

#[test]
fn an_exclusive_limit_is_a_flag_in_openapi() {
    let schema = json!({ "type": "object", "properties": { "n": {
        "type": "number", "minimum": 0, "exclusiveMinimum": true } } });
    assert!(causes(schema.clone(), json!({ "n": 0.5 })).is_empty());
    assert_eq!(causes(schema, json!({ "n": 0 })).len(), 1);
}

#[test]
fn a_secret_value_is_never_quoted() {
    let schema = json!({ "type": "object", "properties": { "token": { "type": "integer" } } });
    let version = CrdVersion::read(&crd(schema), "v1").unwrap();
    let object = json!({ "apiVersion": "example.org/v1", "kind": "Widget", "metadata": { "name": "w" },
        "spec": { "token": "canary" } });
    let object = Object::new(object).unwrap().with_sensitive(["/spec/token".to_owned()]);
    let causes = version.check(&object);
    assert_eq!(causes[0].field, "spec.token");
    assert!(!format!("{causes:?}").contains("canary"));
}

#[test]
fn metadata_is_the_servers_own() {
    let mut crd = crd(json!({}));
    crd["spec"]["versions"][0]["schema"]["openAPIV3Schema"] = json!({ "type": "object" });
    let object =
        json!({ "apiVersion": "example.org/v1", "kind": "Widget", "metadata": { "name": "w" } });
    let version = CrdVersion::read(&crd, "v1").unwrap();
    assert!(version.check(&Object::new(object).unwrap()).is_empty());
}

#[test]
fn a_version_that_is_not_served_is_not_there() {
    assert!(CrdVersion::read(&crd(json!({ "type": "object" })), "v2").is_none());
    assert!(brings(&json!({ "apiVersion": "v1", "kind": "ConfigMap" })).is_none());
}
