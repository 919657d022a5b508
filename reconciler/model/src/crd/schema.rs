//! From a structural schema (OpenAPI v3 as CRDs use it) to JSON Schema 2020-12.

use serde_json::{Map, Value, json};

/// Keywords that mean the same in both.
const SAME: [&str; 13] = [
    "enum",
    "maxLength",
    "minLength",
    "maxItems",
    "minItems",
    "uniqueItems",
    "maxProperties",
    "minProperties",
    "maximum",
    "minimum",
    "multipleOf",
    "required",
    "pattern",
];

/// Converts the schema of a whole object: `apiVersion`, `kind` and `metadata` are the server's own.
pub(super) fn convert_root(structural: &Value) -> Value {
    let mut root = structural.clone();
    let map = root.as_object_mut().map(|map| map.entry("properties").or_insert_with(|| json!({})));
    if let Some(properties) = map.and_then(Value::as_object_mut) {
        for key in ["apiVersion", "kind", "metadata"] {
            properties.insert(key.into(), json!({ "x-kubernetes-preserve-unknown-fields": true }));
        }
    }
    convert(&root)
}

fn convert(structural: &Value) -> Value {
    let mut out = constraints(structural);
    let Some(schema) = structural.as_object() else { return Value::Object(out) };
    set_type(schema, &mut out);
    if let Some(items) = schema.get("items") {
        out.insert("items".into(), convert(items));
    }
    set_properties(schema, &mut out);
    Value::Object(out)
}

/// Only what constrains values: what stands in `allOf` and the like says nothing of which fields there are.
fn constraints(structural: &Value) -> Map<String, Value> {
    let mut out = Map::new();
    let Some(schema) = structural.as_object() else { return out };
    for key in SAME {
        if let Some(value) = schema.get(key) {
            out.insert(key.into(), value.clone());
        }
    }
    exclusive(schema, &mut out, "exclusiveMinimum", "minimum");
    exclusive(schema, &mut out, "exclusiveMaximum", "maximum");
    drop_defaulted(schema, &mut out);
    drop_odd_pattern(&mut out);
    // A chart may bring a schema that no server takes: its enum need not be a list.
    if let (true, Some(Value::Array(values))) = (is(schema, "nullable"), out.get_mut("enum")) {
        values.push(Value::Null);
    }
    for key in ["allOf", "anyOf", "oneOf"] {
        if let Some(Value::Array(list)) = schema.get(key) {
            let list = list.iter().map(nested_constraints).collect();
            out.insert(key.into(), Value::Array(list));
        }
    }
    if let Some(not) = schema.get("not") {
        out.insert("not".into(), nested_constraints(not));
    }
    out
}

fn nested_constraints(structural: &Value) -> Value {
    let mut out = constraints(structural);
    if let Some(kind) = structural.get("type") {
        out.insert("type".into(), kind.clone());
    }
    if let Some(items) = structural.get("items") {
        out.insert("items".into(), nested_constraints(items));
    }
    if let Some(Value::Object(properties)) = structural.get("properties") {
        let converted =
            properties.iter().map(|(name, schema)| (name.clone(), nested_constraints(schema)));
        out.insert("properties".into(), Value::Object(converted.collect()));
    }
    Value::Object(out)
}

/// OpenAPI v3.0 has a flag where JSON Schema has a number.
fn exclusive(schema: &Map<String, Value>, out: &mut Map<String, Value>, flag: &str, limit: &str) {
    if is(schema, flag)
        && let Some(value) = out.remove(limit)
    {
        out.insert(flag.into(), value);
    }
}

/// Defaults are filled in before the server validates.
fn drop_defaulted(schema: &Map<String, Value>, out: &mut Map<String, Value>) {
    let has_default = |name: &Value| {
        let properties = schema.get("properties").and_then(Value::as_object);
        let property = name.as_str().and_then(|name| properties?.get(name));
        property.is_some_and(|property| property.get("default").is_some())
    };
    if let Some(Value::Array(required)) = out.get_mut("required") {
        required.retain(|name| !has_default(name));
    }
}

/// The server's patterns are RE2; one that our engine cannot read is left to the server.
fn drop_odd_pattern(out: &mut Map<String, Value>) {
    let pattern = out.get("pattern").cloned();
    let probe = pattern.map(|pattern| json!({ "pattern": pattern }));
    if probe.is_some_and(|probe| jsonschema::options().build(&probe).is_err()) {
        out.remove("pattern");
    }
}

fn set_type(schema: &Map<String, Value>, out: &mut Map<String, Value>) {
    let mut types = match schema.get("type").and_then(Value::as_str) {
        _ if is(schema, "x-kubernetes-int-or-string") => vec!["integer", "string"],
        Some(kind) => vec![kind],
        None => return,
    };
    if is(schema, "nullable") {
        types.push("null");
    }
    out.insert("type".into(), types.into());
}

fn set_properties(schema: &Map<String, Value>, out: &mut Map<String, Value>) {
    let properties = schema.get("properties").and_then(Value::as_object);
    if let Some(properties) = properties {
        let converted = properties.iter().map(|(name, schema)| (name.clone(), convert(schema)));
        let mut converted: Map<String, Value> = converted.collect();
        if is(schema, "x-kubernetes-embedded-resource") {
            for key in ["apiVersion", "kind", "metadata"] {
                converted.entry(key).or_insert_with(|| json!({}));
            }
        }
        out.insert("properties".into(), Value::Object(converted));
    }
    match schema.get("additionalProperties") {
        Some(Value::Bool(_)) => {}
        Some(additional) => {
            out.insert("additionalProperties".into(), convert(additional));
        }
        None if is(schema, "x-kubernetes-preserve-unknown-fields")
            || is(schema, "x-kubernetes-embedded-resource") => {}
        None if properties.is_some() || is_object(schema) => {
            out.insert("additionalProperties".into(), Value::Bool(false));
        }
        None => {}
    }
}

fn is(schema: &Map<String, Value>, flag: &str) -> bool {
    schema.get(flag).and_then(Value::as_bool).unwrap_or_default()
}

fn is_object(schema: &Map<String, Value>) -> bool {
    schema.get("type").and_then(Value::as_str) == Some("object")
}

/// Takes out nulls where the schema does not allow them, as the server does before it fills in defaults.
pub(super) fn prune_nulls(value: &mut Value, structural: &Value) {
    match value {
        Value::Object(map) => {
            let schema_of = |key: &str| {
                structural
                    .get("properties")
                    .and_then(|properties| properties.get(key))
                    .or_else(|| structural.get("additionalProperties"))
            };
            map.retain(|key, value| !value.is_null() || schema_of(key).is_none_or(is_nullable));
            for (key, value) in map.iter_mut() {
                if let Some(schema) = schema_of(key) {
                    prune_nulls(value, schema);
                }
            }
        }
        Value::Array(list) => {
            if let Some(items) = structural.get("items") {
                list.iter_mut().for_each(|value| prune_nulls(value, items));
            }
        }
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {}
    }
}

fn is_nullable(structural: &Value) -> bool {
    structural.get("nullable").and_then(Value::as_bool).unwrap_or_default()
        || structural
            .get("x-kubernetes-preserve-unknown-fields")
            .and_then(Value::as_bool)
            .unwrap_or_default()
}
