//! What a commit holds: its files, and what they say of data that is kept elsewhere.

use std::collections::BTreeMap;

use jiff::Timestamp;
use sitewright_model::lineage::{EntityId, Grade, Relation};

use super::{MOST, Said, annex, dvc, gitconfig, shown};
use crate::{
    git::{
        MODE_COMMIT, MODE_FOLDER, MODE_LINK, Name, ObjectKind, Objects, Remote, TreeEntry, Want,
    },
    url::public,
};

/// Files and folders of one commit that are looked at.
const MOST_ENTRIES: usize = 1_000_000;

/// Folders within folders.
const DEEPEST: usize = 128;

/// Bytes of a file whose content is read: `dvc.lock` of a pipeline with a thousand stages has some 500 kB.
const FILE_BYTES: usize = 16 * 1024 * 1024;

/// What the text of a commit says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Commit {
    pub(super) tree: Name,
    pub(super) parents: Vec<Name>,
    pub(super) authored_at: Timestamp,
    pub(super) committed_at: Timestamp,
}

impl Commit {
    /// Reads the text of a commit. Who wrote it is not read: that is nobody's business here.
    pub(super) fn parse(bytes: &[u8]) -> Option<Self> {
        let end = bytes.windows(2).position(|two| two == b"\n\n").unwrap_or(bytes.len());
        let head = String::from_utf8_lossy(bytes.get(..end)?).into_owned();
        let (mut tree, mut parents, mut authored, mut committed) = (None, Vec::new(), None, None);
        for line in head.lines() {
            match line.split_once(' ') {
                Some(("tree", id)) => tree = Name::parse(id),
                Some(("parent", id)) => parents.push(Name::parse(id)?),
                Some(("author", rest)) => authored = time(rest),
                Some(("committer", rest)) => committed = time(rest),
                _ => {}
            }
        }
        Some(Self { tree: tree?, parents, authored_at: authored?, committed_at: committed? })
    }
}

/// Reads the time behind `NAME <MAIL> SECONDS ZONE`.
fn time(rest: &str) -> Option<Timestamp> {
    let seconds = rest.rsplit_once('>').map_or(rest, |(_, time)| time).split_whitespace().next()?;
    Timestamp::from_second(seconds.parse().ok()?).ok()
}

/// Every file of a commit, by path.
pub(super) struct Listing {
    entries: BTreeMap<String, TreeEntry>,
    folders: BTreeMap<String, Name>,
    /// Whether something is beyond the bounds, or not here.
    is_cut: bool,
}

impl Listing {
    /// Lists the tree `root`.
    pub(super) fn of(root: &Name, objects: &Objects) -> Self {
        let (entries, folders) = (BTreeMap::new(), BTreeMap::new());
        let mut listing = Self { entries, folders, is_cut: false };
        let mut next = vec![(String::new(), root.clone(), 0)];
        while let Some((path, id, depth)) = next.pop() {
            let Some(found) = objects.tree(&id) else {
                listing.is_cut = true;
                continue;
            };
            for entry in found {
                let at = match path.is_empty() {
                    true => entry.name.clone(),
                    false => format!("{path}/{}", entry.name),
                };
                if listing.entries.len() + listing.folders.len() >= MOST_ENTRIES {
                    listing.is_cut = true;
                    return listing;
                }
                if entry.mode != MODE_FOLDER {
                    listing.entries.insert(at, entry);
                } else if depth < DEEPEST {
                    listing.folders.insert(at.clone(), entry.id.clone());
                    next.push((at, entry.id, depth + 1));
                } else {
                    listing.is_cut = true;
                }
            }
        }
        listing
    }

    /// Returns what is at `path`, in words.
    pub(super) fn kind_at(&self, path: &str) -> &'static str {
        if self.folders.contains_key(path) {
            return "folder";
        }
        match self.entries.get(path).map(|entry| entry.mode) {
            Some(MODE_LINK) => "link",
            Some(MODE_COMMIT) => "submodule",
            Some(_) => "file",
            None if self.is_cut => "unknown",
            None => "missing",
        }
    }

    /// Returns whether git itself keeps what is at `path`.
    fn is_in_git(&self, path: &str) -> bool {
        self.entries.contains_key(path) || self.folders.contains_key(path)
    }

    /// Says what the files tell of data elsewhere; fetches those that are larger than what came with the commit.
    pub(super) fn say(&self, said: &mut Said, remote: &Remote<'_>, objects: &mut Objects) {
        self.bring_files(said, remote, objects);
        if self.is_cut {
            said.graded("files", "not all were looked at", Grade::Unknown);
        }
        self.say_submodules(said, objects);
        self.say_dvc(said, objects);
        self.say_pointers(said, objects);
    }

    fn bring_files(&self, said: &mut Said, remote: &Remote<'_>, objects: &mut Objects) {
        let is_read =
            |path: &str| matches!(path, ".gitmodules" | ".datalad/config") || dvc::is_file(path);
        let missing = self.entries.iter().filter(|(path, entry)| {
            is_read(path) && entry.mode != MODE_COMMIT && objects.get(&entry.id).is_none()
        });
        let ids: Vec<Name> = missing.take(MOST).map(|(_, entry)| entry.id.clone()).collect();
        if ids.is_empty() {
            return;
        }
        let count = ids.len();
        if let Err(error) = remote.fetch(Want { ids, ..Want::default() }, objects) {
            said.graded("files", format!("{count} could not be read: {error}"), Grade::Unknown);
        }
    }

    fn text<'o>(&self, path: &str, objects: &'o Objects) -> Option<&'o str> {
        let entry = self.entries.get(path)?;
        let bytes = objects.of_kind(&entry.id, ObjectKind::Blob)?;
        std::str::from_utf8(bytes).ok().filter(|text| text.len() <= FILE_BYTES)
    }

    /// Submodules of git and subdatasets of DataLad: commits of other repositories.
    fn say_submodules(&self, said: &mut Said, objects: &Objects) {
        if let Some(text) = self.text(".datalad/config", objects) {
            for (section, key, value) in gitconfig::parse(text) {
                if section == "datalad.dataset" && key == "id" {
                    said.fact("dataladDataset", value);
                }
            }
        }
        let links: Vec<(&String, &TreeEntry)> =
            self.entries.iter().filter(|(_, entry)| entry.mode == MODE_COMMIT).collect();
        if links.is_empty() {
            return;
        }
        said.fact("submodules", links.len().to_string());
        let modules = self.text(".gitmodules", objects).unwrap_or_default();
        let modules = gitconfig::Modules::parse(modules);
        for (path, entry) in links {
            let Some(commit) = EntityId::commit(entry.id.as_str()) else { continue };
            let module = modules.at(path);
            let is_dataset = module.is_some_and(|module| module.dataset.is_some());
            let what = if is_dataset { "subdataset" } else { "submodule" };
            said.edge(Relation::Expected, &commit, Grade::Resolved, &format!("{what} {path}"));
            let Some(module) = module else { continue };
            if let Some(url) = &module.url {
                // a relative address is relative to that of this repository
                said.of_other(&commit, "uri", format!("git+{}", public(url)), Grade::Resolved);
            }
            if let Some(dataset) = &module.dataset {
                said.of_other(&commit, "dataladDataset", dataset, Grade::Resolved);
            }
        }
    }

    fn say_dvc(&self, said: &mut Said, objects: &Objects) {
        let (mut files, mut broken) = (0_usize, 0_usize);
        for path in self.entries.keys().filter(|path| dvc::is_file(path)) {
            files += 1;
            let found = self.text(path, objects).and_then(|text| dvc::read(path, text));
            let Some(items) = found else {
                broken += 1;
                continue;
            };
            for item in items {
                self.say_item(said, path, &item);
            }
        }
        if files > 0 {
            said.fact("dvcFiles", files.to_string());
        }
        if broken > 0 {
            said.graded("dvcFilesUnread", broken.to_string(), Grade::Unknown);
        }
    }

    fn say_item(&self, said: &mut Said, file: &str, item: &dvc::Item) {
        // of code that a stage depends on the commit itself is the id
        if self.is_in_git(&item.path) {
            return;
        }
        let Some(data) = EntityId::data("dvc", &item.id) else { return };
        let at = format!("{file}: {}", item.path);
        match item.role {
            dvc::Role::Needed => {
                if !said.edge(Relation::Expected, &data, Grade::Resolved, &at) {
                    return;
                }
            }
            // what the stages make is theirs, and no input of who runs them
            dvc::Role::Made => {
                said.fact(&format!("dvcOutput.{}", shown(&item.path)), data.as_str());
                return;
            }
        }
        said.of_other(&data, "uri", format!("dvc:{}", item.id), Grade::Resolved);
        said.of_other(&data, "path", &item.path, Grade::Resolved);
        for (field, value) in [("size", item.size), ("files", item.files)] {
            if let Some(value) = value {
                said.of_other(&data, field, value.to_string(), Grade::Resolved);
            }
        }
        if item.id.ends_with(".dir") {
            said.of_other(&data, "list", "not in git: in the remote of DVC", Grade::Unknown);
        }
    }

    /// Files of git-annex and of Git LFS: in git there is a link or a pointer.
    fn say_pointers(&self, said: &mut Said, objects: &Objects) {
        let (mut annexed, mut in_lfs) = (0_usize, 0_usize);
        for (path, entry) in &self.entries {
            let Some(bytes) = objects.of_kind(&entry.id, ObjectKind::Blob) else { continue };
            let is_link = entry.mode == MODE_LINK;
            let key =
                if is_link { annex::key_of_link(bytes) } else { annex::key_of_pointer(bytes) };
            if let Some(key) = key {
                annexed += 1;
                let Some(data) = EntityId::data("annex", &key) else { continue };
                if said.edge(Relation::Expected, &data, Grade::Resolved, path) {
                    said.of_other(&data, "uri", format!("annex:{key}"), Grade::Resolved);
                    if let Some(size) = annex::size_of(&key) {
                        said.of_other(&data, "size", size.to_string(), Grade::Resolved);
                    }
                }
            } else if let Some(pointer) = (!is_link).then(|| annex::lfs_pointer(bytes)).flatten() {
                in_lfs += 1;
                let Some(data) = EntityId::data("sha256", &pointer.digest.hex()) else { continue };
                let at = format!("{path} (Git LFS)");
                if said.edge(Relation::Expected, &data, Grade::Resolved, &at) {
                    said.of_other(&data, "size", pointer.size.to_string(), Grade::Resolved);
                }
            }
        }
        if annexed > 0 {
            said.fact("annexedFiles", annexed.to_string());
        }
        if in_lfs > 0 {
            said.fact("lfsFiles", in_lfs.to_string());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn of_a_commit_times_and_trees_are_read_and_no_person() {
        let text = b"tree 4b825dc642cb6eb9a060e54bf8d69288fbee4904\nparent 0123456789abcdef0123456789abcdef01234567\n\
author A > B <a@b> 1700000000 +0100\ncommitter C <c@d> 1700000001 -0800\ngpgsig -----BEGIN\n tree no\n\nauthor x <y> 5 +0000\n";
        let commit = Commit::parse(text).unwrap();
        assert_eq!(commit.parents.len(), 1);
        assert_eq!(commit.authored_at.to_string(), "2023-11-14T22:13:20Z");
        assert_eq!(commit.committed_at.as_second(), 1_700_000_001);
        assert!(Commit::parse(b"tree x\n").is_none());
    }
}
