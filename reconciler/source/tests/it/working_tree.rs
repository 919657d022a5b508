//! Working trees, read as git would commit them.

use std::{fs, path::Path};

use sitewright_model::{code, diagnostic::Diagnostics};
use sitewright_source::{Location, Settings, Snapshot};

use crate::repo::Repo;

fn open(folder: impl AsRef<Path>) -> Result<Snapshot, Diagnostics> {
    let location = Location::WorkingTree(folder.as_ref().to_owned());
    Snapshot::open(&location, &Settings::new("unused"))
}

fn code_of<T>(result: Result<T, Diagnostics>) -> code::Code {
    result.err().expect("an error").0[0].code
}

fn site() -> Repo {
    let repo = Repo::new();
    repo.write("sites/lab/site.yaml", "kind: Site\n").write("sites/lab/old.yaml", "a: 1\n");
    repo.write("README.md", "hello\n").write(".gitignore", "*.log\n/sites/lab/tmp/\n");
    repo.commit("first");
    repo
}

#[test]
fn a_clean_tree_is_its_commit() {
    let repo = site();
    let snapshot = open(repo.path().join("sites/lab")).unwrap();
    assert_eq!(snapshot.path(), "sites/lab");
    let files = snapshot.folder("sites/lab").unwrap();
    assert_eq!(files.entries.keys().collect::<Vec<_>>(), ["old.yaml", "site.yaml"]);
    assert!(!snapshot.is_dirty());
    assert_eq!(
        snapshot.origin().commit,
        repo.git.head().unwrap().target().map(|id| id.to_string())
    );
    assert_eq!(snapshot.tree_id("sites/lab").unwrap(), None);
}

#[test]
fn only_what_was_read_makes_it_dirty() {
    let repo = site();
    repo.write("README.md", "changed\n").write("notes.txt", "new\n");
    let snapshot = open(repo.path().join("sites/lab")).unwrap();
    snapshot.folder("sites/lab").unwrap();
    assert!(!snapshot.is_dirty());
    snapshot.file("README.md").unwrap();
    assert!(snapshot.is_dirty());
}

#[test]
fn changed_added_and_removed_files_make_it_dirty() {
    let changes: [fn(&Repo); 4] = [
        |repo| {
            repo.write("sites/lab/site.yaml", "changed\n");
        },
        |repo| {
            repo.write("sites/lab/new.yaml", "new\n");
        },
        |repo| fs::remove_file(repo.path().join("sites/lab/old.yaml")).unwrap(),
        |repo| {
            fs::remove_file(repo.path().join("sites/lab/old.yaml")).unwrap();
            repo.link("sites/lab/old.yaml", "site.yaml");
        },
    ];
    for change in changes {
        let repo = site();
        change(&repo);
        let snapshot = open(repo.path().join("sites/lab")).unwrap();
        snapshot.folder("sites/lab").unwrap();
        assert!(snapshot.is_dirty());
    }
}

#[test]
fn a_removed_file_that_was_asked_for_makes_it_dirty() {
    let repo = site();
    fs::remove_file(repo.path().join("sites/lab/old.yaml")).unwrap();
    let snapshot = open(repo.path().join("sites/lab")).unwrap();
    assert!(!snapshot.exists("sites/lab/old.yaml").unwrap());
    assert!(snapshot.is_dirty());
}

#[test]
fn what_gitignore_leaves_out_is_not_there() {
    let repo = site();
    repo.write("sites/lab/debug.log", "x").write("sites/lab/tmp/x.yaml", "x");
    let snapshot = open(repo.path().join("sites/lab")).unwrap();
    let files = snapshot.folder("sites/lab").unwrap();
    assert_eq!(files.entries.len(), 2);
    assert!(!snapshot.is_dirty());
    let error = snapshot.file("sites/lab/debug.log").unwrap_err();
    assert_eq!(error.0[0].code, code::source::MISSING_PATH);
    assert!(error.0[0].help.as_deref().unwrap().contains(".gitignore"));

    repo.write("sites/lab/kept.log", "x").git(&["add", "-f", "sites/lab/kept.log"]);
    assert!(open(repo.path()).unwrap().file("sites/lab/kept.log").is_ok(), "in the index, so kept");
}

#[test]
fn converted_line_endings_are_not_a_change() {
    let repo = site();
    repo.write(".gitattributes", "*.yaml text eol=crlf\n").commit("attributes");
    fs::remove_file(repo.path().join("sites/lab/site.yaml")).unwrap();
    repo.git(&["checkout", "-q", "."]);
    let snapshot = open(repo.path()).unwrap();
    assert_eq!(&*snapshot.file("sites/lab/site.yaml").unwrap(), b"kind: Site\r\n");
    assert!(!snapshot.is_dirty());
}

#[test]
fn outside_any_repository_there_is_no_commit() {
    let dir = tempfile::tempdir().unwrap();
    fs::create_dir_all(dir.path().join("sites/lab")).unwrap();
    fs::create_dir_all(dir.path().join("blueprints/kueue")).unwrap();
    fs::write(dir.path().join("sites/lab/site.yaml"), "kind: Site\n").unwrap();
    let snapshot = open(dir.path().join("sites/lab")).unwrap();
    assert_eq!(snapshot.path(), "sites/lab", "the top is where the blueprints are");
    assert_eq!(snapshot.folder("sites/lab").unwrap().entries.len(), 1);
    assert_eq!(snapshot.origin().commit, None);
    assert!(!snapshot.is_dirty());
}

#[test]
fn before_the_first_commit_everything_is_dirty() {
    let repo = Repo::new();
    repo.write("site.yaml", "kind: Site\n");
    let snapshot = open(repo.path()).unwrap();
    snapshot.folder("").unwrap();
    assert_eq!(snapshot.origin().commit, None);
    assert!(snapshot.is_dirty());
}

#[test]
fn links_do_not_leave_it() {
    let repo = site();
    repo.link("sites/lab/secret", "/etc/passwd").link("sites/lab/up", "../../..");
    let snapshot = open(repo.path()).unwrap();
    assert_eq!(code_of(snapshot.file("sites/lab/secret")), code::source::PATH_ESCAPES);
    assert_eq!(code_of(snapshot.list("sites/lab/up")), code::source::PATH_ESCAPES);
    assert_eq!(code_of(snapshot.file("../x")), code::source::PATH_ESCAPES);
    assert_eq!(code_of(snapshot.file(".git/config")), code::source::HOSTILE_NAME);
}

#[test]
fn a_repository_within_it_is_a_submodule() {
    let repo = site();
    git2::Repository::init(repo.path().join("sites/lab/vendored")).unwrap();
    let snapshot = open(repo.path()).unwrap();
    assert_eq!(code_of(snapshot.folder("sites/lab")), code::source::SUBMODULE);
}

#[test]
fn credentials_of_the_remote_are_not_shown() {
    let repo = site();
    repo.git.remote("origin", "https://ann:canary@git.example.edu/site.git").unwrap();
    let snapshot = open(repo.path()).unwrap();
    assert_eq!(snapshot.origin().repository, "https://git.example.edu/site.git");
}

#[test]
fn what_cannot_be_opened_says_why() {
    let repo = site();
    assert_eq!(code_of(open(repo.path().join("sites/none"))), code::source::MISSING_PATH);
    assert_eq!(code_of(open(repo.path().join("README.md"))), code::source::WRONG_KIND);
    let bare = tempfile::tempdir().unwrap();
    git2::Repository::init_bare(bare.path()).unwrap();
    assert_eq!(code_of(open(bare.path())), code::source::NOT_A_REPOSITORY);
}
