//! `lineage submit` on a real control plane: from a tree to a run, and from the run's model back to the commit.

use std::{fs, path::PathBuf, process::Command};

use sitewright_e2e::{Lab, Run, git, program};
use sitewright_testbed::GitHttp;

use super::lineage::{Recorded, control_plane, edge, facts};

/// A researcher: a tree, a server that has it, and a kubeconfig with rights in one namespace.
struct Researcher {
    folder: tempfile::TempDir,
    _server: GitHttp,
    kubeconfig: PathBuf,
    commit: String,
    uri: String,
}

impl Researcher {
    fn new(lab: &Lab) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let (work, served) = (folder.path().join("work"), folder.path().join("served"));
        fs::create_dir_all(&work).unwrap();
        fs::create_dir_all(&served).unwrap();
        git(&work, &["init", "-q", "-b", "main"]);
        fs::write(work.join("train.py"), "print(1)\n").unwrap();
        git(&work, &["add", "-A"]);
        git(&work, &["commit", "-q", "-m", "x"]);
        git(folder.path(), &["clone", "-q", "--bare", "work", "served/train.git"]);
        let server = GitHttp::serve(&served).unwrap();
        let url = format!("{}/train.git", server.url());
        git(&work, &["remote", "add", "origin", &url]);
        let head = fs::read_to_string(work.join(".git/refs/heads/main")).unwrap();
        let user = format!("researcher-{}", lab.name());
        let kubeconfig = lab.control_plane().kubeconfig_for(&user, &[]).unwrap();
        let rights = [
            "create",
            "role",
            "researcher",
            "-n",
            lab.name(),
            "--verb=create",
            "--resource=jobs.batch,configmaps",
        ];
        lab.kubectl(&rights);
        let to = format!("--user={user}");
        lab.kubectl(&[
            "create",
            "rolebinding",
            "researcher",
            "-n",
            lab.name(),
            "--role=researcher",
            &to,
        ]);
        let (commit, uri) = (head.trim().to_owned(), format!("git+{url}"));
        Self { folder, _server: server, kubeconfig, commit, uri }
    }

    fn submit(&self, arguments: &[&str], input: &str) -> Run {
        fs::write(self.folder.path().join("input"), input).unwrap();
        let output = Command::new(program())
            .args(["lineage", "submit"])
            .args(arguments)
            .current_dir(self.folder.path().join("work"))
            .stdin(fs::File::open(self.folder.path().join("input")).unwrap())
            .env("KUBECONFIG", &self.kubeconfig)
            .env("HOME", self.folder.path())
            .env("NO_COLOR", "1")
            .output()
            .unwrap();
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        Run {
            code: output.status.code().unwrap(),
            stdout: text(&output.stdout),
            stderr: text(&output.stderr),
        }
    }
}

#[test]
fn a_model_leads_back_to_the_commit_that_a_researcher_submitted_from() {
    let site = Recorded::new("submit-story");
    let namespace = site.lab.name().to_owned();
    let researcher = Researcher::new(&site.lab);
    let running = site.agent();
    let argv = ["sh", "-c", "echo \"$(date)\" '$$' \n", "", "--lr=0.1 -- x"];
    let flags = [
        "-n",
        &namespace,
        "--name",
        "first",
        "--image",
        "registry.example.edu/train:1",
        "--gpus",
        "1",
        "--data",
        "train.py",
        "--model",
        "s3://models/submitted",
        "--experiment",
        "one",
        "--clone",
        "--clone-image",
        "registry.example.edu/git:1",
        "--",
    ];
    let run = researcher.submit(&[&flags[..], &argv].concat(), "");
    assert_eq!(run.code, 0, "{run}");
    for part in [
        format!("Job {namespace}/first is created, with commit {}", &researcher.commit[..12]),
        format!("kubectl logs -n {namespace} -f job/first"),
        format!("sitewright lineage of {namespace}/first"),
    ] {
        assert!(run.stdout.contains(&part), "{part}: {run}");
    }
    let job = site.lab.live("job", "first").unwrap();
    let command = job["spec"]["template"]["spec"]["containers"][0]["command"].clone();
    let command: Vec<String> =
        command.as_array().unwrap().iter().map(|word| word.as_str().unwrap().to_owned()).collect();
    assert_eq!(command, ["sh", "-c", "echo \"$$(date)\" '$$$$' \n", "", "--lr=0.1 -- x"]);
    site.finish("first");
    // nothing that is there is changed
    let again = researcher.submit(&[&flags[..], &["other"]].concat(), "");
    assert!(again.code == 1 && again.stderr.contains("already exists"), "{again}");
    assert_eq!(site.lab.live("job", "first").unwrap()["metadata"]["uid"], job["metadata"]["uid"]);

    let of = site.until_answered(&["of", "s3://models/submitted"], &researcher.commit);
    assert_eq!(edge(&of, "ranCode", &researcher.commit)["grade"], "claimed");
    assert!(edge(&of, "used", &researcher.commit)["grade"] == "claimed", "train.py of the commit");
    assert_eq!(facts(&of, "run", "name"), ["first"]);
    assert!(of.to_string().contains(&researcher.uri), "{of:#}");
    running.handle().signal("TERM");
    running.end();
    site.verify();
}

#[test]
fn a_file_is_submitted_whole_or_not_at_all_and_with_the_researchers_own_rights() {
    let lab = Lab::at(control_plane(), "submit-file");
    let researcher = Researcher::new(&lab);
    let file = r#"
apiVersion: v1
kind: ConfigMap
metadata: { name: settings }
data: { lr: "0.1" }
---
apiVersion: batch/v1
kind: Job
metadata: { generateName: train- }
spec:
  template:
    spec:
      restartPolicy: Never
      containers: [{ name: main, image: registry.example.edu/train:1 }]
"#;
    let flags = ["-n", "submit-file", "-f", "-", "--queue", "vision"];
    let broken = researcher.submit(&flags, &file.replace("restartPolicy", "restartPolice"));
    assert!(broken.code == 1 && broken.stderr.contains("restartPolice"), "{broken}");
    assert!(lab.live("configmap", "settings").is_none(), "half of it was created");
    let run = researcher.submit(&[&flags[..], &["-o", "json"]].concat(), file);
    assert_eq!(run.code, 0, "{run}");
    let items = run.json()["items"].clone();
    let job = &items[1];
    let code = "lineage.sitewright.dev/code";
    let said = format!("{}@{}", researcher.uri, researcher.commit);
    assert_eq!(job["metadata"]["annotations"][code], said.as_str());
    assert_eq!(job["spec"]["template"]["metadata"]["annotations"][code], said.as_str());
    assert_eq!(job["metadata"]["labels"]["kueue.x-k8s.io/queue-name"], "vision");
    assert!(job["metadata"]["name"].as_str().unwrap().starts_with("train-"), "{job:#}");
    assert!(items[0]["metadata"].get("annotations").is_none(), "{items:#}");

    let elsewhere = researcher.submit(&["-n", "default", "--image", "i"], "");
    assert!(elsewhere.code == 1 && elsewhere.stderr.contains("namespace of yours"), "{elsewhere}");
    let other =
        file.replace("generateName: train-", &format!("name: x, annotations: {{ {code}: other }}"));
    let contradicted = researcher.submit(&flags, &other);
    assert!(contradicted.code == 1 && contradicted.stderr.contains("says"), "{contradicted}");
    let secret = researcher.submit(
        &flags,
        "apiVersion: v1\nkind: Secret\nmetadata: { name: s }\nstringData: { a: hunter2 }\n",
    );
    assert!(secret.code == 1 && !secret.says("hunter2"), "{secret}");
}
