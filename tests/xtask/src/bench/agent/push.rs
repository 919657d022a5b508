//! From a forge's message of a push to a cluster that is as the commit says.

use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use jiff::Timestamp;
use kube::{
    Client,
    api::{DynamicObject, Patch, PatchParams, PostParams},
};
use serde_json::json;
use sitewright_testbed::{AuditEvent, ControlPlane};

use super::{
    super::{
        Figures, apply,
        figure::{Figure, Reach},
        program::Program,
        site,
    },
    cluster, follow, restart,
};

/// Commits, one after another, each of which changes one object.
const COMMITS: u32 = 20;
/// How long the agent sends nothing before the next one: each is measured alone.
const QUIET: Duration = Duration::from_secs(1);
/// How long it rests before its memory is read.
const REST: Duration = Duration::from_secs(15);
/// Bytes of a part of the inventory of many objects.
const SHARD: usize = 225_000;

/// Measures on a control plane where the site is applied already.
pub(super) fn measure(program: &Program, plane: &ControlPlane, objects: usize) -> Result<Figures> {
    super::super::say("a push to the agent that follows the same site");
    let folder = tempfile::tempdir()?;
    let repository = follow::Repository::new()?;
    site::write(&repository.tree(), 50.min(objects), objects)?;
    repository.push("a site of many objects")?;
    let agent = follow::start(program, folder.path(), plane)?;
    let hooks = follow::address(&agent, "webhooks")?;
    let mark = plane.audit().mark()?;
    repository.follow(plane, &[("bench".to_owned(), String::new())], "1h")?;
    agent.wait_for_rest(plane, mark, super::QUIET)?;

    let client = cluster::client(plane.kubeconfig())?;
    let api = cluster::config_maps(&client, site::NAMESPACES.first().context("a namespace")?);
    let (mut all, mut own) = (Vec::new(), Vec::new());
    for mark in 1..=COMMITS {
        site::write_with(&repository.tree(), 50.min(objects), objects, mark)?;
        repository.push("another mark")?;
        let from = plane.audit().mark()?;
        let (begun, begun_at) = (Instant::now(), Timestamp::now());
        follow::tell_of_push(&hooks, "bench")?;
        let text = mark.to_string();
        let is_marked = |live: &DynamicObject| {
            live.data.pointer("/data/mark").is_some_and(|found| *found == text)
        };
        let seen = cluster::block_on(cluster::until(&api, "settings-0-0", is_marked))?;
        let took = seen.saturating_duration_since(begun);
        let end = begun_at + took;
        let served = apply::ours(plane.audit().since(from)?);
        all.push(took);
        own.push(took.saturating_sub(busy(&served, begun_at, end)));
        agent.wait_for_quiet(plane, QUIET)?;
    }
    std::thread::sleep(REST);
    let resident = agent.resident_mib()?;
    drop(agent);
    let restarted = format!("agent of a SiteSync, {objects} objects, killed and started again");
    let (agent, restarted) =
        restart::measure(plane, &restarted, || follow::run(program, folder.path(), plane))?;
    drop(agent);
    let bare = bare(&client)?;
    let what = |rest: &str| format!("agent, 1 of {objects} objects changed: {rest}");
    let [all, _, longest] = super::spread(all);
    let [own, ..] = super::spread(own);
    let [bare, ..] = super::spread(bare);
    let mut figures = vec![
        Figure::new(what("webhook to converged, p50"), all, "ms"),
        Figure::new(what("webhook to converged, longest"), longest, "ms"),
        Figure::new(what("over the API server's time, p50"), own, "ms").reach(Reach::AtMost(300.0)),
        Figure::new(what("resident memory after all commits"), resident, "MiB")
            .reach(Reach::AtMost(64.0)),
        Figure::new("bare apply of 1 object and 1 write of its shard, p50", bare, "ms"),
    ];
    figures.extend(restarted);
    Ok(figures)
}

/// How long the API server had requests of the agent to answer, between two times.
fn busy(events: &[AuditEvent], from: Timestamp, to: Timestamp) -> Duration {
    let is_work = |event: &&AuditEvent| event.verb != "watch";
    let mut spans: Vec<(Timestamp, Timestamp)> = events
        .iter()
        .filter(is_work)
        .map(|event| (event.received.max(from), event.answered.min(to)))
        .filter(|(begun, ended)| begun < ended)
        .collect();
    spans.sort();
    let (mut busy, mut until) = (Duration::ZERO, from);
    for (begun, ended) in spans {
        let begun = begun.max(until);
        if begun < ended {
            busy += ended.duration_since(begun).unsigned_abs();
            until = ended;
        }
    }
    busy
}

/// What the same server takes for the two writes that such a change needs, one after the other.
fn bare(client: &Client) -> Result<Vec<Duration>> {
    let api = cluster::config_maps(client, "default");
    cluster::block_on(async {
        let mut times = Vec::new();
        let mut written: Option<DynamicObject> = None;
        for mark in 0..COMMITS {
            let text = "A".repeat(SHARD / 3 * 4);
            let mut shard: DynamicObject = serde_json::from_value(json!({
                "apiVersion": "v1", "kind": "ConfigMap", "metadata": { "name": "bare-shard" },
                "data": { "mark": mark.to_string() }, "binaryData": { "entries.gz": text } }))?;
            let object = json!({ "apiVersion": "v1", "kind": "ConfigMap",
                "metadata": { "name": "bare" }, "data": { "mark": mark.to_string() } });
            let begun = Instant::now();
            api.patch("bare", &PatchParams::apply("bare"), &Patch::Apply(&object)).await?;
            let post = PostParams::default();
            written = Some(match written {
                None => api.create(&post, &shard).await?,
                Some(before) => {
                    shard.metadata.resource_version = before.metadata.resource_version;
                    api.replace("bare-shard", &post, &shard).await?
                }
            });
            times.push(begun.elapsed());
        }
        Ok(times)
    })
}
