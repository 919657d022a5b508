//! What is wrong with a YAML text, in our words.

use std::{ops::Range, sync::Arc};

use serde_yaml::{
    DeserializeError as Error, ExternalMessageSource, Location, budget::BudgetBreach,
    granit_parser::ErrorKind,
};

use super::{MAX_DEPTH, tree};
use crate::{
    code::{Code, format},
    diagnostic::{Diagnostic, FileSpan},
};

/// What is wrong with a YAML text, and where; the text itself is not part of it.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{message}")]
pub struct Mistake {
    /// The number and title.
    pub code: Code,
    /// What is wrong, in one sentence without a full stop.
    pub message: String,
    /// The byte range in the text, without its byte-order mark; empty where only the whole text is to blame.
    pub range: Range<usize>,
    /// The way out.
    pub help: Option<String>,
}

impl Mistake {
    pub(super) fn new(code: Code, message: impl Into<String>, range: Range<usize>) -> Self {
        Self { code, message: message.into(), range, help: None }
    }

    pub(super) fn help(self, help: impl Into<String>) -> Self {
        Self { help: Some(help.into()), ..self }
    }

    /// Makes it a diagnostic of `file`. Give an empty `text` where the text may hold secrets.
    pub fn at(self, file: &str, text: Arc<str>) -> Diagnostic {
        let range = if text.is_empty() { 0..0 } else { self.range };
        let span = FileSpan { file: file.to_owned(), text, range };
        let diagnostic = Diagnostic::error(self.code, self.message).at(span, "");
        match self.help {
            Some(help) => diagnostic.help(help),
            None => diagnostic,
        }
    }

    /// Takes out of the message what it quotes of a hidden part of `text`; a key may be named.
    pub(super) fn without_hidden(mut self, text: &str, shown: &str) -> Self {
        let token = text.get(self.range.clone()).unwrap_or_default().trim();
        let is_hidden = shown.get(self.range.clone()).map(str::trim) != Some(token);
        let is_of_key = matches!(self.code, format::DUPLICATE_KEY | format::KEY_NOT_TEXT);
        if is_hidden && !is_of_key && token.chars().count() > 1 {
            self.message = self.message.replace(token, "(not shown)");
        }
        self
    }

    /// A key is read as `what`.
    pub(super) fn key_not_text(key: &str, what: &str, range: Range<usize>) -> Self {
        let message = format!("key `{key}` is read as {what}, not as text");
        let mistake = Self::new(format::KEY_NOT_TEXT, message, range);
        match what {
            "a list" | "a map" | "a list or a map" => mistake.help("keys are text"),
            _ => mistake.help(format!("quote it: \"{key}\"")),
        }
    }

    /// Puts the reader's error into our words.
    pub(super) fn from_error(text: &str, error: &Error) -> Self {
        let location = error.location();
        let range = location.map_or(0..0, |location| range_of(text, location));
        let token = text.get(range.clone()).unwrap_or_default().trim_end();
        let new = |code, message: String| Self::new(code, message, range.clone());
        match innermost(error) {
            Error::DuplicateMappingKey { key, .. } => {
                let key = key.as_deref().unwrap_or(token);
                new(format::DUPLICATE_KEY, format!("key `{key}` is given twice"))
                    .help("keep one of the two")
            }
            Error::Message { msg, .. } => match msg.strip_prefix(tree::KEY_IS) {
                Some(what) => Self::key_not_text(token, what, range.clone()),
                None => new(format::UNREADABLE_YAML, msg.clone()),
            },
            // Nothing but keys is asked to be text.
            Error::NullIntoString { .. } => Self::key_not_text(token, "null", range.clone()),
            Error::TaggedScalarCannotDeserializeIntoString { .. } => {
                Self::key_not_text(token, "a tagged value", range.clone())
            }
            Error::Unexpected { expected: "string scalar", .. } => {
                Self::key_not_text(token, "a list or a map", range.clone())
            }
            Error::NonFiniteFloat { value, .. } => {
                new(format::UNREADABLE_YAML, format!("`{value}` is not a finite number"))
                    .help("JSON, and so Kubernetes, has no such number; quote it if it is text")
            }
            Error::UnknownAnchor { .. } => unknown_anchor(text, range.start),
            Error::MergeValueNotMapOrSeqOfMaps { .. } => {
                new(format::UNREADABLE_YAML, "`<<` merges something that is not a map".into())
            }
            Error::RecursiveReferencesRequireWeakTypes { .. } => {
                new(format::UNREADABLE_YAML, "an alias stands within its own anchor".into())
            }
            Error::Budget { breach, .. } => beyond_budget(breach, range.clone()),
            Error::AliasReplayCounterOverflow { .. }
            | Error::AliasReplayLimitExceeded { .. }
            | Error::AliasExpansionLimitExceeded { .. }
            | Error::AliasReplayStackDepthExceeded { .. } => alias_bomb(range.clone()),
            Error::ExternalMessage { source, msg, .. } => match source.as_ref() {
                ExternalMessageSource::Parser(error) => syntax(error.kind(), msg, range.clone()),
                _ => new(format::UNREADABLE_YAML, msg.clone()),
            },
            other => {
                let rendered = other.to_string();
                let message = rendered.split(" at line ").next().unwrap_or(&rendered);
                new(format::UNREADABLE_YAML, message.to_owned())
            }
        }
    }
}

fn innermost(mut error: &Error) -> &Error {
    loop {
        error = match error {
            Error::WithSnippet { error, .. } | Error::AliasError { error, .. } => error,
            _ => return error,
        }
    }
}

/// The scanner gives the first character of the alias only.
fn unknown_anchor(text: &str, start: usize) -> Mistake {
    let rest = text.get(start..).unwrap_or_default();
    let ends = |char: char| char.is_whitespace() || matches!(char, ',' | '[' | ']' | '{' | '}');
    let alias = rest.split(ends).next().unwrap_or_default();
    let message = format!("alias `{alias}` refers to no anchor");
    Mistake::new(format::UNREADABLE_YAML, message, start..start + alias.len())
        .help("an anchor `&name` must stand before its alias `*name`, in the same document")
}

fn too_deep(range: Range<usize>) -> Mistake {
    let message = format!("it is nested more than {MAX_DEPTH} deep");
    Mistake::new(format::TOO_LARGE, message, range)
}

fn alias_bomb(range: Range<usize>) -> Mistake {
    Mistake::new(format::TOO_LARGE, "aliases repeat more than is read of any file", range)
        .help("write out what the aliases repeat, or split the file")
}

fn beyond_budget(breach: &BudgetBreach, range: Range<usize>) -> Mistake {
    let what = match breach {
        BudgetBreach::Depth { .. } => return too_deep(range),
        BudgetBreach::Aliases { .. }
        | BudgetBreach::Anchors { .. }
        | BudgetBreach::MergeKeys { .. }
        | BudgetBreach::RecordedAnchorEvents { .. }
        | BudgetBreach::RecordedAnchorBytes { .. } => return alias_bomb(range),
        BudgetBreach::Documents { .. } => "it holds more documents than are read",
        BudgetBreach::SequenceUnbalanced => "it ends too early",
        _ => "it holds more values than are read",
    };
    Mistake::new(format::TOO_LARGE, what, range).help("split the file")
}

fn syntax(kind: &ErrorKind, message: &str, range: Range<usize>) -> Mistake {
    let new = |message: &str| Mistake::new(format::UNREADABLE_YAML, message, range.clone());
    match kind {
        ErrorKind::RecursionLimitExceeded => too_deep(range),
        ErrorKind::TabNotAllowed
        | ErrorKind::TabInBlockIndentation
        | ErrorKind::TabInIndentation => {
            new("a tab stands where YAML wants spaces").help("indent with spaces")
        }
        ErrorKind::UnclosedFlowCollection { open } => {
            let close = if *open == '[' { ']' } else { '}' };
            new(&format!("`{open}` is not closed")).help(format!("add `{close}`"))
        }
        ErrorKind::ExpectedFlowMappingSeparator => {
            new("expected `,` or `}`").help("or close the `{` before it")
        }
        ErrorKind::ExpectedFlowSequenceSeparator => {
            new("expected `,` or `]`").help("or close the `[` before it")
        }
        ErrorKind::UnclosedQuotedScalar => new("a quoted text is not closed"),
        ErrorKind::SimpleKeyExpected => new("a key without `:`").help("write `key: value`"),
        ErrorKind::MappingValueNotAllowed | ErrorKind::InvalidColonPlacement => {
            new("`:` stands where no key can be").help("quote text that holds `: `")
        }
        ErrorKind::UnexpectedCharacter { character } => {
            new(&format!("text cannot start with `{character}`")).help("quote the text")
        }
        ErrorKind::InvalidIndentation
        | ErrorKind::ExpectedBlockMappingKey
        | ErrorKind::ExpectedBlockSequenceEntry => {
            new("the line does not fit the indentation above it")
        }
        _ => new(message),
    }
}

/// Returns the byte range of `location`; the scanner's own errors give a line and a column only.
fn range_of(text: &str, location: Location) -> Range<usize> {
    let span = location.span();
    let bytes = span.byte_offset().zip(span.byte_len());
    if let Some((start, length)) = bytes.filter(|(_, length)| *length > 0) {
        let start = usize::try_from(start).unwrap_or(text.len()).min(text.len());
        let length = usize::try_from(length).unwrap_or(0);
        return start..start.saturating_add(length).min(text.len());
    }
    let line = usize::try_from(location.line()).unwrap_or(1).max(1);
    let column = usize::try_from(location.column()).unwrap_or(1).max(1);
    let line_start: usize = text.split_inclusive('\n').take(line - 1).map(str::len).sum();
    let rest = text.get(line_start..).unwrap_or_default();
    let mut places = rest.char_indices().take_while(|(_, char)| *char != '\n').skip(column - 1);
    match places.next() {
        Some((offset, char)) => line_start + offset..line_start + offset + char.len_utf8(),
        None => {
            let end = line_start + rest.find('\n').unwrap_or(rest.len());
            end..end
        }
    }
}
