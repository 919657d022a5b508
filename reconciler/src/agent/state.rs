//! What the agent knows of one site: a value that every report is made from.
//!
//! Comes in: revisions, plans, reports, health, one after another. Goes out: the same value, moved on, and the
//! [`News`] in it. Never: a clock or a client.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use jiff::Timestamp;
use sitewright_cluster::{
    apply::{End, ObjectOutcome, Report},
    health::ObjectHealth,
};
use sitewright_model::{
    diagnostic::Diagnostics,
    drain::WavePlan,
    format::blueprint::Hazard,
    health::Health,
    live::Reach,
    name::{ComponentName, SiteName},
    object::ObjectId,
    plan::{self, Action, Consent, Drift, DriftedObject, Gate, Mended, Plan, PlanDigest},
    revision::Revision,
    work::Hit,
};
use sitewright_source::snapshot::Origin;

use super::news::{News, Reason};
use crate::output::words;

/// Outcomes that are kept; older ones are dropped.
pub(crate) const OUTCOMES: usize = 50;

/// Running work that is named for a held change.
const WORK: usize = 5;

/// Objects that one sentence names.
const NAMED: usize = 3;

/// What the agent knows of one site.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct State {
    /// The site, once it was read.
    pub(crate) site: Option<SiteName>,
    /// The newest revision that was read.
    pub(crate) observed: Option<Revision>,
    /// The commit that git has now, where it cannot be read: it is not the one in `observed`.
    pub(crate) rejected: Option<Origin>,
    /// The revision that was applied last, as far as nothing holds it.
    pub(crate) applied: Option<Revision>,
    /// The digest of the last plan of the whole site.
    pub(crate) plan: Option<PlanDigest>,
    /// What it is at.
    pub(crate) activity: Activity,
    /// What does not work, by where it comes from: one of git is not over because the cluster works, and the
    /// other way round.
    pub(crate) problems: BTreeMap<Side, Problem>,
    /// The components of the site.
    pub(crate) components: Vec<ComponentName>,
    /// How many objects the site declares, once it was planned.
    pub(crate) objects: Option<usize>,
    /// Objects that are not healthy.
    pub(crate) sick: BTreeMap<ObjectId, Sick>,
    /// Objects that could not be changed by the last apply of them.
    pub(crate) failed: BTreeMap<ObjectId, FailedObject>,
    /// Components that a revision made unhealthy.
    pub(crate) bad: BTreeMap<ComponentName, Taken>,
    /// Changes that wait at their gates.
    pub(crate) held: BTreeMap<ObjectId, Held>,
    /// What is taken node by node, and has nodes left.
    pub(crate) waves: Vec<WavePlan>,
    /// Live fields that differ, and stay so.
    pub(crate) drift: BTreeMap<ObjectId, Drifted>,
    /// Objects over whose fields somebody else fights with us.
    pub(crate) fights: BTreeMap<ObjectId, String>,
    /// What came of the last applies, newest first.
    pub(crate) outcomes: VecDeque<Outcome>,
    /// Whether the health of every component was asked for since the last revision.
    pub(crate) health_is_known: bool,
}

/// What the agent is at.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum Activity {
    /// It has not read the site yet.
    #[default]
    Starting,
    /// It looks whether there is anything to do.
    Looking,
    /// It changes the cluster, or waits for what it changed to become healthy.
    Reconciling,
    /// It has done what it can.
    Resting,
}

/// Where a problem comes from.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Side {
    /// What is desired cannot be had: git, sources, mistakes in files.
    Git,
    /// What is desired cannot be reached: the cluster.
    Cluster,
}

/// What does not work.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Problem {
    /// The number of the error.
    pub(crate) code: String,
    /// What is wrong, with its place.
    pub(crate) message: String,
    /// Whether waiting can help.
    pub(crate) passes: bool,
    /// Since when.
    pub(crate) since: Timestamp,
}

/// An object that could not be changed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct FailedObject {
    /// Its component.
    pub(crate) component: ComponentName,
    /// The number of the error.
    pub(crate) code: String,
    /// What went wrong.
    pub(crate) message: String,
    /// Since when.
    pub(crate) since: Timestamp,
}

/// What became of a revision that made a component unhealthy.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Taken {
    /// Whether the last healthy state is in force in its place.
    pub(crate) is_back: bool,
    /// What happened, in a sentence.
    pub(crate) message: String,
}

/// An object that is not healthy.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Sick {
    /// Its component.
    pub(crate) component: ComponentName,
    /// How it is.
    pub(crate) health: Health,
    /// Since when.
    pub(crate) since: Timestamp,
}

/// A change that waits.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Held {
    /// Its component.
    pub(crate) component: ComponentName,
    /// What it would do.
    pub(crate) hazard: Hazard,
    /// What it waits for.
    pub(crate) gates: Vec<Gate>,
    /// Running work that it would hit, the first few.
    pub(crate) work: Vec<Hit>,
    /// Since when.
    pub(crate) since: Timestamp,
}

/// A live object that differs.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Drifted {
    /// What differs.
    pub(crate) object: DriftedObject,
    /// Since when it is known.
    pub(crate) since: Timestamp,
}

/// What came of one apply.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Outcome {
    /// When it ended.
    pub(crate) at: Timestamp,
    /// What was applied.
    pub(crate) revision: String,
    /// The plan that was done.
    pub(crate) plan: PlanDigest,
    /// How it ended.
    pub(crate) end: End,
    /// Objects that were changed.
    pub(crate) changed: u64,
    /// Objects that failed.
    pub(crate) failed: u64,
    /// Objects that wait.
    pub(crate) held: u64,
}

// === impl State ===

impl State {
    /// Takes a revision that git has now.
    pub(super) fn found(&mut self, site: &SiteName, revision: &Revision) -> Option<News> {
        self.site = Some(site.clone());
        self.rejected = None;
        if self.observed.as_ref() == Some(revision) {
            return None;
        }
        self.observed = Some(revision.clone());
        self.health_is_known = false;
        Some(News::new(Reason::NewRevision, format!("{site} is at {}", revision.short())))
    }

    /// Takes what does not work; the same problem is told once.
    pub(super) fn failed(&mut self, side: Side, problem: Problem) -> Option<News> {
        let is_same =
            |known: &Problem| (&known.code, &known.message) == (&problem.code, &problem.message);
        if self.problems.get(&side).is_some_and(is_same) {
            return None;
        }
        let news = News::new(Reason::Failed, format!("{}: {}", problem.code, problem.message));
        self.problems.insert(side, problem);
        Some(news)
    }

    /// Takes that one side works.
    pub(super) fn works(&mut self, side: Side) -> Option<News> {
        if side == Side::Cluster {
            self.failed.clear();
        }
        let problem = self.problems.remove(&side)?;
        Some(News::new(Reason::Recovered, format!("{} is over", problem.code)))
    }

    /// Returns what does not work, if anything; of two problems the one that comes first on the way from git.
    pub(crate) fn problem(&self) -> Option<&Problem> {
        self.problems.values().next()
    }

    /// Takes a plan: what is held, and what has drifted. `reach` is how much of the site it is about.
    pub(super) fn planned(&mut self, plan: &Plan, reach: &Reach, now: Timestamp) -> Vec<News> {
        if *reach == Reach::Whole {
            self.plan = Some(plan.digest);
            self.waves.clone_from(&plan.waves);
            let declared = plan.changes().filter(|(_, change)| {
                !matches!(change.action, Action::Delete { .. } | Action::Release { .. })
            });
            self.objects = Some(declared.count());
            self.components =
                plan.components.iter().map(|component| component.name.clone()).collect();
        }
        let mut news = self.hold(plan, reach, now);
        news.extend(self.drifted(plan, reach, now));
        news
    }

    fn hold(&mut self, plan: &Plan, reach: &Reach, now: Timestamp) -> Vec<News> {
        let before: BTreeMap<ObjectId, Held> = self.held.clone();
        retain_beyond(&mut self.held, reach);
        for (component, change) in plan.changes() {
            // what a policy wants reported only is drift, and waits for nothing
            let waits = change.held_by(Consent::None).filter(|gate| **gate != Gate::ReportOnly);
            let gates: Vec<Gate> = waits.cloned().collect();
            if gates.is_empty() {
                continue;
            }
            let same = before.get(&change.id).filter(|held| is_same_wait(&held.gates, &gates));
            let since = same.map_or(now, |held| held.since);
            let (component, hazard) = (component.name.clone(), change.hazard);
            let work = change.hits.iter().flat_map(|hits| &hits.work).take(WORK).cloned().collect();
            self.held.insert(change.id.clone(), Held { component, hazard, gates, work, since });
        }
        let new: Vec<&ObjectId> = self.held.keys().filter(|id| !before.contains_key(*id)).collect();
        let mut news = Vec::new();
        if !new.is_empty() {
            let message = format!("{}: {}", words::held(new.len()), named(&new));
            news.push(News::new(Reason::Held, message));
        }
        if self.held.is_empty() && !before.is_empty() {
            news.push(News::new(Reason::Released, "no change is held any more"));
        }
        news
    }

    fn drifted(&mut self, plan: &Plan, reach: &Reach, now: Timestamp) -> Vec<News> {
        let before: BTreeMap<ObjectId, Drifted> = self.drift.clone();
        retain_beyond(&mut self.drift, reach);
        let mut news = Vec::new();
        for object in plan::drift(plan).objects {
            let known = before.get(&object.id);
            let since = known.map_or(now, |known| known.since);
            if object.mended != Mended::ByApply && known.is_none_or(|known| known.object != object)
            {
                let message = format!("{}, and stays so", described(&object));
                news.push(News::new(Reason::Drifted, message).about(&object.id));
            }
            self.drift.insert(object.id.clone(), Drifted { object, since });
        }
        self.fights.retain(|id, _| self.drift.contains_key(id));
        news
    }

    /// Takes what came of an apply.
    pub(super) fn applied(&mut self, report: &Report, reach: &Reach, now: Timestamp) -> Vec<News> {
        let mut news = Vec::new();
        let mut outcome = Outcome {
            at: now,
            revision: report.revision.short(),
            plan: report.plan,
            end: report.end,
            changed: 0,
            failed: 0,
            held: 0,
        };
        let before = self.failed.clone();
        retain_beyond(&mut self.failed, reach);
        for component in &report.components {
            for object in &component.objects {
                match &object.outcome {
                    ObjectOutcome::Failed { code, message, .. } => {
                        outcome.failed += 1;
                        let told = format!("{}: {code}: {message}", object.id);
                        news.push(News::new(Reason::Failed, told).about(&object.id));
                        let known = before.get(&object.id).filter(|known| known.code == *code);
                        let failed = FailedObject {
                            component: component.name.clone(),
                            code: code.clone(),
                            message: message.clone(),
                            since: known.map_or(now, |known| known.since),
                        };
                        self.failed.insert(object.id.clone(), failed);
                    }
                    ObjectOutcome::Held { .. } | ObjectOutcome::Blocked { .. } => outcome.held += 1,
                    ObjectOutcome::Unchanged | ObjectOutcome::NotReached => {}
                    _ => outcome.changed += 1,
                }
                if is_done(&object.outcome)
                    && let Some(drifted) = self.drift.remove(&object.id)
                {
                    let message = format!("{}, and is put right", described(&drifted.object));
                    let mended = News::new(Reason::Mended, message).about(&object.id);
                    news.push(mended.of(&component.name));
                }
                if let Some(health) = &object.health {
                    self.seen(&component.name, &object.id, health, &object.reasons, now);
                }
            }
        }
        if *reach == Reach::Whole && report.end != End::Stopped {
            self.applied = Some(report.revision.clone());
        }
        if outcome.changed + outcome.failed > 0 && *reach == Reach::Whole {
            let message = format!("{}: {}", outcome.revision, phrase(&outcome));
            news.push(News::new(Reason::Applied, message));
        }
        if outcome.changed + outcome.failed > 0 {
            self.outcomes.push_front(outcome);
            self.outcomes.truncate(OUTCOMES);
        }
        news
    }

    /// Takes the health of objects; all of them, or those in question.
    pub(super) fn assessed(
        &mut self,
        health: &[ObjectHealth],
        reach: &Reach,
        now: Timestamp,
    ) -> Vec<News> {
        let before = self.sick.clone();
        if *reach == Reach::Whole {
            let still: BTreeSet<&ObjectId> = health.iter().map(|object| &object.id).collect();
            self.sick.retain(|id, _| still.contains(id));
            self.health_is_known = true;
        }
        for object in health {
            self.seen(&object.component, &object.id, &object.health, &object.reasons, now);
        }
        self.health_news(&before)
    }

    fn seen(
        &mut self,
        component: &ComponentName,
        id: &ObjectId,
        health: &Health,
        reasons: &[String],
        now: Timestamp,
    ) {
        if health.is_current() {
            self.sick.remove(id);
            return;
        }
        let since = self.sick.get(id).map_or(now, |sick| sick.since);
        let health = with_reason(health, reasons);
        self.sick.insert(id.clone(), Sick { component: component.clone(), health, since });
    }

    fn health_news(&self, before: &BTreeMap<ObjectId, Sick>) -> Vec<News> {
        let components = |sick: &BTreeMap<ObjectId, Sick>| -> BTreeSet<ComponentName> {
            sick.values().map(|sick| sick.component.clone()).collect()
        };
        let (was, is) = (components(before), components(&self.sick));
        let mut news: Vec<News> = is
            .difference(&was)
            .map(|component| {
                let sick = self.sick.iter().find(|(_, sick)| sick.component == *component);
                let why = sick.map(|(id, sick)| {
                    format!("{id}: {}", sick.health.why().unwrap_or("it is not there"))
                });
                let message = format!("{component} is not healthy: {}", why.unwrap_or_default());
                News::new(Reason::Unhealthy, message)
            })
            .collect();
        if is.is_empty() && !was.is_empty() {
            news.push(News::new(Reason::Healthy, "every component is healthy"));
        }
        news
    }

    /// Takes that somebody fights with us over an object.
    pub(super) fn fights(&mut self, drifted: &DriftedObject) -> News {
        let rivals = rivals(drifted);
        let message =
            format!("{}, again and again; it is left alone for a while", described(drifted));
        self.fights.insert(drifted.id.clone(), rivals);
        News::new(Reason::Fight, message).about(&drifted.id)
    }

    /// Returns the health of a component: the worst of its objects; none where all are healthy.
    pub(crate) fn worst_of(&self, component: &ComponentName) -> Option<(&ObjectId, &Sick)> {
        let sick = self.sick.iter().filter(|(_, sick)| sick.component == *component);
        sick.max_by_key(|(_, sick)| matches!(sick.health, Health::Failed { .. }))
    }
}

impl Problem {
    /// Makes a problem of what a stage found wrong: its first error, and how many there are.
    pub(super) fn of(diagnostics: &Diagnostics, passes: bool, since: Timestamp) -> Self {
        let first = diagnostics.0.iter().max_by_key(|diagnostic| diagnostic.severity);
        let (code, message) = first.map_or_else(Default::default, |first| {
            let place = first.place.span.as_ref().map(|span| format!("{span}: "));
            let message = format!("{}{}", place.unwrap_or_default(), first.message);
            (first.code.to_string(), message)
        });
        let more = diagnostics.0.len().saturating_sub(1);
        let more = if more == 0 { String::new() } else { format!(" (and {more} more)") };
        Self { code, message: format!("{}{more}", words::clean(&message)), passes, since }
    }
}

fn retain_beyond<T>(map: &mut BTreeMap<ObjectId, T>, reach: &Reach) {
    match reach {
        Reach::Whole => map.clear(),
        Reach::Only(ids) => map.retain(|id, _| !ids.contains(id)),
    }
}

/// Gates whose words changed still wait for the same.
fn is_same_wait(one: &[Gate], other: &[Gate]) -> bool {
    let kinds = |gates: &[Gate]| gates.iter().map(std::mem::discriminant).collect::<Vec<_>>();
    kinds(one) == kinds(other)
}

fn is_done(outcome: &ObjectOutcome) -> bool {
    matches!(
        outcome,
        ObjectOutcome::Created
            | ObjectOutcome::Updated
            | ObjectOutcome::Replaced
            | ObjectOutcome::Recorded
    )
}

fn with_reason(health: &Health, reasons: &[String]) -> Health {
    match (health, reasons.first()) {
        (Health::InProgress { why }, Some(reason)) => {
            Health::InProgress { why: format!("{why} ({reason})") }
        }
        (Health::Failed { why }, Some(reason)) => {
            Health::Failed { why: format!("{why} ({reason})") }
        }
        _ => health.clone(),
    }
}

/// Returns what differs and who did it, in one clause.
pub(super) fn described(drifted: &DriftedObject) -> String {
    match &drifted.drift {
        Drift::Deleted => format!("{} was deleted", drifted.id),
        Drift::Unknown => format!("{} was changed", drifted.id),
        Drift::Changed { fields } => {
            let names: Vec<String> =
                fields.iter().map(|field| words::clean(&field.field)).take(NAMED).collect();
            let names = if names.is_empty() { "it".to_owned() } else { names.join(", ") };
            let rivals = rivals(drifted);
            let by = if rivals.is_empty() { String::new() } else { format!(" by {rivals}") };
            format!("{}: {names} was changed{by}", drifted.id)
        }
    }
}

/// Returns who wrote the fields, and when.
fn rivals(drifted: &DriftedObject) -> String {
    let Drift::Changed { fields } = &drifted.drift else { return String::new() };
    let by = fields.iter().filter_map(|field| field.by.as_ref());
    let rivals: BTreeSet<String> = by
        .map(|by| {
            let at = by.time.as_deref().map(|time| format!(" at {}", words::time(time)));
            format!("{}{}", words::clean(&by.manager), at.unwrap_or_default())
        })
        .collect();
    rivals.into_iter().collect::<Vec<_>>().join(", ")
}

fn named(ids: &[&ObjectId]) -> String {
    let mut names: Vec<String> =
        ids.iter().take(NAMED).map(|id| words::clean(&id.to_string())).collect();
    if ids.len() > NAMED {
        names.push(format!("{} more", ids.len() - NAMED));
    }
    words::list(&names)
}

fn phrase(outcome: &Outcome) -> String {
    let mut parts =
        vec![words::count(usize::try_from(outcome.changed).unwrap_or(usize::MAX), "change")];
    let end = match outcome.end {
        End::Converged => "everything is as it should be",
        End::Held => "the rest is held",
        End::Failed => "not all of it works",
        End::Stopped => "stopped before the end",
    };
    parts.push(end.to_owned());
    parts.join(", ")
}
