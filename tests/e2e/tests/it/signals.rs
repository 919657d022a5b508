//! SIGINT and SIGTERM: stops between two requests, says where it stands, and the next run goes on there.

use std::sync::{
    atomic::{AtomicBool, Ordering},
    mpsc,
};

use sitewright_e2e::{Handle, Lab, Run, Running};
use sitewright_testbed::{FaultProxy, Request};

fn config_map(name: &str) -> String {
    format!(
        "apiVersion: v1\nkind: ConfigMap\nmetadata: {{ name: {name}, namespace: '{{ns}}' }}\ndata: {{ a: b }}\n"
    )
}

const FROZEN: &str = "
apiVersion: v1
kind: ConfigMap
metadata: { name: frozen, namespace: '{ns}' }
immutable: true
data: { color: blue }
";

/// At which side of the API server the program learns of the signal.
#[derive(Clone, Copy, Debug)]
enum Moment {
    /// The server has not seen the request.
    Before,
    /// The server has done it, and its answer is lost.
    After,
}

/// Requests in flight at once.
const IN_FLIGHT: usize = 8;

/// More than are in flight: none should be begun after the signal.
const ALL: u64 = 16;

/// Applies, and sends `signal` at the first request that `counts`; the first `kept` that do get no answer.
///
/// They are kept until the program has taken note of the signal, so that there is no race.
fn interrupted(
    lab: &Lab,
    proxy: &FaultProxy,
    (signal, moment, kept): (&'static str, Moment, u64),
    counts: impl Fn(&Request) -> bool + Send + Sync + 'static,
) -> Run {
    proxy.count_only(counts);
    proxy.restart();
    let mut senders = Vec::new();
    for number in 1..=kept {
        let (sender, receiver) = mpsc::channel::<Handle>();
        senders.push(sender);
        let stop = move || {
            let program = receiver.recv().expect("the program runs");
            if number == 1 {
                program.signal(signal);
            }
            program.wait_to_say("stopping: requests under way are finished");
        };
        match moment {
            Moment::Before => proxy.call_before(number, stop),
            Moment::After => proxy.call_after(number, stop),
        }
    }
    let running = Running::start(&mut lab.command(&["apply", "--yes"]));
    for sender in senders {
        sender.send(running.handle()).expect("the proxy waits for it");
    }
    let run = running.end();
    // What the next run asks is answered.
    proxy.restart();
    run
}

/// One after the other, so that it is known what has begun at which request.
fn chain(lab: &mut Lab, names: &[&str]) {
    for (index, name) in names.iter().enumerate() {
        lab.component(name, &config_map(name));
        if let Some(before) = index.checked_sub(1).map(|index| names[index]) {
            lab.component_site(name, &format!("dependsOn: [{before}]"));
        }
    }
}

fn assert_stopped(lab: &Lab, run: &Run, code: i32) {
    assert_eq!(run.code, code, "{run}");
    assert!(run.stdout.contains("Stopped:"), "it does not say where it stands:\n{run}");
    assert!(run.stdout.contains("goes on from here"), "{run}");
    assert_eq!(lab.lock_holder(), "", "the lock is held:\n{run}");
}

/// The next run converges, and does not wait for the lock.
fn assert_goes_on(lab: &Lab) {
    let requests = lab.requests(|| {
        lab.apply();
    });
    // Once to see it, once more before it is taken.
    assert!(requests.count("get", "leases") <= 2, "it waited for the lock:\n{requests}");
    assert_eq!(lab.run(&["plan"]).code, 0, "{}", lab.run(&["plan"]));
}

/// The names of the config maps of the site that were written.
fn written(lab: &Lab, work: impl FnOnce()) -> Vec<String> {
    let requests = lab.requests(work);
    let own = |namespace: &str| namespace == lab.name();
    let writes = requests.writes().into_iter().filter(|event| own(&event.namespace));
    writes.map(|event| event.name.clone()).collect()
}

fn stops_between_two_requests(name: &str, signal: &'static str, code: i32) {
    for moment in [Moment::Before, Moment::After] {
        let name = format!("{name}-{moment:?}").to_lowercase();
        let (mut lab, proxy) = Lab::behind_proxy(&name);
        chain(&mut lab, &["a", "b", "c", "d"]);
        let mut answer = None;
        let written = written(&lab, || {
            answer = Some(interrupted(&lab, &proxy, (signal, moment, 1), |request| {
                request.writes() && request.path.ends_with("/configmaps/b")
            }));
        });
        let run = answer.expect("it ran");
        assert_stopped(&lab, &run, code);
        let expected: &[&str] = match moment {
            Moment::Before => &["a"],
            Moment::After => &["a", "b"],
        };
        assert_eq!(written, expected, "{signal} {moment:?}: begun after the signal\n{run}");
        let uid = lab.uid("configmap", "a");
        assert_goes_on(&lab);
        assert_eq!(lab.uid("configmap", "a"), uid);
        for name in ["b", "c", "d"] {
            assert!(lab.live("configmap", name).is_some(), "{signal} {moment:?}: no {name}");
        }
    }
}

#[test]
fn sigint_stops_between_two_requests() {
    stops_between_two_requests("sigint", "INT", 130);
}

#[test]
fn sigterm_stops_between_two_requests() {
    stops_between_two_requests("sigterm", "TERM", 143);
}

#[test]
fn a_signal_among_many_objects_leaves_the_rest_unbegun() {
    let (mut lab, proxy) = Lab::behind_proxy("stop-many");
    let names: Vec<String> = (0..60).map(|number| format!("map-{number}")).collect();
    let objects: Vec<String> = names.iter().map(|name| config_map(name)).collect();
    lab.component("app", &objects.join("---\n"));
    let mut answer = None;
    let written = written(&lab, || {
        answer = Some(interrupted(&lab, &proxy, ("INT", Moment::After, ALL), |request| {
            request.writes() && request.path.contains("/configmaps/map-")
        }));
    });
    let run = answer.expect("it ran");
    assert_stopped(&lab, &run, 130);
    assert!(!written.is_empty() && written.len() <= IN_FLIGHT, "{} writes\n{run}", written.len());
    assert_goes_on(&lab);
    let live = lab.kubectl(&["get", "configmaps", "-n", lab.name(), "-o", "name"]);
    assert!(names.iter().all(|name| live.lines().any(|line| line.ends_with(&format!("/{name}")))));
}

#[test]
fn a_signal_while_it_waits_ends_the_wait() {
    let (mut lab, _proxy) = Lab::behind_proxy("stop-waiting");
    lab.component("first", &config_map("first"));
    lab.component_blueprint(
        "first",
        "health: [{ kind: ConfigMap, ready: \"'ready' in metadata.labels\", deadline: 1h }]",
    );
    lab.component("second", &config_map("second"));
    lab.component_site("second", "dependsOn: [first]");
    let running = Running::start(&mut lab.command(&["apply", "--yes"]));
    let program = running.handle();
    program.wait_to_say("waiting for");
    program.signal("TERM");
    let run = running.end();
    assert_stopped(&lab, &run, 143);
    assert!(lab.live("configmap", "second").is_none());
}

#[test]
fn a_signal_before_anything_is_written_changes_nothing() {
    let (mut lab, proxy) = Lab::behind_proxy("stop-reading");
    lab.component("app", &config_map("a"));
    let (sender, receiver) = mpsc::channel::<Handle>();
    proxy.call_before(1, move || {
        let program = receiver.recv().expect("the program runs");
        program.signal("INT");
        program.wait_to_say("nothing was changed");
    });
    let mut answer = None;
    let requests = lab.requests(|| {
        let running = Running::start(&mut lab.command(&["apply", "--yes"]));
        sender.send(running.handle()).expect("the proxy waits for it");
        answer = Some(running.end());
    });
    let run = answer.expect("it ran");
    assert_eq!(run.code, 130, "{run}");
    assert!(requests.writes().is_empty(), "{requests}");
    assert_goes_on(&lab);
}

/// A request that hangs is not waited for by somebody who asks twice.
#[test]
fn a_second_signal_ends_at_once_and_the_next_run_goes_on() {
    let (mut lab, proxy) = Lab::behind_proxy("stop-twice");
    chain(&mut lab, &["a", "b", "c"]);
    let (sender, receiver) = mpsc::channel::<Handle>();
    proxy.count_only(|request| request.writes() && request.path.ends_with("/configmaps/b"));
    proxy.call_before(1, move || {
        let program = receiver.recv().expect("the program runs");
        program.signal("INT");
        program.wait_to_say("stopping: requests under way are finished");
        // The request is still without an answer.
        program.signal("TERM");
        program.wait_to_say("the next apply goes on where this one stopped");
    });
    let running = Running::start(&mut lab.command(&["apply", "--yes"]));
    sender.send(running.handle()).expect("the proxy waits for it");
    let run = running.end();
    assert_eq!(run.code, 143, "{run}");
    assert!(lab.live("configmap", "c").is_none(), "{run}");
    let uid = lab.uid("configmap", "a");
    proxy.restart();
    // The lock was not given back, and its holder is known to be gone.
    assert_goes_on(&lab);
    assert_eq!(lab.uid("configmap", "a"), uid);
}

/// Sends the signal within a replacement. `second` comes after it, so that something is left to do.
fn within_a_replacement(
    name: &str,
    moment: Moment,
    counts: impl Fn(&Request) -> bool + Send + Sync + 'static,
) -> (Lab, FaultProxy) {
    let (mut lab, proxy) = Lab::behind_proxy(name);
    lab.component("first", FROZEN);
    lab.apply();
    lab.component("first", &FROZEN.replace("blue", "green"));
    lab.component("second", &config_map("second"));
    lab.component_site("second", "dependsOn: [first]");
    let run = interrupted(&lab, &proxy, ("INT", moment, 1), counts);
    assert_stopped(&lab, &run, 130);
    assert!(lab.live("configmap", "second").is_none(), "begun after the signal:\n{run}");
    (lab, proxy)
}

fn is_frozen(request: &Request) -> bool {
    request.path.ends_with("/configmaps/frozen")
}

#[test]
fn a_replacement_that_has_deleted_creates_before_it_stops() {
    let deleted = AtomicBool::new(false);
    // The first look after the delete.
    let (lab, _proxy) = within_a_replacement("stop-replacing", Moment::Before, move |request| {
        let is_after = is_frozen(request) && deleted.load(Ordering::SeqCst);
        deleted.fetch_or(is_frozen(request) && request.method == "DELETE", Ordering::SeqCst);
        is_after
    });
    assert_eq!(lab.live("configmap", "frozen").unwrap()["data"]["color"], "green");
    assert_goes_on(&lab);
}

#[test]
fn a_delete_whose_answer_is_lost_to_a_signal_is_made_good_by_the_next_run() {
    let (lab, _proxy) = within_a_replacement("stop-deleting", Moment::After, |request| {
        is_frozen(request) && request.method == "DELETE"
    });
    assert_goes_on(&lab);
    assert_eq!(lab.live("configmap", "frozen").unwrap()["data"]["color"], "green");
    assert!(lab.live("configmap", "second").is_some());
}
