//! Folders of files as values: what a stage may read, already read.

use std::{collections::BTreeMap, sync::Arc};

use crate::digest::Digest;

/// The content of one folder, read once from git or from a working tree; bounded by whoever read it.
#[derive(Clone, Default)]
pub struct Files {
    /// What to call the folder in messages, for example `sites/lab-gpu`.
    pub label: String,
    /// The files by path relative to the folder, `/` between parts.
    pub entries: BTreeMap<String, Arc<[u8]>>,
}

impl Files {
    /// Returns the file at `path`.
    pub fn get(&self, path: &str) -> Option<&Arc<[u8]>> {
        self.entries.get(path)
    }

    /// Returns `path` as messages should name it.
    pub fn display(&self, path: &str) -> String {
        if self.label.is_empty() { path.to_owned() } else { format!("{}/{path}", self.label) }
    }

    /// Returns the digest of all paths and contents: equal folders have equal digests, however they were packed.
    pub fn digest(&self) -> Digest {
        let parts = self.entries.iter().flat_map(|(path, bytes)| [path.as_bytes(), bytes]);
        Digest::of_parts(parts)
    }
}

impl std::fmt::Debug for Files {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Files({}, {} files)", self.label, self.entries.len())
    }
}
