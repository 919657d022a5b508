//! What is to be done with an object that the site wants.

use super::{
    Action, ChangeCause, FieldChange, Gate, Judged,
    decide::{Draft, Frame},
    diff::{Difference, Secrecy, diff, estimate},
    guard::{Buried, buried},
    ownership::{self, Ownership, Unowned},
};
use crate::{
    desired::{DesiredComponent, DesiredObject},
    format::site::{Allows, DriftPolicy},
    inventory::{Entry, EntryState},
    live::{Cause, Deferred, FieldConflict, Judgement, LiveObject, Observation, Refusal},
    managed::{Owners, Rules, drift_policy, field_manager},
    object::{COMPONENT_LABEL, Object},
};

/// One wanted object.
pub(super) struct Wanted<'a> {
    pub(super) frame: &'a Frame<'a>,
    pub(super) component: &'a DesiredComponent,
    pub(super) desired: &'a DesiredObject,
    pub(super) entry: Option<&'a Entry>,
}

/// What the judge said, in the words of a plan.
struct Verdict {
    judged: Judged,
    differences: Vec<Difference>,
    /// The fields that cannot change, where the object must be replaced.
    immutable: Option<Vec<String>>,
    gates: Vec<Gate>,
    /// Whether the differences are all there are.
    complete: Complete,
}

#[derive(PartialEq, Eq)]
enum Complete {
    Yes,
    /// They are an estimate.
    No,
}

impl<'a> Wanted<'a> {
    /// Decides.
    pub(super) fn decide(&self) -> Draft<'a> {
        let mut draft = match self.frame.live.objects.get(self.desired.object.id()) {
            None => self.unknown("the cluster was not asked about it"),
            Some(Observation::Settled) => {
                let action = if self.is_said() { Action::None } else { Action::Record };
                self.draft(action, Judged::Digest)
            }
            Some(Observation::Unseen(why)) => self.unknown(why),
            Some(Observation::Absent(judgement)) => self.absent(judgement),
            Some(Observation::Present(live)) => self.present(live),
        };
        if draft.cause == ChangeCause::Drift && self.reports_only() && !draft.is_idle() {
            draft.gates.push(Gate::ReportOnly);
        }
        draft
    }

    fn draft(&self, action: Action, judged: Judged) -> Draft<'a> {
        Draft {
            id: self.desired.object.id(),
            api_version: self.desired.object.api_version().to_owned(),
            action,
            cause: ChangeCause::None,
            judged,
            gates: Vec::new(),
            because: Vec::new(),
            differences: Vec::new(),
            fields: Vec::new(),
            origin: Some(self.desired.origin.to_string()),
            live: None,
            rules: &self.component.hazards,
            deletion: None,
        }
    }

    fn unknown(&self, why: &str) -> Draft<'a> {
        let mut draft = self.draft(Action::Unknown, Judged::NotYet { why: why.to_owned() });
        draft.gates.push(Gate::MissingEvidence { because: why.to_owned() });
        draft
    }

    fn rules(&self) -> Rules<'a> {
        Rules {
            site: &self.frame.desired.site,
            policy: &self.frame.desired.policy,
            component: self.component,
        }
    }

    fn reports_only(&self) -> bool {
        drift_policy(&self.rules()) == DriftPolicy::Report
    }

    // === it is not there ===

    fn absent(&self, judgement: &Judgement) -> Draft<'a> {
        let verdict = self.verdict(judgement, None);
        let mut draft = self.draft(Action::Create, verdict.judged);
        draft.gates = verdict.gates;
        if let Judgement::NotAsked = judgement {
            // `apply` does not ask: it creates at once, and the server judges then
            draft.gates.clear();
        }
        draft.cause = match self.entry.map(|entry| &entry.state) {
            Some(EntryState::Applied { rendered, .. }) => {
                draft.because.push("it was deleted by someone else".to_owned());
                if *rendered == self.desired.digest {
                    ChangeCause::Drift
                } else {
                    ChangeCause::Both
                }
            }
            Some(EntryState::Planned) | None => ChangeCause::Revision,
        };
        draft
    }

    // === it is there ===

    fn present(&self, live: &'a LiveObject) -> Draft<'a> {
        if live.deleting_since.is_some() {
            return self.terminating(live);
        }
        let ownership = ownership::of(&self.frame.desired.site, self.entry, live);
        let verdict = self.verdict(&live.judgement, Some(live));
        let mut draft = self.draft(Action::None, verdict.judged);
        draft.live = Some(live);
        draft.gates = verdict.gates;
        draft.fields = self.fields(live, &verdict.differences);
        draft.differences = verdict.differences;
        draft.cause = self.cause(live, &draft.fields);
        draft.action = match verdict.immutable {
            Some(immutable) => self.replace(live, &ownership, immutable, &mut draft),
            None => self.change(live, &ownership, &draft, &verdict.complete),
        };
        self.gate_ownership(&ownership, &mut draft);
        if let Action::None | Action::Record = draft.action {
            draft.differences.clear();
        }
        if draft.action == Action::None
            || (draft.action == Action::Record && draft.cause == ChangeCause::Drift)
        {
            // What others wrote beside our fields is no drift.
            draft.cause = ChangeCause::None;
        }
        draft
    }

    fn terminating(&self, live: &'a LiveObject) -> Draft<'a> {
        let why = "it is being deleted; it is created anew once it is gone";
        let mut draft = self.draft(Action::Unknown, Judged::NotYet { why: why.to_owned() });
        draft.live = Some(live);
        draft.because.extend(self.frame.deletion_age(live));
        draft.gates.push(Gate::Terminating { finalizers: live.finalizers.clone() });
        draft
    }

    /// Only what is ours is replaced: a replacement deletes. What was there before us also needs a tombstone.
    fn replace(
        &self,
        live: &LiveObject,
        ownership: &Ownership,
        immutable: Vec<String>,
        draft: &mut Draft<'_>,
    ) -> Action {
        match ownership {
            Ownership::Recorded | Ownership::Unrecorded => {}
            Ownership::Lost | Ownership::Nobody(_) | Ownership::OtherSite(_) => {
                let cause = |field: &String| format!("{field}: it cannot be changed");
                let causes = immutable.iter().map(cause).collect();
                draft.gates.push(Gate::Refused { causes });
                return Action::Adopt { fields: draft.fields.clone() };
            }
        }
        let tombstones = &self.frame.desired.tombstones;
        let uid = live.uid.clone();
        if self.entry.is_some_and(|entry| entry.adopted)
            && buried(tombstones, self.desired.object.id(), &uid, Allows::Delete) != Buried::Yes
        {
            let because = "it was there before Sitewright, and a replacement deletes it".to_owned();
            draft.gates.push(Gate::Tombstone { uid: uid.clone(), because });
        }
        Action::Replace { uid, immutable }
    }

    fn change(
        &self,
        live: &LiveObject,
        ownership: &Ownership,
        draft: &Draft<'_>,
        complete: &Complete,
    ) -> Action {
        let fields = draft.fields.clone();
        match ownership {
            Ownership::Lost | Ownership::Nobody(_) | Ownership::OtherSite(_) => {
                return Action::Adopt { fields };
            }
            Ownership::Recorded | Ownership::Unrecorded => {}
        }
        if *complete == Complete::No {
            return if fields.is_empty() { Action::Unknown } else { Action::Update { fields } };
        }
        let moved = self.entry.is_some_and(|entry| entry.component != self.component.name);
        let is_component_label = |found: &Difference| found.live == component_label();
        if draft.differences.iter().all(|found| moved && is_component_label(found)) {
            return if self.is_recorded(live) { Action::None } else { Action::Record };
        }
        Action::Update { fields }
    }

    /// Returns whether the inventory has the object as it is now.
    fn is_recorded(&self, live: &LiveObject) -> bool {
        self.entry.is_some_and(|entry| {
            let state = EntryState::Applied {
                uid: live.uid.clone(),
                rendered: self.desired.digest,
                settled: live.settled,
            };
            entry.state == state
                && entry.component == self.component.name
                && entry.api_version == self.desired.object.api_version()
                && self.is_said()
        })
    }

    /// Returns whether the inventory has what blueprint and values say of the object.
    fn is_said(&self) -> bool {
        self.entry.is_some_and(|entry| entry.has_said(self.component, &self.desired.object))
    }

    fn gate_ownership(&self, ownership: &Ownership, draft: &mut Draft<'_>) {
        match ownership {
            Ownership::Recorded | Ownership::Unrecorded => {}
            Ownership::Lost => draft.because.push(
                "it carries this site's label and field manager, and the inventory does not know it"
                    .to_owned(),
            ),
            Ownership::OtherSite(site) => draft.gates.push(Gate::OtherSite { site: site.clone() }),
            Ownership::Nobody(unowned) => {
                if *unowned == Unowned::MadeAnew {
                    draft.because.push("it was deleted and made anew by someone else".to_owned());
                }
                if !self.component.policy.adopt {
                    draft.gates.push(Gate::Adoption);
                }
            }
        }
    }

    fn cause(&self, live: &LiveObject, fields: &[FieldChange]) -> ChangeCause {
        match self.entry.map(|entry| &entry.state) {
            Some(EntryState::Applied { rendered, .. }) if *rendered == self.desired.digest => {
                ChangeCause::Drift
            }
            Some(EntryState::Applied { settled, .. })
                if *settled != live.settled && fields.iter().any(|field| field.by.is_some()) =>
            {
                ChangeCause::Both
            }
            _ => ChangeCause::Revision,
        }
    }

    // === what the judge said ===

    fn verdict(&self, judgement: &Judgement, live: Option<&LiveObject>) -> Verdict {
        let not_yet = |why: String| Judged::NotYet { why };
        let estimated = |judged: Judged, gates: Vec<Gate>| Verdict {
            judged,
            differences: self.estimate(live),
            immutable: None,
            gates,
            complete: Complete::No,
        };
        match judgement {
            Judgement::Accepted(judged) => Verdict {
                judged: Judged::Server,
                differences: live.map(|live| self.diff(live, judged)).unwrap_or_default(),
                immutable: None,
                gates: Vec::new(),
                complete: Complete::Yes,
            },
            Judgement::NotAsked => {
                let why = "the server was not asked".to_owned();
                let gate = Gate::MissingEvidence { because: why.clone() };
                estimated(not_yet(why), vec![gate])
            }
            Judgement::Deferred(deferred) => estimated(judged_later(deferred), Vec::new()),
            Judgement::Refused(refusal) => self.refused(refusal, &estimated),
        }
    }

    fn refused(
        &self,
        refusal: &Refusal,
        estimated: &dyn Fn(Judged, Vec<Gate>) -> Verdict,
    ) -> Verdict {
        let by_server = |gate: Gate| estimated(Judged::Server, vec![gate]);
        let refused = |cause: String| by_server(Gate::Refused { causes: vec![cause] });
        match refusal {
            Refusal::Conflict(conflicts) => {
                by_server(Gate::Conflict { fields: conflicts.iter().map(pair).collect() })
            }
            Refusal::Invalid(causes) => {
                by_server(Gate::Refused { causes: causes.iter().map(line).collect() })
            }
            Refusal::Immutable { causes, replacement } => {
                let mut verdict = estimated(Judged::Server, Vec::new());
                verdict.immutable = Some(immutable_fields(causes));
                if let Err(causes) = replacement {
                    let causes = causes.iter().map(line).collect();
                    verdict.gates.push(Gate::UnprovenReplacement { causes });
                }
                verdict
            }
            Refusal::Denied(message) => refused(format!("denied: {message}")),
            Refusal::Forbidden(message) => refused(format!("forbidden: {message}")),
            Refusal::NoSuchKind => refused(format!(
                "the cluster does not serve {}, and no desired CRD brings it",
                self.desired.object.id().kind
            )),
            Refusal::Unavailable(message) => {
                let gate = Gate::MissingEvidence { because: message.clone() };
                estimated(Judged::NotYet { why: message.clone() }, vec![gate])
            }
        }
    }

    /// What was secret when it was last applied is so on the live object, whatever the site says now.
    fn secrecy<'o>(&self, objects: impl IntoIterator<Item = &'o Object>) -> Secrecy {
        let said = self.entry.and_then(|entry| entry.said.as_ref());
        Secrecy::of(objects).and(said.into_iter().flat_map(|said| &said.secret))
    }

    fn diff(&self, live: &LiveObject, judged: &Object) -> Vec<Difference> {
        let secrecy = self.secrecy([&live.object, judged, &self.desired.object]);
        diff(&live.object, judged, &secrecy)
    }

    fn estimate(&self, live: Option<&LiveObject>) -> Vec<Difference> {
        let Some(live) = live else { return Vec::new() };
        let secrecy = self.secrecy([&live.object, &self.desired.object]);
        estimate(&live.object, &self.desired.object, &secrecy)
    }

    fn fields(&self, live: &LiveObject, differences: &[Difference]) -> Vec<FieldChange> {
        if differences.is_empty() {
            return Vec::new();
        }
        let owners = Owners::read(&live.managers);
        let ours = field_manager(&self.frame.desired.site);
        let body = live.object.expose();
        differences
            .iter()
            .map(|found| FieldChange {
                field: found.path.to_string(),
                before: found.before.clone(),
                after: found.after.clone(),
                by: owners.attribution(&ours, &found.live, body),
            })
            .collect()
    }
}

fn component_label() -> String {
    format!("/metadata/labels/{}", COMPONENT_LABEL.replace('/', "~1"))
}

fn judged_later(deferred: &Deferred) -> Judged {
    match deferred {
        Deferred::KindIsComing => Judged::Schema,
        Deferred::NamespaceIsComing => {
            Judged::NotYet { why: "its namespace comes with this plan".to_owned() }
        }
        Deferred::WebhookNotReady(name, message) => {
            Judged::NotYet { why: format!("the webhook {name} does not answer: {message}") }
        }
    }
}

fn pair(conflict: &FieldConflict) -> (String, String) {
    (conflict.manager.clone(), conflict.field.clone())
}

fn line(cause: &Cause) -> String {
    if cause.field.is_empty() {
        cause.message.clone()
    } else {
        format!("{}: {}", cause.field, cause.message)
    }
}

fn immutable_fields(causes: &[Cause]) -> Vec<String> {
    causes.iter().map(|cause| cause.field.clone()).collect()
}
