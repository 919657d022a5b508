//! In which files a working tree differs from its commit.

use std::{
    fmt, fs,
    io::{self, Read as _},
    path::Path,
};

use git2::{Status, StatusOptions};
use sha2::{Digest as _, Sha256};
use sitewright_model::{digest::Digest, terminal};

use super::{WorkTree, WorkTreeError};
use crate::resolve::annex;

/// Bytes of a file that are read at once.
const STEP: usize = 1024 * 1024;

/// A file that is not as it is in the commit.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Difference {
    /// From the top of the tree.
    pub path: String,
    /// In which way.
    pub how: How,
}

/// In which way a file differs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum How {
    /// Its content or mode is another.
    Changed,
    /// It is not in the commit, but about to be.
    Added,
    /// It is in the commit alone.
    Deleted,
    /// It is not in the commit, and git was not told to leave it out.
    Untracked,
}

impl fmt::Display for Difference {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let how = match self.how {
            How::Changed => "changed",
            How::Added => "added",
            How::Deleted => "deleted",
            How::Untracked => "not in git",
        };
        write!(f, "{} ({how})", terminal::clean(&self.path))
    }
}

impl WorkTree {
    /// Returns the files that are not as they are in the commit; those that git does not know only where `all`.
    ///
    /// # Errors
    /// The tree cannot be read.
    pub fn differences(&self, all: bool) -> Result<Vec<Difference>, WorkTreeError> {
        let mut options = StatusOptions::new();
        options.include_untracked(all).recurse_untracked_dirs(true).include_ignored(false);
        // nobody's index is written: the tree may be another's
        options.update_index(false).no_refresh(false);
        let statuses = self.repository.statuses(Some(&mut options))?;
        let mut found = Vec::new();
        for entry in statuses.iter() {
            let path = String::from_utf8_lossy(entry.path_bytes()).into_owned();
            let Some(how) = how(entry.status()) else { continue };
            if how == How::Changed && self.is_behind_pointer(&path) {
                continue;
            }
            found.push(Difference { path, how });
        }
        Ok(found)
    }

    /// Returns whether the file holds just the content that the pointer in the commit names.
    ///
    /// Git LFS and git-annex put the content in the place of the pointer by filters, which are programs: libgit2 runs
    /// none, and takes the file for changed.
    fn is_behind_pointer(&self, path: &str) -> bool {
        let Some(pointer) = self.committed(path) else { return false };
        let wanted = match annex::lfs_pointer(&pointer) {
            Some(pointer) => Some(pointer.digest),
            None => annex::key_of_pointer(&pointer).and_then(|key| digest_of_key(&key)),
        };
        let file = self.top.join(path);
        let is_file = fs::symlink_metadata(&file).is_ok_and(|metadata| metadata.is_file());
        is_file && wanted.is_some_and(|wanted| digest(&file).is_ok_and(|digest| digest == wanted))
    }

    /// Returns the content of a file in the commit.
    pub(super) fn committed(&self, path: &str) -> Option<Vec<u8>> {
        let tree = self.repository.head().ok()?.peel_to_tree().ok()?;
        let entry = tree.get_path(Path::new(path)).ok()?;
        let blob = entry.to_object(&self.repository).ok()?.peel_to_blob().ok()?;
        Some(blob.content().to_owned())
    }
}

fn how(status: Status) -> Option<How> {
    let any = |of: Status| status.intersects(of);
    if any(Status::WT_DELETED | Status::INDEX_DELETED) {
        // also where it is there again, and nothing is as it was
        return Some(if any(Status::WT_NEW) { How::Changed } else { How::Deleted });
    }
    if any(Status::WT_NEW) {
        return Some(How::Untracked);
    }
    if any(Status::INDEX_NEW) {
        return Some(How::Added);
    }
    any(!(Status::CURRENT | Status::IGNORED)).then_some(How::Changed)
}

/// Returns the digest in a key of git-annex: `SHA256-s5--HEX`, `SHA256E-s5--HEX.dat`.
fn digest_of_key(key: &str) -> Option<Digest> {
    let (fields, name) = key.split_once("--")?;
    let backend = fields.split('-').next()?;
    let hex = matches!(backend, "SHA256" | "SHA256E").then(|| name.get(..64))??;
    format!("sha256:{hex}").parse().ok()
}

fn digest(path: &Path) -> io::Result<Digest> {
    let mut file = fs::File::open(path)?;
    let (mut hasher, mut buffer) = (Sha256::new(), vec![0; STEP]);
    loop {
        match file.read(&mut buffer)? {
            0 => return Ok(Digest::from_bytes(hasher.finalize().into())),
            count => hasher.update(buffer.get(..count).unwrap_or_default()),
        }
    }
}
