//! A commit, read from the object database.

use std::{
    collections::{BTreeMap, HashMap},
    path::Path,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use git2::{ObjectType, Oid, Repository};

use super::{
    Kind, SnapshotError,
    entry::{Node, Store},
};
use crate::{
    git::{InUse, Mirrored, refs},
    location::Reference,
};

/// Bytes of one tree object: some 200,000 names. libgit2 takes a tree apart as a whole, so this is asked first.
pub(crate) const TREE_BYTES: usize = 8 * 1024 * 1024;

/// File modes that git writes in trees.
const MODE_LINK: i32 = 0o120_000;
const MODE_SUBMODULE: i32 = 0o160_000;

/// Names of folders that are kept in memory, all together; some 100 bytes each. A repository of 1,000
/// sites has 1,000 names in the folder that every look-up goes through.
const KEPT_NAMES: usize = 200_000;

/// What a folder holds, by name.
type Listing = Arc<BTreeMap<String, Node<Oid>>>;

/// Folders that were looked into.
#[derive(Default)]
struct Listings {
    by_id: HashMap<Oid, Listing>,
    names: usize,
}

impl Listings {
    /// Keeps a listing; forgets all others where they are too many.
    fn keep(&mut self, folder: Oid, listing: &Listing) {
        if self.names + listing.len() > KEPT_NAMES {
            *self = Self::default();
        }
        self.names += listing.len();
        self.by_id.insert(folder, Arc::clone(listing));
    }
}

/// The tree of one commit.
pub(crate) struct GitTree {
    /// libgit2 lets one thread at a time use a repository.
    repository: Mutex<Repository>,
    label: String,
    reference: Option<String>,
    commit: Oid,
    root: Oid,
    /// Folders that were looked into: libgit2 keeps small ones alone.
    listings: Mutex<Listings>,
    /// Keeps the mirror that this is read from; none for a repository of the user.
    _in_use: Option<InUse>,
}

impl GitTree {
    /// Opens a repository on disk, which people know as `label`, at `reference`.
    pub(super) fn open_local(
        folder: &Path,
        label: String,
        reference: &Reference,
    ) -> Result<Self, SnapshotError> {
        let path = folder.display().to_string();
        let repository = Repository::open(folder).map_err(|error| not_opened(path, error))?;
        let commit = refs::resolve_local(&repository, &label, reference)?;
        Self::at_commit(repository, label, reference, commit, None)
    }

    /// Opens a mirror of the repository that people know as `label`.
    pub(super) fn open_mirror(
        mirrored: Mirrored,
        label: String,
        reference: &Reference,
    ) -> Result<Self, SnapshotError> {
        let Mirrored { repository, commit, in_use } = mirrored;
        Self::at_commit(repository, label, reference, commit, Some(in_use))
    }

    /// Makes a snapshot of a tree without a commit, for the fuzz targets.
    pub(crate) fn of_root(repository: Repository, root: Oid) -> Self {
        let (repository, label) = (Mutex::new(repository), String::new());
        let listings = Mutex::default();
        Self { repository, label, reference: None, commit: root, root, listings, _in_use: None }
    }

    fn at_commit(
        repository: Repository,
        label: String,
        reference: &Reference,
        commit: Oid,
        in_use: Option<InUse>,
    ) -> Result<Self, SnapshotError> {
        let root = repository
            .find_commit(commit)
            .map(|found| found.tree_id())
            .map_err(|source| SnapshotError::Broken { path: commit.to_string(), source })?;
        let reference = reference.text().map(str::to_owned);
        let repository = Mutex::new(repository);
        let listings = Mutex::default();
        Ok(Self { repository, label, reference, commit, root, listings, _in_use: in_use })
    }

    pub(super) fn label(&self) -> String {
        self.label.clone()
    }

    pub(super) fn reference(&self) -> Option<String> {
        self.reference.clone()
    }

    pub(super) fn commit(&self) -> String {
        self.commit.to_string()
    }

    fn lock(&self) -> MutexGuard<'_, Repository> {
        // A panic while the lock was held cannot have changed anything: reads alone happen here.
        self.repository.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Returns what a folder holds.
    fn listing(&self, folder: Oid, path: &str) -> Result<Listing, SnapshotError> {
        let mut listings = self.listings.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(known) = listings.by_id.get(&folder) {
            return Ok(known.clone());
        }
        let repository = self.lock();
        let tree = find_tree(&repository, folder, path)?;
        let mut listing = BTreeMap::new();
        for entry in &tree {
            let node = node(&entry);
            if let Some(twice) = listing.insert(node.name.clone(), node) {
                return Err(twice_in(path, &twice.name));
            }
        }
        let listing = Arc::new(listing);
        listings.keep(folder, &listing);
        Ok(listing)
    }

    /// Returns an object of at most `limit` bytes whose size was asked before it was loaded.
    fn blob(&self, id: Oid, path: &str, limit: u64) -> Result<Vec<u8>, SnapshotError> {
        let bytes = self.size(&id, path)?;
        if bytes > limit {
            return Err(SnapshotError::FileTooLarge { path: path.to_owned(), bytes, limit });
        }
        let repository = self.lock();
        let blob = repository.find_blob(id).map_err(|source| broken(path, source))?;
        Ok(blob.content().to_vec())
    }
}

impl Store for GitTree {
    type At = Oid;

    fn top(&self) -> Oid {
        self.root
    }

    fn entries(&self, folder: &Oid, path: &str) -> Result<Vec<Node<Oid>>, SnapshotError> {
        Ok(self.listing(*folder, path)?.values().cloned().collect())
    }

    fn entry(
        &self,
        folder: &Oid,
        path: &str,
        name: &str,
    ) -> Result<Option<Node<Oid>>, SnapshotError> {
        Ok(self.listing(*folder, path)?.get(name).cloned())
    }

    fn is_ignored(&self, _path: &str) -> bool {
        false
    }

    fn size(&self, file: &Oid, path: &str) -> Result<u64, SnapshotError> {
        header(&self.lock(), *file, path).map(|(bytes, _)| bytes as u64)
    }

    fn content(&self, file: &Oid, path: &str, limit: u64) -> Result<Vec<u8>, SnapshotError> {
        self.blob(*file, path, limit)
    }

    fn target(&self, link: &Oid, path: &str, limit: u64) -> Result<Vec<u8>, SnapshotError> {
        self.blob(*link, path, limit)
    }
}

/// Names that are equal once they are text: git would never write such a tree.
fn twice_in(path: &str, name: &str) -> SnapshotError {
    let folder = if path.is_empty() { "." } else { path }.to_owned();
    let name = name.escape_debug().to_string();
    SnapshotError::Name { folder, name, problem: "is there twice" }
}

fn broken(path: &str, source: git2::Error) -> SnapshotError {
    let path = if path.is_empty() { "." } else { path };
    SnapshotError::Broken { path: path.to_owned(), source }
}

pub(super) fn not_opened(path: String, source: git2::Error) -> SnapshotError {
    match source.code() {
        git2::ErrorCode::Owner => SnapshotError::ForeignOwner(path),
        _ => SnapshotError::NotARepository { path, source },
    }
}

/// Returns size and kind of an object without loading it.
fn header(
    repository: &Repository,
    id: Oid,
    path: &str,
) -> Result<(usize, ObjectType), SnapshotError> {
    repository.odb().and_then(|odb| odb.read_header(id)).map_err(|source| broken(path, source))
}

fn find_tree<'repo>(
    repository: &'repo Repository,
    id: Oid,
    path: &str,
) -> Result<git2::Tree<'repo>, SnapshotError> {
    let (bytes, _) = header(repository, id, path)?;
    if bytes > TREE_BYTES {
        let limit = TREE_BYTES as u64;
        let path = path.to_owned();
        return Err(SnapshotError::FolderTooLarge { path, limit, what: "bytes of names" });
    }
    repository.find_tree(id).map_err(|source| broken(path, source))
}

fn node(entry: &git2::TreeEntry<'_>) -> Node<Oid> {
    let kind = match (entry.kind(), entry.filemode_raw()) {
        (_, MODE_SUBMODULE) => Kind::Submodule,
        (_, MODE_LINK) => Kind::Link,
        (Some(ObjectType::Tree), _) => Kind::Folder,
        _ => Kind::File,
    };
    Node { name: String::from_utf8_lossy(entry.name_bytes()).into_owned(), kind, at: entry.id() }
}
