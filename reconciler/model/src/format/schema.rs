//! The JSON Schemas (2020-12) of all formats, generated from the Rust types.
//!
//! The files in `schema/` are these values; a test holds them equal. They serve editors
//! (completion by `yaml-language-server`) and this program's own checks alike.

use schemars::{JsonSchema, Schema, generate::SchemaSettings, transform::RecursiveTransform};
use serde_json::{Value, json};

use super::{
    approval::Approval, blueprint::Blueprint, lineage::LineageSettings, lock::Lock, site::Site,
};
use crate::{
    lineage::{
        Graph,
        compare::{Difference, Reproduction},
        export::openlineage,
        policy::Checked,
    },
    plan::{DriftReport, Plan},
};

/// Where the schemas are found by their `$id`.
const BASE: &str = "https://sitewright.dev/schema/";

/// Returns every schema with the name of its file in `schema/`.
pub fn all() -> Vec<(&'static str, Value)> {
    let mut all = vec![
        ("site.schema.json", site()),
        ("blueprint.schema.json", blueprint()),
        ("lock.schema.json", lock()),
        ("approval.schema.json", approval()),
        ("lineage-settings.schema.json", lineage_settings()),
        ("plan.schema.json", of::<Plan>("plan.schema.json", SchemaSettings::for_serialize)),
        (
            "drift.schema.json",
            of::<DriftReport>("drift.schema.json", SchemaSettings::for_serialize),
        ),
        (
            "lineage-graph.schema.json",
            of::<Graph>("lineage-graph.schema.json", SchemaSettings::for_serialize),
        ),
        ("lineage-check.schema.json", written::<Checked>("lineage-check.schema.json")),
        (
            "lineage-reproduction.schema.json",
            written::<Reproduction>("lineage-reproduction.schema.json"),
        ),
        ("lineage-difference.schema.json", written::<Difference>("lineage-difference.schema.json")),
    ];
    all.extend(openlineage::schemas());
    all
}

/// Returns where the schema in the file `file` of `schema/` is found.
pub fn url(file: &str) -> String {
    format!("{BASE}{file}")
}

/// Returns the schema of `site.yaml`.
pub fn site() -> Value {
    of::<Site>("site.schema.json", SchemaSettings::for_deserialize)
}

/// Returns the schema of `blueprint.yaml`.
pub fn blueprint() -> Value {
    of::<Blueprint>("blueprint.schema.json", SchemaSettings::for_deserialize)
}

/// Returns the schema of `site.lock`.
pub fn lock() -> Value {
    of::<Lock>("lock.schema.json", SchemaSettings::for_deserialize)
}

/// Returns the schema of an approval file.
pub fn approval() -> Value {
    of::<Approval>("approval.schema.json", SchemaSettings::for_deserialize)
}

/// Returns the schema of a file of lineage settings.
pub fn lineage_settings() -> Value {
    of::<LineageSettings>("lineage-settings.schema.json", SchemaSettings::for_deserialize)
}

/// Returns the schema of `T` as it is written, for the file `file` of `schema/`.
pub fn written<T: JsonSchema>(file: &str) -> Value {
    of::<T>(file, SchemaSettings::for_serialize)
}

/// Generates the schema of `T` as it is read or as it is written.
fn of<T: JsonSchema>(file: &str, contract: fn(SchemaSettings) -> SchemaSettings) -> Value {
    let settings = SchemaSettings::draft2020_12().with_transform(RecursiveTransform(without_links));
    let generator = contract(settings).into_generator();
    let mut schema = generator.into_root_schema_for::<T>().to_value();
    if let Some(map) = schema.as_object_mut() {
        map.insert("$id".to_owned(), json!(url(file)));
    }
    schema
}

/// Takes rustdoc's links out of a description: [`x`] becomes `x`.
fn without_links(schema: &mut Schema) {
    if let Some(Value::String(text)) = schema.get_mut("description") {
        *text = text.replace("[`", "`").replace("`]", "`");
    }
}
