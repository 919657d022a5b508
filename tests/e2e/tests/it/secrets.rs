//! A secret cannot be printed (law 10).

use base64::{Engine, engine::general_purpose::STANDARD};
use sitewright_e2e::Lab;

const CANARIES: [&str; 2] = ["canary-4f7c1d", "canary-9b20ee"];

fn secret(lab: &mut Lab, value: &str) {
    let encoded = STANDARD.encode(value);
    let object = format!(
        "apiVersion: v1\nkind: Secret\nmetadata: {{ name: token, namespace: '{{ns}}' }}\ndata: {{ token: {encoded} }}\n"
    );
    lab.component("app", &object);
}

fn assert_silent(lab: &Lab, arguments: &[&str]) {
    let run = lab.run(arguments);
    for canary in CANARIES {
        for form in [canary.to_owned(), STANDARD.encode(canary)] {
            assert!(!run.says(&form), "{arguments:?} prints a secret");
        }
    }
}

#[test]
fn no_output_or_log_shows_a_secret() {
    let mut lab = Lab::new("canary");
    secret(&mut lab, CANARIES[0]);
    let outputs: &[&[&str]] = &[
        &["validate"],
        &["render"],
        &["render", "-o", "json"],
        &["plan"],
        &["plan", "-v"],
        &["plan", "-o", "json"],
        &["plan", "-o", "markdown"],
        &["apply", "--yes", "-vv"],
        &["status"],
        &["status", "-o", "json"],
        &["drift", "-o", "json"],
    ];
    for arguments in outputs {
        assert_silent(&lab, arguments);
    }
    assert_eq!(lab.live("secret", "token").unwrap()["data"]["token"], STANDARD.encode(CANARIES[0]));
    secret(&mut lab, CANARIES[1]);
    let patch = format!(r#"{{"stringData":{{"token":"{}"}}}}"#, "canary-9b20ee-edited");
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
    for arguments in outputs {
        assert_silent(&lab, arguments);
    }
    // A value that the server refuses, whose message would quote it.
    let bad = format!(
        "apiVersion: v1\nkind: Secret\nmetadata: {{ name: token, namespace: '{{ns}}' }}\ndata: {{ token: '{}!' }}\n",
        CANARIES[0]
    );
    lab.component("app", &bad);
    for arguments in outputs {
        assert_silent(&lab, arguments);
    }
}
