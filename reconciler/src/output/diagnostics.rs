//! Diagnostics as versioned JSON; as text the model's own [`report`](sitewright_model::report) draws them.

use schemars::JsonSchema;
use serde::Serialize;
use sitewright_model::{
    diagnostic::{Diagnostic, Diagnostics, FileSpan, Severity},
    name::ComponentName,
    object::ObjectId,
};

/// The name and version of the JSON form.
pub const FORMAT: &str = "sitewright.dev/findings/v1";

/// Everything that was found.
#[derive(Clone, Debug, PartialEq, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Findings {
    /// Always [`FORMAT`].
    pub format: String,
    /// The findings.
    pub findings: Vec<Finding>,
}

/// One finding.
#[derive(Clone, Debug, PartialEq, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Finding {
    /// The number, for example `SW0102`.
    pub code: String,
    /// How bad it is.
    pub severity: FindingSeverity,
    /// What is wrong.
    pub message: String,
    /// The file.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub file: Option<String>,
    /// The line, from 1.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub line: Option<usize>,
    /// The column in characters, from 1.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub column: Option<usize>,
    /// The component.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub component: Option<ComponentName>,
    /// The object.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub object: Option<ObjectId>,
    /// What was expected there.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub label: Option<String>,
    /// Further facts.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub notes: Vec<String>,
    /// The way out.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub help: Option<String>,
}

/// How bad a finding is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub enum FindingSeverity {
    /// Something should be looked at.
    Warning,
    /// The command fails.
    Error,
}

impl From<&Diagnostic> for Finding {
    fn from(diagnostic: &Diagnostic) -> Self {
        let span = diagnostic.place.span.as_ref();
        let position = span.and_then(position);
        Self {
            code: diagnostic.code.to_string(),
            severity: match diagnostic.severity {
                Severity::Warning => FindingSeverity::Warning,
                Severity::Error => FindingSeverity::Error,
            },
            message: diagnostic.message.clone(),
            file: span.map(|span| span.file.clone()),
            line: position.map(|(line, _)| line),
            column: position.map(|(_, column)| column),
            component: diagnostic.place.component.clone(),
            object: diagnostic.place.object.clone(),
            label: diagnostic.label.clone(),
            notes: diagnostic.notes.clone(),
            help: diagnostic.help.clone(),
        }
    }
}

/// Returns line and column where a span starts, if its text is known.
fn position(span: &FileSpan) -> Option<(usize, usize)> {
    let before = span.text.get(..span.range.start).filter(|_| !span.text.is_empty())?;
    let line_start = before.rfind('\n').map_or(0, |at| at + 1);
    let column = before.get(line_start..)?.chars().count() + 1;
    Some((before.matches('\n').count() + 1, column))
}

/// Returns diagnostics as versioned JSON; `schema/findings.schema.json` describes it.
pub fn json(diagnostics: &Diagnostics) -> String {
    let findings = diagnostics.0.iter().map(Finding::from).collect();
    super::json(&Findings { format: FORMAT.to_owned(), findings })
}

#[cfg(test)]
mod tests {
    use sitewright_model::code::format;

    use super::*;

    #[test]
    fn places_are_told_by_line_and_column() {
        let span =
            FileSpan { file: "site.yaml".into(), text: "a: 1\nbb: ü x\n".into(), range: 12..13 };
        let diagnostic = Diagnostic::error(format::UNKNOWN_KEY, "no").at(span, "here");
        let finding = Finding::from(&diagnostic);
        assert_eq!((finding.line, finding.column), (Some(2), Some(7)));
    }
}
