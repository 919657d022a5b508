//! A working tree, read as git would commit it.

use std::{
    fs,
    io::{self, Read as _},
    path::{Path, PathBuf},
    sync::{
        Mutex, MutexGuard, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
};

use git2::{ErrorCode, ObjectType, Oid, Repository};

use super::{
    Kind, SnapshotError,
    entry::{Node, Store},
    tree::not_opened,
};
use crate::url::Url;

/// Where blueprints are by default; what tells the top of a tree that is in no repository.
const BLUEPRINTS: &str = "blueprints";

/// A folder on disk and the repository around it, if there is one.
pub(crate) struct WorkingTree {
    top: PathBuf,
    git: Option<Git>,
    dirty: AtomicBool,
}

/// The repository around a working tree.
struct Git {
    /// libgit2 lets one thread at a time use a repository.
    repository: Mutex<Repository>,
    commit: Option<Oid>,
    /// The tree of the commit.
    tree: Option<Oid>,
}

impl WorkingTree {
    /// Finds the repository around `folder`; returns the path of `folder` in it too.
    ///
    /// Outside any repository the top is the nearest folder above that holds `blueprints`, else `folder`.
    pub(super) fn open(folder: &Path) -> Result<(Self, String), SnapshotError> {
        let name = folder.display().to_string();
        let folder = match folder.canonicalize() {
            Ok(folder) => folder,
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                return Err(SnapshotError::NoFolder(name));
            }
            Err(source) => return Err(SnapshotError::Unreadable { path: name, source }),
        };
        if !folder.is_dir() {
            return Err(SnapshotError::NotAFolder(name));
        }
        let (top, git) = match Repository::discover(&folder) {
            Ok(repository) => {
                let (top, git) = Git::open(repository, &name)?;
                (top, Some(git))
            }
            Err(error) if error.code() == ErrorCode::NotFound => (top_without_git(&folder), None),
            Err(error) => return Err(not_opened(name, error)),
        };
        let path = folder.strip_prefix(&top).unwrap_or(Path::new(""));
        let path = path.to_str().ok_or_else(|| not_utf8(&name, path))?.to_owned();
        Ok((Self { top, git, dirty: AtomicBool::new(false) }, path))
    }

    pub(super) fn top(&self) -> &Path {
        &self.top
    }

    pub(super) fn commit(&self) -> Option<String> {
        self.git.as_ref()?.commit.map(|commit| commit.to_string())
    }

    /// Returns the address of the remote `origin`, else the folder.
    pub(super) fn label(&self) -> String {
        let origin = self.git.as_ref().and_then(Git::origin);
        origin.unwrap_or_else(|| self.top.display().to_string())
    }

    pub(super) fn is_dirty(&self) -> bool {
        self.dirty.load(Ordering::Relaxed)
    }

    /// Returns whether it is dirty so far, and forgets it.
    pub(super) fn take_dirty(&self) -> bool {
        self.dirty.swap(false, Ordering::Relaxed)
    }

    pub(super) fn note_dirty(&self, is_dirty: bool) {
        self.dirty.fetch_or(is_dirty, Ordering::Relaxed);
    }

    /// Marks the tree dirty if the commit holds other content at `path`.
    fn compare(&self, path: &str, content: &[u8]) {
        if let Some(git) = &self.git {
            self.note_dirty(git.differs(path, content));
        }
    }

    /// Returns what a name on disk stands for; none if git would not commit it.
    fn node(&self, path: &str, disk: PathBuf) -> Result<Option<Node<PathBuf>>, SnapshotError> {
        let metadata = match fs::symlink_metadata(&disk) {
            Ok(metadata) => metadata,
            Err(error) if is_absent(&error) => return Ok(None),
            Err(source) => return Err(unreadable(path, source)),
        };
        let kind = match metadata.file_type() {
            kind if kind.is_symlink() => Kind::Link,
            kind if kind.is_file() => Kind::File,
            kind if kind.is_dir() && self.git.is_some() && disk.join(".git").exists() => {
                Kind::Submodule
            }
            kind if kind.is_dir() => Kind::Folder,
            _ => Kind::Special,
        };
        if self.git.as_ref().is_some_and(|git| git.leaves_out(path, kind)) {
            return Ok(None);
        }
        let name = path.rsplit('/').next().unwrap_or_default().to_owned();
        Ok(Some(Node { name, kind, at: disk }))
    }
}

impl Store for WorkingTree {
    type At = PathBuf;

    fn top(&self) -> PathBuf {
        self.top.clone()
    }

    fn entries(&self, folder: &PathBuf, path: &str) -> Result<Vec<Node<PathBuf>>, SnapshotError> {
        let mut nodes = Vec::new();
        for entry in fs::read_dir(folder).map_err(|source| unreadable(path, source))? {
            let entry = entry.map_err(|source| unreadable(path, source))?;
            let name = entry.file_name();
            let name = name.to_str().ok_or_else(|| not_utf8(path, Path::new(&name)))?;
            if path.is_empty() && name == ".git" {
                continue;
            }
            let here = if path.is_empty() { name.to_owned() } else { format!("{path}/{name}") };
            nodes.extend(self.node(&here, entry.path())?);
        }
        nodes.sort_by(|a, b| a.name.cmp(&b.name));
        if let Some(git) = &self.git {
            let names: Vec<&str> = nodes.iter().map(|node| node.name.as_str()).collect();
            self.note_dirty(git.lacks_any(path, &names));
        }
        Ok(nodes)
    }

    fn entry(
        &self,
        folder: &PathBuf,
        path: &str,
        name: &str,
    ) -> Result<Option<Node<PathBuf>>, SnapshotError> {
        let here = if path.is_empty() { name.to_owned() } else { format!("{path}/{name}") };
        let node = self.node(&here, folder.join(name))?;
        if let (None, Some(git)) = (&node, &self.git) {
            self.note_dirty(git.committed(&here).is_some());
        }
        Ok(node)
    }

    fn is_ignored(&self, path: &str) -> bool {
        self.git.is_some() && fs::symlink_metadata(self.top.join(path)).is_ok()
    }

    fn size(&self, file: &PathBuf, path: &str) -> Result<u64, SnapshotError> {
        let metadata = fs::symlink_metadata(file).map_err(|source| unreadable(path, source))?;
        Ok(metadata.len())
    }

    fn content(&self, file: &PathBuf, path: &str, limit: u64) -> Result<Vec<u8>, SnapshotError> {
        let mut content = Vec::new();
        fs::File::open(file)
            .and_then(|open| open.take(limit.saturating_add(1)).read_to_end(&mut content))
            .map_err(|source| unreadable(path, source))?;
        if content.len() as u64 > limit {
            // It grew after its size was asked.
            let (path, bytes) = (path.to_owned(), content.len() as u64);
            return Err(SnapshotError::FileTooLarge { path, bytes, limit });
        }
        self.compare(path, &content);
        Ok(content)
    }

    fn target(&self, link: &PathBuf, path: &str, _limit: u64) -> Result<Vec<u8>, SnapshotError> {
        let target = fs::read_link(link).map_err(|source| unreadable(path, source))?;
        let target = target.into_os_string().into_encoded_bytes();
        self.compare(path, &target);
        Ok(target)
    }
}

impl Git {
    fn open(repository: Repository, name: &str) -> Result<(PathBuf, Self), SnapshotError> {
        let broken = |source| SnapshotError::Broken { path: name.to_owned(), source };
        let top = repository.workdir().ok_or_else(|| SnapshotError::Bare(name.to_owned()))?;
        let top = top
            .canonicalize()
            .map_err(|source| SnapshotError::Unreadable { path: name.to_owned(), source })?;
        let (commit, tree) = match repository.head() {
            Ok(head) => {
                let commit = head.peel_to_commit().map_err(broken)?;
                (Some(commit.id()), Some(commit.tree_id()))
            }
            Err(error) if matches!(error.code(), ErrorCode::UnbornBranch | ErrorCode::NotFound) => {
                (None, None)
            }
            Err(error) => return Err(broken(error)),
        };
        Ok((top, Self { repository: Mutex::new(repository), commit, tree }))
    }

    fn lock(&self) -> MutexGuard<'_, Repository> {
        // A panic while the lock was held cannot have changed anything: reads alone happen here.
        self.repository.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn origin(&self) -> Option<String> {
        let repository = self.lock();
        let remote = repository.find_remote("origin").ok()?;
        let url = remote.url().ok()?;
        Some(Url::parse(url).map_or_else(|_| crate::url::public(url), |url| url.public()))
    }

    /// Returns id and kind of what the commit holds at `path`.
    fn committed(&self, path: &str) -> Option<(Oid, Option<ObjectType>)> {
        let repository = self.lock();
        let tree = repository.find_tree(self.tree?).ok()?;
        let entry = tree.get_path(Path::new(path)).ok()?;
        Some((entry.id(), entry.kind()))
    }

    /// Returns whether the commit holds something else at `path`, or nothing.
    fn differs(&self, path: &str, content: &[u8]) -> bool {
        let Some((committed, _)) = self.committed(path) else { return true };
        if Oid::hash_object(ObjectType::Blob, content).is_ok_and(|id| id == committed) {
            return false;
        }
        // Line endings or filters may differ between disk and commit: git itself knows.
        !self.lock().status_file(Path::new(path)).is_ok_and(|status| status.is_empty())
    }

    /// Returns whether the commit holds a name in the folder at `path` that is not among `names`.
    fn lacks_any(&self, path: &str, names: &[&str]) -> bool {
        let root = match (self.tree, path) {
            (None, _) => return false,
            (Some(root), "") => root,
            (Some(_), _) => match self.committed(path) {
                Some((id, Some(ObjectType::Tree))) => id,
                _ => return false,
            },
        };
        let repository = self.lock();
        let Ok(tree) = repository.find_tree(root) else { return true };
        let lacks = |entry: git2::TreeEntry<'_>| {
            !entry.name().is_ok_and(|name| names.binary_search(&name).is_ok())
        };
        tree.iter().any(lacks)
    }

    /// Returns whether git would leave `path` out of a commit: ignored, and not in the index.
    fn leaves_out(&self, path: &str, kind: Kind) -> bool {
        let repository = self.lock();
        if !repository.is_path_ignored(path).unwrap_or(false) {
            return false;
        }
        let Ok(index) = repository.index() else { return true };
        match kind {
            Kind::Folder => index.find_prefix(format!("{path}/")).is_err(),
            _ => index.get_path(Path::new(path), 0).is_none(),
        }
    }
}

fn top_without_git(folder: &Path) -> PathBuf {
    let holds_blueprints = |above: &&Path| above.join(BLUEPRINTS).is_dir();
    folder.ancestors().find(holds_blueprints).unwrap_or(folder).to_owned()
}

fn unreadable(path: &str, source: io::Error) -> SnapshotError {
    let path = if path.is_empty() { "." } else { path };
    SnapshotError::Unreadable { path: path.to_owned(), source }
}

fn is_absent(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::NotADirectory)
}

fn not_utf8(folder: &str, name: &Path) -> SnapshotError {
    SnapshotError::Name {
        folder: if folder.is_empty() { "." } else { folder }.to_owned(),
        name: name.to_string_lossy().escape_debug().to_string(),
        problem: "is not UTF-8",
    }
}
