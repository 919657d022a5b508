//! First apply against a bare concurrent apply loop; plan and apply with nothing changed.

use std::{path::Path, sync::Arc};

use anyhow::{Context, Result};
use kube::{
    Api, Client, Config,
    api::{DynamicObject, Patch, PatchParams},
    config::{KubeConfigOptions, Kubeconfig},
    core::{ApiResource, GroupVersionKind},
};
use serde_json::json;
use sitewright_testbed::{AuditEvent, ControlPlane, Mode, Options};
use tokio::{sync::Semaphore, task::JoinSet};

use super::{
    Figures,
    figure::{Figure, Reach},
    program::Program,
    site,
};

/// As many requests at once as the program itself sends.
const CONCURRENCY: usize = sitewright_cluster::client::CONCURRENCY;
/// As many objects as one page of a list holds.
const PAGE: f64 = 500.0;

pub(super) fn measure(program: &Program, objects: usize) -> Result<Figures> {
    super::say(&format!("applying {objects} objects, the bare loop first"));
    let bare = with_control_plane(|plane| {
        bare_loop(plane.kubeconfig(), objects)?;
        Ok(())
    })?;
    let bare_rate = rate(&bare.0)?;
    let (events, figures) = with_control_plane(|plane| {
        let folder = tempfile::tempdir()?;
        site::write(folder.path(), 50.min(objects), objects)?;
        let kubeconfig = Some(plane.kubeconfig());
        let first = program.run(folder.path(), &["apply", "--yes"], kubeconfig, &[0])?;
        let mark = plane.audit().mark()?;
        let plan = program.run(folder.path(), &["plan"], kubeconfig, &[0])?;
        let requests = ours(plane.audit().since(mark)?);
        let mark = plane.audit().mark()?;
        program.run(folder.path(), &["apply", "--yes"], kubeconfig, &[0])?;
        let second = ours(plane.audit().since(mark)?);
        Ok(vec![
            Figure::new(
                format!("first apply of {objects}: whole command"),
                first.wall.as_secs_f64(),
                "s",
            ),
            Figure::new(format!("first apply of {objects}: peak memory"), first.peak_mib, "MiB"),
            Figure::new(
                format!("plan of {objects}, no change: requests"),
                requests.len() as f64,
                "requests",
            )
            .reach(Reach::AtMost(allowed_requests(objects))),
            Figure::new(
                format!("plan of {objects}, no change: time"),
                plan.wall.as_secs_f64() * 1e3,
                "ms",
            ),
            Figure::new(format!("plan of {objects}, no change: peak memory"), plan.peak_mib, "MiB"),
            Figure::new(
                format!("second apply of {objects}: writes"),
                writes(&second).count() as f64,
                "requests",
            )
            .reach(Reach::AtMost(0.0)),
        ])
    })?;
    let own_rate = rate(&events)?;
    let mut all = vec![
        Figure::new(format!("first apply of {objects}: rate of writes"), own_rate, "/s"),
        Figure::new(format!("bare apply loop of {objects}: rate of writes"), bare_rate, "/s"),
        Figure::new(
            format!("first apply of {objects} against the bare loop"),
            own_rate / bare_rate * 100.0,
            "%",
        )
        .reach(Reach::AtLeast(90.0)),
    ];
    all.extend(figures);
    Ok(all)
}

/// Kinds times pages, and a few to find out whom we speak to: version, discovery (2), the identity of
/// the cluster, and the inventory.
fn allowed_requests(objects: usize) -> f64 {
    (objects as f64 / PAGE).ceil() + 10.0
}

pub(super) fn with_control_plane<T>(
    work: impl FnOnce(&ControlPlane) -> Result<T>,
) -> Result<(Vec<AuditEvent>, T)> {
    let plane = ControlPlane::start(Options::new())?;
    for namespace in site::NAMESPACES {
        plane.kubectl(&["create", "namespace", namespace])?;
    }
    let mark = plane.audit().mark()?;
    let value = work(&plane)?;
    Ok((plane.audit().since(mark)?, value))
}

/// Leaves what the program sent: controllers and the API server itself speak, too.
pub(super) fn ours(events: Vec<AuditEvent>) -> Vec<AuditEvent> {
    events.into_iter().filter(|event| event.user_agent.starts_with("sitewright/")).collect()
}

/// Leaves the writes that change something.
pub(super) fn writes(events: &[AuditEvent]) -> impl Iterator<Item = &AuditEvent> {
    let is_write = |event: &&AuditEvent| {
        ["create", "update", "patch", "delete"].contains(&event.verb.as_str())
    };
    events
        .iter()
        .filter(is_write)
        .filter(|event| event.mode == Mode::Real && !event.resource.ends_with("reviews"))
}

/// Applied config maps by second, from the first request received to the last answered.
fn rate(events: &[AuditEvent]) -> Result<f64> {
    let ours: Vec<_> =
        writes(events).filter(|event| event.namespace.starts_with("bench-")).collect();
    let first = ours.iter().map(|event| event.received).min().context("nothing was written")?;
    let last = ours.iter().map(|event| event.answered).max().context("nothing was written")?;
    Ok(ours.len() as f64 / last.duration_since(first).as_secs_f64())
}

/// What the API server gives to a client that does nothing but apply.
fn bare_loop(kubeconfig: &Path, objects: usize) -> Result<()> {
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    runtime.block_on(async {
        let config = Kubeconfig::read_from(kubeconfig)?;
        let config = Config::from_custom_kubeconfig(config, &KubeConfigOptions::default()).await?;
        let client = Client::try_from(config)?;
        let resource = ApiResource::from_gvk(&GroupVersionKind::gvk("", "v1", "ConfigMap"));
        let permits = Arc::new(Semaphore::new(CONCURRENCY));
        let mut tasks = JoinSet::new();
        for index in 0..objects {
            let permit = Arc::clone(&permits).acquire_owned().await?;
            let namespace = site::NAMESPACES.get(index % 5).copied().unwrap_or_default();
            let api: Api<DynamicObject> =
                Api::namespaced_with(client.clone(), namespace, &resource);
            tasks.spawn(async move {
                let name = format!("settings-{index}");
                let labels =
                    json!({ "sitewright.dev/site": "bench", "sitewright.dev/component": "bare" });
                let object = json!({
                    "apiVersion": "v1", "kind": "ConfigMap",
                    "metadata": { "name": name, "namespace": namespace, "labels": labels },
                    "data": { "index": index.to_string(), "color": "blue",
                        "endpoint": "https://service.example.org/v1/things",
                        "config.ini": "[server]\nworkers = 4\nlisten = 0.0.0.0:8080\n" }
                });
                let answer =
                    api.patch(&name, &PatchParams::apply("bare"), &Patch::Apply(&object)).await;
                drop(permit);
                answer.map(|_| ())
            });
        }
        while let Some(done) = tasks.join_next().await {
            done??;
        }
        Ok(())
    })
}
