//! Every blueprint of the library, on an API server that holds upstream's own definitions: what is rendered
//! of it is accepted, field by field, whatever values it is given.
//!
//! No operator runs here, so only definitions and namespaces stay; all else is a dry run by the server. A
//! new blueprint is a row of [`ROWS`].

use std::{
    collections::BTreeSet,
    fs,
    sync::{Mutex, PoisonError},
    thread,
    time::Duration,
};

use proptest::test_runner::{Config, RngAlgorithm, TestCaseError, TestRng, TestRunner};
use serde_json::Value;
use sitewright_e2e::{Lab, control_plane, project};
use sitewright_model::format::blueprint::{self, BlueprintSpec};

use super::anything;

/// How many random sets of values each blueprint is given; `PROPTEST_CASES` asks for more.
const CASES: u32 = 4;

/// A blueprint, and what its test needs.
struct Row {
    blueprint: &'static str,
    /// Values that show most of what it can do.
    values: &'static str,
    /// Further components that it needs, as lines of a site.
    beside: &'static str,
}

const CERTIFICATES: &str = "    - { name: certificates, blueprint: { name: cert-manager } }\n";
const GPUS: &str = "    - { name: gpus, blueprint: { name: gpu-nvidia } }\n";
const QUEUES: &str =
    "    - { name: queues, blueprint: { name: kueue }, values: { teams: { vision: {} } } }\n";
const STORAGE: &str = "    - name: storage
      blueprint: { name: rook-ceph }
      values: { storageNodes: [store-1], filesystems: { shared: {} }, objectStores: { data: {} } }\n";
/// All that monitoring has something to show of.
const EVERYTHING: &str = "    - { name: certificates, blueprint: { name: cert-manager } }
    - { name: gpus, blueprint: { name: gpu-nvidia } }
    - { name: queues, blueprint: { name: kueue }, values: { teams: { vision: {} } } }
    - { name: storage, blueprint: { name: rook-ceph }, values: { storageNodes: [store-1], objectStores: { data: {} } } }
    - { name: workflows, blueprint: { name: argo-workflows }, values: { namespaces: [vision] } }\n";

const ROWS: &[Row] = &[
    Row {
        blueprint: "argo-workflows",
        values: "
          namespaces: [vision, nlp]
          artifacts: { claim: { storageClass: bucket-data, endpoint: rook-ceph-rgw-data.rook-ceph.svc } }
          server: { sso: { issuer: 'https://sso.example.edu', redirect: 'https://argo.example.edu/oauth2/callback', secret: argo-sso } }",
        beside: STORAGE,
    },
    Row {
        blueprint: "cert-manager",
        values: "
          issuers:
            public: { acme: { email: ops@example.edu, ingressClass: nginx } }
            wildcard: { acme: { email: ops@example.edu, dns: { server: 'ns.example.edu:53', key: acme, secret: tsig } } }
            campus: { ca: { secret: campus-ca } }
          defaultIssuer: campus
          dnsResolvers: ['9.9.9.9:53']
          replicas: 2",
        beside: "",
    },
    Row {
        blueprint: "cluster-base",
        values: "
          teams: { vision: { cpus: 64, memory: 512, gpus: 8, storage: 1000 }, infra: { podSecurity: privileged } }
          pools: { storage: { nodes: [store-1, store-2], taint: sitewright.dev/storage, labels: { example.edu/rack: '1' } } }",
        beside: GPUS,
    },
    Row {
        blueprint: "gpu-nvidia",
        values: "
          driver: 580.95.05
          sharing: { mig: all-1g.10gb, strategy: mixed, timeSlices: 4 }
          pools: { teaching: { mps: 8 } }
          rdma: true",
        beside: "",
    },
    Row {
        blueprint: "jupyterhub",
        values: "
          url: https://hub.example.edu
          ingress: { class: nginx, issuer: public }
          login: { oidc: { issuer: 'https://sso.example.edu/realms/lab', clientId: hub }, groups: [staff] }
          admins: { groups: [ops] }
          posix: { groupsClaim: gids }
          homes: { storageClass: file-shared, size: 5000 }
          profiles: { gpu: { title: One GPU, image: 'quay.io/jupyter/pytorch-notebook:cuda12-2025-09-30', gpus: 1, groups: [vision] } }",
        beside: STORAGE,
    },
    Row {
        blueprint: "kubeflow",
        values: "
          trainer: { runtimes: { mpi: { framework: mpi, image: 'registry.example.edu/mpi:1', gpus: 8 } } }
          serving: { enabled: true, domain: models.example.edu, ingressClass: nginx }",
        beside: CERTIFICATES,
    },
    Row {
        blueprint: "kueue",
        values: "
          flavors: { a100: { nodeLabels: { gpu: a100 }, taint: { key: nvidia.com/gpu } } }
          teams: { vision: { cpus: 64, memory: 64Gi, gpus: 8 }, guests: { lend: false } }",
        beside: "",
    },
    Row {
        blueprint: "monitoring",
        values: "
          storage: { class: block-home, size: 100 }
          grafana:
            url: https://grafana.example.edu
            ingressClass: nginx
            oidc: { issuer: 'https://sso.example.edu/realms/lab', clientId: grafana, secret: grafana, adminGroup: ops }
          alerts: { secret: alertmanager }
          remoteWrite: [{ url: 'https://metrics.example.edu/api/v1/push', secret: metrics-login }]
          nodeSelector: { role: infra }",
        beside: EVERYTHING,
    },
    Row {
        blueprint: "rook-ceph",
        values: "
          storageNodes: [store-1, store-2, store-3]
          pools: { home: { default: true }, scratch: { replicas: 2, reclaim: Delete } }
          filesystems: { shared: {} }
          objectStores: { data: { gateways: 2 } }",
        beside: "",
    },
    Row {
        blueprint: "team-space",
        values: "
          teams: { vision: { cpus: 16, memory: 64Gi, people: [ada] } }
          notice: Maintenance on Saturday",
        beside: "",
    },
    Row {
        blueprint: "tenancy",
        values: "
          people: { ada: { user: ada@example.edu, uid: 10001 }, grace: { uid: 10002 } }
          projects:
            vision: { managers: [ada], members: [grace], gpus: 8, gid: 20001 }
            nlp: { members: [grace], viewers: [ada] }",
        beside: "",
    },
    Row {
        blueprint: "volcano",
        values: "
          queues:
            physics: { deserved: { cpus: 512 }, limit: { cpus: 1024, memory: 4096Gi } }
            theory: { parent: physics, guarantee: { cpus: 64 }, limit: { cpus: 256 } }
          nodeGroup: mpi",
        beside: QUEUES,
    },
];

#[test]
fn every_blueprint_of_the_library_has_a_row() {
    let folders = fs::read_dir(project().join("blueprints")).unwrap();
    let folders: BTreeSet<_> =
        folders.map(|folder| folder.unwrap().file_name().into_string().unwrap()).collect();
    let rows: BTreeSet<_> = ROWS.iter().map(|row| row.blueprint.to_owned()).collect();
    assert_eq!(folders, rows);
}

/// Makes of each row two tests: what it shows is accepted, and so is anything that its schema lets through.
macro_rules! rows {
    ($($module:ident: $blueprint:literal,)*) => {$(
        mod $module {
            #[test]
            fn what_is_rendered_is_accepted_by_a_real_api_server() {
                super::shown_values_are_accepted($blueprint);
            }

            #[test]
            fn any_values_that_pass_the_schema_render_and_are_accepted() {
                super::any_values_are_accepted($blueprint);
            }
        }
    )*};
}

rows! {
    argo_workflows: "argo-workflows",
    cert_manager: "cert-manager",
    cluster_base: "cluster-base",
    gpu_nvidia: "gpu-nvidia",
    jupyterhub: "jupyterhub",
    kubeflow: "kubeflow",
    kueue: "kueue",
    monitoring: "monitoring",
    rook_ceph: "rook-ceph",
    team_space: "team-space",
    tenancy: "tenancy",
    volcano: "volcano",
}

#[test]
fn a_field_that_the_kind_does_not_have_is_refused() {
    let lab = Lab::with_library(control_plane(), "slip");
    let slip = serde_json::json!({
        "apiVersion": "v1", "kind": "ConfigMap", "metadata": { "name": "slip", "namespace": "default" }, "dta": {},
    });
    let refused = accept(&lab, &[slip], &mut BTreeSet::new()).unwrap_err();
    assert!(refused.contains("dta"), "{refused}");
}

fn row(blueprint: &str) -> &'static Row {
    ROWS.iter().find(|row| row.blueprint == blueprint).expect("the blueprint has a row")
}

fn shown_values_are_accepted(blueprint: &str) {
    let row = row(blueprint);
    let lab = Lab::with_library(control_plane(), &format!("shown-{blueprint}"));
    lab.site(&site(row, row.values));
    let valid = lab.run(&["validate"]);
    assert_eq!(valid.code, 0, "{valid}");
    let objects = rendered(&lab, blueprint).unwrap_or_else(|run| panic!("{run}"));
    let mut accepted = BTreeSet::new();
    if let Err(error) = accept(&lab, &objects, &mut accepted) {
        panic!("{error}");
    }
    rules_are_of_kinds_that_are_rendered(blueprint, &objects);
}

fn any_values_are_accepted(blueprint: &str) {
    let row = row(blueprint);
    let lab = Lab::with_library(control_plane(), &format!("any-{blueprint}"));
    let file = project().join("blueprints").join(blueprint).join("values.schema.json");
    let schema: Value = serde_json::from_str(&fs::read_to_string(file).unwrap()).unwrap();
    let cases = std::env::var("PROPTEST_CASES").ok().and_then(|cases| cases.parse().ok());
    let config = Config {
        cases: cases.unwrap_or(CASES),
        max_shrink_iters: 0,
        failure_persistence: None,
        ..Config::default()
    };
    // The same values in every run: a red build must be the change's fault. `SITEWRIGHT_SEED` asks for others.
    let seed = std::env::var("SITEWRIGHT_SEED").ok().and_then(|seed| seed.parse().ok());
    let seed = [seed.unwrap_or(7_u8); 32];
    let mut runner =
        TestRunner::new_with_rng(config, TestRng::from_seed(RngAlgorithm::ChaCha, &seed));
    let accepted = Mutex::new(BTreeSet::new());
    let result = runner.run(&anything::of(&schema), |values| {
        lab.site(&site(row, &as_yaml(&values)));
        let objects = match rendered(&lab, blueprint) {
            Ok(objects) => objects,
            // What a schema cannot judge the blueprint refuses in its own words.
            Err(run) if run.says("error[SW0301]") && run.says("fail(") => return Ok(()),
            Err(run) => return Err(TestCaseError::fail(format!("{values:#}\n{run}"))),
        };
        let mut accepted = accepted.lock().unwrap_or_else(PoisonError::into_inner);
        accept(&lab, &objects, &mut accepted).map_err(TestCaseError::fail)
    });
    if let Err(error) = result {
        panic!("{error}");
    }
}

fn site(row: &Row, values: &str) -> String {
    format!(
        "apiVersion: sitewright.dev/v1alpha1\nkind: Site\nmetadata: {{ name: lab }}\nspec:\n  components:\n\
         \u{20}   - name: {blueprint}\n      blueprint: {{ name: {blueprint}, version: 1.x }}\n      values: {values}\n{beside}",
        blueprint = row.blueprint,
        beside = row.beside,
    )
}

/// JSON is YAML, but for a few characters that YAML wants to be written in another way.
fn as_yaml(values: &Value) -> String {
    let escaped = |character: char| match character {
        '\u{7f}'..='\u{9f}' => format!("\\u{:04x}", u32::from(character)),
        other => other.to_string(),
    };
    values.to_string().chars().map(escaped).collect()
}

/// What the component renders to, without secret values, and the definitions of the components beside it.
fn rendered(lab: &Lab, component: &str) -> Result<Vec<Value>, sitewright_e2e::Run> {
    let run = lab.run(&["render", "-o", "json"]);
    if run.code != 0 {
        return Err(run);
    }
    // The server wants base64 where the program shows no secret.
    let text = run.stdout.replace("\"(secret)\"", "\"c2VjcmV0\"");
    let list: Value = serde_json::from_str(&text).unwrap();
    let objects = list["items"].as_array().unwrap().iter();
    let is_wanted = |object: &&Value| {
        object["metadata"]["labels"]["sitewright.dev/component"] == component
            || is_definition(object)
    };
    Ok(objects.filter(is_wanted).cloned().collect())
}

/// Has the server take definitions and namespaces, and judge all else; what it has `accepted` before is not
/// asked again.
fn accept(lab: &Lab, objects: &[Value], accepted: &mut BTreeSet<String>) -> Result<(), String> {
    let new: Vec<&Value> =
        objects.iter().filter(|object| !accepted.contains(&object.to_string())).collect();
    let (kept, judged): (Vec<&Value>, Vec<&Value>) =
        new.iter().partition(|object| is_definition(object) || object["kind"] == "Namespace");
    apply(lab, &kept, &[])?;
    let definitions: Vec<_> = kept.iter().filter(|object| is_definition(object)).collect();
    if !definitions.is_empty() {
        let names = definitions.iter().map(|object| name(object));
        let mut arguments = vec!["wait", "crd", "--for=condition=Established", "--timeout=60s"];
        arguments.extend(names);
        // kubectl takes a definition without a status, as it is for a moment, for an error
        let mut tries = 0;
        while let Err(error) = lab.control_plane().kubectl(&arguments) {
            tries += 1;
            if tries == 20 {
                return Err(format!("{error:#}"));
            }
            thread::sleep(Duration::from_millis(250));
        }
    }
    make_namespaces(lab, &judged)?;
    apply(lab, &judged, &["--dry-run=server"])?;
    accepted.extend(new.iter().map(|object| object.to_string()));
    Ok(())
}

/// Namespaces that another component would make.
fn make_namespaces(lab: &Lab, objects: &[&Value]) -> Result<(), String> {
    let names: BTreeSet<&str> =
        objects.iter().filter_map(|object| object["metadata"]["namespace"].as_str()).collect();
    let namespace = |name: &&str| serde_json::json!({ "apiVersion": "v1", "kind": "Namespace", "metadata": { "name": name } });
    let namespaces: Vec<Value> = names.iter().map(namespace).collect();
    apply(lab, &namespaces.iter().collect::<Vec<_>>(), &[])
}

fn apply(lab: &Lab, objects: &[&Value], how: &[&str]) -> Result<(), String> {
    if objects.is_empty() {
        return Ok(());
    }
    let list = serde_json::json!({ "apiVersion": "v1", "kind": "List", "items": objects });
    // The server judges a server-side apply by itself; kubectl would first fetch the schemas of all kinds.
    let fixed = [
        "apply",
        "--server-side",
        "--force-conflicts",
        "--validate=false",
        "-o",
        "name",
        "-f",
        "-",
    ];
    let arguments = [&fixed, how].concat();
    let applied = lab.control_plane().kubectl_with(&arguments, list.to_string().as_bytes());
    applied.map(drop).map_err(|error| format!("{error:#}"))
}

fn is_definition(object: &Value) -> bool {
    object["kind"] == "CustomResourceDefinition"
}

fn name(object: &Value) -> &str {
    object["metadata"]["name"].as_str().unwrap()
}

/// A slip in the kind of a rule would guard nothing.
fn rules_are_of_kinds_that_are_rendered(name: &str, objects: &[Value]) {
    let file = project().join("blueprints").join(name).join("blueprint.yaml");
    let text = fs::read_to_string(&file).unwrap();
    let spec = blueprint::parse("blueprint.yaml", &text).unwrap().value.spec;
    let kinds: BTreeSet<String> = objects.iter().flat_map(kinds_of).collect();
    for kind in kinds_of_rules(&spec) {
        assert!(kinds.contains(kind), "{name} has a rule of {kind}, and renders only {kinds:#?}");
    }
}

/// The kind of an object, with and without its group, and what it defines.
fn kinds_of(object: &Value) -> Vec<String> {
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    let (kind, version) = (text(&object["kind"]), text(&object["apiVersion"]));
    let group = version.split_once('/').map(|(group, _)| group.to_owned()).unwrap_or_default();
    let mut kinds = vec![kind.clone(), format!("{kind}.{group}")];
    if is_definition(object) {
        let (kind, group) =
            (text(&object["spec"]["names"]["kind"]), text(&object["spec"]["group"]));
        kinds.extend([kind.clone(), format!("{kind}.{group}")]);
    }
    kinds
}

fn kinds_of_rules(spec: &BlueprintSpec) -> impl Iterator<Item = &str> {
    let health = spec.health.iter().map(|rule| rule.kind.as_str());
    let hazards = spec.hazards.iter().map(|rule| rule.kind.as_str());
    health.chain(hazards).chain(spec.ignore.iter().map(|rule| rule.kind.as_str()))
}
