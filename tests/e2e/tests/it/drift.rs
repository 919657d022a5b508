//! Changes behind our back: shown with who made them, and mended.

use serde_json::{Value, json};
use sitewright_e2e::Lab;

const SETTINGS: &str = "
apiVersion: v1
kind: ConfigMap
metadata: { name: settings, namespace: '{ns}' }
data: { color: blue }
";

fn edit(lab: &Lab) {
    let patch = r#"{"data":{"color":"red","extra":"1"}}"#;
    lab.kubectl(&[
        "patch",
        "configmap",
        "settings",
        "-n",
        lab.name(),
        "-p",
        patch,
        "--field-manager=kubectl-edit",
    ]);
}

/// The only object that drifted.
fn drifted(lab: &Lab) -> Value {
    let run = lab.run(&["drift", "-o", "json"]);
    assert_eq!(run.code, 2, "{run}");
    let report = run.json();
    let objects = report["objects"].as_array().expect("a list");
    assert_eq!(objects.len(), 1, "{run}");
    let object = &objects[0];
    assert_eq!(object["component"], "app", "{run}");
    assert_eq!(object["id"]["name"], "settings", "{run}");
    object.clone()
}

/// When the server says that kubectl-edit wrote.
fn time_of_edit(lab: &Lab) -> Value {
    let arguments = ["get", "configmap", "settings", "-n", lab.name(), "--show-managed-fields"];
    let text = lab.kubectl(&[&arguments[..], &["-o", "json"]].concat());
    let live: Value = serde_json::from_str(&text).expect("kubectl prints JSON");
    let managers = live["metadata"]["managedFields"].as_array().expect("managers").clone();
    let edit = managers.iter().find(|entry| entry["manager"] == "kubectl-edit");
    edit.expect("it was edited")["time"].clone()
}

#[test]
fn a_hand_edit_is_attributed_and_mended() {
    let mut lab = Lab::new("edited");
    lab.component("app", SETTINGS);
    lab.apply();
    assert_eq!(lab.run(&["drift"]).code, 0);
    edit(&lab);
    let run = lab.run(&["drift"]);
    assert_eq!(run.code, 2, "{run}");
    for part in ["data.color", "blue", "red", "kubectl-edit"] {
        assert!(run.stdout.contains(part), "{part} is not shown:\n{run}");
    }
    // The added key is not among them: nobody declared it.
    let drifted = drifted(&lab);
    let by = json!({ "manager": "kubectl-edit", "time": time_of_edit(&lab) });
    let field = json!({ "field": "data.color", "desired": { "value": "blue" }, "live": { "value": "red" }, "by": by });
    assert_eq!(drifted["drift"], json!({ "is": "changed", "fields": [field] }));
    assert_eq!(drifted["mended"], json!({ "is": "byApply" }));
    assert_eq!(lab.change("ConfigMap", "settings")["cause"], "drift");
    lab.apply();
    let data = lab.live("configmap", "settings").unwrap()["data"].clone();
    assert_eq!(data["color"], "blue");
    // A key that we never declared is not ours to remove.
    assert_eq!(data["extra"], "1");
    assert_eq!(lab.run(&["drift"]).code, 0);
}

#[test]
fn a_deleted_object_is_drift_and_comes_back() {
    let mut lab = Lab::new("vanished");
    lab.component("app", SETTINGS);
    lab.apply();
    lab.kubectl(&["delete", "configmap", "settings", "-n", lab.name()]);
    let drifted = drifted(&lab);
    assert_eq!(drifted["drift"], json!({ "is": "deleted" }));
    assert_eq!(drifted["mended"], json!({ "is": "byApply" }));
    lab.apply();
    assert!(lab.live("configmap", "settings").is_some());
}

#[test]
fn report_only_shows_drift_and_leaves_it() {
    let mut lab = Lab::new("report-only");
    lab.spec("policy: { drift: report }");
    lab.component("app", SETTINGS);
    lab.apply();
    edit(&lab);
    let drifted = drifted(&lab);
    assert_eq!(drifted["drift"]["fields"][0]["by"]["manager"], "kubectl-edit", "{drifted:#}");
    assert_eq!(drifted["mended"], json!({ "is": "reportOnly" }));
    let requests = lab.requests(|| {
        lab.run(&["apply", "--yes"]);
    });
    assert!(requests.writes().is_empty(), "{requests}");
    assert_eq!(lab.live("configmap", "settings").unwrap()["data"]["color"], "red");
    // A new revision is no drift: it is applied.
    lab.component("app", &SETTINGS.replace("blue", "green"));
    lab.apply();
    assert_eq!(lab.live("configmap", "settings").unwrap()["data"]["color"], "green");
}

#[test]
fn what_an_operator_writes_beside_our_fields_is_not_drift() {
    let mut lab = Lab::new("beside");
    lab.component("app", SETTINGS);
    lab.apply();
    let patch = r#"{"metadata":{"annotations":{"operator.example/checked":"yes"}},"data":{"added":"by-operator"}}"#;
    lab.kubectl(&[
        "patch",
        "configmap",
        "settings",
        "-n",
        lab.name(),
        "-p",
        patch,
        "--field-manager=operator",
    ]);
    assert_eq!(lab.run(&["drift"]).code, 0);
    assert_eq!(lab.run(&["plan"]).code, 0, "{}", lab.run(&["plan"]));
}
