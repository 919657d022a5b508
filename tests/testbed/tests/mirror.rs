//! The mirrors, against what upstream's repositories hold at the same tags.

use std::process::Command;

use sitewright_testbed::mirror::{Mirrors, Repository};

fn git(repository: &Repository, arguments: &[&str]) -> String {
    let output = Command::new("git")
        .arg("--git-dir")
        .arg(&repository.path)
        .args(arguments)
        .output()
        .expect("git runs");
    assert!(output.status.success(), "git {arguments:?}: {output:?}");
    String::from_utf8(output.stdout).expect("git prints text").trim().to_owned()
}

/// Tree ids of upstream's own repositories at these tags, read from clones of them: whoever moves a
/// version in `tests/tools/charts` reads them anew with `git rev-parse TAG:FOLDER`.
const UPSTREAM_TREES: [(&str, &str, &str, &str); 13] = [
    (
        "https://github.com/kubernetes-sigs/kueue",
        "v0.19.2",
        "charts/kueue",
        "34a4b53bc55558f47b5db36f8bbfa4db9993e0be",
    ),
    (
        "https://github.com/rook/rook",
        "v1.20.6",
        "deploy/charts",
        "f43802fdd2bac74c932850ca2c3924126c17f4ec",
    ),
    (
        "https://github.com/rook/rook",
        "v1.20.6",
        "deploy/charts/rook-ceph",
        "2e4d12bb395e19e9cd15ed52096d407cdbf29d1f",
    ),
    (
        "https://github.com/ceph/ceph-csi-operator",
        "v1.0.4",
        "deploy/charts",
        "9c7b9849ed4783a91a236d2eb9a364835eeb2599",
    ),
    (
        "https://github.com/NVIDIA/gpu-operator",
        "v25.3.4",
        "deployments/gpu-operator",
        "943bd24750168e84245e74086e1576c07d1d4987",
    ),
    (
        "https://github.com/volcano-sh/volcano",
        "v1.15.1",
        "installer/helm/chart/volcano",
        "2b080af5b5a15a0ebd2c9533e2a7dbadb25a5b57",
    ),
    (
        "https://github.com/argoproj/argo-workflows",
        "v4.0.5",
        "manifests/base",
        "74c39ce3a15a61aaa399baf1ab67238d0928e4d2",
    ),
    (
        "https://github.com/kubernetes-sigs/jobset",
        "v0.12.0",
        "charts/jobset",
        "322e86f854571a91b64432d5cbcec78edc3507bc",
    ),
    (
        "https://github.com/kubeflow/trainer",
        "v2.3.0",
        "charts/kubeflow-trainer",
        "dbdf2f304c8dd664ba45d4439cbbd6d72f5b3986",
    ),
    (
        "https://github.com/kserve/kserve",
        "v0.20.0",
        "charts/kserve-resources",
        "97cd2fddb37f5546e587244574a24bbd35830ef2",
    ),
    (
        "https://github.com/kserve/kserve",
        "v0.20.0",
        "charts/kserve-crd",
        "a0361a4b2fd5ee46ef5001e97cd6d5463313d910",
    ),
    (
        "https://github.com/prometheus-operator/prometheus-operator",
        "v0.85.0",
        "example/prometheus-operator-crd",
        "b832878bb43c2ee615782ef9c29199914b61d7d7",
    ),
    (
        "https://github.com/kubernetes/kube-state-metrics",
        "v2.18.0",
        "examples/standard",
        "6acd283cbc2a52421585ab7df91a32e0f35e2461",
    ),
];

#[test]
fn the_chart_folders_have_the_tree_ids_of_upstream() {
    let folder = tempfile::tempdir().unwrap();
    let mirrors = Mirrors::make(folder.path()).unwrap();
    for (url, tag, path, tree) in UPSTREAM_TREES {
        let repository = mirrors.repository(url).unwrap();
        assert_eq!(repository.tag, tag);
        assert_eq!(git(repository, &["rev-parse", &format!("{tag}:{path}")]), tree, "{url} {path}");
    }
}

#[test]
fn a_mirror_is_the_same_every_time_and_can_be_cloned() {
    let (one, two) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let (first, second) = (Mirrors::make(one.path()).unwrap(), Mirrors::make(two.path()).unwrap());
    for (a, b) in first.repositories.iter().zip(&second.repositories) {
        assert_eq!(git(a, &["rev-parse", "main", &a.tag]), git(b, &["rev-parse", "main", &b.tag]));
        git(a, &["fsck", "--strict"]);
    }
    let rook = first.repository("https://github.com/rook/rook").unwrap();
    let clone = two.path().join("clone");
    let url = format!("file://{}", rook.path.display());
    let status = Command::new("git")
        .args([
            "-c",
            "advice.detachedHead=false",
            "clone",
            "--quiet",
            "--depth=1",
            "--branch",
            &rook.tag,
            &url,
        ])
        .arg(&clone)
        .status();
    assert!(status.unwrap().success());
    let link = clone.join("deploy/charts/rook-ceph/charts/library");
    assert_eq!(std::fs::read_link(link).unwrap().to_str(), Some("../../library"));
}

#[test]
fn the_published_charts_are_listed_with_their_digests() {
    let folder = tempfile::tempdir().unwrap();
    let mirrors = Mirrors::make(folder.path()).unwrap();
    let rules = std::fs::read_to_string(&mirrors.file).unwrap();
    assert!(rules.contains("from: \"https://ceph.github.io/ceph-csi-operator\""), "{rules}");
    let index = folder.path().canonicalize().unwrap().join("ceph-csi-operator-charts/index.yaml");
    let index = std::fs::read_to_string(index).unwrap();
    assert!(index.contains("urls: [ceph-csi-operator-1.0.4.tgz]"), "{index}");
}
