//! Entries for the fuzz targets: bytes from anyone go in, and nothing may go wrong but an error.
//!
//! Hidden from the documentation, since nothing else should call them. What must always hold is
//! asserted here, so that every target and the tests ask for the same.

use std::{io, sync::Arc};

use git2::{ObjectType, Odb, Oid, Repository};

use crate::{
    git::{fuzz_objects, fuzz_pack, fuzz_protocol, fuzz_url},
    settings::Limits,
    snapshot::{GitTree, Snapshot, check_name},
};

/// Bounds that a fuzzer reaches within one run.
fn small_limits() -> Limits {
    Limits {
        file_bytes: 4096,
        folder_bytes: 65_536,
        folder_files: 200,
        depth: 8,
        links: 8,
        ..Limits::default()
    }
}

/// Builds a tree from `data`, as odd as the bytes say, and reads it in every way there is.
pub fn fuzz_git_tree(data: &[u8]) {
    let Ok(snapshot) = snapshot_of(data) else { return };
    let _ = snapshot.tree_id("");
    let _ = snapshot.exists("a/../b");
    for path in ["", "a", "a/b", "..", "a/../.."] {
        let _ = snapshot.file(path);
        let _ = snapshot.tree_id(path);
        let Ok(entries) = snapshot.list(path) else { continue };
        for entry in entries {
            assert!(check_name("", &entry.name).is_ok(), "listed the name {:?}", entry.name);
        }
    }
    let Ok(files) = snapshot.folder("") else { return };
    let limits = small_limits();
    let bytes: usize = files.entries.values().map(|content| content.len()).sum();
    assert!(bytes as u64 <= limits.folder_bytes && files.entries.len() <= limits.folder_files);
    for path in files.entries.keys() {
        let is_clean = path.split('/').all(|part| check_name("", part).is_ok());
        assert!(is_clean && path.split('/').count() <= limits.depth + 1, "read the path {path:?}");
    }
}

/// Unpacks `data` as the archive of a chart.
pub fn fuzz_archive(data: &[u8]) {
    let limits = small_limits();
    let Some(entries) = crate::artifact::fuzz_unpack(data, &limits) else { return };
    let bytes: usize = entries.values().map(|content| content.len()).sum();
    assert!(bytes as u64 <= limits.folder_bytes && entries.len() <= limits.folder_files);
    for path in entries.keys() {
        let is_clean = path.split('/').all(|part| check_name("", part).is_ok());
        assert!(is_clean, "unpacked the path {path:?}");
    }
}

/// Takes `data` for what a git server answers.
pub fn fuzz_git_answer(data: &[u8]) {
    fuzz_protocol(data);
    fuzz_pack(data);
    fuzz_objects(data);
}

/// Long, so that chance does not write it.
const PASSWORD: &str = "canary-of-a-password";

/// Takes `data` for a location; whatever it is, a password in it is never shown.
pub fn fuzz_location(data: &[u8]) {
    let Ok(text) = std::str::from_utf8(data) else { return };
    fuzz_url(text);
    let with_password = format!("https://user:{PASSWORD}@{text}");
    let shown = match crate::Location::parse(&with_password) {
        Ok(location) => format!("{location} {location:?}"),
        Err(error) => format!("{error} {error:?}"),
    };
    // A text that itself says so, if in capitals that a host name loses, is not our password.
    let is_its_own = text.to_lowercase().contains(PASSWORD);
    assert!(is_its_own || !shown.contains(PASSWORD), "{shown}");
}

fn snapshot_of(data: &[u8]) -> Result<Snapshot, git2::Error> {
    let odb = Odb::new()?;
    odb.add_new_mempack_backend(1000)?;
    let mut maker = Maker { odb: &odb, data, trees: Vec::new(), blobs: Vec::new() };
    let root = maker.make()?;
    let repository = Repository::from_odb(odb)?;
    Ok(Snapshot::of_tree(GitTree::of_root(repository, root), small_limits()))
}

/// Turns bytes into objects. A tree is a list of entries, and each entry picks what it leads to from
/// what was made before, so trees can repeat, nest and explode.
struct Maker<'a> {
    odb: &'a Odb<'a>,
    data: &'a [u8],
    trees: Vec<Oid>,
    blobs: Vec<Oid>,
}

impl Maker<'_> {
    /// Entries of one tree, and trees of one input.
    const MOST: usize = 64;

    fn make(&mut self) -> Result<Oid, git2::Error> {
        self.blobs.push(self.odb.write(ObjectType::Blob, b"")?);
        self.trees.push(self.odb.write(ObjectType::Tree, b"")?);
        while !self.data.is_empty() && self.trees.len() < Self::MOST {
            match self.byte() % 4 {
                0 => {
                    let content = self.text();
                    self.blobs.push(self.odb.write(ObjectType::Blob, &content)?);
                }
                // Whatever the bytes are: libgit2 takes them apart.
                1 => {
                    let raw = self.text();
                    self.trees.push(self.odb.write(ObjectType::Tree, &raw)?);
                }
                _ => {
                    let tree = self.tree();
                    self.trees.push(self.odb.write(ObjectType::Tree, &tree)?);
                }
            }
        }
        Ok(self.trees.last().copied().unwrap_or(Oid::ZERO_SHA1))
    }

    fn tree(&mut self) -> Vec<u8> {
        let mut tree = Vec::new();
        for _ in 0..usize::from(self.byte()) % 16 {
            let (mode, name) = (self.byte(), self.name());
            let (mode, from) = match mode % 6 {
                0 | 1 => ("100644", &self.blobs),
                2 => ("120000", &self.blobs),
                3 | 4 => ("40000", &self.trees),
                _ => ("160000", &self.trees),
            };
            let from = from.clone();
            let id = from.get(usize::from(self.byte()) % from.len().max(1)).copied();
            tree.extend_from_slice(mode.as_bytes());
            tree.push(b' ');
            tree.extend_from_slice(&name);
            tree.push(0);
            tree.extend_from_slice(id.unwrap_or(Oid::ZERO_SHA1).as_bytes());
        }
        tree
    }

    fn byte(&mut self) -> u8 {
        let Some((&first, rest)) = self.data.split_first() else { return 0 };
        self.data = rest;
        first
    }

    fn text(&mut self) -> Vec<u8> {
        let length = usize::from(self.byte()).min(self.data.len());
        let (text, rest) = self.data.split_at(length);
        self.data = rest;
        text.to_vec()
    }

    /// Mostly names that matter, else what the bytes say.
    fn name(&mut self) -> Vec<u8> {
        const NAMES: [&[u8]; 9] = [b"a", b"b", b"A", b"..", b".", b".git", b"a/b", b"\\", b"\xff"];
        let choice = usize::from(self.byte());
        NAMES.get(choice % 16).map_or_else(|| self.text(), |name| name.to_vec())
    }
}

/// A source of bytes that never ends before its data does; for the protocol.
pub(crate) struct Bytes<'a>(pub(crate) &'a [u8]);

impl io::Read for Bytes<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        // One byte short each time, as networks do.
        let most = buffer.len().div_ceil(2);
        self.0.read(buffer.get_mut(..most).unwrap_or_default())
    }
}

/// What archives unpack to.
pub(crate) type Unpacked = std::collections::BTreeMap<String, Arc<[u8]>>;

#[cfg(test)]
mod tests {
    use super::*;

    /// A cheap generator: tests must not depend on the clock (numbers of Knuth's MMIX).
    fn noise(seed: u64, length: usize) -> Vec<u8> {
        let mut state = seed;
        let mut next = || {
            state = state
                .wrapping_mul(6_364_136_223_846_793_005)
                .wrapping_add(1_442_695_040_888_963_407);
            (state >> 33) as u8
        };
        (0..length).map(|_| next()).collect()
    }

    #[test]
    fn noise_breaks_nothing() {
        for seed in 0..3000 {
            let data = noise(seed, 200);
            fuzz_git_tree(&data);
            fuzz_archive(&data);
            fuzz_git_answer(&data);
            fuzz_location(&data);
            // Letters that mean something in an address.
            let letters: Vec<u8> =
                data.iter().map(|byte| b"ab@:/[]?.-~%#1 "[usize::from(byte % 15)]).collect();
            fuzz_location(&letters[..40]);
            fuzz_location(format!("ssh://{}", String::from_utf8_lossy(&letters[..12])).as_bytes());
        }
    }

    #[test]
    fn cuts_of_real_input_break_nothing() {
        let mut builder = tar::Builder::new(Vec::new());
        let mut header = tar::Header::new_gnu();
        header.set_size(5);
        header.set_cksum();
        builder.append_data(&mut header, "chart/x", &b"hello"[..]).unwrap();
        let tar = builder.into_inner().unwrap();
        let answer = b"000eversion 2\n0014fetch=shallow\n0000003d0123456789012345678901234567890123456789 refs/heads/a\n0000";
        for cut in 0..tar.len() {
            fuzz_archive(&tar[..cut]);
        }
        for cut in 0..answer.len() {
            fuzz_git_answer(&answer[..cut]);
        }
        for text in ["h/x", "h:x@y//a@b", "git@h:x", "[::1]:1/x", "h?x@y", "", "@", "//@"] {
            fuzz_location(text.as_bytes());
        }
    }
}
