//! From what came of the walk to the report.

use std::collections::BTreeMap;

use sitewright_model::{
    health::Health,
    object::ObjectId,
    plan::{
        Action, ComponentPlan,
        graph::{Consequence, Walk},
    },
};

use super::{
    ComponentReport, End, FORMAT, ObjectOutcome, ObjectReport, Report,
    run::Results,
    scene::{Part, Scene},
};
use crate::Requests;

/// Puts the report together, but for the requests that it took.
pub(super) fn report(scene: &Scene<'_>, walk: &Walk<'_>, results: &Results) -> Report {
    let conclusion = Conclusion { scene, walk, results };
    let components: Vec<ComponentReport> =
        scene.plan.components.iter().map(|component| conclusion.component(component)).collect();
    Report {
        format: FORMAT.to_owned(),
        site: scene.plan.site.clone(),
        revision: scene.plan.revision.clone(),
        cluster: scene.plan.cluster.clone(),
        plan: scene.plan.digest,
        end: end(&components, results),
        troubles: results.troubles.clone(),
        components,
        requests: Requests::default(),
    }
}

struct Conclusion<'c, 'a> {
    scene: &'c Scene<'a>,
    walk: &'c Walk<'c>,
    results: &'c Results,
}

impl Conclusion<'_, '_> {
    fn component(&self, plan: &ComponentPlan) -> ComponentReport {
        let mut unchanged = 0;
        let mut objects = Vec::new();
        for part in plan.changes.iter().filter_map(|change| self.scene.part(&change.id)) {
            let report = self.object(&part);
            let is_sick = report.health.as_ref().is_some_and(|health| !health.is_current());
            if report.outcome == ObjectOutcome::Unchanged && !is_sick {
                unchanged += 1;
            } else {
                objects.push(report);
            }
        }
        let health = worst(objects.iter().filter_map(|object| object.health.as_ref()));
        ComponentReport { name: plan.name.clone(), health, unchanged, objects }
    }

    fn object(&self, part: &Part<'_>) -> ObjectReport {
        let id = &part.change.id;
        let get = |map: &BTreeMap<ObjectId, Vec<String>>| map.get(id).cloned().unwrap_or_default();
        let health = self.results.health.get(id).cloned();
        let is_sick = health.as_ref().is_some_and(|health| !health.is_current());
        ObjectReport {
            id: id.clone(),
            outcome: self.outcome(part),
            reasons: if is_sick { get(&self.results.reasons) } else { Vec::new() },
            health,
            warnings: get(&self.results.warnings),
        }
    }

    fn outcome(&self, part: &Part<'_>) -> ObjectOutcome {
        let id = &part.change.id;
        if let Some(outcome) = self.results.outcomes.get(id) {
            return outcome.clone();
        }
        match self.walk.consequence(id) {
            Some(Consequence::Skipped { because_of }) => {
                ObjectOutcome::Blocked { by: self.trouble(because_of) }
            }
            Some(Consequence::Held) => {
                let gates = part.change.held_by(self.scene.consent).cloned().collect();
                ObjectOutcome::Held { gates }
            }
            _ if part.change.action == Action::None => ObjectOutcome::Unchanged,
            _ if part.is_held(self.scene.consent) => {
                let gates = part.change.held_by(self.scene.consent).cloned().collect();
                ObjectOutcome::Held { gates }
            }
            _ => ObjectOutcome::NotReached,
        }
    }

    /// Says what is the matter with an object that others wait for.
    fn trouble(&self, id: &ObjectId) -> String {
        if let Some(ObjectOutcome::Failed { message, .. }) = self.results.outcomes.get(id) {
            return format!("{id}: {message}");
        }
        let health = self.results.health.get(id).filter(|health| !health.is_current());
        if let Some(health) = health {
            let why = health.why().unwrap_or("it is not there");
            return format!("{id} is not healthy: {why}");
        }
        match self.walk.consequence(id) {
            Some(Consequence::Held) => format!("{id} is held by its gates"),
            _ => format!("{id} failed"),
        }
    }
}

/// Returns the worst health; none where nobody asked.
fn worst<'h>(all: impl Iterator<Item = &'h Health>) -> Option<Health> {
    let rank = |health: &Health| match health {
        Health::Current => 0,
        Health::Unknown { .. } => 1,
        Health::InProgress { .. } => 2,
        Health::Terminating { .. } => 3,
        Health::Missing => 4,
        Health::Failed { .. } => 5,
    };
    all.max_by_key(|health| rank(health)).cloned()
}

fn end(components: &[ComponentReport], results: &Results) -> End {
    let objects = || components.iter().flat_map(|component| &component.objects);
    let is_failed = |object: &ObjectReport| {
        let is_sick = object.health.as_ref().is_some_and(|health| !health.is_current());
        let is_going = matches!(
            object.outcome,
            ObjectOutcome::Deleted | ObjectOutcome::Held { .. } | ObjectOutcome::Released
        );
        matches!(object.outcome, ObjectOutcome::Failed { .. }) || (is_sick && !is_going)
    };
    let waits = |object: &ObjectReport| {
        matches!(object.outcome, ObjectOutcome::Held { .. } | ObjectOutcome::Blocked { .. })
    };
    let is_unreached = |object: &ObjectReport| object.outcome == ObjectOutcome::NotReached;
    if !results.troubles.is_empty() {
        End::Failed
    } else if results.stopped && objects().any(|object| is_unreached(object) || is_failed(object)) {
        End::Stopped
    } else if objects().any(is_failed) {
        End::Failed
    } else if objects().any(|object| waits(object) || is_unreached(object)) {
        End::Held
    } else {
        End::Converged
    }
}
