//! The running work that a plan would hit, and its waves, as people look at them.

use std::collections::BTreeMap;

use jiff::Timestamp;
use sitewright_model::{
    drain::{DrainStage, NodeStage, WaveNode, WavePlan},
    object::ObjectId,
    plan::{Change, Gate, Plan},
    work::{Hit, Hits},
};

use crate::output::words;

/// Nodes that one piece of work names.
const NODES: usize = 3;

/// One piece of running work.
pub(super) struct Row {
    /// What kind of work.
    pub(super) sort: &'static str,
    /// What it is.
    pub(super) work: String,
    /// Whose it is, and by which queue it came.
    pub(super) whose: String,
    /// What it holds, and where.
    pub(super) holds: String,
    /// For how long it has run.
    pub(super) age: String,
}

/// Returns every piece of work that some change would hit, each once, jobs first.
pub(super) fn rows(plan: &Plan) -> Vec<Row> {
    let mut work: BTreeMap<&ObjectId, &Hit> = BTreeMap::new();
    for hit in plan.changes().filter_map(|(_, change)| change.hits.as_ref()).flat_map(|h| &h.work) {
        let slot = work.entry(&hit.work).or_insert(hit);
        if hit.pods > slot.pods {
            *slot = hit;
        }
    }
    let mut work: Vec<&Hit> = work.into_values().collect();
    work.sort_by_key(|hit| (hit.sort, hit.since.unwrap_or(Timestamp::MAX), &hit.work));
    work.into_iter().map(|hit| row(hit, plan.made)).collect()
}

/// Returns how much work some change would hit, for example `2 jobs, 1 notebook and 3 services`.
pub(super) fn total(rows: &[Row]) -> String {
    let mut counts: Vec<(&str, usize)> = Vec::new();
    for row in rows {
        match counts.iter_mut().find(|(sort, _)| *sort == row.sort) {
            Some((_, count)) => *count += 1,
            None => counts.push((row.sort, 1)),
        }
    }
    let parts: Vec<String> =
        counts.into_iter().map(|(sort, count)| words::count(count, sort)).collect();
    words::list(&parts)
}

fn row(hit: &Hit, now: Timestamp) -> Row {
    let mut whose = hit.person.as_deref().map(words::clean).unwrap_or_default();
    if let Some(queue) = &hit.queue {
        let gap = if whose.is_empty() { "" } else { ", " };
        whose.push_str(&format!("{gap}queue {}", words::clean(queue)));
    }
    Row {
        sort: hit.sort.word(),
        work: words::clean(&hit.work.to_string()),
        whose,
        holds: holds(hit),
        age: hit.since.map(|since| words::age(since, now)).unwrap_or_default(),
    }
}

fn holds(hit: &Hit) -> String {
    let pods = words::count(usize::try_from(hit.pods).unwrap_or(usize::MAX), "pod");
    let devices = hit.devices.iter().map(|(name, count)| format!("{count} {}", words::clean(name)));
    let mut parts = vec![pods];
    parts.extend(devices);
    let mut text = parts.join(", ");
    if !hit.nodes.is_empty() {
        let mut nodes: Vec<String> =
            hit.nodes.iter().take(NODES).map(|node| words::clean(node)).collect();
        if hit.nodes.len() > NODES {
            nodes.push(format!("{} more", hit.nodes.len() - NODES));
        }
        text.push_str(&format!(" on {}", words::list(&nodes)));
    }
    text
}

/// Returns in a sentence what a change would hit; none where nobody looked.
pub(super) fn sentence(change: &Change) -> Option<String> {
    let hits = change.hits.as_ref()?;
    if let Some(unknown) = &hits.unknown {
        return Some(format!("what it would hit is not known in full: {}", words::clean(unknown)));
    }
    Some(phrase(hits))
}

fn phrase(hits: &Hits) -> String {
    let place = words::clean(&hits.place);
    if hits.work.is_empty() {
        return format!("nothing runs there now ({place})");
    }
    let mut sorts: BTreeMap<_, usize> = BTreeMap::new();
    for hit in &hits.work {
        *sorts.entry(hit.sort).or_default() += 1;
    }
    let parts: Vec<String> =
        sorts.into_iter().map(|(sort, count)| words::count(count, sort.word())).collect();
    format!("it would hit {} now ({place})", words::list(&parts))
}

/// Returns what the gate of a draining says.
pub(super) fn drain(gate: &Gate, now: Timestamp) -> String {
    let Gate::Drain { stage, left, since, deadline, unknown } = gate else { return String::new() };
    if let Some(unknown) = unknown {
        return format!("it cannot be told what to wait for: {}", words::clean(unknown));
    }
    let left = left.map(|left| {
        words::count(usize::try_from(left).unwrap_or(usize::MAX), "job or notebook")
            .replace("job or notebooks", "jobs or notebooks")
    });
    let left = left.unwrap_or_else(|| "what runs".to_owned());
    match (stage, since) {
        (DrainStage::NotBegun, _) => {
            format!("{left} to wait for; the agent holds queues and nodes back first")
        }
        (DrainStage::Waiting, Some(since)) => {
            let until =
                deadline.map(|deadline| format!(", until {}", words::time(&deadline.to_string())));
            format!("{left} left; waiting {}{}", words::age(*since, now), until.unwrap_or_default())
        }
        (DrainStage::Waiting, None) => format!("{left} left"),
        (DrainStage::GaveUp, _) => {
            format!("{left} still ran at the deadline; queues and nodes were given back")
        }
    }
}

/// A wave, as it is shown.
pub(in crate::output) struct Wave {
    /// Which, and how far it is.
    pub(in crate::output) lead: String,
    /// Why it does not go on.
    pub(in crate::output) stopped: Option<String>,
    /// Node by node.
    pub(in crate::output) nodes: Vec<(String, String)>,
}

/// Returns the waves of a plan.
pub(super) fn waves(plan: &Plan) -> Vec<Wave> {
    plan.waves.iter().map(|wave| self::wave(wave, plan.made)).collect()
}

/// Returns one wave as it is at `now`.
pub(in crate::output) fn wave(wave: &WavePlan, now: Timestamp) -> Wave {
    let left = words::count(wave.nodes.len(), "node");
    let done = words::number(usize::try_from(wave.done).unwrap_or(usize::MAX));
    Wave {
        lead: format!("{} {}: {left} to go, {done} done", wave.component, words::clean(&wave.wave)),
        stopped: wave.stopped.as_deref().map(words::clean),
        nodes: wave.nodes.iter().map(|node| (words::clean(&node.node), told(node, now))).collect(),
    }
}

fn told(node: &WaveNode, now: Timestamp) -> String {
    let stage = match &node.stage {
        NodeStage::Pending if node.work.is_empty() => "pending, idle".to_owned(),
        NodeStage::Pending => "pending".to_owned(),
        NodeStage::Waiting => "waiting, takes nothing new".to_owned(),
        NodeStage::Changing => "being changed".to_owned(),
        NodeStage::GaveUp => "given back at the deadline".to_owned(),
        NodeStage::Broken { why } => format!("did not come back: {}", words::clean(why)),
    };
    let work: Vec<String> = node
        .work
        .iter()
        .take(NODES)
        .map(|hit| {
            let row = row(hit, now);
            let whose =
                if row.whose.is_empty() { String::new() } else { format!(" ({})", row.whose) };
            format!("{}{whose} {}", row.work, row.age)
        })
        .collect();
    if work.is_empty() {
        return stage;
    }
    let more = node.work.len().saturating_sub(NODES);
    let more = if more == 0 { String::new() } else { format!(" and {more} more") };
    format!("{stage}: {}{more}", work.join("; "))
}
