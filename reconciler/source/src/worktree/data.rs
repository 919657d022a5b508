//! Data that a tree names: by DVC, git-annex or Git LFS, or in git itself.

use std::path::Path;

use git2::{ObjectType, Repository, Tree};

use super::{WorkTree, WorkTreeError};
use crate::{
    git::MODE_LINK,
    resolve::{annex, dvc},
};

/// Bytes of a file of DVC that are read.
const DVC_BYTES: usize = 16 * 1024 * 1024;

/// What is at a path of a commit.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Data {
    /// It is kept elsewhere, under ids that cannot move: `dvc:md5:HEX`, `annex:KEY`.
    Kept(Vec<String>),
    /// It is kept by Git LFS, by this digest (`sha256:HEX`).
    Lfs(String),
    /// Git itself has it.
    InGit,
    /// The commit knows nothing of it.
    Unknown,
}

impl WorkTree {
    /// Returns what is at `path`, from the top, in a commit.
    ///
    /// # Errors
    /// The commit cannot be read.
    pub fn data(&self, commit: &str, path: &str) -> Result<Data, WorkTreeError> {
        let tree = self.repository.find_commit(commit.parse()?)?.tree()?;
        if let Some(kept) = pointer(&self.repository, &tree, path) {
            return Ok(kept);
        }
        let ids = of_dvc(&self.repository, &tree, path);
        if !ids.is_empty() {
            return Ok(Data::Kept(ids));
        }
        let is_there = path.is_empty() || tree.get_path(Path::new(path)).is_ok();
        Ok(if is_there { Data::InGit } else { Data::Unknown })
    }
}

fn pointer(repository: &Repository, tree: &Tree<'_>, path: &str) -> Option<Data> {
    let entry = tree.get_path(Path::new(path)).ok()?;
    let blob = entry.to_object(repository).ok()?.peel_to_blob().ok()?;
    let is_link = u32::try_from(entry.filemode()) == Ok(MODE_LINK);
    let key = match is_link {
        true => annex::key_of_link(blob.content()),
        false => annex::key_of_pointer(blob.content()),
    };
    if let Some(key) = key {
        return Some(Data::Kept(vec![format!("annex:{key}")]));
    }
    annex::lfs_pointer(blob.content()).map(|pointer| Data::Lfs(pointer.digest.to_string()))
}

/// Returns the ids that the files of DVC in the folders above have for `path`: of itself, of the folder that it is in, or
/// of what is in it.
fn of_dvc(repository: &Repository, tree: &Tree<'_>, path: &str) -> Vec<String> {
    let mut ids: Vec<(usize, String)> = Vec::new();
    let above = Path::new(path).ancestors().filter_map(Path::to_str);
    // a path that ends in `.dvc` names what that file is about
    let path = path.strip_suffix(".dvc").unwrap_or(path);
    for folder in above {
        for (name, text) in files_of_dvc(repository, tree, folder) {
            let at = if folder.is_empty() { name } else { format!("{folder}/{name}") };
            for item in dvc::read(&at, &text).unwrap_or_default() {
                if let Some(distance) = distance(path, &item.path) {
                    ids.push((distance, format!("dvc:{}", item.id)));
                }
            }
        }
    }
    // the thing itself, where it is there: a lock file above also lists what it is made of
    let nearest = ids.iter().map(|(distance, _)| *distance).min();
    let mut ids: Vec<String> = ids
        .into_iter()
        .filter(|(distance, _)| Some(*distance) == nearest)
        .map(|(_, id)| id)
        .collect();
    ids.sort();
    ids.dedup();
    ids
}

/// Returns how far apart two paths are, where they are the same, or one is in the other.
fn distance(path: &str, item: &str) -> Option<usize> {
    let depth = |rest: &str| rest.matches('/').count();
    if path == item {
        return Some(0);
    }
    let inside = |outer: &str, inner: &str| inner.strip_prefix(outer).map(str::to_owned);
    let below = inside(path, item).filter(|rest| path.is_empty() || rest.starts_with('/'));
    let above = inside(item, path).filter(|rest| rest.starts_with('/'));
    match (above, below) {
        (Some(rest), _) => Some(depth(&rest)),
        // all that is in a folder is equally far from it
        (None, Some(_)) => Some(usize::MAX),
        (None, None) => None,
    }
}

fn files_of_dvc(repository: &Repository, tree: &Tree<'_>, folder: &str) -> Vec<(String, String)> {
    let found = match folder {
        "" => Some(tree.clone()),
        folder => tree
            .get_path(Path::new(folder))
            .and_then(|entry| entry.to_object(repository))
            .and_then(|object| object.peel_to_tree())
            .ok(),
    };
    let Some(found) = found else { return Vec::new() };
    let text = |entry: git2::TreeEntry<'_>| {
        let name = entry.name().ok()?.to_owned();
        if entry.kind() != Some(ObjectType::Blob) || !dvc::is_file(&name) {
            return None;
        }
        let blob = entry.to_object(repository).ok()?.peel_to_blob().ok()?;
        let text = String::from_utf8(blob.content().to_owned()).ok()?;
        (text.len() <= DVC_BYTES).then_some((name, text))
    };
    found.iter().filter_map(text).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_thing_is_nearer_than_the_folder_that_it_is_in() {
        assert_eq!(distance("data/a", "data/a"), Some(0));
        assert_eq!(distance("data/a/b", "data"), Some(2));
        assert_eq!(distance("data", "data/a/b"), Some(usize::MAX));
        assert_eq!(distance("data", "database"), None);
        assert_eq!(distance("", "data"), Some(usize::MAX));
    }
}
