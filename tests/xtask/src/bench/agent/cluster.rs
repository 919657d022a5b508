//! The cluster, as somebody beside the agent uses and sees it.

use std::{path::Path, time::Instant};

use anyhow::{Context, Result, bail};
use futures::{StreamExt, TryStreamExt};
use kube::{
    Api, Client, Config,
    api::{DynamicObject, ListParams, WatchParams},
    config::{KubeConfigOptions, Kubeconfig},
    core::{ApiResource, GroupVersionKind, WatchEvent},
};
use tokio::{runtime::Runtime, time::timeout};

use super::PATIENCE;

/// Runs `work` on a runtime that lives as long as the benchmark: connections stay open from one call to the next.
pub(super) fn block_on<T>(work: impl Future<Output = T>) -> T {
    static RUNTIME: std::sync::OnceLock<Runtime> = std::sync::OnceLock::new();
    RUNTIME
        .get_or_init(|| {
            let mut runtime = tokio::runtime::Builder::new_multi_thread();
            runtime.worker_threads(1).enable_all().build().expect("a runtime can be built")
        })
        .block_on(work)
}

/// Connects as the administrator.
pub(super) fn client(kubeconfig: &Path) -> Result<Client> {
    block_on(async {
        let config = Kubeconfig::read_from(kubeconfig)?;
        let config = Config::from_custom_kubeconfig(config, &KubeConfigOptions::default()).await?;
        Ok(Client::try_from(config)?)
    })
}

/// The config maps of a namespace.
pub(super) fn config_maps(client: &Client, namespace: &str) -> Api<DynamicObject> {
    let resource = ApiResource::from_gvk(&GroupVersionKind::gvk("", "v1", "ConfigMap"));
    Api::namespaced_with(client.clone(), namespace, &resource)
}

/// Returns when the object `name` was seen to be as asked.
pub(super) async fn until(
    api: &Api<DynamicObject>,
    name: &str,
    is_so: impl Fn(&DynamicObject) -> bool,
) -> Result<Instant> {
    let fields = format!("metadata.name={name}");
    let now = api.list(&ListParams::default().fields(&fields)).await?;
    if now.items.iter().any(&is_so) {
        return Ok(Instant::now());
    }
    let version = now.metadata.resource_version.context("a list has a version")?;
    let mut events = api.watch(&WatchParams::default().fields(&fields), &version).await?.boxed();
    let seen = async {
        while let Some(event) = events.try_next().await? {
            match event {
                WatchEvent::Added(live) | WatchEvent::Modified(live) if is_so(&live) => {
                    return Ok(Instant::now());
                }
                WatchEvent::Error(error) => bail!("the watch of {name} broke: {}", error.message),
                _ => {}
            }
        }
        bail!("the watch of {name} ended")
    };
    timeout(PATIENCE, seen).await.with_context(|| format!("{name} does not change"))?
}
