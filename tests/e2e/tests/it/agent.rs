//! The agent on one site: what it does by itself, what it leaves alone, and what it costs.

use sitewright_e2e::{Handle, Lab, Requests, Running};
use sitewright_testbed::Mode;

fn map(name: &str, color: &str) -> String {
    format!(
        "---\napiVersion: v1\nkind: ConfigMap\nmetadata: {{ name: {name}, namespace: '{{ns}}' }}\ndata: {{ color: {color} }}\n"
    )
}

fn maps(color: &str) -> String {
    ["one", "two", "three"].map(|name| map(name, color)).concat()
}

/// Starts the agent, and waits until it has applied the site.
fn start(lab: &Lab) -> Running {
    let running = Running::start(
        &mut lab.command(&["agent", "--site", ".", "--poll", "1h", "--resync", "1h"]),
    );
    running.handle().wait_to_say("NewRevision");
    running
}

fn stop(running: Running) -> String {
    running.handle().signal("TERM");
    let run = running.end();
    assert_eq!(run.code, 143, "{run}");
    run.stderr
}

fn edit(lab: &Lab, name: &str, color: &str) {
    let patch = format!(r#"{{"data":{{"color":"{color}"}}}}"#);
    let arguments = ["patch", "cm", name, "-n", lab.name(), "--type=merge", "-p", &patch];
    lab.kubectl(&[&arguments[..], &["--field-manager=kubectl-edit"]].concat());
}

fn annotate(lab: &Lab, name: &str, note: &str) {
    lab.kubectl(&["annotate", "--overwrite", "cm", name, "-n", lab.name(), note]);
}

fn color(lab: &Lab, name: &str) -> String {
    let live = lab.live("cm", name).expect("it is there");
    live["data"]["color"].as_str().expect("a color").to_owned()
}

/// Waits until the agent has mended `name`: what came before that is dealt with too.
fn mended(lab: &Lab, agent: &Handle, name: &str) {
    edit(lab, name, "red");
    agent.wait_to_say(&format!("{}/{name}: data.color was changed by kubectl-edit", lab.name()));
    agent.wait_to_say("and is put right");
}

fn about<'r>(requests: &'r Requests, name: &str) -> Vec<&'r str> {
    let ending = format!("/{name}");
    let of = requests.0.iter().map(|event| event.uri.as_str());
    of.filter(|uri| uri.split('?').next().is_some_and(|path| path.ends_with(&ending))).collect()
}

#[test]
fn the_agent_applies_a_site_mends_it_and_names_who_changed_it() {
    let mut lab = Lab::new("agent-mends");
    lab.component("app", &maps("blue"));
    let running = start(&lab);
    let agent = running.handle();
    agent.wait_to_say("3 changes, everything is as it should be");
    edit(&lab, "two", "red");
    agent.wait_to_say("two: data.color was changed by kubectl-edit");
    assert_eq!(color(&lab, "two"), "blue");
    lab.kubectl(&["delete", "cm", "one", "-n", lab.name()]);
    agent.wait_to_say("one was deleted, and is put right");
    assert_eq!(color(&lab, "one"), "blue");
    lab.component("app", &maps("green"));
    agent.wait_to_say("working tree: 3 changes, everything is as it should be");
    stop(running);
}

#[test]
fn a_site_that_is_edited_is_applied_at_once_and_a_mistake_changes_nothing() {
    let mut lab = Lab::new("agent-edits");
    lab.component("app", &map("one", "blue"));
    let running = start(&lab);
    let agent = running.handle();
    agent.wait_to_say("1 change, everything is as it should be");
    lab.file("site.yaml", "kind: Nonsense\n");
    agent.wait_to_say("Failed");
    assert_eq!(color(&lab, "one"), "blue");
    mended(&lab, &agent, "one"); // what was desired before still is
    lab.component("app", &(map("one", "green") + &map("more", "green")));
    agent.wait_to_say("is over");
    agent.wait_to_say("2 changes, everything is as it should be");
    assert_eq!(color(&lab, "one"), "green");
    let log = stop(running);
    let at = |text: &str| log.find(text).unwrap_or(usize::MAX);
    assert!(at("and is put right") < at("is over"), "the mistake was not over yet:\n{log}");
}

#[test]
fn an_event_that_changes_nothing_of_ours_costs_no_request_and_a_restart_writes_nothing() {
    let mut lab = Lab::new("agent-rests");
    lab.component("app", &maps("blue"));
    let running = start(&lab);
    let agent = running.handle();
    agent.wait_to_say("3 changes, everything is as it should be");
    annotate(&lab, "one", "note=0"); // the first event of an object is looked at
    mended(&lab, &agent, "two");
    let requests = lab.requests(|| {
        for note in 1..20 {
            annotate(&lab, "one", &format!("note={note}"));
        }
        mended(&lab, &agent, "three");
    });
    assert_eq!(about(&requests, "one"), Vec::<&str>::new(), "{requests}");
    assert!(!about(&requests, "three").is_empty(), "{requests}");
    stop(running);

    let requests = lab.requests(|| {
        let running = start(&lab);
        edit(&lab, "one", "red"); // it is at work once this is mended
        running.handle().wait_to_say("and is put right");
        stop(running);
    });
    let writes = requests.writes();
    let others = writes.iter().filter(|event| event.resource == "configmaps");
    let others = others.filter(|event| event.uri.contains("/two") || event.uri.contains("/three"));
    assert_eq!(others.count(), 0, "{requests}");
}

#[test]
fn a_field_that_is_rewritten_again_and_again_is_left_alone_and_the_rival_is_named() {
    let mut lab = Lab::new("agent-fights");
    lab.component("app", &maps("blue"));
    let running = start(&lab);
    let agent = running.handle();
    agent.wait_to_say("3 changes, everything is as it should be");
    let mut rewrites = 0;
    while rewrites < 6 {
        let arguments = ["get", "cm", "one", "-n", lab.name(), "-o", "jsonpath={.data.color}"];
        if lab.kubectl(&arguments) == "blue" {
            edit(&lab, "one", &format!("red-{rewrites}"));
            rewrites += 1;
        }
    }
    agent.wait_to_say("changed by kubectl-edit");
    agent.wait_to_say("again and again");
    assert_eq!(color(&lab, "one"), "red-5");
    mended(&lab, &agent, "two"); // the others are none the worse for it
    stop(running);
}

#[test]
fn where_the_policy_is_to_report_drift_is_told_and_stays() {
    let mut lab = Lab::new("agent-reports");
    lab.component("app", &map("one", "blue"));
    lab.component("watched", &map("two", "blue"));
    lab.component_site("watched", "policy: { drift: report }");
    let running = start(&lab);
    let agent = running.handle();
    agent.wait_to_say("2 changes, everything is as it should be");
    edit(&lab, "two", "red");
    agent.wait_to_say("two: data.color was changed by kubectl-edit");
    agent.wait_to_say("and stays so");
    mended(&lab, &agent, "one");
    assert_eq!(color(&lab, "two"), "red");
    stop(running);
}

#[test]
fn a_newer_revision_stops_an_apply_that_waits() {
    let mut lab = Lab::new("agent-preempts");
    // Nothing makes a LoadBalancer ready here.
    let service = "---\napiVersion: v1\nkind: Service\nmetadata: { name: balancer, namespace: '{ns}' }\nspec: { type: LoadBalancer, ports: [{ port: 80 }] }\n";
    lab.component("app", &(map("one", "blue") + service));
    let running = start(&lab);
    let agent = running.handle();
    let waits = || lab.live("service", "balancer").is_some();
    while !waits() {}
    lab.component("app", &map("one", "green"));
    agent.wait_to_say("everything is as it should be");
    assert_eq!(color(&lab, "one"), "green");
    assert!(lab.live("service", "balancer").is_none(), "it left the site");
    stop(running);
}

#[test]
fn a_mend_asks_for_the_inventory_by_name_and_sees_what_others_wrote_to_it() {
    let mut lab = Lab::new("agent-parts");
    lab.component("app", &maps("blue"));
    let running = start(&lab);
    let agent = running.handle();
    agent.wait_to_say("3 changes, everything is as it should be");
    // whatever was noticed before is dealt with once two were mended, one after the other
    mended(&lab, &agent, "one");
    mended(&lab, &agent, "two");
    let inventory = "sitewright.dev/inventory=agent-parts";
    let touch = ["annotate", "cm", "-n", "sitewright-system", "-l", inventory, "seen=yes"];
    lab.kubectl(&touch);
    let requests = lab.requests(|| mended(&lab, &agent, "three"));
    assert_eq!(color(&lab, "three"), "blue");
    assert_eq!(requests.count("list", "configmaps"), 0, "{requests}");
    stop(running);
}

#[test]
fn a_commit_that_touches_one_object_is_applied_before_the_whole_is_listed() {
    let mut lab = Lab::new("agent-touched");
    lab.component("app", &maps("blue"));
    let running = start(&lab);
    let agent = running.handle();
    agent.wait_to_say("3 changes, everything is as it should be");
    mended(&lab, &agent, "two");
    let went_the_short_way = |lab: &mut Lab, shade: &str| {
        let others = map("two", "blue") + &map("three", "blue");
        lab.component("app", &(map("one", shade) + &others));
        let requests = lab.requests(|| while color(lab, "one") != shade {});
        let is_list = |uri: &str| uri.starts_with("/api/v1/configmaps?limit");
        let uris: Vec<&str> = requests.0.iter().map(|event| event.uri.as_str()).collect();
        let listed = uris.iter().position(|uri| is_list(uri));
        let applied = requests.0.iter().position(|event| {
            event.verb == "patch" && event.mode == Mode::Real && event.name == "one"
        });
        applied.is_some_and(|applied| listed.is_none_or(|listed| applied < listed))
    };
    // one that comes while the whole is looked at goes the long way
    let shades = (0..20).map(|shade| format!("green-{shade}"));
    let short = shades.into_iter().any(|shade| went_the_short_way(&mut lab, &shade));
    assert!(short, "the whole was listed first, each time:\n{}", agent.said());
    // and what the whole decides is decided: an object that leaves the site is pruned
    lab.component("app", &(map("one", "white") + &map("two", "blue")));
    while lab.live("cm", "three").is_some() {}
    assert_eq!(color(&lab, "one"), "white");
    stop(running);
}
