//! From what the agent knows to the status of a SiteSync.
//!
//! Comes in: a [`State`], and the status before. Goes out: the status now; equal where nothing changed.

use std::collections::{BTreeMap, BTreeSet};

use jiff::Timestamp;
use sitewright_cluster::{
    apply::End,
    sync::{
        AppliedRevision, ComponentStatus, Condition, DriftStatus, HeldStatus, InventoryReference,
        OutcomeStatus, SiteSyncStatus, WaveStatus,
    },
};
use sitewright_model::{
    drain::{DrainStage, NodeStage, WaveNode, WavePlan},
    health::Health,
    name::SiteName,
    object::ObjectId,
    plan::{Drift, DriftedField, Gate, Mended},
    revision::Revision,
    work::Hit,
};

use super::state::{Activity, Drifted, Held, OUTCOMES, Outcome, State};
use crate::output::words;

/// Held changes and drifted objects that a status names; the counts have them all.
const NAMED: usize = 50;

/// Fields of a drifted object that a status names.
pub(super) const FIELDS: usize = 10;

/// Characters of a message: a status is read in a table, and must not outgrow etcd.
const MESSAGE: usize = 400;

/// Returns whether the agent looks whether there is anything to do, and knows nothing yet that the status does not tell:
/// a look that finds nothing, as after a restart, is no news (law 6).
pub(super) fn is_told(state: &State, generation: Option<i64>, before: &SiteSyncStatus) -> bool {
    let is_told = |observed: &Revision| before.observed.as_ref() == Some(&revision(observed));
    matches!(state.activity, Activity::Starting | Activity::Looking)
        && state.problem().is_none()
        && before.observed.is_some()
        && before.observed_generation == generation
        && state.observed.as_ref().is_none_or(is_told)
}

/// Returns the status of a SiteSync of this `generation` after the one that was `before`.
pub(super) fn status(
    state: &State,
    generation: Option<i64>,
    before: &SiteSyncStatus,
    now: Timestamp,
) -> SiteSyncStatus {
    let conditions = conditions(state)
        .into_iter()
        .map(|verdict| verdict.condition(generation, before, now))
        .collect();
    let lasting: Vec<(&ObjectId, &Drifted)> = lasting(state).collect();
    let mut by_hazard = BTreeMap::new();
    for held in state.held.values() {
        *by_hazard.entry(held.hazard.name().to_owned()).or_default() += 1;
    }
    let now_known = SiteSyncStatus {
        observed_generation: generation,
        state: word(state).to_owned(),
        site: state.site.as_ref().map(ToString::to_string),
        observed: state.observed.as_ref().map(revision),
        applied: state.applied.as_ref().map(revision),
        plan: state.plan.map(|plan| plan.0.to_string()),
        conditions,
        components: state.components.iter().map(|name| component(state, name)).collect(),
        held_changes: count(state.held.len()),
        held_by_hazard: by_hazard,
        waves: state.waves.iter().map(wave).collect(),
        held: state.held.iter().take(NAMED).map(|(id, held)| self::held(id, held)).collect(),
        drifted_objects: count(lasting.len()),
        drift: lasting.iter().take(NAMED).map(|(id, drifted)| drift(id, drifted)).collect(),
        notifications: before.notifications.clone(),
        inventory: state.site.as_ref().map(inventory),
        history: state.outcomes.iter().take(OUTCOMES).map(outcome).collect(),
    };
    let is_other_site = now_known.site.is_some() && now_known.site != before.site;
    if is_other_site { now_known } else { carried_on(now_known, before, state.plan.is_some()) }
}

/// Lays what an agent before this one told into a status of the same site: what was applied, what came of it, since when it
/// waits; and until the first plan everything that a plan tells.
fn carried_on(
    mut status: SiteSyncStatus,
    before: &SiteSyncStatus,
    is_planned: bool,
) -> SiteSyncStatus {
    status.site = status.site.or_else(|| before.site.clone());
    status.observed = status.observed.or_else(|| before.observed.clone());
    status.applied = status.applied.or_else(|| before.applied.clone());
    status.inventory = status.inventory.or_else(|| before.inventory.clone());
    // what is not our own came before it, whatever the clock said then: it may have been set back since
    let own: BTreeSet<String> = status.history.iter().map(|outcome| outcome.time.clone()).collect();
    let older = before.history.iter().filter(|outcome| !own.contains(&outcome.time));
    status.history.extend(older.cloned());
    status.history.truncate(OUTCOMES);
    if !is_planned {
        for condition in &mut status.conditions {
            let known = before.conditions.iter().find(|known| known.kind == condition.kind);
            if let Some(known) = known
                && ["Drifted", "Held"].contains(&known.kind.as_str())
            {
                condition.clone_from(known);
            }
        }
        return SiteSyncStatus {
            plan: before.plan.clone(),
            components: before.components.clone(),
            held_changes: before.held_changes,
            held_by_hazard: before.held_by_hazard.clone(),
            held: before.held.clone(),
            drifted_objects: before.drifted_objects,
            drift: before.drift.clone(),
            waves: before.waves.clone(),
            ..status
        };
    }
    for held in &mut status.held {
        let same = before.held.iter().find(|one| {
            (&one.component, &one.object, &one.gates)
                == (&held.component, &held.object, &held.gates)
        });
        held.since = earlier(&held.since, same.map(|same| &same.since));
    }
    for drift in &mut status.drift {
        let same = before
            .drift
            .iter()
            .find(|one| (&one.object, &one.fields) == (&drift.object, &drift.fields));
        drift.since = earlier(&drift.since, same.map(|same| &same.since));
    }
    status
}

fn earlier(since: &String, known: Option<&String>) -> String {
    known.map_or(since, |known| known.min(since)).clone()
}

/// Returns the live objects that differ, and stay so.
pub(super) fn lasting(state: &State) -> impl Iterator<Item = (&ObjectId, &Drifted)> {
    state.drift.iter().filter(|(id, drifted)| lasts(state, id, drifted))
}

/// Returns whether everything is applied and healthy.
pub(super) fn is_ready(state: &State) -> bool {
    ready(state).status == "True"
}

/// Returns the status of a SiteSync that is suspended: what was known stays, and is told to be old.
pub(super) fn suspended(
    generation: Option<i64>,
    before: &SiteSyncStatus,
    now: Timestamp,
) -> SiteSyncStatus {
    let verdict = |kind, status| Verdict {
        kind,
        status,
        reason: "Suspended",
        message: "spec.suspend is true: nothing is read, applied or mended".to_owned(),
    };
    let verdicts = [verdict("Ready", "Unknown"), verdict("Reconciling", "False")];
    let mut conditions: Vec<Condition> =
        verdicts.into_iter().map(|verdict| verdict.condition(generation, before, now)).collect();
    let others = before
        .conditions
        .iter()
        .filter(|condition| !matches!(condition.kind.as_str(), "Ready" | "Reconciling"));
    conditions.extend(others.cloned());
    SiteSyncStatus {
        observed_generation: generation,
        state: "Suspended".to_owned(),
        conditions,
        ..before.clone()
    }
}

/// A condition before it is known since when it holds.
struct Verdict {
    kind: &'static str,
    status: &'static str,
    reason: &'static str,
    message: String,
}

impl Verdict {
    fn condition(
        self,
        generation: Option<i64>,
        before: &SiteSyncStatus,
        now: Timestamp,
    ) -> Condition {
        let known = before.conditions.iter().find(|condition| condition.kind == self.kind);
        let same = known.filter(|condition| condition.status == self.status);
        let since = same.map(|condition| condition.last_transition_time.clone());
        Condition {
            kind: self.kind.to_owned(),
            status: self.status.to_owned(),
            reason: self.reason.to_owned(),
            message: cut(&self.message),
            observed_generation: generation,
            last_transition_time: since.unwrap_or_else(|| seconds(now)),
        }
    }
}

fn conditions(state: &State) -> [Verdict; 5] {
    [ready(state), reconciling(state), stalled(state), drifted(state), held_back(state)]
}

/// Ready: what may go ahead has gone ahead, and everything is healthy. What waits at its gates is told by
/// Held, and is no reason to wake anybody.
fn ready(state: &State) -> Verdict {
    let verdict =
        |status, reason, message: String| Verdict { kind: "Ready", status, reason, message };
    if let Some(problem) = state.problem() {
        return verdict("False", "Failing", format!("{}: {}", problem.code, problem.message));
    }
    if let Some((id, failed)) = state.failed.iter().next() {
        let message = format!("{id}: {}: {}", failed.code, failed.message);
        return verdict("False", "Failing", message);
    }
    if let Some((id, sick)) = state.sick.iter().next() {
        let why = sick.health.why().unwrap_or("it is not there");
        let more = state.sick.len() - 1;
        let more = if more == 0 { String::new() } else { format!(" (and {more} more)") };
        return verdict("False", "Unhealthy", format!("{}: {id}: {why}{more}", sick.component));
    }
    if let Some((name, taken)) = state.bad.iter().find(|(_, taken)| taken.is_back) {
        return verdict("False", "RolledBack", format!("{name}: {}", taken.message));
    }
    if let Some((wave, why)) = stopped_wave(state) {
        return verdict("False", "WaveStopped", format!("{} {}: {why}", wave.component, wave.wave));
    }
    match (state.activity, &state.applied) {
        (Activity::Starting | Activity::Looking | Activity::Reconciling, _) => {
            verdict("Unknown", "Reconciling", "the cluster is being brought in line".to_owned())
        }
        (Activity::Resting, _) if !state.health_is_known => {
            verdict("Unknown", "Reconciling", "health is being asked for".to_owned())
        }
        (Activity::Resting, Some(applied)) => {
            let held = match state.held.len() {
                0 => String::new(),
                count => format!("; {}", words::held(count)),
            };
            let message = format!("{} is applied and healthy{held}", applied.short());
            verdict("True", "Applied", message)
        }
        (Activity::Resting, None) => {
            verdict("Unknown", "Reconciling", "nothing is applied yet".to_owned())
        }
    }
}

fn stopped_wave(state: &State) -> Option<(&WavePlan, &String)> {
    state.waves.iter().find_map(|wave| Some((wave, wave.stopped.as_ref()?)))
}

fn reconciling(state: &State) -> Verdict {
    let is_at_work = state.activity != Activity::Resting;
    let retries = state.problem().is_some_and(|problem| problem.passes);
    let (status, reason, message) = match (is_at_work, retries) {
        (true, _) => ("True", "Working", "the cluster is being brought in line"),
        (false, true) => ("True", "Retrying", "what failed is tried again by itself"),
        (false, false) => ("False", "Resting", "nothing is to be done"),
    };
    Verdict { kind: "Reconciling", status, reason, message: message.to_owned() }
}

/// Stalled: only a commit, or a person, helps (kstatus).
fn stalled(state: &State) -> Verdict {
    let problem = state.problem().filter(|problem| !problem.passes);
    let (status, reason, message) = match problem {
        Some(problem) => ("True", "Failing", format!("{}: {}", problem.code, problem.message)),
        None => ("False", "Works", "nothing stands in the way".to_owned()),
    };
    Verdict { kind: "Stalled", status, reason, message }
}

fn drifted(state: &State) -> Verdict {
    let lasting: Vec<(&ObjectId, &Drifted)> =
        state.drift.iter().filter(|(id, drifted)| lasts(state, id, drifted)).collect();
    let (status, reason, message) = match lasting.first() {
        None => ("False", "AsDesired", "no live field differs".to_owned()),
        Some((id, _)) if state.fights.contains_key(id) => {
            ("True", "Fight", format!("{id} is rewritten again and again"))
        }
        Some((id, drifted)) => {
            let first = fields(drifted).into_iter().next().unwrap_or_else(|| "it".to_owned());
            ("True", "Drifted", format!("{}: {id}: {first}", words::count(lasting.len(), "object")))
        }
    };
    Verdict { kind: "Drifted", status, reason, message }
}

fn held_back(state: &State) -> Verdict {
    let (status, reason, message) = match state.held.iter().next() {
        None => ("False", "NothingHeld", "no change waits".to_owned()),
        Some((id, held)) => {
            let gates = numbers(&held.gates);
            let count = words::count(state.held.len(), "change");
            ("True", "Gated", format!("{count}: {id} waits ({})", gates.join(", ")))
        }
    };
    Verdict { kind: "Held", status, reason, message }
}

fn word(state: &State) -> &'static str {
    match (state.problem(), state.activity) {
        (Some(_), _) => "Failing",
        (None, Activity::Starting) => "Starting",
        (None, Activity::Looking | Activity::Reconciling) => "Reconciling",
        (None, Activity::Resting) if !state.failed.is_empty() => "Failing",
        (None, Activity::Resting) if !state.sick.is_empty() => "Unhealthy",
        (None, Activity::Resting) if stopped_wave(state).is_some() => "Unhealthy",
        (None, Activity::Resting) if state.bad.values().any(|taken| taken.is_back) => "RolledBack",
        (None, Activity::Resting) if !state.health_is_known => "Reconciling",
        (None, Activity::Resting) => "Ready",
    }
}

/// What is mended as soon as it is seen is no news in a status; what stays is.
fn lasts(state: &State, id: &ObjectId, drifted: &Drifted) -> bool {
    drifted.object.mended != Mended::ByApply || state.fights.contains_key(id)
}

fn revision(revision: &Revision) -> AppliedRevision {
    AppliedRevision {
        short: revision.short(),
        commit: revision.commit.clone(),
        inputs: revision.inputs.to_string(),
    }
}

fn component(state: &State, name: &sitewright_model::name::ComponentName) -> ComponentStatus {
    let (health, message) = match state.worst_of(name) {
        Some((id, sick)) => {
            let why = match &sick.health {
                Health::Missing => "it is not there",
                other => other.why().unwrap_or_default(),
            };
            let bad = state.bad.get(name).map(|taken| format!(" ({})", taken.message));
            ("Unhealthy", Some(cut(&format!("{id}: {why}{}", bad.unwrap_or_default()))))
        }
        None if state.bad.contains_key(name) => {
            ("Healthy", state.bad.get(name).map(|taken| cut(&taken.message)))
        }
        None if state.health_is_known => ("Healthy", None),
        None => ("Unknown", None),
    };
    ComponentStatus { name: name.to_string(), health: health.to_owned(), message }
}

/// Returns what a held change waits for.
pub(super) fn held(id: &ObjectId, held: &Held) -> HeldStatus {
    HeldStatus {
        component: held.component.to_string(),
        object: id.to_string(),
        hazard: held.hazard.name().to_owned(),
        gates: numbers(&held.gates),
        message: held.gates.iter().find_map(waits),
        work: held.work.iter().map(work).collect(),
        since: seconds(held.since),
    }
}

/// Returns what a gate waits for, in words that stay the same while nothing changes.
fn waits(gate: &Gate) -> Option<String> {
    match gate {
        Gate::Drain { unknown: Some(unknown), .. } => {
            Some(cut(&format!("it cannot be told what to wait for: {unknown}")))
        }
        Gate::Drain { stage, left, since, deadline, .. } => {
            let left = left.map(|left| format!("{left} jobs or notebooks left to finish"));
            let left = left.unwrap_or_else(|| "running work is not known".to_owned());
            let since = since.map(|since| format!(", waiting since {}", seconds(since)));
            let until = deadline.map(|deadline| format!(", until {}", seconds(deadline)));
            let stage = match stage {
                DrainStage::NotBegun | DrainStage::Waiting => "",
                DrainStage::GaveUp => "; the deadline is over, and everything was given back",
            };
            let (since, until) = (since.unwrap_or_default(), until.unwrap_or_default());
            Some(format!("{left}{since}{until}{stage}"))
        }
        Gate::Window { opens: Some(opens) } => {
            Some(format!("the next window opens {}", seconds(opens.at)))
        }
        _ => None,
    }
}

fn work(hit: &Hit) -> String {
    let whose = hit.person.as_deref().map(|person| format!(" of {person}")).unwrap_or_default();
    let queue = hit.queue.as_deref().map(|queue| format!(", queue {queue}")).unwrap_or_default();
    let since = hit.since.map(|since| format!(", since {}", seconds(since))).unwrap_or_default();
    cut(&format!("{}{whose}{queue}{since}", hit.work))
}

fn wave(wave: &WavePlan) -> WaveStatus {
    let told = |node: &WaveNode| {
        let stage = match &node.stage {
            NodeStage::Pending => return None,
            NodeStage::Waiting => {
                format!("waiting for {}", words::count(node.work.len(), "job"))
            }
            NodeStage::Changing => "being changed".to_owned(),
            NodeStage::GaveUp => "given back at the deadline".to_owned(),
            NodeStage::Broken { why } => format!("did not come back: {why}"),
        };
        Some(cut(&format!("{}: {stage}", node.node)))
    };
    WaveStatus {
        component: wave.component.to_string(),
        wave: wave.wave.clone(),
        done: i64::try_from(wave.done).unwrap_or(i64::MAX),
        left: count(wave.nodes.len()),
        nodes: wave.nodes.iter().filter_map(told).take(FIELDS).collect(),
        stopped: wave.stopped.as_deref().map(cut),
    }
}

/// Returns the numbers of gates.
pub(super) fn numbers(gates: &[Gate]) -> Vec<String> {
    gates.iter().filter_map(Gate::code).map(|code| code.to_string()).collect()
}

fn drift(id: &ObjectId, drifted: &Drifted) -> DriftStatus {
    DriftStatus {
        component: drifted.object.component.to_string(),
        object: id.to_string(),
        fields: fields(drifted).into_iter().take(FIELDS).collect(),
        since: seconds(drifted.since),
    }
}

/// Returns which fields differ, and who changed them.
pub(super) fn fields(drifted: &Drifted) -> Vec<String> {
    let field = |field: &DriftedField| match &field.by {
        Some(by) => {
            let at = by.time.as_deref().map(|time| format!(" at {time}")).unwrap_or_default();
            words::clean(&format!("{} was changed by {}{at}", field.field, by.manager))
        }
        None => words::clean(&format!("{} differs", field.field)),
    };
    match &drifted.object.drift {
        Drift::Deleted => vec!["it was deleted".to_owned()],
        Drift::Unknown => Vec::new(),
        Drift::Changed { fields } => fields.iter().map(field).collect(),
    }
}

fn inventory(site: &SiteName) -> InventoryReference {
    InventoryReference {
        namespace: "sitewright-system".to_owned(),
        selector: format!("sitewright.dev/inventory={site}"),
    }
}

fn outcome(outcome: &Outcome) -> OutcomeStatus {
    let count = |count: u64| i64::try_from(count).unwrap_or(i64::MAX);
    OutcomeStatus {
        time: seconds(outcome.at),
        revision: outcome.revision.clone(),
        plan: outcome.plan.0.to_string(),
        end: end(outcome.end).to_owned(),
        changed: count(outcome.changed),
        failed: count(outcome.failed),
        held: count(outcome.held),
    }
}

/// Returns how an apply ended, in one word.
pub(super) fn end(end: End) -> &'static str {
    match end {
        End::Converged => "Converged",
        End::Held => "Held",
        End::Failed => "Failed",
        End::Stopped => "Stopped",
    }
}

fn count(count: usize) -> i64 {
    i64::try_from(count).unwrap_or(i64::MAX)
}

fn cut(text: &str) -> String {
    words::cut(&words::clean(text), MESSAGE, "…")
}

/// Kubernetes has whole seconds.
pub(super) fn seconds(time: Timestamp) -> String {
    time.strftime("%Y-%m-%dT%H:%M:%SZ").to_string()
}

#[cfg(test)]
mod tests {
    use serde_json::json;
    use sitewright_cluster::apply::End;
    use sitewright_model::{
        digest::Digest,
        format::blueprint::Hazard,
        object::{GroupKind, Shown},
        plan::{Attribution, DriftedObject, PlanDigest},
    };

    use super::{
        super::state::{Problem, Sick, Side},
        *,
    };

    fn at(seconds: i64) -> Timestamp {
        Timestamp::from_second(1_795_000_000 + seconds).unwrap()
    }

    fn id(kind: &str, name: &str) -> ObjectId {
        let namespace = Some("lab".to_owned());
        ObjectId { kind: GroupKind::new("", kind), namespace, name: name.into() }
    }

    fn at_rest() -> State {
        let revision = Revision {
            repository: "https://git.example.edu/lab.git".into(),
            path: "sites/lab".into(),
            reference: Some("main".into()),
            commit: Some("1f3c9e2a01bc4d5e6f708192a3b4c5d6e7f80912".into()),
            dirty: false,
            inputs: Digest::of("inputs"),
        };
        State {
            site: Some("lab".parse().unwrap()),
            observed: Some(revision.clone()),
            applied: Some(revision),
            plan: Some(PlanDigest(Digest::of("plan"))),
            activity: Activity::Resting,
            components: vec!["storage".parse().unwrap(), "queues".parse().unwrap()],
            health_is_known: true,
            outcomes: [Outcome {
                at: at(0),
                revision: "main@1f3c9e2a01bc".into(),
                plan: PlanDigest(Digest::of("plan")),
                end: End::Held,
                changed: 3,
                failed: 0,
                held: 1,
            }]
            .into(),
            ..State::default()
        }
    }

    fn busy() -> State {
        let mut state = at_rest();
        let held = Held {
            component: "storage".parse().unwrap(),
            hazard: Hazard::EvictsJobs,
            gates: vec![Gate::Approval { hazard: Hazard::EvictsJobs }],
            work: Vec::new(),
            since: at(10),
        };
        state.held.insert(id("DaemonSet", "driver"), held);
        let field = DriftedField {
            field: "data.color".into(),
            desired: Shown::Value(json!("blue")),
            live: Shown::Value(json!("red")),
            by: Some(Attribution {
                manager: "kubectl-edit".into(),
                time: Some("2026-11-25T10:00:00Z".into()),
            }),
        };
        let object = DriftedObject {
            component: "queues".parse().unwrap(),
            id: id("ConfigMap", "settings"),
            drift: Drift::Changed { fields: vec![field] },
            mended: Mended::ReportOnly,
        };
        state.drift.insert(object.id.clone(), Drifted { object, since: at(20) });
        let sick = Sick {
            component: "queues".parse().unwrap(),
            health: Health::InProgress { why: "1 of 3 pods is ready".into() },
            since: at(30),
        };
        state.sick.insert(id("Deployment", "manager"), sick);
        state
    }

    fn shown(state: &State, before: &SiteSyncStatus, now: Timestamp) -> String {
        serde_json::to_string_pretty(&status(state, Some(3), before, now)).unwrap()
    }

    #[test]
    fn an_agent_that_comes_back_over_the_same_has_nothing_to_write() {
        for (state, again) in [(at_rest(), at_rest()), (busy(), busy())] {
            let before = status(&state, Some(3), &SiteSyncStatus::default(), at(60));
            let observed = again.observed.clone();
            let start = State::default();
            let look = State { activity: Activity::Looking, observed, ..State::default() };
            assert!(is_told(&start, Some(3), &before) && is_told(&look, Some(3), &before));
            let mut again = State { outcomes: [].into(), ..again };
            again.held.values_mut().for_each(|held| held.since = at(500));
            again.drift.values_mut().for_each(|drifted| drifted.since = at(500));
            assert!(!is_told(&again, Some(3), &before));
            assert_eq!(status(&again, Some(3), &before, at(600)), before);
        }
    }

    #[test]
    fn what_is_news_is_not_kept_back_while_the_agent_looks() {
        let known = status(&at_rest(), Some(3), &SiteSyncStatus::default(), at(60));
        let look = State { activity: Activity::Looking, ..at_rest() };
        assert!(is_told(&look, Some(3), &known));
        assert!(!is_told(&look, Some(4), &known), "its spec changed");
        assert!(!is_told(&look, Some(3), &SiteSyncStatus::default()), "nothing is told yet");
        let work = State { activity: Activity::Reconciling, ..look.clone() };
        assert!(!is_told(&work, Some(3), &known));
        let mut newer = look;
        newer.observed.as_mut().unwrap().commit = Some("ffff".into());
        assert!(!is_told(&newer, Some(3), &known));
    }

    #[test]
    fn a_quiet_site_and_a_busy_one() {
        let none = SiteSyncStatus::default();
        insta::assert_snapshot!("quiet", shown(&at_rest(), &none, at(60)));
        insta::assert_snapshot!("busy", shown(&busy(), &none, at(60)));
    }

    #[test]
    fn a_status_changes_only_where_the_state_does_and_a_condition_keeps_its_time() {
        let before = status(&busy(), Some(3), &SiteSyncStatus::default(), at(60));
        assert_eq!(status(&busy(), Some(3), &before, at(600)), before);
        let after = status(&at_rest(), Some(3), &before, at(600));
        let since = |status: &SiteSyncStatus, kind: &str| {
            let found = status.conditions.iter().find(|condition| condition.kind == kind).unwrap();
            found.last_transition_time.clone()
        };
        assert_ne!(since(&after, "Ready"), since(&before, "Ready"));
        assert_eq!(since(&after, "Reconciling"), since(&before, "Reconciling"));
    }

    #[test]
    fn what_does_not_pass_by_itself_is_stalled_and_a_suspended_site_keeps_what_was_known() {
        let mut state = at_rest();
        let mut problem = Problem {
            code: "SW0102".into(),
            message: "site.yaml:3:1: unknown key `x`".into(),
            passes: false,
            since: at(0),
        };
        state.problems.insert(Side::Git, problem.clone());
        let stalled = |state: &State| {
            let [ready, reconciling, stalled, ..] = conditions(state);
            (ready.status, reconciling.status, stalled.status)
        };
        assert_eq!(stalled(&state), ("False", "False", "True"));
        problem.passes = true;
        state.problems.insert(Side::Git, problem);
        assert_eq!(stalled(&state), ("False", "True", "False"));
        let before = status(&at_rest(), Some(3), &SiteSyncStatus::default(), at(0));
        let suspended = suspended(Some(4), &before, at(60));
        assert_eq!((suspended.state.as_str(), &suspended.applied), ("Suspended", &before.applied));
    }

    #[test]
    fn an_agent_that_is_started_anew_goes_on_with_what_was_told() {
        let before = status(&busy(), Some(3), &SiteSyncStatus::default(), at(60));
        let anew = status(&State::default(), Some(3), &before, at(600));
        assert_eq!(anew.state, "Starting");
        assert_eq!(
            (&anew.applied, &anew.held, &anew.drift, &anew.history),
            (&before.applied, &before.held, &before.drift, &before.history)
        );
        let held = |status: &SiteSyncStatus| {
            status.conditions.iter().find(|condition| condition.kind == "Held").cloned()
        };
        assert_eq!(held(&anew), held(&before));

        let mut again = busy();
        for held in again.held.values_mut() {
            held.since = at(700);
        }
        again.outcomes[0].at = at(650);
        let again = status(&again, Some(3), &anew, at(800));
        assert_eq!(again.held, before.held, "since when it waits is no matter of the agent's life");
        let times: Vec<&str> = again.history.iter().map(|one| one.time.as_str()).collect();
        assert_eq!(times, [seconds(at(650)), seconds(at(0))]);
        // a clock that was set back cuts nothing off
        let mut back = busy();
        back.outcomes[0].at = at(30);
        let back = status(&back, Some(3), &again, at(800));
        let times: Vec<&str> = back.history.iter().map(|one| one.time.as_str()).collect();
        assert_eq!(times, [seconds(at(30)), seconds(at(650)), seconds(at(0))]);

        let released = status(&at_rest(), Some(3), &again, at(900));
        assert_eq!((released.held_changes, released.held.len()), (0, 0));
        let other = State { site: Some("other".parse().unwrap()), ..State::default() };
        assert_eq!(status(&other, Some(3), &before, at(900)).applied, None);
    }

    #[test]
    fn a_status_of_many_troubles_stays_small() {
        let mut state = busy();
        let long = "x".repeat(250);
        for index in 0..5_000 {
            let held = state.held.values().next().unwrap().clone();
            state.held.insert(id("ConfigMap", &format!("{long}-{index}")), held);
            let drifted = state.drift.values().next().unwrap().clone();
            state.drift.insert(id("Secret", &format!("{long}-{index}")), drifted);
        }
        for _ in 0..100 {
            state.outcomes.push_front(state.outcomes[0].clone());
        }
        let status = status(&state, Some(3), &SiteSyncStatus::default(), at(0));
        assert_eq!((status.held_changes, status.history.len()), (5_001, OUTCOMES));
        let bytes = serde_json::to_vec(&status).unwrap().len();
        assert!(bytes < 200_000, "{bytes}");
    }
}
