//! Charts as upstream publishes them, fetched over every way and rendered by the real helm.

#![expect(clippy::unwrap_used, reason = "a test fails by a panic")]

use std::{env, fs, path::Path, process::Command};

use serde_json::{Value, json};
use sitewright_model::{
    code, diagnostic::Diagnostics, files::Files, format::blueprint::HelmSource, yaml,
};
use sitewright_source::{
    Artifact, Cache, Location, Mirror, Settings, Snapshot, artifact,
    helm::{Helm, Request},
};
use sitewright_testbed::{Authority, GitHttp, HttpFiles, Registry, mirror::Mirrors, tools::Tool};

/// Upstream's repositories, a cache, and the real helm.
struct Bench {
    folder: tempfile::TempDir,
    settings: Settings,
    cache: Cache,
}

impl Bench {
    fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let mirrors = Mirrors::make(&folder.path().join("mirrors")).unwrap();
        let mut settings = Settings::new(folder.path().join("cache"));
        settings.mirrors = Mirror::read_file(&mirrors.file).unwrap();
        settings.helm = Some(Tool::Helm.find().unwrap());
        let cache = Cache::new(&settings.cache_dir, 1 << 30);
        Self { folder, settings, cache }
    }

    /// Locks the chart, then fetches it as a run with that lock does.
    fn fetch(&self, source: &Value) -> Result<Artifact, Diagnostics> {
        let source = json!({ "name": "upstream", "helm": source });
        let source = serde_json::from_value(source).unwrap();
        let locked = artifact::resolve(&source, &Files::default(), &self.settings, &self.cache)?;
        artifact::fetch(&source, &Files::default(), locked.as_ref(), &self.settings, &self.cache)
    }

    fn template(&self, source: &Value, values: &Value) -> Result<Vec<Value>, Diagnostics> {
        let chart = self.fetch(source)?;
        let helm = Helm::find(&self.settings)?;
        let source: HelmSource = serde_json::from_value(source.clone()).unwrap();
        let request = Request {
            chart: &chart.files,
            omit_dependencies: &source.omit_dependencies,
            release: "release",
            namespace: Some("space"),
            values,
            kube_version: Some("1.37.2"),
            api_versions: &[],
            hide: &["canary".to_owned()],
        };
        let text = helm.template(&request, &self.settings.limits)?;
        helm.check_deterministic(&request, &text, &self.settings.limits)?;
        assert_eq!(text, helm.template(&request, &self.settings.limits)?);
        Ok(yaml::parse_values(&text).unwrap())
    }
}

fn kueue() -> Value {
    let git = json!({ "url": "https://github.com/kubernetes-sigs/kueue", "ref": "v0.19.2", "path": "charts/kueue" });
    json!({ "git": git, "version": "0.19.2" })
}

fn rook() -> Value {
    let git = json!({ "url": "https://github.com/rook/rook", "ref": "v1.20.6", "path": "deploy/charts/rook-ceph" });
    json!({ "git": git, "omitDependencies": ["ceph-csi-operator"] })
}

fn kinds(objects: &[Value], kind: &str) -> usize {
    objects.iter().filter(|object| object["kind"] == kind).count()
}

#[test]
fn upstream_charts_from_git_render_alike_each_time() {
    let bench = Bench::new();
    let objects = bench.template(&kueue(), &json!({})).unwrap();
    assert!(kinds(&objects, "CustomResourceDefinition") >= 10, "CRDs are first-class objects");
    assert_eq!(kinds(&objects, "Deployment"), 1);
    let objects = bench.template(&rook(), &json!({ "crds": { "enabled": true } })).unwrap();
    assert!(kinds(&objects, "CustomResourceDefinition") >= 10);
    assert!(objects.iter().any(|object| object["metadata"]["name"] == "rook-ceph-operator"));
}

#[test]
fn what_was_fetched_once_needs_neither_network_nor_mirror() {
    let mut bench = Bench::new();
    let source = json!({ "name": "upstream", "helm": kueue() });
    let source = serde_json::from_value(source).unwrap();
    let locked =
        artifact::resolve(&source, &Files::default(), &bench.settings, &bench.cache).unwrap();
    (bench.settings.mirrors, bench.settings.offline) = (Vec::new(), true);
    let again =
        artifact::fetch(&source, &Files::default(), locked.as_ref(), &bench.settings, &bench.cache);
    assert_eq!(again.unwrap().digest, locked.unwrap().digest);
}

#[test]
fn a_dependency_that_is_not_there_is_named_before_helm_runs() {
    let mut source = rook();
    source.as_object_mut().unwrap().remove("omitDependencies");
    let error = Bench::new().fetch(&source).unwrap_err();
    assert_eq!(error.0[0].code, code::source::CHART_DEPENDENCY);
    assert!(error.0[0].message.contains("`ceph-csi-operator`"), "{error}");
}

#[test]
fn a_chart_must_not_call_what_changes_with_time_or_chance() {
    let bench = Bench::new();
    let helm = Helm::find(&bench.settings).unwrap();
    let check = |template: &str, values: &Value| {
        let entries = [
            ("Chart.yaml", "apiVersion: v2\nname: x\nversion: 1.0.0\n"),
            ("templates/x.yaml", template),
            (
                "templates/_unused.tpl",
                "{{ define \"unused\" }}{{ now }}{{ genCA \"x\" 1 }}{{ end }}",
            ),
        ];
        let entries = entries.map(|(path, text)| (path.to_owned(), text.as_bytes().into()));
        let chart = Files { label: "x".to_owned(), entries: entries.into() };
        let request = Request {
            chart: &chart,
            omit_dependencies: &[],
            release: "release",
            namespace: None,
            values,
            kube_version: None,
            api_versions: &[],
            hide: &[],
        };
        let text = helm.template(&request, &bench.settings.limits).unwrap();
        helm.check_deterministic(&request, &text, &bench.settings.limits)
    };
    let none = json!({});
    for pure in [
        "a: 1",
        "a: {{ keys (dict \"b\" 1 \"a\" 2) | sortAlpha | first }}",
        "a: {{ \"{{ now }}\" | quote }}",
        "{{ if .Values.on }}a: {{ now }}{{ end }}",
    ] {
        check(pure, &none).unwrap();
    }
    for impure in [
        "a: {{ now | date \"2006-01-02\" }}",
        "a: {{ 5 | date \"2006\" }}",
        "a: {{ htmlDate \"x\" }}",
        "a: {{ shuffle \"ab\" }}",
        "a: {{ genPrivateKey \"rsa\" | sha256sum }}",
        "a: {{ uuidv4 | len }}",
    ] {
        let error = check(impure, &none).unwrap_err();
        assert_eq!(error.0[0].code, code::source::NOT_DETERMINISTIC, "{impure}");
    }
    let values = json!({ "text": "{{ now | date \"2006\" }}" });
    check("a: {{ .Values.text | quote }}", &values).unwrap();
    let error = check("a: {{ tpl .Values.text . | quote }}", &values).unwrap_err();
    assert!(error.0[0].message.contains("one of date, genCA, now"), "{error}");
}

#[test]
fn a_chart_that_refuses_its_values_says_where() {
    let bench = Bench::new();
    let chart = bench.folder.path().join("picky");
    fs::create_dir_all(chart.join("templates")).unwrap();
    fs::write(chart.join("Chart.yaml"), "apiVersion: v2\nname: picky\nversion: 1.0.0\n").unwrap();
    let template = "a: 1\nb: {{ fail (printf \"%s is no size\" .Values.size) }}\n";
    fs::write(chart.join("templates/x.yaml"), template).unwrap();
    let snapshot = Snapshot::open(&Location::WorkingTree(chart), &bench.settings).unwrap();
    let files = snapshot.folder("").unwrap();
    let helm = Helm::find(&bench.settings).unwrap();
    let values = json!({ "size": "canary" });
    let request = Request {
        chart: &files,
        omit_dependencies: &[],
        release: "release",
        namespace: None,
        values: &values,
        kube_version: None,
        api_versions: &[],
        hide: &["canary".to_owned()],
    };
    let error = helm.template(&request, &bench.settings.limits).unwrap_err();
    assert_eq!(error.0[0].code, code::source::HELM_FAILED);
    assert!(error.0[0].message.contains("it failed at templates/x.yaml:2:"), "{error}");
    assert!(!format!("{error:?}").contains("canary"), "{error:?}");
    let request = Request { hide: &[], ..request };
    let error = helm.template(&request, &bench.settings.limits).unwrap_err();
    assert!(error.0[0].message.contains("picky/templates/x.yaml:2:"), "{error}");
    assert!(error.0[0].message.contains("canary is no size"), "{error}");
}

#[test]
fn one_archive_has_one_digest_wherever_it_is_published() {
    let bench = Bench::new();
    let chart = bench.fetch(&kueue()).unwrap();
    let folder = bench.folder.path().join("published");
    let sources = folder.join("kueue");
    for (path, content) in &chart.files.entries {
        let path = sources.join(path);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, content).unwrap();
    }
    helm_program(&["package", "--destination"], &[&folder, &sources]);
    helm_program(&["repo", "index"], &[&folder]);
    let archive = folder.join("kueue-0.19.2.tgz");

    let files = HttpFiles::serve(&folder).unwrap();
    let http = json!({ "repo": files.url(), "chart": "kueue", "version": "0.19.2" });
    let registry = Registry::start().unwrap();
    registry.push_chart(&archive, "charts").unwrap();
    let address = format!("oci://{}/charts/kueue", registry.address());
    let oci = json!({ "chart": address, "version": "0.19.2" });
    let (http, oci) = (bench.fetch(&http).unwrap(), bench.fetch(&oci).unwrap());
    assert_eq!(http.digest, oci.digest);
    assert_eq!(oci.version.as_deref(), Some("0.19.2"));

    let missing = json!({ "chart": address, "version": "0.19.3" });
    assert_eq!(bench.fetch(&missing).unwrap_err().0[0].code, code::source::CHART_NOT_FOUND);
}

fn helm_program(arguments: &[&str], paths: &[&Path]) {
    let home = tempfile::tempdir().unwrap();
    let status = Command::new(Tool::Helm.find().unwrap())
        .args(arguments)
        .args(paths)
        .env("HOME", home.path())
        .output()
        .unwrap();
    assert!(status.status.success(), "{}", String::from_utf8_lossy(&status.stderr));
}

#[test]
fn a_git_server_is_trusted_as_this_machine_trusts() {
    const URL: &str = "SITEWRIGHT_TEST_URL";
    let open = |url: &str| {
        let cache = tempfile::tempdir().unwrap();
        let location = Location::parse(&format!("{url}/kueue.git//charts/kueue@v0.19.2")).unwrap();
        Snapshot::open(&location, &Settings::new(cache.path()))
            .map(|snapshot| snapshot.file("charts/kueue/Chart.yaml").unwrap())
    };
    // In a process of its own, where SSL_CERT_FILE names the authority.
    if let Ok(url) = env::var(URL) {
        open(&url).unwrap();
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    Mirrors::make(folder.path()).unwrap();
    let authority = Authority::new("a university").unwrap();
    let server = GitHttp::serve_tls(folder.path(), &authority).unwrap();
    let error = open(&server.url()).unwrap_err();
    assert_eq!(error.0[0].code, code::source::REPOSITORY_UNREACHABLE);
    assert!(error.0[0].notes[0].contains("certificate"), "{error:?}");

    let certificate = folder.path().join("ca.pem");
    fs::write(&certificate, authority.certificate()).unwrap();
    let output = Command::new(env::current_exe().unwrap())
        .args(["a_git_server_is_trusted_as_this_machine_trusts", "--exact", "--nocapture"])
        .env(URL, server.url())
        .env("SSL_CERT_FILE", &certificate)
        .output()
        .unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
}
