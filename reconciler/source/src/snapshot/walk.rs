//! Paths to entries, and folders to files, within bounds and never out of the repository.

use std::{
    collections::{BTreeMap, BTreeSet, VecDeque},
    sync::Arc,
};

use sitewright_model::files::Files;

use super::{
    Entry, Kind, SnapshotError,
    entry::{Node, Store},
};
use crate::{nearest::nearest, settings::Limits};

/// Git LFS pointer files start with one of these and are below 1024 bytes (git-lfs, docs/spec.md).
const LFS_MARKS: [&[u8]; 2] =
    [b"version https://git-lfs.github.com/spec/", b"version https://hawser.github.com/spec/"];
const LFS_POINTER_BYTES: usize = 1024;

/// Bytes of the target of a symbolic link; Linux allows no more in a path.
const LINK_TARGET_BYTES: u64 = 4096;

/// Something that was found, and the path to it with all links resolved.
pub(super) struct Found<At> {
    pub(super) kind: Kind,
    pub(super) at: At,
    path: Vec<String>,
}

impl<At> Found<At> {
    /// Returns whether it was found at `path` itself, without a link on the way.
    pub(super) fn is_plain(&self, path: &str) -> bool {
        self.path.join("/") == clean(path)
    }
}

/// Returns what is at `path`, with links followed.
pub(super) fn find<S: Store>(
    store: &S,
    path: &str,
    limits: &Limits,
) -> Result<Found<S::At>, SnapshotError> {
    if path.starts_with('/') || path.contains('\0') {
        return Err(SnapshotError::Escapes(path.escape_debug().to_string()));
    }
    Resolver::new(store, limits).resolve(path, path)
}

/// Returns the folder at `path`.
pub(super) fn folder_at<S: Store>(
    store: &S,
    path: &str,
    limits: &Limits,
) -> Result<Found<S::At>, SnapshotError> {
    let found = find(store, path, limits)?;
    expect_kind(found, path, Kind::Folder)
}

/// Returns the content of the file at `path`.
pub(super) fn file<S: Store>(
    store: &S,
    path: &str,
    limits: &Limits,
) -> Result<Arc<[u8]>, SnapshotError> {
    let found = expect_kind(find(store, path, limits)?, path, Kind::File)?;
    read_file(store, &found.at, &found.path.join("/"), limits).map(Arc::from)
}

/// Returns what the folder at `path` holds.
pub(super) fn list<S: Store>(
    store: &S,
    path: &str,
    limits: &Limits,
) -> Result<Vec<Entry>, SnapshotError> {
    let found = folder_at(store, path, limits)?;
    let resolved = found.path.join("/");
    let mut nodes = store.entries(&found.at, &resolved)?;
    if nodes.len() > limits.folder_files {
        return Err(too_large(&resolved, limits.folder_files as u64, "entries"));
    }
    nodes.sort_by(|a, b| a.name.cmp(&b.name));
    let mut entries = Vec::with_capacity(nodes.len());
    for node in nodes {
        check_name(&resolved, &node.name)?;
        let kind = match node.kind {
            // A link that leads nowhere stays a link here; reading it says why.
            Kind::Link => find(store, &join(&resolved, &node.name), limits)
                .map_or(Kind::Link, |found| found.kind),
            other => other,
        };
        entries.push(Entry { name: node.name, kind });
    }
    Ok(entries)
}

/// Returns every file of the folder at `path`, and of the folders in it.
pub(super) fn folder<S: Store>(
    store: &S,
    path: &str,
    limits: &Limits,
) -> Result<Files, SnapshotError> {
    let found = folder_at(store, path, limits)?;
    let label = clean(path);
    let mut reader = FolderReader {
        store,
        limits,
        label: label.clone(),
        entries: BTreeMap::new(),
        bytes: 0,
        visited: 0,
        trail: Vec::new(),
    };
    reader.descend(&found.at, &found.path, "")?;
    Ok(Files { label, entries: reader.entries })
}

/// Returns `path` without `.` parts, doubled and trailing slashes.
fn clean(path: &str) -> String {
    let parts: Vec<&str> =
        path.split('/').filter(|part| !part.is_empty() && *part != ".").collect();
    parts.join("/")
}

fn shown(path: &str) -> String {
    if path.is_empty() { ".".to_owned() } else { path.to_owned() }
}

fn join(folder: &str, name: &str) -> String {
    if folder.is_empty() { name.to_owned() } else { format!("{folder}/{name}") }
}

fn too_large(path: &str, limit: u64, what: &'static str) -> SnapshotError {
    SnapshotError::FolderTooLarge { path: shown(path), limit, what }
}

fn not_a_file(path: String, found: Kind) -> SnapshotError {
    SnapshotError::WrongKind { path, found, wanted: Kind::File }
}

fn expect_kind<At>(found: Found<At>, path: &str, wanted: Kind) -> Result<Found<At>, SnapshotError> {
    if found.kind == wanted {
        Ok(found)
    } else {
        Err(SnapshotError::WrongKind { path: shown(path), found: found.kind, wanted })
    }
}

/// Reads one file, within its bound and only if its content is here.
fn read_file<S: Store>(
    store: &S,
    at: &S::At,
    path: &str,
    limits: &Limits,
) -> Result<Vec<u8>, SnapshotError> {
    let bytes = store.size(at, path)?;
    if bytes > limits.file_bytes {
        let limit = limits.file_bytes;
        return Err(SnapshotError::FileTooLarge { path: path.to_owned(), bytes, limit });
    }
    let content = store.content(at, path, limits.file_bytes)?;
    let is_pointer =
        content.len() < LFS_POINTER_BYTES && LFS_MARKS.iter().any(|mark| content.starts_with(mark));
    if is_pointer { Err(SnapshotError::LfsPointer(path.to_owned())) } else { Ok(content) }
}

/// Refuses names that a file system, git or an archive would give another meaning.
pub(crate) fn check_name(folder: &str, name: &str) -> Result<(), SnapshotError> {
    let problem = if name.is_empty() {
        "is empty"
    } else if name == "." || name == ".." {
        "means a folder above or this one"
    } else if name.eq_ignore_ascii_case(".git") {
        "is git's own"
    } else if name.contains(['/', '\\']) {
        "separates folders"
    } else if name.chars().any(char::is_control) {
        "has a control character"
    } else if name.contains('\u{fffd}') {
        "is not UTF-8"
    } else if name.len() > 255 {
        "is longer than 255 bytes"
    } else {
        return Ok(());
    };
    let name = name.escape_debug().to_string();
    Err(SnapshotError::Name { folder: shown(folder), name, problem })
}

/// Finds what a path leads to, one part after the other, as a kernel does, but never above the top.
struct Resolver<'a, S: Store> {
    store: &'a S,
    limits: &'a Limits,
    /// The folders on the way, the top first, each with its name.
    folders: Vec<(String, S::At)>,
    /// The link that the parts being resolved came from, with its target.
    link: Option<(String, String)>,
    links_left: usize,
}

impl<'a, S: Store> Resolver<'a, S> {
    fn new(store: &'a S, limits: &'a Limits) -> Self {
        Self { store, limits, folders: Vec::new(), link: None, links_left: limits.links }
    }

    fn resolve(mut self, path: &str, asked: &str) -> Result<Found<S::At>, SnapshotError> {
        let top = self.store.top();
        let mut pending: VecDeque<String> = path.split('/').map(str::to_owned).collect();
        while let Some(part) = pending.pop_front() {
            match part.as_str() {
                "" | "." => continue,
                ".." => {
                    if self.folders.pop().is_none() {
                        return Err(self.escape(asked));
                    }
                    continue;
                }
                _ => {}
            }
            let folder = self.folders.last().map_or(&top, |(_, at)| at).clone();
            let resolved = self.path();
            let Some(node) = self.named(&folder, &resolved, &part)? else {
                return Err(self.missing(&folder, &resolved, &part, asked)?);
            };
            let here = join(&resolved, &part);
            match node.kind {
                Kind::Folder => self.folders.push((part, node.at)),
                Kind::Submodule => return Err(SnapshotError::Submodule(here)),
                Kind::Link => self.follow(&node, here, asked, &mut pending)?,
                Kind::File | Kind::Special => {
                    if pending.iter().any(|part| !part.is_empty() && part != ".") {
                        let (found, wanted) = (node.kind, Kind::Folder);
                        return Err(SnapshotError::WrongKind { path: here, found, wanted });
                    }
                    let mut path: Vec<String> =
                        self.folders.into_iter().map(|(name, _)| name).collect();
                    path.push(part);
                    return Ok(Found { kind: node.kind, at: node.at, path });
                }
            }
            if self.folders.len() > self.limits.depth {
                return Err(too_large(asked, self.limits.depth as u64, "folders within folders"));
            }
        }
        let at = self.folders.last().map_or(top, |(_, at)| at.clone());
        let path = self.folders.into_iter().map(|(name, _)| name).collect();
        Ok(Found { kind: Kind::Folder, at, path })
    }

    fn path(&self) -> String {
        let names: Vec<&str> = self.folders.iter().map(|(name, _)| name.as_str()).collect();
        names.join("/")
    }

    fn named(
        &self,
        folder: &S::At,
        resolved: &str,
        name: &str,
    ) -> Result<Option<Node<S::At>>, SnapshotError> {
        check_name(resolved, name)?;
        self.store.entry(folder, resolved, name)
    }

    fn follow(
        &mut self,
        node: &Node<S::At>,
        here: String,
        asked: &str,
        pending: &mut VecDeque<String>,
    ) -> Result<(), SnapshotError> {
        self.links_left =
            self.links_left.checked_sub(1).ok_or_else(|| SnapshotError::LinkLoop(shown(asked)))?;
        let target = self.store.target(&node.at, &here, LINK_TARGET_BYTES)?;
        let target = String::from_utf8_lossy(&target).into_owned();
        if target.starts_with('/') || target.contains(['\0', '\\']) {
            let target = target.escape_debug().to_string();
            return Err(SnapshotError::LinkEscapes { path: here, target });
        }
        for part in target.rsplit('/') {
            pending.push_front(part.to_owned());
        }
        self.link = Some((here, target));
        Ok(())
    }

    fn escape(&self, asked: &str) -> SnapshotError {
        match &self.link {
            Some((path, target)) => {
                SnapshotError::LinkEscapes { path: path.clone(), target: target.clone() }
            }
            None => SnapshotError::Escapes(shown(asked)),
        }
    }

    fn missing(
        &self,
        folder: &S::At,
        resolved: &str,
        part: &str,
        asked: &str,
    ) -> Result<SnapshotError, SnapshotError> {
        if let Some((path, target)) = &self.link {
            return Ok(SnapshotError::LinkDangles { path: path.clone(), target: target.clone() });
        }
        let entries = self.store.entries(folder, resolved)?;
        let names = entries.iter().map(|node| node.name.as_str());
        let nearest = nearest(part, names).into_iter().map(|name| join(resolved, name)).collect();
        let ignored = self.store.is_ignored(&join(resolved, part));
        Ok(SnapshotError::Missing {
            path: shown(asked),
            folder: resolved.to_owned(),
            nearest,
            ignored,
        })
    }
}

/// Reads a folder with all that is in it.
struct FolderReader<'a, S: Store> {
    store: &'a S,
    limits: &'a Limits,
    label: String,
    entries: BTreeMap<String, Arc<[u8]>>,
    bytes: u64,
    /// Files, folders and links seen so far: trees can be built that hold no file and never end.
    visited: usize,
    /// The folders being read by their resolved paths, outermost first: one that comes again is a circle.
    trail: Vec<Vec<String>>,
}

impl<S: Store> FolderReader<'_, S> {
    /// Reads the folder at `at`, whose resolved path is `path`, into entries below `prefix`.
    fn descend(&mut self, at: &S::At, path: &[String], prefix: &str) -> Result<(), SnapshotError> {
        if self.trail.len() >= self.limits.depth {
            return Err(too_large(&self.label, self.limits.depth as u64, "folders within folders"));
        }
        self.trail.push(path.to_vec());
        let resolved = path.join("/");
        let nodes = self.store.entries(at, &resolved)?;
        self.check_clashes(&nodes, &resolved)?;
        for node in nodes {
            check_name(&resolved, &node.name)?;
            self.visit(node, path, prefix)?;
        }
        self.trail.pop();
        Ok(())
    }

    fn visit(
        &mut self,
        node: Node<S::At>,
        folder: &[String],
        prefix: &str,
    ) -> Result<(), SnapshotError> {
        self.visited += 1;
        if self.visited > self.limits.folder_files {
            let limit = self.limits.folder_files as u64;
            return Err(too_large(&self.label, limit, "files and folders"));
        }
        let below = join(prefix, &node.name);
        let mut path = folder.to_vec();
        path.push(node.name);
        match node.kind {
            Kind::File => self.add(&node.at, &path, below),
            Kind::Folder => self.descend(&node.at, &path, &below),
            Kind::Link => self.follow(&path.join("/"), &below),
            Kind::Submodule => Err(SnapshotError::Submodule(path.join("/"))),
            Kind::Special => Err(not_a_file(path.join("/"), Kind::Special)),
        }
    }

    fn follow(&mut self, link: &str, below: &str) -> Result<(), SnapshotError> {
        let found = find(self.store, link, self.limits)?;
        match found.kind {
            Kind::File => self.add(&found.at, &found.path, below.to_owned()),
            Kind::Folder if self.trail.contains(&found.path) => {
                Err(SnapshotError::LinkLoop(link.to_owned()))
            }
            Kind::Folder => self.descend(&found.at, &found.path, below),
            kind => Err(not_a_file(link.to_owned(), kind)),
        }
    }

    fn add(&mut self, at: &S::At, path: &[String], below: String) -> Result<(), SnapshotError> {
        let content = read_file(self.store, at, &path.join("/"), self.limits)?;
        self.bytes = self.bytes.saturating_add(content.len() as u64);
        if self.bytes > self.limits.folder_bytes {
            return Err(too_large(&self.label, self.limits.folder_bytes, "bytes"));
        }
        self.entries.insert(below, content.into());
        Ok(())
    }

    /// Two names that differ in case alone are one file on other systems: what is read must not depend on that.
    fn check_clashes(&self, nodes: &[Node<S::At>], resolved: &str) -> Result<(), SnapshotError> {
        let mut seen = BTreeSet::new();
        for node in nodes {
            if !seen.insert(node.name.to_lowercase()) {
                return Err(SnapshotError::Name {
                    folder: shown(resolved),
                    name: node.name.escape_debug().to_string(),
                    problem: "differs from another one in upper and lower case alone",
                });
            }
        }
        Ok(())
    }
}
