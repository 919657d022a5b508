//! What is to be done with an object that the inventory has and the site no longer wants.

use super::{
    Action, ChangeCause, Gate, Judged,
    decide::{Draft, Frame},
    guard::{Buried, buried},
    ownership::{self, Ownership},
};
use crate::{
    format::{blueprint::HazardRule, site::Allows},
    inventory::{Entry, EntryState},
    live::{LiveObject, Observation},
    object::{ObjectId, Uid},
};

/// Why an object is held that an older version applied, and that no blueprint of the site knows.
const UNSAID: &str = "the inventory does not say what its blueprint thinks of its deletion: \
                      apply the site once with its component still in it, or name it in a tombstone";

/// One object that is no longer wanted.
pub(super) struct Unwanted<'a> {
    pub(super) frame: &'a Frame<'a>,
    pub(super) id: &'a ObjectId,
    pub(super) entry: &'a Entry,
    /// The rules of its component's blueprint; none where the component has left the site.
    pub(super) rules: Option<&'a [HazardRule]>,
}

impl<'a> Unwanted<'a> {
    /// Decides.
    pub(super) fn decide(&self) -> Draft<'a> {
        match self.frame.live.objects.get(self.id) {
            None => self.unknown("the cluster was not asked about it"),
            Some(Observation::Unseen(why)) => self.unknown(why),
            Some(Observation::Absent(_)) => self.draft(Action::Forget, None),
            Some(Observation::Settled) => match self.entry.uid() {
                Some(uid) => self.go(uid, None),
                None => self.unknown("it was written and never recorded"),
            },
            Some(Observation::Present(live)) => self.present(live),
        }
    }

    fn draft(&self, action: Action, live: Option<&'a LiveObject>) -> Draft<'a> {
        Draft {
            id: self.id,
            api_version: self.entry.api_version.clone(),
            action,
            cause: ChangeCause::Revision,
            judged: Judged::Digest,
            gates: Vec::new(),
            because: Vec::new(),
            differences: Vec::new(),
            fields: Vec::new(),
            origin: None,
            live,
            rules: self.rules.unwrap_or_default(),
            deletion: self.entry.said.as_ref().and_then(|said| said.deletion.as_ref()),
        }
    }

    fn unknown(&self, why: &str) -> Draft<'a> {
        let mut draft = self.draft(Action::Unknown, None);
        draft.judged = Judged::NotYet { why: why.to_owned() };
        draft.gates.push(Gate::MissingEvidence { because: why.to_owned() });
        draft
    }

    fn present(&self, live: &'a LiveObject) -> Draft<'a> {
        if live.object.id() != self.id && self.is_wanted(live.object.id()) {
            // An entry with a namespace of a kind that has none: another entry is right, or will be.
            return self
                .forget("it was recorded under a namespace that its kind does not have; it stays");
        }
        let is_planned = self.entry.state == EntryState::Planned;
        match ownership::of(&self.frame.desired.site, Some(self.entry), live) {
            Ownership::Recorded => self.go(&live.uid, Some(live)),
            Ownership::Unrecorded if is_planned => self.go(&live.uid, Some(live)),
            // The UID is not the one that was recorded: whoever made this object, it is not the one
            // that the inventory owns, and a stranger is never deleted.
            Ownership::Unrecorded | Ownership::Lost => {
                self.forget("the live object has another UID than the one that was applied; it stays")
            }
            Ownership::Nobody(_) if is_planned => {
                self.forget("it was never applied; the live object of its name is not ours and stays")
            }
            Ownership::Nobody(_) => self.forget(
                "it was deleted and made anew by someone else; the live object is not ours and stays",
            ),
            Ownership::OtherSite(site) => {
                self.forget(&format!("the site {site} owns it now; it stays"))
            }
        }
    }

    fn is_wanted(&self, id: &ObjectId) -> bool {
        self.frame.desired.objects().any(|(_, object)| object.object.id() == id)
    }

    fn forget(&self, because: &str) -> Draft<'a> {
        let mut draft = self.draft(Action::Forget, None);
        draft.because.push(because.to_owned());
        draft
    }

    /// It is ours and goes, or is released where it was there before us and no tombstone names it.
    fn go(&self, uid: &Uid, live: Option<&'a LiveObject>) -> Draft<'a> {
        let tombstone = buried(&self.frame.desired.tombstones, self.id, uid, Allows::Delete);
        if self.entry.adopted && tombstone != Buried::Yes {
            let mut draft = self.draft(Action::Release { uid: uid.clone() }, live);
            draft.because.push("it was there before Sitewright; it stays".to_owned());
            return draft;
        }
        let mut draft = self.draft(Action::Delete { uid: uid.clone() }, live);
        if self.entry.said.is_none() && self.rules.is_none() && tombstone != Buried::Yes {
            let because = UNSAID.to_owned();
            draft.gates.push(Gate::MissingEvidence { because });
        }
        if let Some(live) = live.filter(|live| live.deleting_since.is_some()) {
            draft.because.extend(self.frame.deletion_age(live));
            draft.gates.push(Gate::Terminating { finalizers: live.finalizers.clone() });
        }
        draft
    }
}
