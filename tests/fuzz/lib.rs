//! What the fuzz targets share.

use serde_json::Value;
use sitewright_model::{
    diagnostic::Diagnostics,
    report::{self, Style},
};

/// Mistakes can always be shown, and there is at least one.
pub fn check_report(mistakes: &Diagnostics) {
    let shown = report::render(mistakes, Style::default());
    assert!(mistakes.has_errors() && shown.contains("error[SW0"), "{shown}");
}

/// Returns a pointer to each part of `value`.
pub fn pointers(value: &Value) -> Vec<String> {
    let mut all = vec![String::new()];
    let mut add = |key: &str, value: &Value| {
        let key = key.replace('~', "~0").replace('/', "~1");
        all.extend(pointers(value).into_iter().map(|below| format!("/{key}{below}")));
    };
    match value {
        Value::Object(map) => map.iter().for_each(|(key, value)| add(key, value)),
        Value::Array(items) => {
            items.iter().enumerate().for_each(|(index, value)| add(&index.to_string(), value));
        }
        _ => {}
    }
    all
}
