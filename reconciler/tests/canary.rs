//! A secret cannot be printed (law 10): canaries in every place that may be secret, searched for in
//! every form that people and programs read.

#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    reason = "a test may panic, also in its helpers"
)]

use std::collections::{BTreeMap, BTreeSet};

use jiff::Timestamp;
use serde_json::{Value, json};
use sitewright::output::{self, Detail, Look, plan::Invocation};
use sitewright_model::{
    desired::{Desired, DesiredComponent, DesiredObject},
    digest::Digest,
    format::site::{ComponentPolicy, SitePolicy},
    inventory::Inventory,
    live::{
        ClusterFacts, Evidence, Judgement, KindFacts, Live, LiveObject, Observation, Reach,
        settled_digest,
    },
    name::SiteName,
    object::{GroupKind, Object, Uid},
    plan::{self, Plan},
    revision::Revision,
};

const CANARY: &str = "canary-7d31";

fn site() -> SiteName {
    "lab".parse().unwrap()
}

fn secret(value: &str) -> Object {
    Object::new(json!({
        "apiVersion": "v1", "kind": "Secret",
        "metadata": {
            "name": "token", "namespace": "lab",
            "labels": { "sitewright.dev/site": "lab", "sitewright.dev/component": "app" },
            "annotations": { "kubectl.kubernetes.io/last-applied-configuration": format!("{CANARY}-{value}") }
        },
        "data": { "token": format!("{CANARY}-{value}"), "old": format!("{CANARY}-{value}") },
        "stringData": { "more": format!("{CANARY}-{value}") }
    }))
    .unwrap()
}

/// A ConfigMap with a value that a site or a source marked secret.
fn marked(value: &str) -> Object {
    Object::new(json!({
        "apiVersion": "v1", "kind": "ConfigMap",
        "metadata": {
            "name": "settings", "namespace": "lab",
            "labels": { "sitewright.dev/site": "lab", "sitewright.dev/component": "app" }
        },
        "data": { "password": format!("{CANARY}-{value}\nsecond line"), "open": value }
    }))
    .unwrap()
    .with_sensitive(["/data/password".to_owned()])
}

fn desired(objects: Vec<Object>) -> Desired {
    let component = DesiredComponent {
        name: "app".parse().unwrap(),
        blueprint: "app".parse().unwrap(),
        version: semver::Version::new(1, 0, 0),
        depends_on: Vec::new(),
        objects: objects
            .into_iter()
            .map(|object| DesiredObject {
                digest: object.digest(),
                origin: "templates/app.yaml.j2".into(),
                object,
            })
            .collect(),
        health: Vec::new(),
        hazards: Vec::new(),
        waves: Vec::new(),
        ignore: Vec::new(),
        policy: ComponentPolicy { adopt: true, ..ComponentPolicy::default() },
    };
    let revision = Revision {
        repository: "lab".into(),
        path: "sites/lab".into(),
        reference: None,
        commit: None,
        dirty: false,
        inputs: Digest::of("inputs"),
    };
    Desired {
        site: site(),
        revision,
        policy: SitePolicy::default(),
        tombstones: Vec::new(),
        components: vec![component],
        digest: Digest::of("desired"),
    }
}

fn present(live: Object, after: Object) -> Observation {
    let settled = settled_digest(live.expose());
    Observation::Present(Box::new(LiveObject {
        uid: Uid("1".into()),
        resource_version: "1".into(),
        deleting_since: None,
        finalizers: Vec::new(),
        object: live,
        managers: Vec::new(),
        settled,
        judgement: Judgement::Accepted(Box::new(after)),
    }))
}

fn plan() -> Plan {
    let desired = desired(vec![secret("new"), marked("new")]);
    let pairs = [(secret("live"), secret("new")), (marked("live"), marked("new"))];
    let kinds = ["Secret", "ConfigMap"].map(|kind| {
        let served =
            KindFacts::Served { versions: BTreeSet::from(["v1".into()]), namespaced: true };
        (GroupKind::new("", kind), served)
    });
    let live = Live {
        cluster: ClusterFacts {
            uid: Uid("c".into()),
            version: "v1.37.0".into(),
            name: "lab".into(),
        },
        inventory: Inventory::empty(site()),
        kinds: BTreeMap::from(kinds),
        objects: pairs
            .into_iter()
            .map(|(live, after)| (live.id().clone(), present(live, after)))
            .collect(),
        evidence: Evidence::default(),
        reach: Reach::Whole,
    };
    plan::plan(&desired, &live, Timestamp::UNIX_EPOCH)
}

fn printed(plan: &Plan) -> Vec<(&'static str, String)> {
    let invocation = Invocation::new(".");
    let look = |detail| Look::plain().with_detail(detail);
    let drift = plan::drift(plan);
    vec![
        ("plan", output::plan::text(plan, &look(Detail::Folded), &invocation)),
        ("plan -v", output::plan::text(plan, &look(Detail::Full), &invocation)),
        ("plan -o markdown", output::plan::markdown(plan, &invocation)),
        ("plan -o json", output::plan::json(plan)),
        ("drift", output::drift::text(&drift, 2, &look(Detail::Full), &invocation)),
        ("drift -o markdown", output::drift::markdown(&drift, 2)),
        ("drift -o json", output::json(&drift)),
        ("debug", format!("{plan:?}")),
    ]
}

#[test]
fn no_form_of_a_plan_shows_a_secret() {
    let plan = plan();
    let changed: Vec<Value> =
        plan.changes().map(|(_, change)| serde_json::to_value(&change.action).unwrap()).collect();
    assert!(
        changed.iter().any(|action| action.to_string().contains("secret")),
        "the sample must change secrets, or it proves nothing: {changed:?}"
    );
    for (form, text) in printed(&plan) {
        assert!(!text.contains(CANARY), "{form} shows a secret:\n{text}");
    }
}
