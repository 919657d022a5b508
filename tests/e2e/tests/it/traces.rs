//! A reconcile is a trace; here the collector is a server that keeps what it gets.

use std::{
    collections::{BTreeMap, BTreeSet},
    net::TcpListener,
    process::Command,
    thread,
    time::{Duration, Instant},
};

use opentelemetry_proto::tonic::{
    collector::trace::v1::ExportTraceServiceRequest, common::v1::any_value::Value as Any,
    trace::v1::Span,
};
use prost::Message as _;
use sitewright_e2e::{Lab, Running};

use crate::{
    notifications::Listener,
    syncs::{Followed, is_ready},
};

/// What a test waits for comes long before this.
const PATIENCE: Duration = Duration::from_secs(180);

fn map(name: &str) -> String {
    format!(
        "---\napiVersion: v1\nkind: ConfigMap\nmetadata: {{ name: {name}, namespace: '{{ns}}' }}\ndata: {{ color: blue }}\n"
    )
}

fn collected_at(endpoint: &str) -> impl Fn(&mut Command) {
    let endpoint = endpoint.to_owned();
    move |command| {
        command
            .env("OTEL_EXPORTER_OTLP_ENDPOINT", &endpoint)
            .env("OTEL_EXPORTER_OTLP_HEADERS", "x-token=canary-header")
            .env("OTEL_RESOURCE_ATTRIBUTES", "k8s.cluster.name=lab")
            .env("OTEL_BSP_SCHEDULE_DELAY", "100");
    }
}

/// Returns all spans, by trace.
fn traces(collector: &Listener) -> BTreeMap<Vec<u8>, Vec<Span>> {
    let mut traces: BTreeMap<Vec<u8>, Vec<Span>> = BTreeMap::new();
    for message in collector.messages() {
        assert_eq!(message.line, "POST /v1/traces");
        assert!(message.headers.contains("x-token: canary-header"), "{}", message.headers);
        assert!(message.headers.contains("content-type: application/x-protobuf"));
        let request = ExportTraceServiceRequest::decode(message.body.as_slice()).expect("OTLP");
        for resource in request.resource_spans {
            let attributes = resource.resource.expect("a resource").attributes;
            let names: BTreeSet<&str> = attributes.iter().map(|pair| pair.key.as_str()).collect();
            for name in ["service.name", "service.version", "k8s.cluster.name"] {
                assert!(names.contains(name), "{name}: {names:?}");
            }
            for span in resource.scope_spans.into_iter().flat_map(|scope| scope.spans) {
                traces.entry(span.trace_id.clone()).or_default().push(span);
            }
        }
    }
    traces
}

fn attribute(span: &Span, key: &str) -> Option<String> {
    let found = span.attributes.iter().find(|pair| pair.key == key)?;
    match found.value.as_ref()?.value.as_ref()? {
        Any::StringValue(text) => Some(text.clone()),
        other => Some(format!("{other:?}")),
    }
}

fn hex(id: &[u8]) -> String {
    id.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// Waits for a trace with these stages.
fn wait(collector: &Listener, stages: &[&str], is_it: impl Fn(&Span) -> bool) -> Vec<Span> {
    let deadline = Instant::now() + PATIENCE;
    loop {
        let traces = traces(collector);
        let found = traces.values().find(|spans| {
            let root = spans.iter().find(|span| span.name == "reconcile");
            root.is_some_and(&is_it)
                && stages.iter().all(|stage| spans.iter().any(|span| span.name == *stage))
        });
        if let Some(found) = found {
            return found.clone();
        }
        let seen: Vec<Vec<String>> = traces
            .values()
            .map(|spans| spans.iter().map(|span| span.name.clone()).collect())
            .collect();
        assert!(Instant::now() < deadline, "no trace with {stages:?}:\n{seen:#?}");
        thread::sleep(Duration::from_millis(100));
    }
}

#[test]
fn a_reconcile_is_a_trace_its_stages_are_spans_and_the_log_names_it() {
    let collector = Listener::serve(|_| String::new());
    let mut followed = Followed::start_with("traced", collected_at(&collector.address));
    followed.lab.component("app", &(map("settings") + &map("more")));
    followed.push("two");
    followed.sync("site", |_| {});
    followed.wait("site", "ready", is_ready);
    let commit = followed.commit();
    let is_of = |commit: &str| {
        let commit = commit.to_owned();
        move |root: &Span| attribute(root, "vcs.ref.head.revision").as_ref() == Some(&commit)
    };
    let stages = ["fetch", "render", "observe", "plan", "apply"];
    let spans = wait(&collector, &stages, is_of(&commit));
    let root = spans.iter().find(|span| span.name == "reconcile").expect("a root");
    assert!(root.parent_span_id.is_empty());
    assert_eq!(attribute(root, "sitewright.trigger").as_deref(), Some("git"));
    assert_eq!(attribute(root, "sitewright.site").as_deref(), Some("traced"));
    let ids: BTreeSet<&[u8]> = spans.iter().map(|span| span.span_id.as_slice()).collect();
    for span in &spans {
        let is_inside = span.name == "reconcile" || ids.contains(span.parent_span_id.as_slice());
        assert!(is_inside, "{} has no parent", span.name);
        assert!(span.end_time_unix_nano >= span.start_time_unix_nano, "{}", span.name);
        let is_begun = span.start_time_unix_nano + 1_000_000_000 >= root.start_time_unix_nano;
        assert!(is_begun, "{} began before its trace", span.name);
    }

    // the look that follows an apply, and what is told of both
    wait(&collector, &["observe", "plan", "health", "status"], is_of(&commit));

    followed.lab.component("app", &map("settings"));
    followed.push("one");
    let commit = followed.commit();
    let spans = wait(&collector, &["apply", "prune"], is_of(&commit));
    let trace = hex(&spans[0].trace_id);

    followed.lab.file("site.yaml", "kind: Nonsense\n");
    followed.push("a mistake");
    followed.wait("site", "failing", |status| status["state"] == "Failing");
    // a look that finds nothing new is no trace
    let looks = |result: &str| {
        let metrics = followed.ask("probes and metrics", "GET /metrics", "");
        let is_it = |line: &&str| {
            line.starts_with("sitewright_fetches_total") && line.contains(&format!("\"{result}\""))
        };
        let line = metrics.lines().find(is_it).unwrap_or_default().to_owned();
        line.rsplit(' ').next().and_then(|count| count.parse().ok()).unwrap_or(0_u64)
    };
    let until = |count: u64| {
        let deadline = Instant::now() + PATIENCE;
        while looks("failed") < count {
            assert!(Instant::now() < deadline, "git is not looked at");
            thread::sleep(Duration::from_millis(200));
        }
    };
    until(looks("failed") + 1);
    let before = traces(&collector).len();
    until(looks("failed") + 2);
    assert_eq!(traces(&collector).len(), before);

    let log = followed.stop();
    let applied = |line: &&str| line.contains("\"Applied\"") && line.contains(&trace);
    let line = log.lines().find(applied).unwrap_or_else(|| panic!("no line has {trace}:\n{log}"));
    let line: serde_json::Value = serde_json::from_str(line).expect("a line of JSON");
    assert_eq!(line["trace_id"], trace.as_str());
    assert!(!log.contains("canary"), "{log}");
}

#[test]
fn a_collector_that_hangs_delays_nothing() {
    // it is connected to, and says nothing
    let silent = TcpListener::bind("127.0.0.1:0").expect("a port");
    let endpoint = format!("http://{}", silent.local_addr().expect("an address"));
    let mut lab = Lab::new("untraced");
    lab.component("app", &map("settings"));
    let mut command = lab.command(&["agent", "--site", ".", "--poll", "1h"]);
    collected_at(&endpoint)(&mut command);
    let agent = Running::start(&mut command);
    agent.handle().wait_to_say("1 change, everything is as it should be");
    agent.handle().signal("TERM");
    let run = agent.end();
    assert_eq!(run.code, 143, "{run}");
}

#[test]
fn a_protocol_that_is_not_spoken_is_told_and_stops_nothing() {
    let mut lab = Lab::new("grpc-traced");
    lab.component("app", &map("settings"));
    let mut command = lab.command(&["agent", "--site", ".", "--poll", "1h"]);
    collected_at("http://127.0.0.1:1")(&mut command);
    let agent = Running::start(command.env("OTEL_EXPORTER_OTLP_PROTOCOL", "grpc"));
    agent.handle().wait_to_say("http/protobuf is spoken");
    agent.handle().wait_to_say("1 change, everything is as it should be");
    agent.handle().signal("TERM");
    agent.end();
}
