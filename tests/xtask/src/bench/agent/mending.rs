//! How soon an edit is told, and put right.

use std::time::Instant;

use anyhow::Result;
use kube::{
    Api, Client,
    api::{DynamicObject, Patch, PatchParams},
};
use serde_json::json;

use super::{
    super::{Figures, figure::Figure, figure::Reach, site},
    cluster,
    process::Agent,
};

/// Edits that are mended, one after another; each on another object, so that nobody takes it for a fight.
const EDITS: usize = 100;

pub(super) fn measure(agent: &Agent, client: &Client, objects: usize) -> Result<Figures> {
    let (mut told, mut healed) = (Vec::new(), Vec::new());
    for index in 0..EDITS.min(objects / 50) {
        let namespace = site::NAMESPACES.get(index % 5).copied().unwrap_or_default();
        let name = format!("settings-0-{index}");
        let api = cluster::config_maps(client, namespace);
        let (written, put_right) = cluster::block_on(edit(&api, &name))?;
        let (reported, _) = agent.says(&["\"Mending\"", &name])?;
        told.push(reported.saturating_duration_since(written));
        healed.push(put_right.saturating_duration_since(written));
    }
    let what = |end: &str| format!("agent, {objects} objects: an edit to {end}");
    let [told_50, told_99, _] = super::spread(told);
    let [healed_50, healed_99, _] = super::spread(healed);
    Ok(vec![
        Figure::new(what("reported, p50"), told_50, "ms"),
        Figure::new(what("reported, p99"), told_99, "ms").reach(Reach::AtMost(100.0)),
        Figure::new(what("mended, p50"), healed_50, "ms"),
        Figure::new(what("mended, p99"), healed_99, "ms").reach(Reach::AtMost(300.0)),
    ])
}

/// Edits an object; returns when the server had answered, and when a watch saw it put right.
async fn edit(api: &Api<DynamicObject>, name: &str) -> Result<(Instant, Instant)> {
    let edit = Patch::Merge(json!({ "data": { "color": "red" } }));
    // somebody at a keyboard: what a controller writes is a conflict, and not mended
    let by = PatchParams { field_manager: Some("kubectl-edit".into()), ..PatchParams::default() };
    api.patch(name, &by, &edit).await?;
    let written = Instant::now();
    let is_blue = |live: &DynamicObject| {
        live.data.pointer("/data/color").is_some_and(|color| color == "blue")
    };
    let put_right = cluster::until(api, name, is_blue).await?;
    Ok((written, put_right))
}
