use super::*;
use crate::{report, yaml};

const SITE_TEXT: &str = "\
apiVersion: sitewright.dev/v1alpha1
kind: Site
metadata: { name: lab-gpu }
spec:
  cluster: { provider: existing }
  blueprints:
    - path: blueprints
    - { git: https://git.example.edu/blueprints, ref: 'semver:1.x' }
  defaults:
    kueue: { replicas: 2 }
  policy:
    limits: { deletes: 10, replaces: 5% }
    drift: report
    approve: reboots-node
  components:
    - name: gpus
      blueprint: { name: gpu-nvidia, version: \"1.x\" }
      values: { driver: \"580.95.05\", sharing: { mig: mixed } }
    - name: queues
      blueprint: { name: kueue, version: 1.x }
      dependsOn: [gpus]
      values: { teams: { vision: { gpus: 8, borrow: true } } }
      upstream:
        controller: { image: { tag: v1 } }
      policy:
        adopt: true
        takeOver: [{ kind: Deployment.apps, field: spec.replicas, manager: kubectl-edit }]
        ignore: [{ kind: ClusterQueue.kueue.x-k8s.io, field: spec.stopPolicy }]
  tombstones:
    - kind: PersistentVolumeClaim
      name: old
      namespace: data
      uid: 0f1e2d3c-4b5a-6978-8796-a5b4c3d2e1f0
      reason: moved to the new pool
";

const BLUEPRINT_TEXT: &str = "\
apiVersion: sitewright.dev/v1alpha1
kind: Blueprint
metadata: { name: kueue, version: 1.0.0 }
spec:
  summary: Fair-share batch queues with guaranteed quota and borrowing
  values: values.schema.json
  sources:
    - name: controller
      helm: { chart: oci://registry.k8s.io/kueue/charts/kueue, version: 0.19.2 }
      namespace: kueue-system
      values: controller-values.yaml.j2
      when: values.controller.enabled and not values.external
      exclude: [{ kind: Secret, name: x }]
    - name: crds
      manifests: { path: crds }
  templates: [templates/]
  requires: [cert-manager?]
  provides: [batch-queue]
  health:
    - { kind: ClusterQueue, ready: \"status.conditions.exists(c, c.type == 'Active' && c.status == 'True')\", deadline: 1h30m }
  hazards:
    - { kind: ClusterQueue, on: { field: spec.stopPolicy }, is: evicts-jobs, because: HoldAndDrain evicts }
    - { kind: ClusterQueue, on: delete, is: evicts-jobs, because: its workloads go }
  ignore:
    - { kind: ClusterQueue, field: spec.stopPolicy, manager: kueue-viz }
";

fn report(result: Result<impl std::fmt::Debug, Diagnostics>) -> String {
    report::render(&result.unwrap_err(), report::Style::default())
}

/// Reads the good site with `old` replaced.
fn site_with(old: &str, new: &str) -> Result<Located<site::Site>, Diagnostics> {
    assert!(SITE_TEXT.contains(old), "{old}");
    site::parse("sites/lab-gpu/site.yaml", &SITE_TEXT.replacen(old, new, 1))
}

fn blueprint_with(old: &str, new: &str) -> Result<Located<blueprint::Blueprint>, Diagnostics> {
    assert!(BLUEPRINT_TEXT.contains(old), "{old}");
    let text = BLUEPRINT_TEXT.replacen(old, new, 1);
    blueprint::parse("blueprints/kueue/blueprint.yaml", &text)
}

/// Returns the code, line, column and underlined text of each mistake, and its label.
fn mistakes<T: std::fmt::Debug>(result: Result<T, Diagnostics>) -> Vec<String> {
    let describe = |diagnostic: &Diagnostic| {
        let span = diagnostic.place.span.as_ref().unwrap();
        let place = span.to_string();
        let place = place.split_once(':').map_or("", |(_, place)| place);
        let underlined = &span.text[span.range.clone()];
        let label = diagnostic.label.as_deref().unwrap_or("");
        format!("{} {place} [{underlined}] {}; {label}", diagnostic.code, diagnostic.message)
    };
    result.unwrap_err().0.iter().map(describe).collect()
}

#[test]
fn a_health_rule_sees_the_parts_of_an_object_and_nothing_else() {
    let text = "apiVersion: sitewright.dev/v1alpha1\nkind: Blueprint\nmetadata: { name: a, version: 1.0.0 }\n\
                spec:\n  summary: x\n  health:\n    - { kind: ConfigMap, ready: \"data.ready == 'yes'\" }\n\
                \u{20}   - { kind: Queue, ready: \"stats.phase == 'Ready'\" }\n";
    let errors = blueprint::parse("blueprint.yaml", text).unwrap_err().0;
    let told: Vec<_> =
        errors.iter().map(|e| (e.message.as_str(), e.label.as_deref().unwrap())).collect();
    assert_eq!(
        told,
        [
            ("`ready` uses `data`, which is not there", "no such name"),
            ("`ready` uses `stats`, which is not there", "did you mean `status`?"),
        ]
    );
}

#[test]
fn schemas_are_valid_and_accept_their_own_examples() {
    for (file, schema) in schema::all() {
        jsonschema::draft202012::meta::validate(&schema).unwrap();
        let (_, validator) = compiled(schema.clone());
        for example in schema["examples"].as_array().into_iter().flatten() {
            let errors: Vec<_> = validator.iter_errors(example).collect();
            assert!(errors.is_empty(), "{file}: {errors:?}");
        }
        assert_eq!(schema["$schema"], "https://json-schema.org/draft/2020-12/schema");
        assert!(schema["$id"].as_str().unwrap().ends_with(file));
    }
}

#[test]
fn a_good_site_is_read_and_points_into_its_file() {
    let site = site::parse("site.yaml", SITE_TEXT).unwrap();
    assert_eq!(site.value.spec.components.len(), 2);
    assert_eq!(site.value.spec.policy.limits.replaces, site::Limit::Share("5%".into()));
    assert_eq!(site.value.spec.components[1].depends_on[0].as_str(), "gpus");
    let span = site.document.span("/spec/components/0/values/driver").unwrap();
    assert_eq!(&site.document.text()[span], "\"580.95.05\"");
}

#[test]
fn a_good_blueprint_is_read() {
    let blueprint = blueprint::parse("blueprint.yaml", BLUEPRINT_TEXT).unwrap().value;
    assert_eq!(blueprint.spec.sources.len(), 2);
    assert_eq!(blueprint.spec.hazards[1].on, blueprint::HazardOn::Delete);
    let field = blueprint::HazardOn::Field { field: "spec.stopPolicy".into() };
    assert_eq!(blueprint.spec.hazards[0].on, field);
}

#[test]
fn what_is_written_of_a_value_is_read_as_that_value() {
    let site = site::parse("site.yaml", SITE_TEXT).unwrap();
    let text = yaml::to_yaml(&serde_json::to_value(&site.value).unwrap());
    let again = site::parse("site.yaml", &text).unwrap();
    assert_eq!(
        serde_json::to_value(&again.value).unwrap(),
        serde_json::to_value(&site.value).unwrap()
    );
    let blueprint = blueprint::parse("blueprint.yaml", BLUEPRINT_TEXT).unwrap();
    let text = yaml::to_yaml(&serde_json::to_value(&blueprint.value).unwrap());
    blueprint::parse("blueprint.yaml", &text).unwrap();
}

#[test]
fn every_mistake_of_a_site_is_shown_at_once() {
    let text = "\
apiVersion: sitewright.dev/v1alpha1
kind: Site
metadata: { name: Lab_GPU }
spec:
  cluster: { provider: existng }
  policy:
    limits: { deletes: 5 %, replaces: -1 }
    drift: 3
    people: admin
  components:
    - name: gpus
      blueprnt: { name: gpu-nvidia }
      dependsOn: [queues]
    - name: queues
      blueprint: { name: kueue, version: one }
      dependsOn: [gpu, gpus]
      policy: { adopt: \"yes\", ignore: [{ kind: clusterqueue, field: \"spec..x\" }] }
    - name: queues
      blueprint: { name: kueue }
      values: [a]
  tombstones:
    - { kind: PersistentVolumeClaim, name: old, uid: old, reason: \" \" }
";
    insta::assert_snapshot!(report(site::parse("sites/lab-gpu/site.yaml", text)));
}

#[test]
fn every_mistake_of_a_blueprint_is_shown_at_once() {
    let text = "\
apiVersion: sitewright.dev/v1alpha1
kind: Blueprint
metadata: { name: kueue, version: \"1.0\" }
spec:
  values: ../values.schema.json
  sources:
    - name: controller
      helm: { chart: kueue, path: chart, digest: sha256:12 }
      manifests: { path: /etc }
      when: values.enabled and
    - name: controller
    - name: crds
      manifests: {}
      values: x.yaml.j2
    - name: chart
      helm: { repo: https://charts.example.org, version: 1.2.3 }
    - name: named
      helm: { chart: kueue, version: 1.2.3 }
    - name: twice
      helm: { chart: oci://example.org/kueue, repo: https://example.org, version: 1 }
    - name: git
      manifests: { git: { url: https://example.org/x, ref: semver:one, path: ../up } }
  requires: [cert-manager??]
  provides: [Batch Queue]
  health:
    - { kind: ClusterQueue, ready: \"status.conditions.exists(\", deadline: soon }
  hazards:
    - { kind: ClusterQueue, on: { feild: spec.x }, is: evict-jobs, because: x }
    - { kind: ClusterQueue, on: deleted, is: safe, because: x }
";
    insta::assert_snapshot!(report(blueprint::parse("blueprints/kueue/blueprint.yaml", text)));
}

#[test]
fn a_selector_that_no_label_can_fit_is_a_mistake_and_no_silence() {
    let text = "\
apiVersion: sitewright.dev/v1alpha1
kind: Blueprint
metadata: { name: gpus, version: 1.0.0 }
spec:
  summary: GPUs
  hazards:
    - kind: ConfigMap
      on: update
      is: evicts-jobs
      because: x
      hits: { nodes: { nvidia.com/gpu/present: \"true\", pool: \"*\" } }
  waves:
    - name: driver
      hits: { nodes: { nvidia.com/gpu.present: \"yes please\" } }
      restart: { namespace: gpu-operator, daemonSets: { -app: driver } }
    - name: mig
      label: { key: nvidia.com/, from: sharing.mig }
";
    insta::assert_snapshot!(report(blueprint::parse("blueprints/gpus/blueprint.yaml", text)));
}

#[test]
fn a_file_of_another_kind_or_version_is_told_so_first() {
    let lines = |result: Result<_, Diagnostics>| mistakes(result);
    assert_eq!(
        lines(site_with("sitewright.dev/v1alpha1", "sitewright.dev/v1alpha2")),
        ["SW0109 1:13 [sitewright.dev/v1alpha2] `apiVersion` is not `sitewright.dev/v1alpha1`; \
         expected `sitewright.dev/v1alpha1`"]
    );
    assert_eq!(
        lines(site_with("kind: Site", "kind: Blueprint")),
        ["SW0109 2:7 [Blueprint] `kind` is not `Site`; expected `Site`"]
    );
    let missing = site_with("apiVersion: sitewright.dev/v1alpha1\nkind: Site\n", "");
    assert_eq!(missing.unwrap_err().0.len(), 2);
    insta::assert_snapshot!(report(site::parse("x/site.yaml", "apiVersion: v1\nkind: site\n")));
}

#[test]
fn a_file_that_is_not_one_document_is_refused() {
    let parse = |text: &str| site::parse("site.yaml", text).unwrap_err().0.remove(0);
    assert_eq!(parse("").code, format::NOT_ONE_DOCUMENT);
    assert_eq!(parse("# only a comment\n").code, format::NOT_ONE_DOCUMENT);
    assert_eq!(parse(&format!("{SITE_TEXT}---\n{SITE_TEXT}")).code, format::NOT_ONE_DOCUMENT);
    assert_eq!(parse("- a\n").code, format::WRONG_TYPE);
    assert_eq!(parse("just text\n").code, format::WRONG_TYPE);
    assert_eq!(parse("a: {").code, format::UNREADABLE_YAML);
    let bom_and_crlf = format!("\u{feff}{}", SITE_TEXT.replace('\n', "\r\n"));
    assert!(site::parse("site.yaml", &bom_and_crlf).is_ok());
}

#[test]
fn each_dependency_cycle_is_shown_once_with_its_way() {
    let site = |edges: &[(&str, &str)]| {
        let mut text = "apiVersion: sitewright.dev/v1alpha1\nkind: Site\nmetadata: {name: x}\n\
                        spec:\n  components:\n"
            .to_owned();
        for (name, depends_on) in edges {
            text.push_str(&format!(
                "  - {{name: {name}, blueprint: {{name: b}}, dependsOn: [{depends_on}]}}\n"
            ));
        }
        site::parse("s", &text)
    };
    let messages = |edges: &[(&str, &str)]| -> Vec<String> {
        site(edges).unwrap_err().0.into_iter().map(|error| error.message).collect()
    };
    assert_eq!(messages(&[("a", "a")]), ["component `a` waits for itself"]);
    assert_eq!(
        messages(&[("a", "b"), ("b", "c"), ("c", "a"), ("d", "a")]),
        ["components wait for each other: a -> b -> c -> a"]
    );
    assert_eq!(
        messages(&[("a", "b"), ("b", "a"), ("c", "d, a"), ("d", "c")]),
        [
            "components wait for each other: a -> b -> a",
            "components wait for each other: c -> d -> c"
        ]
    );
    assert!(site(&[("a", ""), ("b", "a"), ("c", "a, b"), ("d", "c, b, a")]).is_ok());
    let names: Vec<String> = (0..5_000).map(|n| format!("c{n}")).collect();
    let chain: Vec<(&str, &str)> =
        names.windows(2).map(|pair| (pair[0].as_str(), pair[1].as_str())).collect();
    let mut chain = chain;
    chain.push(("c4999", ""));
    assert!(site(&chain).is_ok());
}

#[test]
fn limits_are_numbers_or_shares() {
    let with = |limit: &str| site_with("deletes: 10", &format!("deletes: {limit}"));
    for good in ["0", "10", "10.0", "5%", "100%", "4294967295"] {
        assert!(with(good).is_ok(), "{good}");
    }
    for bad in ["101%", "5.5%", "-1", "1.5", "many", "true", "[]", "4294967296"] {
        let mistakes = mistakes(with(bad));
        assert_eq!(mistakes.len(), 1, "{bad}: {mistakes:?}");
        assert!(mistakes[0].contains(" 12:24 "), "{mistakes:?}");
    }
}

#[test]
fn a_key_without_a_value_is_called_empty() {
    assert_eq!(
        mistakes(site_with("dependsOn: [gpus]", "dependsOn:")),
        ["SW0103 21:7 [dependsOn] `dependsOn` is empty, but must be a list; expected a list"]
    );
}

#[test]
fn text_that_yaml_takes_for_something_else_gets_the_quotes_as_the_way_out() {
    let error = blueprint_with("version: 1.0.0", "version: 1.0").unwrap_err().0.remove(0);
    assert_eq!(error.message, "`version` is a number, but must be text");
    assert_eq!(error.help.unwrap(), "quote it to make it text: \"1.0\"");
}

#[test]
fn a_lock_is_printed_the_same_each_time_and_read_back() {
    let mut lock = lock::Lock::default();
    let digest = crate::digest::Digest::of("x");
    for name in ["kueue/controller", "a/b"] {
        let from = "oci://example.org/kueue".to_owned();
        let source = lock::LockedSource { from, version: Some("0.19.2".into()), digest };
        lock.sources.insert(name.into(), source);
    }
    let commit = "0123456789abcdef0123456789abcdef01234567".to_owned();
    lock.libraries
        .insert("https://git.example.edu/b@semver:1.x".into(), lock::LockedLibrary { commit });
    let text = lock::print(&lock);
    insta::assert_snapshot!(text);
    assert_eq!(lock::parse("site.lock", &text).unwrap().value, lock);
    assert_eq!(
        lock::parse("site.lock", &lock::print(&lock::Lock::default())).unwrap().value,
        lock::Lock::default()
    );
    let broken = text.replace("sha256:2d", "sha256:zz");
    assert_eq!(mistakes(lock::parse("site.lock", &broken)).len(), 2);
}

/// Both become arguments of helm: `release: --post-renderer=/x` was once an option of it.
#[test]
fn releases_and_namespaces_are_names() {
    let with = |release: &str, namespace: &str| {
        let text = format!(
            "apiVersion: sitewright.dev/v1alpha1\nkind: Blueprint\n\
             metadata: {{ name: x, version: 1.0.0 }}\nspec:\n  summary: x\n  sources:\n    - name: a\n      \
             namespace: \"{namespace}\"\n      helm: {{ path: chart, release: \"{release}\" }}\n"
        );
        blueprint::parse("blueprint.yaml", &text)
    };
    let (longest, label) = ("r".repeat(53), "n".repeat(63));
    for (release, namespace) in [("kueue", "kueue-system"), ("a.b-c.d", "x"), (&longest, &label)] {
        with(release, namespace).unwrap();
    }
    let too_long = ["r".repeat(54), "n".repeat(64)];
    for wrong in ["", "--post-renderer=/x", "-x", "x-", "X", "a..b", "a b", "a\\n", &too_long[0]] {
        let error = with(wrong, "fine").unwrap_err();
        assert!(error.0[0].place.span.is_some(), "{wrong}: {error}");
    }
    for wrong in ["", "--debug", "-x", "a.b", "A", &too_long[1]] {
        let error = with("fine", wrong).unwrap_err();
        assert!(error.0[0].place.span.is_some(), "{wrong}: {error}");
    }
}
