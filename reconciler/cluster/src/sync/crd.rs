//! The custom resource.

use std::collections::BTreeMap;

use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::CustomResourceDefinition;
use kube::{CustomResource, CustomResourceExt, KubeSchema};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::notification::{Notification, NotificationStatus};

/// Which site to follow, on which cluster, and how.
#[derive(CustomResource, KubeSchema, Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[kube(
    group = "sitewright.dev",
    version = "v1alpha1",
    kind = "SiteSync",
    plural = "sitesyncs",
    shortname = "ssync",
    category = "sitewright",
    namespaced,
    status = "SiteSyncStatus",
    doc = "A site in git that an agent follows: it applies what is new, mends what drifts, and tells of it here.",
    printcolumn(
        name = "Ready",
        type_ = "string",
        json_path = r#".status.conditions[?(@.type=="Ready")].status"#
    ),
    printcolumn(name = "State", type_ = "string", json_path = ".status.state"),
    printcolumn(name = "Revision", type_ = "string", json_path = ".status.applied.short"),
    printcolumn(name = "Held", type_ = "integer", json_path = ".status.heldChanges"),
    printcolumn(name = "Drifted", type_ = "integer", json_path = ".status.driftedObjects"),
    printcolumn(
        name = "Message",
        type_ = "string",
        json_path = r#".status.conditions[?(@.type=="Ready")].message"#
    ),
    printcolumn(name = "Age", type_ = "date", json_path = ".metadata.creationTimestamp"),
    printcolumn(name = "URL", type_ = "string", json_path = ".spec.source.url", priority = 1),
    printcolumn(name = "Path", type_ = "string", json_path = ".spec.source.path", priority = 1)
)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct SiteSyncSpec {
    /// Where the site is in git.
    pub source: Source,
    /// Whether to leave everything as it is for now: nothing is read from git, applied or mended.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub suspend: bool,
    /// What to do about drift in components that have no policy of their own, whatever the site says: enforce or
    /// report. Default what the site says.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub drift: Option<DriftMode>,
    /// The cluster that the site describes; default the one that this object is on.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cluster: Option<ClusterReference>,
    /// The service account in this namespace to act as; default the agent's own. Its rights bound what the
    /// site can do.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[x_kube(validation = Rule::new("self.matches('^[a-z0-9]([-a-z0-9.]*[a-z0-9])?$')").message("this is not the name of a service account"))]
    #[schemars(length(min = 1, max = 253))]
    pub service_account_name: Option<String>,
    /// How often to look at the whole cluster where no event asks for it, for example `30m`; default 30 minutes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[x_kube(validation = Rule::new("duration(self) >= duration('10s')").message("at least 10s"))]
    #[schemars(length(max = 32))]
    pub resync: Option<String>,
    /// How the forge tells of a push.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub webhook: Option<Webhook>,
    /// Whom else to tell of the site.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 8), extend("x-kubernetes-list-type" = "map", "x-kubernetes-list-map-keys" = ["name"]))]
    pub notifications: Vec<Notification>,
}

/// Where a site is in git.
#[derive(KubeSchema, Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Source {
    /// The repository: `https://`, `http://` or `ssh://`, without credentials.
    #[x_kube(validation = Rule::new("self.matches('^(https?|ssh)://[^@/]+(/.*)?$') || self.matches('^ssh://[^@/:]+@[^@/]+/.*$')").message("an https, http or ssh address without credentials; those go into a Secret that secretRef names"))]
    #[schemars(length(min = 8, max = 2048))]
    pub url: String,
    /// The branch, tag, `semver:RANGE` or commit; default the repository's default branch.
    #[serde(rename = "ref", default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 255))]
    pub reference: Option<String>,
    /// The folder with the site.yaml, within the repository; default its top.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[x_kube(validation = Rule::new("!self.startsWith('/') && !self.split('/').exists(part, part == '..')").message("a path within the repository"))]
    #[schemars(length(max = 1024))]
    pub path: Option<String>,
    /// How often to look, for example `60s`; some jitter is added. Default a minute.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[x_kube(validation = Rule::new("duration(self) >= duration('5s')").message("at least 5s"))]
    #[schemars(length(max = 32))]
    pub interval: Option<String>,
    /// A Secret in this namespace with `username` and `password`, or `bearerToken`, for the repository.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub secret_ref: Option<SecretReference>,
    /// The commit that is followed although it does not continue what was followed before: a branch that was forced, or
    /// a tag that was moved, is held until this names what it means now.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[x_kube(validation = Rule::new("self.matches('^[0-9a-f]{7,64}$')").message("a commit id, or its first seven digits or more"))]
    #[schemars(length(min = 7, max = 64))]
    pub accept_rewritten: Option<String>,
}

/// A Secret in the namespace of the SiteSync.
#[derive(KubeSchema, Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct SecretReference {
    /// Its name.
    #[schemars(length(min = 1, max = 253))]
    pub name: String,
    /// The key within it, where there is a choice.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 253))]
    pub key: Option<String>,
}

/// The cluster that a site describes.
#[derive(KubeSchema, Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct ClusterReference {
    /// A Secret in this namespace with a kubeconfig, under the key `kubeconfig` unless `key` says otherwise.
    /// Programs that get credentials (`exec`) are not run.
    pub kubeconfig: SecretReference,
}

/// How the forge tells of a push.
#[derive(KubeSchema, Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Webhook {
    /// A Secret in this namespace with the shared secret, under the key `token` unless `key` says otherwise.
    pub secret_ref: SecretReference,
}

/// What to do about drift.
#[derive(JsonSchema, Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum DriftMode {
    /// Mend it at once.
    Enforce,
    /// Show it.
    Report,
}

/// What the agent tells.
#[derive(JsonSchema, Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct SiteSyncStatus {
    /// The generation of the spec that this is about.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub observed_generation: Option<i64>,
    /// In one word: Starting, Reconciling, Ready, Unhealthy, Failing or Suspended.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub state: String,
    /// The site.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub site: Option<String>,
    /// The newest revision that was read.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub observed: Option<AppliedRevision>,
    /// The revision that is applied, as far as nothing holds it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub applied: Option<AppliedRevision>,
    /// The digest of the last plan of the whole site: what an approval names.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub plan: Option<String>,
    /// Ready, Reconciling, Stalled, Drifted and Held.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(extend("x-kubernetes-list-type" = "map", "x-kubernetes-list-map-keys" = ["type"]))]
    pub conditions: Vec<Condition>,
    /// The components in the order of the site, and how they are.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub components: Vec<ComponentStatus>,
    /// How many changes wait.
    #[serde(default)]
    pub held_changes: i64,
    /// How many changes wait, by what they would do to running work.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub held_by_hazard: BTreeMap<String, i64>,
    /// What waits for what, and since when; the first fifty.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub held: Vec<HeldStatus>,
    /// How many live objects differ and stay so.
    #[serde(default)]
    pub drifted_objects: i64,
    /// What is taken node by node, and has nodes left.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub waves: Vec<WaveStatus>,
    /// What differs, who changed it and when; the first fifty.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub drift: Vec<DriftStatus>,
    /// What those who are told of the site know.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(extend("x-kubernetes-list-type" = "map", "x-kubernetes-list-map-keys" = ["name"]))]
    pub notifications: Vec<NotificationStatus>,
    /// Where the inventory is.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub inventory: Option<InventoryReference>,
    /// What came of the last fifty applies, newest first.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub history: Vec<OutcomeStatus>,
}

/// A revision.
#[derive(JsonSchema, Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct AppliedRevision {
    /// In one phrase, for example `main@1f3c9e2a01bc`.
    pub short: String,
    /// The commit.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub commit: Option<String>,
    /// The digest of the site's folder, of its blueprints and of its lock.
    pub inputs: String,
}

/// A condition, as Kubernetes has them (KEP-1623).
#[derive(JsonSchema, Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Condition {
    /// Which one.
    #[serde(rename = "type")]
    pub kind: String,
    /// True, False or Unknown.
    pub status: String,
    /// Why, in one word.
    pub reason: String,
    /// Why, in a sentence.
    pub message: String,
    /// The generation of the spec that it is about.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub observed_generation: Option<i64>,
    /// Since when it has this status, RFC 3339.
    #[schemars(extend("format" = "date-time"))]
    pub last_transition_time: String,
}

/// How a component is.
#[derive(JsonSchema, Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ComponentStatus {
    /// The name.
    pub name: String,
    /// Healthy, Unhealthy, or Unknown before anybody asked.
    pub health: String,
    /// Why it is not healthy.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub message: Option<String>,
}

/// A change that waits.
#[derive(JsonSchema, Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct HeldStatus {
    /// The component.
    pub component: String,
    /// The object.
    pub object: String,
    /// What the change would do to running work.
    pub hazard: String,
    /// What it waits for: the numbers of the gates, each with a page in the book.
    pub gates: Vec<String>,
    /// What it waits for, in words, where the numbers do not tell it all.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub message: Option<String>,
    /// Running work that it would hit; the first five.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub work: Vec<String>,
    /// Since when, RFC 3339.
    pub since: String,
}

/// What is taken node by node.
#[derive(JsonSchema, Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct WaveStatus {
    /// The component.
    pub component: String,
    /// The wave.
    pub wave: String,
    /// Nodes that need nothing any more.
    pub done: i64,
    /// Nodes that are left.
    pub left: i64,
    /// Nodes that are being taken, and those that did not come back, each with where it stands; the first ten.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub nodes: Vec<String>,
    /// Why it cannot go on.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub stopped: Option<String>,
}

/// A live object that differs.
#[derive(JsonSchema, Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct DriftStatus {
    /// The component.
    pub component: String,
    /// The object.
    pub object: String,
    /// The fields, and who changed them; the first ten.
    pub fields: Vec<String>,
    /// Since when it is known, RFC 3339.
    pub since: String,
}

/// Where an inventory is.
#[derive(JsonSchema, Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct InventoryReference {
    /// The namespace of its ConfigMaps, on the cluster that the site describes.
    pub namespace: String,
    /// The label that finds them.
    pub selector: String,
}

/// What came of one apply.
#[derive(JsonSchema, Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct OutcomeStatus {
    /// When it ended, RFC 3339.
    pub time: String,
    /// What was applied.
    pub revision: String,
    /// The plan that was done.
    pub plan: String,
    /// Converged, Held, Failed or Stopped.
    pub end: String,
    /// How many objects were changed.
    pub changed: i64,
    /// How many failed.
    #[serde(default)]
    pub failed: i64,
    /// How many wait.
    #[serde(default)]
    pub held: i64,
}

/// Returns the definition of the custom resource, to be installed.
pub fn definition() -> CustomResourceDefinition {
    SiteSync::crd()
}
