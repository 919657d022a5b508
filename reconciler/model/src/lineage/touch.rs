//! What of a configuration may have touched a run: of the hundreds of objects of an epoch, the few that matter to it.
//!
//! Comes in: a run with its epochs. Goes out: what was changed, held, or drifted, and why it may matter. Never: a verdict
//! that nothing else does; the whole stays in the epoch.

use std::collections::BTreeSet;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{EntityId, EntityKind, Fact, Graph, Node, Relation};
use crate::object::ObjectId;

/// Kinds that reach runs wherever they are, by what they reach them.
const EVERYWHERE: [(&str, &str); 15] = [
    ("ClusterPolicy", "it sets the driver and the device plugin"),
    ("NVIDIADriver", "it sets the driver"),
    ("DeviceClass", "it sets which devices jobs get"),
    ("DeviceConfig", "it sets the driver"),
    ("MachineConfig", "it sets the nodes"),
    ("MachineConfigPool", "it sets the nodes"),
    ("KubeletConfig", "it sets the nodes"),
    ("NodeFeatureRule", "it sets labels of nodes"),
    ("MutatingWebhookConfiguration", "it changes pods as they are made"),
    ("MutatingAdmissionPolicy", "it changes pods as they are made"),
    ("ValidatingWebhookConfiguration", "it admits pods"),
    ("PriorityClass", "it sets who has to go first"),
    ("RuntimeClass", "it sets how containers are run"),
    ("StorageClass", "it sets where data is"),
    ("ClusterTrainingRuntime", "it sets how training is run"),
];

/// Something of an epoch that may have touched a run.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Touch {
    /// The epoch.
    pub epoch: EntityId,
    /// What happened: `object`, `held`, `released`, `drift` or `mended`.
    pub what: String,
    /// To which object, and what.
    pub of: String,
    /// Why it may matter to the run.
    pub because: String,
    /// Whether it happened while the run was under way; else before it.
    pub during: bool,
}

/// Returns what touched a run, in order of its epochs. `graph` holds the run and its epochs.
pub fn touches(graph: &Graph, run: &Node) -> Vec<Touch> {
    let around = Around::of(graph, run);
    let epochs = graph.edges_from(&run.id).filter(|edge| edge.relation == Relation::ConfiguredBy);
    let epochs: BTreeSet<&EntityId> = epochs.map(|edge| &edge.to).collect();
    let mut found = BTreeSet::new();
    for epoch in epochs.into_iter().filter_map(|id| graph.node(id)) {
        for fact in &epoch.facts {
            let is_news =
                matches!(fact.field.as_str(), "object" | "held" | "released" | "drift" | "mended");
            let Some(object) = fact.source.object.as_ref().filter(|_| is_news) else { continue };
            let Some(because) = around.because(object) else { continue };
            if around.is_over_before(fact) {
                continue;
            }
            found.insert(Touch {
                epoch: epoch.id.clone(),
                what: fact.field.clone(),
                of: fact.value.clone(),
                because,
                during: around.is_during(fact),
            });
        }
    }
    found.into_iter().collect()
}

/// What is around a run.
struct Around<'g> {
    namespace: Option<&'g str>,
    queues: BTreeSet<&'g str>,
    flavors: BTreeSet<&'g str>,
    nodes: BTreeSet<&'g str>,
    began: Option<jiff::Timestamp>,
    ended: Option<jiff::Timestamp>,
}

impl<'g> Around<'g> {
    fn of(graph: &'g Graph, run: &'g Node) -> Self {
        let values = |node: &'g Node, field: &'g str| {
            let facts = node.facts.iter().filter(move |fact| fact.field == field);
            facts.map(|fact| fact.value.as_str())
        };
        let tried = graph.edges_from(&run.id).filter(|edge| edge.relation == Relation::Tried);
        let attempts = tried.filter_map(|edge| graph.node(&edge.to));
        let nodes = attempts.flat_map(|attempt| {
            let on = graph.edges_from(&attempt.id);
            let on = on.filter(|edge| edge.to.kind() == EntityKind::Node);
            let names = on.filter_map(|edge| graph.node(&edge.to)?.value("name"));
            names.chain(values(attempt, "node")).collect::<Vec<_>>()
        });
        let time = |fields: &[&str]| {
            fields.iter().find_map(|field| run.value(field)?.parse::<jiff::Timestamp>().ok())
        };
        let flavors = values(run, "flavor").filter_map(|value| Some(value.split_once('=')?.1));
        Self {
            namespace: run.namespace.as_deref(),
            queues: values(run, "queue").chain(values(run, "clusterQueue")).collect(),
            flavors: flavors.collect(),
            nodes: nodes.collect(),
            began: time(&["createdAt", "startedAt"]),
            ended: time(&["finishedAt", "goneAt"]),
        }
    }

    /// Returns why an object may matter.
    fn because(&self, object: &ObjectId) -> Option<String> {
        let ObjectId { kind, namespace, name } = object;
        if namespace.is_some() && namespace.as_deref() == self.namespace {
            return Some("it is in its namespace".to_owned());
        }
        let named = |names: &BTreeSet<&str>, why: &str| {
            names.contains(name.as_str()).then(|| why.to_owned())
        };
        match kind.kind.as_str() {
            "Namespace" => (self.namespace == Some(name)).then(|| "it is its namespace".to_owned()),
            "ClusterQueue" | "LocalQueue" | "Queue" => named(&self.queues, "it is its queue"),
            "Cohort" => Some("queues lend in it".to_owned()),
            "ResourceFlavor" => named(&self.flavors, "its quota is of this flavor"),
            "Node" => named(&self.nodes, "it ran on it"),
            other => {
                let found = EVERYWHERE.iter().find(|(kind, _)| *kind == other);
                found.map(|(_, why)| (*why).to_owned())
            }
        }
    }

    fn is_during(&self, fact: &Fact) -> bool {
        self.began.is_some_and(|began| fact.at >= began)
            && self.ended.is_none_or(|ended| fact.at <= ended)
    }

    /// Returns whether the run was over before something happened.
    fn is_over_before(&self, fact: &Fact) -> bool {
        self.ended.is_some_and(|ended| fact.at > ended)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::lineage::sample;

    #[test]
    fn of_a_configuration_what_may_matter_to_a_run_is_told_and_why() {
        let graph = sample::graph();
        let run = graph.of_kind(EntityKind::Run).next().unwrap();
        let found = touches(&graph, run);
        assert!(
            found.iter().any(|touch| touch.what == "object"
                && touch.of.starts_with("ClusterPolicy.nvidia.com")
                && touch.because == "it sets the driver and the device plugin"),
            "{found:#?}"
        );
        let ended = run.value("finishedAt").unwrap().parse::<jiff::Timestamp>().unwrap();
        for touch in &found {
            let facts = graph.node(&touch.epoch).unwrap().facts.iter();
            let at = facts.filter(|fact| fact.value == touch.of).map(|fact| fact.at).min().unwrap();
            assert!(at <= ended, "{touch:?} came after the run");
        }
    }

    #[test]
    fn another_namespace_and_another_queue_do_not_matter() {
        let graph = sample::graph();
        let run = graph.of_kind(EntityKind::Run).next().unwrap();
        let around = Around::of(&graph, run);
        let object = |kind: &str, namespace: Option<&str>, name: &str| ObjectId {
            kind: crate::object::GroupKind::new("", kind),
            namespace: namespace.map(str::to_owned),
            name: name.to_owned(),
        };
        assert!(around.because(&object("ConfigMap", Some("vision"), "x")).is_some());
        assert_eq!(around.because(&object("ConfigMap", Some("speech"), "x")), None);
        assert_eq!(around.because(&object("ClusterQueue", None, "other")), None);
        assert!(around.because(&object("LocalQueue", Some("other"), "gpu-a100")).is_some());
        assert_eq!(around.because(&object("Deployment", Some("monitoring"), "x")), None);
    }
}
