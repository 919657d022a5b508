//! Status: whether each component is what was asked for, and what it waits for.

mod held;
mod rows;

use jiff::Timestamp;
use schemars::JsonSchema;
use serde::Serialize;
use sitewright_cluster::health::ObjectHealth;
use sitewright_model::{
    drain::WavePlan,
    health::Health,
    name::{ComponentName, SiteName},
    object::ObjectId,
    plan::{ChangeCause, Plan, PlannedCluster},
    revision::Revision,
};

pub use self::held::{BadRevision, Follower, HeldBack, HeldChange, Remembered, WaitsFor};
use super::{
    look::{self, Detail, Look, paint},
    plan::{Tally, code},
    table::{Cell, Table},
    words,
};

/// The name and version of the JSON form.
pub const FORMAT: &str = "sitewright.dev/status/v1";

/// Objects of one component that are told one by one, unless everything is asked for.
const TOLD: usize = 10;

/// How a site stands on a cluster.
#[derive(Clone, Debug, PartialEq, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Status {
    /// Always [`FORMAT`].
    pub format: String,
    /// The site.
    pub site: SiteName,
    /// What the cluster was compared with.
    pub revision: Revision,
    /// Which cluster.
    pub cluster: PlannedCluster,
    /// When it was looked at.
    #[schemars(with = "String")]
    pub at: Timestamp,
    /// How it stands, the worst of its components.
    pub state: State,
    /// The components.
    pub components: Vec<ComponentStatus>,
    /// The changes that wait, and what for.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub held: Vec<HeldChange>,
    /// What is held back for changes: nodes that are cordoned, queues that admit nothing new.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub held_back: Vec<HeldBack>,
    /// What is taken node by node, and has nodes left.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub waves: Vec<WavePlan>,
    /// The revisions that made a healthy component unhealthy.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub bad_revisions: Vec<BadRevision>,
    /// The SiteSyncs on this cluster that follow the site.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub followers: Vec<Follower>,
    /// What the cluster did not tell: the lists above may lack it.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub unread: Vec<String>,
}

/// How something stands, worst last.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub enum State {
    /// Applied and healthy.
    Healthy,
    /// On its way.
    Progressing,
    /// Not there, or not said.
    Unknown,
    /// It failed and will not get there by waiting.
    Failed,
}

/// How one component stands.
#[derive(Clone, Debug, PartialEq, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct ComponentStatus {
    /// The component.
    pub name: ComponentName,
    /// How it stands.
    pub state: State,
    /// How many objects it has.
    pub objects: usize,
    /// How many of them are healthy.
    pub healthy: usize,
    /// How many differ from the revision that is compared with: its apply is still to come.
    pub pending: usize,
    /// How many of those wait at a gate.
    pub held: usize,
    /// How many drifted.
    pub drifted: usize,
    /// The objects that are not healthy.
    pub waiting: Vec<Waiting>,
}

/// An object that is not healthy.
#[derive(Clone, Debug, PartialEq, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Waiting {
    /// The object.
    pub id: ObjectId,
    /// Its health.
    pub health: Health,
    /// What its pods and events tell.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub reasons: Vec<String>,
}

impl Status {
    /// Puts together what was planned, what health says, and what the cluster remembers.
    pub fn of(plan: &Plan, health: &[ObjectHealth], remembered: &Remembered) -> Self {
        let components: Vec<ComponentStatus> =
            plan.components.iter().map(|component| component_status(component, health)).collect();
        Self {
            format: FORMAT.to_owned(),
            site: plan.site.clone(),
            revision: plan.revision.clone(),
            cluster: plan.cluster.clone(),
            at: plan.made,
            state: components
                .iter()
                .map(|component| component.state)
                .max()
                .unwrap_or(State::Healthy),
            components,
            held: remembered.held(plan),
            held_back: remembered.held_back(),
            waves: plan.waves.clone(),
            bad_revisions: remembered.bad_revisions(),
            followers: remembered.followers(),
            unread: remembered.unread.clone(),
        }
    }
}

fn component_status(
    component: &sitewright_model::plan::ComponentPlan,
    health: &[ObjectHealth],
) -> ComponentStatus {
    let own: Vec<&ObjectHealth> =
        health.iter().filter(|object| object.component == component.name).collect();
    let waiting: Vec<Waiting> = own
        .iter()
        .filter(|object| object.health != Health::Current)
        .map(|object| Waiting {
            id: object.id.clone(),
            health: object.health.clone(),
            reasons: object.reasons.clone(),
        })
        .collect();
    let tally = Tally::of(&component.changes);
    let is_drift = |cause| matches!(cause, ChangeCause::Drift | ChangeCause::Both);
    ComponentStatus {
        name: component.name.clone(),
        state: own.iter().map(|object| state(&object.health)).max().unwrap_or(State::Healthy),
        objects: own.len(),
        healthy: own.len() - waiting.len(),
        pending: tally.applicable() + tally.held,
        held: tally.held,
        drifted: component.changes.iter().filter(|change| is_drift(change.cause)).count(),
        waiting,
    }
}

fn state(health: &Health) -> State {
    match health {
        Health::Current => State::Healthy,
        Health::InProgress { .. } => State::Progressing,
        Health::Terminating { .. } | Health::Missing | Health::Unknown { .. } => State::Unknown,
        Health::Failed { .. } => State::Failed,
    }
}

/// Returns the words for a health, and why.
pub(super) fn health_words(health: &Health) -> (&'static str, String) {
    let (word, why) = match health {
        Health::Current => ("healthy", ""),
        Health::InProgress { why } => ("in progress", why.as_str()),
        Health::Failed { why } => ("failed", why.as_str()),
        Health::Terminating { why } => ("terminating", why.as_str()),
        Health::Missing => ("missing", "it is not on the cluster"),
        Health::Unknown { why } => ("unknown", why.as_str()),
    };
    (word, words::clean(why))
}

fn state_cell(state: State, look: &Look) -> Cell {
    let glyphs = look.glyphs;
    let (mark, word, style) = match state {
        State::Healthy => (glyphs.ok(), "healthy", look::GOOD),
        State::Progressing => (glyphs.wait(), "progressing", look::WARN),
        State::Unknown => ("?", "unknown", look::WARN),
        State::Failed => (glyphs.fail(), "failed", look::FAIL),
    };
    Cell::new(style, format!("{mark} {word}"))
}

fn notes(component: &ComponentStatus) -> String {
    let mut notes = Vec::new();
    let to_apply = component.pending.saturating_sub(component.held);
    if to_apply > 0 {
        notes.push(format!("{} to apply", words::number(to_apply)));
    }
    if component.held > 0 {
        notes.push(format!("{} held", words::number(component.held)));
    }
    if component.drifted > 0 {
        notes.push(format!("{} drifted", words::number(component.drifted)));
    }
    notes.join(", ")
}

/// Returns the status as text.
pub fn text(status: &Status, look: &Look) -> String {
    let mut out = format!(
        "{}  {} on {} ({})\n\n",
        paint(look::STRONG, &status.site),
        words::clean(&status.revision.short()),
        words::clean(&status.cluster.name),
        words::clean(&status.cluster.version)
    );
    let mut table =
        Table::with_heads(look::DIM, &["COMPONENT", "STATE", "HEALTHY", "AGAINST THE SITE"]);
    for component in &status.components {
        let healthy =
            format!("{}/{}", words::number(component.healthy), words::number(component.objects));
        let notes = notes(component);
        table.row([
            Cell::from(component.name.as_str()),
            state_cell(component.state, look),
            Cell::from(healthy),
            Cell::from(if notes.is_empty() { "as described".to_owned() } else { notes }),
        ]);
    }
    out.push_str(&table.draw(0, look));
    out.push_str(&rows::text(status, look));
    for component in status.components.iter().filter(|component| !component.waiting.is_empty()) {
        out.push_str(&format!("\n{}\n", paint(look::STRONG, &component.name)));
        out.push_str(&waiting(component, look));
    }
    out
}

fn waiting(component: &ComponentStatus, look: &Look) -> String {
    let limit = if look.detail == Detail::Full { usize::MAX } else { TOLD };
    let mut out = String::new();
    for object in component.waiting.iter().take(limit) {
        let (word, why) = health_words(&object.health);
        let style = if state(&object.health) == State::Failed { look::FAIL } else { look::WARN };
        let id = words::clean(&object.id.to_string());
        out.push_str(&format!("  {id}  {}", paint(style, word)));
        let taken = format!("  {id}  {word}: ").chars().count();
        let (beside, below) = match why.as_str() {
            "" => (None, None),
            why if taken + why.chars().count() <= look.prose_width() => (Some(why), None),
            why => (None, Some(why)),
        };
        out.push_str(&beside.map(|why| format!(": {why}")).unwrap_or_default());
        out.push('\n');
        let reasons = object.reasons.iter().map(String::as_str);
        for reason in below.into_iter().chain(reasons) {
            for line in words::wrap(&words::clean(reason), look.prose_width().saturating_sub(6)) {
                out.push_str(&format!("      {line}\n"));
            }
        }
    }
    if component.waiting.len() > limit {
        let more = words::count(component.waiting.len() - limit, "more object");
        out.push_str(&format!("  {} {more} (-v lists all)\n", look.glyphs.ellipsis()));
    }
    out
}

/// Returns the status as Markdown.
pub fn markdown(status: &Status) -> String {
    let look = Look::plain();
    let mut out = format!(
        "### Status of `{}`\n\n{} on {}\n\n",
        status.site,
        code(&status.revision.short()),
        code(&status.cluster.name)
    );
    out.push_str("| component | state | healthy | against the site |\n|---|---|---|---|\n");
    for component in &status.components {
        let notes = notes(component);
        out.push_str(&format!(
            "| `{}` | {} | {}/{} | {} |\n",
            component.name,
            state_word(component.state),
            component.healthy,
            component.objects,
            if notes.is_empty() { "as described" } else { &notes }
        ));
    }
    let rows = anstream::adapter::strip_str(&rows::text(status, &look)).to_string();
    if !rows.is_empty() {
        out.push_str(&format!("\n~~~\n{}~~~\n", rows.trim_start()));
    }
    for component in status.components.iter().filter(|component| !component.waiting.is_empty()) {
        let lines = anstream::adapter::strip_str(&waiting(component, &look)).to_string();
        out.push_str(&format!("\n**{}**\n\n~~~\n{lines}~~~\n", component.name));
    }
    out
}

fn state_word(state: State) -> &'static str {
    match state {
        State::Healthy => "healthy",
        State::Progressing => "progressing",
        State::Unknown => "unknown",
        State::Failed => "**failed**",
    }
}

#[cfg(test)]
pub(super) mod tests {
    use anstream::adapter::strip_str;
    use serde_json::json;
    use sitewright_cluster::{Error, sync::SiteSync};
    use sitewright_model::{
        digest::Digest,
        drain::{Drain, HeldQueue, Ledger, Stage},
        verdict::{Bad, Fate, Verdict, Verdicts},
    };

    use super::*;
    use crate::output::plan::sample;

    const TERMINATING: &str = "is being deleted since 2026-11-22T10:00:00Z; held by finalizer \
        example.edu/cleanup (by its name, a controller of example.edu; added by kubectl-edit)";

    pub(in crate::output) fn sample() -> Status {
        let plan = sample::everything();
        let health: Vec<ObjectHealth> = plan
            .changes()
            .enumerate()
            .filter(|(index, _)| index % 3 == 0)
            .map(|(index, (component, change))| ObjectHealth {
                component: component.name.clone(),
                id: change.id.clone(),
                health: match index {
                    0..42 => Health::Current,
                    42..45 => Health::InProgress { why: "2 of 3 replicas are ready".into() },
                    45..54 => Health::Failed { why: "CrashLoopBackOff".into() },
                    54..57 => Health::Terminating { why: TERMINATING.into() },
                    57..60 => Health::Missing,
                    _ => Health::Unknown { why: "the kind is not served".into() },
                },
                reasons: if index == 45 {
                    vec!["pod manager-0: back-off pulling image \"x:y\": not found".into()]
                } else {
                    Vec::new()
                },
            })
            .collect();
        Status::of(&plan, &health, &Remembered::default())
    }

    /// A site of which something waits, something is drained, and a revision is bad.
    pub(in crate::output) fn held() -> Status {
        let plan = sample::drained();
        let at = |text: &str| text.parse::<Timestamp>().unwrap();
        let drain = |wave: Option<(&str, &str)>, stage, nodes: &[&str], queues: &[&str]| Drain {
            component: "gpus".parse().unwrap(),
            wave: wave.map(|(name, node)| (name.to_owned(), node.to_owned())),
            target: Digest::of("a change"),
            begun: at("2026-11-25T08:55:00Z"),
            stage,
            since: at("2026-11-25T08:55:00Z"),
            nodes: nodes.iter().map(|node| ((*node).to_owned(), "uid".to_owned())).collect(),
            queues: queues
                .iter()
                .map(|queue| {
                    let held = HeldQueue { uid: "uid".into(), api_version: "v1".into() };
                    ((*queue).to_owned(), held)
                })
                .collect(),
        };
        let broken = Stage::Broken { why: "the pod driver-x is not Ready".into() };
        let drains = vec![
            drain(None, Stage::Waiting, &["gpu-0", "gpu-1"], &["vision"]),
            drain(Some(("driver", "gpu-3")), broken, &["gpu-3"], &[]),
            drain(Some(("driver", "gpu-7")), Stage::GaveUp, &[], &[]),
        ];
        let bad = |revision: &str, fate| Verdict {
            good: None,
            bad: Some(Bad {
                revision: revision.into(),
                content: Digest::of(revision),
                why: "Deployment web/chat: 0 of 2 replicas are ready".into(),
                since: at("2026-11-24T23:10:00Z"),
                fate,
            }),
        };
        let stays = Fate::Held { why: "the policy is to hold".into() };
        let verdicts = Verdicts {
            components: [
                ("gpus".parse().unwrap(), bad("main@77aa12", Fate::RolledBack)),
                ("web".parse().unwrap(), bad("main@77aa12", stays)),
            ]
            .into(),
        };
        let sync: SiteSync = serde_json::from_value(json!({
            "apiVersion": "sitewright.dev/v1alpha1",
            "kind": "SiteSync",
            "metadata": { "name": "lab-gpu", "namespace": "sites" },
            "spec": { "source": { "url": "https://git.example.edu/sites.git" } },
            "status": {
                "state": "Unhealthy",
                "site": "lab-gpu",
                "applied": { "short": "main@1f3c9e2a01bc", "inputs": "x" },
                "conditions": [{ "type": "Ready", "status": "False", "reason": "WaveStopped",
                    "message": "gpus driver: gpu-3 did not come back",
                    "lastTransitionTime": "2026-11-25T08:55:00Z" }],
                "heldChanges": 1,
                "held": [{ "component": "gpus", "object": "ConfigMap gpu-operator/mig",
                    "hazard": "evicts-jobs", "gates": ["SW0412"],
                    "since": "2026-11-24T08:55:00Z" }],
            },
        }))
        .unwrap();
        let other = SiteSync { status: None, ..sync.clone() };
        let forbidden = Error::Forbidden {
            verb: "get".into(),
            resource: "ConfigMap sitewright-system/sitewright-lab-gpu.drains".into(),
            why: "ask your administrator".into(),
        };
        let site = plan.site.clone();
        let mut remembered =
            Remembered::of(&site, Ok(vec![sync, other]), Ok(Ledger { drains }), Ok(verdicts));
        remembered.unread =
            Remembered::of(&site, Ok(Vec::new()), Err(forbidden), Ok(Verdicts::default())).unread;
        Status::of(&plan, &[], &remembered)
    }

    #[test]
    fn what_is_held_drained_and_bad_is_told_first() {
        insta::assert_snapshot!(strip_str(&text(&held(), &Look::plain())).to_string());
        insta::assert_snapshot!(markdown(&held()));
    }

    #[test]
    fn status_as_text() {
        insta::assert_snapshot!(strip_str(&text(&sample(), &Look::plain())).to_string());
    }

    #[test]
    fn status_as_markdown() {
        insta::assert_snapshot!(markdown(&sample()));
    }
}
