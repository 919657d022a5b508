//! Whom the agent tells of a site, besides its status and Events.

use kube::KubeSchema;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::SecretReference;

/// Somebody who is told of a site.
#[derive(KubeSchema, Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
#[x_kube(validation = Rule::new("[has(self.commitStatus), has(self.cloudEvents), has(self.slack)].filter(set, set).size() == 1").message("exactly one of commitStatus, cloudEvents and slack"))]
#[x_kube(validation = Rule::new("!has(self.commitStatus) || !has(self.events)").message("a commit status has no choice of events"))]
pub struct Notification {
    /// What it is called in messages and metrics.
    #[x_kube(validation = Rule::new("self.matches('^[a-z0-9]([-a-z0-9]*[a-z0-9])?$')").message("lower case letters, digits and hyphens"))]
    #[schemars(length(min = 1, max = 63))]
    pub name: String,
    /// The status of the commit at its forge.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub commit_status: Option<CommitStatusSink>,
    /// CloudEvents 1.0 over HTTP; `schema/event.schema.json` describes them.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cloud_events: Option<CloudEventsSink>,
    /// Messages to Slack, or to a chat that takes Slack's, such as Mattermost and Rocket.Chat.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub slack: Option<SlackSink>,
    /// What is told; default everything with CloudEvents, and what a person may want to know with Slack.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 16), extend("x-kubernetes-list-type" = "set"))]
    pub events: Vec<EventKind>,
}

/// The status of the commit at its forge.
#[derive(KubeSchema, Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct CommitStatusSink {
    /// Which forge.
    pub forge: ForgeKind,
    /// Where its API begins, for example `https://git.example.edu/api/v4`; default that of the host of `source.url`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[x_kube(validation = Rule::new("self.matches('^https?://[^@/?#]+(/[^@?#]*)?$')").message("an https or http address without credentials and query"))]
    #[schemars(length(min = 8, max = 2048))]
    pub url: Option<String>,
    /// The repository, `owner/name`; default that of `source.url`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[x_kube(validation = Rule::new("self.matches('^[A-Za-z0-9._-]+(/[A-Za-z0-9._-]+)*$') && !self.split('/').exists(part, part == '.' || part == '..')").message("owner/name"))]
    #[schemars(length(min = 1, max = 255))]
    pub repository: Option<String>,
    /// A page that the status leads to.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[x_kube(validation = Rule::new("self.matches('^https?://[^@/]+(/.*)?$')").message("an https or http address without credentials"))]
    #[schemars(length(min = 8, max = 2048))]
    pub target_url: Option<String>,
    /// A Secret in this namespace with a token that may set commit statuses, under the key `token` unless `key` says
    /// otherwise.
    pub secret_ref: SecretReference,
}

/// CloudEvents 1.0 over HTTP, in structured mode.
#[derive(KubeSchema, Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
#[x_kube(validation = Rule::new("has(self.url) != has(self.urlSecretRef)").message("one of url and urlSecretRef"))]
pub struct CloudEventsSink {
    /// Where they are sent to.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[x_kube(validation = Rule::new("self.matches('^https?://[^@/]+(/.*)?$')").message("an https or http address without credentials"))]
    #[schemars(length(min = 8, max = 2048))]
    pub url: Option<String>,
    /// A Secret in this namespace with the address, where it is a secret itself, under the key `url` unless `key`
    /// says otherwise.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub url_secret_ref: Option<SecretReference>,
    /// A Secret in this namespace to sign them with by Standard Webhooks, under the key `token` unless `key` says
    /// otherwise.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub secret_ref: Option<SecretReference>,
}

/// Messages to a chat.
#[derive(KubeSchema, Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct SlackSink {
    /// A Secret in this namespace with the address of the incoming webhook, which is a secret itself, under the key
    /// `url` unless `key` says otherwise.
    pub url_secret_ref: SecretReference,
}

/// Which forge.
#[derive(JsonSchema, Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum ForgeKind {
    /// github.com, or GitHub Enterprise.
    GitHub,
    /// gitlab.com, or a GitLab of one's own.
    GitLab,
    /// Gitea.
    Gitea,
    /// Forgejo.
    Forgejo,
}

/// Something that is told of a site; the reason of the Event of the same name.
#[derive(
    JsonSchema, Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize,
)]
pub enum EventKind {
    /// Git has a new revision of the site.
    NewRevision,
    /// A revision was applied, as far as nothing holds it.
    Applied,
    /// Changes wait at their gates.
    Held,
    /// Nothing waits any more.
    Released,
    /// Queues and nodes are held back for a change, or given back.
    Draining,
    /// Somebody changed a live field, and it stays as it is.
    Drifted,
    /// Somebody changed a live field, and it was put right.
    Mended,
    /// A field is rewritten again and again.
    Fight,
    /// A component is no longer healthy.
    Unhealthy,
    /// Everything is healthy again.
    Healthy,
    /// A revision made a healthy component unhealthy.
    BadRevision,
    /// What made a component unhealthy is taken back.
    RolledBack,
    /// Something does not work.
    Failed,
    /// What did not work works again.
    Recovered,
}

/// What somebody who is told of a site knows.
#[derive(JsonSchema, Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct NotificationStatus {
    /// Its name.
    pub name: String,
    /// Why the last message did not get there; nothing where it did.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub failing: Option<String>,
    /// What was told, in digests, so that nothing is told twice.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub told: Vec<String>,
}
