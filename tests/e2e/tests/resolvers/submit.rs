//! What `lineage submit` makes of a working tree, beside what git, DVC and git-annex say of it.

use std::{fs, path::Path, process::Command};

use serde_json::Value;
use sitewright_e2e::program;

use crate::bench::Bench;

/// What a submission printed.
struct Submitted {
    code: i32,
    stdout: String,
    stderr: String,
}

impl Submitted {
    fn object(&self) -> Value {
        assert_eq!(self.code, 0, "{}", self.stderr);
        serde_json::from_str(&self.stdout).unwrap()
    }

    fn said(&self, name: &str) -> String {
        let annotation =
            &self.object()["metadata"]["annotations"][format!("lineage.sitewright.dev/{name}")];
        annotation.as_str().unwrap_or_default().to_owned()
    }

    /// Checks that it was refused, and that it says why.
    fn refused(&self, number: &str, why: &str) {
        let is_refused = self.code == 1 && self.stdout.is_empty();
        assert!(
            is_refused && self.stderr.contains(number) && self.stderr.contains(why),
            "{}{}",
            self.stdout,
            self.stderr
        );
    }
}

impl Bench {
    fn submit(&self, folder: &Path, arguments: &[&str]) -> Submitted {
        let output = Command::new(program())
            .args(["lineage", "submit", "--image", "i", "--dry-run", "-o", "json"])
            .args(arguments)
            .current_dir(folder)
            .env("HOME", self.folder.path())
            .env("NO_COLOR", "1")
            .env("KUBECONFIG", self.path("none"))
            .env("GIT_CONFIG_NOSYSTEM", "1")
            .output()
            .unwrap();
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        Submitted {
            code: output.status.code().unwrap(),
            stdout: text(&output.stdout),
            stderr: text(&output.stderr),
        }
    }

    /// A tree whose commit is on a server; returns it, the commit and the address.
    fn pushed(&self) -> (std::path::PathBuf, String, String) {
        let work = self.init("w", "sha1");
        self.write(&work.join("src/train.py"), "print(1)\n");
        self.write(&work.join("gone"), "x");
        let commit = self.commit(&work);
        let uri = self.publish(&work, "w.git", true);
        let url = uri.strip_prefix("git+").unwrap().to_owned();
        self.run(&work, &["git", "remote", "add", "origin", &url]);
        // the server only reads
        let bare = self.path("served/w.git");
        self.run(&work, &["git", "remote", "set-url", "--push", "origin", bare.to_str().unwrap()]);
        (work, commit, uri)
    }
}

#[test]
fn a_clean_tree_on_its_server_is_submitted_by_its_commit_from_any_folder() {
    let bench = Bench::new();
    let (work, commit, uri) = bench.pushed();
    let submitted =
        bench.submit(&work.join("src"), &["--", "python", "-c", "print('$(HOME)')", ""]);
    assert_eq!(submitted.said("code"), format!("{uri}@{commit}"));
    let object = submitted.object();
    let container = &object["spec"]["template"]["spec"]["containers"][0];
    assert_eq!(container["command"], serde_json::json!(["python", "-c", "print('$$(HOME)')", ""]));
    let pods = &object["spec"]["template"]["metadata"]["annotations"];
    assert_eq!(*pods, object["metadata"]["annotations"]);
}

#[test]
fn a_tree_that_differs_is_refused_with_the_files_and_nothing_is_changed() {
    let bench = Bench::new();
    let (work, commit, _) = bench.pushed();
    bench.write(&work.join("src/train.py"), "print(2)\n");
    bench.write(&work.join("notes.txt"), "x");
    let refused = bench.submit(&work, &[]);
    refused.refused("SW1011", "2 files differ from commit");
    for part in
        ["src/train.py (changed)", "notes.txt (not in git)", "--capture-dirty", &commit[..12]]
    {
        assert!(refused.stderr.contains(part), "{part}: {}", refused.stderr);
    }
    bench.run(&work, &["git", "checkout", "-q", "src/train.py"]);
    bench.submit(&work, &[]).refused("SW1011", "--ignore-untracked");
    assert_eq!(bench.submit(&work, &["--ignore-untracked"]).code, 0);
    assert_eq!(bench.run(&work, &["git", "for-each-ref", "refs/sitewright"]), "");
}

#[test]
fn a_commit_that_the_server_lacks_is_refused_or_pushed_beside_all_branches() {
    let bench = Bench::new();
    let (work, _, _) = bench.pushed();
    bench.write(&work.join("src/train.py"), "print(2)\n");
    let commit = bench.commit(&work);
    bench.submit(&work, &[]).refused("SW1011", "is on no branch or tag of http://");
    assert_eq!(bench.submit(&work, &["--assume-pushed"]).code, 0);
    bench.server.trouble(Some(sitewright_testbed::GitTrouble::Away));
    bench.submit(&work, &[]).refused("SW1011", "cannot be told");
    bench.server.trouble(None);
    let branches =
        || bench.run(&bench.path("served/w.git"), &["git", "for-each-ref", "refs/heads"]);
    let before = branches();
    assert!(bench.submit(&work, &["--push"]).said("code").ends_with(&commit));
    assert_eq!(branches(), before);
    // from now on it is there
    assert_eq!(bench.submit(&work, &[]).code, 0);
    let beside = bench.run(
        &bench.path("served/w.git"),
        &["git", "for-each-ref", "--format=%(refname)", "refs/sitewright"],
    );
    assert_eq!(beside, format!("refs/sitewright/{commit}"));
}

#[test]
fn a_captured_tree_is_a_commit_that_git_itself_finds_no_difference_to() {
    let bench = Bench::new();
    let (work, commit, uri) = bench.pushed();
    bench.write(&work.join("src/train.py"), "print(2)\n");
    bench.write(&work.join("src/new.bin"), [0, 159, 146, 150]);
    bench.write(&work.join("staged"), "s");
    fs::remove_file(work.join("gone")).unwrap();
    bench.run(&work, &["git", "add", "staged"]);
    std::os::unix::fs::symlink("train.py", work.join("src/link")).unwrap();
    let before = bench.run(&work, &["git", "status", "--porcelain=v2", "--branch"]);
    let captured = bench.submit(&work, &["--capture-dirty"]);
    assert_eq!(bench.run(&work, &["git", "status", "--porcelain=v2", "--branch"]), before);
    assert!(
        captured.stderr.contains("only this clone has the captured tree"),
        "{}",
        captured.stderr
    );
    let said = captured.said("code");
    let (address, id) = said.rsplit_once('@').unwrap();
    assert_eq!(address, uri);
    assert_eq!(bench.run(&work, &["git", "rev-parse", &format!("{id}^")]), commit);
    assert_eq!(bench.run(&work, &["git", "fsck", "--strict"]), "");
    bench.run(&work, &["git", "add", "-A"]);
    assert_eq!(bench.run(&work, &["git", "diff", "--cached", id]), "");
    // its message binds the files that differ by more than SHA-1
    let list = "for f in $(git diff --name-only HEAD \"$0\"); do \
        d=$(git cat-file blob \"$0:$f\" 2>/dev/null | sha256sum | cut -c-64); \
        git cat-file -e \"$0:$f\" 2>/dev/null || d=-; echo \"$d  $f\"; done | sha256sum | cut -c-64";
    let digest = bench.run(&work, &["sh", "-c", list, id]);
    let message = bench.run(&work, &["git", "log", "-1", "--format=%B%an", id]);
    assert!(message.contains(&digest) && !message.contains("Ann"), "{digest}\n{message}");
    // the same tree is the same commit, and it can be pushed
    bench.run(&work, &["git", "reset", "-q"]);
    let pushed = bench.submit(&work, &["--capture-dirty", "--push"]);
    assert_eq!(pushed.said("code"), said);
    let there = bench.run(&bench.path("served/w.git"), &["git", "cat-file", "-t", id]);
    assert_eq!(there, "commit");
}

#[test]
fn what_looks_like_a_secret_or_is_too_large_is_not_captured() {
    let bench = Bench::new();
    let (work, _, _) = bench.pushed();
    for (path, size, why) in [
        (".env", 1, "secrets"),
        ("keys/id_ed25519", 1, "secrets"),
        ("model.bin", 17 << 20, "16 MiB"),
    ] {
        bench.write(&work.join(path), vec![0; size]);
        bench.submit(&work, &["--capture-dirty", "--push"]).refused("SW1011", why);
        fs::remove_file(work.join(path)).unwrap();
    }
    assert_eq!(
        bench.run(&bench.path("served/w.git"), &["git", "for-each-ref", "refs/sitewright"]),
        ""
    );
}

#[test]
fn names_are_looked_up_and_both_are_said() {
    let bench = Bench::new();
    let (work, commit, uri) = bench.pushed();
    let name = format!("{uri}@main#src");
    let submitted =
        bench.submit(&work, &["--data", &name, "--data", "hf://datasets/x", "--data", "src"]);
    let pinned = format!("{uri}@{commit}#src");
    assert_eq!(submitted.said("data"), format!("{pinned}, hf://datasets/x, {pinned}"));
    assert_eq!(submitted.said("names"), format!("{name} -> {pinned}"));
    assert!(
        submitted.stderr.contains("hf://datasets/x is recorded as a name"),
        "{}",
        submitted.stderr
    );
    bench
        .submit(&work, &["--data", "none.csv"])
        .refused("SW0908", "none.csv is nothing that commit");
    bench.submit(&work, &["--data", "../x"]).refused("SW0908", "leads out of this tree");
}

#[test]
fn data_of_a_tree_goes_by_the_ids_that_dvc_and_git_annex_have_for_it() {
    let bench = Bench::with_data_tools();
    let work = bench.init("w", "sha1");
    bench.run(&work, &["dvc", "init", "-q"]);
    bench.write(&work.join("data/images/1.png"), "one");
    bench.write(&work.join("data/labels.csv"), "1,cat\n");
    bench.run(&work, &["dvc", "add", "-q", "data/images", "data/labels.csv"]);
    bench.run(&work, &["git", "annex", "init", "-q"]);
    bench.write(&work.join("annexed.bin"), "annexed");
    bench.run(&work, &["git", "annex", "add", "-q", "annexed.bin"]);
    let hex = "ab".repeat(32);
    bench.write(
        &work.join("weights"),
        format!("version https://git-lfs.github.com/spec/v1\noid sha256:{hex}\nsize 12\n"),
    );
    bench.commit(&work);
    bench.run(&work, &["git", "remote", "add", "origin", "https://git.example.edu/w"]);
    let said = |path: &str| bench.submit(&work, &["--assume-pushed", "--data", path]).said("data");
    let md5 = |file: &str| {
        let text = fs::read_to_string(work.join(file)).unwrap();
        let line = text.lines().find(|line| line.contains("md5: ")).unwrap();
        format!("dvc:md5:{}", line.split("md5: ").nth(1).unwrap())
    };
    assert_eq!(said("data/images"), md5("data/images.dvc"));
    assert_eq!(said("data/images.dvc"), md5("data/images.dvc"));
    assert_eq!(said("data/images/1.png"), md5("data/images.dvc"), "the folder has the id");
    assert_eq!(said("data/labels.csv"), md5("data/labels.csv.dvc"));
    let key = bench.run(&work, &["git", "annex", "lookupkey", "annexed.bin"]);
    assert_eq!(said("annexed.bin"), format!("annex:{key}"));
    assert_eq!(said("weights"), format!("git+https://git.example.edu/w/weights@sha256:{hex}"));
    // content that stands in the place of its pointer is no difference, another one is
    bench.run(&work, &["git", "annex", "unlock", "-q", "annexed.bin"]);
    bench.commit(&work);
    assert!(said("annexed.bin").starts_with("annex:SHA256E"));
    fs::remove_file(work.join("annexed.bin")).unwrap();
    bench.write(&work.join("annexed.bin"), "anothe.");
    bench.submit(&work, &["--assume-pushed"]).refused("SW1011", "annexed.bin (changed)");
}

/// Runs the init container's command here, with folders in the place of its volumes.
fn clone(bench: &Bench, object: &Value, name: &str) -> (bool, String, std::path::PathBuf) {
    let folder = bench.path(name);
    let places = ["code", "secret", "tmp"].map(|place| folder.join(place));
    for place in &places {
        fs::create_dir_all(place).unwrap();
    }
    let container = &object["spec"]["template"]["spec"]["initContainers"][0];
    // every word has dollars in twos, or none: that is what the kubelet undoes
    let words = container["command"].as_array().unwrap().iter();
    let words: Vec<String> = words.map(|word| word.as_str().unwrap().replace("$$", "$")).collect();
    let mut script = words[2].clone();
    // the folder of temporary files first: the others are in it
    for (place, at) in ["/code", "/secret", "/tmp"].into_iter().zip(&places).rev() {
        script = script.replace(place, at.to_str().unwrap());
    }
    if let Ok(login) = fs::read(bench.path("password")) {
        fs::write(places[1].join("username"), "me").unwrap();
        fs::write(places[1].join("password"), login).unwrap();
    }
    let output =
        Command::new(&words[0]).arg(&words[1]).arg(script).args(&words[3..]).output().unwrap();
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    (output.status.success(), said, places[0].clone())
}

#[test]
fn the_init_container_brings_exactly_the_commit_also_of_a_private_repository() {
    let bench = Bench::new();
    let (work, commit, _) = bench.pushed();
    let with = ["--clone", "--clone-image", "git", "--clone-secret", "login"];
    let submitted =
        bench.submit(&work, &[&with[..], &["--capture-dirty", "--push", "--", "python"]].concat());
    let object = submitted.object();
    let (done, said, code) = clone(&bench, &object, "first");
    assert!(done, "{said}");
    assert_eq!(bench.run(&code, &["git", "rev-parse", "HEAD"]), commit);
    assert_eq!(fs::read_to_string(code.join("src/train.py")).unwrap(), "print(1)\n");
    // it may be started again
    assert!(clone(&bench, &object, "first").0);

    // a captured tree that only its own reference leads to
    bench.write(&work.join("src/train.py"), "print(3)\n");
    let object =
        bench.submit(&work, &[&with[..], &["--capture-dirty", "--push"]].concat()).object();
    bench.server.login("me", "s3cret");
    let (done, said, _) = clone(&bench, &object, "second");
    assert!(!done && !said.contains("s3cret"), "{said}");
    fs::write(bench.path("password"), "s3cret").unwrap();
    let (done, said, code) = clone(&bench, &object, "third");
    assert!(done && !said.contains("s3cret"), "{said}");
    assert_eq!(fs::read_to_string(code.join("src/train.py")).unwrap(), "print(3)\n");

    bench.submit(&work, &["--clone"]).refused("SW0908", "--clone-image");
}
