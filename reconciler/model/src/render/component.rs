//! One component: which sources it needs, and its objects once they are there.

use std::collections::BTreeSet;

use rayon::prelude::*;
use serde_json::Value;

use super::{
    Artifact, ComponentInput, Open, RenderedComponent, Scope, SourceOutput, SourceRequest,
    SourceText, declare,
    document::{self, Document, Text},
    hook::{self, Fate},
    merge::lay_over,
    mistake::{self, nearest},
    secret::Secrets,
    selector::chooses,
    template::{Engine, Output},
};
use crate::{
    code,
    desired::DesiredObject,
    diagnostic::{Diagnostic, Diagnostics},
    files::Files,
    format::{
        blueprint::{Blueprint, HelmSource, Selector, Source},
        site::Component,
    },
    name::SourceName,
    object::GroupKind,
    yaml,
};

/// What one component may render to; an inventory holds 50,000 objects.
const MAX_OBJECTS: usize = 50_000;
/// The ending of files that are templates.
const TEMPLATE: &str = ".j2";

/// Returns the upstream artifacts that a component needs: those whose `when` holds, charts with their values.
///
/// # Errors
/// Every template, condition and name that is wrong, at once.
pub fn sources(input: &ComponentInput) -> Result<Vec<SourceRequest>, Diagnostics> {
    let secrets = Secrets::new(&input.values, &input.sensitive);
    let engine = Engine::new(input, &secrets);
    let spec = &input.blueprint.blueprint.spec;
    let mut diagnostics = Diagnostics::default();
    let mut requests = Vec::new();
    for source in &spec.sources {
        match request(input, &secrets, &engine, source) {
            Ok(request) => requests.extend(request),
            Err(error) => diagnostics.extend(error),
        }
    }
    if diagnostics.has_errors() { Err(diagnostics) } else { Ok(requests) }
}

/// Returns the texts that must not be shown, in every form that they may take: for what else may print them.
pub fn secret_texts(input: &ComponentInput) -> Vec<String> {
    Secrets::new(&input.values, &input.sensitive).into_texts()
}

/// Returns the objects of a component, given what its sources turned into.
///
/// # Errors
/// Every template, document and object that is wrong, at once.
pub fn component(
    input: &ComponentInput,
    outputs: &[SourceOutput],
) -> Result<RenderedComponent, Diagnostics> {
    let secrets = Secrets::new(&input.values, &input.sensitive);
    let engine = Engine::new(input, &secrets);
    let written = write(input, &engine)?;
    let groups = groups(input, &written, outputs)?;
    let mut warnings = Diagnostics::default();
    let declared = declared(input, &secrets, &groups, &mut warnings)?;
    let scopes = declare::scopes(declared.iter().map(|declared| &declared.body));
    let placed = all(declared
        .into_par_iter()
        .map(|declared| place(input, &secrets, &scopes, declared))
        .collect())?;
    let kept = exclude(input, placed, &mut warnings);
    limit(input, kept.len())?;
    Ok(finish(kept, scopes, warnings))
}

fn request(
    input: &ComponentInput,
    secrets: &Secrets,
    engine: &Engine<'_>,
    source: &Source,
) -> Result<Option<SourceRequest>, Diagnostics> {
    if let Some(condition) = &source.when
        && !engine.condition(condition)?
    {
        return Ok(None);
    }
    let artifact = match (&source.helm, &source.manifests) {
        (Some(helm), _) => Artifact::Chart {
            source: helm.clone(),
            release: release(input, helm),
            values: chart_values(input, secrets, engine, source)?,
        },
        (None, Some(manifests)) => Artifact::Manifests(manifests.clone()),
        (None, None) => return Ok(None),
    };
    let namespace = source.namespace.clone();
    Ok(Some(SourceRequest { name: source.name.clone(), namespace, artifact }))
}

fn release(input: &ComponentInput, helm: &HelmSource) -> String {
    helm.release.clone().unwrap_or_else(|| input.component.name.to_string())
}

/// Renders the values template of a chart, and lays the component's `upstream` over it.
fn chart_values(
    input: &ComponentInput,
    secrets: &Secrets,
    engine: &Engine<'_>,
    source: &Source,
) -> Result<Value, Diagnostics> {
    let mut values = match &source.values {
        Some(path) => rendered_values(input, secrets, engine.render(path)?)?,
        None => Value::Object(serde_json::Map::new()),
    };
    if let Some(upstream) = input.component.upstream.get(&source.name) {
        let upstream = upstream.iter().map(|(key, value)| (key.clone(), value.clone()));
        lay_over(&mut values, &Value::Object(upstream.collect()));
    }
    Ok(values)
}

fn rendered_values(
    input: &ComponentInput,
    secrets: &Secrets,
    output: Output,
) -> Result<Value, Diagnostics> {
    let text = Text::Template(&output);
    let mut documents = document::read(input, secrets, std::slice::from_ref(&text))?;
    match (documents.pop(), documents.is_empty()) {
        (None, _) => Ok(Value::Object(serde_json::Map::new())),
        (Some((_, Value::Object(map))), true) => Ok(Value::Object(map)),
        (Some((document, _)), _) => {
            let error = Diagnostic::error(
                code::render::SOURCE_VALUES,
                "template of a chart's values must render to one map",
            );
            Err(document.wrong(input, error).into())
        }
    }
}

/// Returns the names under a component's `upstream` that no source of its blueprint has, each with an error:
/// such values would be without effect.
pub fn unknown_upstream(
    component: &Component,
    blueprint: &Blueprint,
) -> Vec<(SourceName, Diagnostic)> {
    let known: Vec<String> =
        blueprint.spec.sources.iter().map(|source| source.name.to_string()).collect();
    let unknown = component.upstream.keys().filter(|name| !known.contains(&name.to_string()));
    let explain = |name: &SourceName| {
        let error = Diagnostic::error(
            code::render::UNKNOWN_SOURCE,
            format!("`upstream.{name}` names no source of blueprint `{}`", blueprint.metadata.name),
        )
        .component(&component.name);
        match nearest(name.as_str(), &known) {
            Some(nearest) => error.help(format!("did you mean `{nearest}`?")),
            None if known.is_empty() => error.help("this blueprint has no sources"),
            None => error.help(format!("it has: {}", known.join(", "))),
        }
    };
    unknown.map(|name| (name.clone(), explain(name))).collect()
}

/// Texts with the source that they come from; none for the blueprint's own.
struct Group<'a> {
    source: Option<&'a Source>,
    texts: Vec<Text<'a>>,
}

/// A document that will be an object.
struct Declared<'a> {
    document: Document<'a>,
    body: Value,
    source: Option<&'a Source>,
}

/// An object with its source.
struct Placed<'a> {
    object: DesiredObject,
    source: Option<&'a Source>,
    /// Whether it is known if the kind lives in namespaces.
    scope_known: bool,
}

/// Renders every template of the blueprint.
fn write(input: &ComponentInput, engine: &Engine<'_>) -> Result<Vec<Output>, Diagnostics> {
    let paths = template_paths(input)?;
    let templates = paths.iter().filter(|path| path.ends_with(TEMPLATE));
    all(templates.map(|path| engine.render(path)).collect())
}

/// Returns the files that `templates` of the blueprint names, each once.
fn template_paths(input: &ComponentInput) -> Result<BTreeSet<String>, Diagnostics> {
    let files = &input.blueprint.files;
    let mut paths = BTreeSet::new();
    let mut mistakes = Diagnostics::default();
    for entry in &input.blueprint.blueprint.spec.templates {
        if files.get(entry).is_some() {
            paths.insert(entry.clone());
            continue;
        }
        let folder = format!("{}/", entry.trim_end_matches('/'));
        let inside: Vec<&String> =
            files.entries.keys().filter(|path| path.starts_with(&folder)).collect();
        if inside.is_empty() {
            mistakes.push(no_template(input, entry));
        }
        paths.extend(inside.into_iter().filter(|path| is_manifest(path)).cloned());
    }
    if mistakes.has_errors() { Err(mistakes) } else { Ok(paths) }
}

/// Returns whether a file in a folder of templates makes objects: those that start with `_` are there to
/// be included, others than YAML to be read by people, and a kustomization to be read by kustomize.
fn is_manifest(path: &str) -> bool {
    let name = path.rsplit('/').next().unwrap_or(path);
    let plain = name.strip_suffix(TEMPLATE).unwrap_or(name);
    !name.starts_with('_')
        && !["kustomization.yaml", "kustomization.yml"].contains(&plain)
        && [".yaml", ".yml", ".json"].iter().any(|end| plain.ends_with(end))
}

fn no_template(input: &ComponentInput, entry: &str) -> Diagnostic {
    let known: Vec<String> = input.blueprint.files.entries.keys().cloned().collect();
    let blueprint = &input.blueprint.blueprint.metadata.name;
    let error = Diagnostic::error(
        code::render::TEMPLATE_MISSING,
        format!("blueprint `{blueprint}` has no file or folder `{entry}`"),
    )
    .at(mistake::in_blueprint_file(&input.blueprint.files, entry), "")
    .component(&input.component.name);
    match nearest(entry, &known) {
        Some(nearest) => error.help(format!("did you mean `{nearest}`?")),
        None => error.help("name a file or folder within the blueprint's folder"),
    }
}

/// Collects the texts that hold objects: templates, plain files, and what the sources turned into.
fn groups<'a>(
    input: &'a ComponentInput,
    written: &'a [Output],
    outputs: &'a [SourceOutput],
) -> Result<Vec<Group<'a>>, Diagnostics> {
    let files = &input.blueprint.files;
    let mut own: Vec<Text<'a>> = written.iter().map(Text::Template).collect();
    for path in template_paths(input)?.iter().filter(|path| !path.ends_with(TEMPLATE)) {
        own.push(file_text(files, path, path.clone())?);
    }
    let mut groups = vec![Group { source: None, texts: own }];
    for output in outputs {
        let source = input.blueprint.blueprint.spec.sources.iter();
        let source = source.clone().find(|source| source.name == output.name);
        groups.push(Group { source, texts: source_texts(output)? });
    }
    Ok(groups)
}

fn source_texts(output: &SourceOutput) -> Result<Vec<Text<'_>>, Diagnostics> {
    let name = output.name.as_str();
    match &output.text {
        SourceText::Chart(text) => Ok(vec![Text::Chart { name, text }]),
        SourceText::Manifests(files) => {
            let single = files.entries.len() == 1;
            let chosen = files.entries.keys().filter(|path| single || is_manifest(path));
            all(chosen
                .map(|path| file_text(files, path, format!("manifests {name}: {path}")))
                .collect())
        }
    }
}

fn file_text<'a>(files: &'a Files, path: &str, origin: String) -> Result<Text<'a>, Diagnostics> {
    let (path, bytes) = files.entries.get_key_value(path).expect("the path is one of its keys");
    let text = yaml::text_of(&files.display(path), bytes)?;
    Ok(Text::File { files, path, origin, text })
}

/// Reads every document, unpacks lists, and decides about hooks.
fn declared<'a>(
    input: &ComponentInput,
    secrets: &Secrets,
    groups: &'a [Group<'a>],
    warnings: &mut Diagnostics,
) -> Result<Vec<Declared<'a>>, Diagnostics> {
    let read: Vec<Vec<(Document<'a>, Value)>> =
        all(groups.iter().map(|group| document::read(input, secrets, &group.texts)).collect())?;
    let mut declared = Vec::new();
    for (group, documents) in groups.iter().zip(read) {
        let mut flat = Vec::with_capacity(documents.len());
        for (document, value) in documents {
            declare::flatten(document, value, &mut flat);
        }
        let left_out = keep(group, flat, &mut declared);
        if let (Some(source), false) = (group.source, left_out.is_empty()) {
            warnings.push(hooks_left_out(input, secrets, source, &left_out));
        }
    }
    Ok(declared)
}

/// Moves what is kept of a group to `declared`; returns the hooks that are left out.
fn keep<'a>(
    group: &Group<'a>,
    documents: Vec<(Document<'a>, Value)>,
    declared: &mut Vec<Declared<'a>>,
) -> Vec<String> {
    let chart = group.source.and_then(|source| source.helm.as_ref());
    let mut left_out = Vec::new();
    for (document, mut body) in documents {
        let fate = match chart {
            Some(chart) => hook::decide(&mut body, chart.hooks),
            None => Fate::Kept,
        };
        match fate {
            Fate::Kept => declared.push(Declared { document, body, source: group.source }),
            Fate::Test => {}
            Fate::LeftOut(events) => left_out.push(format!("{} ({events})", title(&body))),
        }
    }
    left_out
}

fn title(body: &Value) -> String {
    let text = |pointer| body.pointer(pointer).and_then(Value::as_str).unwrap_or("?");
    format!("{} `{}`", text("/kind"), text("/metadata/name"))
}

fn hooks_left_out(
    input: &ComponentInput,
    secrets: &Secrets,
    source: &Source,
    hooks: &[String],
) -> Diagnostic {
    let hooks = hooks.join(", ");
    Diagnostic::warning(
        code::render::HOOKS_LEFT_OUT,
        // No name of an object was looked at yet.
        format!("source `{}`: helm hooks are left out: {}", source.name, secrets.take_out(&hooks)),
    )
    .component(&input.component.name)
    .help("`hooks: true` on the source makes hooks of installation and upgrade ordinary objects")
}

/// Makes the object of a document, in its namespace.
fn place<'a>(
    input: &ComponentInput,
    secrets: &Secrets,
    scopes: &[(GroupKind, Scope)],
    mut declared: Declared<'a>,
) -> Result<Placed<'a>, Diagnostics> {
    let namespace = declared.source.and_then(|source| source.namespace.as_deref());
    let scope_known = declare::place(&mut declared.body, namespace, scopes);
    let object = declare::object(input, secrets, &declared.document, declared.body)?;
    if scope_known && let Some(error) = declare::needs_namespace(&object, scopes) {
        return Err(declared.document.wrong(input, error).into());
    }
    Ok(Placed { object, source: declared.source, scope_known })
}

/// Leaves out what the sources exclude; a selector that fits nothing is told.
fn exclude<'a>(
    input: &ComponentInput,
    mut placed: Vec<Placed<'a>>,
    warnings: &mut Diagnostics,
) -> Vec<Placed<'a>> {
    for source in &input.blueprint.blueprint.spec.sources {
        if !placed.iter().any(|placed| is_from(placed, source)) {
            continue;
        }
        for selector in &source.exclude {
            let before = placed.len();
            placed.retain(|placed| {
                !(is_from(placed, source) && chooses(selector, placed.object.object.id()))
            });
            if placed.len() == before {
                warnings.push(unused(input, source, selector));
            }
        }
    }
    placed
}

fn is_from(placed: &Placed<'_>, source: &Source) -> bool {
    placed.source.is_some_and(|from| from.name == source.name)
}

fn unused(input: &ComponentInput, source: &Source, selector: &Selector) -> Diagnostic {
    let name = selector.name.as_ref().map(|name| format!(" `{name}`")).unwrap_or_default();
    Diagnostic::warning(
        code::render::EXCLUDE_UNUSED,
        format!(
            "source `{}` excludes {}{name}, and holds no such object",
            source.name, selector.kind
        ),
    )
    .component(&input.component.name)
    .help("take the selector out, or mend its kind and name")
}

fn limit(input: &ComponentInput, objects: usize) -> Result<(), Diagnostics> {
    if objects <= MAX_OBJECTS {
        return Ok(());
    }
    let message =
        format!("component renders to {objects} objects; at most {MAX_OBJECTS} are taken");
    Err(Diagnostic::error(code::render::TOO_MUCH_OUTPUT, message)
        .component(&input.component.name)
        .help("split the component")
        .into())
}

fn finish(
    mut placed: Vec<Placed<'_>>,
    scopes: Vec<(GroupKind, Scope)>,
    warnings: Diagnostics,
) -> RenderedComponent {
    placed.sort_by(|a, b| a.object.object.id().cmp(b.object.object.id()));
    let open = placed
        .iter()
        .enumerate()
        .filter(|(_, placed)| !placed.scope_known)
        .map(|(index, placed)| Open {
            index,
            namespace: placed.source.and_then(|source| source.namespace.clone()),
        })
        .collect();
    let objects = placed.into_iter().map(|placed| placed.object).collect();
    RenderedComponent { objects, scopes, open, warnings }
}

/// Returns every value, or every mistake.
fn all<T>(results: Vec<Result<T, Diagnostics>>) -> Result<Vec<T>, Diagnostics> {
    let mut values = Vec::with_capacity(results.len());
    let mut mistakes = Diagnostics::default();
    for result in results {
        match result {
            Ok(value) => values.push(value),
            Err(mistake) => mistakes.extend(mistake),
        }
    }
    if mistakes.0.is_empty() { Ok(values) } else { Err(mistakes) }
}
