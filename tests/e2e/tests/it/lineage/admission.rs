//! What may serve: a real API server asks the agent before a service is made.

use std::{
    fs, thread,
    time::{Duration, Instant},
};

use base64::{Engine as _, engine::general_purpose::STANDARD};
use serde_json::json;
use sitewright_e2e::{Running, git};
use sitewright_testbed::{Authority, GitHttp};

use super::{QUICK, Recorded};

/// Waits until the agent listens for reviews, and returns where.
fn address(running: &Running) -> String {
    let (what, deadline) = (" for admission reviews", Instant::now() + Duration::from_secs(60));
    loop {
        let said = running.handle().said();
        if let Some((before, _)) = said.split_once(what) {
            return before.rsplit_once("listening at ").unwrap().1.to_owned();
        }
        assert!(Instant::now() < deadline, "{said}");
        thread::sleep(Duration::from_millis(200));
    }
}

fn service(name: &str, namespace: &str, model: &str, replicas: u8) -> String {
    json!({
        "apiVersion": "apps/v1", "kind": "Deployment",
        "metadata": { "name": name, "namespace": namespace,
            "annotations": { "lineage.sitewright.dev/model": model } },
        "spec": {
            "replicas": replicas,
            "selector": { "matchLabels": { "app": name } },
            "template": { "metadata": { "labels": { "app": name } },
                "spec": { "containers": [{ "name": "serve", "image": "registry.example.edu/serve" }] } },
        },
    })
    .to_string()
}

#[test]
fn what_serves_needs_code_that_is_known_and_what_serves_already_may_be_scaled() {
    let mut site = Recorded::new("lineage-policy");
    let namespace = site.lab.name().to_owned();
    let folder = tempfile::tempdir().unwrap();
    let repository = folder.path().join("served/train");
    fs::create_dir_all(&repository).unwrap();
    git(&repository, &["init", "-q", "-b", "main"]);
    fs::write(repository.join("train.py"), "1").unwrap();
    git(&repository, &["add", "-A"]);
    git(&repository, &["commit", "-q", "-m", "first"]);
    let head = fs::read_to_string(repository.join(".git/refs/heads/main")).unwrap();
    let server = GitHttp::serve(folder.path().join("served")).unwrap();
    let authority = Authority::new("reviews").unwrap();
    let pair = authority.server(&["127.0.0.1"]).unwrap();
    let tls = folder.path().join("tls");
    fs::create_dir_all(&tls).unwrap();
    fs::write(tls.join("tls.crt"), pair.certificate).unwrap();
    fs::write(tls.join("tls.key"), pair.key).unwrap();
    let settings = folder.path().join("lineage.yaml");
    let text = json!({
        "apiVersion": "sitewright.dev/v1alpha1", "kind": "LineageSettings",
        "spec": {
            "resolve": { "hosts": [server.url().trim_start_matches("http://")] },
            "policy": { "serving": [{ "namespaces": ["lineage-pol*"], "enforce": true }] },
        },
    });
    fs::write(&settings, text.to_string()).unwrap();
    site.settings = Some(settings.clone());
    let definition = sitewright_e2e::project().join("schema/sitesync.crd.json");
    site.lab.kubectl(&["apply", "--server-side", "-f", definition.to_str().unwrap()]);
    site.lab.kubectl(&["wait", "--for=condition=Established", "crd/sitesyncs.sitewright.dev"]);

    let (ledger, key) = (site.ledger.display().to_string(), site.key.display().to_string());
    let arguments =
        ["agent", "--namespace", &namespace, "--listen", "127.0.0.1:0", "--log-format", "json"];
    let mut command = site.lab.command(&arguments);
    command
        .args(["--lineage", &ledger, "--lineage-key", &key, "--lineage-settings"])
        .arg(&settings);
    command.args(["--lineage-admission", "127.0.0.1:0", "--lineage-admission-tls"]).arg(&tls);
    let running = Running::start(&mut command);
    let webhook = json!({
        "apiVersion": "admissionregistration.k8s.io/v1", "kind": "ValidatingWebhookConfiguration",
        "metadata": { "name": "lineage-policy" },
        "webhooks": [{
            "name": "models.lineage.sitewright.dev", "admissionReviewVersions": ["v1"], "sideEffects": "None",
            "failurePolicy": "Fail", "timeoutSeconds": 5,
            "clientConfig": { "url": format!("https://{}/admit", address(&running)),
                "caBundle": STANDARD.encode(authority.certificate()) },
            "namespaceSelector": { "matchLabels": { "kubernetes.io/metadata.name": namespace } },
            "rules": [{ "apiGroups": ["apps"], "apiVersions": ["v1"], "resources": ["deployments"],
                "operations": ["CREATE", "UPDATE"] }],
        }],
    });

    let code = format!("git+{}/train@{}", server.url(), head.trim());
    let claims = |code: &str, model: &str| {
        format!(
            "    lineage.sitewright.dev/code: {code}\n    lineage.sitewright.dev/model: s3://policy/{model}"
        )
    };
    let image = format!("registry.example.edu/train@{}", super::IMAGE);
    let gone = format!("git+{}/train@{}", server.url(), "5".repeat(40));
    site.submit_with("known", "", QUICK, &claims(&code, "known"), &image);
    site.submit_with("gone", "", QUICK, &claims(&gone, "gone"), &image);
    site.until_answered(&["of", "s3://policy/known"], "reachableFrom");
    site.until_answered(&["of", "s3://policy/gone"], "\"gone\"");
    for name in ["known", "gone"] {
        site.until_answered(&["of", &site.thing(name)], "succeeded");
    }
    // one that serves already, from before anybody asked
    site.lab
        .kubectl_with(&["apply", "-f", "-"], &service("old", &namespace, "s3://policy/none", 0));
    site.lab.kubectl_with(&["apply", "-f", "-"], &webhook.to_string());

    let apply = |name: &str, model: &str, replicas: u8| {
        let body = service(name, &namespace, model, replicas);
        site.lab.control_plane().kubectl_with(&["apply", "-f", "-"], body.as_bytes())
    };
    // the API server takes a moment to know of a webhook
    let deadline = Instant::now() + Duration::from_secs(30);
    let refusal = loop {
        match apply("refused", "s3://policy/gone", 0) {
            Err(error) => break format!("{error:#}"),
            Ok(_) => assert!(Instant::now() < deadline, "nothing was refused"),
        }
        site.lab.kubectl(&["delete", "deployment", "refused", "-n", &namespace]);
        thread::sleep(Duration::from_millis(500));
    };
    assert!(
        refusal.contains("does not meet") && refusal.contains("not on its server"),
        "{refusal}"
    );
    let error = apply("refused", "s3://policy/none", 0).unwrap_err();
    assert!(format!("{error:#}").contains("no run is known"), "{error:#}");
    apply("live", "s3://policy/known", 0).unwrap();
    apply("old", "s3://policy/none", 2).expect("what serves already may be scaled");

    // the same judgement for people and pipelines
    site.until_answered(&["of", &site.thing("live")], "serves");
    let settings = settings.display().to_string();
    let check = |more: &[&str]| {
        site.run(&[&["lineage", "check", "--ledger", &ledger, "-o", "json"], more].concat())
    };
    let run = check(&["--settings", &settings]);
    assert_eq!(run.code, 2, "{run}");
    let verdicts = run.json()["verdicts"].as_array().unwrap().clone();
    let named = |name: &str| {
        let name = format!("{namespace}/{name}");
        verdicts.iter().find(|one| one["name"] == name.as_str()).unwrap()["reasons"].clone()
    };
    assert_eq!(named("live"), json!([]));
    assert!(named("old").to_string().contains("no run is known"), "{}", named("old"));
    assert_eq!(check(&["s3://policy/known"]).code, 0);
    let run = check(&["s3://policy/known", "--tie", "attested"]);
    assert!(run.code == 2 && run.stdout.contains("is claimed, not attested"), "{run}");
    let deadline = Instant::now() + Duration::from_secs(60);
    while !running.handle().said().contains("does not meet the site's policy") {
        assert!(Instant::now() < deadline, "{}", running.handle().said());
        thread::sleep(Duration::from_millis(300));
    }
    site.lab.kubectl(&["delete", "validatingwebhookconfiguration", "lineage-policy"]);
    running.handle().signal("TERM");
    running.end();
    site.verify();
}
