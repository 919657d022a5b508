//! The blueprint `rook-ceph`: Rook's own CRDs accept it, and its data goes by tombstone only.
//!
//! Rook's operator ends unless it runs in a pod and finds disks, so its status is written by the test.

use serde_json::Value;
use sitewright_e2e::Lab;

use super::control_plane;

fn site(components: &str, rest: &str) -> String {
    format!(
        "apiVersion: sitewright.dev/v1alpha1\nkind: Site\nmetadata: {{ name: storage }}\nspec:\n\
         \u{20} policy: {{ limits: {{ deletes: 100%, replaces: 5% }} }}\n{rest}  components:\n{components}\
         \u{20}   - name: notice\n      blueprint: {{ name: team-space }}\n      values: {{ teams: {{ guests: {{ cpus: 1 }} }} }}\n"
    )
}

const STORAGE: &str = "
    - name: storage
      blueprint: { name: rook-ceph, version: 1.x }
      values:
        storageNodes: [store-1, store-2, store-3]
        pools: { home: { replicas: 3, default: true } }
        filesystems: { shared: { replicas: 3 } }
        objectStores: { data: { replicas: 3 } }
";

fn report_ready(lab: &Lab) {
    let ready = r#"{"status":{"phase":"Ready","ceph":{"health":"HEALTH_OK"}}}"#;
    for object in [
        "cephcluster/rook-ceph",
        "cephblockpool/home",
        "cephfilesystem/shared",
        "cephobjectstore/data",
    ] {
        lab.kubectl(&[
            "patch",
            object,
            "-n",
            "rook-ceph",
            "--subresource=status",
            "--type=merge",
            "-p",
            ready,
        ]);
    }
}

/// Kind, name, namespace and UID of what waits for a tombstone.
fn tombstones(plan: &Value) -> String {
    let mut lines = String::from("  tombstones:\n");
    let components = plan["components"].as_array().into_iter().flatten();
    for change in
        components.flat_map(|component| component["changes"].as_array().into_iter().flatten())
    {
        let gates = change["gates"].as_array().into_iter().flatten();
        for gate in gates.filter(|gate| gate["waitsFor"] == "tombstone") {
            let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
            let id = &change["id"];
            let namespace =
                id["namespace"].as_str().map(|n| format!(", namespace: {n}")).unwrap_or_default();
            let (kind, name, uid) = (text(&id["kind"]), text(&id["name"]), text(&gate["uid"]));
            lines += &format!(
                "    - {{ kind: {kind}, name: {name}{namespace}, uid: {uid}, reason: end of the test }}\n"
            );
        }
    }
    lines
}

#[test]
fn rook_accepts_what_is_rendered_and_its_cluster_goes_by_tombstone_only() {
    let lab = Lab::with_library(control_plane(), "storage");
    lab.site(&site(STORAGE, ""));
    let run = lab.run(&["apply", "--yes", "--timeout", "20s"]);
    // All is accepted; that no operator reports it ready is all that is missing.
    assert!(!run.says("refused") && !run.says("SW0506"), "{run}");
    for object in [
        "cephcluster/rook-ceph",
        "cephblockpool/home",
        "cephfilesystem/shared",
        "cephobjectstore/data",
    ] {
        lab.kubectl(&["get", object, "-n", "rook-ceph"]);
    }
    for class in ["block-home", "file-shared", "bucket-data"] {
        lab.kubectl(&["get", "storageclass", class]);
    }
    report_ready(&lab);
    let run = lab.run(&["apply", "--yes", "--timeout", "60s"]);
    assert_eq!(run.code, 0, "{run}");
    assert_eq!(lab.run(&["plan"]).code, 0);

    lab.site(&site("", ""));
    let run = lab.run(&["plan"]);
    assert!(run.says("tombstone") && run.says("CephCluster"), "{run}");
    let digest = lab.plan()["digest"].as_str().unwrap().to_owned();
    lab.run(&["apply", "--plan", &digest, "--timeout", "30s"]);
    lab.kubectl(&["get", "cephcluster/rook-ceph", "-n", "rook-ceph"]);
    lab.kubectl(&["get", "cephblockpool/home", "-n", "rook-ceph"]);

    // Tombstones, in rounds: what goes uncovers what was held by it.
    for _ in 0..4 {
        let plan = lab.plan();
        let lines = tombstones(&plan);
        if lines.lines().count() == 1 {
            break;
        }
        lab.site(&site("", &lines));
        let digest = lab.plan()["digest"].as_str().unwrap().to_owned();
        lab.run(&["apply", "--plan", &digest, "--timeout", "30s"]);
    }
    let left = lab.kubectl(&[
        "get",
        "crd",
        "cephclusters.ceph.rook.io",
        "--ignore-not-found",
        "-o",
        "name",
    ]);
    assert!(left.is_empty(), "{left}\n{}", lab.run(&["plan"]));
}
