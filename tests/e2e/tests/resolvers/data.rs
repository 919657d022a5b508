//! Data beside git, beside what DVC, git-annex and DataLad say of it.

use std::path::Path;

use serde_json::Value;
use sitewright_model::lineage::{Grade, Relation};

use crate::bench::{Bench, check, edges, fact};

#[test]
fn what_dvc_locks_is_expected_by_the_ids_that_dvc_prints() {
    let bench = Bench::with_data_tools();
    let work = bench.init("w", "sha1");
    bench.run(&work, &["dvc", "init", "-q"]);
    bench.write(&work.join("data/images/1.png"), "one");
    bench.write(&work.join("data/images/2.png"), "two");
    bench.write(&work.join("data/labels.csv"), "1,cat\r\n");
    bench.run(&work, &["dvc", "add", "-q", "data/images", "data/labels.csv"]);
    bench.write(&work.join("prepare.py"), "x".repeat(3000));
    let stage = |name: &str, dep: &str, out: &str, command: &str| {
        let args =
            ["dvc", "stage", "add", "-q", "-n", name, "-d", dep, "-d", "prepare.py", "-o", out];
        bench.run(&work, &[&args[..], &[command]].concat());
    };
    stage("prepare", "data/images", "features.bin", "cat data/images/* > features.bin");
    stage("train", "features.bin", "model.bin", "cp features.bin model.bin && echo 1 >> model.bin");
    bench.run(&work, &["dvc", "repro", "-q"]);
    let id = format!("commit:{}", bench.commit(&work));
    let uri = bench.publish(&work, "w.git", true);
    let said = bench.resolve(&id, &uri).unwrap();
    check(&said);

    let listed =
        bench.run(&work, &["dvc", "list", ".", "-R", "--dvc-only", "--show-hash", "--json"]);
    let listed: Value = serde_json::from_str(&listed).unwrap();
    let of = |path: &str| md5_of(&bench, &work, path);
    let mut expected = vec![of("data/images"), of("data/labels.csv"), of("features.bin")];
    expected.sort();
    // one of them is named twice, by the file that added it and by the stage that reads it
    let mut found = edges(&said, &id, Relation::Expected, Grade::Resolved);
    found.dedup();
    assert_eq!(found, expected);
    assert!(expected.iter().any(|id| id.ends_with(".dir")));
    // and by the list of all that DVC tracks, in which folders are their files
    let hashes: Vec<&str> =
        listed.as_array().unwrap().iter().filter_map(|one| one["md5"].as_str()).collect();
    assert!(hashes.contains(&of("features.bin").rsplit(':').next().unwrap()), "{listed}");
    assert_eq!(fact(&said, &id, "dvcOutput.model.bin"), Some(of("model.bin").as_str()));
    assert_eq!(fact(&said, &of("data/images"), "files"), Some("2"));
    assert_eq!(fact(&said, &of("data/images"), "size"), Some("6"));
    assert_eq!(fact(&said, &id, "dvcFiles"), Some("3"));
}

/// Asks DVC itself, through its own library.
fn md5_of(bench: &Bench, work: &Path, path: &str) -> String {
    let script = "import sys; from dvc.api import DVCFileSystem as F; \
        info = F('.').info(sys.argv[1]); print(info['dvc_info']['md5'])";
    let md5 = bench.run(work, &["python", "-c", script, path]);
    format!("data:dvc:md5:{md5}")
}

#[test]
fn annexed_files_are_expected_by_the_keys_that_git_annex_prints() {
    let bench = Bench::with_data_tools();
    let work = bench.init("w", "sha1");
    bench.run(&work, &["git", "annex", "init", "-q", "x"]);
    bench.write(&work.join("a/locked.dat"), "locked");
    bench.write(&work.join("we & you: 100%.dat"), "odd");
    bench.run(&work, &["git", "annex", "add", "-q", "."]);
    bench.write(&work.join("worm.dat"), "worm");
    bench.run(&work, &["git", "annex", "add", "-q", "--backend=WORM", "worm.dat"]);
    bench.run(&work, &["git", "commit", "-q", "-m", "x"]);
    bench.run(&work, &["git", "annex", "unlock", "-q", "a/locked.dat"]);
    bench.write(&work.join("plain.txt"), "plain");
    bench.run(&work, &["git", "-c", "annex.largefiles=nothing", "add", "plain.txt"]);
    bench.run(
        &work,
        &["git", "annex", "fromkey", "-q", "--force", "URL--http://h.example/a%20b&c", "from-url"],
    );
    bench.run(&work, &["git", "commit", "-q", "-a", "-m", "x"]);
    let commit = bench.run(&work, &["git", "rev-parse", "HEAD"]);
    let id = format!("commit:{commit}");
    let uri = bench.publish(&work, "w.git", true);
    let said = bench.resolve(&id, &uri).unwrap();
    check(&said);

    let find = ["git", "annex", "find", "--anything", "--format", "${key}\\n"];
    let keys = bench.run(&work, &find);
    let mut expected: Vec<String> = keys.lines().map(|key| format!("data:annex:{key}")).collect();
    expected.sort();
    assert_eq!(expected.len(), 4, "{keys}");
    assert_eq!(edges(&said, &id, Relation::Expected, Grade::Resolved), expected);
    assert_eq!(fact(&said, &id, "annexedFiles"), Some("4"));
    let locked = expected.iter().find(|id| id.contains("-s6--")).unwrap();
    assert_eq!(fact(&said, locked, "size"), Some("6"));
}

#[test]
fn datasets_of_datalad_are_known_by_their_ids_and_subdatasets_by_their_commits() {
    let bench = Bench::with_data_tools();
    let home = bench.folder.path();
    bench.run(home, &["git", "config", "--global", "user.name", "Ann"]);
    bench.run(home, &["git", "config", "--global", "user.email", "a@b.example"]);
    bench.run(home, &["datalad", "-f", "disabled", "create", "super"]);
    let work = bench.path("super");
    bench.run(&work, &["datalad", "-f", "disabled", "create", "-d", ".", "inputs/raw"]);
    bench.write(&work.join("inputs/raw/scan.nii"), "scan");
    bench.write(&work.join("big.bin"), "big");
    bench.run(&work, &["datalad", "-f", "disabled", "save", "-r", "-m", "x"]);
    let commit = bench.run(&work, &["git", "rev-parse", "HEAD"]);
    let id = format!("commit:{commit}");
    let uri = bench.publish(&work, "super.git", true);
    let said = bench.resolve(&id, &uri).unwrap();
    check(&said);

    let dataset = bench.run(&work, &["datalad", "configuration", "get", "datalad.dataset.id"]);
    assert_eq!(fact(&said, &id, "dataladDataset"), Some(dataset.trim()));
    let subdatasets = bench.run(&work, &["datalad", "-f", "json", "subdatasets"]);
    let subdataset: Value = serde_json::from_str(subdatasets.lines().next().unwrap()).unwrap();
    let inner = format!("commit:{}", subdataset["gitshasum"].as_str().unwrap());
    let key = bench.run(&work, &["git", "annex", "lookupkey", "big.bin"]);
    let mut expected = [inner.clone(), format!("data:annex:{key}")];
    expected.sort();
    assert_eq!(edges(&said, &id, Relation::Expected, Grade::Resolved), expected);
    let inner_id = subdataset["gitmodule_datalad-id"].as_str();
    assert_eq!(fact(&said, &inner, "dataladDataset"), inner_id);
}
