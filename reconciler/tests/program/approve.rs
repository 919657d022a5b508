//! Approvals: what is refused before a cluster is asked, and files with mistakes.

use crate::desk::Desk;

const DIGITS: &str = "1f3c9e2a01bc";

/// A desk with the site `lab/sites/lab`.
fn desk() -> Desk {
    let desk = Desk::new();
    assert!(desk.run(&["init", "lab"]).status.success());
    desk
}

#[test]
fn an_approval_is_not_written_into_a_commit() {
    let site = "https://git.example.edu/lab.git//sites/lab@main";
    let told = Desk::new().told(&["approve", DIGITS, site, "--reason", "tested"]);
    insta::assert_snapshot!(told);
}

#[test]
fn an_approval_needs_a_digest_a_reason_and_an_end_that_is_a_time() {
    let desk = Desk::new();
    for arguments in [
        &["approve", "1f3c", "--reason", "tested"][..],
        &["approve", DIGITS],
        &["approve", DIGITS, "--reason", " "],
        &["approve", DIGITS, "--reason", "tested", "--until", "2026-02-30"],
    ] {
        assert_eq!(desk.run(arguments).status.code(), Some(1), "{arguments:?}");
    }
    let until = ["approve", DIGITS, "--reason", "tested", "--until", "soon"];
    insta::assert_snapshot!(desk.told(&until));
}

#[test]
fn a_broken_approval_fails_a_validation_and_nothing_else() {
    let desk = desk();
    let good = "apiVersion: sitewright.dev/v1alpha1\nkind: Approval\nmetadata: { name: x }\nspec:\n  \
                plan: sha256:1f3c9e2a01bc5d6e7f8091a2b3c4d5e6f708192a3b4c5d6e7f8091a2b3c4d5e6\n  \
                cluster: 6c1f0d3e-0000-4000-8000-000000000001\n  reason: tested\n";
    desk.write("lab/sites/lab/approvals/good.yaml", good);
    assert_eq!(desk.run(&["validate", "lab/sites/lab"]).status.code(), Some(0));
    desk.write("lab/sites/lab/approvals/bad.yaml", &good.replace("reason", "raison"));
    insta::assert_snapshot!("validate", desk.told(&["validate", "lab/sites/lab"]));
    let rendered = desk.run(&["render", "lab/sites/lab"]);
    assert_eq!(rendered.status.code(), Some(0));
    let warned = String::from_utf8_lossy(&rendered.stderr).into_owned();
    assert!(warned.contains("warning[SW0102]"), "{warned}");
}
