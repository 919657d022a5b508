//! Notifications: forges, programs and chats are told of a site, each thing once.
//!
//! Comes in: the [`State`] of a site whenever it changes, and [`News`] of what happened. Goes out: commit statuses,
//! CloudEvents, messages, and what was told of them. Never: a delay or a failure of the site's own loop, which only
//! leaves what it knows; a message that is out of date by the time it can be sent; more memory than a bound.
//!
//! What is so (held, drifted, unhealthy) is told from the newest state alone, compared with what was told. Nothing
//! of it is queued, so a thousand changes while somebody does not answer are one message. What happened once
//! (applied, mended) is queued, up to a bound.

mod event;
mod facts;
mod outbox;
mod sink;
mod slack;
#[cfg(test)]
mod tests;
mod told;
mod verdict;

use std::{
    collections::VecDeque,
    sync::{Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use futures::future::join_all;
use jiff::Timestamp;
use rand::Rng;
use sitewright_cluster::{
    CancellationToken,
    sync::{EventKind, Notification, NotificationStatus, SyncKey},
};
use sitewright_model::diagnostic::Diagnostics;
use tokio::{sync::Notify, time::sleep};

use self::{
    event::{Event, Whose},
    facts::Facts,
    sink::{Said, Sink},
    told::{Told, ToldCommit, Topic},
    verdict::{Verdict, verdict},
};
pub(crate) use self::{outbox::Outbox, sink::Secrets};
use super::{
    news::News,
    state::State,
    web::{Measure, NotificationKind, Notified},
};
use crate::forge::Untold;

/// How long a change is left to settle before it is told: one apply is many states.
const SETTLE: Duration = Duration::from_secs(1);

/// What happened and was not told yet, per sink; the oldest goes when there is more.
const QUEUE: usize = 64;

/// Attempts before one gives up; with the pauses between them some 13 minutes.
const ATTEMPTS: u32 = 10;

/// The longest pause between two attempts of our own choice.
const PAUSE: Duration = Duration::from_secs(300);

/// The longest pause that a receiver may ask for.
const PATIENCE: Duration = Duration::from_secs(3600);

/// How long what is under way may take when the agent stops.
const GRACE: Duration = Duration::from_secs(5);

/// Whose notifications they are.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Scope {
    /// What messages call the site until its name is known.
    pub(crate) site: String,
    /// The SiteSync.
    pub(crate) sync: Option<String>,
    /// The `source` of CloudEvents.
    pub(crate) source: String,
}

/// Tells others of one site.
pub(crate) struct Notifier {
    scope: Scope,
    recipients: Vec<Recipient>,
    measure: Measure,
    outbox: Outbox,
    /// Something changed that is kept in the status.
    changed: Notify,
}

/// Somebody who is told.
struct Recipient {
    notification: Notification,
    kind: NotificationKind,
    desk: Mutex<Desk>,
    wake: Notify,
}

/// What one recipient is to be told, and was.
#[derive(Default)]
struct Desk {
    facts: Option<Facts>,
    verdict: Option<Verdict>,
    whose: Whose,
    happened: VecDeque<(u64, Event)>,
    /// How much has happened.
    count: u64,
    told: Told,
    failing: Option<String>,
}

/// What is said next, and what is known afterwards.
struct Errand {
    said: Said,
    /// Topics that are told by it, as they were then.
    topics: Vec<(Topic, Facts)>,
    commit: Option<ToldCommit>,
    /// What happened that it tells.
    happened: Vec<u64>,
}

// === impl Scope ===

impl Scope {
    /// Returns the scope of a SiteSync; `site` is what it followed before.
    pub(crate) fn of_sync(key: &SyncKey, site: Option<&str>) -> Self {
        let SyncKey { namespace, name } = key;
        Self {
            site: site.unwrap_or(name).to_owned(),
            sync: Some(key.to_string()),
            source: format!(
                "/apis/sitewright.dev/v1alpha1/namespaces/{namespace}/sitesyncs/{name}"
            ),
        }
    }

    /// Returns the scope of a site that is followed at a desk.
    pub(crate) fn of_site(name: &str) -> Self {
        let source = format!("/sites/{name}");
        Self { site: name.to_owned(), sync: None, source }
    }
}

// === impl Notifier ===

impl Notifier {
    /// Makes a notifier; `known` is what they were told by an agent before.
    pub(crate) fn new(
        scope: Scope,
        notifications: &[Notification],
        known: &[NotificationStatus],
        measure: Measure,
        outbox: Outbox,
    ) -> Self {
        let recipient = |notification: &Notification| {
            let known = known.iter().find(|known| known.name == notification.name);
            let lines = known.map(|known| known.told.as_slice()).unwrap_or_default();
            let told = Told::of_lines(lines.iter().map(String::as_str));
            let failing = known.and_then(|known| known.failing.clone());
            Recipient {
                notification: notification.clone(),
                kind: sink::kind(notification),
                desk: Mutex::new(Desk { told, failing, ..Desk::default() }),
                wake: Notify::new(),
            }
        };
        let recipients = notifications.iter().map(recipient).collect();
        Self { scope, recipients, measure, outbox, changed: Notify::new() }
    }

    /// Takes the state as it is now. Costs no wait and no request.
    pub(crate) fn state(&self, state: &State, now: Timestamp) {
        if self.recipients.is_empty() {
            return;
        }
        let (facts, verdict, whose) = (Facts::of(state, now), verdict(state), Whose::of(state));
        for recipient in &self.recipients {
            let mut desk = recipient.desk();
            desk.whose = whose.clone();
            if recipient.notification.commit_status.is_some() {
                // nothing to say now is no reason to forget what is to be said
                desk.verdict = verdict.clone().or(desk.verdict.take());
            } else {
                desk.facts = Some(facts.clone().since(desk.facts.as_ref()));
            }
            drop(desk);
            recipient.wake.notify_one();
        }
    }

    /// Takes something that happened once. Costs no wait and no request.
    pub(crate) fn happened(&self, news: &News, state: &State, now: Timestamp) {
        let Some(event) = Event::of_news(news, state, now) else { return };
        for recipient in &self.recipients {
            let is_told = recipient.notification.commit_status.is_none()
                && sink::wants(&recipient.notification, event.kind);
            if is_told {
                let event = event.clone().of(&self.scope, &Whose::of(state));
                if recipient.desk().push(event) {
                    self.count(recipient, Notified::Dropped);
                }
                recipient.wake.notify_one();
            }
        }
    }

    /// Returns what is kept in the status of the SiteSync.
    pub(crate) fn status(&self) -> Vec<NotificationStatus> {
        let status = |recipient: &Recipient| {
            let desk = recipient.desk();
            NotificationStatus {
                name: recipient.notification.name.clone(),
                failing: desk.failing.clone(),
                told: desk.told.lines(),
            }
        };
        self.recipients.iter().map(status).collect()
    }

    /// Waits until [`Notifier::status`] is another one.
    pub(crate) async fn changed(&self) {
        self.changed.notified().await;
    }

    /// Says whether everybody could be told.
    ///
    /// # Errors
    /// A secret is not there, or a value is none.
    pub(crate) async fn check(&self, secrets: &impl Secrets) -> Result<(), Diagnostics> {
        for recipient in &self.recipients {
            sink::sink(&recipient.notification, secrets).await?;
        }
        Ok(())
    }

    /// Tells, until it is stopped; what is under way then has a few seconds.
    pub(crate) async fn run(&self, secrets: &impl Secrets, stop: &CancellationToken) {
        let recipients = self.recipients.iter();
        join_all(recipients.map(|recipient| self.serve(recipient, secrets, stop))).await;
    }

    async fn serve(&self, recipient: &Recipient, secrets: &impl Secrets, stop: &CancellationToken) {
        let mut sink: Option<Sink> = None;
        loop {
            let woken = stop.run_until_cancelled(async {
                recipient.wake.notified().await;
                sleep(SETTLE).await;
            });
            if woken.await.is_none() {
                return;
            }
            if !self.tell(recipient, &mut sink, secrets, stop).await {
                return;
            }
        }
    }

    /// Tells everything that is to be told now; returns whether to go on.
    async fn tell(
        &self,
        recipient: &Recipient,
        sink: &mut Option<Sink>,
        secrets: &impl Secrets,
        stop: &CancellationToken,
    ) -> bool {
        let mut attempts = 0;
        loop {
            let Some(errand) = self.next(recipient) else { return true };
            let failure = match self.attempt(recipient, sink, secrets, &errand, stop).await {
                Attempt::Told => {
                    self.told(recipient, errand);
                    attempts = 0;
                    continue;
                }
                Attempt::Stopped => return false,
                Attempt::Failed(failure) => failure,
            };
            attempts += 1;
            let pause = failure.passes.map(|asked| pause(attempts, asked));
            match pause.filter(|_| attempts < ATTEMPTS) {
                Some(pause) => {
                    self.count(recipient, Notified::Retried);
                    self.fails(recipient, &failure.why, false);
                    if stop.run_until_cancelled(sleep(pause)).await.is_none() {
                        return false;
                    }
                }
                None => {
                    self.count(recipient, Notified::GivenUp);
                    self.fails(recipient, &failure.why, true);
                    // what is so is told with the next change; what happened once is lost
                    recipient.desk().forget(&errand.happened);
                    return true;
                }
            }
        }
    }

    /// Returns what is to be said next.
    fn next(&self, recipient: &Recipient) -> Option<Errand> {
        let Recipient { notification, .. } = recipient;
        let mut desk = recipient.desk();
        if notification.commit_status.is_some() {
            let verdict = desk.verdict.clone()?;
            let commit = verdict.after(desk.told.commit.as_ref())?;
            let said = Said::Verdict { verdict, commit: commit.commit.clone() };
            return Some(Errand {
                said,
                topics: Vec::new(),
                commit: Some(commit),
                happened: Vec::new(),
            });
        }
        let mut lines: Vec<(Event, Source)> = Vec::new();
        if let Some(facts) = desk.facts.clone() {
            for (topic, event) in facts.untold(&desk.told) {
                match event.filter(|event| sink::wants(notification, event.kind)) {
                    // what nobody wants to know is known without being told
                    None => facts.mark(topic, &mut desk.told),
                    Some(event) => {
                        let event = event.of(&self.scope, &desk.whose);
                        lines.push((event, Source::Topic(topic, facts.clone())));
                    }
                }
            }
        }
        // what happened comes before what is so now, but for the revision that it happened with
        let is_revision =
            |(_, source): &(Event, Source)| matches!(source, Source::Topic(Topic::Revision, _));
        let first = usize::from(lines.first().is_some_and(is_revision));
        let past = desk.happened.iter().map(|(count, event)| (event.clone(), Source::Past(*count)));
        lines.splice(first..first, past);
        lines.truncate(sink::at_once(notification));
        if lines.is_empty() {
            return None;
        }
        let (events, sources): (Vec<Event>, Vec<Source>) = lines.into_iter().unzip();
        let (mut topics, mut happened) = (Vec::new(), Vec::new());
        for source in sources {
            match source {
                Source::Topic(topic, facts) => topics.push((topic, facts)),
                Source::Past(count) => happened.push(count),
            }
        }
        Some(Errand { said: Said::Events(events), topics, commit: None, happened })
    }

    async fn attempt(
        &self,
        recipient: &Recipient,
        sink: &mut Option<Sink>,
        secrets: &impl Secrets,
        errand: &Errand,
        stop: &CancellationToken,
    ) -> Attempt {
        let made = match sink.take() {
            Some(made) => made,
            None => match self.make(recipient, secrets, stop).await {
                Ok(made) => made,
                Err(attempt) => return attempt,
            },
        };
        let (said, scope) = (errand.said.clone(), self.scope.clone());
        let (by, reach) = (made.clone(), self.outbox.reach.clone());
        let sent = self.outbox.send(move || by.say(&said, &scope, &reach));
        let ended = async {
            stop.cancelled().await;
            sleep(GRACE).await;
        };
        let result = tokio::select! {
            result = sent => result,
            () = ended => return Attempt::Stopped,
        };
        match result {
            Some(Ok(())) => {
                *sink = Some(made);
                Attempt::Told
            }
            // made anew for the next attempt: the Secret may be another one by then
            Some(Err(error)) => Attempt::Failed(Failure::of(&error)),
            None => Attempt::Failed(Failure::bug()),
        }
    }

    async fn make(
        &self,
        recipient: &Recipient,
        secrets: &impl Secrets,
        stop: &CancellationToken,
    ) -> Result<Sink, Attempt> {
        let made = stop.run_until_cancelled(sink::sink(&recipient.notification, secrets)).await;
        match made {
            None => Err(Attempt::Stopped),
            Some(Ok(sink)) => Ok(sink),
            Some(Err(diagnostics)) => Err(Attempt::Failed(Failure::of_diagnostics(&diagnostics))),
        }
    }

    fn told(&self, recipient: &Recipient, errand: Errand) {
        let mut desk = recipient.desk();
        for (topic, facts) in errand.topics {
            facts.mark(topic, &mut desk.told);
        }
        if errand.commit.is_some() {
            desk.told.commit = errand.commit;
        }
        desk.forget(&errand.happened);
        desk.failing = None;
        drop(desk);
        self.count(recipient, Notified::Delivered);
        self.changed.notify_one();
    }

    /// Takes that a message did not get there; what is new of that is logged once.
    fn fails(&self, recipient: &Recipient, why: &str, is_over: bool) {
        let name = &recipient.notification.name;
        let text = if is_over { format!("given up: {why}") } else { why.to_owned() };
        let mut desk = recipient.desk();
        if desk.failing.as_ref() == Some(&text) {
            return;
        }
        desk.failing = Some(text);
        drop(desk);
        let code = sitewright_model::code::agent::UNDELIVERED;
        if is_over {
            tracing::warn!(%code, notification = name, "a notification is given up: {why}");
        } else {
            tracing::debug!(%code, notification = name, "a notification is tried again: {why}");
        }
        self.changed.notify_one();
    }

    fn count(&self, recipient: &Recipient, result: Notified) {
        self.measure.notified(recipient.kind, result);
    }
}

/// Where an event comes from.
enum Source {
    /// It is so now.
    Topic(Topic, Facts),
    /// It happened.
    Past(u64),
}

/// What came of an attempt.
enum Attempt {
    Told,
    Stopped,
    Failed(Failure),
}

/// Why a message did not get there.
struct Failure {
    why: String,
    /// Whether it may get there later, and when at the earliest.
    passes: Option<Duration>,
}

impl Failure {
    fn of(error: &Untold) -> Self {
        // a refusal may be over once the Secret has another token
        let is_refused = matches!(error, Untold::Refused { .. });
        let passes = error.passes().or(is_refused.then_some(Duration::ZERO));
        Self { why: error.to_string(), passes }
    }

    fn of_diagnostics(diagnostics: &Diagnostics) -> Self {
        let first = diagnostics.0.first().map(ToString::to_string);
        Self { why: first.unwrap_or_default(), passes: Some(Duration::ZERO) }
    }

    fn bug() -> Self {
        Self { why: "its thread broke: a bug in Sitewright".to_owned(), passes: None }
    }
}

/// Returns how long to wait after so many attempts in a row: twice as long each time, with jitter, and not before
/// the receiver wants.
fn pause(attempts: u32, asked: Duration) -> Duration {
    let own = Duration::from_secs(2u64.saturating_pow(attempts.min(16))).min(PAUSE);
    let longest = own.as_millis().try_into().unwrap_or(u64::MAX);
    let own = Duration::from_millis(rand::rng().random_range(longest / 2..=longest));
    // those who were asked to wait do not come all at once
    let asked = asked.min(PATIENCE);
    if asked.is_zero() { own } else { asked + own.min(Duration::from_secs(5)) }
}

// === impl Recipient ===

impl Recipient {
    fn desk(&self) -> MutexGuard<'_, Desk> {
        // every change of it is whole, so a panic elsewhere left nothing half done
        self.desk.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Desk {
    /// Adds something that happened; what is the same as before of the same objects takes its place. Returns whether
    /// something was lost for it.
    fn push(&mut self, event: Event) -> bool {
        let is_same = |known: &Event| {
            known.kind == event.kind
                && known.kind != EventKind::Applied
                && known.data.objects == event.data.objects
        };
        self.happened.retain(|(_, known)| !is_same(known));
        self.count += 1;
        self.happened.push_back((self.count, event));
        let is_full = self.happened.len() > QUEUE;
        if is_full {
            self.happened.pop_front();
        }
        is_full
    }

    /// Takes that these were told, or are given up.
    fn forget(&mut self, happened: &[u64]) {
        self.happened.retain(|(count, _)| !happened.contains(count));
    }
}
