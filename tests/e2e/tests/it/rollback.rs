//! A revision that makes a healthy component unhealthy.

use serde_json::Value;
use sitewright_e2e::{Handle, Lab, Running, git};

/// A Service is healthy here when its annotation says so: no controller is needed for what is tested.
fn objects(is_well: bool, note: &str) -> String {
    format!(
        r#"
apiVersion: v1
kind: Service
metadata: {{ name: front, namespace: '{{ns}}', annotations: {{ note: "{note}", well: "{is_well}" }} }}
spec: {{ ports: [{{ port: 80 }}], selector: {{ app: front }} }}
"#
    )
}

const HEALTH: &str = r#"
health:
  - { kind: Service, ready: "metadata.annotations['well'] == 'true'", deadline: 3s }
"#;

fn commit(lab: &Lab, message: &str) {
    git(lab.folder(), &["add", "site.yaml", "blueprints"]);
    git(lab.folder(), &["commit", "-q", "-m", message]);
}

fn lab(name: &str, policy: &str) -> Lab {
    let mut lab = Lab::new(name);
    lab.component_blueprint("app", HEALTH);
    lab.component_site("app", policy);
    lab.component("app", &objects(true, "first"));
    git(lab.folder(), &["init", "-q", "-b", "main"]);
    commit(&lab, "first");
    lab
}

fn agent(lab: &Lab) -> Running {
    let site = format!("file://{}//@main", lab.folder().display());
    let arguments = ["agent", "--site", &site, "--poll", "1s", "--resync", "1h"];
    Running::start(&mut lab.command(&arguments))
}

fn stop(running: Running) {
    running.handle().signal("TERM");
    running.end();
}

fn is_well(lab: &Lab) -> Value {
    lab.live("service", "front").expect("it is there")["metadata"]["annotations"]["well"].clone()
}

fn note(lab: &Lab) -> Value {
    lab.live("service", "front").expect("it is there")["metadata"]["annotations"]["note"].clone()
}

fn first_is_well(agent: &Handle) {
    agent.wait_to_say("1 change, everything is as it should be");
    // what is healthy is noted by the look after it
    std::thread::sleep(std::time::Duration::from_secs(2));
}

#[test]
fn what_makes_a_component_unhealthy_is_taken_back_until_git_has_another() {
    let mut lab = lab("rolled-back", "policy: { unhealthy: rollback }");
    let running = agent(&lab);
    first_is_well(&running.handle());
    lab.component("app", &objects(false, "second"));
    commit(&lab, "second");
    let handle = running.handle();
    handle.wait_to_say("made app unhealthy");
    handle.wait_to_say("app goes back to what it was when it was healthy");
    handle.wait_to_say("1 change, not all of it works");
    for _ in 0..100 {
        if is_well(&lab) == "true" {
            break;
        }
        std::thread::sleep(std::time::Duration::from_millis(100));
    }
    assert_eq!((is_well(&lab), note(&lab)), ("true".into(), "first".into()));
    stop(running);

    // an agent that is started again does not try it again
    let running = agent(&lab);
    let edit = ["annotate", "--overwrite", "service", "front", "-n", lab.name(), "note=by-hand"];
    running.handle().wait_to_say("NewRevision");
    std::thread::sleep(std::time::Duration::from_secs(3));
    assert_eq!(is_well(&lab), Value::from("true"));
    lab.kubectl(&edit);
    running.handle().wait_to_say("is put right");
    assert_eq!((is_well(&lab), note(&lab)), ("true".into(), "first".into()));
    let status = lab.run(&["status"]);
    assert!(status.says("BAD REVISION"), "{status}");
    assert!(status.says("the last healthy content took its place"), "{status}");

    lab.component("app", &objects(true, "third"));
    commit(&lab, "third");
    running.handle().wait_to_say("Applied");
    assert_eq!((is_well(&lab), note(&lab)), ("true".into(), "third".into()));
    stop(running);
}

#[test]
fn by_default_it_is_told_and_stays() {
    let mut lab = lab("bad-held", "");
    let running = agent(&lab);
    first_is_well(&running.handle());
    lab.component("app", &objects(false, "second"));
    commit(&lab, "second");
    running.handle().wait_to_say("made app unhealthy: Service bad-held/front");
    std::thread::sleep(std::time::Duration::from_secs(2));
    stop(running);
    assert_eq!((is_well(&lab), note(&lab)), ("false".into(), "second".into()));
}

#[test]
fn a_way_back_that_does_more_than_the_policy_allows_is_not_gone() {
    let mut lab = lab("no-way-back", "policy: { unhealthy: rollback, }");
    let hazards =
        "hazards:\n  - { kind: Service, on: update, is: evicts-jobs, because: sessions end }\n";
    lab.component_blueprint("app", &format!("{HEALTH}{hazards}"));
    lab.spec("policy: { approve: never }");
    commit(&lab, "hazards");
    let running = agent(&lab);
    first_is_well(&running.handle());
    lab.component("app", &objects(false, "second"));
    commit(&lab, "second");
    running
        .handle()
        .wait_to_say("app does not go back: the way back evicts-jobs: Service no-way-back/front");
    std::thread::sleep(std::time::Duration::from_secs(2));
    stop(running);
    assert_eq!((is_well(&lab), note(&lab)), ("false".into(), "second".into()));
}

#[test]
fn two_components_that_one_commit_made_ill_both_go_back() {
    let mut lab = lab("both-back", "policy: { unhealthy: rollback }");
    let other = |is_well: bool, note: &str| objects(is_well, note).replace("front", "back");
    lab.component_blueprint("other", HEALTH);
    lab.component_site("other", "policy: { unhealthy: rollback }");
    lab.component("other", &other(true, "first"));
    commit(&lab, "another");
    let running = agent(&lab);
    running.handle().wait_to_say("2 changes, everything is as it should be");
    std::thread::sleep(std::time::Duration::from_secs(2));
    lab.component("app", &objects(false, "second"));
    lab.component("other", &other(false, "second"));
    commit(&lab, "second");
    running.handle().wait_to_say("app goes back to what it was");
    running.handle().wait_to_say("other goes back to what it was");
    let are_back = || {
        ["front", "back"].iter().all(|name| {
            let live = lab.live("service", name).expect("it is there");
            live["metadata"]["annotations"]["well"] == "true"
        })
    };
    for _ in 0..100 {
        if are_back() {
            break;
        }
        std::thread::sleep(std::time::Duration::from_millis(100));
    }
    assert!(are_back());
    stop(running);
}
