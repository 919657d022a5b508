//! A secret cannot be printed (law 10).

use std::fs;

use base64::{Engine, engine::general_purpose::STANDARD};
use sitewright_e2e::{Lab, Run};

/// Fifteen bytes each, so that the base64 of a text that begins with one begins with that of the canary.
const DECLARED: &str = "canary-4f7c1d2e";
const EDITED: &str = "canary-9b20ee31";
/// A value of a component, marked as secret by its schema, that lands in a ConfigMap.
const VALUE: &str = "canary-77a4c05b";

/// All that prints, with what each must say to have proven anything.
const OUTPUTS: &[(&[&str], &str)] = &[
    (&["validate"], ""),
    (&["validate", "-o", "json"], "findings"),
    (&["lock"], ""),
    (&["render"], "kind: Secret"),
    (&["render", "-o", "json"], "Secret"),
    (&["doctor", "."], "cluster"),
    (&["plan"], "token"),
    (&["plan", "-v"], "token"),
    (&["plan", "-vvv", "--log-format", "json"], "token"),
    (&["plan", "-o", "json"], "token"),
    (&["plan", "-o", "markdown"], "token"),
    (&["drift", "-v"], ""),
    (&["drift", "-o", "json"], "objects"),
    (&["drift", "-o", "markdown"], ""),
    (&["apply", "--yes", "-vvv", "-o", "json"], "token"),
    (&["apply", "--yes", "-vvv"], ""),
    (&["status", "-v"], ""),
    (&["status", "-o", "json"], "components"),
    (&["status", "-o", "markdown"], ""),
];

const SCHEMA: &str = r#"{ "type": "object", "properties": { "password": { "type": "string", "writeOnly": true } } }"#;

fn declare(lab: &mut Lab, data: &str) {
    let objects = format!(
        "apiVersion: v1\nkind: Secret\nmetadata: {{ name: token, namespace: '{{ns}}' }}\ndata: {{ token: {data} }}\n---\n\
         apiVersion: v1\nkind: ConfigMap\nmetadata: {{ name: settings, namespace: '{{ns}}' }}\n\
         data: {{ password: {{{{ values.password | tojson }}}}, address: {{{{ (\"https://u:\" ~ values.password ~ \"@h/\") | tojson }}}} }}\n"
    );
    lab.component_blueprint("app", "values: values.schema.json");
    lab.component_site("app", &format!("values: {{ password: {VALUE} }}"));
    lab.component("app", &objects);
    let blueprint = lab.folder().join("blueprints/app");
    fs::rename(
        blueprint.join("templates/objects.yaml"),
        blueprint.join("templates/objects.yaml.j2"),
    )
    .unwrap();
    fs::write(blueprint.join("values.schema.json"), SCHEMA).unwrap();
}

/// Returns what of `text` is a secret, as it is or in base64.
fn leak(text: &str) -> Option<String> {
    let forms = [DECLARED, EDITED, VALUE]
        .into_iter()
        .flat_map(|canary| [canary.to_owned(), STANDARD.encode(canary)]);
    forms.into_iter().find(|form| text.contains(form))
}

fn assert_silent(arguments: &[&str], run: &Run) {
    let text = format!("{}{}", run.stdout, run.stderr);
    if let Some(found) = leak(&text) {
        let line = text.lines().find(|line| line.contains(&found)).unwrap_or_default();
        panic!("{arguments:?} prints {found} in: {line}");
    }
}

/// Runs all that prints; where the server does not refuse the object, each must get to the end.
fn assert_all_silent(lab: &Lab, is_good: bool) {
    for (arguments, says) in OUTPUTS {
        let run = lab.run(arguments);
        assert_silent(arguments, &run);
        let is_done = [0, 2].contains(&run.code) && run.says(says);
        assert!(is_done || !is_good, "{arguments:?} proves nothing:\n{run}");
    }
}

#[test]
fn no_output_or_log_shows_a_secret() {
    let mut lab = Lab::new("canary");
    declare(&mut lab, &STANDARD.encode(DECLARED));
    assert_all_silent(&lab, true);
    let live = lab.live("secret", "token").unwrap();
    assert_eq!(live["data"]["token"], STANDARD.encode(DECLARED));
    assert_eq!(lab.live("configmap", "settings").unwrap()["data"]["password"], VALUE);

    // The value that somebody gave the live object is as secret as ours.
    let patch = format!(r#"{{"stringData":{{"token":"{EDITED}-edited"}}}}"#);
    lab.kubectl(&[
        "patch",
        "secret",
        "token",
        "-n",
        lab.name(),
        "-p",
        &patch,
        "--field-manager=kubectl-edit",
    ]);
    let drift = lab.run(&["drift", "-v"]);
    assert!(drift.code == 2 && drift.says("kubectl-edit"), "{drift}");
    assert_all_silent(&lab, true);

    // A value that the server refuses, whose message would quote it.
    declare(&mut lab, &format!("'{DECLARED}!'"));
    assert_all_silent(&lab, false);

    // Nor does a plan keep it that is stored for later.
    let plans = lab.folder().join(".cache/plans");
    let stored: Vec<_> = fs::read_dir(plans).unwrap().map(|file| file.unwrap().path()).collect();
    assert!(!stored.is_empty());
    for file in stored {
        assert_eq!(leak(&fs::read_to_string(file).unwrap()), None);
    }
}
