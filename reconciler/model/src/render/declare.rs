//! From documents to objects: what has no name is refused, what the server owns is dropped, ours is stamped.

use std::sync::Arc;

use serde_json::{Map, Value};

use super::{
    ComponentInput, Scope,
    document::Document,
    scope::{self, is_crd},
    secret::Secrets,
};
use crate::{
    code,
    desired::DesiredObject,
    diagnostic::{Diagnostic, Diagnostics},
    object::{COMPONENT_LABEL, GroupKind, NotAnObject, Object, SITE_LABEL},
};

/// How deep lists of lists are read.
const LISTS: usize = 4;

/// Unpacks a document that is a list of objects (`kind: List`, `kind: ConfigMapList`) into `found`.
pub(super) fn flatten<'a>(
    document: Document<'a>,
    value: Value,
    found: &mut Vec<(Document<'a>, Value)>,
) {
    flatten_below(document, value, LISTS, found);
}

fn flatten_below<'a>(
    document: Document<'a>,
    value: Value,
    depth: usize,
    found: &mut Vec<(Document<'a>, Value)>,
) {
    let kind = value.get("kind").and_then(Value::as_str).unwrap_or_default().to_owned();
    let is_list = kind.ends_with("List") && value.pointer("/metadata/name").is_none();
    let api_version = value.get("apiVersion").cloned();
    match value {
        Value::Object(mut map) if is_list && depth > 0 => match map.remove("items") {
            Some(Value::Array(items)) => {
                for mut item in items {
                    if kind != "List" {
                        inherit(&mut item, kind.trim_end_matches("List"), api_version.as_ref());
                    }
                    flatten_below(document.clone(), item, depth - 1, found);
                }
            }
            Some(Value::Null) => {}
            Some(items) => {
                map.insert("items".into(), items);
                found.push((document, Value::Object(map)));
            }
            None => found.push((document, Value::Object(map))),
        },
        Value::Null => {}
        other => found.push((document, other)),
    }
}

/// The items of a typed list need not repeat its kind.
fn inherit(item: &mut Value, kind: &str, api_version: Option<&Value>) {
    if let Value::Object(map) = item {
        map.entry("kind").or_insert_with(|| kind.into());
        if let Some(api_version) = api_version {
            map.entry("apiVersion").or_insert_with(|| api_version.clone());
        }
    }
}

/// Makes an object of a document.
pub(super) fn object(
    input: &ComponentInput,
    secrets: &Secrets,
    document: &Document<'_>,
    mut body: Value,
) -> Result<DesiredObject, Diagnostics> {
    // First: what else is wrong is told with the names.
    if secrets.in_names(&body) {
        let error = Diagnostic::error(
            code::render::SECRET_IN_NAME,
            "a secret value is part of an object's name or of a key in it, where it would be shown",
        );
        return Err(document.wrong(input, error).into());
    }
    if let Err(mut error) = check(&body) {
        error.message = secrets.take_out(&error.message).into_owned();
        return Err(document.wrong(input, *error).into());
    }
    tidy(&mut body);
    stamp(input, &mut body);
    let sensitive = secrets.leaves(&body);
    match Object::new(body) {
        Ok(object) => Ok(declared(object.with_sensitive(sensitive), document.origin.clone())),
        Err(reason) => Err(document.wrong(input, not_an_object(&reason)).into()),
    }
}

/// Makes the desired object of an object.
pub(super) fn declared(object: Object, origin: Arc<str>) -> DesiredObject {
    let digest = object.digest();
    DesiredObject { object, origin, digest }
}

fn not_an_object(reason: &NotAnObject) -> Diagnostic {
    Diagnostic::error(
        code::render::NOT_AN_OBJECT,
        format!("rendered document is not a Kubernetes object: {reason}"),
    )
    .help("every document needs `apiVersion`, `kind` and `metadata.name`")
}

fn check(body: &Value) -> Result<(), Box<Diagnostic>> {
    let metadata = body.get("metadata");
    let field = |key: &str| metadata.and_then(|metadata| metadata.get(key));
    let no_name = field("name").and_then(Value::as_str).is_none_or(str::is_empty);
    if no_name && field("generateName").is_some() {
        return Err(Diagnostic::error(
            code::render::GENERATE_NAME,
            "object has `generateName`, which would make a new object at each apply",
        )
        .help("give it a `name`")
        .into());
    }
    for key in ["name", "namespace"] {
        if field(key).is_some_and(|name| !is_text(name)) {
            return Err(Diagnostic::error(
                code::render::NOT_AN_OBJECT,
                format!("`metadata.{key}` is not text"),
            )
            .help("quote it: YAML reads `n`, `no`, `on` and numbers as something else")
            .into());
        }
        if let Some(name) = field(key).and_then(Value::as_str)
            && (name.contains(['/', '%']) || matches!(name, "." | ".."))
        {
            return Err(Diagnostic::error(
                code::render::NOT_AN_OBJECT,
                format!("`metadata.{key}` is `{name}`, which no object can be called"),
            )
            .help("names hold no `/` and no `%`, and are neither `.` nor `..`")
            .into());
        }
    }
    for key in ["labels", "annotations"] {
        check_texts(key, field(key))?;
    }
    Ok(())
}

/// Labels and annotations are maps of text; unquoted, `true` and `1` are not.
fn check_texts(key: &str, value: Option<&Value>) -> Result<(), Box<Diagnostic>> {
    let wrong = |what: String| {
        Err(Diagnostic::error(code::render::NOT_AN_OBJECT, what)
            .help("quote it, or write it with `| string | to_json`")
            .into())
    };
    match value {
        None | Some(Value::Null) => Ok(()),
        Some(Value::Object(map)) => match map.iter().find(|(_, value)| !is_text(value)) {
            Some((name, _)) => wrong(format!("value of `metadata.{key}.{name}` is not text")),
            None => Ok(()),
        },
        Some(_) => wrong(format!("`metadata.{key}` is not a map")),
    }
}

fn is_text(value: &Value) -> bool {
    matches!(value, Value::String(_) | Value::Null)
}

/// Drops what the server owns and generators leave behind, so that it is never drift.
fn tidy(body: &mut Value) {
    let Value::Object(map) = body else { return };
    let kind = map.get("kind").and_then(Value::as_str).unwrap_or_default();
    if kind == "CustomResourceDefinition" {
        map.remove("status");
    }
    if let Some(Value::Object(metadata)) = map.get_mut("metadata") {
        for key in ["managedFields", "resourceVersion", "uid", "generation", "selfLink"] {
            metadata.remove(key);
        }
        for key in ["creationTimestamp", "labels", "annotations", "namespace"] {
            if metadata.get(key).is_some_and(|value| value.is_null() || *value == "") {
                metadata.remove(key);
            }
        }
        metadata.remove("creationTimestamp");
    }
}

fn stamp(input: &ComponentInput, body: &mut Value) {
    let Some(Value::Object(metadata)) = body.get_mut("metadata") else { return };
    let labels = metadata.entry("labels").or_insert_with(|| Value::Object(Map::new()));
    if let Value::Object(labels) = labels {
        labels.insert(SITE_LABEL.to_owned(), input.site.as_str().into());
        labels.insert(COMPONENT_LABEL.to_owned(), input.component.name.as_str().into());
    }
}

/// Gives `body` the namespace `default` if it names none and its kind wants one, and takes it away where
/// the kind lives outside namespaces. Returns whether the kind's scope was known.
pub(super) fn place(body: &mut Value, default: Option<&str>, own: &[(GroupKind, Scope)]) -> bool {
    let Some(kind) = kind_of(body) else { return true };
    let own = || own.iter().find(|(defined, _)| *defined == kind).map(|(_, scope)| *scope);
    match scope::built_in(&kind).or_else(own) {
        Some(scope) => {
            set_namespace(body, default, scope);
            true
        }
        None => false,
    }
}

/// Applies a scope that is known by now.
pub(super) fn set_namespace(body: &mut Value, default: Option<&str>, scope: Scope) {
    let Some(Value::Object(metadata)) = body.get_mut("metadata") else { return };
    match scope {
        Scope::Cluster => {
            metadata.remove("namespace");
        }
        Scope::Namespaced => {
            let none = metadata.get("namespace").and_then(Value::as_str).is_none_or(str::is_empty);
            if let (true, Some(default)) = (none, default) {
                metadata.insert("namespace".into(), default.into());
            }
        }
    }
}

/// Returns an error where an object of a kind that lives in namespaces names none.
pub(super) fn needs_namespace(
    object: &DesiredObject,
    own: &[(GroupKind, Scope)],
) -> Option<Diagnostic> {
    let id = object.object.id();
    let own = || own.iter().find(|(defined, _)| *defined == id.kind).map(|(_, scope)| *scope);
    let scope = scope::built_in(&id.kind).or_else(own)?;
    (scope == Scope::Namespaced && id.namespace.is_none()).then(|| no_namespace(&object.object))
}

/// Says that an object names no namespace.
pub(super) fn no_namespace(object: &Object) -> Diagnostic {
    let id = object.id();
    Diagnostic::error(
        code::render::NAMESPACE_MISSING,
        format!("{id} lives in a namespace and names none"),
    )
    .object(id)
    .help("give it `metadata.namespace`, or give its source a `namespace`")
}

/// Returns group and kind of a body.
pub(super) fn kind_of(body: &Value) -> Option<GroupKind> {
    let api_version = body.get("apiVersion")?.as_str()?;
    let group = api_version.rsplit_once('/').map_or("", |(group, _)| group);
    Some(GroupKind::new(group, body.get("kind")?.as_str()?))
}

/// Returns what the custom resource definitions among `bodies` define.
pub(super) fn scopes<'v>(bodies: impl Iterator<Item = &'v Value>) -> Vec<(GroupKind, Scope)> {
    bodies
        .filter(|body| kind_of(body).is_some_and(|kind| is_crd(&kind)))
        .filter_map(scope::defined_by)
        .collect()
}
