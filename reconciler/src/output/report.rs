//! What came of an apply, as text; as JSON it is the [`Report`] itself.

use sitewright_cluster::apply::{
    ComponentReport, End, ObjectOutcome, ObjectReport, Report, Trouble,
};
use sitewright_model::health::Health;

use super::{
    look::{self, Detail, Look, paint},
    plan::{Invocation, gates_phrase},
    status::health_words,
    words,
};

/// Objects of one component that are told one by one, unless everything is asked for.
const TOLD: usize = 20;

/// How many objects of each outcome.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Counts {
    created: usize,
    updated: usize,
    adopted: usize,
    replaced: usize,
    deleted: usize,
    released: usize,
    forgotten: usize,
    recorded: usize,
    held: usize,
    blocked: usize,
    failed: usize,
    not_reached: usize,
    unchanged: usize,
    /// Of all of these, whose health was asked and is not what was asked for.
    unhealthy: usize,
}

impl Counts {
    fn of(report: &Report) -> Self {
        let mut counts = Self::default();
        for component in &report.components {
            counts.unchanged += usize::try_from(component.unchanged).unwrap_or(usize::MAX);
            for object in &component.objects {
                *counts.place(&object.outcome) += 1;
                counts.unhealthy += usize::from(is_unhealthy(object));
            }
        }
        counts
    }

    fn place(&mut self, outcome: &ObjectOutcome) -> &mut usize {
        match outcome {
            ObjectOutcome::Unchanged => &mut self.unchanged,
            ObjectOutcome::Created => &mut self.created,
            ObjectOutcome::Updated => &mut self.updated,
            ObjectOutcome::Adopted => &mut self.adopted,
            ObjectOutcome::Replaced => &mut self.replaced,
            ObjectOutcome::Deleted => &mut self.deleted,
            ObjectOutcome::Released => &mut self.released,
            ObjectOutcome::Forgotten => &mut self.forgotten,
            ObjectOutcome::Recorded => &mut self.recorded,
            ObjectOutcome::Held { .. } => &mut self.held,
            ObjectOutcome::Blocked { .. } => &mut self.blocked,
            ObjectOutcome::Failed { .. } => &mut self.failed,
            ObjectOutcome::NotReached => &mut self.not_reached,
        }
    }

    /// Returns whether nothing was done and nothing waits.
    fn is_quiet(&self) -> bool {
        *self == Self { unchanged: self.unchanged, ..Self::default() }
    }

    fn phrase(&self) -> String {
        let counts = [
            (self.failed, "failed"),
            (self.unhealthy, "not healthy"),
            (self.blocked, "blocked"),
            (self.held, "held"),
            (self.not_reached, "not reached"),
            (self.created, "created"),
            (self.updated, "updated"),
            (self.adopted, "adopted"),
            (self.replaced, "replaced"),
            (self.deleted, "deleted"),
            (self.released, "released"),
            (self.forgotten, "forgotten"),
            (self.recorded, "recorded"),
            (self.unchanged, "unchanged"),
        ];
        let parts: Vec<String> = counts
            .iter()
            .filter(|(count, _)| *count > 0)
            .map(|(count, what)| format!("{} {what}", words::number(*count)))
            .collect();
        if parts.is_empty() { "no objects".to_owned() } else { parts.join(", ") }
    }
}

/// Returns what an object came to, in a word, and what there is to say about it.
pub(super) fn outcome_words(outcome: &ObjectOutcome) -> (&'static str, String) {
    match outcome {
        ObjectOutcome::Unchanged => ("unchanged", String::new()),
        ObjectOutcome::Created => ("created", String::new()),
        ObjectOutcome::Updated => ("updated", String::new()),
        ObjectOutcome::Adopted => ("adopted", String::new()),
        ObjectOutcome::Replaced => ("replaced", String::new()),
        ObjectOutcome::Deleted => ("deleted", String::new()),
        ObjectOutcome::Released => ("released", String::new()),
        ObjectOutcome::Forgotten => ("forgotten", String::new()),
        ObjectOutcome::Recorded => ("recorded", String::new()),
        ObjectOutcome::Held { gates } => ("held", gates_phrase(gates)),
        ObjectOutcome::Blocked { by } => ("blocked", words::clean(by)),
        ObjectOutcome::Failed { code, message, .. } => {
            ("failed", format!("{}: {}", words::clean(code), words::clean(message)))
        }
        ObjectOutcome::NotReached => ("not reached", String::new()),
    }
}

/// Returns the report as text: what did not go well first, then counts.
pub fn text(report: &Report, look: &Look, invocation: &Invocation) -> String {
    let mut out = String::new();
    for component in &report.components {
        out.push_str(&component_text(component, look));
    }
    if !out.is_empty() {
        out.push('\n');
    }
    let counts = Counts::of(report);
    let (word, style) = match report.end {
        End::Converged if counts.is_quiet() => ("Nothing to do:", look::GOOD),
        End::Converged => ("Converged:", look::GOOD),
        End::Held => ("Held:", look::HELD),
        End::Failed if is_only_unhealthy(report, &counts) => ("Not healthy in time:", look::FAIL),
        End::Failed => ("Failed:", look::FAIL),
        End::Stopped => ("Stopped:", look::WARN),
    };
    out.push_str(&format!("{} {}.\n", paint(style, word), counts.phrase()));
    report.troubles.iter().for_each(|trouble| out.push_str(&trouble_text(trouble, look)));
    if let Some(next) = next(report, &counts, invocation) {
        out.push_str(&format!("{next}\n"));
    }
    out
}

fn next(report: &Report, counts: &Counts, invocation: &Invocation) -> Option<String> {
    let command = |verb: &str| paint(look::CODE, invocation.command(verb, ""));
    match report.end {
        End::Converged => None,
        End::Held => Some(format!("What is held, and the way out: {}", command("plan"))),
        End::Failed if is_only_unhealthy(report, counts) => {
            Some(format!("What it waits for: {}", command("status")))
        }
        End::Failed if !report.troubles.is_empty() => {
            Some(format!("Once it is mended, {} goes on from here.", command("apply")))
        }
        End::Failed => Some(format!(
            "Other branches went ahead. Once it is mended, {} goes on from here.",
            command("apply")
        )),
        End::Stopped => Some(format!("{} goes on from here.", command("apply"))),
    }
}

fn is_only_unhealthy(report: &Report, counts: &Counts) -> bool {
    counts.failed + counts.blocked == 0 && report.troubles.is_empty()
}

fn trouble_text(trouble: &Trouble, look: &Look) -> String {
    let Trouble { code, message, help } = trouble;
    let mut lines = vec![format!("{}: {}", words::clean(code), words::clean(message))];
    lines.extend(help.iter().map(|help| format!("help: {}", words::clean(help))));
    let wrap = |line: &String| words::wrap(line, look.prose_width().saturating_sub(2));
    lines.iter().flat_map(wrap).map(|line| format!("  {line}\n")).collect()
}

/// Returns the lines of a component: only what needs reading, or everything on request.
fn component_text(component: &ComponentReport, look: &Look) -> String {
    let told: Vec<&ObjectReport> = component
        .objects
        .iter()
        .filter(|object| look.detail == Detail::Full || speaks(object))
        .collect();
    let unwell = component.health.as_ref().filter(|health| **health != Health::Current);
    if told.is_empty() && unwell.is_none() {
        return String::new();
    }
    let mut out = paint(look::STRONG, &component.name);
    if let Some(health) = unwell {
        // Why is told by the objects below.
        let (word, _) = health_words(health);
        let style = if word == "failed" { look::FAIL } else { look::WARN };
        out.push_str(&format!("  {}", paint(style, word)));
    }
    out.push('\n');
    let limit = if look.detail == Detail::Full { usize::MAX } else { TOLD };
    for object in told.iter().take(limit) {
        out.push_str(&object_text(object, look));
    }
    if told.len() > limit {
        let more = words::count(told.len() - limit, "more object");
        out.push_str(&format!("  {} {more} (-v lists all)\n", look.glyphs.ellipsis()));
    }
    out
}

/// Returns whether an object has something to say that needs reading.
fn speaks(object: &ObjectReport) -> bool {
    let troubled = matches!(
        object.outcome,
        ObjectOutcome::Held { .. } | ObjectOutcome::Blocked { .. } | ObjectOutcome::Failed { .. }
    );
    troubled || is_unhealthy(object) || !object.warnings.is_empty()
}

fn is_unhealthy(object: &ObjectReport) -> bool {
    object.health.as_ref().is_some_and(|health| *health != Health::Current)
}

fn object_text(object: &ObjectReport, look: &Look) -> String {
    let (word, why) = outcome_words(&object.outcome);
    let style = match object.outcome {
        ObjectOutcome::Failed { .. } => look::FAIL,
        ObjectOutcome::Blocked { .. } => look::WARN,
        ObjectOutcome::Held { .. } => look::HELD,
        _ => look::PLAIN,
    };
    let id = words::clean(&object.id.to_string());
    let mut out = format!("  {id}  {}", paint(style, word));
    out.push_str(&if why.is_empty() { "\n".to_owned() } else { format!(": {why}\n") });
    let mut more = Vec::new();
    if let ObjectOutcome::Failed { help: Some(help), .. } = &object.outcome {
        more.push(format!("help: {help}"));
    }
    if let Some(health) = object.health.as_ref().filter(|health| **health != Health::Current) {
        let (word, why) = health_words(health);
        more.push(if why.is_empty() { word.to_owned() } else { format!("{word}: {why}") });
    }
    more.extend(object.reasons.iter().cloned());
    more.extend(object.warnings.iter().map(|warning| format!("the server warns: {warning}")));
    for text in more {
        for line in words::wrap(&words::clean(&text), look.prose_width().saturating_sub(6)) {
            out.push_str(&format!("      {line}\n"));
        }
    }
    out
}

#[cfg(test)]
pub(super) mod tests {
    use anstream::adapter::strip_str;
    use sitewright_cluster::{Requests, apply::FORMAT};
    use sitewright_model::{format::blueprint::Hazard, object::Uid, plan::Gate};

    use super::*;
    use crate::output::plan::sample::{self, id};

    fn object(kind: &str, name: &str, outcome: ObjectOutcome) -> ObjectReport {
        ObjectReport {
            id: id(kind, name),
            outcome,
            health: None,
            reasons: Vec::new(),
            warnings: Vec::new(),
        }
    }

    fn report(end: End, components: Vec<(&str, Option<Health>, Vec<ObjectReport>)>) -> Report {
        let plan = sample::everything();
        Report {
            format: FORMAT.into(),
            site: plan.site,
            revision: plan.revision,
            cluster: plan.cluster,
            plan: plan.digest,
            end,
            troubles: Vec::new(),
            components: components
                .into_iter()
                .map(|(name, health, objects)| ComponentReport {
                    name: name.parse().unwrap(),
                    health,
                    unchanged: 3,
                    objects,
                })
                .collect(),
            requests: Requests::default(),
        }
    }

    fn plain(report: &Report, detail: Detail) -> String {
        let look = Look::plain().with_detail(detail);
        strip_str(&text(report, &look, &Invocation::new("sites/lab-gpu"))).to_string()
    }

    /// One object of each outcome.
    fn outcomes() -> Vec<ObjectReport> {
        let gates = vec![
            Gate::Approval { hazard: Hazard::EvictsJobs },
            Gate::Tombstone { uid: Uid("1".into()), because: "data".into() },
        ];
        let waiting = ObjectReport {
            health: Some(Health::InProgress { why: "1 of 2 pods available".into() }),
            reasons: vec!["pod web-1 is Pending: 0/3 nodes are available".into()],
            ..object("Deployment.apps", "lab/web", ObjectOutcome::Updated)
        };
        let warned = ObjectReport {
            warnings: vec!["unknown field \"spec.x\"".into()],
            ..object("ConfigMap", "lab/warned", ObjectOutcome::Created)
        };
        let failed = ObjectOutcome::Failed {
            code: "SW0506".into(),
            message: "data: Invalid value".into(),
            help: Some("mend the template".into()),
        };
        vec![
            waiting,
            warned,
            object("ConfigMap", "lab/adopted", ObjectOutcome::Adopted),
            object("Job.batch", "lab/replaced", ObjectOutcome::Replaced),
            object("ConfigMap", "lab/deleted", ObjectOutcome::Deleted),
            object("Namespace", "released", ObjectOutcome::Released),
            object("ConfigMap", "lab/forgotten", ObjectOutcome::Forgotten),
            object("ConfigMap", "lab/recorded", ObjectOutcome::Recorded),
            object(
                "CephCluster.ceph.rook.io",
                "rook-ceph/rook-ceph",
                ObjectOutcome::Held { gates },
            ),
            object("ConfigMap", "lab/failed", failed),
            object(
                "ConfigMap",
                "lab/after",
                ObjectOutcome::Blocked { by: "ConfigMap lab/failed failed".into() },
            ),
            object("ConfigMap", "lab/late", ObjectOutcome::NotReached),
        ]
    }

    pub(in crate::output) fn sample() -> Report {
        let health = Some(Health::Failed { why: "an object failed".into() });
        report(End::Failed, vec![("app", health, outcomes()), ("quiet", None, vec![])])
    }

    #[test]
    fn everything_that_can_come_of_an_apply() {
        let report = sample();
        insta::assert_snapshot!("folded", plain(&report, Detail::Folded));
        insta::assert_snapshot!("full", plain(&report, Detail::Full));
    }

    #[test]
    fn each_end_says_how_to_go_on() {
        let created = || vec![object("ConfigMap", "lab/a", ObjectOutcome::Created)];
        let held = ObjectOutcome::Held { gates: vec![Gate::Adoption] };
        let waiting = ObjectReport {
            health: Some(Health::InProgress { why: "0 of 2 pods available".into() }),
            ..object("Deployment.apps", "lab/web", ObjectOutcome::Created)
        };
        let ends = [
            report(End::Converged, vec![("app", Some(Health::Current), created())]),
            report(End::Converged, vec![("app", None, vec![])]),
            report(End::Held, vec![("app", None, vec![object("ConfigMap", "lab/a", held)])]),
            report(End::Failed, vec![("app", None, vec![waiting])]),
            report(End::Stopped, vec![("app", None, created())]),
        ];
        let troubled = Report {
            troubles: vec![Trouble {
                code: "SW0505".into(),
                message: "the lock was lost: process 7 on admin-1 has it now".into(),
                help: Some("run the command again: it goes on where this one stopped".into()),
            }],
            ..report(End::Failed, vec![("app", None, created())])
        };
        let ends = ends.into_iter().chain([troubled]);
        let ends: Vec<Report> = ends.collect();
        let told: Vec<String> = ends.iter().map(|report| plain(report, Detail::Folded)).collect();
        insta::assert_snapshot!(told.join("---\n"));
    }
}
