//! What runs on the cluster now, what of it is held back for a site, and the holding back itself.
//!
//! Comes in: [`Desired`], for the waves that it has, and [`Deed`](sitewright_model::drain::Deed)s. Goes out: [`Running`].
//! Never: decides what is drained (the model does), or does a deed that the ledger does not account for.

mod deed;
mod owners;
mod read;

use std::collections::BTreeMap;

use serde_json::Value;
use sitewright_model::{
    desired::Desired,
    drain::{self, Ledger, Next, key},
    format::blueprint::HealthRule,
    health::{Health, Rules},
    name::{ComponentName, SiteName},
    object::GroupKind,
    work::Running,
};

use crate::{
    Cluster, Error,
    discovery::Kinds,
    lock::Lock,
    observe::listing::{self, Key, Query, Visit},
    record::Record,
};

/// On a node or queue that is held back: the site that holds it.
pub(crate) const HELD_BY: &str = "sitewright.dev/held-by";

/// Where the ledger is: written before anything is held back (law 2).
const LEDGER: Record = Record { name: "drains", format: drain::FORMAT };

/// A pod that has ended is no running work.
const RUNNING: &str = "status.phase!=Succeeded,status.phase!=Failed";

/// Kinds that are looked at where they are served.
const WORKLOAD: (&str, &str) = ("kueue.x-k8s.io", "Workload");
const CLUSTER_QUEUE: (&str, &str) = ("kueue.x-k8s.io", "ClusterQueue");
const FLAVOR: (&str, &str) = ("kueue.x-k8s.io", "ResourceFlavor");
const NODE: (&str, &str) = ("", "Node");
const POD: (&str, &str) = ("", "Pod");
const DAEMON_SET: (&str, &str) = ("apps", "DaemonSet");

impl Cluster {
    /// Looks at what runs, and at what is held back for the site.
    ///
    /// Costs one request for each page of 500 nodes and pods, one for each kind of Kueue that is served, and
    /// one for each owner of pods whose own owner is not known.
    ///
    /// # Errors
    /// The server does not answer, or the ledger is damaged. What may not be looked at is named in
    /// [`Running::missing`].
    pub async fn running(&self, desired: &Desired) -> Result<Running, Error> {
        let kinds = [NODE, POD].map(|(group, kind)| GroupKind::new(group, kind));
        let kinds = self.kinds(kinds.iter()).await?;
        let mut running =
            Running { ledger: self.ledger(&desired.site).await?, ..Running::default() };
        let conditions = conditions(desired)?;
        for node in self.all(&kinds, NODE, Query::ALL, &mut running.missing).await? {
            running.nodes.push(read::node(&node, &conditions));
        }
        let pods = Query { fields: Some(RUNNING), ..Query::ALL };
        let mut pods: Vec<read::RawPod> = self
            .all(&kinds, POD, pods, &mut running.missing)
            .await?
            .iter()
            .map(read::pod)
            .collect();
        owners::resolve(&self.http, &kinds, &mut pods).await?;
        running.pods = pods.into_iter().map(read::RawPod::finish).collect();
        self.queues(&kinds, &mut running).await?;
        self.daemon_sets(desired, &kinds, &mut running).await?;
        Ok(running)
    }

    /// Returns what is held back for the site, as the cluster remembers it.
    ///
    /// # Errors
    /// The server does not answer, or the ledger is damaged.
    pub async fn ledger(&self, site: &SiteName) -> Result<Ledger, Error> {
        Ok(LEDGER.load(&self.http, site).await?.map(|(ledger, _)| ledger).unwrap_or_default())
    }

    /// Does what comes next, under the lock of the site: writes the ledger, does the deeds, and forgets what was given
    /// back. Returns what a deed was refused with, one sentence each.
    ///
    /// # Errors
    /// The lock is held by another, the server does not answer, or another wrote the ledger. Every step may be done
    /// again.
    pub async fn drain(
        &self,
        site: &SiteName,
        seen: &Ledger,
        next: &Next,
    ) -> Result<Vec<String>, Error> {
        let lock = Lock::acquire(&self.http, site).await?;
        let http = self.http.within_fence(lock.fence());
        let done = self.drain_locked(&http, site, seen, next).await;
        let released = lock.release().await;
        let refused = done?;
        released?;
        Ok(refused)
    }

    async fn drain_locked(
        &self,
        http: &crate::client::http::Http,
        site: &SiteName,
        seen: &Ledger,
        next: &Next,
    ) -> Result<Vec<String>, Error> {
        let (there, mut version) = LEDGER.load::<Ledger>(http, site).await?.unwrap_or_default();
        if there != *seen {
            return Err(Error::InventoryRace { object: LEDGER.what(site) });
        }
        if next.before != there {
            version = LEDGER.write(http, site, &next.before, &version).await?;
        }
        let mut refused = Vec::new();
        let mut kept = Vec::new();
        for deed in &next.deeds {
            match deed::run(http, site, deed).await {
                Ok(()) => {}
                Err(error) if error.loses_ground() => return Err(error),
                Err(error) => {
                    refused.push(format!("{deed}: {error}"));
                    if deed.gives_back() {
                        kept.push(deed);
                    }
                }
            }
        }
        // what could not be given back is not forgotten
        let after = if kept.is_empty() { &next.after } else { &next.before };
        if *after != next.before {
            LEDGER.write(http, site, after, &version).await?;
        }
        Ok(refused)
    }

    /// Lists a kind; nothing where it is not served. Where it may not be listed, that is noted in `missing`.
    async fn all(
        &self,
        kinds: &Kinds,
        (group, kind): (&str, &str),
        asked: Query<'_>,
        missing: &mut Vec<String>,
    ) -> Result<Vec<Value>, Error> {
        let kind = GroupKind::new(group, kind);
        if let Err(error) = kinds.expect_fresh(&kind) {
            missing.push(error.to_string());
            return Ok(Vec::new());
        }
        let Some(resource) = kinds.preferred(&kind) else { return Ok(Vec::new()) };
        let mut visit = Whole(Vec::new());
        match listing::read(&self.http, resource, asked, &mut visit).await {
            Ok(()) => Ok(visit.0),
            Err(error) if error.loses_ground() => Err(error),
            Err(error) => {
                missing.push(error.to_string());
                Ok(Vec::new())
            }
        }
    }

    async fn queues(&self, kinds: &Kinds, running: &mut Running) -> Result<(), Error> {
        let missing = &mut running.missing;
        let workloads = self.all(kinds, WORKLOAD, Query::ALL, missing).await?;
        running.workloads = workloads.iter().filter_map(read::workload).collect();
        let flavors = self.all(kinds, FLAVOR, Query::ALL, missing).await?;
        let flavors: BTreeMap<String, BTreeMap<String, String>> =
            flavors.iter().map(read::flavor).collect();
        let queues = self.all(kinds, CLUSTER_QUEUE, Query::ALL, missing).await?;
        running.queues = queues.iter().map(|queue| read::queue(queue, &flavors)).collect();
        Ok(())
    }

    async fn daemon_sets(
        &self,
        desired: &Desired,
        kinds: &Kinds,
        running: &mut Running,
    ) -> Result<(), Error> {
        let waves = desired.components.iter().flat_map(|component| &component.waves);
        let restarts: Vec<_> = waves.filter_map(|wave| wave.rule.restart.as_ref()).collect();
        let namespaces: std::collections::BTreeSet<&str> =
            restarts.iter().map(|restart| restart.namespace.as_str()).collect();
        for namespace in namespaces {
            let asked = Query { namespace: Some(namespace), ..Query::ALL };
            let sets = self.all(kinds, DAEMON_SET, asked, &mut running.missing).await?;
            let revision = ("apps", "ControllerRevision");
            let revisions = self.all(kinds, revision, asked, &mut running.missing).await?;
            running.daemon_sets.extend(sets.iter().map(|set| read::daemon_set(set, &revisions)));
        }
        Ok(())
    }
}

struct Whole(Vec<Value>);

impl Visit for Whole {
    fn item(&mut self, _: Key, value: Value) -> Result<(), Error> {
        self.0.push(value);
        Ok(())
    }

    fn restart(&mut self) {
        self.0.clear();
    }
}

/// The condition of each wave that has one, by its key among those of a node.
type Conditions = Vec<(String, Rules)>;

fn conditions(desired: &Desired) -> Result<Conditions, Error> {
    let mut conditions = Vec::new();
    for component in &desired.components {
        for wave in &component.waves {
            let Some(ready) = &wave.rule.ready else { continue };
            let name = &wave.rule.name;
            conditions.push((key(&component.name, name), compiled(&component.name, ready)?));
        }
    }
    Ok(conditions)
}

fn compiled(component: &ComponentName, ready: &str) -> Result<Rules, Error> {
    let rule = HealthRule {
        kind: "Node".into(),
        name: None,
        ready: ready.to_owned(),
        failed: None,
        message: None,
        deadline: None,
    };
    Rules::compile(&[rule]).map_err(|errors| Error::HealthRule {
        component: component.clone(),
        why: errors.first().map(ToString::to_string).unwrap_or_default(),
    })
}

fn fulfils(node: &Value, rules: &Rules) -> Result<bool, String> {
    match sitewright_model::health::assess(node, rules) {
        Health::Current => Ok(true),
        Health::Unknown { why } => Err(why),
        _ => Ok(false),
    }
}
