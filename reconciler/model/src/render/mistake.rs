//! Errors of the template engine in our words, with the place in the template and the component.

use std::{error::Error as _, ops::Range};

use minijinja::{Error, ErrorKind};
use serde_json::{Value, json};

use super::{ComponentInput, secret::Secrets, template::span_of};
use crate::{
    code::{self, Code},
    diagnostic::{Diagnostic, FileSpan},
    files::Files,
    yaml,
};

/// The file that `when` expressions stand in.
const BLUEPRINT_FILE: &str = "blueprint.yaml";

/// Explains an error of the template at `path`.
pub(super) fn in_template(
    input: &ComponentInput,
    secrets: &Secrets,
    path: &str,
    error: &Error,
) -> Diagnostic {
    let chain = chain(error);
    let innermost = chain.last().copied().unwrap_or(error);
    let template = innermost.name().unwrap_or(path);
    if let Some(binary) = not_text(input, template) {
        return binary;
    }
    let span = span_of(&input.blueprint.files, template, place(input, template, innermost));
    let mut diagnostic = explain(input, secrets, innermost, span).component(&input.component.name);
    for outer in chain.iter().rev().skip(1) {
        if let (Some(name), Some(line)) = (outer.name(), outer.line()) {
            let file = input.blueprint.files.display(name);
            diagnostic.notes.push(format!("it is used by {file}:{line}"));
        }
    }
    // A template that includes itself stands there many times.
    diagnostic.notes.dedup();
    diagnostic
}

/// Returns that a template is no text, where it is not: whatever the engine says of it is beside the point.
fn not_text(input: &ComponentInput, template: &str) -> Option<Diagnostic> {
    let files = &input.blueprint.files;
    let mistakes = yaml::text_of(&files.display(template), files.get(template)?).err()?;
    Some(mistakes.0.into_iter().next()?.component(&input.component.name))
}

/// Explains an error of a `when` expression.
pub(super) fn in_expression(
    input: &ComponentInput,
    secrets: &Secrets,
    expression: &str,
    error: &Error,
) -> Diagnostic {
    let whole = expression_span(input, expression);
    let range = error.range().filter(|range| range.end <= expression.len()).unwrap_or(0..0);
    let (start, end) = (whole.range.start + range.start, whole.range.start + range.end);
    let span = if range.is_empty() { whole } else { FileSpan { range: start..end, ..whole } };
    explain(input, secrets, error, span)
        .component(&input.component.name)
        .note(format!("it is the condition `{expression}` of a source"))
}

/// Says that a `when` expression is neither true nor false.
pub(super) fn not_a_condition(input: &ComponentInput, expression: &str, kind: &str) -> Diagnostic {
    Diagnostic::error(
        code::render::CONDITION,
        format!("condition `{expression}` gives a value of type {kind}, not true or false"),
    )
    .at(expression_span(input, expression), "must be true or false")
    .component(&input.component.name)
    .help("compare it with something, or use a test such as `values.x is defined`")
}

fn expression_span(input: &ComponentInput, expression: &str) -> FileSpan {
    in_blueprint_file(&input.blueprint.files, expression)
}

/// Returns the first place of `text` in `blueprint.yaml`.
pub(super) fn in_blueprint_file(files: &Files, text: &str) -> FileSpan {
    let whole = files.get(BLUEPRINT_FILE).and_then(|bytes| std::str::from_utf8(bytes).ok());
    let start = whole.and_then(|whole| whole.find(text));
    let range = start.map_or(0..0, |start| start..start + text.len());
    span_of(files, BLUEPRINT_FILE, range)
}

/// Returns the error and its causes within the engine, the innermost last.
fn chain(error: &Error) -> Vec<&Error> {
    let mut chain = vec![error];
    let mut cause = error.source();
    while let Some(inner) = cause {
        // An inner error without a place says less than the outer one with it.
        if let Some(inner) = inner.downcast_ref::<Error>().filter(|inner| inner.name().is_some()) {
            chain.push(inner);
        }
        cause = inner.source();
    }
    chain
}

/// Returns the range that an error blames: the exact part where the engine knows it, else the line.
fn place(input: &ComponentInput, template: &str, error: &Error) -> Range<usize> {
    if let Some(range) = error.range().filter(|range| !range.is_empty()) {
        return range;
    }
    let bytes = input.blueprint.files.get(template);
    let text = bytes.and_then(|bytes| std::str::from_utf8(bytes).ok()).unwrap_or_default();
    error.line().map_or(0..0, |line| line_range(text, line))
}

/// Returns the range of line `number` (from 1) without its indentation and its end.
pub(super) fn line_range(text: &str, number: usize) -> Range<usize> {
    let start: usize =
        text.split_inclusive('\n').take(number.saturating_sub(1)).map(str::len).sum();
    let line = text.get(start..).unwrap_or_default().lines().next().unwrap_or_default();
    let indent = line.len() - line.trim_start().len();
    start + indent..start + line.trim_end().len().max(indent)
}

fn explain(
    input: &ComponentInput,
    secrets: &Secrets,
    error: &Error,
    mut span: FileSpan,
) -> Diagnostic {
    let detail = error.detail().map(|detail| secrets.take_out(detail).into_owned());
    let (code, message) = describe(error, detail.as_deref());
    let mut diagnostic = Diagnostic::error(code, message);
    let mut label = String::new();
    if code == code::render::TEMPLATE_UNDEFINED {
        span.range = path_around(&span.text, span.range);
        let path = span.text.get(span.range.clone()).unwrap_or_default();
        if let Some(missing) = Missing::find(input, path) {
            diagnostic.message = missing.message();
            label = missing.label();
        }
    }
    diagnostic.at(span, label).help(help_for(code))
}

fn describe(error: &Error, detail: Option<&str>) -> (Code, String) {
    let with_detail = |what: &str| match detail {
        Some(detail) => format!("{what}: {detail}"),
        None => what.to_owned(),
    };
    match error.kind() {
        ErrorKind::OutOfFuel => (
            code::render::TEMPLATE_TOO_MUCH,
            "template does more work than one template may: it loops without end, or over too much"
                .into(),
        ),
        ErrorKind::InvalidOperation
            if detail.is_some_and(|detail| detail.contains("recursion limit")) =>
        {
            let message = "template includes or calls itself without end";
            (code::render::TEMPLATE_TOO_MUCH, message.into())
        }
        ErrorKind::UndefinedError => (
            code::render::TEMPLATE_UNDEFINED,
            with_detail("template uses a value that is not there"),
        ),
        ErrorKind::TemplateNotFound => (
            code::render::TEMPLATE_MISSING,
            with_detail("template is not in the blueprint's folder"),
        ),
        // The detail of `fail(...)` is the whole message.
        ErrorKind::InvalidOperation => {
            (code::render::TEMPLATE_FAILED, detail.unwrap_or("template failed").to_owned())
        }
        kind => (code::render::TEMPLATE_FAILED, with_detail(&kind.to_string())),
    }
}

fn help_for(code: Code) -> &'static str {
    if code == code::render::TEMPLATE_UNDEFINED {
        "give it a default in the values schema, or ask with `is defined`"
    } else if code == code::render::TEMPLATE_TOO_MUCH {
        "take fewer values, or write fewer objects with one template"
    } else if code == code::render::TEMPLATE_MISSING {
        "paths start at the blueprint's folder; `./` and `../` start at the template's own"
    } else {
        "mend the template there; where it says no itself, mend the values of the component"
    }
}

/// Returns the range of the path that `range` is a part of: the engine blames `.teams` in `values.teams`.
fn path_around(text: &str, range: Range<usize>) -> Range<usize> {
    let before = text.get(..range.start).unwrap_or_default();
    range.start - (before.len() - before.trim_end_matches(is_part_of_path).len())..range.end
}

fn is_part_of_path(character: char) -> bool {
    character.is_alphanumeric() || character == '.' || character == '_'
}

/// A path such as `values.teams.vision` that leads nowhere.
struct Missing {
    parent: String,
    key: String,
    nearest: Option<String>,
    known: Vec<String>,
}

impl Missing {
    /// Finds where the path that `blamed` starts with ends.
    fn find(input: &ComponentInput, blamed: &str) -> Option<Self> {
        let path = blamed.split(|c: char| !is_part_of_path(c)).next().unwrap_or_default();
        let mut parts = path.split('.');
        let root = parts.next()?;
        let metadata = &input.blueprint.blueprint.metadata;
        let other = json!({
            "site": { "name": input.site },
            "component": { "name": input.component.name },
            "blueprint": { "name": metadata.name, "version": metadata.version.to_string() },
        });
        let mut value = if root == "values" { &input.values } else { other.get(root)? };
        let mut parent = root.to_owned();
        for key in parts {
            let map = value.as_object()?;
            match map.get(key) {
                Some(next) => value = next,
                None => {
                    let known: Vec<String> = map.keys().cloned().collect();
                    let nearest = nearest(key, &known);
                    return Some(Self { parent, key: key.to_owned(), nearest, known });
                }
            }
            parent = format!("{parent}.{key}");
        }
        None
    }

    fn message(&self) -> String {
        format!("template uses `{}.{}`, which is not there", self.parent, self.key)
    }

    fn label(&self) -> String {
        match &self.nearest {
            Some(nearest) => format!("did you mean `{}.{nearest}`?", self.parent),
            None if self.known.is_empty() => format!("`{}` is empty", self.parent),
            None => format!("`{}` has {}", self.parent, self.known.join(", ")),
        }
    }
}

/// Returns the name that is most like `name`, if one is like it at all.
pub(super) fn nearest(name: &str, known: &[String]) -> Option<String> {
    let score = |known: &String| strsim::jaro_winkler(name, known);
    known
        .iter()
        .map(|known| (score(known), known))
        .filter(|(score, _)| *score >= 0.75)
        .max_by(|a, b| a.0.total_cmp(&b.0))
        .map(|(_, known)| known.clone())
}

/// Returns `text` as a message may quote it: one line, not too long.
pub(super) fn quoted(text: &str) -> String {
    const LONGEST: usize = 100;
    let line = text.trim_end();
    match line.char_indices().nth(LONGEST) {
        Some((end, _)) => format!("{}…", line.get(..end).unwrap_or_default()),
        None => line.to_owned(),
    }
}

/// Returns whether `value` is a document without content.
pub(super) fn is_empty(value: &Value) -> bool {
    match value {
        Value::Null => true,
        Value::Object(map) => map.is_empty(),
        _ => false,
    }
}
