//! The progress of an apply: a block that is redrawn on a terminal, lines in a pipe.
//!
//! Comes in: [`Event`]s and how much time has passed. Goes out: lines. Never: reads a clock.

use std::{collections::BTreeMap, time::Duration};

use sitewright_cluster::apply::{Event, ObjectOutcome};
use sitewright_model::{name::ComponentName, object::ObjectId};

use super::{
    look::{self, Look, paint},
    report::outcome_words,
    words,
};

/// Waits that are told in the block, longest first.
const WAITS_TOLD: usize = 6;
/// Components that are told in the block.
const COMPONENTS_TOLD: usize = 12;

/// How far an apply is.
#[derive(Clone, Debug, Default)]
pub struct Progress {
    components: Vec<Lane>,
    waits: BTreeMap<ObjectId, Wait>,
    pruning: Option<u64>,
}

/// How far one component is.
#[derive(Clone, Debug)]
struct Lane {
    name: ComponentName,
    total: u64,
    done: u64,
    bad: u64,
    healthy: bool,
}

/// Something that is waited for.
#[derive(Clone, Debug)]
struct Wait {
    component: ComponentName,
    why: String,
    since: Duration,
}

impl Progress {
    /// Takes in an event that came `now` after the start; returns the line to write for good, if any.
    pub fn take(&mut self, event: Event, now: Duration, look: &Look) -> Option<String> {
        match event {
            Event::Begun { components } => self.begin(components),
            Event::Done { component, id, outcome } => self.done(&component, &id, &outcome, look),
            Event::Warning { id, text, .. } => {
                let warning = paint(look::WARN, "warning:");
                let id = words::clean(&id.to_string());
                Some(format!("{warning} {id}: {}", words::clean(&text)))
            }
            Event::Waiting { component, id, why } => self.wait(component, id, why, now),
            Event::Healthy { component } => self.healthy(&component, now, look),
            Event::Pruning { objects } => {
                self.pruning = Some(objects);
                let objects = usize::try_from(objects).unwrap_or(usize::MAX);
                Some(format!("pruning {}", words::count(objects, "object")))
            }
        }
    }

    fn begin(&mut self, components: Vec<(ComponentName, u64)>) -> Option<String> {
        let total: u64 = components.iter().map(|(_, total)| total).sum();
        self.components = components
            .into_iter()
            .map(|(name, total)| Lane { name, total, done: 0, bad: 0, healthy: false })
            .collect();
        let total = usize::try_from(total).unwrap_or(usize::MAX);
        Some(format!("applying {}", words::count(total, "object")))
    }

    fn done(
        &mut self,
        component: &ComponentName,
        id: &ObjectId,
        outcome: &ObjectOutcome,
        look: &Look,
    ) -> Option<String> {
        self.waits.remove(id);
        let bad = matches!(outcome, ObjectOutcome::Failed { .. } | ObjectOutcome::Blocked { .. });
        if let Some(lane) = self.lane(component) {
            lane.done += 1;
            lane.bad += u64::from(bad);
        }
        let (word, why) = outcome_words(outcome);
        bad.then(|| {
            let mark = paint(look::FAIL, look.glyphs.fail());
            format!("{mark} {component}: {} {word}: {why}", words::clean(&id.to_string()))
        })
    }

    fn wait(
        &mut self,
        component: ComponentName,
        id: ObjectId,
        why: String,
        now: Duration,
    ) -> Option<String> {
        let why = words::clean(&why);
        let line = format!("waiting for {}: {why}", words::clean(&id.to_string()));
        let since = self.waits.get(&id).map_or(now, |wait| wait.since);
        let known = self.waits.get(&id).is_some_and(|wait| wait.why == why);
        let line = (!known).then(|| format!("{component}: {line}"));
        self.waits.insert(id, Wait { component, why, since });
        line
    }

    fn healthy(&mut self, component: &ComponentName, now: Duration, look: &Look) -> Option<String> {
        self.waits.retain(|_, wait| wait.component != *component);
        let lane = self.lane(component)?;
        lane.healthy = true;
        let objects = words::count(usize::try_from(lane.total).unwrap_or(usize::MAX), "object");
        let mark = paint(look::GOOD, look.glyphs.ok());
        Some(format!("{mark} {component}: healthy, {objects}, after {}", words::duration(now)))
    }

    fn lane(&mut self, component: &ComponentName) -> Option<&mut Lane> {
        self.components.iter_mut().find(|lane| lane.name == *component)
    }

    /// Returns whether a line is worth writing in a pipe only: on a terminal the block shows it.
    pub fn is_in_block(event: &Event) -> bool {
        matches!(event, Event::Begun { .. } | Event::Waiting { .. } | Event::Pruning { .. })
    }

    /// Returns the block as it looks `now`.
    pub fn block(&self, now: Duration, look: &Look) -> Vec<String> {
        let (done, total) = self
            .components
            .iter()
            .fold((0, 0), |(done, total), lane| (done + lane.done, total + lane.total));
        let mut lines =
            vec![format!("Applying {done} of {total} objects, {}", words::duration(now))];
        let busy = self.components.iter().filter(|lane| !lane.healthy && lane.total > 0);
        let lanes: Vec<String> = busy.map(|lane| lane_line(lane, look)).collect();
        let left_out = lanes.len().saturating_sub(COMPONENTS_TOLD);
        lines.extend(lanes.into_iter().take(COMPONENTS_TOLD));
        if left_out > 0 {
            lines.push(format!("  {} {left_out} more", look.glyphs.ellipsis()));
        }
        lines.extend(self.wait_lines(now, look));
        if let Some(objects) = self.pruning {
            lines.push(format!("  pruning {objects} objects"));
        }
        let dots = look.glyphs.ellipsis();
        let room = look.width.saturating_sub(1);
        lines.iter().map(|line| words::cut(line, room, dots)).collect()
    }

    fn wait_lines(&self, now: Duration, look: &Look) -> Vec<String> {
        let mut waits: Vec<(&ObjectId, &Wait)> = self.waits.iter().collect();
        waits.sort_by_key(|(_, wait)| wait.since);
        let mut lines: Vec<String> = waits
            .iter()
            .take(WAITS_TOLD)
            .map(|(id, wait)| {
                let waited = words::duration(now.saturating_sub(wait.since));
                let id = words::clean(&id.to_string());
                format!("    {} {id}: {} ({waited})", look.glyphs.wait(), wait.why)
            })
            .collect();
        if waits.len() > WAITS_TOLD {
            let more = waits.len() - WAITS_TOLD;
            lines.push(format!("    {} {more} more", look.glyphs.ellipsis()));
        }
        lines
    }
}

fn lane_line(lane: &Lane, look: &Look) -> String {
    let bad = if lane.bad > 0 { format!(", {} failed", lane.bad) } else { String::new() };
    let waits = if lane.done >= lane.total { ", waiting for health" } else { "" };
    format!("  {} {}: {}/{}{bad}{waits}", look.glyphs.dot(), lane.name, lane.done, lane.total)
}

#[cfg(test)]
mod tests {
    use anstream::adapter::strip_str;

    use super::*;
    use crate::output::plan::sample::id;

    fn component(name: &str) -> ComponentName {
        name.parse().unwrap()
    }

    fn events() -> Vec<(u64, Event)> {
        let queues = || component("queues");
        let waiting = |why: &str| Event::Waiting {
            component: queues(),
            id: id("Deployment.apps", "kueue-system/manager"),
            why: why.into(),
        };
        vec![
            (0, Event::Begun { components: vec![(queues(), 2), (component("storage"), 1)] }),
            (
                1,
                Event::Done {
                    component: queues(),
                    id: id("ConfigMap", "kueue-system/config"),
                    outcome: ObjectOutcome::Created,
                },
            ),
            (
                2,
                Event::Done {
                    component: component("storage"),
                    id: id("StorageClass.storage.k8s.io", "scratch"),
                    outcome: ObjectOutcome::Failed {
                        code: "SW0506".into(),
                        message: "provisioner: Required value".into(),
                        help: None,
                    },
                },
            ),
            (3, waiting("1 of 2 replicas are ready")),
            (4, waiting("1 of 2 replicas are ready")),
            (
                5,
                Event::Warning {
                    component: queues(),
                    id: id("ConfigMap", "kueue-system/config"),
                    text: "unknown field \"x\"".into(),
                },
            ),
        ]
    }

    #[test]
    fn an_apply_told_in_lines_and_as_a_block() {
        let look = Look::plain();
        let mut progress = Progress::default();
        let mut lines = Vec::new();
        for (second, event) in events() {
            lines.extend(progress.take(event, Duration::from_secs(second), &look));
        }
        lines.push("--- block".into());
        lines.extend(progress.block(Duration::from_secs(65), &look));
        let healthy = Event::Healthy { component: component("queues") };
        lines.push("---".into());
        lines.extend(progress.take(healthy, Duration::from_secs(70), &look));
        insta::assert_snapshot!(strip_str(&lines.join("\n")).to_string());
    }
}
