//! The blueprints and the example sites of this repository, read as a user's would be.

#![expect(clippy::unwrap_used, reason = "a test that cannot read the repository has failed")]
#![expect(
    clippy::disallowed_methods,
    reason = "the library is files; the ban is for the model itself"
)]

use std::{
    collections::BTreeMap,
    fs,
    path::{Path, PathBuf},
};

use sitewright_model::{
    diagnostic::Diagnostics,
    format::{blueprint, site},
    report,
    values::{self, ValuesSchema},
};

fn top() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..")
}

fn folders(of: &str) -> Vec<PathBuf> {
    let entries = fs::read_dir(top().join(of)).unwrap().map(|entry| entry.unwrap().path());
    let mut folders: Vec<_> = entries.filter(|path| path.is_dir()).collect();
    folders.sort();
    assert!(!folders.is_empty());
    folders
}

fn good<T>(result: Result<T, Diagnostics>) -> T {
    result.unwrap_or_else(|mistakes| {
        panic!("\n{}", report::render(&mistakes, report::Style::default()))
    })
}

/// Returns the values schema of every blueprint by the blueprint's name.
fn schemas() -> BTreeMap<String, Option<ValuesSchema>> {
    let read = |folder: PathBuf| {
        let file = folder.join("blueprint.yaml");
        let text = fs::read_to_string(&file).unwrap();
        let blueprint = good(blueprint::parse(file.to_str().unwrap(), &text)).value;
        let schema = blueprint.spec.values.map(|name| {
            let file = folder.join(name);
            let text = fs::read_to_string(&file).unwrap();
            good(ValuesSchema::parse(file.to_str().unwrap(), &text))
        });
        (blueprint.metadata.name.to_string(), schema)
    };
    folders("blueprints").into_iter().map(read).collect()
}

#[test]
fn every_blueprint_is_read_and_its_values_schema_with_it() {
    assert!(schemas().contains_key("kueue"));
}

#[test]
fn every_example_site_is_read_and_its_values_fit() {
    let schemas = schemas();
    for folder in folders("examples/sites") {
        let file = folder.join("site.yaml");
        let text = fs::read_to_string(&file).unwrap();
        let site = good(site::parse(file.to_str().unwrap(), &text));
        for component in &site.value.spec.components {
            let schema = &schemas[component.blueprint.name.as_str()];
            good(values::resolve(schema.as_ref(), &site, component));
        }
    }
}
