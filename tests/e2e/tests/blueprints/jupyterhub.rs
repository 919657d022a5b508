//! The blueprint `jupyterhub`: its configuration, read by JupyterHub itself, makes KubeSpawner start notebooks
//! as the person who signed in, and none for whoever has no identity.

use std::{fs, path::Path, process::Command};

use serde_json::{Value, json};
use sitewright_e2e::{Lab, control_plane};
use sitewright_testbed::tools::PythonTools;

const SITE: &str = "
apiVersion: sitewright.dev/v1alpha1
kind: Site
metadata: { name: notebooks }
spec:
  components:
    - name: hub
      blueprint: { name: jupyterhub, version: 1.x }
      values:
        url: https://hub.example.edu
        login: { oidc: { issuer: 'https://sso.example.edu/realms/lab', clientId: hub }, groups: [staff] }
        posix: { groupsClaim: gids }
        homes: { storageClass: file-shared }
        profiles:
          gpu: { title: One GPU, image: 'registry.example.edu/notebook:1', cpus: 2, memory: 8, gpus: 1, groups: [vision] }
";

/// The hub's configuration and settings, as its pod would have them.
fn write_configuration(lab: &Lab) {
    lab.site(SITE);
    let run = lab.run(&["render", "-o", "json"]);
    assert_eq!(run.code, 0, "{run}");
    let list = run.json();
    let mut objects = list["items"].as_array().unwrap().iter();
    let is_configuration =
        |object: &&Value| object["kind"] == "ConfigMap" && object["metadata"]["name"] == "hub";
    let hub = objects.find(is_configuration).unwrap();
    for (file, text) in hub["data"].as_object().unwrap() {
        lab.file(&format!("hub/{file}"), text.as_str().unwrap());
    }
    fs::create_dir_all(lab.folder().join("state")).unwrap();
}

/// The pod that the hub would start; else what it says.
fn pod(lab: &Lab, state: Value, groups: &[&str]) -> Result<Value, String> {
    let sign_in = json!({ "name": "ada@example.edu", "groups": groups, "state": state });
    let hub = lab.folder().join("hub");
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/blueprints/notebook.py");
    let output = Command::new(PythonTools::Notebooks.find().unwrap().join("python"))
        .arg(script)
        .arg(hub.join("jupyterhub_config.py"))
        .args([&sign_in.to_string(), "gpu"])
        .env("KUBECONFIG", lab.kubeconfig())
        .env("HUB_SETTINGS", hub.join("settings.json"))
        .env("HUB_STATE", lab.folder().join("state"))
        .output()
        .unwrap();
    if !output.status.success() {
        return Err(String::from_utf8_lossy(&output.stderr).into_owned());
    }
    Ok(serde_json::from_slice(&output.stdout).unwrap())
}

#[test]
fn a_notebook_runs_as_the_person_who_signed_in_and_as_nobody_else() {
    let lab = Lab::with_library(control_plane(), "notebooks");
    write_configuration(&lab);
    let known = json!({ "oauth_user": { "uidNumber": "10234", "gidNumber": 20001, "gids": [30001, 0, "x"] } });
    let mut ada = pod(&lab, known.clone(), &["vision"]).unwrap();
    let notebook = &ada["spec"]["containers"][0];
    assert_eq!(notebook["securityContext"]["runAsUser"], 10234);
    assert_eq!(notebook["securityContext"]["runAsGroup"], 20001);
    assert_eq!(notebook["securityContext"]["allowPrivilegeEscalation"], false);
    assert_eq!(notebook["resources"]["limits"]["nvidia.com/gpu"], "1");
    assert_eq!(ada["spec"]["automountServiceAccountToken"], false);
    // Groups of the system are nobody's; the kubelet must not take all homes for one group.
    assert_eq!(ada["spec"]["securityContext"], json!({ "supplementalGroups": [30001] }));
    // A home of one's own, in the one volume of all.
    let mount = &notebook["volumeMounts"][0];
    assert!(mount["subPath"].as_str().unwrap().starts_with("ada-example-edu"), "{mount}");
    ada["metadata"]["namespace"] = "default".into();
    lab.kubectl_with(&["apply", "--server-side", "--dry-run=server", "-f", "-"], &ada.to_string());

    for nobody in [
        json!({}),
        json!({ "oauth_user": { "uidNumber": 0, "gidNumber": 20001 } }),
        json!({ "oauth_user": { "uidNumber": "10234; id", "gidNumber": 20001 } }),
        json!({ "oauth_user": { "uidNumber": 10234 } }),
    ] {
        let refused = pod(&lab, nobody.clone(), &["vision"]).unwrap_err();
        assert!(refused.contains("no usable"), "{nobody}: {refused}");
    }
    let refused = pod(&lab, known, &["staff"]).unwrap_err();
    assert!(refused.contains("No such profile: gpu. Options include: small"), "{refused}");
    // The key of what the hub keeps encrypted is made once, and is nobody else's to read.
    let key = lab.folder().join("state/crypt_key");
    let mode = std::os::unix::fs::PermissionsExt::mode(&fs::metadata(&key).unwrap().permissions());
    assert_eq!(mode & 0o077, 0, "{mode:o}");
}
