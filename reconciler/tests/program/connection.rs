//! The way to a cluster: what is said where there is none.

use crate::{
    desk::Desk,
    server::{Server, kubeconfig},
};

/// A desk with a site, and what is said of a plan with `kubeconfig`.
fn planned(kubeconfig: &str, arguments: &[&str]) -> String {
    let desk = Desk::new();
    assert!(desk.run(&["init", "lab"]).status.success());
    desk.write("kubeconfig", kubeconfig);
    let plan = ["plan", "lab/sites/lab", "--kubeconfig", "kubeconfig"];
    desk.told(&[plan.as_slice(), arguments].concat())
}

#[test]
fn without_a_way_to_a_cluster_it_says_so() {
    let desk = Desk::new();
    assert!(desk.run(&["init", "lab"]).status.success());
    insta::assert_snapshot!(desk.told(&["plan", "lab/sites/lab"]));
}

#[test]
fn a_context_that_does_not_exist_is_told_with_those_that_do() {
    let text = kubeconfig("http://127.0.0.1:1");
    insta::assert_snapshot!(planned(&text, &["--context", "lab-admn"]));
}

#[test]
fn a_kubeconfig_that_is_none_is_told_without_what_is_in_it() {
    let told = planned("apiVersion: v1\nusers: { token: canary-7d31\n", &[]);
    assert!(!told.contains("canary"), "{told}");
    insta::assert_snapshot!(told);
    insta::assert_snapshot!(planned("", &[]));
}

#[test]
fn credentials_that_are_not_accepted_are_told() {
    let server = Server { refusal: Some(401), ..Server::default() }.start();
    let told = planned(&kubeconfig(&server), &[]);
    insta::assert_snapshot!(told.replace(&server, "http://SERVER"));
}

#[test]
fn a_server_that_is_too_old_is_told() {
    let server = Server { version: "v1.27.4", ..Server::default() }.start();
    insta::assert_snapshot!(planned(&kubeconfig(&server), &[]));
}
