//! Formats that people write: sites, blueprints, locks, approvals.
//!
//! Comes in: text. Goes out: [`site::Site`], [`blueprint::Blueprint`], [`lock::Lock`],
//! [`approval::Approval`], [`lineage::LineageSettings`], or every mistake at once with its place. Never: looks at anything but the text it is given.
//!
//! A file is read in four steps, and each says all it has to say: YAML, `apiVersion` and `kind`,
//! the JSON Schema generated from the Rust types ([`schema`]), and what no schema can say (`check`).

pub mod approval;
pub mod blueprint;
mod check;
pub mod drain;
pub(crate) mod explain;
pub mod lineage;
pub mod lock;
pub mod maintenance;
pub mod schema;
pub mod site;
mod sound;
pub mod unhealthy;
pub(crate) mod walk;

use std::{fmt, sync::LazyLock};

use jsonschema::Validator;
use serde::de::DeserializeOwned;
use serde_json::Value;

use self::{check::Part, site::API_VERSION};
use crate::{
    code::format,
    diagnostic::{Diagnostic, Diagnostics},
    suggest,
    yaml::{self, Document},
};

/// What a `Kind` or `Kind.group` looks like.
const KIND: &str = r"^[A-Z][A-Za-z0-9]*(\.[a-z0-9]([-a-z0-9.]*[a-z0-9])?)?$";
const KIND_IN_WORDS: &str =
    "`Kind` or `Kind.group`, for example `Deployment.apps` or `ClusterQueue.kueue.x-k8s.io`";

/// A value that was read from a file, and the file, so that a later stage can point into it.
///
/// No place in the file shows what may be secret: of a site what lies under `values`, `upstream`
/// and `defaults`.
#[derive(Clone)]
pub struct Located<T> {
    /// The value.
    pub value: T,
    /// What it was read from; pointers into it are pointers into the file.
    pub document: Document,
}

impl<T: fmt::Debug> fmt::Debug for Located<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.value.fmt(f)
    }
}

/// What is needed to read one format.
struct Format {
    /// What a file of this format is called in messages.
    name: &'static str,
    /// The value of `kind`.
    kind: &'static str,
    schema: LazyLock<(Value, Validator)>,
    /// Keys of this format that Kubernetes would not take for text.
    words: &'static [&'static str],
    /// Keys under which secrets may stand. Of such a format nothing is shown that lies under one of them,
    /// or under a key that the format does not know: it may be one of them, mistyped.
    private: &'static [&'static str],
    /// Finds what the schema cannot.
    check: fn(&Part<'_>, &mut Diagnostics),
}

static SITE: Format = Format {
    name: "a site file",
    kind: "Site",
    schema: LazyLock::new(|| compiled(schema::site())),
    words: &[],
    private: &site::PRIVATE,
    check: check::site::check,
};

static BLUEPRINT: Format = Format {
    name: "a blueprint file",
    kind: "Blueprint",
    schema: LazyLock::new(|| compiled(schema::blueprint())),
    // Of a hazard: which change it is about. No other program reads blueprints.
    words: &["on"],
    private: &[],
    check: check::blueprint::check,
};

static LOCK: Format = Format {
    name: "a lock file",
    kind: "Lock",
    schema: LazyLock::new(|| compiled(schema::lock())),
    words: &[],
    private: &[],
    check: |_, _| {},
};

static APPROVAL: Format = Format {
    name: "an approval file",
    kind: "Approval",
    schema: LazyLock::new(|| compiled(schema::approval())),
    words: &[],
    private: &[],
    check: check::approval::check,
};

static LINEAGE: Format = Format {
    name: "a file of lineage settings",
    kind: lineage::KIND_OF_SETTINGS,
    schema: LazyLock::new(|| compiled(schema::lineage_settings())),
    words: &[],
    private: &[],
    check: |_, _| {},
};

fn compiled(schema: Value) -> (Value, Validator) {
    let validator = jsonschema::options().offline().build(&schema);
    let validator = validator.expect("our own schemas are valid: a test builds each of them");
    (schema, validator)
}

fn parse<T: DeserializeOwned>(
    format: &Format,
    file: &str,
    text: &str,
) -> Result<Located<T>, Diagnostics> {
    let document = one_document(format, file, text)?;
    check_kind(format, &document)?;
    let (schema, validator) = &*format.schema;
    let mut mistakes = explain::all(validator, schema, &document.value, &document);
    (format.check)(&Part::root(&document), &mut mistakes);
    if mistakes.has_errors() {
        return Err(mistakes.in_order());
    }
    match T::deserialize(&document.value) {
        Ok(value) => Ok(Located { value, document }),
        Err(error) => Err(Diagnostic::error(format::REFUSED_BY_SCHEMA, error.to_string())
            .at(document.place(""), "")
            .into()),
    }
}

fn one_document(format: &Format, file: &str, text: &str) -> Result<Document, Diagnostics> {
    let mut documents = read(format, file, text)?;
    let name = format.name;
    let refuse = |document: Option<&Document>, message: &str, label: &str, help: &str| {
        let error = Diagnostic::error(format::NOT_ONE_DOCUMENT, message).help(help);
        match document {
            Some(document) => error.at(document.place(""), label),
            None => error.at(yaml::whole_file(file), label),
        }
    };
    match (documents.pop(), documents.pop()) {
        (Some(document), None) => Ok(document),
        (None, _) => {
            let help = format!("{name} starts with `apiVersion: {API_VERSION}`");
            Err(refuse(None, "the file says nothing", "", &help).into())
        }
        (Some(second), Some(_)) => {
            let message = format!("{name} holds one document, this one holds several");
            Err(refuse(Some(&second), &message, "another document", "remove the others").into())
        }
    }
}

/// Reads every document; no place in them shows what may be secret.
fn read(format: &Format, file: &str, text: &str) -> Result<Vec<Document>, Diagnostics> {
    if format.private.is_empty() {
        return yaml::parse_format(file, text, format.words, &|_| false);
    }
    let (schema, _) = &*format.schema;
    let known = walk::property_names(schema);
    let is_private = |key: &str| format.private.contains(&key) || !known.contains(key);
    let mut documents = yaml::parse_format(file, text, format.words, &is_private)?;
    for document in &mut documents {
        let mut hidden = walk::find(schema, &document.value, walk::Wanted::NotKnownToBeShowable);
        walk::scalars_under(&document.value, format.private, &mut hidden);
        document.hide(hidden);
    }
    Ok(documents)
}

/// Holds `apiVersion` and `kind` to what the file is read as, before anything else is said of it.
fn check_kind(format: &Format, document: &Document) -> Result<(), Diagnostics> {
    let root = Part::root(document);
    if !document.value.is_object() {
        let found = explain::type_in_words(&document.value);
        let message = format!("{} is a map, this one is {found}", format.name);
        return Err(root.error(format::WRONG_TYPE, message, "expected a map").into());
    }
    let mut mistakes = Diagnostics::default();
    let (ours, our_group) = (API_VERSION, "sitewright.dev/");
    match root.get("apiVersion") {
        Some(part) if part.value.as_str() == Some(ours) => {}
        Some(part) => {
            let found = part.value.as_str().unwrap_or_default();
            let message = format!("`apiVersion` is not `{ours}`");
            let error = part.error(format::WRONG_KIND, message, format!("expected `{ours}`"));
            mistakes.push(if found.starts_with(our_group) {
                error.help(format!("this program reads `{ours}` only; a newer one may read more"))
            } else {
                error
            });
        }
        None => mistakes.push(missing(&root, format, "apiVersion", ours)),
    }
    match root.get("kind") {
        Some(part) if part.value.as_str() == Some(format.kind) => {}
        Some(part) => {
            let message = format!("`kind` is not `{}`", format.kind);
            let label = format!("expected `{}`", format.kind);
            let error = part.error(format::WRONG_KIND, message, label);
            let kinds = [SITE.kind, BLUEPRINT.kind, LOCK.kind, APPROVAL.kind, LINEAGE.kind];
            let found = part.value.as_str().unwrap_or_default();
            mistakes.push(if kinds.contains(&found) {
                error.help(format!("this file is read as {}", format.name))
            } else if suggest::nearest(found, [format.kind]).is_some() {
                error.help(format!("write `{}`", format.kind))
            } else {
                error
            });
        }
        None => mistakes.push(missing(&root, format, "kind", format.kind)),
    }
    if mistakes.0.is_empty() { Ok(()) } else { Err(mistakes) }
}

fn missing(root: &Part<'_>, format: &Format, key: &str, value: &str) -> Diagnostic {
    let message = format!("{} needs `{key}: {value}`", format.name);
    root.error(format::WRONG_KIND, message, format!("`{key}` is missing"))
        .help(format!("start the file with `{key}: {value}`"))
}

#[cfg(test)]
mod tests;
