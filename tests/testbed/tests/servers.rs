//! The small servers, each used by the program that it is for.

use std::{fs, path::Path, process::Command};

use sitewright_testbed::{Authority, GitHttp, HttpFiles, Registry, mirror::Mirrors, tools::Tool};

fn run(program: &Path, arguments: &[&str]) -> String {
    run_trusting(program, arguments, "")
}

/// As [`run`], where git trusts the authority in the file `trust`.
fn run_trusting(program: &Path, arguments: &[&str], trust: &str) -> String {
    let output = Command::new(program)
        .args(arguments)
        .env("GIT_SSL_CAINFO", trust)
        .env("GIT_CONFIG_GLOBAL", "/dev/null")
        .output()
        .expect("the program starts");
    assert!(output.status.success(), "{arguments:?}: {output:?}");
    String::from_utf8(output.stdout).expect("it prints text")
}

#[test]
fn a_chart_repository_is_served_as_files() {
    let folder = tempfile::tempdir().unwrap();
    Mirrors::make(folder.path()).unwrap();
    let server = HttpFiles::serve(folder.path().join("ceph-csi-operator-charts")).unwrap();
    let chart = run(
        &Tool::Helm.find().unwrap(),
        &["show", "chart", "ceph-csi-operator", "--repo", &server.url(), "--version", "1.0.4"],
    );
    assert!(chart.contains("version: 1.0.4"), "{chart}");
    assert!(server.requests().contains(&"GET /index.yaml".to_owned()));
}

#[test]
fn nothing_outside_the_folder_is_served() {
    let folder = tempfile::tempdir().unwrap();
    fs::create_dir(folder.path().join("served")).unwrap();
    fs::write(folder.path().join("secret"), "x").unwrap();
    let server = HttpFiles::serve(folder.path().join("served")).unwrap();
    for path in ["../secret", "%2e%2e/secret", "/etc/passwd"] {
        assert!(ureq::get(format!("{}/{path}", server.url())).call().is_err(), "{path}");
    }
}

#[test]
fn a_mirror_is_cloned_over_http_and_https() {
    let folder = tempfile::tempdir().unwrap();
    Mirrors::make(folder.path()).unwrap();
    let git = Path::new("git");
    let authority = Authority::new("test").unwrap();
    let trust = folder.path().join("ca.crt");
    fs::write(&trust, authority.certificate()).unwrap();
    let trust = trust.display().to_string();

    let plain = GitHttp::serve(folder.path()).unwrap();
    let secure = GitHttp::serve_tls(folder.path(), &authority).unwrap();
    for (name, server) in [("plain", &plain), ("secure", &secure)] {
        let to = folder.path().join(name).display().to_string();
        let url = format!("{}/rook.git", server.url());
        run_trusting(git, &["clone", "--quiet", "--depth=1", &url, &to], &trust);
        assert!(Path::new(&to).join("deploy/charts/rook-ceph/Chart.yaml").exists());
        let posts = server.requests().into_iter().filter(|line| line.starts_with("POST"));
        assert!(posts.count() > 0, "{:?}", server.requests());
    }
}

#[test]
fn a_chart_is_pushed_to_and_pulled_from_a_registry() {
    let folder = tempfile::tempdir().unwrap();
    Mirrors::make(folder.path()).unwrap();
    let archive = folder.path().join("ceph-csi-operator-charts/ceph-csi-operator-1.0.4.tgz");
    let registry = Registry::start().unwrap();
    let address = registry.push_chart(&archive, "charts").unwrap();
    let chart = run(
        &Tool::Helm.find().unwrap(),
        &[
            "show",
            "chart",
            &format!("{address}/ceph-csi-operator"),
            "--version",
            "1.0.4",
            "--plain-http",
        ],
    );
    assert!(chart.contains("name: ceph-csi-operator"), "{chart}");
}
