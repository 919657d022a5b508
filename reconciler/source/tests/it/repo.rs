//! Repositories for tests, made by git2 so that they can be as odd as git allows.

use std::{fs, path::Path, process::Command};

use git2::{ObjectType, Oid, Repository, Signature, Time};

/// A repository in a temporary folder.
pub(crate) struct Repo {
    pub(crate) dir: tempfile::TempDir,
    pub(crate) git: Repository,
}

/// One raw entry of a tree: mode, name, id. Nothing is checked.
pub(crate) type Raw<'a> = (&'a str, &'a [u8], Oid);

impl Repo {
    pub(crate) fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let mut options = git2::RepositoryInitOptions::new();
        let git = Repository::init_opts(dir.path(), options.initial_head("main")).unwrap();
        Self { dir, git }
    }

    pub(crate) fn path(&self) -> &Path {
        self.dir.path()
    }

    pub(crate) fn write(&self, path: &str, content: impl AsRef<[u8]>) -> &Self {
        let path = self.path().join(path);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, content).unwrap();
        self
    }

    pub(crate) fn link(&self, path: &str, target: &str) -> &Self {
        let path = self.path().join(path);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::os::unix::fs::symlink(target, path).unwrap();
        self
    }

    /// Commits everything on disk to the current branch.
    pub(crate) fn commit(&self, message: &str) -> Oid {
        let mut index = self.git.index().unwrap();
        index.add_all(["*"], git2::IndexAddOption::DEFAULT, None).unwrap();
        index.update_all(["*"], None).unwrap();
        index.write().unwrap();
        let tree = index.write_tree().unwrap();
        self.commit_tree(message, tree)
    }

    /// Commits `tree` to the current branch.
    pub(crate) fn commit_tree(&self, message: &str, tree: Oid) -> Oid {
        let tree = self.git.find_tree(tree).unwrap();
        let who = Signature::new("Ann", "ann@example.edu", &Time::new(1_700_000_000, 0)).unwrap();
        let parent = self.git.head().ok().map(|head| head.peel_to_commit().unwrap());
        let parents: Vec<_> = parent.iter().collect();
        self.git.commit(Some("HEAD"), &who, &who, message, &tree, &parents).unwrap()
    }

    pub(crate) fn blob(&self, content: impl AsRef<[u8]>) -> Oid {
        self.git.blob(content.as_ref()).unwrap()
    }

    /// Writes a tree byte by byte, so that it may hold what git itself would refuse.
    pub(crate) fn raw_tree(&self, entries: &[Raw]) -> Oid {
        let mut bytes = Vec::new();
        for (mode, name, id) in entries {
            bytes.extend_from_slice(mode.as_bytes());
            bytes.push(b' ');
            bytes.extend_from_slice(name);
            bytes.push(0);
            bytes.extend_from_slice(id.as_bytes());
        }
        self.git.odb().unwrap().write(ObjectType::Tree, &bytes).unwrap()
    }

    pub(crate) fn tag(&self, name: &str, commit: Oid) {
        let object = self.git.find_object(commit, None).unwrap();
        self.git.tag_lightweight(name, &object, false).unwrap();
    }

    pub(crate) fn annotated_tag(&self, name: &str, commit: Oid) {
        let object = self.git.find_object(commit, None).unwrap();
        let who = Signature::new("Ann", "ann@example.edu", &Time::new(1_700_000_000, 0)).unwrap();
        self.git.tag(name, &object, &who, "a release", false).unwrap();
    }

    /// Runs the git program in the repository.
    pub(crate) fn git(&self, arguments: &[&str]) -> String {
        let output = Command::new("git").args(arguments).current_dir(self.path()).output().unwrap();
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        String::from_utf8(output.stdout).unwrap()
    }

    /// Returns the location of `path` at `reference` of this repository.
    pub(crate) fn at(&self, path: &str, reference: &str) -> String {
        format!("file://{}//{path}@{reference}", self.path().display())
    }
}
