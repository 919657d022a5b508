//! One change of one object, from first request to last.

use std::time::Duration;

use serde_json::Value;
use sitewright_model::{
    code::{self, Code},
    digest::Digest,
    inventory::{Entry, EntryState, Said},
    live::{LiveObject, Refusal},
    managed::{self, LiveFields, Resolution, is_signed, prepare, resolve},
    object::{ObjectId, Uid},
    plan::Action,
};
use tokio::time::Instant;

use super::{
    ObjectOutcome, remove, replace,
    scene::{Part, Scene},
    transfer::{self, Moved},
};
use crate::{
    Error,
    client::{
        http::{Answer, Failure, Http, Verb},
        path::Resource,
        retry::back_off,
    },
    observe::{
        body,
        judge::{self, Mode, Subject, stop_if_broken},
        refusal::{self, Meaning},
    },
};

/// How long a webhook that is down, or a kind that is not served yet, is waited for by one object.
const NOT_YET: Duration = Duration::from_secs(60);

/// An object that changes between a read and what is bound to that read is read again, so often.
pub(super) const READS: u32 = 5;

/// What came of a change.
pub(super) struct Changed {
    pub(super) outcome: ObjectOutcome,
    pub(super) note: Note,
    /// The live body after the change.
    pub(super) body: Option<Value>,
    pub(super) warnings: Vec<String>,
}

/// What the inventory is to be told.
pub(super) enum Note {
    Nothing,
    Entry(Entry),
    Forget,
}

impl Changed {
    pub(super) fn only(outcome: ObjectOutcome) -> Self {
        Self { outcome, note: Note::Nothing, body: None, warnings: Vec::new() }
    }

    pub(super) fn failed(code: Code, message: impl Into<String>, help: Option<&str>) -> Self {
        Self::only(failed(code, message, help))
    }
}

/// Makes the outcome of a failure.
pub(super) fn failed(code: Code, message: impl Into<String>, help: Option<&str>) -> ObjectOutcome {
    ObjectOutcome::Failed {
        code: code.to_string(),
        message: message.into(),
        help: help.map(str::to_owned),
    }
}

/// Does the plan's change of one object.
///
/// # Errors
/// Only where the ground is lost: the server is gone, or the signal to stop came.
pub(super) async fn change(scene: &Scene<'_>, part: Part<'_>) -> Result<Changed, Error> {
    let id = &part.change.id;
    if let Err(error) = scene.kinds.expect_fresh(&id.kind) {
        return Ok(Changed::failed(error.code(), error.to_string(), None));
    }
    match (&part.change.action, part.subject()) {
        (Action::None | Action::Unknown, _) => Ok(Changed::only(ObjectOutcome::Unchanged)),
        (Action::Delete { .. }, _) => remove::ask(scene, part).await,
        (Action::Release { .. }, _) => remove::release(scene, part).await,
        (Action::Forget, _) => remove::forget(scene, part).await,
        (Action::Replace { .. }, Some(subject)) => replace::replace(scene, part, subject).await,
        (Action::Record, Some(subject)) if part.live.is_none() => Ok(said_anew(subject)),
        (action, Some(subject)) => {
            let outcome = match action {
                Action::Create => ObjectOutcome::Created,
                Action::Adopt { .. } => ObjectOutcome::Adopted,
                Action::Record => ObjectOutcome::Recorded,
                _ => ObjectOutcome::Updated,
            };
            let live = part.live.cloned();
            Apply { http: scene.http, scene, part, subject, outcome }.run(live).await
        }
        (_, None) => Ok(Changed::failed(
            code::apply::NOT_THE_SAME,
            "the plan changes it, and the site does not have it",
            None,
        )),
    }
}

/// It is as it was recorded, and what is said of it is new: the inventory is told, and nothing is sent.
fn said_anew(subject: Subject<'_>) -> Changed {
    let entry = subject.entry.map(|entry| Entry { said: said(subject), ..entry.clone() });
    let note = entry.map_or(Note::Nothing, Note::Entry);
    Changed { note, ..Changed::only(ObjectOutcome::Recorded) }
}

fn said(subject: Subject<'_>) -> Option<Said> {
    let before = subject.entry.and_then(|entry| entry.said.as_ref());
    Some(Said::after(before, subject.component, &subject.desired.object))
}

/// Server-side apply of one object, with what has to come before and what may have to be waited for.
pub(super) struct Apply<'s, 'a> {
    pub(super) http: &'s Http,
    pub(super) scene: &'s Scene<'a>,
    pub(super) part: Part<'a>,
    pub(super) subject: Subject<'a>,
    /// What came of it if it works.
    pub(super) outcome: ObjectOutcome,
}

/// What a refused attempt leads to.
enum Next {
    /// Again, with force.
    Force,
    /// Again, after another look: the object is not as it was when it was read.
    Look,
    /// Again, after a while.
    Wait(ObjectOutcome),
    /// No further.
    End(ObjectOutcome),
}

/// What an attempt came to.
enum Sent {
    Done(Answer),
    Next(Next),
}

/// What is known of the live object while it is tried.
struct Sight {
    /// As last read; none where it is not there.
    live: Option<LiveObject>,
    /// The object that the plan was made for; force is for it alone.
    planned: Option<(Uid, Digest)>,
    /// The server named conflicts that may be forced.
    force: bool,
}

impl Sight {
    fn new(live: Option<LiveObject>) -> Self {
        let planned = live.as_ref().map(|live| (live.uid.clone(), live.settled));
        Self { live, planned, force: false }
    }

    /// Returns whether the object is still as the plan has seen it, but for what changes by itself.
    fn is_as_planned(&self) -> bool {
        let now = self.live.as_ref().map(|live| (&live.uid, &live.settled));
        now == self.planned.as_ref().map(|(uid, settled)| (uid, settled))
    }
}

impl<'a> Apply<'_, 'a> {
    pub(super) async fn run(self, live: Option<LiveObject>) -> Result<Changed, Error> {
        let Some(resource) = self.scene.resource(self.part.change) else {
            let kind = &self.id().kind;
            let message = format!("the server does not serve {kind}");
            return Ok(Changed::failed(code::apply::REFUSED, message, None));
        };
        let until = Instant::now() + NOT_YET.min(self.scene.patience());
        let mut sight = Sight::new(live);
        let mut looks: u32 = 0;
        for attempt in 1.. {
            let next = match self.attempt(&resource, &mut sight).await? {
                Sent::Done(answer) => return self.applied(&answer),
                Sent::Next(next) => next,
            };
            match next {
                Next::Force => sight.force = true,
                Next::Look if looks < READS => {
                    looks += 1;
                    self.http.pause(back_off(looks + 1, None)).await?;
                    if let Err(outcome) = self.look(&resource, &mut sight).await? {
                        return Ok(Changed::only(outcome));
                    }
                }
                Next::Look => return Ok(Changed::only(too_fast("applied"))),
                Next::Wait(_) if Instant::now() < until => {
                    self.http.pause(back_off(attempt + 1, None)).await?;
                }
                Next::Wait(outcome) | Next::End(outcome) => return Ok(Changed::only(outcome)),
            }
        }
        unreachable!("the loop above ends only by returning")
    }

    /// Prepares anew for what was last read, and sends it once.
    async fn attempt(&self, resource: &Resource, sight: &mut Sight) -> Result<Sent, Error> {
        let end = |outcome| Ok(Sent::Next(Next::End(outcome)));
        let mut prepared = self.prepare(sight.live.as_ref());
        if !prepared.conflicts.is_empty() {
            return end(self.conflict(&prepared.conflicts));
        }
        let takes = prepared.force || sight.force || !prepared.transfers.is_empty();
        if takes && !sight.is_as_planned() {
            return end(changed_since());
        }
        if !prepared.transfers.is_empty()
            && let Some(before) = &sight.live
        {
            match transfer::send(self.scene, resource, before, &prepared.transfers).await? {
                Moved::Done(after) => sight.live = Some(*after),
                Moved::Stale => return Ok(Sent::Next(Next::Look)),
                Moved::Refused(outcome) => return end(outcome),
            }
            prepared = self.prepare(sight.live.as_ref());
        }
        prepared.force |= sight.force;
        if let Some(live) = sight.live.as_ref().filter(|_| prepared.force) {
            prepared.pin(&live.resource_version);
        }
        let (manager, id) = (self.scene.judge.manager(), self.id());
        match judge::apply(self.http, manager, Mode::Real, resource, id, &prepared).await {
            Ok(answer) => Ok(Sent::Done(answer)),
            Err(failure) => {
                let next = self.after(failure, sight.live.as_ref(), prepared.force)?;
                Ok(Sent::Next(next))
            }
        }
    }

    /// Looks at the object again.
    ///
    /// One that is there where none was is ours only if we signed it: an earlier attempt worked, and its
    /// answer was lost. Nothing else of ours can have come here: a create never merges.
    async fn look(
        &self,
        resource: &Resource,
        sight: &mut Sight,
    ) -> Result<Result<(), ObjectOutcome>, Error> {
        let object = self.subject.object();
        let sensitive = object.sensitive();
        let now = crate::observe::get(self.http, resource, self.id(), sensitive).await?;
        match (&sight.live, &now) {
            (None, Some(now)) if !is_signed(&self.scene.desired.site, fields_of(now)) => {
                return Ok(Err(failed(
                    code::apply::NOT_THE_SAME,
                    "somebody else created it between the plan and now; it is left as it is",
                    Some("look at it and plan again: it is taken with `adopt: true` alone"),
                )));
            }
            (Some(before), now) if now.as_ref().is_none_or(|now| now.uid != before.uid) => {
                return Ok(Err(changed_since()));
            }
            _ => {}
        }
        sight.live = now;
        sight.force &= sight.is_as_planned();
        Ok(Ok(()))
    }

    fn id(&self) -> &'a ObjectId {
        self.subject.desired.object.id()
    }

    fn prepare(&self, live: Option<&LiveObject>) -> sitewright_model::managed::Prepared {
        let rules = self.scene.judge.rules(self.subject.component);
        prepare(self.subject.desired, &rules, self.subject.entry, live.map(fields_of))
    }

    /// Reads what the server made of it.
    fn applied(&self, answer: &Answer) -> Result<Changed, Error> {
        let object = self.subject.object();
        let sensitive = object.sensitive();
        let live = body::read(answer.json()?, sensitive).ok_or_else(|| Error::BadAnswer {
            verb: Verb::Apply.text().into(),
            resource: self.id().to_string(),
            why: "it is no object".into(),
        })?;
        let shy = refusal::holds_secrets(&object);
        let warnings = if shy { Vec::new() } else { answer.warnings.clone() };
        let note = Note::Entry(self.entry(&live));
        let body = Some(live.object.into_exposed());
        Ok(Changed { outcome: self.outcome.clone(), note, body, warnings })
    }

    fn entry(&self, live: &LiveObject) -> Entry {
        Entry {
            api_version: self.subject.desired.object.api_version().to_owned(),
            component: self.subject.component.name.clone(),
            adopted: self.outcome != ObjectOutcome::Replaced && is_adopted(self.scene, &self.part),
            unproven: self.outcome != ObjectOutcome::Recorded
                || self.subject.entry.is_none_or(|entry| entry.unproven),
            said: said(self.subject),
            state: EntryState::Applied {
                uid: live.uid.clone(),
                rendered: self.subject.desired.digest,
                settled: live.settled,
            },
        }
    }

    fn after(
        &self,
        failure: Failure,
        live: Option<&LiveObject>,
        forced: bool,
    ) -> Result<Next, Error> {
        stop_if_broken(&failure)?;
        let object = &self.subject.object();
        let rules = self.scene.judge.rules(self.subject.component);
        let live = live.map(|live| live.object.expose());
        Ok(match refusal::meaning(&failure, object, live) {
            Meaning::Refused(Refusal::Conflict(conflicts)) => {
                match resolve(&conflicts, self.subject.desired, &rules) {
                    _ if live.is_none() => Next::Look,
                    Resolution::Force if !forced => Next::Force,
                    Resolution::Force => Next::End(self.conflict(&conflicts)),
                    Resolution::Held(held) => Next::End(self.conflict(&held)),
                }
            }
            Meaning::WebhookDown(name, message) => {
                let message = format!("the webhook {name} cannot be called: {message}");
                let help = "look at the pods behind the webhook's service";
                Next::Wait(failed(code::apply::NOT_READY, message, Some(help)))
            }
            // its definition was established a moment ago, and not every server has seen it
            Meaning::Refused(Refusal::NoSuchKind) => Next::Wait(failed(
                code::apply::REFUSED,
                format!("the server does not serve {}", object.id().kind),
                None,
            )),
            Meaning::AnotherObject => Next::Look,
            other => Next::End(refused(other)),
        })
    }

    fn conflict(&self, conflicts: &[sitewright_model::live::FieldConflict]) -> ObjectOutcome {
        let fields: Vec<String> = conflicts
            .iter()
            .map(|conflict| {
                format!("{} ({})", conflict.field.trim_start_matches('.'), conflict.manager)
            })
            .collect();
        failed(
            code::apply::CONFLICT,
            format!("other managers own: {}", fields.join(", ")),
            Some("name the field and its manager under `policy.takeOver` or `policy.ignore`"),
        )
    }
}

/// Makes an outcome of a refusal that retries do not help.
pub(super) fn refused(meaning: Meaning) -> ObjectOutcome {
    let causes = match meaning {
        Meaning::Refused(Refusal::Invalid(causes))
        | Meaning::Refused(Refusal::Immutable { causes, .. })
        | Meaning::LooksImmutable(causes)
        | Meaning::NoNamespace(causes) => causes,
        Meaning::Refused(Refusal::Denied(message)) => {
            return failed(code::apply::REFUSED, format!("denied: {message}"), None);
        }
        Meaning::Refused(Refusal::Forbidden(message)) => {
            let help = "`sitewright doctor` lists every right that is needed and missing";
            return failed(code::cluster::FORBIDDEN, message, Some(help));
        }
        Meaning::Refused(Refusal::Unavailable(message)) | Meaning::WebhookDown(_, message) => {
            return failed(code::cluster::UNAVAILABLE, message, None);
        }
        Meaning::Refused(Refusal::Conflict(_) | Refusal::NoSuchKind) | Meaning::AnotherObject => {
            return failed(code::apply::REFUSED, "the server refuses it", None);
        }
    };
    let lines: Vec<String> = causes
        .iter()
        .map(|cause| match cause.field.as_str() {
            "" => cause.message.clone(),
            field => format!("{field}: {}", cause.message),
        })
        .collect();
    failed(code::apply::REFUSED, lines.join("; "), None)
}

/// Makes the outcome of a change that was bound to a state which is no more.
fn changed_since() -> ObjectOutcome {
    failed(
        code::apply::NOT_THE_SAME,
        "it was changed or made anew since the plan",
        Some("run the command again: it plans anew"),
    )
}

/// Makes the outcome of a change of an object that never holds still; `what` was to be done to it.
pub(super) fn too_fast(what: &str) -> ObjectOutcome {
    failed(
        code::apply::NOT_THE_SAME,
        format!("it changes faster than it can be read and {what}"),
        Some("see who writes to it, then run the command again"),
    )
}

/// Returns whether the object was there before the site: then it is released, and never deleted.
pub(super) fn is_adopted(scene: &Scene<'_>, part: &Part<'_>) -> bool {
    match (&part.change.action, part.live) {
        (Action::Create, _) => false,
        (_, Some(live)) => managed::is_adopted(&scene.desired.site, part.entry, fields_of(live)),
        (_, None) => part.entry.is_some_and(|entry| entry.adopted),
    }
}

fn fields_of(live: &LiveObject) -> LiveFields<'_> {
    LiveFields { body: live.object.expose(), managers: &live.managers }
}

/// Reads an object as it is now.
pub(super) async fn fresh(
    scene: &Scene<'_>,
    resource: &Resource,
    part: &Part<'_>,
) -> Result<Option<LiveObject>, Error> {
    let none = std::collections::BTreeSet::new();
    let sensitive = part.desired.map_or(&none, |(_, desired)| desired.object.sensitive());
    crate::observe::get(scene.http, resource, &part.change.id, sensitive).await
}
