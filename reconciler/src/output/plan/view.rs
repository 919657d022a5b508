//! A plan as people look at it: counted, held changes first, likes of a kind folded together.

use std::collections::BTreeMap;

use anstyle::Style;
use sitewright_model::{
    format::blueprint::Hazard,
    object::GroupKind,
    plan::{Action, Change, ComponentPlan, Gate, Judged, Plan, SeenApproval, Standing},
};

use crate::output::{
    look::{self, Detail, Look},
    words,
};

/// More creates than this, of one component and without hazard or gate, are told by kind.
const FOLD_FROM: usize = 13;
/// So many custom objects that are created are told by name; more are told by kind.
const NAMED: usize = 24;
/// Objects of one component that get a line of their own, unless everything is asked for.
const LINES_PER_COMPONENT: usize = 60;

/// How many objects of each fate.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Tally {
    /// Created.
    pub create: usize,
    /// Updated.
    pub update: usize,
    /// Adopted.
    pub adopt: usize,
    /// Deleted and created anew.
    pub replace: usize,
    /// Deleted.
    pub delete: usize,
    /// Left on the cluster, no longer ours.
    pub release: usize,
    /// Struck from the inventory, since they are gone.
    pub forget: usize,
    /// Whose record in the inventory is renewed.
    pub record: usize,
    /// Waiting for something, whatever is to become of them.
    pub held: usize,
    /// As desired.
    pub unchanged: usize,
}

impl Tally {
    /// Counts `changes`.
    pub fn of<'a>(changes: impl IntoIterator<Item = &'a Change>) -> Self {
        let mut tally = Self::default();
        for change in changes {
            *tally.place(change) += 1;
        }
        tally
    }

    /// Counts a whole plan.
    pub fn of_plan(plan: &Plan) -> Self {
        Self::of(plan.changes().map(|(_, change)| change))
    }

    fn place(&mut self, change: &Change) -> &mut usize {
        if !change.gates.is_empty() {
            return &mut self.held;
        }
        match change.action {
            Action::None => &mut self.unchanged,
            Action::Record => &mut self.record,
            Action::Create => &mut self.create,
            Action::Update { .. } => &mut self.update,
            Action::Adopt { .. } => &mut self.adopt,
            Action::Replace { .. } => &mut self.replace,
            Action::Delete { .. } => &mut self.delete,
            Action::Release { .. } => &mut self.release,
            Action::Forget => &mut self.forget,
            Action::Unknown => &mut self.held,
        }
    }

    /// Returns how many objects an apply would touch now.
    pub fn applicable(&self) -> usize {
        self.create
            + self.update
            + self.adopt
            + self.replace
            + self.delete
            + self.release
            + self.forget
    }

    /// Returns whether there is nothing to do and nothing waits.
    pub fn is_quiet(&self) -> bool {
        self.applicable() + self.held == 0
    }

    /// Returns the counts that are not zero, for example `12 to create, 3 to update, 1 held`.
    pub fn phrase(&self) -> String {
        let counts = [
            (self.create, "to create"),
            (self.update, "to update"),
            (self.adopt, "to adopt"),
            (self.replace, "to replace"),
            (self.delete, "to delete"),
            (self.release, "to release"),
            (self.forget, "to forget"),
            (self.held, "held"),
            (self.record, "to record"),
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

/// Returns the symbol of an action and its style.
pub(super) fn symbol(action: &Action) -> (&'static str, Style) {
    match action {
        Action::None | Action::Record => ("=", look::DIM),
        Action::Create => ("+", look::CREATE),
        Action::Update { .. } => ("~", look::UPDATE),
        Action::Adopt { .. } => (">", look::CREATE),
        Action::Replace { .. } => ("-/+", look::DELETE),
        Action::Delete { .. } => ("-", look::DELETE),
        Action::Release { .. } => ("<", look::UPDATE),
        Action::Forget => ("x", look::DIM),
        Action::Unknown => ("?", look::HELD),
    }
}

/// A symbol, its meaning, and the actions that it stands for.
type Legend = (&'static str, &'static str, fn(&Action) -> bool);

/// Returns the symbols that occur in the plan, with their meaning.
pub(super) fn legend(plan: &Plan) -> String {
    let all: [Legend; 8] = [
        ("+", "create", |action| matches!(action, Action::Create)),
        ("~", "update", |action| matches!(action, Action::Update { .. })),
        (">", "adopt", |action| matches!(action, Action::Adopt { .. })),
        ("-/+", "replace", |action| matches!(action, Action::Replace { .. })),
        ("-", "delete", |action| matches!(action, Action::Delete { .. })),
        ("<", "release", |action| matches!(action, Action::Release { .. })),
        ("x", "forget", |action| matches!(action, Action::Forget)),
        ("?", "cannot be said", |action| matches!(action, Action::Unknown)),
    ];
    let changes = || plan.changes().map(|(_, change)| change);
    let mut parts: Vec<String> = all
        .iter()
        .filter(|(_, _, is)| changes().any(|change| is(&change.action)))
        .map(|(symbol, what, _)| format!("{symbol} {what}"))
        .collect();
    if changes().any(is_held) {
        parts.insert(0, "! held".to_owned());
    }
    parts.join(", ")
}

/// Returns the name of a hazard as the formats write it.
pub(crate) fn hazard_name(hazard: Hazard) -> &'static str {
    hazard.name()
}

/// Returns whether a change waits for something.
pub(super) fn is_held(change: &Change) -> bool {
    !change.gates.is_empty()
}

/// Returns whether a change is worth a line.
pub(super) fn is_visible(change: &Change) -> bool {
    is_held(change) || !matches!(change.action, Action::None | Action::Record)
}

/// The mark of a change that a schema judged in the server's place.
const BY_SCHEMA: &str = "[by schema]";
/// The mark of a change that nobody judged yet.
const NOT_JUDGED: &str = "[not judged yet]";

/// Returns the mark of how sure the plan is, where that needs saying; [`footnotes`] explain it.
pub(super) fn doubt(change: &Change) -> Option<&'static str> {
    match &change.judged {
        Judged::Digest | Judged::Server => None,
        Judged::Schema => Some(BY_SCHEMA),
        Judged::NotYet { .. } => Some(NOT_JUDGED),
    }
}

/// Returns what the marks in a plan mean, one paragraph each.
pub(super) fn footnotes(plan: &Plan) -> Vec<String> {
    let mut reasons: BTreeMap<String, usize> = BTreeMap::new();
    let mut by_schema = false;
    for (_, change) in plan.changes().filter(|(_, change)| is_visible(change)) {
        match &change.judged {
            Judged::Digest | Judged::Server => {}
            Judged::Schema => by_schema = true,
            Judged::NotYet { why } => *reasons.entry(words::clean(why)).or_default() += 1,
        }
    }
    let mut notes = Vec::new();
    if by_schema {
        notes.push(format!(
            "{BY_SCHEMA} The server does not know the kind yet, so the kind's own schema was \
             asked; the server judges when it is applied."
        ));
    }
    if !reasons.is_empty() {
        let reasons: Vec<String> = reasons
            .into_iter()
            .map(|(why, count)| format!("{why} ({})", words::count(count, "object")))
            .collect();
        notes.push(format!(
            "{NOT_JUDGED} The server can judge it only when it is applied: {}.",
            reasons.join("; ")
        ));
    }
    notes.extend(plan.unmatched.iter().map(|unmatched| {
        let (wave, why) = (words::clean(&unmatched.wave), words::clean(&unmatched.why));
        format!("The wave {wave} of {} {why}.", unmatched.component)
    }));
    notes.extend(other_approvals(plan));
    notes
}

/// Returns the file that approves the plan, as people are told of it.
pub(super) fn approved_by(plan: &Plan) -> Option<String> {
    let SeenApproval { file, committed, .. } = plan.approval()?;
    let doubt = if *committed { "" } else { " (not committed)" };
    Some(format!("{}{doubt}", words::clean(file)))
}

/// Returns what is to be said of approvals that do not approve this plan, where something waits for one.
fn other_approvals(plan: &Plan) -> Vec<String> {
    /// Files of other plans that are named: old ones stay in git.
    const NAMED: usize = 3;
    let waits = |change: &Change| change.gates.iter().any(Gate::opens_by_approval);
    if !plan.changes().any(|(_, change)| waits(change)) {
        return Vec::new();
    }
    let mut notes = Vec::new();
    let mut others = Vec::new();
    for SeenApproval { file, standing, .. } in &plan.approvals {
        let file = words::clean(file);
        match standing {
            Standing::Approves => {}
            Standing::Expired { until } => notes.push(format!(
                "{file} approved this plan until {}; it opens nothing now.",
                words::clean(until)
            )),
            Standing::OtherCluster => {
                notes.push(format!(
                    "{file} approves this plan on another cluster, not on this one."
                ));
            }
            Standing::OtherPlan { .. } => others.push(file),
        }
    }
    if !others.is_empty() {
        let mut named: Vec<String> = others.iter().take(NAMED).cloned().collect();
        if others.len() > NAMED {
            named.push(format!("{} more", words::number(others.len() - NAMED)));
        }
        let what = match others.len() {
            1 => "An approval for another plan is there, and opens nothing here",
            _ => "Approvals for other plans are there, and open nothing here",
        };
        notes.push(format!("{what}: {}.", words::list(&named)));
    }
    notes
}

/// The changes of one component in the order to show them.
pub(super) struct ComponentView<'a> {
    /// The component.
    pub(super) component: &'a ComponentPlan,
    /// How many of each fate.
    pub(super) tally: Tally,
    /// Changes that get a line, held ones first, then by hazard.
    pub(super) shown: Vec<&'a Change>,
    /// Changes told by kind.
    pub(super) folded: Option<Fold>,
    /// How many more there are that get no line.
    pub(super) left_out: usize,
}

/// Creates that are told by kind.
pub(super) struct Fold {
    /// How many.
    pub(super) count: usize,
    /// How many of each kind, most first.
    pub(super) kinds: Vec<(GroupKind, usize)>,
    /// How many of them a schema judged.
    by_schema: usize,
    /// How many of them nobody judged yet.
    not_judged: usize,
}

impl Fold {
    /// Returns for example `24 objects: 5 ClusterRole, 3 CustomResourceDefinition, …`.
    pub(super) fn phrase(&self) -> String {
        let kinds: Vec<String> = self
            .kinds
            .iter()
            .map(|(kind, count)| format!("{count} {}", words::clean(&kind.kind)))
            .collect();
        let mut text = format!("{}: {}", words::count(self.count, "object"), kinds.join(", "));
        if self.by_schema > 0 {
            text.push_str(&format!(" [{} by schema]", self.by_schema));
        }
        if self.not_judged > 0 {
            text.push_str(&format!(" [{} not judged yet]", self.not_judged));
        }
        text
    }
}

impl<'a> ComponentView<'a> {
    /// Sorts and folds the changes of `component`.
    pub(super) fn new(component: &'a ComponentPlan, look: &Look) -> Self {
        let mut shown: Vec<&Change> =
            component.changes.iter().filter(|change| is_visible(change)).collect();
        let mut folded = None;
        if look.detail != Detail::Full {
            let plain = |change: &&&Change| is_plain_create(change);
            // The custom objects are what the component is about; the rest is what it takes to run them.
            let named = shown.iter().filter(plain).filter(|c| c.id.kind.is_custom()).count();
            let folds = |change: &&Change| {
                is_plain_create(change) && (named > NAMED || !change.id.kind.is_custom())
            };
            let (fit, rest): (Vec<_>, Vec<_>) = shown.iter().copied().partition(folds);
            if fit.len() >= FOLD_FROM {
                folded = Some(fold(&fit));
                shown = rest;
            }
        }
        shown.sort_by_key(|change| (!is_held(change), std::cmp::Reverse(change.hazard)));
        let limit = if look.detail == Detail::Full { usize::MAX } else { LINES_PER_COMPONENT };
        let left_out = shown.len().saturating_sub(limit);
        shown.truncate(limit);
        Self { component, tally: Tally::of(&component.changes), shown, folded, left_out }
    }
}

fn is_plain_create(change: &Change) -> bool {
    matches!(change.action, Action::Create) && !is_held(change) && change.hazard == Hazard::Safe
}

fn fold(changes: &[&Change]) -> Fold {
    let mut kinds: BTreeMap<GroupKind, usize> = BTreeMap::new();
    for change in changes {
        *kinds.entry(change.id.kind.clone()).or_default() += 1;
    }
    let mut kinds: Vec<_> = kinds.into_iter().collect();
    kinds.sort_by_key(|(_, count)| std::cmp::Reverse(*count));
    let count = |judged: fn(&Judged) -> bool| {
        changes.iter().filter(|change| judged(&change.judged)).count()
    };
    Fold {
        count: changes.len(),
        kinds,
        by_schema: count(|judged| *judged == Judged::Schema),
        not_judged: count(|judged| matches!(judged, Judged::NotYet { .. })),
    }
}
