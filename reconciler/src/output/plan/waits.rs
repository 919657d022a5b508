//! What waits, why, and the exact way out of each wait.

use std::collections::BTreeMap;

use sitewright_model::{
    code::Code,
    drain::DrainStage,
    health::finalizers::served,
    name::ComponentName,
    object::ObjectId,
    plan::{Action, Change, Gate, Opening, Plan},
};

use super::{Invocation, work};
use crate::output::words;

/// Changes that wait for the same thing, and how to go on.
pub(super) struct Wait<'a> {
    /// What they wait for, in a word or two.
    pub(super) title: &'static str,
    /// The number of its page; none where it is what the site asked for.
    pub(super) code: Option<Code>,
    /// The rule behind it, in a sentence.
    pub(super) rule: String,
    /// The changes.
    pub(super) items: Vec<WaitItem<'a>>,
    /// What a person can do about it.
    pub(super) ways: Vec<Way>,
}

/// One change that waits.
pub(super) struct WaitItem<'a> {
    /// Its component.
    pub(super) component: &'a ComponentName,
    /// The change.
    pub(super) change: &'a Change,
    /// Why it waits, one sentence each.
    pub(super) reasons: Vec<String>,
}

/// A way out.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Way {
    /// Something to do or to know.
    Advice(String),
    /// YAML to paste.
    Paste {
        /// Where it goes.
        into: String,
        /// The YAML.
        yaml: String,
    },
    /// A command to run.
    Run {
        /// What it does.
        does: String,
        /// The command.
        command: String,
    },
}

/// What a gate waits for, without its details: gates of one kind are shown together, in this order.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Kind {
    Tombstone,
    EmptyRendering,
    BlastRadius,
    Approval,
    Window,
    Drain,
    OtherSite,
    Conflict,
    Adoption,
    Refused,
    UnprovenReplacement,
    MissingEvidence,
    Terminating,
    ReportOnly,
}

fn kind(gate: &Gate) -> Kind {
    match gate {
        Gate::Approval { .. } => Kind::Approval,
        Gate::Window { .. } => Kind::Window,
        Gate::Drain { .. } => Kind::Drain,
        Gate::Tombstone { .. } => Kind::Tombstone,
        Gate::EmptyRendering { .. } => Kind::EmptyRendering,
        Gate::BlastRadius { .. } => Kind::BlastRadius,
        Gate::Conflict { .. } => Kind::Conflict,
        Gate::Adoption => Kind::Adoption,
        Gate::OtherSite { .. } => Kind::OtherSite,
        Gate::Refused { .. } => Kind::Refused,
        Gate::MissingEvidence { .. } => Kind::MissingEvidence,
        Gate::ReportOnly => Kind::ReportOnly,
        Gate::Terminating { .. } => Kind::Terminating,
        Gate::UnprovenReplacement { .. } => Kind::UnprovenReplacement,
    }
}

/// Returns everything in `plan` that waits, likes together.
pub(super) fn waits<'a>(plan: &'a Plan, invocation: &Invocation) -> Vec<Wait<'a>> {
    let mut groups: BTreeMap<Kind, Vec<Held<'a>>> = BTreeMap::new();
    for (component, change) in plan.changes() {
        // What another site owns conflicts in its labels too; taking those over would be no way out.
        let others = change.gates.iter().any(|gate| kind(gate) == Kind::OtherSite);
        for gate in change.gates.iter().filter(|gate| !(others && kind(gate) == Kind::Conflict)) {
            let held = Held { component: &component.name, change, gate };
            groups.entry(kind(gate)).or_default().push(held);
        }
    }
    let site_file = site_file(plan);
    groups.into_iter().map(|(kind, held)| wait(kind, &held, plan, &site_file, invocation)).collect()
}

/// Returns in a few words what a change waits for, for example `tombstone, approval`; the numbers
/// stand in the section on what is held.
pub(super) fn short(change: &Change) -> String {
    let words: Vec<String> = distinct(&change.gates).into_iter().map(|(words, _)| words).collect();
    words.join(", ")
}

/// Returns in a few words what an approval has opened, for example `approval, blast radius`.
pub(super) fn approved(change: &Change) -> String {
    let words: Vec<String> =
        distinct(&change.approved).into_iter().map(|(words, _)| words).collect();
    words.join(", ")
}

/// Returns in a few words what holds something and where to read on, for example
/// `tombstone [SW0401], approval [SW0402]`.
pub(crate) fn gates_phrase(gates: &[Gate]) -> String {
    let words: Vec<String> = distinct(gates)
        .into_iter()
        .map(|(words, code)| match code {
            Some(code) => format!("{words} [{code}]"),
            None => words,
        })
        .collect();
    words.join(", ")
}

/// Returns each kind of gate once, in words and with its number.
fn distinct(gates: &[Gate]) -> Vec<(String, Option<Code>)> {
    let mut kinds: Vec<(Kind, Option<Code>)> =
        gates.iter().map(|gate| (kind(gate), gate.code())).collect();
    kinds.sort_unstable();
    kinds.dedup();
    kinds.into_iter().map(|(kind, code)| (title(kind).to_lowercase(), code)).collect()
}

/// Returns what a gate waits for, in a word or two.
pub(crate) fn gate_title(gate: &Gate) -> &'static str {
    title(kind(gate))
}

/// Returns why one gate holds a change, and when it opens where that is known; one sentence each.
pub(crate) fn why_it_waits(
    component: &ComponentName,
    change: &Change,
    gate: &Gate,
    plan: &Plan,
) -> Vec<String> {
    let mut why = reasons(&Held { component, change, gate }, plan);
    if let Gate::Window { opens: Some(Opening { at, timezone }) } = gate {
        let at = words::time_in(*at, timezone);
        why.push(format!("the next window opens {at}"));
    }
    why
}

/// Returns the command that tells more of what is held, and the numbers that it can be asked for
/// too, in brackets; none where no gate has a number.
pub(super) fn for_more(waits: &[Wait<'_>]) -> Option<(String, String)> {
    let mut codes: Vec<Code> = waits.iter().filter_map(|wait| wait.code).collect();
    codes.sort_unstable();
    let (first, others) = codes.split_first()?;
    let others: Vec<String> = others.iter().map(Code::to_string).collect();
    let or = if others.is_empty() { String::new() } else { format!(" (or {})", others.join(", ")) };
    Some((format!("sitewright explain {first}"), or))
}

struct Held<'a> {
    component: &'a ComponentName,
    change: &'a Change,
    gate: &'a Gate,
}

fn wait<'a>(
    kind: Kind,
    held: &[Held<'a>],
    plan: &Plan,
    site_file: &str,
    invocation: &Invocation,
) -> Wait<'a> {
    let items = held
        .iter()
        .map(|held| WaitItem {
            component: held.component,
            change: held.change,
            reasons: reasons(held, plan),
        })
        .collect();
    let rule = rule(kind, held, plan);
    let ways = ways(kind, held, plan, site_file, invocation);
    let code = held.iter().find_map(|held| held.gate.code());
    Wait { title: title(kind), code, rule, items, ways }
}

fn title(kind: Kind) -> &'static str {
    match kind {
        Kind::Tombstone => "Tombstone",
        Kind::EmptyRendering => "Empty rendering",
        Kind::BlastRadius => "Blast radius",
        Kind::Approval => "Approval",
        Kind::Window => "Maintenance window",
        Kind::Drain => "Draining",
        Kind::OtherSite => "Other site",
        Kind::Conflict => "Conflict",
        Kind::Adoption => "Adoption",
        Kind::Refused => "Refused",
        Kind::UnprovenReplacement => "Unproven replacement",
        Kind::MissingEvidence => "Missing evidence",
        Kind::Terminating => "Terminating",
        Kind::ReportOnly => "Report only",
    }
}

fn rule(kind: Kind, held: &[Held<'_>], plan: &Plan) -> String {
    let text = match kind {
        Kind::Tombstone => {
            "What holds data is deleted only when the site file names it, with its UID."
        }
        Kind::EmptyRendering => "The site renders to no objects at all, and it owns some.",
        Kind::BlastRadius => return blast_radius(held),
        Kind::Approval => "These changes hit running work; a person approves exactly this plan.",
        Kind::Window => return window(held, plan),
        Kind::Drain => "Running jobs and notebooks that these changes would hit finish first.",
        Kind::OtherSite => "An object belongs to one site only.",
        Kind::Conflict => "Another field manager owns fields that the site sets.",
        Kind::Adoption => "It is already on the cluster and belongs to no site.",
        Kind::Refused => "The server, or the kind's schema, does not accept it.",
        Kind::UnprovenReplacement => {
            "An object is deleted to be created anew only after a dry run accepted the new one."
        }
        Kind::MissingEvidence => {
            "A guard could not look at what it must see before this goes ahead."
        }
        Kind::Terminating => "It is being deleted, and finalizers hold it.",
        Kind::ReportOnly => "The policy is to report drift and leave it.",
    };
    text.to_owned()
}

fn blast_radius(held: &[Held<'_>]) -> String {
    let numbers = held.iter().find_map(|held| match held.gate {
        Gate::BlastRadius { wanted, allowed } => Some((*wanted, *allowed)),
        _ => None,
    });
    match numbers {
        Some((wanted, allowed)) => {
            format!("The plan deletes or replaces {wanted} objects; the site allows {allowed}.")
        }
        None => "The plan deletes or replaces more than the site allows.".to_owned(),
    }
}

fn window(held: &[Held<'_>], plan: &Plan) -> String {
    let opening = held.iter().find_map(|held| match held.gate {
        Gate::Window { opens } => opens.as_ref(),
        _ => None,
    });
    let closed = "These changes hit running work, and no maintenance window is open.";
    match opening {
        Some(Opening { at, timezone }) => format!(
            "{closed} The next one opens {}, {}.",
            words::time_in(*at, timezone),
            words::until(plan.made, *at)
        ),
        None => format!("{closed} None of them opens within two weeks."),
    }
}

fn reasons(held: &Held<'_>, plan: &Plan) -> Vec<String> {
    match held.gate {
        Gate::Approval { .. } | Gate::Window { .. } => {
            danger(held.change).into_iter().chain(work::sentence(held.change)).collect()
        }
        Gate::Drain { .. } => {
            // where it cannot be told, the gate says so
            let told = work::sentence(held.change)
                .filter(|_| !matches!(held.gate, Gate::Drain { unknown: Some(_), .. }));
            let drain = work::drain(held.gate, plan.made);
            danger(held.change).into_iter().chain(told).chain([drain]).collect()
        }
        Gate::Tombstone { because, .. } | Gate::MissingEvidence { because } => {
            vec![words::clean(because)]
        }
        Gate::BlastRadius { .. }
        | Gate::EmptyRendering { .. }
        | Gate::Adoption
        | Gate::ReportOnly => Vec::new(),
        Gate::Conflict { fields } => fields
            .iter()
            .map(|(manager, field)| {
                format!("{} is owned by {}", words::clean(trimmed(field)), words::clean(manager))
            })
            .collect(),
        Gate::OtherSite { site } => vec![format!("site {} owns it", words::clean(site))],
        Gate::Refused { causes } | Gate::UnprovenReplacement { causes } => {
            causes.iter().map(|cause| words::clean(cause)).collect()
        }
        Gate::Terminating { finalizers } if finalizers.is_empty() => {
            vec!["no finalizer is left; it goes any moment".to_owned()]
        }
        Gate::Terminating { finalizers } => {
            let kind = &held.change.id.kind.kind;
            let told = |name: &String| format!("held by {}", words::clean(&served(name, kind)));
            finalizers.iter().map(told).collect()
        }
    }
}

fn danger(change: &Change) -> Vec<String> {
    if change.because.is_empty() {
        return vec![format!("it {}", hazard_verb(change.hazard))];
    }
    change.because.iter().map(|because| words::clean(because)).collect()
}

fn hazard_verb(hazard: sitewright_model::format::blueprint::Hazard) -> &'static str {
    use sitewright_model::format::blueprint::Hazard;
    match hazard {
        Hazard::Safe => "touches nothing that runs",
        Hazard::RestartsPods => "restarts pods",
        Hazard::EvictsJobs => "evicts jobs",
        Hazard::RebootsNode => "reboots a node",
        Hazard::DestroysData => "destroys data",
    }
}

fn ways(
    kind: Kind,
    held: &[Held<'_>],
    plan: &Plan,
    site_file: &str,
    invocation: &Invocation,
) -> Vec<Way> {
    match kind {
        Kind::Tombstone => vec![Way::Paste {
            into: format!(
                "If the data may go, add this to {site_file}, give the reason, and commit"
            ),
            yaml: tombstones(held),
        }],
        Kind::Approval => approve(plan, invocation),
        Kind::Window => past_the_window(plan, invocation),
        Kind::Drain => past_the_draining(held, plan, invocation),
        Kind::BlastRadius => {
            let advice = Way::Advice(format!(
                "If they are not all meant to go, undo what removed them. If this is usual for the \
                 site, raise `spec.policy.limits` in {site_file}."
            ));
            [advice].into_iter().chain(approve(plan, invocation)).collect()
        }
        Kind::EmptyRendering => vec![Way::Advice(format!(
            "If everything is meant to go, set `spec.policy.limits.deletes: 100%` in {site_file}; \
             else undo what emptied it."
        ))],
        Kind::Conflict => take_overs(held, site_file),
        Kind::Adoption => adoptions(held, site_file),
        Kind::OtherSite => vec![Way::Advice(
            "Remove it from one of the two sites; the other takes it over when it is released."
                .to_owned(),
        )],
        Kind::Refused => vec![Way::Advice(
            "Mend the values or the template that the object comes from, and plan again."
                .to_owned(),
        )],
        Kind::UnprovenReplacement => vec![Way::Advice(
            "Keep the immutable fields as they are, or mend what the dry run refuses.".to_owned(),
        )],
        Kind::MissingEvidence => vec![Way::Advice(format!(
            "`{}` tells which rights are missing; plan again when the cluster answers.",
            invocation.command("doctor", "")
        ))],
        Kind::Terminating => vec![Way::Advice(
            "Find out why the controller that serves the finalizer does not finish; removing a \
             finalizer by hand skips its clean-up."
                .to_owned(),
        )],
        Kind::ReportOnly => {
            vec![Way::Advice("Set `policy.drift: enforce` where it should be mended.".to_owned())]
        }
    }
}

fn approve(plan: &Plan, invocation: &Invocation) -> Vec<Way> {
    let mut changes = plan.changes();
    let waits =
        changes.any(|(_, change)| change.gates.iter().any(|gate| kind(gate) == Kind::Window));
    let past = if waits { ", and not wait for the maintenance window" } else { "" };
    let now = named(plan, invocation, format!("To approve and apply exactly this plan now{past}"));
    let in_git = invocation.approve(&plan.digest).map(|command| Way::Run {
        does: "To approve it by a file in git, for whoever applies it then".to_owned(),
        command,
    });
    [now].into_iter().chain(in_git).collect()
}

fn past_the_window(plan: &Plan, invocation: &Invocation) -> Vec<Way> {
    let waits = "An apply does them once a window is open.".to_owned();
    let does = "To approve and apply exactly this plan now, and not wait for it".to_owned();
    vec![Way::Advice(waits), named(plan, invocation, does)]
}

fn past_the_draining(held: &[Held<'_>], plan: &Plan, invocation: &Invocation) -> Vec<Way> {
    let stages = || {
        held.iter().filter_map(|held| match held.gate {
            Gate::Drain { stage, .. } => Some(*stage),
            _ => None,
        })
    };
    let mut ways = Vec::new();
    if stages().any(|stage| stage != DrainStage::GaveUp) {
        ways.push(Way::Advice(
            "The agent lets nothing new start there, waits, does them, and gives queues and nodes back."
                .to_owned(),
        ));
    }
    if stages().any(|stage| stage == DrainStage::GaveUp) {
        ways.push(Way::Advice(
            "What was given back at the deadline is not tried again by itself until the change, or the \
             component's `policy.drain`, is another."
                .to_owned(),
        ));
    }
    let does = "To approve and apply exactly this plan now, and hit what runs".to_owned();
    ways.push(named(plan, invocation, does));
    ways
}

fn named(plan: &Plan, invocation: &Invocation, does: String) -> Way {
    Way::Run { does, command: invocation.command("apply", &format!("--plan {}", plan.digest.0)) }
}

fn tombstones(held: &[Held<'_>]) -> String {
    let mut yaml = "spec:\n  tombstones:\n".to_owned();
    for held in held {
        let Gate::Tombstone { uid, .. } = held.gate else { continue };
        let id = &held.change.id;
        yaml.push_str(&format!("    - kind: {}\n", scalar(&id.kind.to_string())));
        yaml.push_str(&format!("      name: {}\n", scalar(&id.name)));
        if let Some(namespace) = &id.namespace {
            yaml.push_str(&format!("      namespace: {}\n", scalar(namespace)));
        }
        yaml.push_str(&format!("      uid: {}\n", scalar(&uid.0)));
        let may = match held.change.action {
            Action::Update { .. } | Action::Adopt { .. } => {
                yaml.push_str("      allows: update\n");
                "its data may go"
            }
            _ => "it may go",
        };
        yaml.push_str(&format!("      reason: \"\"   # why {may}\n"));
    }
    yaml
}

fn take_overs(held: &[Held<'_>], site_file: &str) -> Vec<Way> {
    let mut by_component: BTreeMap<&ComponentName, Vec<String>> = BTreeMap::new();
    for held in held {
        let Gate::Conflict { fields } = held.gate else { continue };
        let rules = by_component.entry(held.component).or_default();
        for (manager, field) in fields {
            rules.push(take_over(&held.change.id, trimmed(field), manager));
        }
    }
    let mut ways: Vec<Way> = by_component
        .into_iter()
        .map(|(component, rules)| Way::Paste {
            into: format!(
                "To take the fields over, add this to component {component} in {site_file}"
            ),
            yaml: format!("policy:\n  takeOver:\n{}", rules.concat()),
        })
        .collect();
    ways.push(Way::Advice(
        "To leave the fields to their owner, take them out of the site, or list them under \
         `policy.ignore`."
            .to_owned(),
    ));
    ways
}

fn take_over(id: &ObjectId, field: &str, manager: &str) -> String {
    let mut parts = vec![format!("kind: {}", scalar(&id.kind.to_string()))];
    parts.push(format!("name: {}", scalar(&id.name)));
    if let Some(namespace) = &id.namespace {
        parts.push(format!("namespace: {}", scalar(namespace)));
    }
    if !field.is_empty() {
        parts.push(format!("field: {}", scalar(field)));
    }
    parts.push(format!("manager: {}", scalar(manager)));
    format!("    - {{ {} }}\n", parts.join(", "))
}

fn adoptions(held: &[Held<'_>], site_file: &str) -> Vec<Way> {
    let mut components: Vec<&str> = held.iter().map(|held| held.component.as_str()).collect();
    components.dedup();
    vec![Way::Paste {
        into: format!(
            "If it is the same thing, add this to component {} in {site_file}",
            words::list(&components)
        ),
        yaml: "policy:\n  adopt: true\n".to_owned(),
    }]
}

fn site_file(plan: &Plan) -> String {
    let path = words::clean(plan.revision.path.trim_end_matches('/'));
    if path.is_empty() || path == "." { "site.yaml".into() } else { format!("{path}/site.yaml") }
}

/// Returns a field as people write it: the server leads it by a dot.
fn trimmed(field: &str) -> &str {
    field.strip_prefix('.').unwrap_or(field)
}

/// Returns `text` as a YAML scalar: bare where every YAML reader takes it for this text, else quoted.
fn scalar(text: &str) -> String {
    let starts = text.starts_with(|first: char| first.is_ascii_alphabetic());
    let bare =
        text.chars().all(|c| c.is_ascii_alphanumeric() || matches!(c, '.' | '-' | '_' | '/'));
    let word = matches!(
        text.to_ascii_lowercase().as_str(),
        "y" | "n" | "yes" | "no" | "on" | "off" | "true" | "false" | "null"
    );
    if starts && bare && !word {
        text.to_owned()
    } else {
        words::clean(&serde_json::Value::from(text).to_string())
    }
}

#[cfg(test)]
mod tests {
    use super::scalar;

    #[test]
    fn scalars_are_quoted_where_yaml_would_read_something_else() {
        assert_eq!(scalar("rook-ceph"), "rook-ceph");
        assert_eq!(scalar("CephCluster.ceph.rook.io"), "CephCluster.ceph.rook.io");
        assert_eq!(scalar("on"), "\"on\"");
        assert_eq!(scalar("1e5"), "\"1e5\"");
        assert_eq!(scalar("spec.ports[port=80]"), "\"spec.ports[port=80]\"");
        assert_eq!(scalar(""), "\"\"");
    }
}
