//! The schema of a blueprint's values.

use jsonschema::{Draft, Validator};
use serde_json::{Map, Value};

use super::fill::{self, Endless};
use crate::{
    code::format,
    diagnostic::{Diagnostic, Diagnostics},
    format::{
        explain::{self, Places},
        walk::{self, Wanted},
    },
    suggest::nearest,
    yaml::{self, Document},
};

const DRAFT: &str = "https://json-schema.org/draft/2020-12/schema";

/// The values schema of a blueprint, compiled once and used for each of its components.
#[derive(Clone, Debug)]
pub struct ValuesSchema {
    document: Document,
    validator: Validator,
}

impl ValuesSchema {
    /// Reads the text of a values schema (JSON or YAML); a mistake in it is the blueprint's author's.
    pub fn parse(file: &str, text: &str) -> Result<Self, Diagnostics> {
        let mut documents = yaml::parse_documents(file, text)?;
        let last = documents.pop().filter(|last| documents.is_empty() && last.value.is_object());
        let Some(document) = last else {
            let message = "a values schema is one JSON Schema: a map";
            return Err(Diagnostic::error(format::BROKEN_VALUES_SCHEMA, message)
                .at(yaml::whole_file(file), "")
                .into());
        };
        let mut mistakes = Diagnostics::default();
        check_draft(&document, &mut mistakes);
        check_references(&document, &document.value, String::new(), &mut mistakes);
        check_meta(&document, &mut mistakes);
        if mistakes.has_errors() {
            return Err(mistakes.in_order());
        }
        let options = jsonschema::options().with_draft(Draft::Draft202012).offline();
        let validator = options.build(&document.value).map_err(|error| {
            broken(&document, error.instance_path().as_str(), error.to_string())
        })?;
        let schema = Self { document, validator };
        schema.check_defaults()?;
        Ok(schema)
    }

    /// Returns the part of `path` (`sharing.mig`) that no value can have, with the nearest one that it can have; none where
    /// the schema leaves it open.
    pub fn unknown_part(&self, path: &str) -> Option<(String, Option<String>)> {
        let mut schema = &self.document.value;
        for part in path.split('.') {
            let of_others =
                ["$ref", "$dynamicRef", "allOf", "anyOf", "oneOf", "if", "patternProperties"];
            let is_closed = schema.get("additionalProperties") == Some(&Value::Bool(false));
            if of_others.iter().any(|key| schema.get(*key).is_some()) {
                return None;
            }
            let properties = schema.get("properties").and_then(Value::as_object);
            match properties.and_then(|properties| properties.get(part)) {
                Some(next) => schema = next,
                None if !is_closed => return None,
                None => {
                    let known = properties.into_iter().flat_map(|all| all.keys());
                    let near = nearest(part, known.map(String::as_str)).map(str::to_owned);
                    return Some((part.to_owned(), near));
                }
            }
        }
        None
    }

    /// Fills in the defaults that `value` leaves open; a `null` closes.
    pub(super) fn fill(&self, value: &mut Value) -> Result<(), Endless> {
        fill::fill(self.root(), value)
    }

    /// Returns the pointers of the values in `value` that are `wanted`.
    pub(super) fn find(&self, value: &Value, wanted: Wanted) -> Vec<String> {
        walk::find(self.root(), value, wanted)
    }

    /// Returns what the schema has against `value`.
    pub(super) fn check(&self, value: &Value, places: &dyn Places) -> Diagnostics {
        explain::all(&self.validator, self.root(), value, places)
    }

    pub(super) fn endless(&self) -> Diagnostic {
        broken(&self.document, "", "its defaults have no end: it refers to itself")
    }

    fn root(&self) -> &Value {
        &self.document.value
    }

    /// Holds the defaults, all together, to the schema itself; what a site must give may be missing.
    fn check_defaults(&self) -> Result<(), Diagnostics> {
        let mut defaults = Value::Object(Map::new());
        self.fill(&mut defaults).map_err(|Endless| self.endless())?;
        let errors = self.validator.iter_errors(&defaults);
        let errors = errors.filter(|error| !is_for_the_site(error.kind()));
        let mistakes = errors.map(|error| {
            let at = error.instance_path().as_str();
            let says = error.masked_with("it").to_string();
            let message = format!("the default of `{}` breaks the schema", explain::dotted(at));
            let place = self.default_place(at);
            Diagnostic::error(format::BROKEN_VALUES_SCHEMA, message)
                .at(self.document.place(&place), says)
        });
        let mistakes = Diagnostics(mistakes.collect());
        if mistakes.0.is_empty() { Ok(()) } else { Err(mistakes.in_order()) }
    }

    /// Returns where the schema gives the default at `pointer`: at the property or further out.
    fn default_place(&self, pointer: &str) -> String {
        let mut place = String::new();
        let mut best = String::new();
        for key in pointer.split('/').skip(1) {
            place = format!("{place}/properties/{key}");
            let Some(property) = self.root().pointer(&place) else { break };
            best.clone_from(&place);
            if property.get("default").is_some() {
                best.push_str("/default");
            }
        }
        best
    }
}

/// Returns whether a site may still have to give what is missing.
fn is_for_the_site(kind: &jsonschema::error::ValidationErrorKind) -> bool {
    use jsonschema::error::ValidationErrorKind as Kind;
    matches!(
        kind,
        Kind::Required { .. }
            | Kind::MinProperties { .. }
            | Kind::AnyOf { .. }
            | Kind::OneOfNotValid { .. }
            | Kind::Not { .. }
    )
}

fn check_draft(document: &Document, mistakes: &mut Diagnostics) {
    let Some(draft) = document.value.get("$schema") else { return };
    if draft.as_str().map(|draft| draft.trim_end_matches('#')) != Some(DRAFT) {
        let label = format!("expected `{DRAFT}`");
        let message = "values schemas are JSON Schema 2020-12";
        mistakes.push(
            Diagnostic::error(format::BROKEN_VALUES_SCHEMA, message)
                .at(document.place("/$schema"), label),
        );
    }
}

/// Holds every reference to the form `#/...`: nothing is fetched, and where a reference leads must be
/// plain, or a value that it marks `writeOnly` would be shown.
fn check_references(document: &Document, node: &Value, at: String, mistakes: &mut Diagnostics) {
    match node {
        Value::Object(map) => {
            for (key, value) in map {
                let at = explain::join(&at, key);
                match value.as_str().and_then(|text| not_plain(key, text, &at)) {
                    Some(message) => mistakes.push(
                        Diagnostic::error(format::BROKEN_VALUES_SCHEMA, message)
                            .at(document.place(&at), "not followed")
                            .help("write it under `$defs` and refer to it with `$ref: \"#/$defs/...\"`"),
                    ),
                    None => check_references(document, value, at, mistakes),
                }
            }
        }
        Value::Array(items) => {
            for (index, item) in items.iter().enumerate() {
                check_references(document, item, format!("{at}/{index}"), mistakes);
            }
        }
        _ => {}
    }
}

/// Returns what is wrong with `text` under `key`, where that is a reference or what one may lead to.
fn not_plain(key: &str, text: &str, at: &str) -> Option<String> {
    let is_plain = |text: &str| text.is_empty() || text.starts_with('/') && !text.contains('%');
    match key {
        "$ref" => match text.strip_prefix('#') {
            None => Some(format!("`{text}` is outside the schema")),
            Some(pointer) if is_plain(pointer) => None,
            Some(_) => Some(format!("`{text}` is not a plain reference such as `#/$defs/name`")),
        },
        "$id" if at == "/$id" => None,
        "$id" | "$anchor" | "$dynamicAnchor" | "$dynamicRef" => {
            Some(format!("`{key}` is not read in a values schema"))
        }
        _ => None,
    }
}

fn check_meta(document: &Document, mistakes: &mut Diagnostics) {
    let validator = jsonschema::draft202012::meta::validator();
    for error in validator.iter_errors(&document.value) {
        let at = error.instance_path().as_str();
        let mistake = broken(document, at, error.masked_with("it").to_string());
        // The meta-schema is made of parts, and each may say the same.
        if !mistakes.0.contains(&mistake) {
            mistakes.push(mistake);
        }
    }
}

fn broken(document: &Document, at: &str, label: impl Into<String>) -> Diagnostic {
    let message = "the values schema is not a valid JSON Schema";
    Diagnostic::error(format::BROKEN_VALUES_SCHEMA, message).at(document.place(at), label)
}
