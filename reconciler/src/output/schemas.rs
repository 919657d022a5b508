//! What is printed as JSON is what the files in `schema/` say.
//!
//! `tests/schemas.rs` holds the files equal to the types; here printed samples are judged by the files,
//! since a type can be written by other means than those its schema is made by.

use std::{fs, path::Path};

use serde_json::{Value, json};
use sitewright_model::{
    code::format,
    diagnostic::{Diagnostic, Diagnostics, FileSpan},
    plan,
};

use super::{diagnostics, doctor, plan::sample, report, status};

/// Reads a schema, and closes it: a field that it does not name is an error.
fn schema(file: &str) -> Value {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../schema").join(file);
    let mut schema: Value = serde_json::from_str(&fs::read_to_string(path).unwrap()).unwrap();
    close(&mut schema);
    schema
}

fn close(schema: &mut Value) {
    match schema {
        Value::Object(map) => {
            map.values_mut().for_each(close);
            if map.get("properties").is_some_and(Value::is_object) {
                map.entry("additionalProperties").or_insert(json!(false));
            }
        }
        Value::Array(list) => list.iter_mut().for_each(close),
        _ => {}
    }
}

/// Returns what the schema in `file` has against `printed`.
fn mistakes(file: &str, printed: &str) -> Vec<String> {
    let validator = jsonschema::draft202012::new(&schema(file)).unwrap();
    let printed: Value = serde_json::from_str(printed).unwrap();
    let told =
        |error: jsonschema::ValidationError<'_>| format!("{}: {error}", error.instance_path());
    validator.iter_errors(&printed).map(told).collect()
}

fn assert_described(file: &str, printed: &str) {
    let mistakes = mistakes(file, printed);
    assert!(mistakes.is_empty(), "{file}:\n{}", mistakes.join("\n"));
}

#[test]
fn plans() {
    let approvals = [sample::approved(), sample::not_approved()];
    for plan in
        [sample::everything(), sample::quiet(), sample::first()].into_iter().chain(approvals)
    {
        assert_described("plan.schema.json", &super::plan::json(&plan));
    }
}

#[test]
fn drift_reports() {
    for plan in [sample::everything(), sample::quiet()] {
        assert_described("drift.schema.json", &super::json(&plan::drift(&plan)));
    }
}

#[test]
fn reports_of_an_apply() {
    assert_described("report.schema.json", &super::json(&report::tests::sample()));
}

#[test]
fn statuses() {
    assert_described("status.schema.json", &super::json(&status::tests::sample()));
    assert_described("status.schema.json", &super::json(&status::tests::held()));
}

#[test]
fn what_the_doctor_found() {
    assert_described("doctor.schema.json", &super::json(&doctor::tests::sample()));
}

#[test]
fn findings() {
    let span = FileSpan { file: "site.yaml".into(), text: "a: 1\n".into(), range: 0..1 };
    let whole = Diagnostic::error(format::UNKNOWN_KEY, "unknown key `a`")
        .at(span, "no such key")
        .component(&"app".parse().unwrap())
        .object(&sample::id("ConfigMap", "lab/a"))
        .note("valid keys: `b`")
        .help("take it out");
    let bare = Diagnostic::warning(format::UNKNOWN_KEY, "unknown key");
    let printed = diagnostics::json(&Diagnostics(vec![whole, bare]));
    assert_described("findings.schema.json", &printed);
}

#[test]
fn a_field_that_a_schema_does_not_name_is_noticed() {
    let mut printed = serde_json::to_value(sample::first()).unwrap();
    printed["components"][0]["changes"][0]["surprise"] = json!(1);
    let mistakes = mistakes("plan.schema.json", &printed.to_string());
    assert!(mistakes.iter().any(|mistake| mistake.contains("surprise")), "{mistakes:?}");
}
