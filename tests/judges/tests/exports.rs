//! Our exports before outside judges: OpenLineage, RO-Crate, PROV, in-toto and DSSE.
//!
//! Each judge is shown a broken export too: one that takes everything proves nothing.
//!
//! `SITEWRIGHT_OPENLINEAGE` may name a checkout of the OpenLineage repository: then its own JSON Schemas judge as well.

use std::{fs, path::PathBuf};

use base64::{Engine as _, engine::general_purpose::STANDARD};
use ring::signature::{ED25519, Ed25519KeyPair, KeyPair, UnparsedPublicKey};
use serde::Serialize;
use serde_json::{Value, json};
use sitewright_judges::complaints;
use sitewright_model::lineage::{
    EntityKind, Graph,
    export::{
        openlineage::{self, End, Names},
        prov, provenance, rocrate,
    },
};

const SCHEMA: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../../schema");

/// A file in a folder of its own.
struct Paper(tempfile::TempDir, &'static str);

impl Paper {
    fn of(name: &'static str, value: &impl Serialize) -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        let text = serde_json::to_string_pretty(value).expect("JSON");
        fs::write(folder.path().join(name), text).expect("it can be written");
        Self(folder, name)
    }

    fn path(&self) -> PathBuf {
        self.0.path().join(self.1)
    }
}

fn sample() -> Graph {
    serde_json::from_str(include_str!("../../../reconciler/model/tests/lineage.json"))
        .expect("a graph")
}

/// The sample, and graphs that lack what a real one may lack.
fn graphs() -> Vec<(&'static str, Graph)> {
    let mut running = sample();
    for node in &mut running.nodes {
        node.facts
            .retain(|fact| !fact.field.contains("outcome") && !fact.field.contains("inishedAt"));
    }
    let mut failed = sample();
    for fact in failed.nodes.iter_mut().flat_map(|node| &mut node.facts) {
        if fact.field == "outcome" {
            fact.value = "failed".into();
        }
    }
    let mut bare = sample();
    bare.nodes.retain(|node| node.kind == EntityKind::Run);
    bare.edges.clear();
    bare.gaps.clear();
    let mut hostile = sample();
    for fact in hostile.nodes.iter_mut().flat_map(|node| &mut node.facts) {
        if matches!(fact.field.as_str(), "name" | "uri" | "experiment" | "reason") {
            fact.value = format!("{} <a href=\"#\">ü\\ {{x}}|^`%zz", fact.value);
        }
    }
    vec![
        ("the sample", sample()),
        ("a run under way", running),
        ("a run that failed", failed),
        ("a run of which nothing is known", bare),
        ("hostile names", hostile),
    ]
}

fn options(names: Names) -> openlineage::Options {
    let producer = "https://sitewright.dev/agent/0.1.0".into();
    openlineage::Options { producer, names, attempts: true }
}

/// Returns what a judge says of each value.
fn judge<T: Serialize>(
    kind: &str,
    options: &[&str],
    name: &'static str,
    values: &[T],
) -> Vec<Vec<String>> {
    let papers: Vec<Paper> = values.iter().map(|value| Paper::of(name, value)).collect();
    let files: Vec<PathBuf> = papers.iter().map(Paper::path).collect();
    complaints(kind, options, &files).expect("the judges are there")
}

fn judge_events(events: &[Value]) -> Vec<Vec<String>> {
    let upstream = std::env::var("SITEWRIGHT_OPENLINEAGE").ok();
    let options: Vec<&str> = [SCHEMA].into_iter().chain(upstream.as_deref()).collect();
    judge("openlineage", &options, "events.json", events)
}

/// Fails where a judge complains of one of `cases`.
fn all_are_good(cases: &[String], said: &[Vec<String>]) {
    assert_eq!(cases.len(), said.len());
    for (case, said) in cases.iter().zip(said) {
        assert!(said.is_empty(), "{case}: {said:#?}");
    }
}

#[test]
fn openlineage_takes_our_events_and_no_others() {
    let (mut cases, mut told) = (Vec::new(), Vec::new());
    for (what, graph) in graphs() {
        for (names, end) in [(Names::ByStore, End::Known), (Names::ByContent, End::Held)] {
            let mut events = openlineage::events(&graph, &options(names), |_| end);
            assert!(!events.is_empty(), "{what}");
            for run in graph.of_kind(EntityKind::Run) {
                events.extend(openlineage::later(&graph, &run.id, 0, &options(names)));
            }
            cases.push(format!("{what}, {names:?}"));
            told.push(serde_json::to_value(events).unwrap());
        }
    }
    let last = openlineage::events(&sample(), &options(Names::ByStore), |_| End::Known).len() - 1;
    // what a judge must say, and what makes it say so
    type Break<'b> = (&'static str, &'b dyn Fn(&mut Value));
    let breaks: [Break<'_>; 7] = [
        ("unknown key", &|event| event["datasets"] = json!([])),
        ("is not a 'uuid'", &|event| event["run"]["runId"] = json!("mine")),
        ("no eventType", &|event| {
            event.as_object_mut().unwrap().remove("eventType");
        }),
        ("nobody knows the schema", &|event| {
            let address = "https://openlineage.io/spec/facets/9-0-0/T.json";
            event["run"]["facets"]["tags"]["_schemaURL"] = json!(address);
        }),
        ("extra fields found (tag)", &|event| event["run"]["facets"]["tags"]["tag"] = json!(1)),
        ("driver", &|event| event["run"]["facets"]["sitewright_nodes"]["driver"] = json!("580")),
        ("is not a 'date-time'", &|event| event["eventTime"] = json!("yesterday")),
    ];
    let good = told[0].clone();
    told.extend(breaks.iter().map(|(_, spoil)| {
        let mut broken = good.clone();
        spoil(&mut broken[last]);
        broken
    }));
    let said = judge_events(&told);
    let (good, bad) = said.split_at(cases.len());
    all_are_good(&cases, good);
    for ((expected, _), said) in breaks.iter().zip(bad) {
        assert!(said.iter().any(|line| line.contains(expected)), "{expected}: {said:?}");
    }
}

#[test]
fn a_process_run_crate_is_one_and_without_instrument_is_none() {
    let options = rocrate::Options {
        name: "resnet50".into(),
        license: "https://spdx.org/licenses/CC-BY-4.0".into(),
        publisher: Some(rocrate::Organization {
            name: "Example Lab".into(),
            url: "https://www.example.org".into(),
        }),
        recorder: "0.1.0".into(),
    };
    let cases: Vec<String> = graphs().iter().map(|(what, _)| (*what).to_owned()).collect();
    let mut crates: Vec<Value> =
        graphs().iter().map(|(_, graph)| rocrate::metadata(graph, &options)).collect();
    let mut broken = crates[0].clone();
    for entity in broken["@graph"].as_array_mut().unwrap() {
        entity.as_object_mut().unwrap().remove("instrument");
    }
    crates.push(broken);
    let said = judge("rocrate", &[], "ro-crate-metadata.json", &crates);
    let (bad, good) = said.split_last().unwrap();
    // of the sample everything is known that a crate should say; of the others at least what it must
    assert!(good[0].is_empty(), "{:#?}", good[0]);
    let must = |said: &Vec<String>| -> Vec<String> {
        said.iter().filter(|line| line.starts_with("REQUIRED")).cloned().collect()
    };
    all_are_good(&cases, &good.iter().map(must).collect::<Vec<_>>());
    assert!(bad.iter().any(|line| line.starts_with("REQUIRED")), "{bad:?}");
}

#[test]
fn a_prov_document_comes_back_as_it_was() {
    let cases: Vec<String> = graphs().iter().map(|(what, _)| (*what).to_owned()).collect();
    let documents: Vec<Value> = graphs().iter().map(|(_, graph)| prov::document(graph)).collect();
    all_are_good(&cases, &judge("prov", &[], "prov.json", &documents));
    let mut broken = documents[0].clone();
    broken["prefix"].as_object_mut().unwrap().remove("sw");
    let paper = Paper::of("prov.json", &broken);
    let said = complaints("prov", &[], &[paper.path()]).map_err(|error| format!("{error:#}"));
    assert!(said != Ok(vec![Vec::new()]), "{said:?}");
}

fn sign(key: &Ed25519KeyPair, statement: &provenance::Statement) -> provenance::Envelope {
    let signed = |bytes: &[u8]| Ok::<_, ()>(key.sign(bytes).as_ref().to_vec());
    provenance::Envelope::sign(statement, "ours", signed).expect("it can be signed")
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

#[test]
fn an_envelope_of_ours_is_verified_by_others() {
    let key = Ed25519KeyPair::from_seed_unchecked(&[7; 32]).unwrap();
    let (mut cases, mut envelopes) = (Vec::new(), Vec::new());
    for (what, graph) in graphs() {
        for statement in provenance::statements(&graph, "0.1.0") {
            cases.push(what.to_owned());
            envelopes.push(serde_json::to_value(sign(&key, &statement)).unwrap());
        }
    }
    let mut tampered = envelopes[0].clone();
    let payload = tampered["payload"].as_str().unwrap().replacen('e', "f", 1);
    tampered["payload"] = json!(payload);

    let statement = provenance::statements(&sample(), "0.1.0").remove(0);
    // signed well, but not what a statement has to be
    let mut empty = statement.clone();
    empty.subject[0].digest.clear();
    let empty = serde_json::to_value(sign(&key, &empty)).unwrap();
    let mut unknown = serde_json::to_value(&statement).unwrap();
    unknown["predicate"]["runDetails"]["grade"] = json!("observed");
    let payload = serde_json::to_vec(&unknown).unwrap();
    let sig = key.sign(&provenance::pae(provenance::PAYLOAD, &payload));
    let unknown = json!({
        "payloadType": provenance::PAYLOAD,
        "payload": STANDARD.encode(&payload),
        "signatures": [{ "keyid": "ours", "sig": STANDARD.encode(sig.as_ref()) }],
    });
    envelopes.extend([tampered, empty, unknown]);

    let public = hex(key.public_key().as_ref());
    let said = judge("dsse-verify", &[&public], "envelope.json", &envelopes);
    let (good, bad) = said.split_at(cases.len());
    all_are_good(&cases, good);
    for (said, expected) in bad.iter().zip(["envelope", "subject", "grade"]) {
        assert!(said.iter().any(|line| line.contains(expected)), "{expected}: {said:?}");
    }
}

#[test]
fn an_envelope_of_others_is_verified_by_us() {
    let statement = provenance::statements(&sample(), "0.1.0").remove(0);
    let paper = Paper::of("statement.json", &statement);
    complaints("dsse-sign", &[], &[paper.path()]).unwrap();
    let answer = fs::read_to_string(paper.path().with_file_name("answer.json")).unwrap();
    let answer: Value = serde_json::from_str(&answer).unwrap();
    let theirs: provenance::Envelope = serde_json::from_value(answer["envelope"].clone()).unwrap();
    let public = answer["public"].as_str().unwrap();
    let public: Vec<u8> = (0..public.len())
        .step_by(2)
        .map(|at| u8::from_str_radix(&public[at..at + 2], 16).unwrap())
        .collect();
    let public = UnparsedPublicKey::new(&ED25519, public);
    let is_good = |_: &str, bytes: &[u8], sig: &[u8]| public.verify(bytes, sig).is_ok();
    let payload = theirs.verified(is_good).unwrap();
    assert_eq!(serde_json::from_slice::<provenance::Statement>(&payload).unwrap(), statement);
    let mut tampered = theirs.clone();
    tampered.payload = STANDARD.encode([payload, b" ".to_vec()].concat());
    assert_eq!(tampered.verified(is_good), None);
}

#[test]
fn openapi_takes_the_description_of_the_lineage_server_and_no_broken_one() {
    let file = PathBuf::from(SCHEMA).join("lineage-api.openapi.json");
    let good: Value = serde_json::from_str(&fs::read_to_string(file).unwrap()).unwrap();
    type Break<'b> = (&'static str, &'b dyn Fn(&mut Value));
    let of = "/paths/~1lineage~1v1~1of/get";
    let breaks: [Break<'_>; 4] = [
        ("operation id", &|document| {
            let same = document.pointer(&format!("{of}/operationId")).cloned().unwrap();
            document["paths"]["/lineage/v1/gaps"]["get"]["operationId"] = same;
        }),
        ("nothing", &|document| {
            let schema = "/responses/200/content/application~1json/schema";
            let place = document.pointer_mut(&format!("{of}{schema}")).unwrap();
            *place = json!({ "type": "nothing" });
        }),
        ("level", &|document| {
            let path = document["paths"]["/lineage/log/tile/{level}/{number}"]["get"]["parameters"]
                .as_array_mut();
            path.unwrap().remove(0);
        }),
        ("", &|document| {
            document["info"].as_object_mut().unwrap().remove("title");
        }),
    ];
    let mut told = vec![good.clone()];
    told.extend(breaks.iter().map(|(_, spoil)| {
        let mut broken = good.clone();
        spoil(&mut broken);
        broken
    }));
    let said = judge("openapi", &[], "openapi.json", &told);
    all_are_good(&["the document".to_owned()], &said[..1]);
    for ((expected, _), said) in breaks.iter().zip(&said[1..]) {
        let is_noticed =
            said.iter().any(|line| line.to_lowercase().contains(&expected.to_lowercase()));
        assert!(is_noticed, "{expected}: {said:?}");
    }
}
