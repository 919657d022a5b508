//! What a folder holds.

use super::SnapshotError;

/// What a name in a folder stands for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// A folder.
    Folder,
    /// A file.
    File,
    /// A symbolic link.
    Link,
    /// Another repository.
    Submodule,
    /// A device, socket or pipe.
    Special,
}

impl Kind {
    /// Returns the kind in words.
    pub(super) fn words(self) -> &'static str {
        match self {
            Self::Folder => "a folder",
            Self::File => "a file",
            Self::Link => "a symbolic link",
            Self::Submodule => "a submodule",
            Self::Special => "a device, socket or pipe",
        }
    }
}

/// One name in a folder.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entry {
    /// The name.
    pub name: String,
    /// What it stands for; for a symbolic link, what that leads to.
    pub kind: Kind,
}

/// One name in a folder, and where to read it.
#[derive(Clone, Debug)]
pub(super) struct Node<At> {
    pub(super) name: String,
    pub(super) kind: Kind,
    pub(super) at: At,
}

/// What snapshots are read from. Paths are resolved ones, for messages: no links on the way.
pub(super) trait Store {
    /// Where to read one folder, file or link.
    type At: Clone;

    /// Returns the top folder.
    fn top(&self) -> Self::At;

    /// Returns what a folder holds.
    fn entries(&self, folder: &Self::At, path: &str) -> Result<Vec<Node<Self::At>>, SnapshotError>;

    /// Returns one name in a folder.
    fn entry(
        &self,
        folder: &Self::At,
        path: &str,
        name: &str,
    ) -> Result<Option<Node<Self::At>>, SnapshotError>;

    /// Returns whether something is on disk at `path`, but kept out of the repository by `.gitignore`.
    fn is_ignored(&self, path: &str) -> bool;

    /// Returns the size of a file without reading it.
    fn size(&self, file: &Self::At, path: &str) -> Result<u64, SnapshotError>;

    /// Returns the content of a file of at most `limit` bytes.
    fn content(&self, file: &Self::At, path: &str, limit: u64) -> Result<Vec<u8>, SnapshotError>;

    /// Returns what a symbolic link says, of at most `limit` bytes.
    fn target(&self, link: &Self::At, path: &str, limit: u64) -> Result<Vec<u8>, SnapshotError>;
}
