//! The files in `schema/` are generated from the Rust types.
//!
//! `SITEWRIGHT_BLESS=1 cargo test -p sitewright-model --test schema_files` writes them anew.

#![expect(clippy::disallowed_methods, reason = "schema/ is files; the ban is for the model itself")]

use std::{env, fs, path::Path};

use sitewright_model::format::schema;

#[test]
fn the_files_in_schema_are_the_schemas_of_the_types() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../schema");
    for (file, schema) in schema::all() {
        let path = folder.join(file);
        let expected = serde_json::to_string_pretty(&schema).unwrap() + "\n";
        if env::var_os("SITEWRIGHT_BLESS").is_some() {
            fs::write(&path, expected).unwrap();
            continue;
        }
        assert!(
            fs::read_to_string(&path).unwrap_or_default() == expected,
            "schema/{file} is not the schema of its type; write it anew with\n    \
             SITEWRIGHT_BLESS=1 cargo test -p sitewright-model --test schema_files"
        );
    }
}
