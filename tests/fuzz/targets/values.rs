//! Any values schema, and any values of a site and of a component: three texts, a line `===` between.

#![no_main]

use libfuzzer_sys::fuzz_target;
use serde_json::{Value, json};
use sitewright_fuzz::check_report;
use sitewright_model::{
    format::site,
    values::{self, ValuesSchema},
    yaml,
};

fuzz_target!(|text: &str| {
    let mut parts = text.splitn(3, "\n===\n");
    let schema = match ValuesSchema::parse("values.schema.json", parts.next().unwrap_or_default()) {
        Ok(schema) => schema,
        Err(mistakes) => return check_report(&mistakes),
    };
    let mut map = || {
        let read = yaml::parse_documents("v", parts.next().unwrap_or_default()).ok()?;
        read.into_iter().next().map(|document| document.value).filter(Value::is_object)
    };
    let defaults = map().unwrap_or_else(|| json!({}));
    let own = map().unwrap_or_else(|| json!({}));
    let site = json!({
        "apiVersion": site::API_VERSION,
        "kind": "Site",
        "metadata": { "name": "fuzz" },
        "spec": {
            "defaults": { "b": defaults },
            "components": [{ "name": "c", "blueprint": { "name": "b" }, "values": own }],
        },
    });
    let Ok(site) = site::parse("site.yaml", &yaml::to_yaml(&site)) else { return };
    let [component] = site.value.spec.components.as_slice() else { return };
    match values::resolve(Some(&schema), &site, component) {
        Ok(resolved) => {
            for pointer in &resolved.sensitive {
                assert!(resolved.value.pointer(pointer).is_some(), "{pointer}");
            }
        }
        Err(mistakes) => check_report(&mistakes),
    }
});
