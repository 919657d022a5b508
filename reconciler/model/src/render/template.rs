//! Templates of one blueprint: bounded, strict, and without any way out of the blueprint's folder.

use std::sync::Arc;

use minijinja::{
    AutoEscape, Environment, Error, ErrorKind, OutputSpan, State, UndefinedBehavior, context,
    escape_formatter,
    syntax::SyntaxConfig,
    value::{Serde, Value, ValueKind},
};

use super::{ComponentInput, filters, mistake, secret::Secrets};
use crate::{
    code,
    diagnostic::{Diagnostic, Diagnostics, FileSpan},
    files::Files,
};

/// What one rendering of one template may spend: an instruction costs 1, 64 bytes of text cost 1.
/// A template that writes 10,000 objects spends under 2 million; one that loops stops within half a
/// second, and cannot take more than some 256 MiB.
const FUEL: u64 = 4_000_000;
/// How deep macros and includes may go; each level takes a few KiB of a worker's 2 MiB stack.
const RECURSION: usize = 64;
/// What one template may write: three times the largest bundle of manifests that we know of.
pub(super) const MAX_OUTPUT: usize = 32 * 1024 * 1024;

/// The templates of a component's blueprint, with the values that they see.
pub(super) struct Engine<'a> {
    environment: Environment<'a>,
    context: Value,
    input: &'a ComponentInput,
    secrets: &'a Secrets,
}

/// What a template rendered to.
pub(super) struct Output {
    /// The path of the template in the blueprint's folder.
    pub(super) template: String,
    /// The rendered text; may hold secrets.
    pub(super) text: String,
    /// Which part of a template wrote which part of the text.
    pub(super) spans: Vec<OutputSpan>,
}

impl<'a> Engine<'a> {
    /// Makes the engine of one component.
    pub(super) fn new(input: &'a ComponentInput, secrets: &'a Secrets) -> Self {
        let folder = Arc::clone(&input.blueprint);
        let mut environment = Environment::new();
        environment.set_loader(move |name| text_of(&folder.files, name));
        environment.set_path_join_callback(|name, parent| join(name, parent).into());
        environment.set_auto_escape_callback(|_| AutoEscape::None);
        environment.set_undefined_behavior(UndefinedBehavior::Strict);
        environment.set_formatter(write_value);
        environment.set_fuel(Some(FUEL));
        environment.set_recursion_limit(RECURSION);
        // Errors then know the exact part of the template.
        environment.set_debug(true);
        environment.set_syntax(
            // Line breaks stay: in YAML an empty line is harmless, and a lost one joins two lines.
            SyntaxConfig::builder()
                .lstrip_blocks(true)
                .keep_trailing_newline(true)
                .build()
                .expect("the delimiters are minijinja's own"),
        );
        filters::add_to(&mut environment);
        Self { environment, context: context_of(input), input, secrets }
    }

    /// Renders the template at `path`.
    pub(super) fn render(&self, path: &str) -> Result<Output, Diagnostics> {
        let rendered = self
            .environment
            .get_template(path)
            .and_then(|template| template.render_with_spans(self.context.clone()));
        let (text, spans) = rendered.map_err(|error| self.explain(&error, path))?;
        if text.len() > MAX_OUTPUT {
            return Err(self.too_long(path, text.len()).into());
        }
        Ok(Output { template: path.to_owned(), text, spans })
    }

    /// Evaluates a `when` expression of the blueprint.
    pub(super) fn condition(&self, expression: &str) -> Result<bool, Diagnostics> {
        let value = self
            .environment
            .compile_expression(expression)
            .and_then(|compiled| compiled.eval(self.context.clone()))
            .map_err(|error| {
                Diagnostics::from(mistake::in_expression(
                    self.input,
                    self.secrets,
                    expression,
                    &error,
                ))
            })?;
        match value.kind() {
            ValueKind::Bool => Ok(value.is_true()),
            other => {
                Err(mistake::not_a_condition(self.input, expression, &other.to_string()).into())
            }
        }
    }

    /// Turns the engine's error into ours, with the place and the component.
    fn explain(&self, error: &Error, path: &str) -> Diagnostics {
        mistake::in_template(self.input, self.secrets, path, error).into()
    }

    fn too_long(&self, path: &str, length: usize) -> Diagnostic {
        let mebibytes = |bytes: usize| bytes / (1024 * 1024);
        let message = format!(
            "template writes {} MiB; at most {} MiB are taken",
            mebibytes(length),
            mebibytes(MAX_OUTPUT)
        );
        Diagnostic::error(code::render::TEMPLATE_TOO_MUCH, message)
            .at(span_of(&self.input.blueprint.files, path, 0..0), "")
            .component(&self.input.component.name)
            .help("split the template, or take fewer values")
    }
}

/// Returns what templates see: `values`, `site`, `component`, `blueprint` and `capabilities`, nothing else.
fn context_of(input: &ComponentInput) -> Value {
    let metadata = &input.blueprint.blueprint.metadata;
    context! {
        values => Value::from(Serde(&input.values)),
        site => context! { name => input.site.as_str() },
        component => context! { name => input.component.name.as_str() },
        blueprint => context! {
            name => metadata.name.as_str(),
            version => metadata.version.to_string(),
        },
        capabilities => input.capabilities.iter().cloned().collect::<Vec<String>>(),
    }
}

/// Writes a value where a template says `{{ value }}`: text as it is, maps and lists as JSON, nothing as `null`.
fn write_value(
    output: &mut minijinja::Output<'_>,
    state: &mut State<'_, '_>,
    value: &Value,
) -> Result<(), Error> {
    match value.kind() {
        ValueKind::None => Ok(output.write_str("null")?),
        // The engine's own words are Python's `True` and `False`.
        ValueKind::Bool => Ok(output.write_str(if value.is_true() { "true" } else { "false" })?),
        ValueKind::Map | ValueKind::Seq | ValueKind::Iterable => {
            Ok(output.write_str(&filters::json_of(state, value)?.to_string())?)
        }
        _ => escape_formatter(output, state, value),
    }
}

/// Returns the text of a file of the blueprint, for the engine.
fn text_of(files: &Files, name: &str) -> Result<Option<String>, Error> {
    let Some(bytes) = files.get(name) else { return Ok(None) };
    std::str::from_utf8(bytes)
        .map(|text| Some(text.to_owned()))
        .map_err(|_| Error::new(ErrorKind::BadEscape, format!("`{name}` is not UTF-8 text")))
}

/// Returns the path that `name` means in the template `parent`: from the blueprint's folder, or, with
/// `./` or `../`, from the template's own. What leaves the folder has no path there and is not found.
fn join(name: &str, parent: &str) -> String {
    if !name.starts_with("./") && !name.starts_with("../") {
        return name.to_owned();
    }
    let mut parts: Vec<&str> = parent.split('/').collect();
    parts.pop();
    for part in name.split('/') {
        match part {
            "." | "" => {}
            ".." => match parts.pop() {
                Some(_) => {}
                None => return name.to_owned(),
            },
            part => parts.push(part),
        }
    }
    parts.join("/")
}

/// Returns the place of `range` in a file of a blueprint; the file alone where it is not text.
pub(super) fn span_of(files: &Files, path: &str, range: std::ops::Range<usize>) -> FileSpan {
    let text = files.get(path).and_then(|bytes| std::str::from_utf8(bytes).ok());
    let file = files.display(path);
    match text {
        Some(text) if text.get(range.clone()).is_some() => {
            FileSpan { file, text: Arc::from(text), range }
        }
        _ => FileSpan { file, text: Arc::from(""), range: 0..0 },
    }
}

#[cfg(test)]
mod tests {
    use super::join;

    #[test]
    fn includes_are_found_from_the_folder_or_from_the_template() {
        assert_eq!(join("templates/a.j2", "templates/deep/b.j2"), "templates/a.j2");
        assert_eq!(join("./a.j2", "templates/b.j2"), "templates/a.j2");
        assert_eq!(join("../a.j2", "templates/deep/b.j2"), "templates/a.j2");
        assert_eq!(join("../../../etc/passwd", "templates/b.j2"), "../../../etc/passwd");
    }
}
