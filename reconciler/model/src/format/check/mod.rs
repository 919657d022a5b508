//! What no schema can say: references, cycles, ranges, expressions.
//!
//! The checks read the JSON value, not the typed one, so that they find their mistakes in a file
//! that the schema refuses too; what has the wrong type they leave to the schema.

pub(super) mod approval;
pub(super) mod blueprint;
mod labels;
pub(super) mod site;

use serde_json::Value;

use crate::{
    code::{Code, format},
    diagnostic::{Diagnostic, Diagnostics},
    field::FieldPath,
    yaml::Document,
};

/// A part of a document, and the way to it.
pub(super) struct Part<'a> {
    document: &'a Document,
    pointer: String,
    pub(super) value: &'a Value,
}

impl<'a> Part<'a> {
    pub(super) fn root(document: &'a Document) -> Self {
        Self { document, pointer: String::new(), value: &document.value }
    }

    /// Returns the value under `key`, if this is a map that has it.
    pub(super) fn get(&self, key: &str) -> Option<Self> {
        self.value.get(key).map(|value| self.below(key, value))
    }

    /// Returns the items of the list under `key`; nothing where there is none.
    fn each(&self, key: &str) -> impl Iterator<Item = Self> {
        let list = self.get(key).filter(|part| part.value.is_array());
        list.into_iter().flat_map(|list| {
            let items = list.value.as_array().map(Vec::as_slice).unwrap_or_default();
            let item =
                move |(index, value): (usize, &'a Value)| list.below(&index.to_string(), value);
            items.iter().enumerate().map(item)
        })
    }

    /// Returns the text under `key` and its part, if it is text.
    fn text(&self, key: &str) -> Option<(&'a str, Self)> {
        self.get(key).and_then(Self::into_text)
    }

    fn into_text(self) -> Option<(&'a str, Self)> {
        self.value.as_str().map(|text| (text, self))
    }

    fn below(&self, key: &str, value: &'a Value) -> Self {
        let key = key.replace('~', "~0").replace('/', "~1");
        Self { document: self.document, pointer: format!("{}/{key}", self.pointer), value }
    }

    /// Makes an error that underlines the value.
    pub(super) fn error(
        &self,
        code: Code,
        message: impl Into<String>,
        label: impl Into<String>,
    ) -> Diagnostic {
        Diagnostic::error(code, message).at(self.document.place(&self.pointer), label)
    }

    /// Returns `file:line:column` of the value.
    fn place_in_words(&self) -> String {
        self.document.place(&self.pointer).to_string()
    }
}

/// Holds the field path under `key` to the language of [`FieldPath`].
fn field_path(part: &Part<'_>, key: &str, mistakes: &mut Diagnostics) {
    let Some((text, part)) = part.text(key) else { return };
    if let Err(error) = text.parse::<FieldPath>() {
        let label = format!("{} at its character {}", error.why, error.at + 1);
        mistakes.push(
            part.error(format::BAD_FIELD, format!("`{text}` is not a field path"), label)
                .help("write it like `spec.template.spec.containers[name=manager].image`"),
        );
    }
}

/// Holds the version range under `key` to what semver can read.
fn range(part: &Part<'_>, key: &str, mistakes: &mut Diagnostics) {
    let Some((text, part)) = part.text(key) else { return };
    if let Err(error) = semver::VersionReq::parse(text) {
        mistakes.push(bad_range(&part, text, &error));
    }
}

fn bad_range(part: &Part<'_>, text: &str, error: &semver::Error) -> Diagnostic {
    part.error(format::BAD_VERSION, format!("`{text}` is not a version range"), error.to_string())
        .help("write it like `1.x`, `1.4.2` or `>=1.2, <2`")
}

/// Holds a git `ref` that asks for a range (`semver:1.x`) to what semver can read.
fn git_reference(part: &Part<'_>, mistakes: &mut Diagnostics) {
    let Some((text, part)) = part.text("ref") else { return };
    if let Some(wanted) = text.strip_prefix("semver:")
        && let Err(error) = semver::VersionReq::parse(wanted)
    {
        mistakes.push(bad_range(&part, wanted, &error));
    }
}
