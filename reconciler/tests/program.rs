//! The program as it is called: exit codes, messages, files. No cluster is needed.

#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    reason = "a test may panic, also in its helpers"
)]

use std::{
    fs,
    io::Read,
    path::Path,
    process::{Command, Output, Stdio},
};

use tempfile::TempDir;

/// A folder of its own, in which the program runs and which it takes for its home.
struct Desk(TempDir);

impl Desk {
    fn new() -> Self {
        Self(tempfile::tempdir().unwrap())
    }

    fn path(&self) -> &Path {
        self.0.path()
    }

    fn command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_sitewright"));
        command
            .args(arguments)
            .current_dir(self.path())
            .env_clear()
            .env("PATH", std::env::var_os("PATH").unwrap_or_default())
            .env("HOME", self.path())
            .env("LANG", "C.UTF-8")
            .stdin(Stdio::null());
        command
    }

    fn run(&self, arguments: &[&str]) -> Output {
        self.command(arguments).output().unwrap()
    }

    /// Returns exit code, standard output and standard error as one text without this machine's paths.
    fn told(&self, arguments: &[&str]) -> String {
        let output = self.run(arguments);
        let text = format!(
            "exit code {}\n--- stdout\n{}--- stderr\n{}",
            output.status.code().unwrap(),
            String::from_utf8_lossy(&output.stdout),
            String::from_utf8_lossy(&output.stderr)
        );
        let real = fs::canonicalize(self.path()).unwrap();
        text.replace(&real.display().to_string(), "DESK")
            .replace(&self.path().display().to_string(), "DESK")
    }
}

#[test]
fn help_is_short_by_default_and_long_on_request() {
    insta::assert_snapshot!(Desk::new().told(&["-h"]));
}

#[test]
fn a_new_repository_is_valid_at_once() {
    let desk = Desk::new();
    insta::assert_snapshot!(desk.told(&["init", "my-lab"]));
    let validated = desk.run(&["validate", "my-lab/sites/my-lab"]);
    assert_eq!(validated.status.code(), Some(0), "{}", String::from_utf8_lossy(&validated.stderr));
    let site = fs::read_to_string(desk.path().join("my-lab/sites/my-lab/site.yaml")).unwrap();
    assert!(site.starts_with("# yaml-language-server: $schema=../../schema/site.schema.json\n"));
    assert!(desk.path().join("my-lab/schema/site.schema.json").is_file());
    assert!(desk.path().join("my-lab/.github/workflows/sitewright.yml").is_file());
}

#[test]
fn init_overwrites_nothing() {
    let desk = Desk::new();
    fs::create_dir(desk.path().join("lab")).unwrap();
    fs::write(desk.path().join("lab/README.md"), "mine").unwrap();
    insta::assert_snapshot!(desk.told(&["init", "lab", "--ci", "gitlab"]));
    assert_eq!(fs::read_to_string(desk.path().join("lab/README.md")).unwrap(), "mine");
    assert_eq!(fs::read_dir(desk.path().join("lab")).unwrap().count(), 1);
}

#[test]
fn a_folder_that_is_no_site_names_the_sites_near() {
    let desk = Desk::new();
    assert!(desk.run(&["init", "lab", "--name", "first"]).status.success());
    insta::assert_snapshot!(desk.told(&["plan", "lab"]));
    assert_eq!(desk.run(&["plan", "nowhere/at/all"]).status.code(), Some(1));
}

#[test]
fn a_mistake_in_the_arguments_is_an_error_and_not_a_change() {
    insta::assert_snapshot!(Desk::new().told(&["plan", "--ouput", "json"]));
}

#[test]
fn without_a_way_to_a_cluster_it_says_so() {
    let desk = Desk::new();
    assert!(desk.run(&["init", "lab"]).status.success());
    insta::assert_snapshot!(desk.told(&["plan", "lab/sites/lab"]));
}

#[test]
fn a_short_digest_is_refused_before_anything_is_read() {
    insta::assert_snapshot!(Desk::new().told(&["apply", "--plan", "sha256:123"]));
}

#[test]
fn an_error_is_explained_by_its_number() {
    insta::assert_snapshot!(Desk::new().told(&["explain", "902"]));
    insta::assert_snapshot!(Desk::new().told(&["explain", "SW4242"]));
}

#[test]
fn findings_are_told_as_json() {
    let desk = Desk::new();
    fs::write(desk.path().join("site.yaml"), "apiVersion: sitewright.dev/v1alpha1\nkind: Sit\n")
        .unwrap();
    let output = desk.run(&["validate", "-o", "json"]);
    assert_eq!(output.status.code(), Some(1));
    let findings: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(findings["format"], "sitewright.dev/findings/v1");
    assert_eq!(findings["findings"][0]["file"], "site.yaml");
    assert!(findings["findings"][0]["line"].is_number(), "{findings:#}");
}

#[test]
fn a_reader_that_has_seen_enough_is_no_error() {
    let desk = Desk::new();
    let mut child = desk
        .command(&["completions", "bash"])
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    drop(child.stdout.take());
    let mut said = String::new();
    child.stderr.take().unwrap().read_to_string(&mut said).unwrap();
    assert_eq!(child.wait().unwrap().code(), Some(0));
    assert_eq!(said, "");
}

#[test]
fn colour_follows_the_option_and_the_environment() {
    let desk = Desk::new();
    let coloured = |command: &mut Command| {
        String::from_utf8_lossy(&command.output().unwrap().stdout).contains('\u{1b}')
    };
    let list = ["explain", "--list"];
    assert!(!coloured(&mut desk.command(&list)));
    assert!(coloured(desk.command(&list).env("CLICOLOR_FORCE", "1")));
    assert!(coloured(&mut desk.command(&["explain", "--list", "--color", "always"])));
    assert!(!coloured(
        desk.command(&["explain", "--list", "--color", "never"]).env("CLICOLOR_FORCE", "1")
    ));
}

#[test]
fn manual_pages_of_all_commands_are_written() {
    let desk = Desk::new();
    assert!(desk.run(&["man", "pages"]).status.success());
    let page = fs::read_to_string(desk.path().join("pages/sitewright-plan.1")).unwrap();
    assert!(page.contains("sitewright plan") || page.contains("sitewright\\-plan"), "{page}");
    assert!(desk.path().join("pages/sitewright.1").is_file());
}
