//! From rendered text to documents, each with the way back to the place that wrote it.

use std::{ops::Range, sync::Arc};

use minijinja::OutputSpanKind;
use rayon::prelude::*;
use serde_json::Value;

use super::{
    ComponentInput,
    mistake::{is_empty, quoted},
    secret::Secrets,
    template::{Output, span_of},
};
use crate::{
    code,
    diagnostic::{Diagnostic, Diagnostics, FileSpan},
    files::Files,
    yaml,
};

/// A text that holds documents, and who wrote it.
pub(super) enum Text<'a> {
    /// A template of the blueprint.
    Template(&'a Output),
    /// A file that is taken as it is.
    File {
        /// The folder.
        files: &'a Files,
        /// The path within it.
        path: &'a str,
        /// What to call it in the origin of an object.
        origin: String,
        /// Its text.
        text: &'a str,
    },
    /// What helm printed for a chart.
    Chart {
        /// The source.
        name: &'a str,
        /// The text.
        text: &'a str,
    },
}

/// One document of a text.
#[derive(Clone)]
pub(super) struct Document<'a> {
    text: &'a Text<'a>,
    /// Where it starts in the text.
    start: usize,
    body: &'a str,
    /// Where it was declared, for people.
    pub(super) origin: Arc<str>,
}

/// Reads every document of `texts`; those that say nothing are left out.
pub(super) fn read<'a>(
    input: &ComponentInput,
    secrets: &Secrets,
    texts: &'a [Text<'a>],
) -> Result<Vec<(Document<'a>, Value)>, Diagnostics> {
    let documents: Vec<Document<'a>> = texts.iter().flat_map(split).collect();
    let read: Vec<Result<Vec<Value>, Diagnostics>> = documents
        .par_iter()
        .map(|document| {
            yaml::parse_values(document.body)
                .map_err(|mistake| document.not_yaml(input, secrets, mistake).into())
        })
        .collect();
    let mut values = Vec::with_capacity(read.len());
    let mut mistakes = Diagnostics::default();
    for (document, read) in documents.into_iter().zip(read) {
        match read {
            Ok(read) => {
                let read = read.into_iter().filter(|value| !is_empty(value));
                values.extend(read.map(|value| (document.clone(), value)));
            }
            Err(mistake) => mistakes.extend(mistake),
        }
    }
    if mistakes.has_errors() { Err(mistakes) } else { Ok(values) }
}

/// Splits a text at its lines `---`. YAML allows such a line nowhere but between documents, not even in
/// a block of text.
fn split<'a>(text: &'a Text<'a>) -> Vec<Document<'a>> {
    let whole = text.text();
    let mut documents = Vec::new();
    let mut origin = text.origin();
    let mut start = 0;
    let mut at = 0;
    let mut push = |range: Range<usize>| {
        let body = whole.get(range.clone()).unwrap_or_default();
        if let Text::Chart { name, .. } = text
            && let Some(file) = source_comment(body)
        {
            origin = Arc::from(format!("chart {name}: {file}"));
        }
        if body.lines().any(says_something) {
            documents.push(Document { text, start: range.start, body, origin: origin.clone() });
        }
    };
    for line in whole.split_inclusive('\n') {
        if is_separator(line) {
            push(start..at);
            start = at;
        }
        at += line.len();
    }
    push(start..at);
    documents
}

fn is_separator(line: &str) -> bool {
    line.strip_prefix("---")
        .is_some_and(|rest| rest.is_empty() || rest.starts_with(char::is_whitespace))
}

/// Returns whether a line is more than white space, a comment, or a separator.
fn says_something(line: &str) -> bool {
    !line.trim().is_empty() && !line.starts_with('#') && !is_separator(line)
}

/// Returns the file that helm says a document comes from, without the chart's name.
fn source_comment(body: &str) -> Option<&str> {
    let comment = body
        .lines()
        .skip_while(|line| is_separator(line) || line.trim().is_empty())
        .take_while(|line| line.starts_with('#'))
        .find_map(|line| line.strip_prefix("# Source: "))?;
    Some(comment.split_once('/').map_or(comment, |(_, file)| file).trim())
}

impl Text<'_> {
    fn text(&self) -> &str {
        match self {
            Self::Template(output) => &output.text,
            Self::File { text, .. } | Self::Chart { text, .. } => text,
        }
    }

    fn origin(&self) -> Arc<str> {
        match self {
            Self::Template(output) => Arc::from(output.template.as_str()),
            Self::File { origin, .. } => Arc::from(origin.as_str()),
            Self::Chart { name, .. } => Arc::from(format!("chart {name}")),
        }
    }
}

impl Document<'_> {
    /// Returns an error about the document as a whole, at the place that wrote its first line.
    pub(super) fn wrong(&self, input: &ComponentInput, error: Diagnostic) -> Diagnostic {
        let first = first_content(self.body);
        self.at(input, error, self.start + first.start..self.start + first.end, "")
    }

    fn not_yaml(
        &self,
        input: &ComponentInput,
        secrets: &Secrets,
        mistake: yaml::Mistake,
    ) -> Diagnostic {
        let range = self.start + mistake.range.start..self.start + mistake.range.end;
        let message = format!("rendered text is not YAML: {}", secrets.take_out(&mistake.message));
        let error = Diagnostic::error(code::render::OUTPUT_NOT_YAML, message);
        let note = self.line_note(secrets, range.start);
        let error = self.at(input, error, range, "written here").note(note);
        match mistake.help {
            Some(help) => error.help(secrets.take_out(&help)),
            None => error.help("write text from values with `| to_json`: JSON is YAML"),
        }
    }

    fn at(
        &self,
        input: &ComponentInput,
        error: Diagnostic,
        range: Range<usize>,
        label: &str,
    ) -> Diagnostic {
        let error = error.component(&input.component.name);
        match self.text {
            Text::Template(output) => {
                error.at(written_by(&input.blueprint.files, output, range), label)
            }
            Text::File { files, path, .. } => error.at(span_of(files, path, range), ""),
            // A chart's output may hold secrets, so its text is not shown.
            Text::Chart { .. } => error
                .at(FileSpan { file: self.origin.to_string(), text: "".into(), range: 0..0 }, ""),
        }
    }

    /// Says which line of the output it is, and quotes it where it cannot hold a secret.
    fn line_note(&self, secrets: &Secrets, offset: usize) -> String {
        let text = self.text.text();
        let before = text.get(..offset).unwrap_or(text);
        let number = before.matches('\n').count() + 1;
        let start = before.rfind('\n').map_or(0, |newline| newline + 1);
        let line = text.get(start..).unwrap_or_default().lines().next().unwrap_or_default();
        let is_secret = self.body.lines().any(|line| line.trim_start().starts_with("kind: Secret"));
        if is_secret || secrets.are_in(self.body) {
            format!("it is line {number} of the output, not shown since it may hold a secret")
        } else {
            format!("line {number} of the output: `{}`", quoted(line))
        }
    }
}

/// Returns the range of the first line that says something.
fn first_content(body: &str) -> Range<usize> {
    let mut at = 0;
    for line in body.split_inclusive('\n') {
        if says_something(line) {
            return at..at + line.trim_end().len();
        }
        at += line.len();
    }
    0..0
}

/// Returns the part of a template that wrote `range` of its output.
fn written_by(files: &Files, output: &Output, range: Range<usize>) -> FileSpan {
    let after = output.spans.partition_point(|span| span.output_range().end <= range.start);
    let Some(span) = output.spans.get(after).or_else(|| output.spans.last()) else {
        return span_of(files, &output.template, 0..0);
    };
    let source = span.source_range();
    let part = match span.kind() {
        // Such text is copied byte by byte, so the place is exact.
        OutputSpanKind::Raw => {
            let skipped = range.start.saturating_sub(span.output_range().start).min(source.len());
            let length = range.len().min(source.len() - skipped);
            source.start + skipped..source.start + skipped + length
        }
        _ => source,
    };
    span_of(files, span.name(), part)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn bodies(text: &str) -> Vec<(String, String)> {
        let text = Text::Chart { name: "c", text };
        split(&text)
            .iter()
            .map(|document| (document.origin.to_string(), document.body.trim().to_owned()))
            .collect()
    }

    #[test]
    fn documents_are_split_at_their_lines_and_know_their_file() {
        let text = "# only a comment\n---\n# Source: chart/crds/a.yaml\na: 1\n--- \n---\n# Source: \
                    chart/templates/b.yaml\nb: |\n  ---\n  x\n---\nc: ---\n";
        let found = bodies(text);
        let origins: Vec<&str> = found.iter().map(|(origin, _)| origin.as_str()).collect();
        assert_eq!(
            origins,
            ["chart c: crds/a.yaml", "chart c: templates/b.yaml", "chart c: templates/b.yaml"]
        );
        assert!(found[1].1.ends_with("b: |\n  ---\n  x"));
        assert!(found[2].1.ends_with("c: ---"));
    }
}
