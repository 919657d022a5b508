//! An agent that is started over a converged site has nothing to write, by the API server's audit log.

use sitewright_e2e::{Lab, Running};
use sitewright_testbed::Mode;

/// Some pages of a list. `cargo xtask bench agent` does it with more.
const OBJECTS: usize = 2_000;

fn objects() -> String {
    let object = |index: usize| {
        format!(
            "---\napiVersion: v1\nkind: ConfigMap\nmetadata: {{ name: map-{index}, namespace: '{{ns}}' }}\ndata: {{ color: blue }}\n"
        )
    };
    (0..OBJECTS).map(object).collect()
}

fn start(lab: &Lab) -> Running {
    let running = Running::start(
        &mut lab.command(&["agent", "--site", ".", "--poll", "1h", "--resync", "1h"]),
    );
    running.handle().wait_to_say("NewRevision");
    running
}

/// Lets the agent mend an edit: whatever it noticed before is dealt with by then.
fn mended(lab: &Lab, running: &Running, name: &str) {
    let patch = r#"{"data":{"color":"red"}}"#;
    let arguments = ["patch", "cm", name, "-n", lab.name(), "--type=merge", "-p", patch];
    lab.kubectl(&[&arguments[..], &["--field-manager=kubectl-edit"]].concat());
    running.handle().wait_to_say(&format!("{}/{name}: data.color was changed", lab.name()));
}

#[test]
fn a_restart_over_thousands_of_converged_objects_writes_nothing() {
    let mut lab = Lab::new("agent-restarts");
    lab.component("app", &objects());
    let running = start(&lab);
    running.handle().wait_to_say("changes, everything is as it should be");
    mended(&lab, &running, "map-0");
    running.handle().signal("TERM");
    running.end();

    for signal in ["KILL", "TERM"] {
        let requests = lab.requests(|| {
            let running = start(&lab);
            mended(&lab, &running, "map-7");
            running.handle().signal(signal);
            running.end();
        });
        // what was asked for: the mended object, and what records it
        let is_of_the_mend = |uri: &str| {
            let path = uri.split('?').next().unwrap_or_default();
            path.ends_with("/map-7") || path.contains("/sitewright-system/")
        };
        let others: Vec<_> =
            requests.writes().into_iter().filter(|event| !is_of_the_mend(&event.uri)).collect();
        assert!(others.is_empty(), "{others:?}");
        let applied = requests.0.iter().filter(|event| {
            event.verb == "patch" && event.mode == Mode::Real && event.name == "map-7"
        });
        assert_eq!(applied.count(), 1, "{requests}");
    }
}
