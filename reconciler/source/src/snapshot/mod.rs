//! One state of a repository, to read from: a commit, or a working tree as it is now.
//!
//! A commit is read from the object database, without a checkout. A working tree is read as git
//! would commit it: what `.gitignore` leaves out is not there. Paths are relative to the top of the
//! repository, with `/` between parts; a path never leaves it, whatever links say.

mod disk;
mod entry;
mod error;
mod tree;
mod walk;

use std::{path::Path, sync::Arc};

use sitewright_model::{diagnostic::Diagnostics, files::Files};

use self::disk::WorkingTree;
pub(crate) use self::tree::{GitTree, TREE_BYTES};
pub(crate) use self::walk::check_name;
pub use self::{
    entry::{Entry, Kind},
    error::SnapshotError,
};
use crate::{
    git,
    location::{Location, Reference, Repository},
    settings::{Limits, Settings},
};

/// One state of a repository, to read from.
pub struct Snapshot {
    source: Source,
    path: String,
    limits: Limits,
}

enum Source {
    Tree(Arc<GitTree>),
    Disk(WorkingTree),
}

/// Which state it is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Origin {
    /// The repository as people know it, without credentials.
    pub repository: String,
    /// The folder that was asked for, relative to the top of the repository; empty for the top.
    pub path: String,
    /// What was asked for: a branch, tag, range or commit; none for a working tree.
    pub reference: Option<String>,
    /// The commit id; none outside a repository or before the first commit.
    pub commit: Option<String>,
}

/// Whether the commit holds what was read as it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Committed {
    /// It does.
    Yes,
    /// It does not, or there is no commit.
    No,
}

impl Snapshot {
    /// Opens the state that `location` names: fetches what is not on this machine yet.
    pub fn open(location: &Location, settings: &Settings) -> Result<Self, Diagnostics> {
        let limits = settings.limits.clone();
        match location {
            Location::WorkingTree(folder) => {
                let (disk, path) = WorkingTree::open(folder)?;
                Ok(Self { source: Source::Disk(disk), path, limits })
            }
            Location::Git { repository, path, reference } => {
                let tree = open_tree(repository, reference, settings)?;
                Ok(Self { source: Source::Tree(Arc::new(tree)), path: path.clone(), limits })
            }
        }
    }

    /// Makes a snapshot of a tree that is at hand, for the fuzz targets.
    pub(crate) fn of_tree(tree: GitTree, limits: Limits) -> Self {
        Self { source: Source::Tree(Arc::new(tree)), path: String::new(), limits }
    }

    /// Returns the same state of the same repository, opened for another folder: nothing is fetched or opened anew,
    /// and both share what they know of folders. None for a working tree, which has no state to share.
    pub fn at(&self, path: &str) -> Option<Self> {
        match &self.source {
            Source::Tree(tree) => {
                let source = Source::Tree(Arc::clone(tree));
                Some(Self { source, path: path.to_owned(), limits: self.limits.clone() })
            }
            Source::Disk(_) => None,
        }
    }

    /// Returns which state it is.
    pub fn origin(&self) -> Origin {
        let (repository, reference, commit) = match &self.source {
            Source::Tree(tree) => (tree.label(), tree.reference(), Some(tree.commit())),
            Source::Disk(disk) => (disk.label(), None, disk.commit()),
        };
        Origin { repository, path: self.path.clone(), reference, commit }
    }

    /// Returns the folder that the location named, relative to the top of the repository; empty for the top.
    pub fn path(&self) -> &str {
        &self.path
    }

    /// Returns the top of the repository on disk, for a working tree.
    pub fn working_tree(&self) -> Option<&Path> {
        match &self.source {
            Source::Tree(_) => None,
            Source::Disk(disk) => Some(disk.top()),
        }
    }

    /// Returns whether anything that was read *so far* differs from the commit; ask after reading.
    pub fn is_dirty(&self) -> bool {
        match &self.source {
            Source::Tree(_) => false,
            Source::Disk(disk) => disk.is_dirty(),
        }
    }

    /// Reads something beside what the snapshot was opened for; whether that differs from the commit is told with it,
    /// and does not count for [`is_dirty`](Self::is_dirty).
    pub fn aside<T>(&mut self, read: impl FnOnce(&Self) -> T) -> (T, Committed) {
        let before = match &self.source {
            Source::Tree(_) => false,
            Source::Disk(disk) => disk.take_dirty(),
        };
        let found = read(self);
        let committed = match &self.source {
            Source::Tree(_) => Committed::Yes,
            Source::Disk(disk) => {
                let differs = disk.take_dirty();
                disk.note_dirty(before);
                if differs || disk.commit().is_none() { Committed::No } else { Committed::Yes }
            }
        };
        (found, committed)
    }

    /// Returns the id of the tree at `path`: equal ids, equal folders. None for a working tree.
    ///
    /// Reads the trees on the way and no file, so it is what to compare before reading a folder.
    /// A folder behind a symbolic link has the id of the folder that the link leads to.
    pub fn tree_id(&self, path: &str) -> Result<Option<String>, Diagnostics> {
        match &self.source {
            Source::Tree(tree) => {
                let found = walk::folder_at(&**tree, path, &self.limits)?;
                Ok(Some(found.at.to_string()))
            }
            Source::Disk(_) => Ok(None),
        }
    }

    /// Returns the id of what is at `path`, a file or a folder, with links followed: equal ids, equal content, but for
    /// links within a folder. None where there is nothing, and for a working tree.
    pub fn object_id(&self, path: &str) -> Result<Option<String>, Diagnostics> {
        let Source::Tree(tree) = &self.source else { return Ok(None) };
        match walk::find(&**tree, path, &self.limits) {
            Ok(found) => Ok(Some(found.at.to_string())),
            Err(SnapshotError::Missing { .. }) => Ok(None),
            Err(error) => Err(error.into()),
        }
    }

    /// Returns whether no link is on the way to `path`; also where there is nothing. False for a working tree.
    pub fn is_plain(&self, path: &str) -> bool {
        let Source::Tree(tree) = &self.source else { return false };
        match walk::find(&**tree, path, &self.limits) {
            Ok(found) => found.is_plain(path),
            Err(SnapshotError::Missing { .. }) => true,
            Err(_) => false,
        }
    }

    /// Returns whether there is anything at `path`.
    pub fn exists(&self, path: &str) -> Result<bool, Diagnostics> {
        let found = match &self.source {
            Source::Tree(tree) => walk::find(&**tree, path, &self.limits).map(drop),
            Source::Disk(disk) => walk::find(disk, path, &self.limits).map(drop),
        };
        match found {
            Ok(()) => Ok(true),
            Err(SnapshotError::Missing { .. }) => Ok(false),
            Err(error) => Err(error.into()),
        }
    }

    /// Returns whether there is a file at `path`, rather than a folder; an error if there is nothing.
    pub fn is_file(&self, path: &str) -> Result<bool, Diagnostics> {
        let kind = match &self.source {
            Source::Tree(tree) => walk::find(&**tree, path, &self.limits)?.kind,
            Source::Disk(disk) => walk::find(disk, path, &self.limits)?.kind,
        };
        Ok(kind == Kind::File)
    }

    /// Returns every file of the folder at `path`, and of the folders in it.
    pub fn folder(&self, path: &str) -> Result<Files, Diagnostics> {
        match &self.source {
            Source::Tree(tree) => Ok(walk::folder(&**tree, path, &self.limits)?),
            Source::Disk(disk) => Ok(walk::folder(disk, path, &self.limits)?),
        }
    }

    /// Returns the file at `path`.
    pub fn file(&self, path: &str) -> Result<Arc<[u8]>, Diagnostics> {
        match &self.source {
            Source::Tree(tree) => Ok(walk::file(&**tree, path, &self.limits)?),
            Source::Disk(disk) => Ok(walk::file(disk, path, &self.limits)?),
        }
    }

    /// Returns what the folder at `path` holds, in order of name. Links say what they lead to.
    pub fn list(&self, path: &str) -> Result<Vec<Entry>, Diagnostics> {
        match &self.source {
            Source::Tree(tree) => Ok(walk::list(&**tree, path, &self.limits)?),
            Source::Disk(disk) => Ok(walk::list(disk, path, &self.limits)?),
        }
    }
}

fn open_tree(
    repository: &Repository,
    reference: &Reference,
    settings: &Settings,
) -> Result<GitTree, Diagnostics> {
    let url = match repository {
        Repository::Local(folder) => {
            return Ok(GitTree::open_local(folder, repository.to_string(), reference)?);
        }
        Repository::Remote(url) => url,
    };
    let mirrored = settings.mirrored(url)?;
    match Repository::of_url(mirrored)? {
        Repository::Local(folder) => Ok(GitTree::open_local(&folder, url.to_string(), reference)?),
        Repository::Remote(mirror) => {
            let found = git::open(&mirror, reference, settings)?;
            Ok(GitTree::open_mirror(found, url.to_string(), reference)?)
        }
    }
}

impl std::fmt::Debug for Snapshot {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Snapshot({:?})", self.origin())
    }
}
