//! helm, played by a script: what it is given, and what becomes of what it says.

use std::{fs, os::unix::fs::PermissionsExt as _, path::PathBuf, time::Instant};

use serde_json::{Value, json};
use sitewright_model::{code, diagnostic::Diagnostics, files::Files};
use sitewright_source::{
    Settings,
    helm::{Helm, Request},
};

use crate::support::{in_environment, wrong};

struct Stage {
    _folder: tempfile::TempDir,
    settings: Settings,
}

/// Finds the folder of the chart, the last argument.
const ARGUMENTS: &str = "for CHART; do :; done\n";

/// A program that answers `version`, and runs `script` for `template`.
fn stage(version: &str, script: &str) -> Stage {
    let folder = tempfile::tempdir().unwrap();
    let program = folder.path().join("helm");
    let text = format!(
        "#!/bin/sh\nif [ \"$1\" = version ]; then echo '{version}'; exit; fi\n{ARGUMENTS}{script}\n"
    );
    fs::write(&program, text).unwrap();
    fs::set_permissions(&program, fs::Permissions::from_mode(0o755)).unwrap();
    let mut settings = Settings::new(folder.path());
    settings.helm = Some(program);
    Stage { _folder: folder, settings }
}

fn chart(template: &str) -> Files {
    let entries = [
        ("Chart.yaml".to_owned(), b"name: x\nversion: 1.0.0\n"[..].into()),
        ("templates/x.yaml".to_owned(), template.as_bytes().into()),
    ];
    Files { label: "chart x".to_owned(), entries: entries.into() }
}

fn render(stage: &Stage, chart: &Files, values: &Value) -> Result<String, Diagnostics> {
    let helm = Helm::find(&stage.settings)?;
    helm.template(&request(chart, values), &stage.settings.limits)
}

fn request<'a>(chart: &'a Files, values: &'a Value) -> Request<'a> {
    Request {
        chart,
        omit_dependencies: &[],
        release: "release",
        namespace: Some("space"),
        values,
        kube_version: Some("1.34.0"),
        api_versions: &[],
        hide: &[],
    }
}

#[test]
fn helm_sees_the_chart_the_values_and_nothing_of_ours() {
    let name = "helm::helm_sees_the_chart_the_values_and_nothing_of_ours";
    let canaries = [
        ("KUBECONFIG", "canary"),
        ("HELM_NAMESPACE", "canary"),
        ("KUBERNETES_SERVICE_HOST", "canary"),
    ];
    if !in_environment(name, &canaries) {
        return;
    }
    let script =
        "echo \"$@\"; cat \"$CHART\"/templates/x.yaml; cat; echo; /usr/bin/env; ls -ld \"$CHART\"";
    let stage = stage("v3.19.0", script);
    let output = render(&stage, &chart("a: template\n"), &json!({ "password": "on" })).unwrap();
    let first = output.lines().next().unwrap();
    assert!(first.starts_with("template --include-crds --values=- "), "{first}");
    assert!(first.contains("--namespace=space --kube-version=1.34.0 -- release /"), "{first}");
    assert!(output.contains("a: template\n{\"password\":\"on\"}\n"), "{output}");
    assert!(output.contains("KUBECONFIG=/dev/null") && output.contains("\ndrwx------"), "{output}");
    assert!(!output.contains("canary"), "{output}");
}

#[test]
fn what_helm_says_is_told_in_the_words_of_the_chart() {
    let script = "echo 'WARNING: x' >&2; echo \"Error: template: x/templates/x.yaml:3:5: in $CHART/templates/x.yaml: size 3 is bad\" >&2; echo; \
                  echo 'Use --debug flag to render out invalid YAML' >&2; exit 1";
    let stage = stage("v4.1", script);
    let helm = Helm::find(&stage.settings).unwrap();
    let (chart, values) = (chart(""), json!({}));
    let request = request(&chart, &values);
    let text = wrong(helm.template(&request, &stage.settings.limits), code::source::HELM_FAILED);
    assert!(
        text.starts_with(
            "helm could not render `chart x`: template: x/templates/x.yaml:3:5: in chart x/templates/x.yaml: \
             size 3 is bad /"
        ),
        "{text}"
    );
    // In base64, cut or quoted, a secret would pass any search for it: nothing of the text is shown.
    let hide = ["hunter22".to_owned()];
    let request = Request { hide: &hide, ..request };
    let text = wrong(helm.template(&request, &stage.settings.limits), code::source::HELM_FAILED);
    assert!(
        text.starts_with("helm could not render `chart x`: it failed at templates/x.yaml:3:5 /"),
        "{text}"
    );
    assert!(!text.contains("bad"), "{text}");
}

#[test]
fn a_helm_that_hangs_or_floods_is_stopped() {
    let mut slow = stage("v3.19.0", "sleep 60");
    slow.settings.limits.helm_seconds = 1;
    wrong(render(&slow, &chart(""), &json!({})), code::source::HELM_STOPPED);
    let mut flood = stage("v3.19.0", "yes");
    flood.settings.limits.helm_bytes = 10_000;
    wrong(render(&flood, &chart(""), &json!({})), code::source::HELM_STOPPED);
}

#[test]
fn a_helm_that_is_missing_or_too_old_says_so() {
    let mut settings = Settings::new("unused");
    settings.helm = Some(PathBuf::from("/no/such/helm"));
    let text = wrong(Helm::find(&settings), code::source::HELM_MISSING);
    assert!(text.contains("SITEWRIGHT_HELM"), "{text}");
    for version in ["v2.17.0", "v3.7.2", "v5.0.0", "hello", ""] {
        wrong(Helm::find(&stage(version, "").settings), code::source::HELM_VERSION);
    }
    for version in ["v3.8.0", "v3.19.4+g1234", "v4.0.0", "v4.1"] {
        assert_eq!(Helm::find(&stage(version, "").settings).unwrap().version(), version);
    }
}

#[test]
fn helm_is_found_by_variable_and_path() {
    let name = "helm::helm_is_found_by_variable_and_path";
    let stage = stage("v3.19.0", "");
    let program = stage.settings.helm.clone().unwrap();
    let folder = program.parent().unwrap().to_str().unwrap().to_owned();
    let path = format!("{folder}:{}", std::env::var("PATH").unwrap());
    if !in_environment(name, &[("PATH", &path)]) {
        in_environment(name, &[("SITEWRIGHT_HELM", program.to_str().unwrap())]);
        return;
    }
    assert!(Helm::find(&Settings::new("unused")).unwrap().program().ends_with("helm"));
}

#[test]
fn a_chart_that_makes_things_up_is_found_out() {
    let script = "printf 'apiVersion: v1\\nkind: Secret\\nmetadata: {name: a}\\ndata: {x: \"%s\"}\\n' $(date +%N)";
    let stage = stage("v3.19.0", script);
    let helm = Helm::find(&stage.settings).unwrap();
    let check = |template: &str| {
        let (chart, values) = (chart(template), json!({}));
        let request = request(&chart, &values);
        let first = helm.template(&request, &stage.settings.limits).unwrap();
        helm.check_deterministic(&request, &first, &stage.settings.limits)
    };
    let text = wrong(check("x: {{ randAlphaNum 9 }}"), code::source::NOT_DETERMINISTIC);
    assert!(text.contains("Secret a"), "{text}");
    check("x: {{ .Values.x }}").unwrap();
}

/// `now | date "2006-01-02"` is the same in two renderings of one day.
#[test]
fn a_chart_that_reads_the_clock_is_found_out_whatever_the_time() {
    let script = "if grep -q 'x: {{ fail' \"$CHART/templates/x.yaml\"; then \
                  echo 'Error: template: x/templates/x.yaml:1:6: wrong number of args for fail' >&2; exit 1; fi; \
                  echo 'a: 1'";
    let stage = stage("v3.19.0", script);
    let helm = Helm::find(&stage.settings).unwrap();
    let check = |template: &str| {
        let (chart, values) = (chart(template), json!({}));
        let request = request(&chart, &values);
        helm.check_deterministic(&request, "a: 1\n", &stage.settings.limits)
    };
    let text = wrong(check("x: {{ now | date \"2006-01-02\" }}"), code::source::NOT_DETERMINISTIC);
    assert!(
        text.contains("each time at templates/x.yaml:1:6: it calls one of date, now"),
        "{text}"
    );
    check("{{ if false }}{{ now }}{{ end }}").expect("what is not called does no harm");
}

#[test]
fn omitted_dependencies_are_not_shown_to_helm() {
    let stage = stage("v3.19.0", "cat \"$CHART\"/Chart.yaml");
    let helm = Helm::find(&stage.settings).unwrap();
    let (mut chart, values, omitted) = (chart(""), json!({}), ["b".to_owned()]);
    let text = "name: x\nversion: 1.0.0\ndependencies:\n- {name: a}\n- {name: b}\n";
    chart.entries.insert("Chart.yaml".to_owned(), text.as_bytes().into());
    let request = Request { omit_dependencies: &omitted, ..request(&chart, &values) };
    let seen = helm.template(&request, &stage.settings.limits).unwrap();
    assert!(seen.contains("name: a") && !seen.contains("name: b"), "{seen}");
}

#[test]
fn names_that_would_leave_the_folder_are_refused() {
    let stage = stage("v3.19.0", "");
    let mut chart = chart("");
    chart.entries.insert("../../x".to_owned(), b"x"[..].into());
    wrong(render(&stage, &chart, &json!({})), code::source::HELM_FAILED);
}

/// A release of `--post-renderer=/x` once ran the program `/x`.
#[test]
fn names_that_helm_would_take_for_an_option_are_refused() {
    let stage = stage("v3.19.0", "echo 'a: 1'");
    let helm = Helm::find(&stage.settings).unwrap();
    let (chart, values) = (chart(""), json!({}));
    let render = |release: &str, namespace: Option<&str>| {
        let request = Request { release, namespace, ..request(&chart, &values) };
        helm.template(&request, &stage.settings.limits)
    };
    render("a.b-c", None).unwrap();
    let long = "r".repeat(54);
    for release in ["", "--post-renderer=/x", "-x", "X", "a..b", "a/b", &long] {
        wrong(render(release, None), code::source::HELM_FAILED);
    }
    for namespace in ["", "--debug", "a.b"] {
        wrong(render("release", Some(namespace)), code::source::HELM_FAILED);
    }
}

#[test]
fn helm_ends_when_we_are_killed() {
    const FILE: &str = "SITEWRIGHT_TEST_FILE";
    if let Ok(file) = std::env::var(FILE) {
        let stage = stage(
            "v3.19.0",
            &format!("echo $$ >'{file}.new'; mv '{file}.new' '{file}'; exec sleep 60"),
        );
        let _ = render(&stage, &chart(""), &json!({}));
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("pid");
    let mut child = std::process::Command::new(std::env::current_exe().unwrap())
        .args(["helm::helm_ends_when_we_are_killed", "--exact"])
        .env(FILE, &file)
        .env("TMPDIR", folder.path())
        .stdout(std::process::Stdio::null())
        .spawn()
        .unwrap();
    let wait_until = |what: &dyn Fn() -> bool| {
        let end = Instant::now() + std::time::Duration::from_secs(30);
        while !what() {
            assert!(Instant::now() < end, "it takes too long");
            std::thread::sleep(std::time::Duration::from_millis(10));
        }
    };
    wait_until(&|| file.exists());
    let helm = fs::read_to_string(&file).unwrap();
    child.kill().unwrap();
    child.wait().unwrap();
    // A killed process stays in the table until somebody buries it.
    wait_until(&|| {
        fs::read_to_string(format!("/proc/{}/stat", helm.trim()))
            .map_or(true, |state| state.contains(") Z "))
    });
}
