//! Who is told what, when, and how often.

use std::{
    collections::BTreeMap,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
};

use serde_json::{Value, json};
use sitewright_cluster::{apply::End, sync::SecretReference};
use sitewright_model::{
    code::machine,
    diagnostic::Diagnostic,
    digest::Digest,
    format::blueprint::Hazard,
    health::Health,
    object::{GroupKind, ObjectId},
    plan::{Gate, PlanDigest},
    revision::Revision,
};
use sitewright_source::{Secret, outbound::Reach, snapshot::Origin};
use tokio::time::timeout;

use super::*;
use crate::{
    agent::{
        news::Reason,
        state::{Activity, FailedObject, Held, Outcome, Problem, Sick, Side, Taken},
        web::{HookSecret, Metrics},
    },
    forge::tests::{Answer, Asked, Fake},
};

const COMMIT: &str = "1f3c9e2a01bc4d5e6f708192a3b4c5d6e7f80912";

/// What a test waits for comes long before this.
const LONG: Duration = Duration::from_secs(60);

fn at(seconds: i64) -> Timestamp {
    Timestamp::from_second(1_795_000_000 + seconds).unwrap()
}

fn id(kind: &str, name: &str) -> ObjectId {
    let namespace = Some("gpu".to_owned());
    ObjectId { kind: GroupKind::new("", kind), namespace, name: name.into() }
}

fn revision(repository: &str, inputs: &str) -> Revision {
    Revision {
        repository: format!("{repository}/lab/site.git"),
        path: "sites/lab".into(),
        reference: Some("main".into()),
        commit: Some(COMMIT.into()),
        dirty: false,
        inputs: Digest::of(inputs),
    }
}

fn at_rest(repository: &str) -> State {
    State {
        site: Some("lab-gpu".parse().unwrap()),
        observed: Some(revision(repository, "inputs")),
        applied: Some(revision(repository, "inputs")),
        plan: Some(PlanDigest(Digest::of("plan"))),
        activity: Activity::Resting,
        components: vec!["gpus".parse().unwrap()],
        health_is_known: true,
        ..State::default()
    }
}

fn held(mut state: State, names: &[&str]) -> State {
    for name in names {
        let held = Held {
            component: "gpus".parse().unwrap(),
            hazard: Hazard::EvictsJobs,
            gates: vec![Gate::Approval { hazard: Hazard::EvictsJobs }],
            work: Vec::new(),
            since: at(10),
        };
        state.held.insert(id("DaemonSet", name), held);
    }
    state
}

fn failing(mut state: State, passes: bool) -> State {
    let message = "site.yaml:9:1: a key without `:`".to_owned();
    let problem = Problem { code: "SW0101".into(), message, passes, since: at(20) };
    state.problems.insert(Side::Git, problem);
    state
}

fn sick(mut state: State, why: &str) -> State {
    let health = Health::InProgress { why: why.into() };
    let sick = Sick { component: "gpus".parse().unwrap(), health, since: at(30) };
    state.sick.insert(id("Deployment", "manager"), sick);
    state
}

fn applied(mut state: State) -> (News, State) {
    state.outcomes.push_front(Outcome {
        at: at(5),
        revision: "main@1f3c9e2a01bc".into(),
        plan: PlanDigest(Digest::of("plan")),
        end: End::Held,
        changed: 4,
        failed: 0,
        held: 1,
    });
    let news = News::new(Reason::Applied, "main@1f3c9e2a01bc: 4 changes, the rest is held");
    (news, state)
}

fn mended(name: &str) -> News {
    News::new(
        Reason::Mended,
        format!("{name}: data.color was changed by kubectl-edit, and is put right"),
    )
    .about(&id("ConfigMap", name))
}

/// Secrets by name.
struct Known(BTreeMap<&'static str, String>);

impl Secrets for Known {
    async fn secret(&self, reference: &SecretReference, _: &str) -> Result<Secret, Diagnostics> {
        let found = self.0.get(reference.name.as_str());
        found
            .map(Secret::new)
            .ok_or_else(|| Diagnostic::error(machine::BAD_ARGUMENT, "it is not there").into())
    }
}

/// Somebody who listens, and a notifier that tells them.
struct Told {
    fake: Fake,
    notifier: Notifier,
    secrets: Known,
    stop: CancellationToken,
    metrics: Metrics,
}

fn told(
    sink: Value,
    known: &[NotificationStatus],
    answer: impl FnMut(&Asked) -> Answer + Send + 'static,
) -> Told {
    let fake = Fake::serve(answer);
    let mut notification = sink;
    notification["name"] = "them".into();
    if let Some(url) = notification.pointer_mut("/cloudEvents/url") {
        *url = format!("{}/events", fake.address).into();
    }
    let secrets = Known(BTreeMap::from([
        ("token", "canary-token".to_owned()),
        ("chat", format!("{}/services/canary-path", fake.address)),
        ("key", "whsec_Y2FuYXJ5LWtleS1vZi1hLXRlc3Q=".to_owned()),
    ]));
    let notification = serde_json::from_value(notification).unwrap();
    let key = SyncKey { namespace: "lab".into(), name: "gpu".into() };
    let metrics = Metrics::default();
    let notifier = Notifier::new(
        Scope::of_sync(&key, None),
        &[notification],
        known,
        Measure::of(&metrics, "lab/gpu".into()),
        Outbox::to(Reach::Anybody),
    );
    Told { fake, notifier, secrets, stop: CancellationToken::new(), metrics }
}

fn yes(_: &Asked) -> Answer {
    Some((200, "", "ok".into()))
}

impl Told {
    /// Runs the notifier until `is_done`; time passes as fast as it can.
    async fn until(&self, is_done: impl Fn(&Self) -> bool) {
        let done = async {
            while !is_done(self) {
                tokio::task::yield_now().await;
                // a real thread does the work
                std::thread::sleep(Duration::from_millis(1));
                tokio::time::advance(Duration::from_millis(200)).await;
            }
        };
        let run = self.notifier.run(&self.secrets, &self.stop);
        tokio::select! {
            () = run => {}
            done = timeout(LONG * 60 * 24, done) => done.expect("it is told"),
        }
    }

    async fn delivered(&self, count: usize) {
        self.until(|told| told.count("delivered") >= count as u64).await;
    }

    fn count(&self, result: &str) -> u64 {
        let text = self.metrics.text(tokio::time::Instant::now());
        let is_it = |line: &&str| {
            line.starts_with("sitewright_notifications_total")
                && line.contains(&format!("\"{result}\""))
        };
        let line = text.lines().find(is_it);
        line.map_or(0, |line| line.rsplit_once(' ').unwrap().1.parse().unwrap())
    }

    /// Runs the notifier for a long while.
    async fn rest(&self) {
        let begun = tokio::time::Instant::now();
        self.until(|_| begun.elapsed() > Duration::from_secs(100)).await;
    }

    fn address(&self) -> &str {
        &self.fake.address
    }
}

fn github() -> Value {
    json!({ "commitStatus": { "forge": "github", "secretRef": { "name": "token" },
        "targetUrl": "https://grafana.example.edu/d/1" } })
}

fn events() -> Value {
    json!({ "cloudEvents": { "url": "http://set", "secretRef": { "name": "key" } } })
}

fn chat() -> Value {
    json!({ "slack": { "urlSecretRef": { "name": "chat" } } })
}

#[tokio::test(start_paused = true)]
async fn a_commit_is_pending_held_failed_and_applied_and_each_is_told_once() {
    let told = told(github(), &[], |_| Some((201, "", "{}".into())));
    let rest = at_rest(told.address());
    let mut begun = rest.clone();
    begun.activity = Activity::Reconciling;
    begun.applied = None;
    let states = [
        begun,
        held(rest.clone(), &["driver"]),
        failing(rest.clone(), false),
        failing(rest.clone(), true),
        sick(rest.clone(), "1 of 3 pods is ready"),
        rest.clone(),
    ];
    for (index, state) in states.iter().enumerate() {
        told.notifier.state(state, at(0));
        told.delivered(index + 1).await;
    }
    // nothing new
    told.notifier.state(&rest, at(500));
    let mut again = rest.clone();
    again.activity = Activity::Reconciling;
    told.notifier.state(&again, at(510));
    told.notifier.state(&rest, at(520));
    told.rest().await;
    let asked = told.fake.asked();
    let path = format!("POST /api/v3/repos/lab/site/statuses/{COMMIT}");
    assert!(asked.iter().all(|asked| asked.line == path), "{asked:#?}");
    let said: Vec<String> = asked
        .iter()
        .map(|asked| asked.json())
        .map(|body| format!("{}: {} ({})", body["state"], body["description"], body["context"]))
        .collect();
    insta::assert_snapshot!(said.join("\n").replace('"', ""));
    let written = serde_json::to_string(&told.notifier.status()).unwrap();
    assert!(!written.contains("canary"), "{written}");
}

#[tokio::test(start_paused = true)]
async fn a_commit_that_cannot_be_read_fails_itself_and_one_that_changes_nothing_is_not_told() {
    let told = told(github(), &[], |_| Some((201, "", "{}".into())));
    let mut state = failing(at_rest(told.address()), false);
    state.rejected = Some(Origin {
        repository: format!("{}/lab/site.git", told.address()),
        path: "sites/lab".into(),
        reference: Some("main".into()),
        commit: Some("bad0".into()),
    });
    told.notifier.state(&state, at(0));
    told.delivered(1).await;
    assert!(told.fake.asked()[0].line.ends_with("/statuses/bad0"), "{:?}", told.fake.asked());
    told.notifier.state(&at_rest(told.address()), at(1));
    told.delivered(2).await;
    let mut later = at_rest(told.address());
    later.observed.as_mut().unwrap().commit = Some("1a7e".into());
    told.notifier.state(&later, at(2));
    told.rest().await;
    assert_eq!(told.fake.asked().len(), 2, "its inputs are the same");
    // what becomes of them is told where they came in
    told.notifier.state(&held(later, &["driver"]), at(3));
    told.delivered(3).await;
    assert!(told.fake.asked()[2].line.ends_with(COMMIT), "{:?}", told.fake.asked());
}

#[tokio::test(start_paused = true)]
async fn events_are_signed_described_and_told_once_also_after_a_restart() {
    let told = told(events(), &[], yes);
    let rest = at_rest("https://git.example.edu");
    let (news, state) = applied(held(rest.clone(), &["driver", "fabric"]));
    told.notifier.state(&state, at(40));
    told.notifier.happened(&news, &state, at(41));
    told.delivered(3).await;
    told.notifier.state(&sick(rest.clone(), "1 of 3 pods is ready"), at(50));
    told.notifier.happened(&mended("settings"), &state, at(51));
    told.delivered(6).await;
    // the reason of one that starts changes all the time
    told.notifier.state(&sick(rest.clone(), "2 of 3 pods are ready"), at(60));
    told.rest().await;
    let asked = told.fake.asked();
    let key = HookSecret::new("whsec_Y2FuYXJ5LWtleS1vZi1hLXRlc3Q=").unwrap();
    let schema = std::fs::read_to_string(
        std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("../schema/event.schema.json"),
    );
    let schema: Value = serde_json::from_str(&schema.unwrap()).unwrap();
    let validator = jsonschema::draft202012::new(&schema).unwrap();
    let mut kinds = Vec::new();
    for asked in &asked {
        assert_eq!(
            asked.header("content-type"),
            Some("application/cloudevents+json; charset=utf-8")
        );
        let (id, time) =
            (asked.header("webhook-id").unwrap(), asked.header("webhook-timestamp").unwrap());
        let signature = key.sign_standard(id, time, asked.body.as_bytes());
        assert_eq!(asked.header("webhook-signature"), Some(signature.as_str()));
        let event = asked.json();
        assert_eq!(event["id"], id);
        let mistakes: Vec<String> =
            validator.iter_errors(&event).map(|error| error.to_string()).collect();
        assert!(mistakes.is_empty(), "{mistakes:?}\n{event:#}");
        assert!(!asked.body.contains("canary"), "{asked:?}");
        kinds.push(event["type"].as_str().unwrap().replace("dev.sitewright.site.", ""));
    }
    assert_eq!(kinds, ["revised", "applied", "held", "mended", "released", "unhealthy"]);
    insta::assert_snapshot!(format!("{:#}", asked[2].json()).replace(&told.fake.address, ""));

    let known = told.notifier.status();
    assert!(!serde_json::to_string(&known).unwrap().contains("canary"));
    let next = self::told(events(), &known, yes);
    let mut starting = rest.clone();
    (starting.plan, starting.activity, starting.health_is_known) =
        (None, Activity::Starting, false);
    next.notifier.state(&starting, at(100));
    next.notifier.state(&sick(rest.clone(), "1 of 3 pods is ready"), at(101));
    next.rest().await;
    assert_eq!(next.fake.asked(), [], "it was told by the agent before");
    next.notifier.state(&rest, at(102));
    next.delivered(1).await;
    assert_eq!(next.fake.asked()[0].json()["type"], "dev.sitewright.site.healthy");
}

#[tokio::test(start_paused = true)]
async fn a_chat_is_told_in_a_few_lines_what_happened_and_what_to_do() {
    let told = told(chat(), &[], yes);
    let rest = at_rest("https://git.example.edu");
    let (news, state) = applied(held(rest.clone(), &["driver", "<!channel>"]));
    told.notifier.state(&state, at(40));
    told.notifier.happened(&news, &state, at(41));
    told.delivered(1).await;
    told.notifier.state(&failing(rest.clone(), false), at(50));
    told.delivered(2).await;
    told.notifier.state(&sick(rest, "1 of 3 pods is ready"), at(60));
    told.delivered(3).await;
    let asked = told.fake.asked();
    assert!(asked.iter().all(|asked| asked.line == "POST /services/canary-path"), "{asked:?}");
    let texts: Vec<String> =
        asked.iter().map(|asked| asked.json()["text"].as_str().unwrap().to_owned()).collect();
    insta::assert_snapshot!(texts.join("\n----\n"));
}

#[tokio::test(start_paused = true)]
async fn an_object_that_is_refused_and_a_revision_that_is_taken_back_are_told_to_all() {
    let rest = at_rest("https://git.example.edu");
    let mut refused = rest.clone();
    let failed = FailedObject {
        component: "gpus".parse().unwrap(),
        code: "SW0506".into(),
        message: "spec.replicas: must be positive".into(),
        since: at(5),
    };
    refused.failed.insert(id("Deployment", "manager"), failed);
    let mut back = rest.clone();
    let message = "main@1f3c9e2a01bc made it unhealthy, and is taken back".to_owned();
    back.bad.insert("gpus".parse().unwrap(), Taken { is_back: true, message });

    let told = told(chat(), &[], yes);
    told.notifier.state(&refused, at(10));
    told.delivered(1).await;
    told.notifier.state(&back, at(20));
    told.delivered(2).await;
    let asked = told.fake.asked();
    let texts: Vec<String> =
        asked.iter().map(|asked| asked.json()["text"].as_str().unwrap().to_owned()).collect();
    assert!(texts[0].contains("Deployment gpu/manager: SW0506"), "{texts:#?}");
    assert!(texts[1].contains("is taken back"), "{texts:#?}");

    let told = self::told(github(), &[], |_| Some((201, "", "{}".into())));
    for state in [&mut refused, &mut back] {
        state.observed = Some(revision(told.address(), "inputs"));
        state.applied.clone_from(&state.observed);
    }
    told.notifier.state(&refused, at(10));
    told.delivered(1).await;
    told.notifier.state(&back, at(20));
    told.delivered(2).await;
    for asked in told.fake.asked() {
        assert_eq!(asked.json()["state"], "failure", "{asked:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_flood_is_a_few_messages_and_what_came_and_went_is_none() {
    // nobody answers until the flood is over
    let answers = Arc::new(AtomicUsize::new(0));
    let count = Arc::clone(&answers);
    let told = told(chat(), &[], move |_| {
        let status = if count.fetch_add(1, Ordering::Relaxed) == 0 { 503 } else { 200 };
        Some((status, "", String::new()))
    });
    let rest = at_rest("https://git.example.edu");
    told.notifier.state(&held(rest.clone(), &["before"]), at(0));
    told.until(|told| told.count("retried") == 1).await;
    for round in 0..1_000 {
        let name = format!("driver-{round}");
        told.notifier.state(&held(rest.clone(), &[&name]), at(round));
        told.notifier.state(&failing(rest.clone(), true), at(round));
        told.notifier.happened(&mended("settings"), &rest, at(round));
    }
    told.notifier.state(&rest, at(2_000));
    told.rest().await;
    // the first message was never there, so nothing is over either
    assert_eq!(told.fake.asked().len(), 1, "{:#?}", told.fake.asked());

    let told = self::told(events(), &[], yes);
    for round in 0..1_000 {
        told.notifier.happened(&mended("settings"), &rest, at(round));
    }
    for round in 0..100 {
        told.notifier.happened(&mended(&format!("settings-{round}")), &rest, at(round));
    }
    told.rest().await;
    assert_eq!(told.fake.asked().len(), QUEUE);
    assert_eq!(told.count("dropped"), 101 - QUEUE as u64);
}

#[tokio::test(start_paused = true)]
async fn one_that_is_asked_to_wait_waits_and_comes_back() {
    let times: Arc<Mutex<Vec<tokio::time::Instant>>> = Arc::default();
    let seen = Arc::clone(&times);
    let told = told(chat(), &[], move |_| {
        let first = seen.lock().unwrap().is_empty();
        seen.lock().unwrap().push(tokio::time::Instant::now());
        if first {
            Some((429, "Retry-After: 120\r\n", String::new()))
        } else {
            yes(&Asked { line: String::new(), headers: String::new(), body: String::new() })
        }
    });
    told.notifier.state(&failing(at_rest("https://git.example.edu"), false), at(0));
    let begun = tokio::time::Instant::now();
    told.delivered(1).await;
    assert!(begun.elapsed() >= Duration::from_secs(120), "it came too soon");
    assert_eq!((told.fake.asked().len(), told.count("retried")), (2, 1));
    assert_eq!(told.notifier.status()[0].failing, None);
}

#[tokio::test(start_paused = true)]
async fn one_that_never_answers_well_is_given_up_and_the_next_change_is_told_with_what_it_missed() {
    let is_well = Arc::new(AtomicUsize::new(0));
    let well = Arc::clone(&is_well);
    let told = told(chat(), &[], move |_| match well.load(Ordering::Relaxed) {
        0 => Some((302, "Location: http://evil.example/\r\n", "canary-answer".into())),
        _ => Some((200, "", String::new())),
    });
    let rest = at_rest("https://git.example.edu");
    told.notifier.state(&held(rest.clone(), &["driver"]), at(0));
    told.until(|told| told.count("given-up") == 1).await;
    assert_eq!(told.fake.asked().len(), ATTEMPTS as usize);
    let failing = told.notifier.status()[0].failing.clone().unwrap();
    assert!(failing.contains("given up") && failing.contains("302"), "{failing}");
    assert!(!failing.contains("canary"), "{failing}");
    is_well.store(1, Ordering::Relaxed);
    told.notifier.state(&held(rest, &["driver", "fabric"]), at(10));
    told.delivered(1).await;
    let text = told.fake.asked().last().unwrap().json()["text"].to_string();
    assert!(text.contains("gpu/driver") && text.contains("gpu/fabric"), "{text}");
    assert_eq!(told.notifier.status()[0].failing, None);
}

#[tokio::test(start_paused = true)]
async fn a_secret_that_comes_later_is_read_then() {
    let mut told = told(chat(), &[], yes);
    let url = told.secrets.0.remove("chat").unwrap();
    told.notifier.state(&failing(at_rest("https://git.example.edu"), false), at(0));
    told.until(|told| told.count("retried") == 2).await;
    told.secrets.0.insert("chat", url);
    // what waits is looked at anew
    told.notifier.state(&failing(at_rest("https://git.example.edu"), false), at(1));
    told.delivered(1).await;
}

#[tokio::test(start_paused = true)]
async fn one_who_hangs_keeps_nobody_from_stopping() {
    let told = told(chat(), &[], |_| None);
    told.notifier.state(&failing(at_rest("https://git.example.edu"), false), at(0));
    told.until(|told| !told.fake.asked().is_empty()).await;
    let stop = told.stop.clone();
    let run = told.notifier.run(&told.secrets, &told.stop);
    stop.cancel();
    timeout(LONG, run).await.expect("it stops");
}

#[tokio::test(start_paused = true)]
async fn who_may_not_be_spoken_to_is_given_up_at_once() {
    let mut told = told(chat(), &[], yes);
    told.notifier.outbox = Outbox::default();
    told.notifier.state(&failing(at_rest("https://git.example.edu"), false), at(0));
    told.until(|told| told.count("given-up") == 1).await;
    assert_eq!(told.fake.asked(), []);
    let failing = told.notifier.status()[0].failing.clone().unwrap();
    assert!(failing.contains("may not be spoken to") && !failing.contains("canary"), "{failing}");
}

#[test]
fn a_repository_is_found_in_its_address() {
    for (address, path) in [
        ("https://github.com/lab/site.git", "lab/site"),
        ("https://gitlab.example.edu/group/sub/site", "group/sub/site"),
        ("git@github.com:lab/site.git", "lab/site"),
        ("ssh://git@h:2222/lab/site.git", "lab/site"),
    ] {
        assert_eq!(sink::forge_path(address), path);
    }
}

#[test]
fn what_was_told_outlives_the_agent_and_stays_small() {
    let mut state = at_rest("https://git.example.edu");
    let names: Vec<String> = (0..5_000).map(|index| format!("driver-{index}")).collect();
    let names: Vec<&str> = names.iter().map(String::as_str).collect();
    state = held(state, &names);
    let facts = Facts::of(&state, at(0));
    let mut told = super::told::Told::default();
    for (topic, _) in facts.untold(&told) {
        facts.mark(topic, &mut told);
    }
    let lines = told.lines();
    assert!(lines.len() < 10, "{lines:?}");
    let read = super::told::Told::of_lines(lines.iter().map(String::as_str));
    assert_eq!(read, told);
    assert!(facts.untold(&read).is_empty());
    assert_eq!(super::told::Told::of_lines(["", "x", "commit/1", "other/2"]), Default::default());
}
