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
const UPSTREAM_TREES: [(&str, &str, &str, &str); 4] = [
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
