//! Room for mirrors: how much they may take on disk together, and which goes first.
//!
//! A mirror is only removed by who holds both of its locks: nobody changes it, and nobody reads it.

use std::{
    fs,
    path::{Path, PathBuf},
    time::SystemTime,
};

use super::mirror::prepare;

/// The folder of a mirror that holds its objects.
pub(super) const REPOSITORY: &str = "repository";

/// What libgit2 calls a pack that it has not finished.
const UNFINISHED: &str = "pack_git2_";

/// Removes the mirrors that were not used for longest until all together take at most `limit` bytes.
/// Those in use stay, so it may be more.
pub(super) fn make_room(mirrors: &Path, limit: u64) {
    let Ok(folders) = fs::read_dir(mirrors) else { return };
    let mut all: Vec<(SystemTime, u64, PathBuf)> = folders
        .flatten()
        .map(|folder| folder.path())
        .map(|folder| {
            (last_used(&folder), crate::cache::bytes_of(&folder.join(REPOSITORY)), folder)
        })
        .collect();
    let mut total: u64 = all.iter().map(|(_, bytes, _)| bytes).sum();
    all.sort();
    for (_, bytes, folder) in all.into_iter().filter(|(_, bytes, _)| *bytes > 0) {
        if total <= limit {
            return;
        }
        if remove(&folder) {
            tracing::debug!(folder = %folder.display(), bytes, "a mirror made room for others");
            total = total.saturating_sub(bytes);
        }
    }
}

/// Removes what a killed process left of a pack; whoever calls it holds the lock for changes.
pub(super) fn sweep(repository: &Path) {
    let Ok(files) = fs::read_dir(repository.join("objects/pack")) else { return };
    for file in files.flatten() {
        if file.file_name().as_encoded_bytes().starts_with(UNFINISHED.as_bytes()) {
            let _ = fs::remove_file(file.path());
        }
    }
}

/// Removes a mirror that nobody uses; its locks stay, since others may hold them open.
fn remove(folder: &Path) -> bool {
    let Ok((changing, using)) = prepare(folder) else { return false };
    changing.try_lock().is_ok()
        && using.try_lock().is_ok()
        && fs::remove_dir_all(folder.join(REPOSITORY)).is_ok()
}

/// Each use notes its time at the lock for changes.
fn last_used(folder: &Path) -> SystemTime {
    let metadata = fs::metadata(folder.join("changing.lock"));
    metadata.and_then(|metadata| metadata.modified()).unwrap_or(SystemTime::UNIX_EPOCH)
}
