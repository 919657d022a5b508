//! Objects of a repository in memory, by SHA-1 or SHA-256: enough of a commit to look at, and nothing on disk.
//!
//! Comes in: packs, as a server sends them. Goes out: commits, trees and files, each under the id that its bytes have.
//! Never: an object whose bytes do not have its id, since the id is computed here.
//!
//! The mirrors keep what is rendered, with libgit2, which knows SHA-1 alone; this reads repositories that anybody may
//! name, whole or not at all.

use std::{collections::HashMap, fmt};

use flate2::{Decompress, FlushDecompress, Status};
use git2::{ObjectType, Oid};
use sitewright_model::digest::Digest;

use super::protocol::ObjectName;

/// The id of an object, by SHA-1 or SHA-256.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct Name(String);

/// What an object is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum ObjectKind {
    Commit,
    Tree,
    Blob,
    Tag,
}

/// What may come out of packs.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Room {
    /// Bytes of one object.
    pub(crate) object: usize,
    /// Bytes of all objects together.
    pub(crate) total: usize,
    /// Objects.
    pub(crate) objects: usize,
}

/// Why a pack is not taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum BadPack {
    /// It is no pack, or a broken one.
    #[error("what it sends is no pack: {0}")]
    Malformed(&'static str),
    /// More comes out of it than there is room for.
    #[error("it holds more than {0}")]
    TooLarge(&'static str),
}

/// An object of a tree.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct TreeEntry {
    pub(crate) mode: u32,
    pub(crate) name: String,
    pub(crate) id: Name,
}

/// Objects that were fetched.
#[derive(Debug)]
pub(crate) struct Objects {
    is_sha256: bool,
    room: Room,
    taken: usize,
    all: Vec<(ObjectKind, Vec<u8>)>,
    by_name: HashMap<Name, usize>,
}

/// How often the objects that wait for a base are gone through; git makes chains of at most 50, with the base first.
const MOST_PASSES: usize = 64;

/// Modes of entries of a tree.
pub(crate) const MODE_FOLDER: u32 = 0o040_000;
pub(crate) const MODE_LINK: u32 = 0o120_000;
pub(crate) const MODE_COMMIT: u32 = 0o160_000;

// === impl Name ===

impl Name {
    /// Returns it as text.
    pub(crate) fn as_str(&self) -> &str {
        &self.0
    }

    fn of(bytes: &[u8]) -> Self {
        Self(bytes.iter().map(|byte| format!("{byte:02x}")).collect())
    }
}

impl ObjectName for Name {
    fn read(text: &str) -> Option<Self> {
        let is_one = matches!(text.len(), 40 | 64) && text.bytes().all(|b| b.is_ascii_hexdigit());
        is_one.then(|| Self(text.to_ascii_lowercase()))
    }

    fn is_of(format: &str) -> bool {
        matches!(format, "sha1" | "sha256")
    }
}

impl fmt::Display for Name {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

// === impl ObjectKind ===

impl ObjectKind {
    fn of_number(number: u8) -> Option<Self> {
        Some(match number {
            1 => Self::Commit,
            2 => Self::Tree,
            3 => Self::Blob,
            4 => Self::Tag,
            _ => return None,
        })
    }

    fn libgit2(self) -> ObjectType {
        match self {
            Self::Commit => ObjectType::Commit,
            Self::Tree => ObjectType::Tree,
            Self::Blob => ObjectType::Blob,
            Self::Tag => ObjectType::Tag,
        }
    }
}

// === impl Objects ===

impl Objects {
    /// Makes room for the objects of a repository whose ids are of `format`.
    pub(crate) fn new(format: &str, room: Room) -> Self {
        let (all, by_name) = (Vec::new(), HashMap::new());
        Self { is_sha256: format == "sha256", room, taken: 0, all, by_name }
    }

    /// Returns an object.
    pub(crate) fn get(&self, name: &Name) -> Option<(ObjectKind, &[u8])> {
        let (kind, bytes) = self.all.get(*self.by_name.get(name)?)?;
        Some((*kind, bytes))
    }

    /// Returns an object of a kind.
    pub(crate) fn of_kind(&self, name: &Name, kind: ObjectKind) -> Option<&[u8]> {
        self.get(name).filter(|(found, _)| *found == kind).map(|(_, bytes)| bytes)
    }

    /// Returns every commit.
    pub(crate) fn commits(&self) -> impl Iterator<Item = (&Name, &[u8])> {
        self.by_name.iter().filter_map(|(name, index)| match self.all.get(*index)? {
            (ObjectKind::Commit, bytes) => Some((name, bytes.as_slice())),
            _ => None,
        })
    }

    /// Returns whether ids are by SHA-256.
    pub(crate) fn is_sha256(&self) -> bool {
        self.is_sha256
    }

    /// Returns what ids are digests of, in the word of git.
    pub(crate) fn format(&self) -> &'static str {
        if self.is_sha256 { "sha256" } else { "sha1" }
    }

    /// Returns what a tree holds; none where it is not here or no tree.
    pub(crate) fn tree(&self, name: &Name) -> Option<Vec<TreeEntry>> {
        let mut rest = self.of_kind(name, ObjectKind::Tree)?;
        let length = self.id_bytes();
        let mut entries = Vec::new();
        while !rest.is_empty() {
            let space = rest.iter().position(|byte| *byte == b' ')?;
            let mode =
                u32::from_str_radix(std::str::from_utf8(rest.get(..space)?).ok()?, 8).ok()?;
            rest = rest.get(space + 1..)?;
            let zero = rest.iter().position(|byte| *byte == 0)?;
            let called = String::from_utf8_lossy(rest.get(..zero)?).into_owned();
            rest = rest.get(zero + 1..)?;
            let id = Name::of(rest.get(..length)?);
            rest = rest.get(length..)?;
            entries.push(TreeEntry { mode, name: called, id });
        }
        Some(entries)
    }

    fn id_bytes(&self) -> usize {
        if self.is_sha256 { 32 } else { 20 }
    }

    /// Takes the objects of a pack (gitformat-pack).
    pub(crate) fn add(&mut self, pack: &[u8]) -> Result<(), BadPack> {
        let mut reader = Reader { rest: pack, at: 0 };
        let header = reader.take(12)?;
        if !header.starts_with(b"PACK\0\0\0\x02") && !header.starts_with(b"PACK\0\0\0\x03") {
            return Err(BadPack::Malformed("it does not start as one"));
        }
        let count = header.get(8..).and_then(|count| count.try_into().ok());
        let count = u32::from_be_bytes(count.unwrap_or_default()) as usize;
        if self.all.len().saturating_add(count) > self.room.objects {
            return Err(BadPack::TooLarge("the objects that there is room for"));
        }
        let mut by_offset = HashMap::new();
        let mut waiting = Vec::new();
        for _ in 0..count {
            let start = reader.at;
            match self.entry(&mut reader, &by_offset)? {
                Entry::Whole(kind, bytes) => {
                    by_offset.insert(start, self.keep(kind, bytes));
                }
                Entry::Waits(base, delta) => waiting.push((start, base, delta)),
            }
        }
        self.settle(waiting, by_offset)
    }

    /// Makes the objects that are a change of another one that came later.
    fn settle(
        &mut self,
        mut waiting: Vec<(usize, Base, Vec<u8>)>,
        mut by_offset: HashMap<usize, usize>,
    ) -> Result<(), BadPack> {
        for _ in 0..MOST_PASSES {
            if waiting.is_empty() {
                return Ok(());
            }
            for (start, base, delta) in std::mem::take(&mut waiting) {
                match self.find(&base, &by_offset) {
                    Some(index) => {
                        let (kind, bytes) = self.change(index, &delta)?;
                        by_offset.insert(start, self.keep(kind, bytes));
                    }
                    None => waiting.push((start, base, delta)),
                }
            }
        }
        match waiting.is_empty() {
            true => Ok(()),
            false => Err(BadPack::Malformed("what an object is made from is not in it")),
        }
    }

    fn find(&self, base: &Base, by_offset: &HashMap<usize, usize>) -> Option<usize> {
        match base {
            Base::Offset(offset) => by_offset.get(offset).copied(),
            Base::Named(name) => self.by_name.get(name).copied(),
        }
    }

    fn entry(
        &mut self,
        reader: &mut Reader<'_>,
        by_offset: &HashMap<usize, usize>,
    ) -> Result<Entry, BadPack> {
        let start = reader.at;
        let (number, size) = reader.kind_and_size()?;
        let base = match number {
            6 => {
                let back = reader.offset()?;
                let offset = start.checked_sub(back).filter(|_| back > 0);
                Base::Offset(offset.ok_or(BadPack::Malformed("an offset leads out of it"))?)
            }
            7 => Base::Named(Name::of(reader.take(self.id_bytes())?)),
            number => {
                let kind = ObjectKind::of_number(number)
                    .ok_or(BadPack::Malformed("an object is of no known kind"))?;
                let bytes = self.inflate(reader, size)?;
                return Ok(Entry::Whole(kind, bytes));
            }
        };
        let delta = self.inflate(reader, size)?;
        match self.find(&base, by_offset) {
            Some(index) => {
                let (kind, bytes) = self.change(index, &delta)?;
                self.taken = self.taken.saturating_sub(delta.len());
                Ok(Entry::Whole(kind, bytes))
            }
            None => Ok(Entry::Waits(base, delta)),
        }
    }

    fn keep(&mut self, kind: ObjectKind, bytes: Vec<u8>) -> usize {
        let name = self.name_of(kind, &bytes);
        let index = self.all.len();
        self.all.push((kind, bytes));
        *self.by_name.entry(name).or_insert(index)
    }

    fn name_of(&self, kind: ObjectKind, bytes: &[u8]) -> Name {
        if self.is_sha256 {
            let mut all = format!("{} {}\0", kind.libgit2().str(), bytes.len()).into_bytes();
            all.extend_from_slice(bytes);
            return Name(Digest::of(all).hex());
        }
        let oid = Oid::hash_object(kind.libgit2(), bytes);
        Name(oid.map(|oid| oid.to_string()).unwrap_or_default())
    }

    fn count(&mut self, size: usize) -> Result<(), BadPack> {
        self.taken = self.taken.saturating_add(size);
        if size > self.room.object {
            return Err(BadPack::TooLarge("one object may have"));
        }
        if self.taken > self.room.total {
            return Err(BadPack::TooLarge("all objects together may have"));
        }
        Ok(())
    }

    fn inflate(&mut self, reader: &mut Reader<'_>, size: usize) -> Result<Vec<u8>, BadPack> {
        self.count(size)?;
        let mut bytes = Vec::with_capacity(size);
        let mut inflate = Decompress::new(true);
        loop {
            // a byte more than was said, so that what goes on behind its end is seen
            bytes.reserve_exact((size + 1).saturating_sub(bytes.len()));
            let before = inflate.total_in();
            let status = inflate
                .decompress_vec(reader.rest, &mut bytes, FlushDecompress::None)
                .map_err(|_| BadPack::Malformed("an object cannot be inflated"))?;
            let used = usize::try_from(inflate.total_in() - before).unwrap_or(usize::MAX);
            reader.take(used)?;
            match status {
                Status::StreamEnd if bytes.len() == size => return Ok(bytes),
                Status::Ok if used > 0 && bytes.len() <= size => {}
                _ => return Err(BadPack::Malformed("an object has not the size that it says")),
            }
        }
    }

    /// Applies a delta (gitformat-pack, "Deltified representation").
    fn change(&mut self, base: usize, delta: &[u8]) -> Result<(ObjectKind, Vec<u8>), BadPack> {
        const BAD: BadPack = BadPack::Malformed("a change of an object does not fit it");
        let mut reader = Reader { rest: delta, at: 0 };
        let (from, to) = (reader.size()?, reader.size()?);
        self.count(to)?;
        let (kind, base) = self.all.get(base).ok_or(BAD)?;
        if base.len() != from {
            return Err(BAD);
        }
        let mut made = Vec::with_capacity(to);
        while !reader.rest.is_empty() {
            let op = reader.byte()?;
            if op & 0x80 == 0 {
                made.extend_from_slice(
                    reader.take(usize::from(op)).ok().filter(|_| op > 0).ok_or(BAD)?,
                );
            } else {
                let mut number = |bits: &[u8]| -> Result<usize, BadPack> {
                    let mut value = 0;
                    for (place, bit) in bits.iter().enumerate() {
                        if op & bit != 0 {
                            value |= usize::from(reader.byte()?) << (8 * place);
                        }
                    }
                    Ok(value)
                };
                let offset = number(&[1, 2, 4, 8])?;
                let length = match number(&[16, 32, 64])? {
                    0 => 0x10000,
                    length => length,
                };
                let part = offset.checked_add(length).and_then(|end| base.get(offset..end));
                made.extend_from_slice(part.ok_or(BAD)?);
            }
            if made.len() > to {
                return Err(BAD);
            }
        }
        if made.len() == to { Ok((*kind, made)) } else { Err(BAD) }
    }
}

enum Entry {
    Whole(ObjectKind, Vec<u8>),
    Waits(Base, Vec<u8>),
}

enum Base {
    Offset(usize),
    Named(Name),
}

struct Reader<'p> {
    rest: &'p [u8],
    at: usize,
}

impl<'p> Reader<'p> {
    fn take(&mut self, count: usize) -> Result<&'p [u8], BadPack> {
        let (part, rest) =
            self.rest.split_at_checked(count).ok_or(BadPack::Malformed("it breaks off"))?;
        self.rest = rest;
        self.at += count;
        Ok(part)
    }

    fn byte(&mut self) -> Result<u8, BadPack> {
        Ok(self.take(1)?.first().copied().unwrap_or_default())
    }

    fn kind_and_size(&mut self) -> Result<(u8, usize), BadPack> {
        let mut byte = self.byte()?;
        let kind = byte >> 4 & 7;
        let (mut size, mut shift) = (usize::from(byte & 15), 4);
        while byte & 0x80 != 0 {
            byte = self.byte()?;
            size |= shifted(byte & 0x7f, shift)?;
            shift += 7;
        }
        Ok((kind, size))
    }

    fn size(&mut self) -> Result<usize, BadPack> {
        let (mut size, mut shift) = (0, 0);
        loop {
            let byte = self.byte()?;
            size |= shifted(byte & 0x7f, shift)?;
            shift += 7;
            if byte & 0x80 == 0 {
                return Ok(size);
            }
        }
    }

    fn offset(&mut self) -> Result<usize, BadPack> {
        let mut byte = self.byte()?;
        let mut offset = usize::from(byte & 0x7f);
        while byte & 0x80 != 0 {
            byte = self.byte()?;
            offset = offset
                .checked_add(1)
                .and_then(|offset| offset.checked_mul(128))
                .ok_or(BadPack::Malformed("an offset leads out of it"))?
                | usize::from(byte & 0x7f);
        }
        Ok(offset)
    }
}

/// Returns seven bits at their place; what is larger than any object is no size.
fn shifted(bits: u8, shift: u32) -> Result<usize, BadPack> {
    if shift > 42 {
        return Err(BadPack::Malformed("a size is no size"));
    }
    Ok(usize::from(bits) << shift)
}

/// Takes `data` for a pack, in both formats.
pub(crate) fn fuzz_objects(data: &[u8]) {
    let room = Room { object: 1 << 16, total: 1 << 18, objects: 1000 };
    for format in ["sha1", "sha256"] {
        let mut objects = Objects::new(format, room);
        let _ = objects.add(data);
        let names: Vec<Name> = objects.by_name.keys().cloned().collect();
        for name in names {
            let _ = objects.tree(&name);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::{fs, path::Path, process::Command};

    use super::*;

    const ROOM: Room = Room { object: 1 << 20, total: 1 << 24, objects: 1000 };

    fn git(folder: &Path, arguments: &[&str]) -> Vec<u8> {
        let output = Command::new("git")
            .args(["-c", "user.name=a", "-c", "user.email=a@b.example", "-c", "pack.threads=1"])
            .args(arguments)
            .current_dir(folder)
            .output()
            .unwrap();
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        output.stdout
    }

    /// A pack with deltas, and the ids of what is in it.
    fn pack(format: &str, offsets: bool) -> (Vec<u8>, Vec<String>) {
        let folder = tempfile::tempdir().unwrap();
        let at = folder.path();
        git(at, &["init", "-q", "--object-format", format]);
        for round in 0..20 {
            let text: String =
                (0..200).map(|line| format!("{}\n", line * (1 + round % 3))).collect();
            fs::write(at.join("a"), format!("{round}\n{text}")).unwrap();
            git(at, &["add", "a"]);
            git(at, &["commit", "-q", "-m", "x"]);
        }
        git(at, &["tag", "-a", "-m", "x", "v1"]);
        let mut arguments = vec!["pack-objects", "-q", "--stdout", "--all", "--revs"];
        if offsets {
            arguments.push("--delta-base-offset");
        }
        let bytes = git(at, &arguments);
        let list = String::from_utf8(git(at, &["rev-list", "--objects", "--all"])).unwrap();
        (bytes, list.lines().map(|line| line.split(' ').next().unwrap().to_owned()).collect())
    }

    #[test]
    fn every_object_of_a_pack_has_the_id_that_git_gives_it() {
        for (format, offsets) in
            [("sha1", false), ("sha1", true), ("sha256", false), ("sha256", true)]
        {
            let (bytes, ids) = pack(format, offsets);
            let mut objects = Objects::new(format, ROOM);
            objects.add(&bytes).unwrap();
            assert_eq!(objects.all.len(), ids.len());
            for id in ids {
                let (kind, _) = objects.get(&Name::read(&id).unwrap()).unwrap();
                let is_tree = kind == ObjectKind::Tree;
                assert_eq!(objects.tree(&Name::read(&id).unwrap()).is_some(), is_tree);
            }
            assert_eq!(objects.commits().count(), 20);
        }
    }

    #[test]
    fn broken_and_boundless_packs_are_refused() {
        let (bytes, _) = pack("sha1", false);
        for cut in (0..bytes.len()).step_by(97) {
            // without the checksum at the end all objects may be there
            let _ = Objects::new("sha1", ROOM).add(&bytes[..cut]);
            let mut flipped = bytes.clone();
            flipped[cut] ^= 0x55;
            let _ = Objects::new("sha1", ROOM).add(&flipped);
        }
        assert!(Objects::new("sha1", ROOM).add(&bytes[..bytes.len() / 2]).is_err());
        let small = Room { total: 2000, ..ROOM };
        let refused = Objects::new("sha1", small).add(&bytes).unwrap_err();
        assert!(matches!(refused, BadPack::TooLarge(_)), "{refused}");
    }
}
