//! `SiteSync`: what tells an agent in a cluster which site to follow, and what the agent tells of it.
//!
//! Comes in: a cluster with such objects. Goes out: each of them as it is now, whenever one changes; their status
//! and Events go back. Never: follows a site; that is the agent's.

#[expect(
    unreachable_pub,
    clippy::duplicated_attributes,
    reason = "the derive writes copies of these types where nothing reaches them; columns of one type are no duplicates"
)]
mod crd;
mod events;
mod list;
#[expect(
    unreachable_pub,
    reason = "the derive writes copies of these types where nothing reaches them"
)]
mod notification;
mod secret;
mod write;

pub use self::{
    crd::{
        AppliedRevision, ClusterReference, ComponentStatus, Condition, DriftMode, DriftStatus,
        HeldStatus, InventoryReference, OutcomeStatus, SecretReference, SiteSync, SiteSyncSpec,
        SiteSyncStatus, Source, WaveStatus, Webhook, definition,
    },
    events::Teller,
    list::{Change, Syncs},
    notification::{
        CloudEventsSink, CommitStatusSink, EventKind, ForgeKind, Notification, NotificationStatus,
        SlackSink,
    },
    secret::SecretData,
};

/// How a SiteSync is found: namespace and name.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct SyncKey {
    /// The namespace.
    pub namespace: String,
    /// The name.
    pub name: String,
}

impl std::fmt::Display for SyncKey {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}/{}", self.namespace, self.name)
    }
}
