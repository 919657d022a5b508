//! What a JSON Schema validator finds, in plain words and at its place.

mod words;

use jsonschema::{ValidationError, Validator, error::ValidationErrorKind as Kind};
use serde_json::Value;

pub(super) use self::words::type_in_words;
use self::words::{Schema, shown, types_in_words};
pub(crate) use self::words::{dotted, join};
use crate::{
    code::{Code, format},
    diagnostic::{Diagnostic, Diagnostics, FileSpan},
    suggest::{in_words, nearest},
    yaml::Document,
};

/// The most mistakes that one file is told of at once.
const MAX_MISTAKES: usize = 100;

/// Where the parts of a checked value stand, by JSON pointer.
pub(crate) trait Places {
    /// Returns the place of the value at `pointer`, or of what would hold it.
    fn value(&self, pointer: &str) -> FileSpan;
    /// Returns the place of the key that leads to `pointer`; where there is none, of the value.
    fn key(&self, pointer: &str) -> FileSpan;
    /// Returns whether the value at `pointer` must not be shown.
    fn is_secret(&self, pointer: &str) -> bool;
    /// Returns what messages call the whole.
    fn whole(&self) -> &'static str;
}

impl Places for Document {
    fn value(&self, pointer: &str) -> FileSpan {
        self.place(pointer)
    }

    fn key(&self, pointer: &str) -> FileSpan {
        self.key_place(pointer)
    }

    fn is_secret(&self, _: &str) -> bool {
        false
    }

    fn whole(&self) -> &'static str {
        "the file"
    }
}

/// Returns all that `validator`, which was made of `schema`, has against `value`.
pub(crate) fn all(
    validator: &Validator,
    schema: &Value,
    value: &Value,
    places: &dyn Places,
) -> Diagnostics {
    let explainer = Explainer { schema: Schema(schema), root: value, places };
    let mut found = Diagnostics::default();
    for error in validator.iter_errors(value).take(MAX_MISTAKES) {
        explainer.explain(&error, &mut found);
    }
    found
}

struct Explainer<'a> {
    schema: Schema<'a>,
    root: &'a Value,
    places: &'a dyn Places,
}

impl Explainer<'_> {
    fn explain(&self, error: &ValidationError<'_>, found: &mut Diagnostics) {
        let at = error.instance_path().as_str();
        let name = self.named(at);
        let short = |code, message: String, label: String| self.at_value(at, code, message, label);
        found.push(match error.kind() {
            Kind::AdditionalProperties { unexpected }
            | Kind::UnevaluatedProperties { unexpected } => {
                for key in unexpected {
                    found.push(self.unknown_key(error, key));
                }
                return;
            }
            Kind::Required { property } => self.missing(error, property.as_str().unwrap_or("")),
            Kind::Type { .. } => self.wrong_type(error),
            Kind::Enum { .. } | Kind::Constant { .. } => {
                self.not_allowed(at, &self.schema.options(error))
            }
            Kind::AnyOf { context } | Kind::OneOfNotValid { context } => {
                return self.no_branch_fits(error, context, found);
            }
            Kind::OneOfMultipleValid { .. } => match self.several_given(error) {
                Some(diagnostic) => diagnostic,
                // `required` says nothing of a value that is no map; its type is reported elsewhere.
                None if !self.value(at).is_object() => return,
                None => self.other(error),
            },
            Kind::Pattern { pattern } => self.wrong_form(error, pattern),
            Kind::Minimum { .. }
            | Kind::Maximum { .. }
            | Kind::ExclusiveMinimum { .. }
            | Kind::ExclusiveMaximum { .. }
            | Kind::MultipleOf { .. } => {
                let allowed = self.schema.range(error);
                let message = format!("{} is {}, but must be {allowed}", name, self.shown(at));
                short(format::OUT_OF_RANGE, message, format!("expected {allowed}"))
            }
            Kind::MinLength { .. } | Kind::MaxLength { .. } => {
                let count = self.value(at).as_str().map_or(0, |text| text.chars().count());
                let allowed = self.schema.bounds(error, "minLength", "maxLength");
                let message = format!("{name} has {count} characters, but must have {allowed}");
                short(format::OUT_OF_RANGE, message, format!("expected {allowed} characters"))
            }
            Kind::MinItems { .. } | Kind::MaxItems { .. } => {
                let count = self.value(at).as_array().map_or(0, Vec::len);
                let allowed = self.schema.bounds(error, "minItems", "maxItems");
                let message = format!("{name} has {count} items, but must have {allowed}");
                short(format::OUT_OF_RANGE, message, format!("expected {allowed} items"))
            }
            Kind::MinProperties { .. } | Kind::MaxProperties { .. } => {
                let count = self.value(at).as_object().map_or(0, serde_json::Map::len);
                let allowed = self.schema.bounds(error, "minProperties", "maxProperties");
                let message = format!("{name} has {count} keys, but must have {allowed}");
                short(format::OUT_OF_RANGE, message, format!("expected {allowed} keys"))
            }
            Kind::PropertyNames { error: inner } => return self.bad_name(at, inner, found),
            Kind::FalseSchema => {
                let message = format!("{name} is not allowed here");
                Diagnostic::error(format::UNKNOWN_KEY, message).at(self.places.key(at), "")
            }
            Kind::UniqueItems => {
                let message = format!("{name} holds the same item twice");
                short(format::REFUSED_BY_SCHEMA, message, "every item once".to_owned())
            }
            Kind::Format { format: form } => {
                let message = format!("{} is not a valid {form}", self.shown(at));
                short(format::WRONG_FORM, message, format!("expected a {form}"))
            }
            _ => self.other(error),
        });
    }

    fn unknown_key(&self, error: &ValidationError<'_>, key: &str) -> Diagnostic {
        let at = error.instance_path().as_str();
        let map = self.value(at);
        let valid = self.schema.keys(error);
        let free: Vec<&str> = valid.iter().copied().filter(|key| map.get(*key).is_none()).collect();
        let label = match nearest(key, free.iter().copied()) {
            Some(near) => format!("did you mean `{near}`?"),
            None if at.is_empty() => "no such key".to_owned(),
            None => format!("no such key in {}", self.named(at)),
        };
        let span = self.places.key(&join(at, key));
        let error =
            Diagnostic::error(format::UNKNOWN_KEY, format!("unknown key `{key}`")).at(span, label);
        match valid.as_slice() {
            [] => error,
            valid => error.note(format!("valid keys: {}", in_words(valid, "and"))),
        }
    }

    fn missing(&self, error: &ValidationError<'_>, key: &str) -> Diagnostic {
        let at = error.instance_path().as_str();
        let schema_path = error.schema_path().as_str();
        if let Some(because) = self.schema.asked_for_by(error, key, self.value(at)) {
            let span = self.places.key(&join(at, because));
            let message = format!("`{because}` needs `{key}` beside it");
            return Diagnostic::error(format::NOT_EXACTLY_ONE, message)
                .at(span, format!("`{key}` is missing"));
        }
        let owner = self.named(at);
        let message = format!("`{key}` is missing in {owner}");
        let error = Diagnostic::error(format::MISSING_KEY, message)
            .at(self.places.key(at), format!("add `{key}` here"));
        let purpose = self.schema.description(schema_path, key);
        match purpose {
            Some(purpose) => error.help(format!("`{key}`: {purpose}")),
            None => error,
        }
    }

    fn wrong_type(&self, error: &ValidationError<'_>) -> Diagnostic {
        let at = error.instance_path().as_str();
        let types = self.schema.types(error);
        self.not_of_types(at, &types)
    }

    fn not_of_types(&self, at: &str, types: &[&str]) -> Diagnostic {
        let value = self.value(at);
        let expected = types_in_words(types);
        let found = if value.is_null() { "empty" } else { type_in_words(value) };
        let message = format!("{} is {found}, but must be {expected}", self.named(at));
        let error = self.at_value(at, format::WRONG_TYPE, message, format!("expected {expected}"));
        let scalar = value.is_boolean() || value.is_number();
        if scalar && types.contains(&"string") && !self.places.is_secret(at) {
            let span = error.place.span.as_ref();
            let written = span.and_then(|span| span.text.get(span.range.clone()));
            let written = written.unwrap_or_default().trim();
            let help = format!("quote it to make it text: \"{written}\"");
            return error.help(help);
        }
        error
    }

    fn not_allowed(&self, at: &str, options: &[Value]) -> Diagnostic {
        let texts: Vec<&str> = options.iter().filter_map(Value::as_str).collect();
        let allowed: Vec<String> =
            options.iter().filter(|option| !option.is_null()).map(shown).collect();
        let value = self.value(at);
        if !value.is_string() && texts.len() == allowed.len() {
            let mut error = self.not_of_types(at, &["string"]);
            error.help = error
                .help
                .filter(|help| texts.iter().any(|text| help.ends_with(&format!("\"{text}\""))));
            return error.note(format!("allowed: {}", in_words(allowed, "and")));
        }
        let near = value.as_str().and_then(|word| nearest(word, texts.iter().copied()));
        let label = match near {
            Some(near) => format!("did you mean `{near}`?"),
            None => format!("expected {}", in_words(&allowed, "or")),
        };
        let message = format!("{} cannot be {}", self.named(at), self.shown(at));
        let error = self.at_value(at, format::UNKNOWN_VALUE, message, label);
        match near {
            Some(_) => error.note(format!("allowed: {}", in_words(&allowed, "and"))),
            None => error,
        }
    }

    /// None of the branches of an `anyOf` or `oneOf` accepts the value.
    fn no_branch_fits(
        &self,
        error: &ValidationError<'_>,
        branches: &[Vec<ValidationError<'static>>],
        found: &mut Diagnostics,
    ) {
        let at = error.instance_path().as_str();
        let value = self.value(at);
        if let Some(keys) = self.schema.exclusive_keys(error) {
            if value.is_object() {
                found.push(self.none_given(at, &keys, error.kind()));
            }
            return;
        }
        let options = self.schema.options(error);
        if !options.is_empty() && (value.is_string() || self.schema.only_options(error)) {
            found.push(self.not_allowed(at, &options));
            return;
        }
        let wrong_type = |error: &&ValidationError<'_>| {
            matches!(error.kind(), Kind::Type { .. }) && error.instance_path().as_str() == at
        };
        let constant = |error: &&ValidationError<'_>| {
            matches!(error.kind(), Kind::Constant { .. } | Kind::Enum { .. })
                && error.instance_path().as_str() == at
        };
        let meant = branches
            .iter()
            .filter(|errors| !errors.iter().any(|error| wrong_type(&error) || constant(&error)))
            .min_by_key(|errors| errors.len());
        if let Some(errors) = meant {
            for error in errors {
                self.explain(error, found);
            }
            return;
        }
        let mut types: Vec<&str> = branches
            .iter()
            .flatten()
            .filter(wrong_type)
            .flat_map(|error| self.schema.types(error))
            .collect();
        if !options.is_empty() {
            types.push("string");
        }
        found.push(self.not_of_types(at, &types));
    }

    fn none_given(&self, at: &str, keys: &[&str], kind: &Kind) -> Diagnostic {
        let how_many = match kind {
            Kind::OneOfNotValid { .. } => "exactly one",
            _ => "at least one",
        };
        let message = format!("{} needs {how_many} of {}", self.named(at), in_words(keys, "and"));
        Diagnostic::error(format::NOT_EXACTLY_ONE, message)
            .at(self.places.key(at), "none of them is given")
    }

    /// Several keys of which only one may be given are given.
    fn several_given(&self, error: &ValidationError<'_>) -> Option<Diagnostic> {
        let at = error.instance_path().as_str();
        let keys = self.schema.exclusive_keys(error)?;
        let map = self.value(at).as_object()?;
        let given: Vec<&str> = keys.iter().copied().filter(|key| map.contains_key(*key)).collect();
        let message = format!("{} needs exactly one of {}", self.named(at), in_words(&keys, "and"));
        let last = join(at, given.last()?);
        Some(
            Diagnostic::error(format::NOT_EXACTLY_ONE, message)
                .at(self.places.key(&last), format!("{} are given", in_words(&given, "and")))
                .help("keep one and remove the rest"),
        )
    }

    fn wrong_form(&self, error: &ValidationError<'_>, pattern: &str) -> Diagnostic {
        let at = error.instance_path().as_str();
        let expected = self.schema.form_in_words(error);
        let expected = expected.map_or_else(|| format!("text like {pattern}"), str::to_owned);
        let message = format!("{} cannot be {}", self.named(at), self.shown(at));
        self.at_value(at, format::WRONG_FORM, message, format!("expected {expected}"))
    }

    /// A key of a map does not have the form that `propertyNames` asks for.
    fn bad_name(&self, at: &str, inner: &ValidationError<'_>, found: &mut Diagnostics) {
        let key = inner.instance().as_str().unwrap_or_default();
        let expected = self.schema.form_in_words(inner);
        let label = expected.map(|expected| format!("expected {expected}")).unwrap_or_default();
        let message = format!("`{key}` cannot be a key of {}", self.named(at));
        let span = self.places.key(&join(at, key));
        found.push(Diagnostic::error(format::WRONG_FORM, message).at(span, label));
    }

    /// A keyword that our own schemas do not use.
    fn other(&self, error: &ValidationError<'_>) -> Diagnostic {
        let at = error.instance_path().as_str();
        let says = error.masked_with("it").to_string();
        let message = format!("the schema refuses {}", self.named(at));
        self.at_value(at, format::REFUSED_BY_SCHEMA, message, says)
    }

    fn at_value(&self, at: &str, code: Code, message: String, label: String) -> Diagnostic {
        Diagnostic::error(code, message).at(self.places.value(at), label)
    }

    /// Returns what messages call the value at `at`.
    fn named(&self, at: &str) -> String {
        if at.is_empty() { self.places.whole().to_owned() } else { words::named(at) }
    }

    fn value(&self, at: &str) -> &Value {
        self.root.pointer(at).unwrap_or(&Value::Null)
    }

    /// Returns the value in backticks, or words in its place where it is secret.
    fn shown(&self, at: &str) -> String {
        if self.places.is_secret(at) {
            return "this secret value".to_owned();
        }
        format!("`{}`", shown(self.value(at)))
    }
}
