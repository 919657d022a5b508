//! Mirrors: one bare repository on disk for each repository on a server, with the commits that were asked for.

use std::{
    cell::Cell,
    collections::HashSet,
    fs::{self, DirBuilder, File, OpenOptions, TryLockError},
    io,
    os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _},
    path::{Path, PathBuf},
    thread,
    time::{Duration, Instant, SystemTime},
};

use git2::{ObjectType, Oid, Repository};
use sitewright_model::{diagnostic::Diagnostics, digest::Digest};

use super::{
    GitError,
    http::HttpWire,
    pack::{Bounds, Checked},
    protocol::{RemoteReference, Session, Wire, Wish, refused_pack},
    refs, room,
    ssh::SshWire,
};
use crate::{
    history::{self, Led, Moved},
    location::Reference,
    settings::{Limits, Settings},
    snapshot::{SnapshotError, TREE_BYTES},
    url::Url,
};

/// Commits whose tree is here as a whole; the name is the commit id.
const COMPLETE: &str = "refs/sitewright/complete/";
/// What a reference meant when it was last asked for; the name is a digest of its text.
const ASKED: &str = "refs/sitewright/asked/";

/// Packs after which a mirror is made anew: libgit2 does not repack, and looks into each one.
const MOST_PACKS: usize = 64;

/// Commits that a server is told are here, to send what differs from them only.
const MOST_HAVES: usize = 16;

/// How often a lock that another process holds is tried.
const LOCK_POLL: Duration = Duration::from_millis(50);

/// A commit in a mirror.
pub(crate) struct Mirrored {
    pub(crate) repository: Repository,
    pub(crate) commit: Oid,
    pub(crate) in_use: InUse,
}

/// Keeps a mirror from being removed while it is read.
pub(crate) enum InUse {
    /// A shared lock on a file of the mirror.
    Locked { _file: File },
    /// The cache cannot be used: a mirror for this once.
    Temporary { _folder: tempfile::TempDir },
}

/// Returns the commit that `reference` means in the repository at `url`, with all its files; fetches what is missing.
pub(crate) fn open(
    url: &Url,
    reference: &Reference,
    settings: &Settings,
) -> Result<Mirrored, Diagnostics> {
    let mirror = Mirror::acquire(url, settings)?;
    let commit = if settings.offline {
        mirror.known(reference).ok_or_else(|| offline(url, reference))?
    } else {
        mirror.bring(reference)?
    };
    mirror.remember(reference, commit)?;
    if mirror.has_grown.get() {
        room::make_room(&settings.cache_dir.join("git"), settings.limits.mirrors_bytes);
    }
    Ok(Mirrored { repository: mirror.repository, commit, in_use: mirror.in_use })
}

/// How many commits are asked for, one after the other, to see whether one led to another.
const DEPTHS: [u32; 3] = [64, 1024, 16_384];

/// Returns how the reference `name` (none: the default branch) came from one commit to another.
pub(crate) fn moved(
    url: &Url,
    name: Option<&str>,
    before: Oid,
    after: Oid,
    settings: &Settings,
) -> Result<Moved, Diagnostics> {
    let mirror = Mirror::acquire(url, settings)?;
    if let Some(name) = name.filter(|_| !settings.offline)
        && mirror.is_tag(name)?
    {
        return Ok(Moved::Tag);
    }
    for depth in DEPTHS.into_iter().map(Some).chain([None]) {
        match history::led(&mirror.repository, before, after) {
            Led::Yes => return Ok(Moved::Forward),
            Led::No => return Ok(Moved::Rewritten),
            Led::TooLong => return Ok(Moved::Unknown),
            Led::Cut if settings.offline => return Ok(Moved::Unknown),
            Led::Cut => {}
        }
        let Some(depth) = depth else { break };
        let haves = if mirror.is_commit(before) { vec![before] } else { Vec::new() };
        mirror.fetch(&Wish {
            wants: vec![after],
            haves,
            depth: Some(depth),
            filter: Some("tree:0"),
            ..Wish::default()
        })?;
    }
    Ok(Moved::Unknown)
}

fn offline(url: &Url, reference: &Reference) -> GitError {
    let reference = reference.text().unwrap_or("HEAD").to_owned();
    GitError::Offline { repository: url.clone(), reference }
}

/// A mirror that this process alone may change.
struct Mirror<'a> {
    url: &'a Url,
    limits: &'a Limits,
    repository: Repository,
    in_use: InUse,
    /// Whether anything was fetched into it.
    has_grown: Cell<bool>,
    _changing: Option<File>,
}

// === impl Mirror: on disk ===

impl<'a> Mirror<'a> {
    fn acquire(url: &'a Url, settings: &'a Settings) -> Result<Self, GitError> {
        let name: String = Digest::of(url.address()).hex().chars().take(32).collect();
        let folder = settings.cache_dir.join("git").join(name);
        match prepare(&folder) {
            Ok((changing, using)) => Self::in_cache(url, settings, &folder, changing, using),
            Err(error) => {
                tracing::warn!(folder = %folder.display(), %error, "the cache cannot be used; fetching into a temporary folder");
                Self::in_temporary_folder(url, &settings.limits)
            }
        }
    }

    fn in_cache(
        url: &'a Url,
        settings: &'a Settings,
        folder: &Path,
        changing: File,
        using: File,
    ) -> Result<Self, GitError> {
        let store = |source| GitError::Store { repository: url.clone(), source };
        let patience = Duration::from_secs(settings.limits.fetch_seconds);
        if !wait_for_lock(&changing, patience).map_err(|error| store(io_error(&error)))? {
            return Err(GitError::Busy { repository: url.clone() });
        }
        let path = folder.join(room::REPOSITORY);
        // The time of the last use, for those who need room.
        let _ = changing.set_modified(SystemTime::now());
        room::sweep(&path);
        // Nobody reads it, and it has grown: begin again with what is asked for now.
        let is_outgrown = count_packs(&path) > MOST_PACKS && !settings.offline;
        if is_outgrown && using.try_lock().is_ok() {
            let _ = fs::remove_dir_all(&path);
            let _ = using.unlock();
        }
        using.lock_shared().map_err(|error| store(io_error(&error)))?;
        let packs = path.join("objects/pack");
        let missing = || git2::Error::from_str("no folder for packs");
        let found = Repository::open_bare(&path);
        let repository =
            found.and_then(|found| packs.is_dir().then_some(found).ok_or_else(missing));
        let repository = repository.or_else(|_| {
            // Not there yet, or cut off while it was made.
            let _ = fs::remove_dir_all(&path);
            Repository::init_bare(&path)
        });
        Ok(Self {
            url,
            limits: &settings.limits,
            repository: repository.map_err(store)?,
            in_use: InUse::Locked { _file: using },
            has_grown: Cell::new(false),
            _changing: Some(changing),
        })
    }

    fn in_temporary_folder(url: &'a Url, limits: &'a Limits) -> Result<Self, GitError> {
        let store = |source| GitError::Store { repository: url.clone(), source };
        let folder = tempfile::tempdir().map_err(|error| store(io_error(&error)))?;
        let repository = Repository::init_bare(folder.path()).map_err(store)?;
        let in_use = InUse::Temporary { _folder: folder };
        let has_grown = Cell::new(false);
        Ok(Self { url, limits, repository, in_use, has_grown, _changing: None })
    }

    /// Returns the commit that `reference` meant when it was last asked for.
    fn known(&self, reference: &Reference) -> Option<Oid> {
        let name = match reference {
            Reference::Commit(id) => format!("{COMPLETE}{id}"),
            other => asked_name(other),
        };
        self.repository.refname_to_id(&name).ok().filter(|commit| self.is_commit(*commit))
    }

    fn remember(&self, reference: &Reference, commit: Oid) -> Result<(), GitError> {
        let set = |name: &str| self.repository.reference(name, commit, true, "").map(drop);
        set(&format!("{COMPLETE}{commit}"))
            .and_then(|()| set(&asked_name(reference)))
            .map_err(|source| self.store_error(source))
    }

    /// Returns whether the commit and all its trees and files are here.
    ///
    /// # Errors
    /// A folder of the commit is larger than one that is read.
    fn has(&self, commit: Oid) -> Result<bool, GitError> {
        let marked = self.repository.refname_to_id(&format!("{COMPLETE}{commit}")).is_ok();
        // A mark without its commit is what a damaged mirror looks like.
        if marked && self.is_commit(commit) {
            return Ok(true);
        }
        match is_complete(&self.repository, commit) {
            Err(Incomplete::TooLarge) => {
                let what = format!("a folder of more than {TREE_BYTES} bytes of names");
                Err(GitError::TooLargeInside { repository: self.url.clone(), what })
            }
            Err(Incomplete::Missing) => Ok(false),
            Ok(()) => Ok(true),
        }
    }

    /// Returns commits that are here, to fetch what differs from them only.
    fn haves(&self) -> Vec<Oid> {
        let Ok(found) = self.repository.references_glob(&format!("{ASKED}*")) else {
            return Vec::new();
        };
        let mut haves: Vec<Oid> = found
            .flatten()
            .filter_map(|found| found.target())
            .filter(|commit| self.is_commit(*commit))
            .collect();
        haves.sort();
        haves.dedup();
        haves.truncate(MOST_HAVES);
        haves
    }

    fn store_error(&self, source: git2::Error) -> GitError {
        GitError::Store { repository: self.url.clone(), source }
    }
}

// === impl Mirror: from the server ===

impl Mirror<'_> {
    /// Finds out what `reference` means now, and fetches it unless it is here.
    fn bring(&self, reference: &Reference) -> Result<Oid, Diagnostics> {
        if let Some(commit) = self.known(reference)
            && matches!(reference, Reference::Commit(_))
        {
            return Ok(commit);
        }
        match reference {
            Reference::Commit(id) => self.bring_commit(id, reference),
            Reference::Default => self.bring_default(reference),
            Reference::Named(name) if name == refs::HEAD => self.bring_default(reference),
            Reference::Range { text, range } => {
                let tags = self.session()?.references(&["refs/tags/"])?;
                let names = names(&tags);
                let tag = refs::highest(range, &names).map_err(|highest| {
                    let (range, repository) = (text.clone(), self.url.to_string());
                    SnapshotError::NoVersion { range, repository, highest }
                })?;
                let full = format!("refs/tags/{tag}");
                let found = find(&tags, &full).ok_or_else(|| self.unknown(reference, &tags))?;
                Ok(self.bring_tip(found, reference)?)
            }
            Reference::Named(name) => self.bring_named(name, reference),
        }
    }

    fn bring_default(&self, reference: &Reference) -> Result<Oid, Diagnostics> {
        let mut session = self.session()?;
        let found = session.references(&["HEAD"])?;
        if let Some(head) = find(&found, "HEAD") {
            drop(session);
            return Ok(self.bring_tip(head, reference)?);
        }
        let all = session.references(&["refs/heads/"])?;
        if all.is_empty() {
            return Err(SnapshotError::Empty(self.url.to_string()).into());
        }
        Err(self.unknown(reference, &all).into())
    }

    fn bring_named(&self, name: &str, reference: &Reference) -> Result<Oid, Diagnostics> {
        let candidates = refs::candidates(name);
        let prefixes: Vec<&str> = candidates.iter().map(String::as_str).collect();
        let mut session = self.session()?;
        let found = session.references(&prefixes)?;
        if let Some(tip) = candidates.iter().find_map(|full| find(&found, full)) {
            drop(session);
            return Ok(self.bring_tip(tip, reference)?);
        }
        let all = session.references(&["refs/heads/", "refs/tags/"])?;
        drop(session);
        if all.is_empty() {
            return Err(SnapshotError::Empty(self.url.to_string()).into());
        }
        if !refs::is_commit_prefix(name) {
            return Err(self.unknown(reference, &all).into());
        }
        self.bring_by_prefix(name, reference, &all)
    }

    /// Finds a commit by the beginning of its id: what is here, then tips, then the whole history.
    fn bring_by_prefix(
        &self,
        prefix: &str,
        reference: &Reference,
        all: &[RemoteReference],
    ) -> Result<Oid, Diagnostics> {
        let is_it = |tip: &&RemoteReference| tip.commit.to_string().starts_with(prefix);
        let tips: Vec<&RemoteReference> = all.iter().filter(is_it).collect();
        if let Some(tip) = tips.first()
            && tips.iter().all(|other| other.commit == tip.commit)
        {
            return Ok(self.bring_tip(tip, reference)?);
        }
        self.fetch_history(all)?;
        let label = self.url.to_string();
        let commit =
            refs::commit_by_prefix(&self.repository, prefix, reference, &label, &names(all))?;
        Ok(commit)
    }

    fn bring_commit(&self, id: &str, reference: &Reference) -> Result<Oid, Diagnostics> {
        let wanted: Oid = id.parse().map_err(|source| self.store_error(source))?;
        let tip = RemoteReference { name: String::new(), id: wanted, commit: wanted };
        match self.bring_tip(&tip, reference) {
            // Some servers give out tips alone: then the history that leads to it is fetched.
            Err(GitError::Server { .. }) => {}
            other => return Ok(other?),
        }
        let all = self.session()?.references(&["refs/heads/", "refs/tags/"])?;
        self.fetch_history(&all)?;
        refs::commit_by_id(&self.repository, id).ok_or_else(|| self.unknown(reference, &all).into())
    }

    /// Fetches one commit with its files, unless it is here.
    fn bring_tip(&self, tip: &RemoteReference, reference: &Reference) -> Result<Oid, GitError> {
        if self.has(tip.commit)? {
            return Ok(tip.commit);
        }
        let wish = |haves| Wish { wants: vec![tip.id], haves, depth: Some(1), ..Wish::default() };
        self.fetch(&wish(self.haves()))?;
        if !self.has(tip.commit)? {
            // What we said is here was not, or the server took it for more: ask for all of it.
            self.fetch(&wish(Vec::new()))?;
        }
        if self.has(tip.commit)? {
            return Ok(tip.commit);
        }
        if !self.is_commit(tip.commit) {
            let asked = reference.text().unwrap_or("HEAD");
            let problem = format!("`{asked}` is not a commit, nor does it lead to one");
            return Err(GitError::Protocol { repository: self.url.clone(), problem });
        }
        Err(self.store_error(git2::Error::from_str("the server left out files of the commit")))
    }

    /// Returns whether `name` is a tag on the server.
    fn is_tag(&self, name: &str) -> Result<bool, GitError> {
        let candidates = refs::candidates(name);
        let prefixes: Vec<&str> = candidates.iter().map(String::as_str).collect();
        let found = self.session()?.references(&prefixes)?;
        let full = candidates.iter().find(|full| find(&found, full).is_some());
        Ok(full.is_some_and(|full| refs::is_tag(full)))
    }

    fn is_commit(&self, id: Oid) -> bool {
        self.repository.find_commit(id).is_ok()
    }

    fn fetch_history(&self, all: &[RemoteReference]) -> Result<(), GitError> {
        let tips: HashSet<Oid> = all.iter().map(|tip| tip.id).collect();
        let wants = tips.into_iter().collect();
        self.fetch(&Wish { wants, ..Wish::default() })
    }

    fn fetch(&self, wish: &Wish) -> Result<(), GitError> {
        let store = |source| self.store_error(source);
        let odb = self.repository.odb().map_err(store)?;
        let pack = odb.packwriter().map_err(store)?;
        let (object, total) = (self.limits.object_bytes, self.limits.inflated_bytes);
        let mut checked = Checked::new(pack, Bounds { object, total });
        self.session()?.fetch(wish, &mut checked)?;
        let mut pack =
            checked.finish().map_err(|refused| refused_pack(self.url.clone(), refused))?;
        self.has_grown.set(true);
        pack.commit().map(drop).map_err(store)
    }

    fn session(&self) -> Result<Session<'_>, GitError> {
        let (seconds, limit) = (self.limits.fetch_seconds, self.limits.fetch_bytes);
        let wire: Box<dyn Wire> = match self.url.scheme() {
            "ssh" => Box::new(SshWire::open(self.url, seconds, limit)?),
            _ => Box::new(HttpWire::new(self.url, seconds, limit)),
        };
        Session::start(wire, self.url)
    }

    fn unknown(&self, reference: &Reference, all: &[RemoteReference]) -> SnapshotError {
        refs::unknown(reference, &self.url.to_string(), &names(all))
    }
}

fn names(references: &[RemoteReference]) -> Vec<String> {
    references.iter().map(|found| found.name.clone()).collect()
}

fn find<'a>(references: &'a [RemoteReference], full: &str) -> Option<&'a RemoteReference> {
    references.iter().find(|found| found.name == full)
}

fn asked_name(reference: &Reference) -> String {
    format!("{ASKED}{}", Digest::of(reference.text().unwrap_or_default()).hex())
}

/// Why a commit cannot be read as a whole.
enum Incomplete {
    /// Something is not here, or damaged.
    Missing,
    /// A folder is beyond the bound: libgit2 takes one apart as a whole.
    TooLarge,
}

impl From<git2::Error> for Incomplete {
    fn from(_: git2::Error) -> Self {
        Self::Missing
    }
}

/// Checks that the commit, its trees and its files are all here; files are not read for it.
fn is_complete(repository: &Repository, commit: Oid) -> Result<(), Incomplete> {
    let odb = repository.odb()?;
    let mut pending = vec![repository.find_commit(commit)?.tree_id()];
    let mut seen = HashSet::new();
    while let Some(id) = pending.pop() {
        if !seen.insert(id) {
            continue;
        }
        if odb.read_header(id)?.0 > TREE_BYTES {
            return Err(Incomplete::TooLarge);
        }
        for entry in repository.find_tree(id)?.iter() {
            match entry.kind() {
                Some(ObjectType::Tree) => pending.push(entry.id()),
                Some(ObjectType::Blob) if seen.insert(entry.id()) && !odb.exists(entry.id()) => {
                    return Err(Incomplete::Missing);
                }
                _ => {}
            }
        }
    }
    Ok(())
}

/// Makes the folder of a mirror and opens its two lock files: who changes it, and who reads it.
pub(super) fn prepare(folder: &Path) -> io::Result<(File, File)> {
    DirBuilder::new().recursive(true).mode(0o700).create(folder)?;
    let open = |name: &str| {
        let path: PathBuf = folder.join(name);
        OpenOptions::new().create(true).truncate(false).write(true).mode(0o600).open(path)
    };
    Ok((open("changing.lock")?, open("reading.lock")?))
}

/// Returns whether the lock was had within `patience`.
fn wait_for_lock(file: &File, patience: Duration) -> io::Result<bool> {
    let end = Instant::now() + patience;
    loop {
        match file.try_lock() {
            Ok(()) => return Ok(true),
            Err(TryLockError::Error(error)) => return Err(error),
            Err(TryLockError::WouldBlock) if Instant::now() >= end => return Ok(false),
            Err(TryLockError::WouldBlock) => thread::sleep(LOCK_POLL),
        }
    }
}

fn count_packs(repository: &Path) -> usize {
    let Ok(entries) = fs::read_dir(repository.join("objects/pack")) else { return 0 };
    let is_pack = |path: PathBuf| path.extension().is_some_and(|extension| extension == "pack");
    entries.flatten().filter(|entry| is_pack(entry.path())).count()
}

fn io_error(error: &io::Error) -> git2::Error {
    git2::Error::from_str(&error.to_string().replace('\0', ""))
}
