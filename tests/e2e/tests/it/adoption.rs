//! Objects that were there before.

use sitewright_e2e::Lab;

const SETTINGS: &str = "
apiVersion: v1
kind: ConfigMap
metadata: { name: settings, namespace: '{ns}' }
data: { color: blue }
";

fn lab(name: &str) -> Lab {
    let mut lab = Lab::new(name);
    lab.kubectl(&["create", "configmap", "settings", "-n", name, "--from-literal=mine=yes"]);
    lab.component("app", SETTINGS);
    lab
}

#[test]
fn an_object_that_is_there_is_not_taken_without_consent() {
    let lab = lab("no-consent");
    let change = lab.change("ConfigMap", "settings");
    assert_eq!(change["action"]["is"], "adopt", "{change:#}");
    assert_eq!(change["gates"][0]["waitsFor"], "adoption", "{change:#}");
    lab.run(&["apply", "--yes"]);
    assert!(lab.live("configmap", "settings").unwrap()["data"].get("color").is_none());
}

#[test]
fn an_adopted_object_is_released_and_not_deleted() {
    let mut lab = lab("adopted");
    lab.component_site("app", "policy: { adopt: true }");
    lab.apply();
    let live = lab.live("configmap", "settings").unwrap();
    assert_eq!((&live["data"]["color"], &live["data"]["mine"]), (&"blue".into(), &"yes".into()));
    lab.component("app", &SETTINGS.replace("name: settings", "name: other"));
    assert_eq!(lab.change("ConfigMap", "settings")["action"]["is"], "release");
    lab.apply();
    let live = lab.live("configmap", "settings").unwrap();
    assert_eq!(live["data"]["mine"], "yes");
    assert!(live["metadata"]["labels"].get("sitewright.dev/site").is_none(), "{live:#}");
    assert_eq!(lab.run(&["plan"]).code, 0);
}
