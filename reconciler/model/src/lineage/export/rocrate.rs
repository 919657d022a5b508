//! RO-Crate 1.1 with the profile Process Run Crate 0.5: what one keeps beside a paper.
//!
//! A run is a `CreateAction` whose instrument is the code, or the image where no code is known. The profile has no place
//! for how well a thing is known: each tie is a `PropertyValue` of its action, with the grade as its value, so nothing of
//! it is lost.

use std::collections::BTreeMap;

use jiff::{Timestamp, tz::TimeZone};
use serde_json::{Map, Value, json};

use super::{EntityId, Graph, Node, Outcome, Relation, Run, Tie, names, openlineage};
use crate::lineage::{DOMAIN, picture::label};

/// The profile.
const PROFILE: &str = "https://w3id.org/ro/wfrun/process/0.5";
/// Where the words of the profile are that the context of RO-Crate lacks. They are written into each crate, so that who
/// reads it has one context less to fetch.
const TERMS: &str = "https://w3id.org/ro/terms/workflow-run#";
/// These words.
const WORDS: [&str; 7] =
    ["ContainerImage", "DockerImage", "containerImage", "environment", "registry", "sha256", "tag"];

/// What only who publishes knows.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Options {
    /// What the crate is called.
    pub name: String,
    /// The licence: the address of its text.
    pub license: String,
    /// Who publishes it; a crate should say so.
    pub publisher: Option<Organization>,
    /// The version of the program.
    pub recorder: String,
}

/// An organisation.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Organization {
    /// What it is called.
    pub name: String,
    /// Its address.
    pub url: String,
}

/// Returns the text of `ro-crate-metadata.json`.
pub fn metadata(graph: &Graph, options: &Options) -> Value {
    let mut krate = Crate::default();
    let runs: Vec<Run<'_>> = Run::all(graph).collect();
    let actions: Vec<Value> = runs.iter().map(|run| krate.action(*run)).collect();
    let published = runs.iter().filter_map(Run::ended).chain(runs.iter().filter_map(Run::started));
    // what was not published in the end was at least recorded
    let published = published.max().or_else(|| graph.edges.iter().map(|edge| edge.at).max());
    let parts: Vec<Value> = krate.parts.iter().map(|id| json!({ "@id": id })).collect();
    let about = krate.notes(graph);
    let mut root = json!({
        "@id": "./",
        "@type": "Dataset",
        "name": options.name,
        "description": about,
        "datePublished": time(published.unwrap_or(Timestamp::UNIX_EPOCH)),
        "license": { "@id": names::uri(&options.license) },
        "conformsTo": { "@id": PROFILE },
    });
    if let Some(Organization { name, url }) = &options.publisher {
        let id = json!({ "@id": "#publisher" });
        put(&mut root, "author", id.clone());
        put(&mut root, "publisher", id);
        let url = names::uri(url);
        krate.add(json!({
            "@id": "#publisher",
            "@type": "Organization",
            "name": name,
            "url": url,
        }));
    }
    put_list(&mut root, "mentions", actions);
    put_list(&mut root, "hasPart", parts);
    krate.add(root);
    krate.add(json!({
        "@id": "ro-crate-metadata.json",
        "@type": "CreativeWork",
        "conformsTo": { "@id": "https://w3id.org/ro/crate/1.1" },
        "about": { "@id": "./" },
        "creator": { "@id": recorder() },
    }));
    krate.add(json!({
        "@id": PROFILE,
        "@type": "CreativeWork",
        "name": "Process Run Crate",
        "version": "0.5",
    }));
    krate.add(json!({
        "@id": names::uri(&options.license),
        "@type": "CreativeWork",
        "name": options.license,
    }));
    krate.add(json!({
        "@id": recorder(),
        "@type": "SoftwareApplication",
        "name": "Sitewright lineage recorder",
        "url": { "@id": format!("https://{DOMAIN}/") },
        "version": options.recorder,
    }));
    let graph: Vec<Value> = krate.entities.into_values().collect();
    let words = WORDS.map(|word| (word.to_owned(), json!(format!("{TERMS}{word}"))));
    let words: Map<String, Value> = words.into_iter().collect();
    json!({ "@context": ["https://w3id.org/ro/crate/1.1/context", words], "@graph": graph })
}

/// Entities by `@id`.
#[derive(Default)]
struct Crate {
    entities: BTreeMap<String, Value>,
    /// Datasets and files of the crate.
    parts: std::collections::BTreeSet<String>,
}

impl Crate {
    fn add(&mut self, entity: Value) -> Value {
        let id = entity.get("@id").and_then(Value::as_str).unwrap_or_default().to_owned();
        self.entities.entry(id.clone()).or_insert(entity);
        json!({ "@id": id })
    }

    fn action(&mut self, run: Run<'_>) -> Value {
        let mut action = json!({
            "@id": names::iri(&run.node.id),
            "@type": "CreateAction",
            "name": label(run.graph, run.node).title,
            "identifier": run.node.id.as_str(),
            "description": describe(run),
        });
        if let Some(status) = status(run.outcome()) {
            put(&mut action, "actionStatus", json!(status));
        }
        let inputs = [Relation::Used, Relation::Expected, Relation::MayHaveRead];
        let objects: Vec<Value> =
            run.causes(&inputs).iter().map(|tie| self.data(run.graph, tie.node)).collect();
        let results: Vec<Value> =
            run.outputs().iter().map(|tie| self.data(run.graph, tie.node)).collect();
        let code = run.code();
        let images = run.causes(&[Relation::ExecutedIn]);
        let instruments: Vec<Value> = code.iter().map(|tie| self.software(tie)).collect();
        let containers: Vec<Value> = images.iter().map(|tie| self.image(tie.node)).collect();
        let instrument = match instruments.into_iter().next() {
            Some(instrument) => instrument,
            None => self.unknown_software(&images),
        };
        put(&mut action, "instrument", instrument);
        if let Some(at) = run.started() {
            put(&mut action, "startTime", json!(time(at)));
        }
        if let Some(at) = run.ended() {
            put(&mut action, "endTime", json!(time(at)));
        }
        put_list(&mut action, "result", results);
        put_list(&mut action, "containerImage", containers);
        if run.outcome() == Outcome::Failed {
            put(&mut action, "error", json!(run.node.value("reason").unwrap_or("it failed")));
        }
        for tie in run.causes(&[Relation::OwnedBy]) {
            let id = names::iri(&tie.node.id);
            let name = format!("pseudonym {}", tie.node.id.short());
            let agent = self.add(json!({ "@id": id, "@type": "Person", "name": name }));
            put(&mut action, "agent", agent);
        }
        let mut objects = objects;
        objects.extend(self.parameters(run));
        objects.extend(self.configuration(run));
        put_list(&mut action, "object", objects);
        let environment = self.environment(run);
        put_list(&mut action, "environment", environment);
        let grades = self.grades(run);
        put_list(&mut action, "additionalProperty", grades);
        self.add(action)
    }

    /// Data as a folder or file elsewhere: it is named, not packed.
    fn data(&mut self, graph: &Graph, node: &Node) -> Value {
        let dataset = names::dataset(node);
        // a folder has a slash at its end
        let id = format!("{}/", names::iri(&node.id));
        let mut entity = json!({
            "@id": id,
            "@type": "Dataset",
            "name": label(graph, node).title,
            "identifier": node.id.as_str(),
        });
        if dataset.namespace.contains("://") {
            let url = names::uri(&format!("{}/{}", dataset.namespace, dataset.name));
            put(&mut entity, "contentUrl", json!(url));
        }
        if let Some(bytes) = node.value("bytes") {
            put(&mut entity, "contentSize", json!(bytes));
        }
        self.parts.insert(id);
        self.add(entity)
    }

    fn software(&mut self, tie: &Tie<'_>) -> Value {
        let commit = tie.node.id.rest();
        let uri = tie.node.value("uri").unwrap_or_default();
        let uri = uri.strip_prefix("git+").unwrap_or(uri);
        let name = uri.split('#').next().filter(|name| !name.is_empty()).unwrap_or(commit);
        let mut entity = json!({
            "@id": names::iri(&tie.node.id),
            "@type": "SoftwareApplication",
            "name": name,
            "softwareVersion": commit,
            "identifier": tie.node.id.as_str(),
        });
        if uri.contains("://") {
            let url = json!({ "@id": names::uri(uri) });
            put(&mut entity, "url", url);
        }
        self.add(entity)
    }

    /// What ran where nobody named the code: the image, and if even that is not known, this is said.
    fn unknown_software(&mut self, images: &[Tie<'_>]) -> Value {
        let name = images.first().map(|tie| tie.node.title());
        let version = images.first().map_or("unknown", |tie| tie.node.id.rest());
        let name = name.map_or_else(|| "unknown".to_owned(), |name| format!("image {name}"));
        self.add(json!({
            "@id": format!("https://{DOMAIN}/unknown-code/{}", names::uri(version)),
            "@type": "SoftwareApplication",
            "name": name,
            "softwareVersion": version,
            "url": { "@id": images.first().map_or_else(|| format!("https://{DOMAIN}/unknown-code"), |tie| names::iri(&tie.node.id)) },
        }))
    }

    fn image(&mut self, node: &Node) -> Value {
        let place =
            node.value("uri").and_then(|uri| uri.strip_prefix("oci://")).unwrap_or("unknown");
        let (registry, name) = place.split_once('/').unwrap_or(("unknown", place));
        let sha256 = node.id.rest().strip_prefix("sha256:").unwrap_or_default();
        let mut entity = json!({
            "@id": names::iri(&node.id),
            "@type": "ContainerImage",
            "additionalType": { "@id": format!("{TERMS}DockerImage") },
            "registry": registry,
            "name": name,
            "sha256": sha256,
        });
        if let Some((_, tag)) = node.value("name").and_then(|name| name.rsplit_once(':')) {
            put(&mut entity, "tag", json!(tag));
        }
        self.add(entity)
    }

    fn parameters(&mut self, run: Run<'_>) -> Vec<Value> {
        let id = names::run_id(&run.node.id);
        let parameters = run.prefixed("parameter").into_iter();
        parameters
            .map(|(name, known)| {
                self.add(json!({
                    "@id": names::uri(&format!("#parameter-{id}-{}", name.replace(['#', '%'], "_"))),
                    "@type": "PropertyValue",
                    "name": name,
                    "value": known.value,
                    "description": format!("grade: {}", known.grade),
                }))
            })
            .collect()
    }

    /// The configurations of the cluster that the run was under.
    fn configuration(&mut self, run: Run<'_>) -> Vec<Value> {
        let epochs = openlineage::epochs(run).into_iter();
        epochs
            .filter_map(|epoch| {
                let id: EntityId = epoch.id.parse().ok()?;
                let commit = epoch.commit.unwrap_or_else(|| "unknown".into());
                let path = epoch.path.unwrap_or_default();
                let repository = epoch.repository.unwrap_or_default();
                Some(self.add(json!({
                    "@id": names::iri(&id),
                    "@type": "PropertyValue",
                    "name": "cluster configuration",
                    "value": format!("git+{repository}@{commit}#{path}"),
                    "description": format!("grade: {}", epoch.grade),
                })))
            })
            .collect()
    }

    /// What the nodes were: drivers, kernels and so on.
    fn environment(&mut self, run: Run<'_>) -> Vec<Value> {
        let mut values = Vec::new();
        for tie in run.states() {
            for field in tie.node.fields() {
                let Some(value) = tie.node.value(field) else { continue };
                values.push(self.add(json!({
                    "@id": names::uri(&format!("{}#{field}", names::iri(&tie.node.id))),
                    "@type": "PropertyValue",
                    "name": field,
                    "value": value,
                    "description": format!("of a node in state {}; grade: {}", tie.node.id.short(), tie.grade),
                })));
            }
        }
        values
    }

    /// How each tie of the run is known.
    fn grades(&mut self, run: Run<'_>) -> Vec<Value> {
        let relations: Vec<Relation> = Relation::ALL
            .into_iter()
            .filter(|one| !matches!(one, Relation::Tried | Relation::GeneratedBy))
            .collect();
        let id = names::run_id(&run.node.id);
        let mut ties = run.causes(&relations);
        ties.extend(run.outputs());
        ties.iter()
            .map(|tie| {
                let relation = tie.edge.relation;
                let of = names::iri(&tie.node.id);
                let of = if self.parts.contains(&format!("{of}/")) { of + "/" } else { of };
                self.add(json!({
                    "@id": format!("#grade-{id}-{relation}-{}", of.rsplit("/id/").next().unwrap_or_default()),
                    "@type": "PropertyValue",
                    "name": format!("grade of {relation}"),
                    "value": tie.grade.word(),
                    "valueReference": { "@id": of },
                    "description": tie.edge.source.to_string(),
                }))
            })
            .collect()
    }

    fn notes(&self, graph: &Graph) -> String {
        let mut text = "Runs on a cluster as the Sitewright lineage recorder saw them; each tie has a grade that says how it is known.".to_owned();
        for gap in &graph.gaps {
            text.push_str(&format!(
                " Nothing was seen from {} to {}: {}.",
                time(gap.from),
                time(gap.to),
                gap.why
            ));
        }
        if graph.hidden > 0 || graph.is_cut {
            text.push_str(" A part of the record is left out.");
        }
        text
    }
}

/// The address of the recorder.
fn recorder() -> String {
    format!("https://{DOMAIN}/recorder/v1")
}

fn describe(run: Run<'_>) -> String {
    let attempts = run.attempts().len();
    let kind = label(run.graph, run.node).kind;
    let gaps = if run.gaps().is_empty() { "" } else { "; for some time nothing was seen of it" };
    format!("{kind} with {attempts} attempts{gaps}")
}

/// The profile has no word for what goes on.
fn status(outcome: Outcome) -> Option<&'static str> {
    match outcome {
        Outcome::Running => None,
        Outcome::Succeeded => Some("http://schema.org/CompletedActionStatus"),
        Outcome::Failed | Outcome::Aborted => Some("http://schema.org/FailedActionStatus"),
    }
}

/// Returns a time as the profile wants it: with `+00:00`, for its check does not know `Z`.
fn time(at: Timestamp) -> String {
    at.to_zoned(TimeZone::UTC).strftime("%Y-%m-%dT%H:%M:%S+00:00").to_string()
}

/// Puts one value as itself and several as a list: RO-Crate wants no list of one.
fn put_list(entity: &mut Value, key: &str, mut list: Vec<Value>) {
    match list.len() {
        0 => {}
        1 => put(entity, key, list.remove(0)),
        _ => put(entity, key, Value::Array(list)),
    }
}

fn put(entity: &mut Value, key: &str, value: Value) {
    if let Some(map) = entity.as_object_mut() {
        map.insert(key.to_owned(), value);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::lineage::sample;

    fn sample() -> Value {
        let options = Options {
            name: "resnet50".into(),
            license: "https://spdx.org/licenses/CC-BY-4.0".into(),
            publisher: Some(Organization {
                name: "Example Lab".into(),
                url: "https://www.example.org".into(),
            }),
            recorder: "0.1.0".into(),
        };
        metadata(&sample::graph(), &options)
    }

    #[test]
    fn a_run_is_an_action_with_its_code_data_image_and_configuration() {
        let metadata = sample();
        let graph = metadata["@graph"].as_array().unwrap();
        let action = graph.iter().find(|entity| entity["@type"] == "CreateAction").unwrap();
        insta::assert_snapshot!(serde_json::to_string_pretty(action).unwrap());
    }

    #[test]
    fn everything_that_is_named_is_there() {
        fn ids<'v>(value: &'v Value, found: &mut Vec<&'v str>) {
            match value {
                Value::Array(list) => list.iter().for_each(|value| ids(value, found)),
                Value::Object(map) if map.len() == 1 => {
                    found.extend(map.get("@id").and_then(Value::as_str));
                }
                Value::Object(map) => map.values().for_each(|value| ids(value, found)),
                _ => {}
            }
        }
        let metadata = sample();
        let graph = metadata["@graph"].as_array().unwrap();
        let there: Vec<&str> = graph.iter().map(|entity| entity["@id"].as_str().unwrap()).collect();
        let mut named = Vec::new();
        ids(&metadata["@graph"], &mut named);
        let is_elsewhere = |id: &&str| {
            id.starts_with("http://schema.org/")
                || id.contains("/ro/")
                || id.contains("git.example")
                || id.ends_with("sitewright.dev/")
                || id.contains("/id/")
        };
        for id in named.into_iter().filter(|id| !is_elsewhere(id)) {
            assert!(there.contains(&id), "{id}");
        }
    }
}
