//! Other field managers, other sites, wedged lists (law 4).

use sitewright_e2e::{Lab, control_plane};

const DEPLOYMENT: &str = "
apiVersion: apps/v1
kind: Deployment
metadata: { name: web, namespace: '{ns}' }
spec:
  replicas: 0
  selector: { matchLabels: { app: web } }
  template:
    metadata: { labels: { app: web } }
    spec: { containers: [{ name: web, image: 'registry.example/web:1' }] }
";

const SERVICE: &str = "
apiVersion: v1
kind: Service
metadata: { name: web, namespace: '{ns}' }
spec:
  selector: { app: web }
  ports: [{ name: http, port: 80, targetPort: 8080 }]
";

fn scale_as_controller(lab: &Lab) {
    let replicas = "apiVersion: apps/v1\nkind: Deployment\nmetadata: { name: web, namespace: '{ns}' }\nspec: { replicas: 2 }\n";
    let arguments =
        ["apply", "--server-side", "--force-conflicts", "--field-manager", "autoscaler", "-f", "-"];
    lab.kubectl_with(&arguments, replicas);
}

#[test]
fn a_conflict_is_held_and_names_the_other_manager() {
    let mut lab = Lab::new("conflict");
    lab.component("app", DEPLOYMENT);
    lab.apply();
    scale_as_controller(&lab);
    let change = lab.change("Deployment", "web");
    assert_eq!(change["gates"][0]["waitsFor"], "conflict", "{change:#}");
    assert!(change["gates"][0].to_string().contains("autoscaler"), "{change:#}");
    let run = lab.run(&["apply", "--yes"]);
    assert!(run.says("autoscaler") && run.says("spec.replicas"), "{run}");
    assert_eq!(lab.live("deployment", "web").unwrap()["spec"]["replicas"], 2);
}

#[test]
fn a_field_is_taken_over_only_by_name() {
    let mut lab = Lab::new("take-over");
    lab.component("app", DEPLOYMENT);
    lab.apply();
    scale_as_controller(&lab);
    lab.component_site(
        "app",
        "policy: { takeOver: [{ kind: Deployment, field: spec.replicas, manager: autoscaler }] }",
    );
    lab.apply();
    assert_eq!(lab.live("deployment", "web").unwrap()["spec"]["replicas"], 0);
    assert_eq!(lab.run(&["plan"]).code, 0);
}

#[test]
fn an_ignored_field_stays_with_its_manager() {
    let mut lab = Lab::new("ignored");
    lab.component("app", DEPLOYMENT);
    lab.component_blueprint(
        "app",
        "ignore: [{ kind: Deployment, field: spec.replicas, manager: autoscaler }]",
    );
    lab.apply();
    scale_as_controller(&lab);
    assert_eq!(lab.run(&["plan"]).code, 0, "{}", lab.run(&["plan"]));
    lab.component("app", &DEPLOYMENT.replace("web:1", "web:2"));
    // There are no nodes here: the autoscaler's two pods never become ready.
    let run = lab.run(&["apply", "--yes", "--timeout", "3s"]);
    assert!(run.says("of 2 pods"), "{run}");
    let live = lab.live("deployment", "web").unwrap();
    assert_eq!(live["spec"]["replicas"], 2);
    assert_eq!(
        live["spec"]["template"]["spec"]["containers"][0]["image"],
        "registry.example/web:2"
    );
}

/// kubernetes#130292, flux2 discussion 6068: with the hand-made entry in place every apply is invalid.
#[test]
fn a_hand_edited_port_does_not_wedge_the_service() {
    let mut lab = Lab::new("wedge");
    lab.component("app", SERVICE);
    lab.apply();
    let patch = r#"[{"op":"replace","path":"/spec/ports/0/port","value":81}]"#;
    let arguments = [
        "patch",
        "service",
        "web",
        "-n",
        lab.name(),
        "--type=json",
        "-p",
        patch,
        "--field-manager=kubectl-edit",
    ];
    lab.kubectl(&arguments);
    let run = lab.run(&["drift"]);
    assert_eq!(run.code, 2, "{run}");
    assert!(run.says("kubectl-edit"), "{run}");
    lab.apply();
    let ports = lab.live("service", "web").unwrap()["spec"]["ports"].clone();
    assert_eq!(ports.as_array().unwrap().len(), 1, "{ports}");
    assert_eq!(ports[0]["port"], 80);
    assert_eq!(lab.run(&["plan"]).code, 0, "{}", lab.run(&["plan"]));
}

#[test]
fn two_sites_never_own_one_object() {
    let object = "apiVersion: v1\nkind: ConfigMap\nmetadata: { name: shared, namespace: first-site }\ndata: { a: b }\n";
    let mut first = Lab::new("first-site");
    first.component("app", object);
    first.apply();
    let plane = control_plane();
    let mut second = Lab::on(plane, plane.kubeconfig(), "second-site");
    second.component("app", object);
    second.component_site("app", "policy: { adopt: true }");
    let change = second.change("ConfigMap", "shared");
    let gates = change["gates"].as_array().expect("gates");
    let other_site = gates.iter().find(|gate| gate["waitsFor"] == "otherSite");
    assert!(other_site.expect("held").to_string().contains("first-site"), "{change:#}");
    second.run(&["apply", "--yes"]);
    let live = first.live("configmap", "shared").unwrap();
    assert_eq!(live["metadata"]["labels"]["sitewright.dev/site"], "first-site");
    // Neither did the second site note it as its own: taking it out deletes nothing.
    second.remove("app");
    second.run(&["apply", "--yes"]);
    assert!(first.live("configmap", "shared").is_some());
}
