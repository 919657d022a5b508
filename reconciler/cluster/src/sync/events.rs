//! Events about a SiteSync, as `kubectl describe` shows them.

use kube::{
    Resource,
    runtime::events::{Event, EventType, Recorder, Reporter},
};

use super::SiteSync;
use crate::Cluster;

/// Characters of a note; the server refuses more than a kilobyte.
const NOTE: usize = 1_000;

/// Writes Events about one SiteSync.
#[derive(Clone)]
pub struct Teller {
    recorder: Recorder,
    reference: k8s_openapi::api::core::v1::ObjectReference,
}

impl Cluster {
    /// Returns what writes Events about `sync`.
    pub fn teller(&self, sync: &SiteSync) -> Teller {
        let reporter = Reporter { controller: "sitewright".into(), instance: None };
        let recorder = Recorder::new(self.http.client(), reporter);
        Teller { recorder, reference: sync.object_ref(&()) }
    }
}

impl Teller {
    /// Writes an Event; one that cannot be written is lost, and the status has what matters.
    pub async fn tell(&self, reason: &str, is_warning: bool, note: &str) {
        let event = Event {
            type_: if is_warning { EventType::Warning } else { EventType::Normal },
            reason: reason.to_owned(),
            note: Some(note.chars().take(NOTE).collect()),
            action: "Reconcile".to_owned(),
            secondary: None,
        };
        if let Err(error) = self.recorder.publish(&event, &self.reference).await {
            tracing::debug!(%error, "an Event is lost");
        }
    }
}
