//! The stage as a whole: from values and files to objects, and what people see when something is wrong.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

use serde_json::{Value, json};

use super::*;
use crate::{
    diagnostic::{Diagnostic, Diagnostics},
    files::Files,
    format::{blueprint::Blueprint, site::Component},
    object::{COMPONENT_LABEL, SITE_LABEL},
};

mod errors;
mod objects;
mod sources;

/// Makes the input of a component `queues` of site `lab` from files, `blueprint.yaml` among them.
fn input(files: &[(&str, &str)], values: Value) -> ComponentInput {
    let folder = Files {
        label: "blueprints/demo".into(),
        entries: files
            .iter()
            .map(|(path, text)| ((*path).into(), text.as_bytes().into()))
            .collect(),
    };
    let text = files.iter().find(|(path, _)| *path == "blueprint.yaml").map_or("", |file| file.1);
    let mut blueprint = json!({
        "apiVersion": "sitewright.dev/v1alpha1",
        "kind": "Blueprint",
        "metadata": { "name": "demo", "version": "1.2.3" },
        "spec": { "summary": "Demo", "templates": ["templates/"] },
    });
    if let Some(Value::Object(spec)) = crate::yaml::parse_values(text).unwrap().pop() {
        blueprint["spec"].as_object_mut().unwrap().extend(spec);
    }
    let blueprint: Blueprint = serde_json::from_value(blueprint).unwrap();
    let component: Component = serde_json::from_value(json!({
        "name": "queues", "blueprint": { "name": "demo" },
    }))
    .unwrap();
    ComponentInput {
        site: "lab".parse().unwrap(),
        component,
        blueprint: Arc::new(BlueprintFolder { blueprint, files: folder }),
        values,
        sensitive: BTreeSet::new(),
        capabilities: Arc::new(BTreeSet::from(["storage".to_owned()])),
    }
}

/// Renders one template without sources.
fn render_one(template: &str, values: Value) -> Result<RenderedComponent, Diagnostics> {
    component(&input(&[("templates/all.yaml.j2", template)], values), &[])
}

/// Returns the bodies of all objects, without the labels of ownership.
fn bodies(rendered: &RenderedComponent) -> Vec<Value> {
    rendered.objects.iter().map(|object| without_labels(object.object.expose())).collect()
}

fn without_labels(body: &Value) -> Value {
    let mut body = body.clone();
    let metadata = body["metadata"].as_object_mut().unwrap();
    let labels = metadata["labels"].as_object_mut().unwrap();
    assert_eq!(labels.remove(SITE_LABEL), Some(json!("lab")));
    assert_eq!(labels.remove(COMPONENT_LABEL), Some(json!("queues")));
    if labels.is_empty() {
        metadata.remove("labels");
    }
    body
}

/// Returns what is wrong as text, much as a terminal shows it.
fn shown(diagnostics: &Diagnostics) -> String {
    diagnostics.0.iter().map(show).collect::<Vec<_>>().join("\n")
}

fn show(diagnostic: &Diagnostic) -> String {
    let mut lines =
        vec![format!("{:?} {}: {}", diagnostic.severity, diagnostic.code, diagnostic.message)];
    if let Some(span) = &diagnostic.place.span {
        let before = &span.text[..span.range.start];
        let line = before.matches('\n').count() + 1;
        let start = before.rfind('\n').map_or(0, |newline| newline + 1);
        lines.push(format!("  at {}:{line}:{}", span.file, span.range.start - start + 1));
        let shown = span.text[start..].lines().next().unwrap_or_default();
        lines.push(format!("  | {shown}"));
        let width = span.range.len().min(shown.len().saturating_sub(span.range.start - start));
        let marks = format!("{}{}", " ".repeat(span.range.start - start), "^".repeat(width));
        let label = diagnostic.label.as_deref().unwrap_or_default();
        lines.push(format!("  | {marks} {label}").trim_end().to_owned());
    }
    if let Some(component) = &diagnostic.place.component {
        lines.push(format!("  component {component}"));
    }
    lines.extend(diagnostic.notes.iter().map(|note| format!("  note: {note}")));
    lines.extend(diagnostic.help.iter().map(|help| format!("  help: {help}")));
    lines.join("\n") + "\n"
}

fn config_map(name: &str) -> Value {
    json!({ "apiVersion": "v1", "kind": "ConfigMap", "metadata": { "name": name, "namespace": "n" } })
}

fn depends(
    components: &[(Component, BlueprintFolder)],
) -> Result<BTreeMap<String, Vec<String>>, String> {
    let pairs: Vec<_> = components.iter().map(|(component, folder)| (component, folder)).collect();
    let known =
        BTreeMap::from([("storage".to_owned(), BTreeSet::from(["rook-ceph".parse().unwrap()]))]);
    capability::dependencies(&pairs, &known)
        .map(|edges| {
            let text = |names: Vec<crate::name::ComponentName>| {
                names.iter().map(ToString::to_string).collect()
            };
            edges.into_iter().map(|(name, first)| (name.to_string(), text(first))).collect()
        })
        .map_err(|error| shown(&error))
}
