//! What is said of a commit at its forge: one state, and why.

use sitewright_model::{digest::Digest, health::Health, revision::Revision};

use super::told::ToldCommit;
use crate::{
    agent::{
        state::{Activity, Problem, State},
        status,
    },
    forge::CommitState,
    output::words,
};

/// What is said of a commit.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Verdict {
    /// The commit.
    pub(super) commit: String,
    /// A digest of what was read at it.
    pub(super) inputs: String,
    /// The site, once it was read.
    pub(super) site: Option<String>,
    /// The repository, as people know it.
    pub(super) repository: String,
    /// How it fares.
    pub(super) state: CommitState,
    /// One sentence.
    pub(super) description: String,
    /// What tells it from other verdicts, where the sentence changes all the time.
    gist: String,
}

/// Returns what is to be said; nothing where there is no commit, or nothing is known of it yet.
pub(super) fn verdict(state: &State) -> Option<Verdict> {
    let site = state.site.as_ref().map(ToString::to_string);
    if let Some(origin) = &state.rejected {
        let commit = origin.commit.clone()?;
        let (outcome, description) = broken(state.problem()?);
        let (repository, inputs) = (origin.repository.clone(), short(&commit));
        let gist = description.clone();
        let state = outcome;
        return Some(Verdict { commit, inputs, site, repository, state, description, gist });
    }
    let revision = state.observed.as_ref().filter(|revision| !revision.dirty)?;
    let commit = revision.commit.clone()?;
    let (outcome, description, gist) = judged(state, revision)?;
    let inputs = short(&revision.inputs.to_string());
    let repository = revision.repository.clone();
    Some(Verdict { commit, inputs, site, repository, state: outcome, description, gist })
}

fn judged(state: &State, revision: &Revision) -> Option<(CommitState, String, String)> {
    if let Some(problem) = state.problem() {
        let (outcome, description) = broken(problem);
        return Some((outcome, description.clone(), description));
    }
    if let Some((id, failed)) = state.failed.iter().next() {
        let description = words::clean(&format!("{id}: {}: {}", failed.code, failed.message));
        return Some((CommitState::Failure, description, format!("{id}: {}", failed.code)));
    }
    if let Some((name, taken)) = state.bad.iter().next() {
        let description = words::clean(&format!("{name}: {}", taken.message));
        return Some((CommitState::Failure, description.clone(), description));
    }
    let is_applied =
        state.applied.as_ref().is_some_and(|applied| applied.inputs == revision.inputs);
    match state.activity {
        Activity::Starting => return None,
        // a look at what is applied already says nothing new of it
        Activity::Looking | Activity::Reconciling if is_applied => return None,
        Activity::Looking | Activity::Reconciling => {
            let description = "the cluster is being brought in line".to_owned();
            return Some((CommitState::Pending, description.clone(), description));
        }
        Activity::Resting => {}
    }
    if !is_applied || !state.health_is_known {
        return None;
    }
    if let Some((outcome, description, gist)) = unhealthy(state) {
        return Some((outcome, description, gist));
    }
    if let Some((id, held)) = state.held.iter().next() {
        let gates = status::numbers(&held.gates).join(", ");
        let count = words::held(state.held.len());
        let description = words::clean(&format!("{count}: {id} waits ({gates})"));
        return Some((CommitState::Pending, description.clone(), description));
    }
    let description = "applied and healthy".to_owned();
    Some((CommitState::Success, description.clone(), description))
}

fn broken(problem: &Problem) -> (CommitState, String) {
    let said = format!("{}: {}", problem.code, problem.message);
    if problem.passes {
        (CommitState::Error, format!("tried again: {said}"))
    } else {
        (CommitState::Failure, said)
    }
}

fn unhealthy(state: &State) -> Option<(CommitState, String, String)> {
    let sick = state.components.iter().filter_map(|name| Some((name, state.worst_of(name)?)));
    let failed = |sick: &crate::agent::state::Sick| matches!(sick.health, Health::Failed { .. });
    let (name, (id, sick)) = sick.max_by_key(|(_, (_, sick))| failed(sick))?;
    let outcome = if failed(sick) { CommitState::Failure } else { CommitState::Pending };
    let why = match &sick.health {
        Health::Missing => "it is not there",
        other => other.why().unwrap_or("not healthy"),
    };
    let gist = format!("{name}: {id}");
    Some((outcome, words::clean(&format!("{gist}: {why}")), gist))
}

// === impl Verdict ===

impl Verdict {
    /// Returns what is remembered once this was said, where `told` was before; none where it says nothing new.
    ///
    /// A commit that changes nothing of the site is not its business: what is said stays at the commit where the
    /// inputs came in.
    pub(super) fn after(&self, told: Option<&ToldCommit>) -> Option<ToldCommit> {
        let known = told.filter(|told| told.inputs == self.inputs);
        let commit = known.map_or(&self.commit, |told| &told.commit).clone();
        let said = short(&format!("{:?} {}", self.state, self.gist));
        if known.is_some_and(|told| told.said == said) {
            return None;
        }
        Some(ToldCommit { commit, inputs: self.inputs.clone(), said })
    }
}

fn short(text: &str) -> String {
    Digest::of(text).hex().chars().take(12).collect()
}
