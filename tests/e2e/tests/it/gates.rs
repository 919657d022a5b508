//! Research goes first (law 7): approvals in git, maintenance windows.

use std::{process::Command, time::SystemTime};

use sitewright_e2e::{Lab, Running};

fn config_map(value: &str) -> String {
    format!(
        "apiVersion: v1\nkind: ConfigMap\nmetadata: {{ name: a, namespace: '{{ns}}' }}\ndata: {{ k: '{value}' }}\n"
    )
}

/// A lab whose object evicts jobs when it changes; it is applied, and is to change.
fn about_to_evict(name: &str, policy: &str) -> Lab {
    let mut lab = Lab::new(name);
    lab.spec(&format!("policy: {policy}"));
    lab.component("app", &config_map("old")).component_blueprint(
        "app",
        "hazards: [{ kind: ConfigMap, on: update, is: evicts-jobs, because: its readers start anew }]",
    );
    lab.apply();
    lab.component("app", &config_map("new"));
    lab
}

fn value(lab: &Lab) -> String {
    lab.live("configmap", "a").unwrap()["data"]["k"].as_str().unwrap().to_owned()
}

fn digest(lab: &Lab) -> String {
    lab.plan()["digest"].as_str().unwrap().to_owned()
}

/// Commits everything in the lab's repository, and returns the site at that commit.
fn commit(lab: &Lab) -> String {
    lab.file(".gitignore", ".cache/\n");
    let git = |arguments: &[&str]| {
        let identity = ["-c", "user.name=Ada", "-c", "user.email=ada@example.edu"];
        let mut git = Command::new("git");
        let git = git.args(identity).args(arguments).current_dir(lab.folder()).output().unwrap();
        assert!(git.status.success(), "{}", String::from_utf8_lossy(&git.stderr));
        String::from_utf8(git.stdout).unwrap()
    };
    git(&["init", "--quiet"]);
    git(&["add", "--all"]);
    git(&["commit", "--quiet", "--message", "a commit"]);
    format!("{}//@{}", lab.folder().display(), git(&["rev-parse", "HEAD"]).trim())
}

#[test]
fn an_approval_in_git_lets_exactly_its_plan_go_ahead() {
    let mut lab = about_to_evict("approve", "{ approve: evicts-jobs }");
    let before = commit(&lab);
    let digest = digest(&lab);
    let run = lab.run(&["apply", &before, "--yes"]);
    assert_eq!(run.code, 2, "{run}");
    assert_eq!(value(&lab), "old");

    let run = lab.run(&["approve", "000000000000", "--reason", "tested"]);
    assert!(run.code == 1 && run.says("SW0501"), "{run}");
    let run = lab.run(&["approve", &digest, "--reason", "tested"]);
    assert_eq!(run.code, 0, "{run}");
    assert!(run.stdout.contains("git add approvals/"), "{run}");
    let plan = lab.plan();
    assert_eq!(plan["digest"], digest.as_str(), "an approval is not in what it approves");
    assert_eq!(plan["approvals"][0]["standing"]["is"], "approves", "{plan:#}");
    assert_eq!(plan["approvals"][0]["committed"], false, "{plan:#}");
    let run = lab.run(&["plan", &before]);
    assert!(run.says("held: approval"), "the commit before does not have it: {run}");

    let after = commit(&lab);
    let run = lab.run(&["plan", &after]);
    assert!(run.says("Approved  by approvals/") && !run.says("not committed"), "{run}");
    // Nobody is asked: there is no terminal, and somebody agreed.
    let run = lab.run(&["apply", &after]);
    assert_eq!(run.code, 0, "{run}");
    assert_eq!(value(&lab), "new");

    lab.component("app", &config_map("newer"));
    let run = lab.run(&["apply", "--yes"]);
    assert_eq!(run.code, 2, "{run}");
    assert_eq!(value(&lab), "new", "another plan");
    assert!(lab.run(&["plan"]).says("An approval for another plan is there"));
}

/// Returns a window that opens in some twelve hours.
fn closed() -> String {
    let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap().as_secs();
    let hour = (now / 3600 + 12) % 24;
    format!("{{ from: '{hour:02}:00', to: '{hour:02}:30', timezone: UTC }}")
}

#[test]
fn what_hits_running_work_waits_for_the_window_and_for_nobody_who_names_the_plan() {
    let policy = format!("{{ approve: never, maintenance: [{}] }}", closed());
    let mut lab = about_to_evict("window", &policy);
    let change = lab.change("ConfigMap", "a");
    assert_eq!(change["gates"][0]["waitsFor"], "window", "{change:#}");
    assert_eq!(change["gates"][0]["opens"]["timezone"], "UTC", "{change:#}");
    let run = lab.run(&["apply", "--yes"]);
    assert_eq!(run.code, 2, "{run}");
    assert!(run.says("maintenance window [SW0413]"), "{run}");
    assert_eq!(value(&lab), "old");
    let run = lab.run(&["apply", "--plan", &digest(&lab)]);
    assert_eq!(run.code, 0, "{run}");
    assert_eq!(value(&lab), "new");

    lab.component("app", &config_map("newer"));
    lab.spec(
        "policy: { approve: never, maintenance: [{ from: '00:00', to: '24:00', timezone: UTC }] }",
    );
    lab.apply();
    assert_eq!(value(&lab), "newer", "the window is open");
}

#[test]
fn the_agent_waits_for_an_approval_and_goes_ahead_when_it_comes() {
    let lab = about_to_evict("agent-approval", "{ approve: evicts-jobs }");
    let running = Running::start(&mut lab.command(&["agent", "--site", ".", "--poll", "1h"]));
    let agent = running.handle();
    agent.wait_to_say("NewRevision");
    agent.wait_to_say("Held");
    assert_eq!(value(&lab), "old");
    let run = lab.run(&["approve", &digest(&lab), "--reason", "tested"]);
    assert_eq!(run.code, 0, "{run}");
    agent.wait_to_say("1 change, everything is as it should be");
    assert_eq!(value(&lab), "new");
    agent.signal("TERM");
    running.end();
}

#[test]
fn a_wave_that_matches_no_node_is_told_and_one_that_no_label_fits_is_a_mistake() {
    let mut lab = Lab::new("unmatched");
    let wave = |nodes: &str| {
        format!(
            "waves: [{{ name: driver, hits: {{ nodes: {nodes} }}, restart: {{ namespace: gpu, daemonSets: {{ app: driver }} }} }}]"
        )
    };
    lab.component("app", &config_map("a"))
        .component_blueprint("app", &wave("{ nvidia.com/gpu.presnt: \"true\" }"));
    let plan = lab.run(&["plan"]);
    let told = "The wave driver of app matches no node now: none has nvidia.com/gpu.presnt=true.";
    assert!(plan.code == 2 && plan.says(told), "{plan}");
    assert_eq!(lab.plan()["unmatched"][0]["wave"], "driver");
    lab.component_blueprint("app", &wave("{ nvidia.com/gpu present: \"true\" }"));
    let plan = lab.run(&["validate"]);
    assert!(plan.code == 1 && plan.says("SW0112") && plan.says("selects nothing"), "{plan}");
}
