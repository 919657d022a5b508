//! A revision that makes a healthy component unhealthy: it is marked, and held or taken back, until git has another.
//!
//! Comes in: what an apply came to, and the health of components. Goes out: verdicts, which outlive the agent, and what is
//! desired in place of what git has. Never: a way back that does more than the site's policy allows, or that a gate holds.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

use jiff::Timestamp;
use sitewright_cluster::{
    Error,
    apply::{End, Report},
};
use sitewright_model::{
    desired::{Desired, DesiredComponent},
    diagnostic::Diagnostics,
    format::{blueprint::Hazard, unhealthy::UnhealthyPolicy},
    name::ComponentName,
    plan::Plan,
    verdict::{Bad, Fate, Good, Verdicts},
};
use sitewright_source::{Location, Reference};

use super::{
    news::{News, Reason},
    reconcile::{Reconciler, blocking},
    state::Taken,
};
use crate::{output::words, pipeline};

/// What is known of components, and what is being tried.
#[derive(Default)]
pub(super) struct Verdict {
    /// As the cluster remembers it, with what a write is bound to; none before the first look.
    known: Option<(Verdicts, String)>,
    /// The components that are to go back, until a plan has shown what that would do.
    trying: BTreeSet<ComponentName>,
}

impl Reconciler {
    /// Desires, before anything is planned, what is in force: of components that went back, what they went back to.
    ///
    /// # Errors
    /// The cluster does not answer.
    pub(super) async fn put_in_force(&mut self) -> Result<(), Error> {
        let Some(current) = self.current.as_ref().filter(|current| !current.is_in_force) else {
            return Ok(());
        };
        let rendered = Arc::clone(&current.rendered);
        if self.verdict.known.is_none() {
            let known = self.following.cluster.verdicts(&rendered.site).await?;
            self.verdict.known = Some(known);
        }
        self.verdict.trying.clear();
        let Some((verdicts, _)) = &mut self.verdict.known else { return Ok(()) };
        let forgot = verdicts.keep_to(&rendered);
        let went_back: Vec<(ComponentName, Good)> = rendered
            .components
            .iter()
            .filter(|component| {
                verdicts.against(component).is_some_and(|bad| bad.fate == Fate::RolledBack)
            })
            .filter_map(|one| Some((one.name.clone(), verdicts.before(one)?.clone())))
            .collect();
        let mut desired = Arc::clone(&rendered);
        for (name, good) in went_back {
            match self.earlier(&name, &good).await.and_then(|earlier| with(&desired, &earlier)) {
                Ok(back) => desired = Arc::new(back),
                Err(why) => self.hold(&name, why),
            }
        }
        if forgot {
            self.write_verdicts().await?;
        }
        self.tell_verdicts();
        if let Some(current) = &mut self.current {
            current.desired = desired;
            current.is_in_force = true;
        }
        Ok(())
    }

    /// Judges each way back that is being tried by the plan of it; returns whether they may all be gone. Of what may not go
    /// back, what git has is desired again.
    ///
    /// # Errors
    /// The cluster does not answer.
    pub(super) async fn may_go_back(&mut self, plan: &Plan) -> Result<bool, Error> {
        let trying = std::mem::take(&mut self.verdict.trying);
        if trying.is_empty() {
            return Ok(true);
        }
        let mut are_allowed = true;
        for name in &trying {
            let limit = self.current.as_ref().and_then(|current| limit(&current.rendered, name));
            match in_the_way(plan, name, limit) {
                None => {
                    self.set_fate(name, Fate::RolledBack);
                    let message = format!("{name} goes back to what it was when it was healthy");
                    self.reports.tell(Some(News::new(Reason::RolledBack, message)));
                }
                Some(why) => {
                    are_allowed = false;
                    self.hold(name, why);
                }
            }
        }
        if let Some(current) = self.current.as_mut().filter(|_| !are_allowed) {
            current.is_in_force = false;
        }
        self.write_verdicts().await?;
        self.tell_verdicts();
        Ok(are_allowed)
    }

    /// Takes what is known of health where nothing is left to do: what is healthy is what there is to go back to.
    ///
    /// # Errors
    /// The cluster does not answer.
    pub(super) async fn note_health(&mut self, plan: &Plan) -> Result<(), Error> {
        let Some(current) = &self.current else { return Ok(()) };
        let Some((verdicts, _)) = &mut self.verdict.known else { return Ok(()) };
        let is_held = |name: &ComponentName| {
            plan.components.iter().any(|component| {
                component.name == *name
                    && component.changes.iter().any(|change| !change.gates.is_empty())
            })
        };
        let revision = &current.rendered.revision;
        let commit = revision.commit.as_deref().filter(|_| !revision.dirty);
        let mut is_news = false;
        for component in &current.desired.components {
            let is_well = self.state.worst_of(&component.name).is_none();
            if is_well && !is_held(&component.name) {
                is_news |= verdicts.healthy(component, commit);
            }
        }
        if is_news {
            self.write_verdicts().await?;
            self.tell_verdicts();
        }
        Ok(())
    }

    /// Takes what an apply came to: marks what it made unhealthy, and tries the way back where the policy says so.
    ///
    /// # Errors
    /// The cluster does not answer.
    pub(super) async fn judge(&mut self, report: &Report) -> Result<(), Error> {
        if report.end != End::Failed {
            return Ok(());
        }
        let mut marked = false;
        for (component, why) in self.unhealthy_by(report) {
            let Some((verdicts, _)) = &mut self.verdict.known else { return Ok(()) };
            let Some(good) = verdicts.before(&component).cloned() else { continue };
            if verdicts.against(&component).is_some() {
                continue;
            }
            marked = true;
            let name = component.name.clone();
            let bad = Bad {
                revision: report.revision.short(),
                content: component.content(),
                why: why.clone(),
                since: Timestamp::now(),
                fate: Fate::Held { why: "the policy is to hold".to_owned() },
            };
            verdicts.components.entry(name.clone()).or_default().bad = Some(bad);
            let message = format!("{} made {name} unhealthy: {why}", report.revision.short());
            self.reports.tell(Some(News::new(Reason::BadRevision, message)));
            self.try_the_way_back(&name, &good).await;
        }
        if marked {
            self.write_verdicts().await?;
            self.tell_verdicts();
        }
        Ok(())
    }

    async fn try_the_way_back(&mut self, name: &ComponentName, good: &Good) {
        let Some(current) = &self.current else { return };
        if limit(&current.rendered, name).is_none() {
            return;
        }
        let desired = Arc::clone(&current.desired);
        match self.earlier(name, good).await.and_then(|earlier| with(&desired, &earlier)) {
            Ok(back) => {
                if let Some(current) = &mut self.current {
                    current.desired = Arc::new(back);
                }
                self.verdict.trying.insert(name.clone());
                self.look_at_the_whole();
            }
            Err(why) => self.hold(name, why),
        }
    }

    /// Returns the components that the apply left unhealthy, with why.
    fn unhealthy_by(&self, report: &Report) -> Vec<(DesiredComponent, String)> {
        let Some(current) = &self.current else { return Vec::new() };
        let ill = report.components.iter().filter_map(|component| {
            let object = component
                .objects
                .iter()
                .find(|object| object.health.as_ref().is_some_and(|health| !health.is_current()))?;
            let why =
                object.health.as_ref().and_then(|health| health.why()).unwrap_or("it is not there");
            Some((&component.name, words::clean(&format!("{}: {why}", object.id))))
        });
        ill.filter_map(|(name, why)| {
            let component = current.desired.components.iter().find(|one| one.name == *name)?;
            Some((component.clone(), why))
        })
        .collect()
    }

    /// Renders a component as it was when it was healthy.
    async fn earlier(&self, name: &ComponentName, good: &Good) -> Result<DesiredComponent, String> {
        let Some(commit) = good.commit.clone() else {
            return Err("what was healthy before is in no commit".to_owned());
        };
        let Location::Git { repository, path, .. } = self.following.poll.location().clone() else {
            return Err("a working tree has no earlier state".to_owned());
        };
        let location =
            Location::Git { repository, path, reference: Reference::Commit(commit.clone()) };
        let settings = self.following.settings.clone();
        let rendered = blocking(move || {
            let loaded = pipeline::load(&location, &settings)?;
            Ok(pipeline::render(loaded, &settings)?.desired)
        });
        let desired = match rendered.await {
            Ok(desired) => self.served(desired).await,
            Err(error) => Err(error),
        };
        let desired = desired.map_err(|error| first(&error))?;
        let earlier = desired.components.into_iter().find(|component| component.name == *name);
        let is_it = |earlier: &DesiredComponent| earlier.content() == good.content;
        let short: String = commit.chars().take(12).collect();
        earlier
            .filter(is_it)
            .ok_or_else(|| format!("{short} no longer renders to what was healthy"))
    }

    fn hold(&mut self, name: &ComponentName, why: String) {
        let message = format!("{name} does not go back: {why}");
        self.reports.tell(Some(News::new(Reason::BadRevision, message)));
        self.set_fate(name, Fate::Held { why });
    }

    fn set_fate(&mut self, name: &ComponentName, fate: Fate) {
        let Some((verdicts, _)) = &mut self.verdict.known else { return };
        let bad = verdicts.components.get_mut(name).and_then(|verdict| verdict.bad.as_mut());
        if let Some(bad) = bad {
            bad.fate = fate;
        }
    }

    async fn write_verdicts(&mut self) -> Result<(), Error> {
        let Some(site) = self.current.as_ref().map(|current| current.rendered.site.clone()) else {
            return Ok(());
        };
        let Some((verdicts, version)) = self.verdict.known.clone() else { return Ok(()) };
        match self.following.cluster.write_verdicts(&site, &verdicts, &version).await {
            Ok(version) => {
                self.verdict.known = Some((verdicts, version));
                Ok(())
            }
            Err(error) => {
                // another wrote them: they are read again
                self.verdict.known = None;
                if let Some(current) = &mut self.current {
                    current.is_in_force = false;
                }
                Err(error)
            }
        }
    }

    fn tell_verdicts(&mut self) {
        let Some((verdicts, _)) = &self.verdict.known else { return };
        let bad = verdicts.components.iter().filter_map(|(name, verdict)| {
            let bad = verdict.bad.as_ref()?;
            let is_back = bad.fate == Fate::RolledBack;
            let message = match &bad.fate {
                Fate::RolledBack => {
                    format!("{} made it unhealthy ({}), and was taken back", bad.revision, bad.why)
                }
                Fate::Held { why } => {
                    format!("{} made it unhealthy ({}); {why}", bad.revision, bad.why)
                }
            };
            Some((name.clone(), Taken { is_back, message }))
        });
        self.state.bad = bad.collect::<BTreeMap<_, _>>();
    }
}

fn with(desired: &Desired, earlier: &DesiredComponent) -> Result<Desired, String> {
    desired.with_earlier(earlier).map_err(|id| format!("{id} belongs to another component by now"))
}

/// Returns what stands in the way back of a component; none where it may be gone.
fn in_the_way(plan: &Plan, name: &ComponentName, limit: Option<Hazard>) -> Option<String> {
    let component = plan.components.iter().find(|component| component.name == *name)?;
    component.changes.iter().find_map(|change| {
        if !change.gates.is_empty() {
            Some(format!("the way back is held: {}", change.id))
        } else if limit.is_none_or(|limit| change.hazard > limit) {
            Some(format!("the way back {}: {}", change.hazard.name(), change.id))
        } else {
            None
        }
    })
}

/// Returns the worst that a way back of the component may do; none: the policy is to hold.
fn limit(desired: &Desired, name: &ComponentName) -> Option<Hazard> {
    let component = desired.components.iter().find(|component| component.name == *name)?;
    let policy = component.policy.unhealthy.as_ref().or(desired.policy.unhealthy.as_ref());
    policy.and_then(UnhealthyPolicy::limit)
}

fn first(diagnostics: &Diagnostics) -> String {
    let first = diagnostics.0.iter().max_by_key(|one| one.severity);
    first.map(|one| words::clean(&format!("{}: {}", one.code, one.message))).unwrap_or_default()
}
