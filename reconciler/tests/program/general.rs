//! What all commands have in common, and those that only tell.

use std::{
    fs,
    io::Read,
    process::{Command, Stdio},
};

use sitewright_model::code;

use crate::desk::Desk;

#[test]
fn help_is_short_by_default_and_long_on_request() {
    insta::assert_snapshot!(Desk::new().told(&["-h"]));
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
fn a_short_digest_is_refused_before_anything_is_read() {
    insta::assert_snapshot!(Desk::new().told(&["apply", "--plan", "sha256:123"]));
}

#[test]
fn an_error_is_explained_by_its_number() {
    insta::assert_snapshot!(Desk::new().told(&["explain", "902"]));
    insta::assert_snapshot!(Desk::new().told(&["explain", "SW4242"]));
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
    assert!(!coloured(desk.command(&list).env("NO_COLOR", "1")));
}

#[test]
fn manual_pages_of_all_commands_are_written() {
    let desk = Desk::new();
    assert!(desk.run(&["man", "pages"]).status.success());
    let page = fs::read_to_string(desk.path().join("pages/sitewright-plan.1")).unwrap();
    assert!(page.contains("sitewright plan") || page.contains("sitewright\\-plan"), "{page}");
    assert!(desk.path().join("pages/sitewright.1").is_file());
}

#[test]
fn every_number_is_listed_with_its_title() {
    let output = Desk::new().run(&["explain", "--list"]);
    let listed = String::from_utf8(output.stdout).unwrap();
    let expected: Vec<String> =
        code::all().iter().map(|code| format!("{code}  {}", code.title)).collect();
    assert_eq!(listed.lines().collect::<Vec<_>>(), expected);
}

#[test]
fn completions_know_every_command() {
    let desk = Desk::new();
    for shell in ["bash", "zsh", "fish"] {
        let output = desk.run(&["completions", shell]);
        assert_eq!(output.status.code(), Some(0), "{shell}");
        let script = String::from_utf8(output.stdout).unwrap();
        let commands =
            ["init", "validate", "render", "lock", "plan", "apply", "approve", "status", "drift"];
        for command in commands.iter().chain(&["doctor", "explain", "completions", "man"]) {
            assert!(script.contains(command), "{shell} does not know {command}");
        }
    }
}
