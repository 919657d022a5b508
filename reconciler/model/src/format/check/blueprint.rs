//! What the schema of blueprints cannot say.

use std::collections::BTreeMap;

use super::{Part, field_path, git_reference, labels};
use crate::{
    code::format,
    diagnostic::{Diagnostic, Diagnostics},
    health::scope,
    suggest::nearest,
};

/// The longest CEL expression: a bound on the parser's work.
const MAX_EXPRESSION: usize = 4096;

pub(in crate::format) fn check(root: &Part<'_>, mistakes: &mut Diagnostics) {
    if let Some((text, part)) = root.get("metadata").and_then(|metadata| metadata.text("version"))
        && let Err(error) = semver::Version::parse(text)
    {
        let message = format!("`{text}` is not a version");
        let error = part.error(format::BAD_VERSION, message, error.to_string());
        mistakes.push(error.help("write all three numbers (semver 2.0), for example `1.0.0`"));
    }
    let Some(spec) = root.get("spec") else { return };
    path(&spec, "values", mistakes);
    for part in spec.each("templates") {
        inside(part, mistakes);
    }
    for source in spec.each("sources") {
        check_source(&source, mistakes);
    }
    names(&spec, "sources", mistakes);
    for rule in spec.each("health") {
        for key in ["ready", "failed", "message"] {
            cel_expression(&rule, key, mistakes);
        }
    }
    for rule in spec.each("hazards") {
        if let Some(on) = rule.get("on") {
            field_path(&on, "field", mistakes);
        }
        if let Some(hits) = rule.get("hits") {
            labels::selector(&hits, "nodes", mistakes);
        }
    }
    for wave in spec.each("waves") {
        cel_expression(&wave, "ready", mistakes);
        if let Some(hits) = wave.get("hits") {
            labels::selector(&hits, "nodes", mistakes);
        }
        if let Some(restart) = wave.get("restart") {
            labels::selector(&restart, "daemonSets", mistakes);
        }
        if let Some(label) = wave.get("label") {
            labels::key(&label, "key", mistakes);
        }
    }
    names(&spec, "waves", mistakes);
    for rule in spec.each("ignore") {
        field_path(&rule, "field", mistakes);
    }
}

fn check_source(source: &Part<'_>, mistakes: &mut Diagnostics) {
    path(source, "values", mistakes);
    if let Some((text, part)) = source.text("when")
        && let Err(error) = minijinja::Environment::new().compile_expression(text)
    {
        let detail = error.detail().map_or_else(|| error.to_string(), str::to_owned);
        let message = "`when` is not an expression".to_owned();
        mistakes.push(part.error(format::BAD_EXPRESSION, message, detail));
    }
    for kind in ["helm", "manifests"] {
        let Some(content) = source.get(kind) else { continue };
        path(&content, "path", mistakes);
        if let Some(git) = content.get("git") {
            path(&git, "path", mistakes);
            git_reference(&git, mistakes);
        }
    }
    if let Some(helm) = source.get("helm") {
        chart(&helm, mistakes);
    } else if let Some(values) = source.get("values").filter(|part| !part.value.is_null()) {
        let message = "`values` are for charts; this source is no chart";
        mistakes.push(values.error(format::NOT_EXACTLY_ONE, message, "only with `helm`"));
    }
}

/// Holds a chart by name to a repository, and one by `oci://` to none.
fn chart(helm: &Part<'_>, mistakes: &mut Diagnostics) {
    let Some((chart, part)) = helm.text("chart") else { return };
    let repository = helm.get("repo").filter(|part| !part.value.is_null());
    match repository {
        None if !chart.starts_with("oci://") => {
            let message = format!("nothing says where the chart `{chart}` comes from");
            let error = part.error(format::NOT_EXACTLY_ONE, message, "a name needs `repo`");
            mistakes.push(error.help("add `repo: https://...`, or write `oci://...` here"));
        }
        Some(repository) if chart.starts_with("oci://") => {
            let message = "`chart` says where the chart is; `repo` says it again";
            let error = repository.error(format::NOT_EXACTLY_ONE, message, "not with `oci://`");
            mistakes.push(error.help("remove `repo`"));
        }
        _ => {}
    }
}

/// Finds parts of the list `key` that have the name of an earlier one.
fn names(spec: &Part<'_>, key: &str, mistakes: &mut Diagnostics) {
    let mut seen: BTreeMap<&str, String> = BTreeMap::new();
    for named in spec.each(key) {
        let Some((name, part)) = named.text("name") else { continue };
        if let Some(first) = seen.get(name) {
            let message = format!("two {key} are named `{name}`");
            let error = part.error(format::DUPLICATE_NAME, message, "named so again");
            mistakes.push(error.note(format!("the first is at {first}")));
        } else {
            seen.insert(name, part.place_in_words());
        }
    }
}

fn cel_expression(rule: &Part<'_>, key: &str, mistakes: &mut Diagnostics) {
    let Some((text, part)) = rule.text(key) else { return };
    let no_cel = |label: String| {
        let message = format!("`{key}` is not a CEL expression");
        let error = part.error(format::BAD_EXPRESSION, message, label);
        error.help("the language is described at https://cel.dev")
    };
    if text.len() > MAX_EXPRESSION {
        mistakes.push(no_cel(format!("longer than {MAX_EXPRESSION} bytes")));
        return;
    }
    match cel::Program::compile(text) {
        Err(errors) => mistakes.push(no_cel(errors.errors.first().map_or_else(String::new, says))),
        Ok(program) => {
            if let Some(name) = scope::undefined(program.expression()) {
                let message = format!("`{key}` uses `{name}`, which is not there");
                let label = match nearest(name, scope::NAMES) {
                    Some(near) => format!("did you mean `{near}`?"),
                    None => "no such name".to_owned(),
                };
                let sees = "an expression sees `metadata`, `spec` and `status` of the object, and the whole \
                            of it as `self`";
                mistakes.push(part.error(format::BAD_EXPRESSION, message, label).help(sees));
            }
        }
    }
}

/// Returns what the parser has against an expression, without the list of all that could stand there.
fn says(error: &cel::ParseError) -> String {
    let says = error.msg.trim_start_matches("Syntax error: ");
    let says = says.split(" expecting ").next().unwrap_or(says);
    format!("line {}, column {}: {says}", error.pos.0, error.pos.1)
}

/// Holds the path under `key` inside the folder that it starts from.
fn path(part: &Part<'_>, key: &str, mistakes: &mut Diagnostics) {
    if let Some(part) = part.get(key) {
        inside(part, mistakes);
    }
}

fn inside(part: Part<'_>, mistakes: &mut Diagnostics) {
    let Some((text, part)) = part.into_text() else { return };
    let label = if text.is_empty() {
        "the path is empty"
    } else if text.starts_with('/') {
        "an absolute path"
    } else if text.contains('\\') {
        "parts are separated by `/`"
    } else if text.split('/').any(|step| step == "..") {
        "`..` leaves the folder"
    } else {
        return;
    };
    mistakes.push(outside(&part, text, label));
}

fn outside(part: &Part<'_>, text: &str, label: &str) -> Diagnostic {
    part.error(format::BAD_PATH, format!("`{text}` is not a path inside its folder"), label)
        .help("a blueprint reads only what is in its own folder, and a source only what is in its repository")
}
