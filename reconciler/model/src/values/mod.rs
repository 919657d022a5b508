//! Values of a component: layers merged, filled with defaults, checked against the blueprint's schema.
//!
//! Comes in: a site, one of its components, the values schema of its blueprint. Goes out: one map of
//! values, with the pointers of those that are secret (`writeOnly` in the schema), or every mistake
//! at its place in the site file. Never: shows a secret value.
//!
//! Layers, each over the one before: the schema's `default`s, the site's `defaults` for the
//! blueprint, the component's `values`. Maps merge key by key at every depth, lists are replaced as a
//! whole, and `null` removes what the layers below say.

mod fill;
mod layers;
mod schema;

use serde_json::{Map, Value};

pub use self::schema::ValuesSchema;
use crate::{
    code::format,
    diagnostic::{Diagnostic, Diagnostics, FileSpan},
    format::{
        Located,
        explain::{self, Places},
        site::{Component, Site},
        walk::Wanted,
    },
    yaml::Document,
};

/// The values of one component.
#[derive(Clone, PartialEq)]
pub struct Resolved {
    /// All values, secrets included: for templates, never for a printer.
    pub value: Value,
    /// JSON pointers of the values that are secret, in order; nothing below them may be shown.
    pub sensitive: Vec<String>,
}

impl std::fmt::Debug for Resolved {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Resolved({} secret values)", self.sensitive.len())
    }
}

/// Resolves the values of `component`, which must be one of `site`'s; `schema` is that of its blueprint.
///
/// A blueprint without a schema takes no values.
pub fn resolve(
    schema: Option<&ValuesSchema>,
    site: &Located<Site>,
    component: &Component,
) -> Result<Resolved, Diagnostics> {
    let given = layers::given(&site.value, component);
    let origin = Origin::new(&site.document, &site.value, component);
    let Some(schema) = schema else { return without_schema(given, &origin, component) };
    let mut value = given;
    if schema.fill(&mut value).is_err() {
        return Err(schema.endless().component(&component.name).into());
    }
    layers::drop_nulls(&mut value);
    let hidden = schema.find(&value, Wanted::NotKnownToBeShowable);
    let mut mistakes = schema.check(&value, &origin.hiding(&hidden));
    if mistakes.0.is_empty() {
        let sensitive = schema.find(&value, Wanted::Secret);
        return Ok(Resolved { value, sensitive });
    }
    for mistake in &mut mistakes.0 {
        mistake.place.component = Some(component.name.clone());
    }
    Err(mistakes.in_order())
}

/// A blueprint without a schema: each value is one too many.
fn without_schema(
    given: Value,
    origin: &Origin<'_>,
    component: &Component,
) -> Result<Resolved, Diagnostics> {
    let blueprint = &component.blueprint.name;
    let keys = given.as_object().into_iter().flat_map(Map::keys);
    // What the values are for is unknown, so is whether they are secret: the text is not shown.
    let everything = [String::new()];
    let places = origin.hiding(&everything);
    let mistakes = keys.map(|key| {
        let message = format!("unknown key `{key}`: blueprint `{blueprint}` takes no values");
        Diagnostic::error(format::UNKNOWN_KEY, message)
            .at(places.key(&explain::join("", key)), "no value is expected")
            .component(&component.name)
    });
    let mistakes = Diagnostics(mistakes.collect());
    if mistakes.0.is_empty() {
        return Ok(Resolved { value: given, sensitive: Vec::new() });
    }
    Err(mistakes)
}

/// Where the values of one component stand in the site file.
struct Origin<'a> {
    document: &'a Document,
    /// The pointers to the layers, the uppermost first.
    layers: [String; 2],
    component: String,
}

impl<'a> Origin<'a> {
    fn new(document: &'a Document, site: &Site, component: &Component) -> Self {
        let mut components = site.spec.components.iter();
        let index = components.position(|one| one.name == component.name).unwrap_or_default();
        let component_at = format!("/spec/components/{index}");
        let defaults = format!("/spec/defaults/{}", component.blueprint.name);
        let layers = [format!("{component_at}/values"), defaults];
        Self { document, layers, component: component_at }
    }

    /// Returns the places with the text of the values at `secrets` blotted out.
    fn hiding<'s>(&'s self, secrets: &'s [String]) -> Hidden<'s> {
        let pointers: Vec<String> = secrets
            .iter()
            .flat_map(|secret| self.layers.iter().map(move |layer| format!("{layer}{secret}")))
            .collect();
        let text = self.document.without(pointers.iter().map(String::as_str));
        Hidden { origin: self, secrets, text }
    }

    /// Returns the pointer into the site file of the value at `pointer`, or of what would hold it.
    fn find(&self, pointer: &str) -> String {
        let found = crate::yaml::ancestors(pointer).find_map(|pointer| {
            let mut layers = self.layers.iter().map(|layer| format!("{layer}{pointer}"));
            layers.find(|pointer| self.document.span(pointer).is_some())
        });
        found.unwrap_or_else(|| self.component.clone())
    }
}

/// The places of values, without the text of the secret ones.
struct Hidden<'a> {
    origin: &'a Origin<'a>,
    secrets: &'a [String],
    text: std::sync::Arc<str>,
}

impl Hidden<'_> {
    fn hide(&self, span: FileSpan) -> FileSpan {
        FileSpan { text: std::sync::Arc::clone(&self.text), ..span }
    }
}

impl Places for Hidden<'_> {
    fn value(&self, pointer: &str) -> FileSpan {
        self.hide(self.origin.document.place(&self.origin.find(pointer)))
    }

    fn key(&self, pointer: &str) -> FileSpan {
        self.hide(self.origin.document.key_place(&self.origin.find(pointer)))
    }

    fn whole(&self) -> &'static str {
        "the component's values"
    }

    fn is_secret(&self, pointer: &str) -> bool {
        self.secrets.iter().any(|secret| {
            crate::object::within(pointer, secret) || crate::object::within(secret, pointer)
        })
    }
}

#[cfg(test)]
mod tests;
