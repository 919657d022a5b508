//! Commits read from the object database.

use sitewright_model::code;
use sitewright_source::snapshot::Kind;

use crate::{
    repo::Repo,
    support::{open, wrong},
};

fn site() -> Repo {
    let repo = Repo::new();
    repo.write("sites/lab/site.yaml", "kind: Site\n").write("sites/lab/values/a.yaml", "a: 1\n");
    repo.write("blueprints/kueue/blueprint.yaml", "kind: Blueprint\n");
    repo.commit("first");
    repo
}

#[test]
fn a_folder_is_read_at_a_commit_and_not_from_the_disk() {
    let repo = site();
    let commit = repo.git.head().unwrap().target().unwrap().to_string();
    repo.write("sites/lab/site.yaml", "changed\n");
    let snapshot = open(&repo.at("sites/lab", "main")).unwrap();
    let files = snapshot.folder(snapshot.path()).unwrap();
    assert_eq!(files.label, "sites/lab");
    assert_eq!(files.entries.keys().collect::<Vec<_>>(), ["site.yaml", "values/a.yaml"]);
    assert_eq!(&**files.get("site.yaml").unwrap(), b"kind: Site\n");
    assert_eq!(&*snapshot.file("blueprints/../sites/lab/site.yaml").unwrap(), b"kind: Site\n");
    let origin = snapshot.origin();
    assert_eq!(origin.commit.as_deref(), Some(commit.as_str()));
    assert_eq!(origin.reference.as_deref(), Some("main"));
    assert!(!snapshot.is_dirty());
}

#[test]
fn an_unrelated_commit_leaves_the_tree_id() {
    let repo = site();
    let tree_id = |path: &str| open(&repo.at("", "main")).unwrap().tree_id(path).unwrap().unwrap();
    let (site, blueprint) = (tree_id("sites/lab"), tree_id("blueprints/kueue"));
    repo.write("sites/other/site.yaml", "kind: Site\n").commit("another site");
    assert_eq!(tree_id("sites/lab"), site);
    repo.write("blueprints/kueue/blueprint.yaml", "changed\n").commit("blueprint");
    assert_eq!(tree_id("sites/lab"), site);
    assert_ne!(tree_id("blueprints/kueue"), blueprint);
}

#[test]
fn branches_tags_ranges_and_commits_are_found() {
    let repo = site();
    let first = repo.git.head().unwrap().target().unwrap();
    repo.annotated_tag("v1.2.0", first);
    let second = repo.write("x", "x").commit("second");
    repo.tag("1.10.0", second);
    repo.tag("v2.0.0-rc.1", second);
    let commit = |reference: &str| open(&repo.at("", reference)).unwrap().origin().commit.unwrap();
    assert_eq!(commit("v1.2.0"), first.to_string(), "an annotated tag is peeled");
    assert_eq!(commit("refs/tags/1.10.0"), second.to_string());
    assert_eq!(commit("semver:1.x"), second.to_string(), "1.10 is above 1.2");
    assert_eq!(commit("semver:~1.2"), first.to_string());
    assert_eq!(commit(&first.to_string()), first.to_string());
    assert_eq!(commit(&first.to_string()[..10]), first.to_string());
    repo.git.reference("refs/remotes/origin/main", first, false, "").unwrap();
    assert_eq!(commit("origin/main"), first.to_string(), "as it was fetched");
    repo.git(&["checkout", "-q", "--detach", &first.to_string()]);
    assert_eq!(commit("HEAD"), first.to_string(), "what is checked out");
    repo.git(&["checkout", "-q", "main"]);
    let plain = format!("file://{}//sites/lab", repo.path().display());
    assert_eq!(open(&plain).unwrap().origin().commit, Some(second.to_string()));
}

#[test]
fn an_unknown_reference_names_its_likeness() {
    let repo = site();
    let text = wrong(open(&repo.at("", "mian")), code::source::UNKNOWN_REFERENCE);
    assert!(text.contains("did you mean `main`?"), "{text}");
    wrong(
        open(&repo.at("", "0123456789012345678901234567890123456789")),
        code::source::UNKNOWN_REFERENCE,
    );
    repo.tag("v1.0.0", repo.git.head().unwrap().target().unwrap());
    let text = wrong(open(&repo.at("", "semver:2.x")), code::source::UNKNOWN_REFERENCE);
    assert!(text.contains("`v1.0.0`"), "{text}");
}

#[test]
fn an_empty_repository_and_a_missing_one_say_so() {
    let repo = Repo::new();
    let at = format!("file://{}//", repo.path().display());
    wrong(open(&at), code::source::EMPTY_REPOSITORY);
    wrong(open("file:///no/such/repository//x@main"), code::source::NOT_A_REPOSITORY);
}

#[test]
fn a_wrong_path_names_its_likeness() {
    let repo = site();
    let snapshot = open(&repo.at("", "main")).unwrap();
    let text = wrong(snapshot.folder("sites/lba"), code::source::MISSING_PATH);
    assert!(text.contains("did you mean `sites/lab`?"), "{text}");
    wrong(snapshot.folder("sites/lab/site.yaml"), code::source::WRONG_KIND);
    wrong(snapshot.file("sites/lab"), code::source::WRONG_KIND);
    wrong(snapshot.file("sites/lab/site.yaml/x"), code::source::WRONG_KIND);
    assert!(!snapshot.exists("sites/none").unwrap());
    assert!(snapshot.exists("sites/lab").unwrap());
}

#[test]
fn paths_never_leave_the_repository() {
    let repo = site();
    let snapshot = open(&repo.at("", "main")).unwrap();
    for path in ["../x", "/etc/passwd", "sites/../../x", "sites/lab/../../../x"] {
        wrong(snapshot.file(path), code::source::PATH_ESCAPES);
    }
    wrong(snapshot.file(".git/config"), code::source::HOSTILE_NAME);
    wrong(snapshot.file("sites\\lab"), code::source::HOSTILE_NAME);
}

#[test]
fn links_are_followed_inside_and_stopped_at_the_border() {
    let repo = site();
    repo.link("sites/lab/shared", "../../blueprints/kueue")
        .link("sites/lab/one.yaml", "site.yaml")
        .link("top", "sites/lab");
    repo.commit("links");
    let snapshot = open(&repo.at("", "main")).unwrap();
    let files = snapshot.folder("top").unwrap();
    assert_eq!(
        files.entries.keys().collect::<Vec<_>>(),
        ["one.yaml", "shared/blueprint.yaml", "site.yaml", "values/a.yaml"]
    );
    assert_eq!(&*snapshot.file("top/shared/blueprint.yaml").unwrap(), b"kind: Blueprint\n");
    assert_eq!(snapshot.tree_id("top").unwrap(), snapshot.tree_id("sites/lab").unwrap());
    let listed = snapshot.list("sites/lab").unwrap();
    let kinds: Vec<_> = listed.iter().map(|entry| (entry.name.as_str(), entry.kind)).collect();
    assert_eq!(
        kinds,
        [
            ("one.yaml", Kind::File),
            ("shared", Kind::Folder),
            ("site.yaml", Kind::File),
            ("values", Kind::Folder)
        ]
    );

    for (target, code) in [
        ("/etc/passwd", code::source::PATH_ESCAPES),
        ("../../../x", code::source::PATH_ESCAPES),
        ("nothing", code::source::MISSING_PATH),
        ("bad", code::source::LINK_LOOP),
        (".", code::source::LINK_LOOP),
        ("..", code::source::LINK_LOOP),
    ] {
        let repo = site();
        repo.link("sites/lab/bad", target).commit("bad link");
        let snapshot = open(&repo.at("", "main")).unwrap();
        wrong(snapshot.folder("sites/lab"), code);
    }
}

#[test]
fn what_git_keeps_elsewhere_is_named() {
    let repo = site();
    repo.write(
        "sites/lab/big.bin",
        "version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 1\n",
    );
    let commit = repo.commit("lfs");
    let snapshot = open(&repo.at("", "main")).unwrap();
    wrong(snapshot.folder("sites/lab"), code::source::LFS_POINTER);

    let file = repo.blob("x");
    let tree = repo.raw_tree(&[("100644", b"a", file), ("160000", b"module", commit)]);
    repo.commit_tree("submodule", tree);
    let snapshot = open(&repo.at("", "main")).unwrap();
    wrong(snapshot.folder(""), code::source::SUBMODULE);
    wrong(snapshot.file("module/x"), code::source::SUBMODULE);
    assert_eq!(&*snapshot.file("a").unwrap(), b"x");
    assert_eq!(snapshot.list("").unwrap()[1].kind, Kind::Submodule);
}

#[test]
fn a_huge_file_is_refused_by_its_size_alone() {
    let repo = site();
    repo.write("sites/lab/model.bin", vec![0; 100 << 20]).commit("a model");
    let snapshot = open(&repo.at("", "main")).unwrap();
    let text = wrong(snapshot.folder("sites/lab"), code::source::TOO_LARGE);
    assert!(text.contains("104857600 bytes"), "{text}");
    assert!(snapshot.tree_id("sites/lab").unwrap().is_some());
}

#[test]
fn names_that_no_file_may_have_are_refused() {
    let repo = site();
    let file = repo.blob("x");
    let folder = repo.raw_tree(&[("100644", b"x", file)]);
    let hostile: [&[u8]; 8] = [b"..", b".", b".git", b".GIT", b"a/b", b"a\\b", b"a\nb", b"a\xff"];
    for name in hostile {
        for (mode, id) in [("100644", file), ("40000", folder)] {
            let tree = repo.raw_tree(&[(mode, name, id)]);
            repo.commit_tree("hostile", tree);
            let snapshot = open(&repo.at("", "main")).unwrap();
            wrong(snapshot.folder(""), code::source::HOSTILE_NAME);
            wrong(snapshot.list(""), code::source::HOSTILE_NAME);
        }
    }
    let tree = repo.raw_tree(&[("100644", b"A", file), ("100644", b"a", file)]);
    repo.commit_tree("clash", tree);
    wrong(open(&repo.at("", "main")).unwrap().folder(""), code::source::HOSTILE_NAME);
}

#[test]
fn trees_that_explode_are_bounded() {
    let repo = site();
    // Ten levels of ten equal folders: 10^10 paths in eleven objects, and not one file.
    let mut tree = repo.raw_tree(&[]);
    for _ in 0..10 {
        let names: Vec<Vec<u8>> = (0..10).map(|n| format!("d{n}").into_bytes()).collect();
        let entries: Vec<_> = names.iter().map(|name| ("40000", &name[..], tree)).collect();
        tree = repo.raw_tree(&entries);
    }
    repo.commit_tree("bomb", tree);
    wrong(open(&repo.at("", "main")).unwrap().folder(""), code::source::TOO_LARGE);

    let mut tree = repo.raw_tree(&[("100644", b"x", repo.blob("x"))]);
    for _ in 0..100 {
        tree = repo.raw_tree(&[("40000", b"d", tree)]);
    }
    repo.commit_tree("deep", tree);
    let snapshot = open(&repo.at("", "main")).unwrap();
    wrong(snapshot.folder(""), code::source::TOO_LARGE);
    wrong(snapshot.file(&["d"; 100].join("/")), code::source::TOO_LARGE);
}

#[test]
fn a_missing_object_is_a_damaged_repository() {
    let repo = site();
    let lost = "0123456789012345678901234567890123456789".parse().unwrap();
    let tree = repo.raw_tree(&[("100644", b"lost", lost), ("40000", b"tree", lost)]);
    repo.commit_tree("lost", tree);
    let snapshot = open(&repo.at("", "main")).unwrap();
    wrong(snapshot.file("lost"), code::source::BROKEN_REPOSITORY);
    wrong(snapshot.folder("tree"), code::source::BROKEN_REPOSITORY);
}

#[test]
fn a_bare_repository_is_read_too() {
    let repo = site();
    let bare = tempfile::tempdir().unwrap();
    let target = bare.path().join("site.git");
    repo.git(&["clone", "-q", "--bare", ".", target.to_str().unwrap()]);
    let at = format!("{}//sites/lab@main", target.display());
    assert!(open(&at).unwrap().file("sites/lab/site.yaml").is_ok());
}
