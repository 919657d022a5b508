//! One thing that can be told.

use jiff::Timestamp;
use sitewright_cluster::sync::EventKind;
use sitewright_model::revision::Revision;
use sitewright_source::snapshot::Origin;

use super::Scope;
use crate::{
    agent::{
        news::{News, Reason},
        state::{Outcome, State},
    },
    output::{
        event::{self, CloudEvent, EventData, EventObject, EventOutcome},
        words,
    },
};

/// Characters of a sentence: it is read in a chat.
const MESSAGE: usize = 600;

/// One thing that happened.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Event {
    pub(super) kind: EventKind,
    /// When it was noticed.
    pub(super) at: Timestamp,
    /// The revision in one phrase, for people.
    pub(super) revision: Option<String>,
    pub(super) data: EventData,
}

/// Whose event it is.
#[derive(Clone, Debug, Default)]
pub(super) struct Whose {
    site: Option<String>,
    revision: Option<Revision>,
    rejected: Option<Origin>,
}

impl Whose {
    pub(super) fn of(state: &State) -> Self {
        Self {
            site: state.site.as_ref().map(ToString::to_string),
            revision: state.observed.clone(),
            rejected: state.rejected.clone(),
        }
    }
}

/// Returns a commit as [`Revision::short`] does.
fn at(origin: &Origin) -> String {
    let commit: String = origin.commit.as_deref().unwrap_or_default().chars().take(12).collect();
    match &origin.reference {
        Some(reference) if !commit.is_empty() => format!("{reference}@{commit}"),
        _ => commit,
    }
}

// === impl Event ===

impl Event {
    pub(super) fn new(kind: EventKind, at: Timestamp, message: &str) -> Self {
        let data = EventData {
            format: event::FORMAT.to_owned(),
            message: words::cut(&words::clean(message), MESSAGE, "…"),
            ..EventData::default()
        };
        Self { kind, at, revision: None, data }
    }

    /// Adds the objects that it is about; the first of them.
    pub(super) fn about(mut self, objects: impl IntoIterator<Item = EventObject>) -> Self {
        let mut objects = objects.into_iter();
        self.data.objects = objects.by_ref().take(event::NAMED).collect();
        self.data.more = objects.count() as u64;
        self
    }

    /// Adds the number of an error.
    pub(super) fn numbered(mut self, code: &str) -> Self {
        self.data.code = Some(code.to_owned());
        self
    }

    /// Adds whose event it is.
    pub(super) fn of(mut self, scope: &Scope, whose: &Whose) -> Self {
        self.data.site = whose.site.as_ref().unwrap_or(&scope.site).clone();
        self.data.sync.clone_from(&scope.sync);
        self.data.revision.clone_from(&whose.revision);
        self.data.rejected = whose.rejected.as_ref().and_then(|origin| origin.commit.clone());
        self.revision = match &whose.rejected {
            Some(origin) => Some(at(origin)),
            None => whose.revision.as_ref().map(Revision::short),
        };
        self
    }

    /// Makes an event of news that are told as they come: what happened once, and is no state.
    pub(super) fn of_news(news: &News, state: &State, now: Timestamp) -> Option<Self> {
        let kind = kind(news.reason)?;
        let object = news.object.as_ref();
        let event = Self::new(kind, now, &news.message).about(object.map(|id| EventObject {
            object: words::clean(&id.to_string()),
            ..EventObject::default()
        }));
        Some(match (kind, state.outcomes.front()) {
            (EventKind::Applied, Some(outcome)) => event.with_outcome(outcome),
            _ => event,
        })
    }

    fn with_outcome(mut self, outcome: &Outcome) -> Self {
        self.data.outcome = Some(EventOutcome {
            end: crate::agent::status::end(outcome.end).to_owned(),
            plan: outcome.plan.0.to_string(),
            changed: outcome.changed,
            failed: outcome.failed,
            held: outcome.held,
        });
        self
    }

    /// Returns the event as programs read it.
    pub(super) fn cloud_event(&self, scope: &Scope) -> CloudEvent {
        let time = self.at.strftime("%Y-%m-%dT%H:%M:%S%.3fZ").to_string();
        CloudEvent::new(&scope.source, word(self.kind), &time, self.data.clone())
    }
}

/// Returns what an event of this reason is called; none for those that are told from the state.
fn kind(reason: Reason) -> Option<EventKind> {
    match reason {
        Reason::Applied => Some(EventKind::Applied),
        Reason::Mended => Some(EventKind::Mended),
        Reason::Draining => Some(EventKind::Draining),
        // that it was put right is told a moment later
        Reason::Mending
        | Reason::NewRevision
        | Reason::Held
        | Reason::Released
        | Reason::Drifted
        | Reason::Fight
        | Reason::Unhealthy
        | Reason::Healthy
        | Reason::BadRevision
        | Reason::RolledBack
        | Reason::Failed
        | Reason::Recovered => None,
    }
}

/// Returns the end of the type of a CloudEvent.
pub(super) fn word(kind: EventKind) -> &'static str {
    match kind {
        EventKind::NewRevision => "revised",
        EventKind::Applied => "applied",
        EventKind::Held => "held",
        EventKind::Released => "released",
        EventKind::Draining => "draining",
        EventKind::Drifted => "drifted",
        EventKind::Mended => "mended",
        EventKind::Fight => "fight",
        EventKind::Unhealthy => "unhealthy",
        EventKind::Healthy => "healthy",
        EventKind::BadRevision => "bad-revision",
        EventKind::RolledBack => "rolled-back",
        EventKind::Failed => "failed",
        EventKind::Recovered => "recovered",
    }
}
