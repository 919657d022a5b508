//! Whom to tell, and how: from what a SiteSync says to something that can be sent.

use std::time::Duration;

use jiff::Timestamp;
use sitewright_cluster::sync::{
    CloudEventsSink, CommitStatusSink, EventKind, ForgeKind, Notification, SecretReference,
    SlackSink,
};
use sitewright_model::{
    code::agent,
    diagnostic::{Diagnostic, Diagnostics},
};
use sitewright_source::{
    Secret, Url,
    outbound::{Method, Outgoing, Reach, send},
};

use super::{Scope, event::Event, slack, verdict::Verdict};
use crate::{
    agent::web::{HookSecret, NotificationKind},
    forge::{Api, CommitStatus, Forge, Kind, Untold},
};

/// How long a receiver may take; Slack answers within a second.
const DEADLINE: Duration = Duration::from_secs(10);

/// Bytes of an answer that are read: nothing in it matters.
const ANSWER: u64 = 64 * 1024;

/// What a chat is told unless somebody chose: what a person may want to know.
const CHAT: [EventKind; 12] = [
    EventKind::Applied,
    EventKind::Held,
    EventKind::Released,
    EventKind::Draining,
    EventKind::Drifted,
    EventKind::Fight,
    EventKind::Unhealthy,
    EventKind::Healthy,
    EventKind::BadRevision,
    EventKind::RolledBack,
    EventKind::Failed,
    EventKind::Recovered,
];

/// Where the secrets of notifications are.
pub(crate) trait Secrets {
    /// Returns a secret; `key` is what it is called where the reference does not say.
    ///
    /// # Errors
    /// It is not there, or is not text.
    async fn secret(&self, reference: &SecretReference, key: &str) -> Result<Secret, Diagnostics>;
}

/// Somebody who is told, with what proves who we are.
#[derive(Clone)]
pub(super) enum Sink {
    Commit(Box<CommitSink>),
    Events(EventsSink),
    Chat(Url),
}

/// The forge of a commit; where its API and its repository are is known once the revision is.
#[derive(Clone)]
pub(super) struct CommitSink {
    kind: Kind,
    api: Option<Api>,
    repository: Option<String>,
    target: Option<String>,
    token: Secret,
}

/// Somebody who takes CloudEvents.
#[derive(Clone)]
pub(super) struct EventsSink {
    url: Url,
    is_secret: bool,
    /// What they are signed with; two while the key is changed.
    keys: Vec<HookSecret>,
}

/// What is said at once. Shared by all attempts, so that each says the same.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Said {
    Verdict { verdict: Verdict, commit: String },
    Events(Vec<Event>),
}

/// Returns the kind of a sink, for metrics.
pub(super) fn kind(notification: &Notification) -> NotificationKind {
    match (&notification.commit_status, &notification.slack) {
        (Some(sink), _) => match sink.forge {
            ForgeKind::GitHub => NotificationKind::GitHub,
            ForgeKind::GitLab => NotificationKind::GitLab,
            ForgeKind::Gitea => NotificationKind::Gitea,
            ForgeKind::Forgejo => NotificationKind::Forgejo,
        },
        (None, Some(_)) => NotificationKind::Slack,
        (None, None) => NotificationKind::CloudEvents,
    }
}

/// Returns whether events of this kind are told.
pub(super) fn wants(notification: &Notification, kind: EventKind) -> bool {
    match notification.events.as_slice() {
        [] if notification.slack.is_some() => CHAT.contains(&kind),
        [] => true,
        chosen => chosen.contains(&kind),
    }
}

/// Makes what can be sent out of what a SiteSync says.
///
/// # Errors
/// A Secret cannot be used, or a value is none.
pub(super) async fn sink(
    notification: &Notification,
    secrets: &impl Secrets,
) -> Result<Sink, Diagnostics> {
    let Notification { name, commit_status, cloud_events, slack, .. } = notification;
    match (commit_status, cloud_events, slack) {
        (Some(sink), None, None) => commit_sink(name, sink, secrets).await,
        (None, Some(sink), None) => events_sink(name, sink, secrets).await,
        (None, None, Some(SlackSink { url_secret_ref })) => {
            Ok(Sink::Chat(secret_address(name, url_secret_ref, secrets).await?))
        }
        _ => Err(bad(name, "exactly one of commitStatus, cloudEvents and slack is needed").into()),
    }
}

async fn commit_sink(
    name: &str,
    sink: &CommitStatusSink,
    secrets: &impl Secrets,
) -> Result<Sink, Diagnostics> {
    let api = sink.url.as_deref().map(Api::parse).transpose();
    let api = api.map_err(|why| bad(name, &format!("commitStatus.url is no address: {why}")))?;
    let token = secrets.secret(&sink.secret_ref, "token").await?;
    Ok(Sink::Commit(Box::new(CommitSink {
        kind: match sink.forge {
            ForgeKind::GitHub => Kind::GitHub,
            ForgeKind::GitLab => Kind::GitLab,
            ForgeKind::Gitea | ForgeKind::Forgejo => Kind::Gitea,
        },
        api,
        repository: sink.repository.clone(),
        target: sink.target_url.clone(),
        token,
    })))
}

async fn events_sink(
    name: &str,
    sink: &CloudEventsSink,
    secrets: &impl Secrets,
) -> Result<Sink, Diagnostics> {
    let keys = match &sink.secret_ref {
        None => Vec::new(),
        Some(reference) => {
            let secret = secrets.secret(reference, "token").await?;
            HookSecret::lines(secret.expose()).map_err(|why| {
                bad(name, &format!("Secret {} has no key to sign with: {why}", reference.name))
            })?
        }
    };
    let (url, is_secret) = match (&sink.url, &sink.url_secret_ref) {
        (Some(url), None) => {
            let why = |problem| bad(name, &format!("cloudEvents.url is no address: {problem}"));
            (Url::parse(url).map_err(why)?, false)
        }
        (None, Some(reference)) => (secret_address(name, reference, secrets).await?, true),
        _ => return Err(bad(name, "one of url and urlSecretRef is needed").into()),
    };
    Ok(Sink::Events(EventsSink { url, is_secret, keys }))
}

/// Reads an address that is a secret: what is wrong with it is told without it.
async fn secret_address(
    name: &str,
    reference: &SecretReference,
    secrets: &impl Secrets,
) -> Result<Url, Diagnostics> {
    let secret = secrets.secret(reference, "url").await?;
    let url = Url::parse(secret.expose());
    Ok(url.map_err(|why| bad(name, &format!("Secret {} has no address: {why}", reference.name)))?)
}

fn bad(name: &str, why: &str) -> Diagnostic {
    Diagnostic::error(agent::BAD_SYNC, format!("notification `{name}`: {why}"))
        .help("mend it with `kubectl edit sitesync`, or in the file of --notifications")
}

// === impl Sink ===

impl Sink {
    /// Says it, once. Blocks.
    ///
    /// # Errors
    /// Nobody answers, or they refuse.
    pub(super) fn say(&self, said: &Said, scope: &Scope, reach: &Reach) -> Result<(), Untold> {
        match (self, said) {
            (Self::Commit(sink), Said::Verdict { verdict, commit }) => {
                sink.say(verdict, commit, scope, reach)
            }
            (Self::Events(sink), Said::Events(events)) => {
                for event in events {
                    ask(&sink.outgoing(event, scope, Timestamp::now()), reach)?;
                }
                Ok(())
            }
            (Self::Chat(url), Said::Events(events)) => {
                let text = slack::text(events, scope);
                let body = serde_json::json!({ "text": text }).to_string();
                let outgoing = Outgoing::new(Method::Post, url.clone(), DEADLINE)
                    .to_secret_address()
                    .body("application/json", body)
                    .answer_of(ANSWER);
                ask(&outgoing, reach)
            }
            // what is said was made for this sink
            (Self::Commit(_), Said::Events(_)) | (_, Said::Verdict { .. }) => Ok(()),
        }
    }
}

fn ask(outgoing: &Outgoing, reach: &Reach) -> Result<(), Untold> {
    let reply = send(outgoing, reach)?;
    if reply.is_success() {
        return Ok(());
    }
    Err(Untold::refused(outgoing.host().to_owned(), &reply))
}

impl CommitSink {
    fn say(
        &self,
        verdict: &Verdict,
        commit: &str,
        scope: &Scope,
        reach: &Reach,
    ) -> Result<(), Untold> {
        let forge = self.forge(&verdict.repository, reach)?;
        let status = CommitStatus {
            state: verdict.state,
            context: format!("sitewright/{}", verdict.site.as_ref().unwrap_or(&scope.site)),
            description: verdict.description.clone(),
            target: self.target.clone(),
        };
        forge.set_status(commit, &status).map(drop)
    }

    /// Returns the forge of a repository, unless the SiteSync says where it is.
    fn forge(&self, repository: &str, reach: &Reach) -> Result<Forge, Untold> {
        let lost = |why| Untold::Nonsense { host: "the forge".to_owned(), why };
        let url = Url::parse(repository).ok();
        let (api, path) = match (&self.api, &self.repository, &url) {
            (Some(api), Some(path), _) => (api.clone(), path.clone()),
            (api, path, Some(url)) => {
                let scheme = if url.scheme() == "http" { "http" } else { "https" };
                // a port of ssh is none of the API
                let host = if url.scheme() == "ssh" { url.host() } else { url.authority() };
                let api = api.clone().unwrap_or_else(|| self.kind.api_at(scheme, host));
                (api, path.clone().unwrap_or_else(|| path_of(url)))
            }
            (_, _, None) => return Err(lost("commitStatus needs url and repository here")),
        };
        let (kind, token, reach) = (self.kind, self.token.clone(), reach.clone());
        Ok(Forge { kind, api, repository: path, token, reach })
    }
}

/// Returns `owner/name` of the address of a repository.
fn path_of(url: &Url) -> String {
    let path = url.path().trim_matches('/');
    let path = path.strip_prefix("~/").unwrap_or(path);
    path.strip_suffix(".git").unwrap_or(path).to_owned()
}

impl EventsSink {
    fn outgoing(&self, event: &Event, scope: &Scope, now: Timestamp) -> Outgoing {
        let event = event.cloud_event(scope);
        let body = serde_json::to_vec(&event).unwrap_or_default();
        let mut outgoing = Outgoing::new(Method::Post, self.url.clone(), DEADLINE);
        if !self.keys.is_empty() {
            let time = now.as_second().to_string();
            let sign = |key: &HookSecret| key.sign_standard(&event.id, &time, &body);
            let signatures: Vec<String> = self.keys.iter().map(sign).collect();
            outgoing = outgoing
                .header("webhook-signature", signatures.join(" "))
                .header("webhook-id", event.id)
                .header("webhook-timestamp", time);
        }
        if self.is_secret {
            outgoing = outgoing.to_secret_address();
        }
        outgoing.body("application/cloudevents+json; charset=utf-8", body).answer_of(ANSWER)
    }
}

/// Returns how many events go into one message to a sink: a chat takes many in one, a program one by one.
pub(super) fn at_once(notification: &Notification) -> usize {
    if notification.slack.is_some() { slack::AT_ONCE } else { 1 }
}

#[cfg(test)]
pub(super) fn forge_path(address: &str) -> String {
    path_of(&Url::parse(address).unwrap())
}
