//! What the agent tells the record. It never waits for it.

use std::sync::{
    Arc,
    atomic::{AtomicU64, Ordering},
};

use sitewright_cluster::apply::{ObjectOutcome, Report};
use sitewright_model::{
    digest::Digest,
    lineage::{ClusterId, epoch::Happened},
    name::SiteName,
    object::ObjectId,
    revision::Revision,
};
use tokio::sync::mpsc;

use crate::agent::{News, Reason};

/// What the agent did.
#[derive(Clone, Debug)]
pub(crate) enum Entry {
    /// A revision came in force.
    Began {
        /// On which cluster.
        cluster: ClusterId,
        /// Of which site.
        site: SiteName,
        /// The revision.
        revision: Revision,
        /// The digest of what was rendered.
        rendered: Digest,
    },
    /// Something happened in the epoch of a site.
    Happened {
        /// On which cluster.
        cluster: ClusterId,
        /// To which site.
        site: SiteName,
        /// What.
        happened: Happened,
    },
}

/// Where the agent tells what it does. One that leads nowhere costs nothing.
#[derive(Clone, Debug, Default)]
pub(crate) struct Chronicle(Option<Telling>);

#[derive(Clone, Debug)]
struct Telling {
    sender: mpsc::Sender<super::recorder::Item>,
    lost: Arc<AtomicU64>,
}

impl Chronicle {
    pub(super) fn new(sender: mpsc::Sender<super::recorder::Item>, lost: Arc<AtomicU64>) -> Self {
        Self(Some(Telling { sender, lost }))
    }

    fn tell(&self, entry: impl FnOnce() -> Entry) {
        let Some(Telling { sender, lost }) = &self.0 else { return };
        if sender.try_send(super::recorder::Item::Entry(Box::new(entry()))).is_err() {
            lost.fetch_add(1, Ordering::Relaxed);
        }
    }

    /// Says that a revision is in force from now on.
    pub(crate) fn began(
        &self,
        cluster: &str,
        site: &SiteName,
        revision: &Revision,
        rendered: Digest,
    ) {
        self.tell(|| Entry::Began {
            cluster: ClusterId::new(cluster),
            site: site.clone(),
            revision: revision.clone(),
            rendered,
        });
    }

    /// Says what came of an apply.
    pub(crate) fn applied(&self, cluster: &str, report: &Report) {
        self.tell(|| {
            let objects = report
                .components
                .iter()
                .flat_map(|component| &component.objects)
                .map(|object| (object.id.clone(), word(&object.outcome)))
                .collect();
            let happened = Happened::Applied {
                end: serde_word(&report.end),
                plan: report.plan.0.to_string(),
                objects,
            };
            Entry::Happened {
                cluster: ClusterId::new(cluster),
                site: report.site.clone(),
                happened,
            }
        });
    }

    /// Says what was told to people, as far as the record is about it.
    pub(crate) fn told(&self, cluster: &str, site: &SiteName, news: &News) {
        let object = || news.object.clone().unwrap_or_else(|| whole(site));
        let what = || news.message.clone();
        let happened = match news.reason {
            Reason::Drifted | Reason::Fight => {
                Happened::Drifted { object: object(), what: what(), is_mended: false }
            }
            Reason::Mended => Happened::Drifted { object: object(), what: what(), is_mended: true },
            Reason::Held | Reason::Draining => Happened::Held { object: object(), why: what() },
            Reason::Released => Happened::Released { object: object() },
            _ => return,
        };
        self.tell(|| Entry::Happened {
            cluster: ClusterId::new(cluster),
            site: site.clone(),
            happened,
        });
    }
}

/// What stands for all objects of a site.
fn whole(site: &SiteName) -> ObjectId {
    let kind = sitewright_model::object::GroupKind::new("sitewright.dev", "Site");
    ObjectId { kind, namespace: None, name: site.to_string() }
}

fn word(outcome: &ObjectOutcome) -> String {
    match serde_json::to_value(outcome) {
        Ok(serde_json::Value::String(word)) => word,
        Ok(serde_json::Value::Object(map)) => {
            let named = map.values().find_map(serde_json::Value::as_str).map(str::to_owned);
            named.or_else(|| map.keys().next().cloned()).unwrap_or_default()
        }
        _ => String::new(),
    }
}

fn serde_word(value: &impl serde::Serialize) -> String {
    match serde_json::to_value(value) {
        Ok(serde_json::Value::String(word)) => word,
        _ => String::new(),
    }
}
