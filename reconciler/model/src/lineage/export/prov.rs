//! W3C PROV-JSON: things as entities, runs and attempts as activities, people and the recorder as agents.
//!
//! What PROV has a word for is said by it; any other tie is an influence with its own word as an attribute. Each has its
//! grade.

use serde_json::{Map, Value, json};

use super::{EntityId, EntityKind, Graph, Node, Relation, Run, names};
use crate::lineage::{
    DOMAIN,
    picture::{Line, lines},
};

/// The name of the recorder as an agent.
const RECORDER: &str = "sw:recorder";

/// Returns the graph as a document of PROV-JSON.
pub fn document(graph: &Graph) -> Value {
    let mut document = Document::default();
    let prefixes = json!({
        "sw": format!("https://{DOMAIN}/id/"),
        "swp": format!("https://{DOMAIN}/prov#"),
    });
    for node in &graph.nodes {
        document.thing(graph, node);
    }
    let recorder = json!({ "prov:type": prov_type("prov:SoftwareAgent"), "prov:label": "Sitewright lineage recorder" });
    document.put("agent", RECORDER.to_owned(), recorder);
    for (order, line) in lines(graph).iter().enumerate() {
        document.tie(order, line);
    }
    let mut map = Map::new();
    map.insert("prefix".into(), prefixes);
    map.extend(document.0.into_iter().map(|(kind, records)| (kind, Value::Object(records))));
    Value::Object(map)
}

/// Records by their kind and name.
#[derive(Default)]
struct Document(std::collections::BTreeMap<String, Map<String, Value>>);

impl Document {
    fn put(&mut self, kind: &str, name: String, record: Value) {
        self.0.entry(kind.to_owned()).or_default().insert(name, record);
    }

    fn thing(&mut self, graph: &Graph, node: &Node) {
        let mut record = Map::new();
        record.insert("prov:label".into(), json!(node.title()));
        record.insert("swp:kind".into(), json!(node.kind.word()));
        for field in node.fields() {
            let Some(known) = node.known(field) else { continue };
            let values: Vec<Value> =
                [known.value].into_iter().chain(known.others).map(|value| json!(value)).collect();
            let value = if values.len() == 1 { json!(known.value) } else { Value::Array(values) };
            record.insert(format!("swp:{}", local(field)), value);
            record.insert(format!("swp:{}-grade", local(field)), json!(known.grade.word()));
        }
        let kind = match node.kind {
            EntityKind::Run | EntityKind::Attempt | EntityKind::Epoch | EntityKind::Service => {
                self.times(graph, node, &mut record);
                "activity"
            }
            EntityKind::Person => {
                record.insert("prov:type".into(), prov_type("prov:Person"));
                "agent"
            }
            EntityKind::Data | EntityKind::Tree | EntityKind::Volume => {
                record.insert("prov:type".into(), prov_type("swp:Data"));
                "entity"
            }
            _ => "entity",
        };
        self.put(kind, name(&node.id), Value::Object(record));
    }

    fn times(&mut self, graph: &Graph, node: &Node, record: &mut Map<String, Value>) {
        let Some(run) = Run::find(graph, &node.id) else { return };
        let times = [("prov:startTime", run.started()), ("prov:endTime", run.ended())];
        record.extend(
            times.into_iter().filter_map(|(key, at)| Some((key.into(), json!(at?.to_string())))),
        );
        let association = json!({ "prov:activity": name(&node.id), "prov:agent": RECORDER, "prov:role": "recorder" });
        let id = format!("_:recorded{}", names::run_id(&node.id).simple());
        self.put("wasAssociatedWith", id, association);
    }

    fn tie(&mut self, order: usize, line: &Line<'_>) {
        let edge = line.edge;
        let is_activity = |id: &EntityId| {
            matches!(
                id.kind(),
                EntityKind::Run | EntityKind::Attempt | EntityKind::Epoch | EntityKind::Service
            )
        };
        let is_agent = |id: &EntityId| id.kind() == EntityKind::Person;
        let (from, to) = (&edge.from, &edge.to);
        let (kind, later, earlier) = match edge.relation {
            Relation::Used | Relation::RanCode | Relation::ExecutedIn | Relation::Serves
                if is_activity(from) && !is_activity(to) =>
            {
                ("used", "prov:activity", "prov:entity")
            }
            Relation::GeneratedBy if is_activity(to) && !is_activity(from) => {
                ("wasGeneratedBy", "prov:entity", "prov:activity")
            }
            Relation::DerivedFrom if !is_activity(from) && !is_activity(to) => {
                ("wasDerivedFrom", "prov:generatedEntity", "prov:usedEntity")
            }
            Relation::ContinuedFrom | Relation::Follows if is_activity(from) && is_activity(to) => {
                ("wasInformedBy", "prov:informed", "prov:informant")
            }
            Relation::OwnedBy if is_activity(from) && is_agent(to) => {
                ("wasAssociatedWith", "prov:activity", "prov:agent")
            }
            // mounted, expected, configured, ran on: an influence, and no more is said
            _ => ("wasInfluencedBy", "prov:influencee", "prov:influencer"),
        };
        let record = json!({
            later: name(from),
            earlier: name(to),
            "swp:relation": edge.relation.word(),
            "swp:grade": line.grade.word(),
            "swp:source": edge.source.to_string(),
        });
        self.put(kind, format!("_:tie{order}"), record);
    }
}

fn prov_type(name: &str) -> Value {
    json!({ "$": name, "type": "prov:QUALIFIED_NAME" })
}

/// Returns the name of a thing: its address, by our prefix.
fn name(id: &EntityId) -> String {
    let address = names::iri(id);
    let local = address.split_once("/id/").map_or(address.as_str(), |(_, local)| local);
    format!("sw:{local}")
}

/// Returns a property as a local name: what none may have becomes a line.
fn local(field: &str) -> String {
    let fits = |c: char| if c.is_ascii_alphanumeric() || "._-".contains(c) { c } else { '_' };
    field.chars().map(fits).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::lineage::sample;

    #[test]
    fn a_claim_and_what_was_only_within_reach_stay_what_they_are() {
        let document = document(&sample::graph());
        let used = document["used"].as_object().unwrap();
        assert!(used.values().all(|one| one["swp:grade"] != "resolved"), "{used:#?}");
        let influences = document["wasInfluencedBy"].as_object().unwrap();
        let mounted = influences.values().find(|one| one["swp:relation"] == "mayHaveRead").unwrap();
        assert!(mounted["prov:influencer"].as_str().unwrap().starts_with("sw:volume:"));
        let run = &document["activity"][&name(&sample::run())];
        assert_eq!(run["prov:startTime"], "2026-11-18T08:12:30Z");
        assert_eq!(run["prov:endTime"], "2026-11-18T11:48:35Z");
    }

    #[test]
    fn every_tie_and_every_thing_is_in_it() {
        let graph = sample::graph();
        let document = document(&graph);
        let count = |kinds: &[&str]| -> usize {
            kinds.iter().map(|kind| document[kind].as_object().map_or(0, Map::len)).sum()
        };
        // the recorder is an agent more
        assert_eq!(count(&["entity", "activity", "agent"]), graph.nodes.len() + 1);
        let ties = [
            "used",
            "wasGeneratedBy",
            "wasDerivedFrom",
            "wasInformedBy",
            "wasAssociatedWith",
            "wasInfluencedBy",
        ];
        // and is associated with the run and its two attempts
        assert_eq!(count(&ties), lines(&graph).len() + 3);
    }
}
