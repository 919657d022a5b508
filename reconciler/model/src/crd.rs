//! The schema of a CustomResourceDefinition, applied here, for instances that no server can judge yet.
//!
//! Comes in: the body of a desired CRD, an object of its kind. Goes out: what the server would refuse,
//! as [`Cause`]s. Never: more than the server refuses, as far as the schema tells; CEL rules and
//! formats are left to the server.
//!
//! The server's order is kept (apiextensions-apiserver, `pkg/apiserver/schema`): nulls that may not be
//! are pruned, defaults count as present, unknown fields are refused as `fieldValidation=Strict` does.

mod schema;

use jsonschema::{Draft, ValidationError, Validator, error::ValidationErrorKind};
use serde_json::Value;

use crate::{
    field::FieldPath,
    live::Cause,
    object::{GroupKind, Object},
};

/// At most so many causes are told of one object.
const CAUSES: usize = 20;

/// A version of a kind that a desired CRD brings.
#[derive(Debug)]
pub struct CrdVersion {
    namespaced: bool,
    /// None where the CRD has no schema that can be used: the server alone will judge.
    schema: Option<Schema>,
}

#[derive(Debug)]
struct Schema {
    structural: Value,
    validator: Validator,
}

/// Returns the kind that `crd` brings, and whether its objects live in namespaces; none where it is not a CRD.
pub fn brings(crd: &Value) -> Option<(GroupKind, bool)> {
    let text = |pointer: &str| crd.pointer(pointer).and_then(Value::as_str);
    let group = text("/apiVersion")?.rsplit_once('/')?.0;
    if (group, text("/kind")?) != ("apiextensions.k8s.io", "CustomResourceDefinition") {
        return None;
    }
    let kind = GroupKind::new(text("/spec/group")?, text("/spec/names/kind")?);
    Some((kind, text("/spec/scope")? == "Namespaced"))
}

impl CrdVersion {
    /// Reads `version` of `crd`; none where the CRD does not serve it.
    pub fn read(crd: &Value, version: &str) -> Option<Self> {
        let (_, namespaced) = brings(crd)?;
        let versions = crd.pointer("/spec/versions")?.as_array()?;
        let is_it = |entry: &&Value| {
            entry.get("name").and_then(Value::as_str) == Some(version)
                && entry.get("served").and_then(Value::as_bool) == Some(true)
        };
        let found = versions.iter().find(is_it)?;
        let schema = found.pointer("/schema/openAPIV3Schema").and_then(Schema::compile);
        Some(Self { namespaced, schema })
    }

    /// Returns whether its objects live in namespaces.
    pub fn is_namespaced(&self) -> bool {
        self.namespaced
    }

    /// Returns what the server would refuse of `object`; empty where nothing is known to be wrong.
    ///
    /// Messages show no values of objects that hold secrets.
    pub fn check(&self, object: &Object) -> Vec<Cause> {
        let Some(schema) = &self.schema else { return Vec::new() };
        let mut body = object.expose().clone();
        schema::prune_nulls(&mut body, &schema.structural);
        let causes = schema.validator.iter_errors(&body).map(|error| cause(&error, object, &body));
        causes.take(CAUSES).collect()
    }
}

impl Schema {
    fn compile(structural: &Value) -> Option<Self> {
        let build = |converted: &Value| {
            jsonschema::options()
                .with_draft(Draft::Draft202012)
                .should_validate_formats(false)
                .build(converted)
                .ok()
        };
        let validator = build(&schema::convert_root(structural))?;
        Some(Self { structural: structural.clone(), validator })
    }
}

fn cause(error: &ValidationError<'_>, object: &Object, body: &Value) -> Cause {
    let pointer = error.instance_path().as_str();
    let place = |pointer: &str| FieldPath::of_pointer(pointer, body).to_string();
    let below =
        |name: &str| place(&format!("{pointer}/{}", name.replace('~', "~0").replace('/', "~1")));
    let (field, reason, message) = match error.kind() {
        ValidationErrorKind::AdditionalProperties { unexpected } => {
            let names: Vec<String> = unexpected.iter().map(|name| below(name)).collect();
            let message = format!("unknown field `{}`", names.join("`, `"));
            (names.into_iter().next().unwrap_or_default(), "FieldValueUnknown", message)
        }
        ValidationErrorKind::Required { property } => {
            let name = property.as_str().unwrap_or_default();
            (below(name), "FieldValueRequired", "required value".to_owned())
        }
        _ if object.is_secret(pointer) || !object.sensitive().is_empty() => {
            (place(pointer), "FieldValueInvalid", error.masked().to_string())
        }
        _ => (place(pointer), "FieldValueInvalid", error.to_string()),
    };
    Cause { field, reason: reason.to_owned(), message }
}

#[cfg(test)]
mod tests;
