//! The schemas of the output formats in `schema/` are generated from the types that are printed.
//!
//! `SITEWRIGHT_BLESS=1 cargo test -p sitewright --test schemas` writes them anew.

use std::{env, fs, path::Path};

use serde_json::Value;
use sitewright::output::{
    diagnostics::Findings, doctor::Doctor, event::CloudEvent, lineage::api, status::Status,
};
use sitewright_cluster::{apply::Report, sync};
use sitewright_model::{format::schema, plan::DriftReport};

/// A file of `schema/`, and what makes its text.
type Schema = (&'static str, fn(&str) -> Value);

#[test]
fn the_schemas_of_the_output_formats_are_those_of_the_types() {
    let schemas: [Schema; 6] = [
        ("report.schema.json", schema::written::<Report>),
        ("drift.schema.json", schema::written::<DriftReport>),
        ("status.schema.json", schema::written::<Status>),
        ("doctor.schema.json", schema::written::<Doctor>),
        ("findings.schema.json", schema::written::<Findings>),
        ("event.schema.json", schema::written::<CloudEvent>),
    ];
    for (file, schema) in schemas {
        check(file, &schema(file));
    }
}

#[test]
fn the_definition_of_sitesync_is_that_of_the_type() {
    check("sitesync.crd.json", &serde_json::to_value(sync::definition()).unwrap());
}

#[test]
fn the_description_of_the_lineage_server_is_that_of_the_types() {
    check("lineage-api.openapi.json", &api::openapi());
}

fn check(file: &str, schema: &Value) {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../schema").join(file);
    let expected = serde_json::to_string_pretty(schema).expect("JSON") + "\n";
    if env::var_os("SITEWRIGHT_BLESS").is_some() {
        fs::write(&path, expected).expect("it can be written");
        return;
    }
    assert!(
        fs::read_to_string(&path).unwrap_or_default() == expected,
        "schema/{file} is not the schema of its type; write it anew with\n    \
         SITEWRIGHT_BLESS=1 cargo test -p sitewright --test schemas"
    );
}
