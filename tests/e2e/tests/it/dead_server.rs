//! An API server that dies in the middle of an apply, and stays dead.

use std::process::Command;

use sitewright_e2e::{Lab, Run, Running};
use sitewright_testbed::FaultProxy;

fn config_map(name: &str) -> String {
    format!(
        "apiVersion: v1\nkind: ConfigMap\nmetadata: {{ name: {name}, namespace: '{{ns}}' }}\ndata: {{ a: b }}\n"
    )
}

/// `first`, then `second`, which becomes healthy by another's hand, then `third`.
fn chain(lab: &mut Lab) {
    for name in ["first", "second", "third"] {
        lab.component(name, &config_map(name));
    }
    lab.component_site("second", "dependsOn: [first]");
    lab.component_site("third", "dependsOn: [second]");
    let rule = "health: [{ kind: ConfigMap, ready: \"'ready' in metadata.labels\", deadline: 1h }]";
    lab.component_blueprint("second", rule);
}

fn kill(process: u32) {
    let status = Command::new("kill").args(["-KILL", &process.to_string()]).status();
    assert!(status.expect("kill runs").success());
}

fn assert_told(run: &Run) {
    assert_eq!(run.code, 1, "{run}");
    assert!(run.stdout.contains("SW0601: https://127.0.0.1:"), "it does not say which:\n{run}");
    assert!(run.stdout.contains("help: "), "no way out:\n{run}");
    assert!(run.stdout.contains("not reached"), "it does not say where it stands:\n{run}");
    assert!(run.stdout.contains("goes on from here"), "{run}");
    assert!(!run.stderr.contains("ERROR"), "told more than once:\n{run}");
}

/// Brings the server back, and applies to the end.
fn assert_goes_on(lab: &mut Lab, kept: &[&str]) {
    lab.own_control_plane().kill_apiserver();
    lab.own_control_plane().start_apiserver().expect("it starts again");
    let uids: Vec<String> = kept.iter().map(|name| lab.uid("configmap", name)).collect();
    let running = Running::start(&mut lab.command(&["apply", "--yes"]));
    running.handle().wait_to_say("waiting for ConfigMap");
    lab.kubectl(&["label", "configmap", "second", "-n", lab.name(), "ready=yes"]);
    let run = running.end();
    assert_eq!(run.code, 0, "{run}");
    let now: Vec<String> = kept.iter().map(|name| lab.uid("configmap", name)).collect();
    assert_eq!(now, uids, "what was there was made anew");
    assert!(lab.live("configmap", "third").is_some());
    assert_eq!(lab.run(&["plan"]).code, 0, "{}", lab.run(&["plan"]));
}

#[test]
fn a_server_that_dies_while_it_is_written_to_is_told_and_the_next_run_goes_on() {
    let mut lab = Lab::alone("dead-writing");
    chain(&mut lab);
    let proxy = FaultProxy::start(lab.control_plane()).expect("the proxy starts");
    proxy.count_only(|request| request.writes() && request.path.ends_with("/configmaps/second"));
    // etcd is the first, the API server the second.
    let server = lab.control_plane().process_ids()[1];
    proxy.call_before(1, move || kill(server));
    let run = lab.run_with(&["apply", "--yes", "--timeout", "5s"], |command| {
        command.env("KUBECONFIG", proxy.kubeconfig());
    });
    assert_told(&run);
    assert_goes_on(&mut lab, &["first"]);
}

#[test]
fn a_server_that_dies_while_something_is_waited_for_is_told_and_the_next_run_goes_on() {
    let mut lab = Lab::alone("dead-waiting");
    chain(&mut lab);
    let running = Running::start(&mut lab.command(&["apply", "--yes", "--timeout", "300s"]));
    running.handle().wait_to_say("waiting for ConfigMap");
    lab.own_control_plane().kill_apiserver();
    assert_told(&running.end());
    assert_goes_on(&mut lab, &["first", "second"]);
}
