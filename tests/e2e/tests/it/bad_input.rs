//! Bad input: a numbered error with its place and a way out, exit code 1, cluster and repository as they were.
//!
//! Every mistake is made in a site that is already on the cluster, and given to `apply --yes`: the command
//! that could do the most harm.

use std::{
    collections::BTreeMap,
    fs,
    net::TcpListener,
    os::unix::fs::symlink,
    path::{Path, PathBuf},
    process::Command,
};

use base64::{Engine, engine::general_purpose::STANDARD};
use sitewright_e2e::{Lab, Run, control_plane};
use sitewright_testbed::{Authority, Certificate};

const BLUEPRINT: &str = "blueprints/app/blueprint.yaml";
const TEMPLATE: &str = "blueprints/app/templates/objects.yaml";
const CHART: &str = "blueprints/app/chart";

const STAYS: &str = "
apiVersion: v1
kind: ConfigMap
metadata: { name: stays, namespace: '{ns}' }
";

/// One mistake, and what is said about it.
struct Mistake {
    is: &'static str,
    /// Makes the mistake; further arguments and environment of the program.
    make: fn(&Lab) -> Extra,
    code: &'static str,
    /// File, line and column; or the component; or what else is named, for example the server.
    place: &'static str,
    /// Part of the way out: behind `help: `, or beside the underlined text.
    help: &'static str,
}

#[derive(Default)]
struct Extra {
    arguments: Vec<String>,
    environment: Vec<(&'static str, PathBuf)>,
}

/// Replaces a part of a file of the site, and nothing but that part.
fn edit(lab: &Lab, path: &str, from: &str, to: &str) -> Extra {
    let text = fs::read_to_string(lab.folder().join(path)).unwrap();
    assert!(text.contains(from), "{path} does not hold {from:?}");
    lab.file(path, text.replacen(from, to, 1));
    Extra::default()
}

fn template(lab: &Lab, text: impl AsRef<[u8]>) -> Extra {
    fs::rename(lab.folder().join(TEMPLATE), lab.folder().join(format!("{TEMPLATE}.j2"))).unwrap();
    lab.file(&format!("{TEMPLATE}.j2"), text);
    Extra::default()
}

/// A chart in the folder of the blueprint.
fn chart(lab: &Lab, source: &str) -> Extra {
    lab.file(&format!("{CHART}/Chart.yaml"), "apiVersion: v2\nname: upstream\nversion: 1.0.0\n");
    lab.file(&format!("{CHART}/templates/objects.yaml"), STAYS.replace("{ns}", lab.name()));
    let sources = format!("  sources: [{{ name: upstream, helm: {source} }}]\n  templates:");
    edit(lab, BLUEPRINT, "  templates:", &sources)
}

fn with_kubeconfig(lab: &Lab, text: &str) -> Extra {
    let path = lab.folder().join(".kubeconfig");
    fs::write(&path, text).unwrap();
    Extra { environment: vec![("KUBECONFIG", path)], ..Extra::default() }
}

/// The kubeconfig of the lab, with another user.
fn as_user(lab: &Lab, user: &str) -> Extra {
    let text = fs::read_to_string(lab.kubeconfig()).unwrap();
    let (before, _) = text.split_once("users:").unwrap();
    with_kubeconfig(lab, &format!("{before}users:\n- name: sitewright\n  user: {user}\n"))
}

fn with_certificate(lab: &Lab, identity: &Certificate) -> Extra {
    let encode = |pem: &str| STANDARD.encode(pem);
    let user = format!(
        "{{ client-certificate-data: {}, client-key-data: {} }}",
        encode(&identity.certificate),
        encode(&identity.key)
    );
    as_user(lab, &user)
}

const FORMATS: &[Mistake] = &[
    Mistake {
        is: "an unknown key",
        make: |lab| edit(lab, "site.yaml", "blueprint: {", "dependOn: []\n      blueprint: {"),
        code: "SW0102",
        place: "--> site.yaml:7:7",
        help: "did you mean `dependsOn`?",
    },
    Mistake {
        is: "a value of the wrong type",
        make: |lab| edit(lab, "site.yaml", "blueprint: {", "values: 3\n      blueprint: {"),
        code: "SW0103",
        place: "--> site.yaml:7:15",
        help: "expected a map",
    },
    Mistake {
        is: "a blueprint that is missing",
        make: |lab| edit(lab, "site.yaml", "{ name: app }", "{ name: apps }"),
        code: "SW0318",
        place: "--> site.yaml:7:26",
        help: "did you mean `app`?",
    },
    Mistake {
        is: "a version that does not exist",
        make: |lab| edit(lab, "site.yaml", "{ name: app }", "{ name: app, version: 9.x }"),
        code: "SW0319",
        place: "--> site.yaml:7:40",
        help: "ask for a version that is there",
    },
    Mistake {
        is: "components that wait for each other",
        make: |lab| {
            let both = "{ name: app }\n      dependsOn: [other]\n    - name: other\n      blueprint: { name: app }\n      dependsOn: [app]";
            edit(lab, "site.yaml", "{ name: app }", both)
        },
        code: "SW0117",
        place: "--> site.yaml:11:19",
        help: "remove one of the dependencies",
    },
    Mistake {
        is: "a YAML bomb",
        make: |lab| {
            let level = |n: u32| {
                let alias = format!("*a{}", n - 1);
                format!("      a{n}: &a{n} [{}]\n", [alias.as_str(); 9].join(", "))
            };
            let levels: String = (1..9).map(level).collect();
            let bomb = format!("app }}\n      values:\n      a0: &a0 [x]\n{levels}");
            edit(lab, "site.yaml", "app }\n", &bomb.replace("      a", "        a"))
        },
        code: "SW0107",
        place: "--> site.yaml:",
        help: "write out what the aliases repeat",
    },
    Mistake {
        is: "a binary file",
        make: |lab| template(lab, [0x7f, b'E', b'L', b'F', 2, 1, 1, 0, 0xff, 0xfe]),
        code: "SW0106",
        place: TEMPLATE,
        help: "save it as UTF-8",
    },
    Mistake {
        is: "a template folder above the blueprint",
        make: |lab| edit(lab, BLUEPRINT, "[templates/]", "[../../../../etc]"),
        code: "SW0120",
        place: "--> blueprints/app/blueprint.yaml:6:15",
        help: "a blueprint reads only what is in its own folder",
    },
    Mistake {
        is: "a link that leads out of the repository",
        make: |lab| {
            symlink("/etc/passwd", lab.folder().join("blueprints/app/templates/users.yaml"))
                .unwrap();
            Extra::default()
        },
        code: "SW0209",
        place: "blueprints/app/templates/users.yaml",
        help: "copy what it leads to into the repository",
    },
    Mistake {
        is: "a library of blueprints above the repository",
        make: |lab| {
            let up = "spec:\n  blueprints: [{ path: ../../../../etc }]\n";
            edit(lab, "site.yaml", "spec:\n", up)
        },
        code: "SW0209",
        place: "`../../../../etc/app/blueprint.yaml`",
        help: "name a path below the top of the repository",
    },
    Mistake {
        is: "a site above the repository",
        make: |lab| {
            commit(lab.folder());
            let site = format!("file://{}//../../etc@main", lab.folder().display());
            Extra { arguments: vec![site], ..Extra::default() }
        },
        code: "SW0209",
        place: "`../../etc/",
        help: "name a path below the top of the repository",
    },
    Mistake {
        is: "a file of 100 MB",
        make: |lab| {
            let file = fs::File::create(lab.folder().join("blueprints/app/model.bin")).unwrap();
            file.set_len(100 * 1024 * 1024).unwrap();
            Extra::default()
        },
        code: "SW0214",
        place: "blueprints/app/model.bin",
        help: "keep data out of the folders",
    },
    Mistake {
        is: "a blob of 100 MB in a commit",
        make: |lab| {
            let folder = lab.folder().join(".origin");
            copy(lab.folder(), &folder, &["site.yaml", BLUEPRINT, TEMPLATE]);
            let file = fs::File::create(folder.join("blueprints/app/model.bin")).unwrap();
            file.set_len(100 * 1024 * 1024).unwrap();
            commit(&folder);
            // What is asked for is the commit; the file on disk is only how it got there.
            fs::remove_file(folder.join("blueprints/app/model.bin")).unwrap();
            let site = format!("file://{}//.@main", folder.display());
            Extra { arguments: vec![site], ..Extra::default() }
        },
        code: "SW0214",
        place: "blueprints/app/model.bin",
        help: "keep data out of the folders",
    },
];

const RENDERING: &[Mistake] = &[
    Mistake {
        is: "a template with a syntax error",
        make: |lab| template(lab, "a: 1\n{% if %}\n"),
        code: "SW0301",
        place: "--> blueprints/app/templates/objects.yaml.j2:2:7",
        help: "mend the template there",
    },
    Mistake {
        is: "a template that uses a value that is not there",
        make: |lab| template(lab, "a: {{ values.sise }}\n"),
        code: "SW0302",
        place: "--> blueprints/app/templates/objects.yaml.j2:1:7",
        help: "give it a default in the values schema",
    },
    Mistake {
        is: "a template that loops",
        make: |lab| {
            let nested = "{% for a in range(100000) %}{% for b in range(100000) %}{{ b }}{% endfor %}{% endfor %}\n";
            template(lab, nested)
        },
        code: "SW0303",
        place: "--> blueprints/app/templates/objects.yaml.j2:1:",
        help: "take fewer values",
    },
    Mistake {
        is: "a template that includes itself",
        make: |lab| template(lab, "{% include 'templates/objects.yaml.j2' %}\n"),
        code: "SW0303",
        place: "--> blueprints/app/templates/objects.yaml.j2:1:",
        help: "take fewer values",
    },
    Mistake {
        is: "a template whose text doubles over and over",
        make: |lab| {
            let doubles = "{% set n = namespace(t='xxxxxxxx') %}{% for i in range(60) %}{% set n.t = n.t ~ n.t %}{% endfor %}{{ n.t }}\n";
            template(lab, doubles)
        },
        code: "SW0303",
        place: "--> blueprints/app/templates/objects.yaml.j2:1:",
        help: "take fewer values",
    },
    Mistake {
        is: "a template that writes too much",
        make: |lab| {
            let long = "x".repeat(1000);
            template(lab, format!("{{% for i in range(40000) %}}# {long}\n{{% endfor %}}"))
        },
        code: "SW0303",
        place: "--> blueprints/app/templates/objects.yaml.j2",
        help: "split the template",
    },
    Mistake {
        is: "an object without a name",
        make: |lab| edit(lab, TEMPLATE, "name: stays, ", ""),
        code: "SW0306",
        place: "--> blueprints/app/templates/objects.yaml:2:1",
        help: "every document needs `apiVersion`, `kind` and `metadata.name`",
    },
    Mistake {
        is: "an object without a kind",
        make: |lab| edit(lab, TEMPLATE, "kind: ConfigMap\n", ""),
        code: "SW0306",
        place: "--> blueprints/app/templates/objects.yaml:2:1",
        help: "every document needs `apiVersion`, `kind` and `metadata.name`",
    },
    Mistake {
        is: "a chart that is not what was pinned",
        make: |lab| {
            let digest = "0".repeat(64);
            chart(lab, &format!("{{ path: chart, digest: 'sha256:{digest}' }}"))
        },
        code: "SW0223",
        place: "in: component app",
        help: "if upstream was meant to change",
    },
    Mistake {
        is: "a chart, and no helm",
        make: |lab| {
            let helm = PathBuf::from("/no/such/helm");
            Extra { environment: vec![("SITEWRIGHT_HELM", helm)], ..chart(lab, "{ path: chart }") }
        },
        code: "SW0230",
        place: "/no/such/helm",
        help: "install helm 3.8 or newer",
    },
];

const CLUSTERS: &[Mistake] = &[
    Mistake {
        is: "a cluster that does not answer",
        make: |lab| {
            let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
            let text = fs::read_to_string(lab.kubeconfig()).unwrap();
            let url = lab.control_plane().url();
            with_kubeconfig(lab, &text.replace(&url, &format!("https://127.0.0.1:{port}")))
        },
        code: "SW0601",
        place: "https://127.0.0.1:",
        help: "check the address in the kubeconfig",
    },
    Mistake {
        is: "a token that the cluster does not know",
        make: |lab| as_user(lab, "{ token: no-such-token }"),
        code: "SW0605",
        place: "https://127.0.0.1:",
        help: "log in again",
    },
    Mistake {
        is: "a client certificate of another authority",
        make: |lab| {
            let other = Authority::new("another university").unwrap();
            with_certificate(lab, &other.client("root", &["system:masters"]).unwrap())
        },
        code: "SW0605",
        place: "https://127.0.0.1:",
        help: "log in again",
    },
    Mistake {
        is: "a user without rights",
        make: |lab| {
            let nobody = control_plane().authority().client("nobody", &[]).unwrap();
            with_certificate(lab, &nobody)
        },
        code: "SW0606",
        place: "kube-system",
        help: "sitewright doctor",
    },
    Mistake {
        is: "a certificate that nobody trusts",
        make: |lab| {
            let text = fs::read_to_string(lab.kubeconfig()).unwrap();
            let (before, rest) = text.split_once("certificate-authority-data: ").unwrap();
            let (_, after) = rest.split_once('\n').unwrap();
            let other =
                STANDARD.encode(Authority::new("another university").unwrap().certificate());
            let text = format!("{before}certificate-authority-data: {other}\n{after}");
            with_kubeconfig(lab, &text)
        },
        code: "SW0604",
        place: "https://127.0.0.1:",
        help: "certificate-authority-data",
    },
    Mistake {
        is: "a kubeconfig that is not there",
        make: |lab| {
            let path = lab.folder().join("no-such-kubeconfig");
            Extra { environment: vec![("KUBECONFIG", path)], ..Extra::default() }
        },
        code: "SW0602",
        place: "no-such-kubeconfig",
        help: "--kubeconfig FILE",
    },
];

#[test]
fn a_mistake_in_files_changes_nothing() {
    all_of("bad-files", FORMATS);
}

#[test]
fn a_mistake_in_rendering_changes_nothing() {
    all_of("bad-rendering", RENDERING);
}

#[test]
fn a_cluster_that_cannot_be_used_changes_nothing() {
    all_of("bad-clusters", CLUSTERS);
}

/// Makes each mistake in turn, in a site that was applied before; tells of all that go wrong at once.
fn all_of(name: &str, mistakes: &[Mistake]) {
    let mut lab = Lab::new(name);
    lab.component("app", STAYS);
    lab.apply();
    let uid = lab.uid("configmap", "stays");
    let mut wrong = Vec::new();
    for mistake in mistakes {
        for rest in [".origin", ".git"] {
            let _ = fs::remove_dir_all(lab.folder().join(rest));
        }
        lab.component("app", STAYS);
        let extra = (mistake.make)(&lab);
        commit(lab.folder());
        let before = tree(lab.folder());
        let mut answer = None;
        let requests = lab.requests(|| answer = Some(apply(&lab, &extra)));
        let run = answer.expect("it ran");
        let mut problems = problems(mistake, &run);
        if !requests.writes().is_empty() {
            problems.push(format!("it wrote to the cluster:\n{requests}"));
        }
        let after = tree(lab.folder());
        if before != after {
            let changed: Vec<_> =
                after.iter().filter(|(path, it)| before.get(*path) != Some(*it)).collect();
            problems.push(format!("the repository was changed: {changed:?}"));
        }
        if !problems.is_empty() {
            wrong.push(format!("### {}\n{}\n{run}", mistake.is, problems.join("\n")));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    lab.component("app", STAYS);
    assert_eq!(lab.uid("configmap", "stays"), uid);
    assert_eq!(lab.run(&["plan"]).code, 0, "{}", lab.run(&["plan"]));
}

fn apply(lab: &Lab, extra: &Extra) -> Run {
    let mut arguments = vec!["apply", "--yes"];
    arguments.extend(extra.arguments.iter().map(String::as_str));
    lab.run_with(&arguments, |command| {
        command.envs(extra.environment.iter().map(|(name, value)| (name, value)));
    })
}

fn problems(mistake: &Mistake, run: &Run) -> Vec<String> {
    let mut problems = Vec::new();
    if run.code != 1 {
        problems.push(format!("exit code {}", run.code));
    }
    if !run.stderr.contains(&format!("error[{}]", mistake.code)) {
        problems.push(format!("no error[{}]", mistake.code));
    }
    if !run.stderr.contains(mistake.place) {
        problems.push(format!("no place: {}", mistake.place));
    }
    if !run.stderr.contains(mistake.help) {
        problems.push(format!("no way out: {}", mistake.help));
    }
    if !run.stderr.contains(&format!("sitewright explain {}", mistake.code)) {
        problems.push("no page".to_owned());
    }
    problems
}

// === the repository ===

fn copy(from: &Path, to: &Path, files: &[&str]) {
    for file in files {
        let target = to.join(file);
        fs::create_dir_all(target.parent().unwrap()).unwrap();
        fs::copy(from.join(file), target).unwrap();
    }
}

/// Makes a repository of the folder, with all that is in it on `main`.
fn commit(folder: &Path) {
    fs::write(folder.join(".gitignore"), ".cache\n.origin\n.kubeconfig\n").unwrap();
    let git = |arguments: &[&str]| {
        let output = Command::new("git")
            .args(["-c", "user.name=Test", "-c", "user.email=test@example.org"])
            .args(arguments)
            .current_dir(folder)
            .env("GIT_CONFIG_GLOBAL", "/dev/null")
            .env("GIT_CONFIG_NOSYSTEM", "1")
            .output()
            .expect("git runs");
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    };
    git(&["init", "--quiet", "--initial-branch=main", "--template=", "."]);
    git(&["add", "--all"]);
    git(&["commit", "--quiet", "--allow-empty", "--message=All there is"]);
}

/// What every file below the folder is: its content, or where a link leads. The cache is no part of it.
fn tree(folder: &Path) -> BTreeMap<PathBuf, Vec<u8>> {
    let mut found = BTreeMap::new();
    let mut folders = vec![folder.to_owned()];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(folder).unwrap().map(Result::unwrap) {
            let (path, kind) = (entry.path(), entry.file_type().unwrap());
            if kind.is_symlink() {
                let target = fs::read_link(&path).unwrap();
                found.insert(path, target.into_os_string().into_encoded_bytes());
            } else if kind.is_dir() && entry.file_name() != ".cache" {
                folders.push(path);
            } else if kind.is_file() {
                // The large one is sparse, and nobody would write just its middle.
                let is_large = entry.metadata().unwrap().len() > 1024 * 1024;
                let content = if is_large { b"large".to_vec() } else { fs::read(&path).unwrap() };
                found.insert(path, content);
            }
        }
    }
    found
}
