//! Create, update, nothing to do; renames, moves, API versions; orphans.

use std::collections::BTreeMap;

use serde_json::json;
use sitewright_e2e::{Lab, change_in};

const SETTINGS: &str = "
apiVersion: v1
kind: ConfigMap
metadata: { name: settings, namespace: '{ns}' }
data: { color: blue, size: '3' }
";

fn config_map(name: &str) -> String {
    format!(
        "---\napiVersion: v1\nkind: ConfigMap\nmetadata: {{ name: {name}, namespace: '{{ns}}' }}\ndata: {{ a: b }}\n"
    )
}

#[test]
fn a_second_apply_sends_no_write_and_asks_for_no_dry_run() {
    let mut lab = Lab::new("no-op");
    lab.component("app", SETTINGS);
    assert_eq!(lab.change("ConfigMap", "settings")["action"]["is"], "create");
    lab.apply();
    assert_eq!(lab.live("configmap", "settings").unwrap()["data"]["color"], "blue");
    let requests = lab.requests(|| {
        let run = lab.apply();
        assert!(run.says("othing to do") || run.says("o changes"), "{run}");
    });
    assert!(requests.writes().is_empty(), "{requests}");
    assert_eq!(requests.count("patch", "configmaps"), 0, "{requests}");
    assert_eq!(lab.run(&["plan"]).code, 0);
}

#[test]
fn a_plan_without_change_lists_each_kind_once_and_asks_of_no_object() {
    let mut lab = Lab::new("lists");
    let more = "---\napiVersion: v1\nkind: ServiceAccount\nmetadata: { name: one, namespace: '{ns}' }\n\
                ---\napiVersion: v1\nkind: ServiceAccount\nmetadata: { name: two, namespace: '{ns}' }\n\
                ---\napiVersion: v1\nkind: Service\nmetadata: { name: web, namespace: '{ns}' }\nspec: { ports: [{ port: 80 }] }\n";
    lab.component("app", &format!("{SETTINGS}{}{more}", config_map("other")));
    lab.component("second", &config_map("third"));
    lab.apply();
    let requests = lab.requests(|| {
        assert_eq!(lab.run(&["plan"]).code, 0);
    });
    let mut lists = BTreeMap::new();
    for event in requests.0.iter().filter(|event| event.verb == "list") {
        *lists.entry((event.resource.as_str(), event.namespace.as_str())).or_insert(0) += 1;
    }
    // The inventory is made of config maps too.
    let once = [
        (("configmaps", ""), 1),
        (("configmaps", "sitewright-system"), 1),
        (("serviceaccounts", ""), 1),
        (("services", ""), 1),
    ];
    assert_eq!(lists, BTreeMap::from(once), "{requests}");
    // What is read besides is which cluster it is, and what it serves.
    let of_objects = |event: &&sitewright_testbed::AuditEvent| {
        event.verb != "list" && !event.resource.is_empty() && event.name != "kube-system"
    };
    assert_eq!(requests.0.iter().filter(of_objects).count(), 0, "{requests}");
    assert!(requests.0.len() <= once.len() + 4, "{requests}");
}

#[test]
fn an_update_is_shown_field_by_field_and_touches_one_object() {
    let mut lab = Lab::new("update");
    lab.component("app", &format!("{SETTINGS}{}", config_map("other")));
    lab.apply();
    lab.component("app", &format!("{}{}", SETTINGS.replace("blue", "green"), config_map("other")));
    let change = lab.change("ConfigMap", "settings");
    assert_eq!(
        change["action"],
        json!({ "is": "update", "fields": [
            { "field": "data.color", "before": { "value": "blue" }, "after": { "value": "green" } }
        ] })
    );
    assert_eq!(change["cause"], "revision");
    assert_eq!(lab.run(&["plan"]).code, 2);
    let requests = lab.requests(|| {
        lab.apply();
    });
    let settings: Vec<_> =
        requests.writes().into_iter().filter(|event| event.namespace == lab.name()).collect();
    assert_eq!(settings.len(), 1, "{requests}");
    assert_eq!(lab.live("configmap", "settings").unwrap()["data"]["color"], "green");
}

#[test]
fn what_leaves_the_site_is_pruned_and_nothing_else() {
    let mut lab = Lab::new("prune");
    lab.component("app", &format!("{}{}", config_map("stays"), config_map("goes")));
    lab.apply();
    lab.component("app", &config_map("stays"));
    assert_eq!(lab.change("ConfigMap", "goes")["action"]["is"], "delete");
    lab.apply();
    assert!(lab.live("configmap", "goes").is_none());
    assert!(lab.live("configmap", "stays").is_some());
    assert_eq!(lab.run(&["plan"]).code, 0);
}

#[test]
fn a_renamed_component_deletes_nothing() {
    let mut lab = Lab::new("renamed");
    lab.component("before", SETTINGS);
    lab.apply();
    let uid = lab.live("configmap", "settings").unwrap()["metadata"]["uid"].clone();
    lab.remove("before").component("after", SETTINGS);
    let requests = lab.requests(|| {
        lab.apply();
    });
    assert_eq!(requests.count("delete", "configmaps"), 0, "{requests}");
    assert_eq!(lab.live("configmap", "settings").unwrap()["metadata"]["uid"], uid);
    assert_eq!(lab.run(&["plan"]).code, 0);
}

#[test]
fn an_object_that_moves_to_another_namespace_is_created_there_and_deleted_here() {
    let mut lab = Lab::new("moved");
    lab.component("app", SETTINGS);
    lab.apply();
    lab.kubectl(&["create", "namespace", "moved-to"]);
    lab.component("app", &SETTINGS.replace("{ns}", "moved-to"));
    let plan = lab.plan();
    let actions: Vec<_> = plan["components"][0]["changes"]
        .as_array()
        .unwrap()
        .iter()
        .map(|c| &c["action"]["is"])
        .collect();
    assert!(actions.contains(&&json!("create")) && actions.contains(&&json!("delete")), "{plan:#}");
    lab.apply();
    assert!(lab.live("configmap", "settings").is_none());
    assert!(
        lab.kubectl(&["get", "configmap", "-n", "moved-to", "-o", "name"]).contains("settings")
    );
}

#[test]
fn an_api_version_migration_keeps_the_object() {
    let mut lab = Lab::new("api-version");
    let scaler = |version: &str, metrics: &str| {
        format!(
            "apiVersion: autoscaling/{version}\nkind: HorizontalPodAutoscaler\n\
             metadata: {{ name: web, namespace: '{{ns}}' }}\nspec:\n  maxReplicas: 3\n\
             \u{20} scaleTargetRef: {{ apiVersion: apps/v1, kind: Deployment, name: web }}\n  {metrics}\n"
        )
    };
    lab.component("app", &scaler("v1", "targetCPUUtilizationPercentage: 60"));
    lab.apply();
    let uid = lab.live("hpa", "web").unwrap()["metadata"]["uid"].clone();
    let v2 = "metrics: [{ type: Resource, resource: { name: cpu, target: { type: Utilization, averageUtilization: 60 } } }]";
    lab.component("app", &scaler("v2", v2));
    let requests = lab.requests(|| {
        lab.apply();
    });
    assert_eq!(requests.count("delete", "horizontalpodautoscalers"), 0, "{requests}");
    assert_eq!(lab.live("hpa", "web").unwrap()["metadata"]["uid"], uid);
    assert_eq!(lab.run(&["plan"]).code, 0, "{}", lab.run(&["plan"]));
}

#[test]
fn an_object_that_is_gone_already_is_forgotten() {
    let mut lab = Lab::new("orphan");
    lab.component("app", &format!("{}{}", config_map("stays"), config_map("goes")));
    lab.apply();
    lab.kubectl(&["delete", "configmap", "goes", "-n", lab.name()]);
    lab.component("app", &config_map("stays"));
    assert_eq!(lab.change("ConfigMap", "goes")["action"]["is"], "forget");
    lab.apply();
    assert_eq!(lab.run(&["plan"]).code, 0);
}

#[test]
fn a_stranger_of_the_same_name_is_never_deleted() {
    let mut lab = Lab::new("stranger");
    lab.component("app", &format!("{}{}", config_map("stays"), config_map("goes")));
    lab.apply();
    lab.kubectl(&["delete", "configmap", "goes", "-n", lab.name()]);
    lab.kubectl(&["create", "configmap", "goes", "-n", lab.name(), "--from-literal=mine=yes"]);
    lab.component("app", &config_map("stays"));
    assert_eq!(lab.change("ConfigMap", "goes")["action"]["is"], "forget");
    lab.apply();
    assert_eq!(lab.live("configmap", "goes").unwrap()["data"]["mine"], "yes");
}

#[test]
fn a_failure_stops_its_branch_only() {
    let mut lab = Lab::new("partial");
    let broken = "apiVersion: v1\nkind: ConfigMap\nmetadata: { name: broken, namespace: '{ns}' }\ndata: { 'not a key!': x }\n";
    lab.component("bad", broken)
        .component("good", SETTINGS)
        .component("after", &config_map("after"));
    lab.component_site("after", "dependsOn: [bad]");
    let run = lab.run(&["apply", "--yes"]);
    assert_eq!(run.code, 1, "{run}");
    assert!(lab.live("configmap", "settings").is_some(), "{run}");
    assert!(
        lab.live("configmap", "broken").is_none() && lab.live("configmap", "after").is_none(),
        "{run}"
    );
    assert!(run.says("not a key!"), "{run}");
}

#[test]
fn apply_refuses_when_the_plan_is_no_longer_the_same() {
    let mut lab = Lab::new("stale-plan");
    lab.component("app", SETTINGS);
    let digest = lab.plan()["digest"].as_str().unwrap().to_owned();
    lab.component("app", &SETTINGS.replace("blue", "red"));
    let run = lab.run(&["apply", "--plan", &digest]);
    assert_eq!(run.code, 1, "{run}");
    assert!(run.says("SW0501"), "{run}");
    assert!(lab.live("configmap", "settings").is_none());
    let digest = lab.plan()["digest"].as_str().unwrap().to_owned();
    assert_eq!(lab.run(&["apply", "--plan", &digest]).code, 0);
    assert_eq!(lab.live("configmap", "settings").unwrap()["data"]["color"], "red");
}

#[test]
fn the_digest_of_a_plan_does_not_change_by_itself() {
    let mut lab = Lab::new("same-digest");
    lab.component("app", SETTINGS);
    let (first, second) = (lab.plan(), lab.plan());
    assert_eq!(first["digest"], second["digest"]);
    assert_eq!(
        change_in(&first, "ConfigMap", "settings"),
        change_in(&second, "ConfigMap", "settings")
    );
}
