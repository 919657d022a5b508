//! The lock: written, checked, renewed.

use std::{fs, path::Path};

use crate::desk::Desk;

/// Commits everything in `folder` on the branch `main`; the same content gives the same commit.
fn commit(folder: &Path) {
    let repository = git2::Repository::open(folder).unwrap_or_else(|_| {
        let mut options = git2::RepositoryInitOptions::new();
        git2::Repository::init_opts(folder, options.initial_head("main")).unwrap()
    });
    let mut index = repository.index().unwrap();
    index.add_all(["*"], git2::IndexAddOption::DEFAULT, None).unwrap();
    index.write().unwrap();
    let tree = repository.find_tree(index.write_tree().unwrap()).unwrap();
    let author = git2::Signature::new("Ada", "ada@example.edu", &git2::Time::new(0, 0)).unwrap();
    let parent = repository.head().ok().map(|head| head.peel_to_commit().unwrap());
    let parents: Vec<_> = parent.iter().collect();
    repository.commit(Some("HEAD"), &author, &author, "a commit", &tree, &parents).unwrap();
}

/// A desk with a site whose blueprints come from a git repository beside it.
fn desk() -> Desk {
    let desk = Desk::new();
    assert!(desk.run(&["init", "lab"]).status.success());
    fs::rename(desk.path().join("lab/blueprints"), desk.path().join("library")).unwrap();
    let folder = desk.path().join("library/team-space");
    for file in ["blueprint.yaml", "values.schema.json"] {
        assert!(folder.join(file).is_file(), "{file}");
    }
    commit(&desk.path().join("library"));
    let site = desk.path().join("lab/sites/lab/site.yaml");
    let text = fs::read_to_string(&site).unwrap();
    let library = format!(
        "spec:\n  blueprints: [{{ git: \"file://{}/library\", ref: main }}]\n",
        desk.path().display()
    );
    fs::write(&site, text.replace("spec:\n", &library)).unwrap();
    desk
}

#[test]
fn a_site_is_locked_once_and_again_when_its_library_moves() {
    let desk = desk();
    let lock = || fs::read_to_string(desk.path().join("lab/sites/lab/site.lock")).ok();
    let check = ["lock", "lab/sites/lab", "--check"];
    assert_eq!(desk.run(&check).status.code(), Some(2), "not locked yet");
    assert_eq!(lock(), None, "a check writes nothing");
    insta::assert_snapshot!("unlocked", desk.told(&["validate", "lab/sites/lab"]));
    insta::assert_snapshot!("first", desk.told(&["lock", "lab/sites/lab"]));
    let first = lock().unwrap();
    insta::assert_snapshot!("up_to_date", desk.told(&check));
    assert_eq!(desk.run(&["validate", "lab/sites/lab"]).status.code(), Some(0));
    desk.write("library/README.md", "moved on");
    commit(&desk.path().join("library"));
    insta::assert_snapshot!("moved", desk.told(&check));
    assert_eq!(lock().unwrap(), first, "a check writes nothing");
    assert_eq!(desk.run(&["lock", "lab/sites/lab"]).status.code(), Some(0));
    assert_ne!(lock().unwrap(), first);
    assert_eq!(desk.run(&check).status.code(), Some(0));
}

#[test]
fn a_lock_is_not_written_into_a_commit() {
    let desk = desk();
    insta::assert_snapshot!(desk.told(&["lock", "lab//sites/lab@main"]));
}
