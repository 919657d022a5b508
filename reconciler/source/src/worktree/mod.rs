//! The working tree that a researcher stands in: at which commit, how it differs from that, and where others get it.
//!
//! Comes in: a folder. Goes out: the commit, the remote, the files that differ; a commit of these where that is asked
//! for; ids of the data that DVC, git-annex or Git LFS keeps beside the tree. Never: a change of a branch, of the index
//! or of a file; a login that is shown. Everything here blocks.

mod capture;
mod data;
mod differences;
mod error;

use std::path::{Path, PathBuf};

use git2::Repository;

pub use self::{
    capture::{Captured, reference},
    data::Data,
    differences::{Difference, How},
    error::WorkTreeError,
};
use crate::url::Url;

/// A working tree.
pub struct WorkTree {
    repository: Repository,
    top: PathBuf,
    /// Where the researcher stands, from the top.
    within: PathBuf,
}

/// A repository that others have too.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Remote {
    /// What the working tree calls it.
    pub name: String,
    /// Where it is.
    pub url: Url,
}

impl WorkTree {
    /// Finds the working tree around `folder`.
    ///
    /// # Errors
    /// There is none, or it cannot be read.
    pub fn around(folder: &Path) -> Result<Self, WorkTreeError> {
        let none = || WorkTreeError::NoRepository { folder: folder.display().to_string() };
        let folder = folder.canonicalize().map_err(|_| none())?;
        let repository = Repository::discover(&folder).map_err(|error| match error.code() {
            git2::ErrorCode::NotFound => none(),
            _ => WorkTreeError::Git(error),
        })?;
        let top = repository.workdir().ok_or_else(none)?;
        let top = top.canonicalize().map_err(|_| none())?;
        let within = folder.strip_prefix(&top).map(Path::to_owned).unwrap_or_default();
        Ok(Self { repository, top, within })
    }

    /// Returns the commit that is checked out.
    ///
    /// # Errors
    /// Nothing was committed yet.
    pub fn commit(&self) -> Result<String, WorkTreeError> {
        let head = self.repository.head().and_then(|head| head.peel_to_commit());
        head.map(|commit| commit.id().to_string()).map_err(|_| WorkTreeError::NoCommit)
    }

    /// Returns the remote `name`; else the one that the branch follows, `origin`, or the only one.
    ///
    /// # Errors
    /// There is none, several, or none of the name; or its address is none.
    pub fn remote(&self, name: Option<&str>) -> Result<Remote, WorkTreeError> {
        let all = self.repository.remotes()?;
        let known: Vec<String> = all.iter().flatten().flatten().map(str::to_owned).collect();
        let is_known = |name: &String| known.contains(name);
        let name = match (name, known.as_slice()) {
            (Some(name), _) => Some(name.to_owned()).filter(is_known),
            (None, [only]) => Some(only.clone()),
            (None, _) => self
                .followed()
                .filter(is_known)
                .or_else(|| Some("origin".to_owned()).filter(is_known)),
        };
        let Some(name) = name else { return Err(WorkTreeError::NoRemote { known }) };
        let remote = self.repository.find_remote(&name)?;
        let text = remote.url().unwrap_or_default();
        // a path is one of this machine, relative to the top
        let text = match text.contains("://") || Url::parse(text).is_ok() {
            true => text.to_owned(),
            false => format!("file://{}", self.top.join(text).display()),
        };
        let url = Url::parse(&text);
        let url = url.map_err(|why| WorkTreeError::BadRemote { name: name.clone(), why })?;
        Ok(Remote { name, url })
    }

    /// Returns the remote that the branch follows.
    fn followed(&self) -> Option<String> {
        let head = self.repository.head().ok()?;
        let remote = self.repository.branch_upstream_remote(head.name().ok()?).ok()?;
        remote.as_str().ok().map(str::to_owned)
    }

    /// Returns what `path`, from where the researcher stands, is called from the top; none where it leads out of it.
    pub fn from_top(&self, path: &str) -> Option<String> {
        let mut parts: Vec<String> = Vec::new();
        let whole = match Path::new(path).strip_prefix(&self.top) {
            Ok(within) => within.to_owned(),
            Err(_) if path.starts_with('/') => return None,
            Err(_) => self.within.join(path),
        };
        for part in whole.components() {
            match part {
                std::path::Component::CurDir => {}
                std::path::Component::Normal(name) => parts.push(name.to_str()?.to_owned()),
                _ => {
                    parts.pop()?;
                }
            }
        }
        Some(parts.join("/"))
    }
}
