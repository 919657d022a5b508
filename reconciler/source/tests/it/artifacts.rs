//! Charts and manifests from every place that they may come from.

use std::{collections::BTreeMap, path::Path};

use flate2::{Compression, write::GzEncoder};
use serde_json::json;
use sitewright_model::{
    code,
    diagnostic::Diagnostics,
    digest::Digest,
    files::Files,
    format::{
        blueprint::{GitFolder, HelmSource, ManifestsSource, Source},
        lock::LockedSource,
    },
};
use sitewright_source::{Artifact, Cache, Mirror, Settings, artifact};

use crate::{
    repo::Repo,
    server::{Request, Response, Server},
    support::wrong,
};

const CHART: &str = "apiVersion: v2\nname: kueue\nversion: 0.19.2\n";

struct Bench {
    _folder: tempfile::TempDir,
    settings: Settings,
    cache: Cache,
}

impl Bench {
    fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let settings = Settings::new(folder.path());
        let cache = Cache::new(folder.path(), 1 << 30);
        Self { _folder: folder, settings, cache }
    }

    fn fetch(
        &self,
        source: &Source,
        locked: Option<&LockedSource>,
    ) -> Result<Artifact, Diagnostics> {
        artifact::fetch(source, &blueprint(), locked, &self.settings, &self.cache)
    }

    fn lock(&self, source: &Source) -> Result<Option<LockedSource>, Diagnostics> {
        artifact::resolve(source, &blueprint(), &self.settings, &self.cache)
    }
}

fn blueprint() -> Files {
    let entries = [
        ("blueprint.yaml", "kind: Blueprint\n"),
        ("chart/Chart.yaml", CHART),
        ("chart/templates/x.yaml", "a: 1\n"),
        ("crds/one.yaml", "kind: One\n"),
        ("broken/Chart.yaml", "name: broken\n"),
        (
            "needy/Chart.yaml",
            "name: needy\nversion: 1.0.0\ndependencies: [{name: library}, {name: b}, {name: c}]\n",
        ),
        ("needy/charts/lib/Chart.yaml", "name: library\nversion: 1.0.0\n"),
        ("needy/charts/b-1.0.0.tgz", ""),
    ];
    files(&entries)
}

fn files(entries: &[(&str, &str)]) -> Files {
    let entries: BTreeMap<_, _> =
        entries.iter().map(|(path, text)| ((*path).to_owned(), text.as_bytes().into())).collect();
    Files { label: "blueprints/kueue".to_owned(), entries }
}

fn helm(source: HelmSource) -> Source {
    Source {
        name: "upstream".parse().unwrap(),
        helm: Some(source),
        manifests: None,
        namespace: None,
        values: None,
        when: None,
        exclude: vec![],
    }
}

fn manifests(source: ManifestsSource) -> Source {
    Source { helm: None, manifests: Some(source), ..helm(nowhere()) }
}

fn nowhere() -> HelmSource {
    HelmSource {
        path: None,
        git: None,
        chart: None,
        repo: None,
        version: None,
        digest: None,
        release: None,
        omit_dependencies: vec![],
        hooks: false,
    }
}

fn no_manifests() -> ManifestsSource {
    ManifestsSource { path: None, git: None, url: None, digest: None }
}

fn from_repository(repo: &str) -> HelmSource {
    HelmSource {
        chart: Some("kueue".into()),
        repo: Some(repo.into()),
        version: Some("0.19.2".into()),
        ..nowhere()
    }
}

fn archive(top: &str) -> Vec<u8> {
    let mut builder = tar::Builder::new(GzEncoder::new(Vec::new(), Compression::default()));
    for (path, text) in [("Chart.yaml", CHART), ("templates/x.yaml", "a: 1\n")] {
        let mut header = tar::Header::new_gnu();
        header.set_size(text.len() as u64);
        header.set_mode(0o644);
        builder.append_data(&mut header, format!("{top}/{path}"), text.as_bytes()).unwrap();
    }
    builder.into_inner().unwrap().finish().unwrap()
}

fn chart_digest() -> Digest {
    files(&[("Chart.yaml", CHART), ("templates/x.yaml", "a: 1\n")]).digest()
}

#[test]
fn a_chart_of_the_blueprint_needs_no_pin() {
    let bench = Bench::new();
    let path = |path: &str| helm(HelmSource { path: Some(path.into()), ..nowhere() });
    for folder in ["chart", "./chart/"] {
        let found = bench.fetch(&path(folder), None).unwrap();
        assert_eq!(found.digest, chart_digest());
        assert_eq!(found.version.as_deref(), Some("0.19.2"));
        assert_eq!(found.files.display("Chart.yaml"), "blueprints/kueue/chart/Chart.yaml");
    }
    let text = wrong(bench.fetch(&path("chrat"), None), code::source::MISSING_PATH);
    assert!(text.contains("did you mean `chart`, "), "{text}");
    wrong(bench.fetch(&path("../other"), None), code::source::PATH_ESCAPES);
    wrong(bench.fetch(&path("crds"), None), code::source::NOT_A_CHART);
    wrong(bench.fetch(&path("broken"), None), code::source::NOT_A_CHART);
    let text = wrong(bench.fetch(&path("needy"), None), code::source::CHART_DEPENDENCY);
    assert!(text.contains("needs `c`,"), "{text}");
    let omit =
        HelmSource { path: Some("needy".into()), omit_dependencies: vec!["c".into()], ..nowhere() };
    assert!(bench.fetch(&helm(omit), None).is_ok());
    assert_eq!(bench.lock(&path("chart")).unwrap(), None);
}

#[test]
fn a_chart_in_git_is_pinned_by_content() {
    let repo = Repo::new();
    repo.write("charts/kueue/Chart.yaml", CHART).write("charts/kueue/templates/x.yaml", "a: 1\n");
    repo.tag("v0.19.2", repo.commit("release"));
    let url = format!("file://{}", repo.path().display());
    let folder = GitFolder { url, reference: "v0.19.2".into(), path: "charts/kueue".into() };
    let source = helm(HelmSource { git: Some(folder.clone()), ..nowhere() });
    let bench = Bench::new();
    wrong(bench.fetch(&source, None), code::source::NOT_PINNED);
    let locked = bench.lock(&source).unwrap().unwrap();
    assert_eq!(locked.digest, chart_digest());
    assert_eq!(locked.version.as_deref(), Some("0.19.2"));

    // The tag moves: what was fetched before is still the pinned content.
    repo.write("charts/kueue/templates/x.yaml", "a: 2\n");
    repo.git(&["tag", "-d", "v0.19.2"]);
    repo.tag("v0.19.2", repo.commit("moved"));
    assert_eq!(bench.fetch(&source, Some(&locked)).unwrap().digest, chart_digest());
    let text = wrong(Bench::new().fetch(&source, Some(&locked)), code::source::DIGEST_MISMATCH);
    assert!(
        text.contains(&chart_digest().to_string()) && text.contains("sitewright lock"),
        "{text}"
    );

    let other = GitFolder { reference: "v0.20.0".into(), ..folder };
    let source = helm(HelmSource { git: Some(other), ..nowhere() });
    wrong(bench.fetch(&source, Some(&locked)), code::source::NOT_PINNED);
}

/// A chart repository whose archive is beside its index.
fn chart_repository(index_digest: Option<&str>) -> Server {
    let digest = index_digest.map_or_else(|| Digest::of(archive("kueue")).hex(), str::to_owned);
    Server::start(move |request: &Request| match request.path.as_str() {
        "/charts/index.yaml" => Response::new(
            200,
            format!(
                "apiVersion: v1\nentries:\n  kueue:\n  - name: kueue\n    version: 0.19.2\n    \
                 digest: {digest}\n    urls: [kueue-0.19.2.tgz]\n"
            ),
        ),
        "/charts/kueue-0.19.2.tgz" => Response::new(200, archive("kueue")),
        _ => Response::new(404, ""),
    })
}

#[test]
fn a_chart_repository_serves_the_same_content_as_git() {
    let server = chart_repository(None);
    let bench = Bench::new();
    let source = helm(from_repository(&server.url("charts")));
    let locked = bench.lock(&source).unwrap().unwrap();
    assert_eq!(locked.digest, chart_digest());
    assert_eq!(locked.from, format!("kueue 0.19.2 of {}", server.url("charts")));
    server.take_log();
    assert_eq!(bench.fetch(&source, Some(&locked)).unwrap().files.entries.len(), 2);
    assert!(server.take_log().is_empty(), "what is pinned and here needs no network");

    let own = HelmSource { digest: Some(chart_digest()), ..from_repository(&server.url("charts")) };
    assert!(Bench::new().fetch(&helm(own.clone()), None).is_ok());
    let wrong_pin = HelmSource { digest: Some(Digest::of("x")), ..own };
    wrong(Bench::new().fetch(&helm(wrong_pin), None), code::source::DIGEST_MISMATCH);
}

#[test]
fn what_a_chart_repository_lacks_is_named() {
    let server = chart_repository(None);
    let bench = Bench::new();
    let with = |change: fn(&mut HelmSource)| {
        let mut source = from_repository(&server.url("charts/"));
        change(&mut source);
        bench.lock(&helm(source))
    };
    let text = wrong(with(|s| s.version = Some("0.19.3".into())), code::source::CHART_NOT_FOUND);
    assert!(text.contains("did you mean `0.19.2`?"), "{text}");
    let text = wrong(with(|s| s.chart = Some("kuue".into())), code::source::CHART_NOT_FOUND);
    assert!(text.contains("did you mean `kueue`?"), "{text}");
    wrong(with(|s| s.version = None), code::source::BAD_SOURCE);
    wrong(with(|s| s.repo = None), code::source::BAD_SOURCE);
    wrong(with(|s| s.path = Some("chart".into())), code::source::BAD_SOURCE);
    assert!(with(|s| s.version = Some("v0.19.2".into())).is_ok());
    let lost = helm(from_repository(&server.url("other")));
    wrong(bench.lock(&lost), code::source::DOWNLOAD_FAILED);
    let page = Server::start(|_| Response::new(200, "<html><body>hi"));
    wrong(bench.lock(&helm(from_repository(&page.url("")))), code::source::REGISTRY_FAILED);
    let damaged = chart_repository(Some(&Digest::of("other").hex()));
    wrong(
        bench.lock(&helm(from_repository(&damaged.url("charts")))),
        code::source::DIGEST_MISMATCH,
    );
}

/// A chart repository whose index names `url`, and what else it answers.
fn index_of(
    url: impl Fn(u16) -> String + Send + Sync + 'static,
    answer: impl Fn(&Request) -> Response + Send + Sync + 'static,
) -> Server {
    Server::start(move |request: &Request| {
        let port = request.header("host").unwrap().rsplit(':').next().unwrap().parse().unwrap();
        match request.path.as_str() {
            "/index.yaml" => Response::new(
                200,
                format!(
                    "apiVersion: v1\nentries:\n  kueue:\n  - version: 0.19.2\n    urls: ['{}']\n",
                    url(port)
                ),
            ),
            _ => answer(request),
        }
    })
}

/// Reading a pipe would wait for ever, and any other file is none of the index's business.
#[test]
fn an_index_does_not_lead_to_files_of_this_machine() {
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("kueue-0.19.2.tgz"), archive("kueue")).unwrap();
    let mut bench = Bench::new();
    for scheme in ["file://", "FILE://localhost"] {
        let file = format!("{scheme}{}/kueue-0.19.2.tgz", folder.path().display());
        let server = index_of(move |_| file.clone(), |_| Response::new(404, ""));
        let source = helm(from_repository(&server.url("")));
        let text = wrong(bench.lock(&source), code::source::REGISTRY_FAILED);
        assert!(text.to_lowercase().contains("leads to `file://"), "{text}");
    }
    let pipe = folder.path().join("pipe");
    let made = std::process::Command::new("mkfifo").arg(&pipe).status().unwrap();
    assert!(made.success());
    let url = Some(format!("file://{}", pipe.display()));
    let source = manifests(ManifestsSource { url, ..no_manifests() });
    let text = wrong(bench.lock(&source), code::source::DOWNLOAD_FAILED);
    assert!(text.contains("it is not a file"), "{text}");

    let server = index_of(|_| "http://charts.example.edu/x.tgz".into(), |_| Response::new(404, ""));
    let from = "https://charts.example.edu".to_owned();
    bench.settings.mirrors =
        vec![Mirror { from: from.clone(), to: server.url("").trim_end_matches('/').to_owned() }];
    let text = wrong(bench.lock(&helm(from_repository(&from))), code::source::REGISTRY_FAILED);
    assert!(text.contains("leads to `http://charts.example.edu/x.tgz`"), "{text}");
    let to = format!("file://{}/", folder.path().display());
    let archives = Mirror { from: "http://charts.example.edu/".into(), to };
    bench.settings.mirrors.push(archives);
    std::fs::copy(folder.path().join("kueue-0.19.2.tgz"), folder.path().join("x.tgz")).unwrap();
    bench.lock(&helm(from_repository(&from))).expect("a mirror is the user's word");
}

#[test]
fn an_address_on_the_same_server_gets_the_login_and_another_none() {
    let archive_for_ann = |request: &Request| match request.header("authorization") {
        Some("Basic YW5uOmNhbmFyeQ==") => Response::new(200, archive("kueue")),
        _ => Response::new(401, ""),
    };
    let same = index_of(|port| format!("http://127.0.0.1:{port}/files/x.tgz"), archive_for_ann);
    let bench = Bench::new();
    let repo = format!("http://ann:canary@127.0.0.1:{}", same.port);
    bench.lock(&helm(from_repository(&repo))).unwrap();
    let other = std::sync::Arc::new(Server::start(|_| Response::new(200, archive("kueue"))));
    let port = other.port;
    let server = index_of(move |_| format!("http://127.0.0.1:{port}/x.tgz"), archive_for_ann);
    let repo = format!("http://ann:canary@127.0.0.1:{}", server.port);
    Bench::new().lock(&helm(from_repository(&repo))).unwrap();
    assert!(other.requests()[0].header("authorization").is_none());
}

/// As the index of Bitnami does it.
#[test]
fn an_index_may_lead_to_a_registry() {
    let registry = registry(|_, response| response);
    let port = registry.port;
    let server = index_of(
        move |_| format!("oci://127.0.0.1:{port}/charts/kueue:0.19.2"),
        |_| Response::new(404, ""),
    );
    let locked = Bench::new().lock(&helm(from_repository(&server.url("")))).unwrap().unwrap();
    assert_eq!(locked.digest, chart_digest());
}

#[test]
fn a_chart_repository_may_be_a_folder_of_a_mirror() {
    let folder = tempfile::tempdir().unwrap();
    let index =
        "apiVersion: v1\nentries:\n  kueue:\n  - version: 0.19.2\n    urls: [kueue-0.19.2.tgz]\n";
    std::fs::write(folder.path().join("index.yaml"), index).unwrap();
    std::fs::write(folder.path().join("kueue-0.19.2.tgz"), archive("kueue")).unwrap();
    let mut bench = Bench::new();
    let to = |folder: &Path| format!("file://{}", folder.display());
    bench.settings.mirrors = vec![
        Mirror { from: "https://charts.example.edu".into(), to: to(folder.path()) },
        Mirror { from: "oci://registry.example.edu/charts".into(), to: to(folder.path()) },
    ];
    bench.settings.offline = true;
    let locked = bench.lock(&helm(from_repository("https://charts.example.edu"))).unwrap().unwrap();
    assert_eq!(locked.digest, chart_digest());
    assert_eq!(
        locked.from, "kueue 0.19.2 of https://charts.example.edu",
        "the mirror leaves no trace"
    );
    let chart = Some("oci://registry.example.edu/charts/kueue".to_owned());
    let source = helm(HelmSource { chart, version: Some("0.19.2".into()), ..nowhere() });
    assert_eq!(bench.lock(&source).unwrap().unwrap().digest, chart_digest());
    let far = helm(from_repository("https://other.example.edu"));
    wrong(bench.lock(&far), code::source::OFFLINE);
}

/// A registry that wants a token, as all public ones do.
fn registry(change: fn(&Request, Response) -> Response) -> Server {
    let layer = archive("kueue");
    let layer_digest = Digest::of(&layer).to_string();
    let manifest = json!({
        "schemaVersion": 2,
        "config": { "mediaType": "application/vnd.cncf.helm.config.v1+json", "digest": "sha256:00", "size": 2 },
        "layers": [{
            "mediaType": "application/vnd.cncf.helm.chart.content.v1.tar+gzip",
            "digest": layer_digest, "size": layer.len(),
        }],
    });
    let manifest = manifest.to_string();
    let answer = move |request: &Request| {
        if request.path == "/token" {
            assert!(request.query.contains("scope=repository:charts/kueue:pull"), "{request:?}");
            return Response::new(200, r#"{"token":"anonymous"}"#);
        }
        if request.header("authorization") != Some("Bearer anonymous") {
            let host = request.header("host").unwrap();
            let challenge = format!(
                "Bearer realm=\"http://{host}/token\",service=\"test\",scope=\"repository:charts/kueue:pull\""
            );
            return Response::new(401, "{}").header("WWW-Authenticate", challenge);
        }
        match request.path.as_str() {
            "/v2/charts/kueue/manifests/0.19.2" => Response::new(200, manifest.clone())
                .header("Docker-Content-Digest", Digest::of(&manifest).to_string()),
            path if path == format!("/v2/charts/kueue/blobs/{layer_digest}") => {
                Response::new(200, layer.clone())
            }
            _ => Response::new(404, "{}"),
        }
    };
    Server::start(move |request| change(request, answer(request)))
}

fn from_registry(server: &Server, version: &str) -> Source {
    let chart = Some(format!("oci://127.0.0.1:{}/charts/kueue", server.port));
    helm(HelmSource { chart, version: Some(version.into()), ..nowhere() })
}

#[test]
fn a_registry_serves_the_same_content_too() {
    let server = registry(|_, response| response);
    let bench = Bench::new();
    let locked = bench.lock(&from_registry(&server, "0.19.2")).unwrap().unwrap();
    assert_eq!(locked.digest, chart_digest());
    assert_eq!(locked.from, format!("oci://127.0.0.1:{}/charts/kueue:0.19.2", server.port));
    assert_eq!(
        server.take_log().iter().filter(|line| line.ends_with("/token")).count(),
        1,
        "one token serves both requests"
    );
    wrong(bench.lock(&from_registry(&server, "0.19.3")), code::source::CHART_NOT_FOUND);
}

#[test]
fn a_login_for_a_registry_is_asked_for_by_the_registry_alone() {
    let login = "Basic YW5uOmNhbmFyeQ==";
    let tokens = std::sync::Arc::new(Server::start(|_| Response::new(200, r#"{"token":"x"}"#)));
    let challenge = format!("Bearer realm=\"http://127.0.0.1:{}/token\"", tokens.port);
    let asks = {
        let challenge = challenge.clone();
        move |_: &Request| Response::new(401, "").header("WWW-Authenticate", challenge.clone())
    };
    let fetch = |port: u16| {
        let chart = Some(format!("oci://ann:canary@127.0.0.1:{port}/charts/kueue"));
        let source = helm(HelmSource { chart, version: Some("0.19.2".into()), ..nowhere() });
        let text = wrong(Bench::new().lock(&source), code::source::DOWNLOAD_FAILED);
        assert!(!text.contains("canary"), "{text}");
    };
    let registry = Server::start(asks.clone());
    fetch(registry.port);
    assert_eq!(tokens.requests()[0].header("authorization"), Some(login));
    tokens.take_log();
    let other = std::sync::Arc::new(Server::start(asks));
    let there = other.clone();
    let registry =
        Server::start(move |_| Response::new(302, "").header("Location", there.url("v2")));
    fetch(registry.port);
    assert!(tokens.requests().iter().all(|request| request.header("authorization").is_none()));
}

#[test]
fn a_registry_that_lies_is_found_out() {
    let bench = Bench::new();
    let other_layer = registry(|request, mut response| {
        if request.path.contains("/blobs/") && response.status == 200 {
            response.body = b"other".to_vec();
        }
        response
    });
    wrong(bench.lock(&from_registry(&other_layer, "0.19.2")), code::source::DIGEST_MISMATCH);
    let other_manifest = registry(|request, mut response| {
        if request.path.contains("/manifests/") && response.status == 200 {
            response.body.push(b' ');
        }
        response
    });
    wrong(bench.lock(&from_registry(&other_manifest, "0.19.2")), code::source::DIGEST_MISMATCH);
    let an_image = registry(|request, mut response| {
        if request.path.contains("/manifests/") && response.status == 200 {
            response = Response::new(200, r#"{"layers":[{"mediaType":"x","digest":"sha256:0"}]}"#);
        }
        response
    });
    wrong(bench.lock(&from_registry(&an_image, "0.19.2")), code::source::REGISTRY_FAILED);
    let bad_digest = registry(|request, mut response| {
        if request.path.contains("/manifests/") && response.status == 200 {
            response = Response::new(
                200,
                r#"{"layers":[{"mediaType":"application/tar+gzip","digest":"../../x"}]}"#,
            );
        }
        response
    });
    wrong(bench.lock(&from_registry(&bad_digest, "0.19.2")), code::source::REGISTRY_FAILED);
    let closed = Server::start(|_| Response::new(403, "{}"));
    wrong(bench.lock(&from_registry(&closed, "0.19.2")), code::source::DOWNLOAD_FAILED);
}

#[test]
fn archives_that_are_no_charts_are_refused() {
    let bench = Bench::new();
    let serve = |bytes: fn() -> Vec<u8>| {
        Server::start(move |request| match request.path.as_str() {
            "/index.yaml" => Response::new(
                200,
                "apiVersion: v1\nentries:\n  kueue:\n  - version: 0.19.2\n    urls: [x.tgz]\n",
            ),
            _ => Response::new(200, bytes()),
        })
    };
    let page = serve(|| b"<html>".to_vec());
    wrong(bench.lock(&helm(from_repository(&page.url("")))), code::source::BAD_ARCHIVE);
    let flat = serve(|| archive("."));
    wrong(bench.lock(&helm(from_repository(&flat.url("")))), code::source::BAD_ARCHIVE);
    let older = serve(|| {
        let mut builder = tar::Builder::new(GzEncoder::new(Vec::new(), Compression::default()));
        let text = "name: kueue\nversion: 0.19.1\n";
        let mut header = tar::Header::new_gnu();
        header.set_size(text.len() as u64);
        builder.append_data(&mut header, "kueue/Chart.yaml", text.as_bytes()).unwrap();
        builder.into_inner().unwrap().finish().unwrap()
    });
    wrong(bench.lock(&helm(from_repository(&older.url("")))), code::source::VERSION_MISMATCH);
}

#[test]
fn manifests_come_from_a_path_git_or_a_url() {
    let bench = Bench::new();
    let path =
        |path: &str| manifests(ManifestsSource { path: Some(path.into()), ..no_manifests() });
    let names = |found: &Artifact| found.files.entries.keys().cloned().collect::<Vec<_>>();
    assert_eq!(names(&bench.fetch(&path("crds"), None).unwrap()), ["one.yaml"]);
    assert_eq!(names(&bench.fetch(&path("crds/one.yaml"), None).unwrap()), ["one.yaml"]);

    let repo = Repo::new();
    repo.write("deploy/a.yaml", "a: 1\n").write("deploy/b/c.yaml", "c: 1\n").commit("x");
    let url = format!("file://{}", repo.path().display());
    for (folder, expected) in
        [("deploy", vec!["a.yaml", "b/c.yaml"]), ("deploy/b/c.yaml", vec!["c.yaml"])]
    {
        let git = GitFolder { url: url.clone(), reference: "main".into(), path: folder.into() };
        let source = manifests(ManifestsSource { git: Some(git), ..no_manifests() });
        let locked = bench.lock(&source).unwrap().unwrap();
        assert_eq!(names(&bench.fetch(&source, Some(&locked)).unwrap()), expected);
    }

    let server = Server::start(|_| Response::new(200, "kind: A\n"));
    let url = |digest| {
        let url = Some(server.url("releases/manifests.yaml?x=1"));
        manifests(ManifestsSource { url, digest, ..no_manifests() })
    };
    let found = bench.fetch(&url(Some(Digest::of("kind: A\n"))), None).unwrap();
    assert_eq!(names(&found), ["manifests.yaml"]);
    server.take_log();
    bench.fetch(&url(Some(Digest::of("kind: A\n"))), None).unwrap();
    assert!(server.take_log().is_empty());
    wrong(bench.fetch(&url(Some(Digest::of("other"))), None), code::source::DIGEST_MISMATCH);
    wrong(bench.fetch(&url(None), None), code::source::NOT_PINNED);
    assert_eq!(bench.lock(&url(None)).unwrap().unwrap().digest, Digest::of("kind: A\n"));
    wrong(bench.fetch(&manifests(no_manifests()), None), code::source::BAD_SOURCE);
}

/// What a server redirects to, and what a blueprint asks for, may be signed: that is no text for a log or a lock.
#[test]
fn a_query_is_sent_and_never_shown() {
    let bench = Bench::new();
    let there = std::sync::Arc::new(Server::start(|_| Response::new(403, "")));
    let target = there.clone();
    let server = Server::start(move |_| {
        Response::new(302, "").header("Location", target.url("x?X-Amz-Signature=canary"))
    });
    let from = |url: String| manifests(ManifestsSource { url: Some(url), ..no_manifests() });
    let error =
        wrong(bench.lock(&from(server.url("x.yaml?token=canary"))), code::source::DOWNLOAD_FAILED);
    assert!(!error.contains("canary"), "{error}");
    assert_eq!(there.requests()[0].query, "X-Amz-Signature=canary");
    assert_eq!(server.requests()[0].query, "token=canary");

    let server = Server::start(|_| Response::new(200, "kind: A\n"));
    let source = from(server.url("x.yaml?token=canary"));
    let mut locked = bench.lock(&source).unwrap().unwrap();
    assert!(!locked.from.contains("canary"), "{}", locked.from);
    bench.fetch(&source, Some(&locked)).unwrap();
    let other = from(server.url("x.yaml?token=other"));
    wrong(bench.fetch(&other, Some(&locked)), code::source::NOT_PINNED);
    locked.from = server.url("x.yaml?token=canary");
    bench.fetch(&source, Some(&locked)).expect("locks of before hold");
}

#[test]
fn downloads_are_bounded() {
    let mut bench = Bench::new();
    bench.settings.limits.download_bytes = 1000;
    let server = Server::start(|_| Response::new(200, vec![b'a'; 2000]));
    let url = Some(server.url("x.yaml"));
    let source = manifests(ManifestsSource { url, ..no_manifests() });
    wrong(bench.lock(&source), code::source::TOO_LARGE);
}
