//! Plans that were shown, kept in the cache so that a refused `apply --plan` can say what changed since.
//!
//! Comes in: a [`Plan`]. Goes out: the same plan, found by the digest or its first digits. A plan holds
//! no secrets. Nothing here fails a command: without a cache there is less to say.

use std::{
    fs,
    path::{Path, PathBuf},
    time::SystemTime,
};

use sitewright_model::plan::{Action, Change, Plan};

use crate::output::words;

/// Plans that are kept; the oldest goes first.
const KEPT: usize = 32;
/// Bytes beyond which a plan is not kept.
const LARGEST: usize = 32 * 1024 * 1024;
/// Differences that are told.
const TOLD: usize = 12;

fn folder(cache: &Path) -> PathBuf {
    cache.join("plans")
}

/// Keeps `plan` for later.
pub(crate) fn remember(cache: &Path, plan: &Plan) {
    let Ok(text) = serde_json::to_vec(plan) else { return };
    let folder = folder(cache);
    if text.len() > LARGEST || fs::create_dir_all(&folder).is_err() {
        return;
    }
    forget_old(&folder);
    let path = folder.join(format!("{}.json", plan.digest.0.hex()));
    let written = path.with_extension(format!("{}.tmp", std::process::id()));
    let kept = fs::write(&written, text).and_then(|()| fs::rename(&written, &path));
    if let Err(error) = kept {
        let _ = fs::remove_file(&written);
        tracing::debug!(%error, "the plan is not kept");
    }
}

fn forget_old(folder: &Path) {
    let Ok(entries) = fs::read_dir(folder) else { return };
    let mut plans: Vec<(SystemTime, PathBuf)> = entries
        .flatten()
        .filter_map(|entry| Some((entry.metadata().ok()?.modified().ok()?, entry.path())))
        .collect();
    plans.sort_unstable();
    let excess = plans.len().saturating_sub(KEPT - 1);
    for (_, path) in plans.into_iter().take(excess) {
        let _ = fs::remove_file(path);
    }
}

/// Returns the plan whose digest starts with `hex`, if it was kept.
pub(crate) fn recall(cache: &Path, hex: &str) -> Option<Plan> {
    let entries = fs::read_dir(folder(cache)).ok()?;
    let path = entries.flatten().map(|entry| entry.path()).find(|path| {
        path.extension().is_some_and(|extension| extension == "json")
            && path.file_name().is_some_and(|name| name.to_string_lossy().starts_with(hex))
    })?;
    serde_json::from_slice(&fs::read(path).ok()?).ok()
}

/// Returns what differs between two plans, one line each.
pub(crate) fn differences(old: &Plan, new: &Plan) -> Vec<String> {
    let mut lines = Vec::new();
    if old.cluster.uid != new.cluster.uid {
        lines.push(format!("it was made for another cluster, {}", words::clean(&old.cluster.name)));
    }
    if old.revision.inputs != new.revision.inputs {
        lines.push(format!(
            "the site was at {}, and is at {}",
            words::clean(&old.revision.short()),
            words::clean(&new.revision.short())
        ));
    }
    let find = |plan: &Plan, wanted: &Change| {
        plan.changes().map(|(_, change)| change).find(|change| change.id == wanted.id).cloned()
    };
    for (_, change) in new.changes() {
        let before = find(old, change);
        if before.as_ref().is_none_or(|before| !is_same(before, change)) {
            let was = before.map_or("not in it", |before| verb(&before));
            let id = words::clean(&change.id.to_string());
            lines.push(format!("{id}: was {was}, now {}", verb(change)));
        }
    }
    for (_, change) in old.changes().filter(|(_, change)| find(new, change).is_none()) {
        lines.push(format!("{} is no longer in it", words::clean(&change.id.to_string())));
    }
    if lines.len() > TOLD {
        let more = words::count(lines.len() - TOLD, "more difference");
        lines.truncate(TOLD);
        lines.push(format!("and {more}"));
    }
    lines
}

fn is_same(old: &Change, new: &Change) -> bool {
    old.action == new.action && old.gates == new.gates && old.hazard == new.hazard
}

/// Returns what an action does, in a word.
pub(crate) fn deed(action: &Action) -> &'static str {
    match action {
        Action::None => "keep",
        Action::Record => "record",
        Action::Create => "create",
        Action::Update { .. } => "update",
        Action::Adopt { .. } => "adopt",
        Action::Replace { .. } => "replace",
        Action::Delete { .. } => "delete",
        Action::Release { .. } => "release",
        Action::Forget => "forget",
        Action::Unknown => "decide about",
    }
}

fn verb(change: &Change) -> &'static str {
    match (&change.action, change.gates.is_empty()) {
        (Action::Unknown, _) => "undecided",
        (_, false) => "held",
        (Action::None, true) => "unchanged",
        (Action::Record, true) => "recorded",
        (Action::Create, true) => "created",
        (Action::Update { .. }, true) => "updated",
        (Action::Adopt { .. }, true) => "adopted",
        (Action::Replace { .. }, true) => "replaced",
        (Action::Delete { .. }, true) => "deleted",
        (Action::Release { .. }, true) => "released",
        (Action::Forget, true) => "forgotten",
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::output::plan::sample;

    #[test]
    fn two_plans_are_told_apart_object_by_object() {
        let lines = differences(&sample::first(), &sample::quiet());
        insta::assert_snapshot!(lines.join("\n"));
    }
}
