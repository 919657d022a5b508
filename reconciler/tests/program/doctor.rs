//! What the doctor says, and how it ends.

use jiff::SignedDuration;

use crate::{
    desk::Desk,
    server::{Server, kubeconfig},
};

/// What differs from machine to machine.
const FILTERS: [(&str, &str); 3] = [
    (r"git( +)\d+\.[^\n]*", "git${1}VERSION"),
    (r"[\d.]+ [KMGT]iB free at [^\n ]*", "SPACE free"),
    (r"http://127\.0\.0\.1:\d+", "http://SERVER"),
];

/// Returns what the doctor tells on a desk with a helm of this version and the way to a server.
fn told(helm: &str, server: Server, arguments: &[&str]) -> String {
    let desk = Desk::new();
    let helm = desk.script("bin/helm", &format!("echo {helm}"));
    desk.write(".kube/config", &kubeconfig(&server.start()));
    assert!(desk.run(&["init", "lab"]).status.success());
    let mut command = desk.command(&[&["doctor"], arguments].concat());
    desk.told_by(command.env("SITEWRIGHT_HELM", helm))
}

#[test]
fn all_is_well() {
    insta::with_settings!({ filters => FILTERS }, {
        insta::assert_snapshot!(told("v3.19.0", Server::default(), &["lab/sites/lab"]));
    });
}

#[test]
fn a_clock_that_differs_is_a_warning() {
    let server = Server { ahead: SignedDuration::from_secs(4000), ..Server::default() };
    let told = told("v3.19.0", server, &[]);
    assert!(told.starts_with("exit code 0\n"), "{told}");
    let line = told.lines().find(|line| line.contains("clock")).unwrap();
    assert!(line.contains("this machine is 1 h 6 min behind the server  SW0909"), "{line}");
}

#[test]
fn a_helm_that_is_too_old_is_a_warning() {
    insta::with_settings!({ filters => FILTERS }, {
        insta::assert_snapshot!(told("v2.17.0", Server::default(), &[]));
    });
}

#[test]
fn a_server_that_is_newer_than_what_was_tried_is_a_warning() {
    let server = Server { version: "v1.99.0", ..Server::default() };
    let told = told("v3.19.0", server, &[]);
    assert!(told.starts_with("exit code 0\n"), "{told}");
    let line = told.lines().find(|line| line.contains("v1.99.0")).unwrap();
    assert!(line.contains("newer than what this version is tested with (v1.37)  SW0613"), "{line}");
}

#[test]
fn what_stands_in_the_way_is_told_and_fails() {
    let desk = Desk::new();
    assert!(desk.run(&["init", "lab"]).status.success());
    desk.write("lab/sites/lab/site.yaml", "apiVersion: sitewright.dev/v1alpha1\nkind: Sit\n");
    let mut command = desk.command(&["doctor", "lab/sites/lab"]);
    let told = desk.told_by(command.env("SITEWRIGHT_HELM", "no-helm"));
    insta::with_settings!({ filters => FILTERS }, { insta::assert_snapshot!(told) });
}

#[test]
fn as_json_it_says_the_same() {
    let desk = Desk::new();
    let output = desk.run(&["doctor", "-o", "json"]);
    assert_eq!(output.status.code(), Some(1));
    let doctor: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
    let checks = doctor["checks"].as_array().unwrap();
    let cluster = checks.iter().find(|check| check["what"] == "cluster").unwrap();
    assert_eq!((&cluster["verdict"], &cluster["code"]), (&"fail".into(), &"SW0602".into()));
}
