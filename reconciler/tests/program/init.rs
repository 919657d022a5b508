//! A new repository, and what is in it.

use std::fs;

use serde_json::Value;
use sitewright_model::yaml;

use crate::desk::Desk;

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

/// Makes a repository and returns its CI file, as text and as YAML.
fn ci(kind: &str, path: &str) -> (String, Value) {
    let desk = Desk::new();
    assert!(desk.run(&["init", "lab", "--name", "my-site", "--ci", kind]).status.success());
    let text = fs::read_to_string(desk.path().join("lab").join(path)).unwrap();
    // GitHub reads YAML 1.2, where `on` is a text; we read it as Kubernetes does.
    let quoted = text.replace("\non:", "\n\"on\":");
    let value = yaml::parse_values(&quoted).unwrap().pop().unwrap();
    (text, value)
}

#[test]
fn the_github_file_validates_every_site_and_plans_this_one() {
    let (text, value) = ci("github", ".github/workflows/sitewright.yml");
    let steps = |job: &str| value["jobs"][job]["steps"].to_string();
    assert!(steps("validate").contains("sitewright validate"), "{text}");
    assert!(steps("plan").contains("sitewright plan sites/my-site --comment"), "{text}");
    assert_eq!(value["jobs"]["plan"]["needs"], "validate");
    assert!(!text.contains("SITE_NAME"), "{text}");
}

#[test]
fn the_gitlab_file_validates_every_site_and_plans_this_one() {
    let (text, value) = ci("gitlab", ".gitlab-ci.yml");
    let script = |job: &str| value[job]["script"].to_string();
    assert!(script("validate").contains("sitewright validate"), "{text}");
    assert!(
        script("plan").contains("sitewright plan sites/my-site ${GITLAB_TOKEN:+--comment}"),
        "{text}"
    );
    assert_eq!(value["stages"], serde_json::json!(["validate", "plan"]));
    assert!(!text.contains("SITE_NAME"), "{text}");
}

#[test]
fn no_ci_file_is_written_where_none_is_wanted() {
    let desk = Desk::new();
    assert!(desk.run(&["init", "lab", "--ci", "none"]).status.success());
    assert!(!desk.path().join("lab/.github").exists());
    assert!(!desk.path().join("lab/.gitlab-ci.yml").exists());
}
