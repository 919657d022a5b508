//! Directories by what they hold: models, most of all.
//!
//! Comes in: a folder, and how gently to read it ([`Gently`]). Goes out: two digests and the list of files
//! ([`Hashed`]). Never: follows a link out of the folder; holds more of a file in memory than a megabyte for each
//! thread; finishes once it is told to stop.
//!
//! Two digests, because neither is enough. `oms`, the root digest of OpenSSF model signing, is what signatures of
//! models name, but it does not bind the names of files: it is taken over their digests alone. `dirHash`, of in-toto and
//! Go modules, binds names, and is what a directory is called here. Both are taken over the same files: those that
//! model signing takes, so without what belongs to git, and without the signature.

use std::{
    collections::BTreeMap,
    fs::{self, File, Metadata},
    io::{self, Read as _},
    os::{fd::OwnedFd, unix::fs::MetadataExt as _},
    path::{Path, PathBuf},
    sync::atomic::{AtomicBool, Ordering},
};

use jiff::Timestamp;
use rayon::prelude::*;
use rustix::fs::{Mode, OFlags};
use sha2::{Digest as _, Sha256};
use sitewright_model::{
    digest::Digest,
    lineage::{EntityId, EntityKind, Grade, Relation, Source, Statement},
};

use super::shown;

/// Files of one folder; the largest model of safetensors has some hundred, a dataset a million.
const MOST_FILES: usize = 2_000_000;

/// Folders within folders.
const DEEPEST: usize = 128;

/// Bytes that a thread reads at a time; between two of them it asks whether to go on.
pub(super) const STEP: usize = 1024 * 1024;

/// What model signing leaves out at the top: what belongs to git.
const OF_GIT: [&str; 4] = [".git", ".gitattributes", ".github", ".gitignore"];

/// What the command of model signing calls a signature unless it is told otherwise.
const SIGNATURE: &str = "model.sig";

/// How a folder is read, so that nothing else waits for it.
pub struct Gently<'g> {
    /// Threads; they give way to all others of this machine.
    pub threads: usize,
    /// Once it is true, the hashing ends within a step.
    pub stop: &'g AtomicBool,
    /// Called after each step with the bytes of it, on the thread that read them; it may sleep.
    pub pace: &'g (dyn Fn(usize) + Sync),
    /// Further paths that are left out, relative to the folder: where the signature is.
    pub left_out: Vec<String>,
    /// What is done with links.
    pub links: Links,
}

/// What is done with symbolic links.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Links {
    /// A folder with a link has no digest, as with model signing.
    #[default]
    Refuse,
    /// A link to a file of the same folder counts as the file, as with `--allow-symlinks` of model signing; other
    /// links are refused.
    Inside,
}

/// What a folder holds.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Hashed {
    /// The root digest of model signing, with `files` and SHA-256.
    pub oms: Digest,
    /// The digest that binds names too: of lines `HEX  PATH`, in order of the bytes of the paths.
    pub dir_hash: Digest,
    /// Digest and size of every file, in order of the bytes of the paths.
    pub files: BTreeMap<String, (Digest, u64)>,
    /// How it is known: observed, unless a store's word was taken for a file.
    pub grade: Grade,
}

/// Why a folder has no digest.
#[derive(Debug, thiserror::Error)]
pub enum TreeError {
    /// It was told to stop.
    #[error("it was stopped")]
    Stopped,
    /// A link, where links are refused, or one that leads out of the folder.
    #[error("`{0}` is a symbolic link")]
    Link(String),
    /// A pipe, a socket, a device.
    #[error("`{0}` is neither a file nor a folder")]
    Special(String),
    /// A name that other programs would read in another way.
    #[error("a name in `{0}` is not UTF-8, or has a line feed")]
    Name(String),
    /// It changed meanwhile, so no digest is that of any state that it was in.
    #[error("`{0}` was changed while it was read")]
    Changed(String),
    /// Too many files, or folders within folders.
    #[error("it has more than {0}")]
    TooLarge(&'static str),
    /// The system does not let us read.
    #[error("`{path}` cannot be read")]
    Unreadable {
        /// The path, relative to the folder.
        path: String,
        /// What the system says.
        source: io::Error,
    },
}

/// Hashes the folder at `path`.
///
/// Costs one reading of every file. Blocks; the threads are its own and end with it.
///
/// # Errors
/// It holds something that has no digest, changes meanwhile, or was told to stop.
pub fn hash(path: &Path, gently: &Gently<'_>) -> Result<Hashed, TreeError> {
    hash_within(path, "", gently)
}

/// Hashes the folder or the single file `inner` below the folder at `root`, without following a link on the way: others
/// may write below it.
///
/// # Errors
/// As of [`hash`].
pub fn hash_within(root: &Path, inner: &str, gently: &Gently<'_>) -> Result<Hashed, TreeError> {
    let root = root.canonicalize().map_err(|source| unreadable("", source))?;
    let inner = inner.trim_matches('/');
    let base = if inner.is_empty() { root.clone() } else { root.join(inner) };
    let place = base.canonicalize().map_err(|source| unreadable(inner, source))?;
    if place != base {
        return Err(TreeError::Link(inner.to_owned()));
    }
    let (base, listed): (PathBuf, Vec<(String, String)>) = if base.is_file() {
        let name = inner.rsplit('/').next().unwrap_or(inner).to_owned();
        (base.parent().map(Path::to_owned).unwrap_or_default(), vec![(name.clone(), name)])
    } else {
        let listed = list(&base, gently)?.into_iter().collect();
        (base, listed)
    };
    let inner = base.strip_prefix(&root).ok().and_then(Path::to_str).unwrap_or_default();
    let pool = rayon::ThreadPoolBuilder::new()
        .num_threads(gently.threads.max(1))
        .thread_name(|index| format!("tree-{index}"))
        .start_handler(|_| give_way())
        .build()
        .map_err(|error| unreadable("", io::Error::other(error)))?;
    let digested: Result<BTreeMap<String, (Digest, u64)>, TreeError> = pool.install(|| {
        listed
            .par_iter()
            .with_max_len(1)
            .map(|(name, target)| {
                Ok((name.clone(), digest_of(&root, inner, name, target, gently)?))
            })
            .collect()
    });
    let files = digested?;
    Ok(Hashed::of(files, Grade::Observed))
}

/// Lets every other thread of this machine go first.
fn give_way() {
    // without the right to it, threads are merely not as gentle
    let _ = rustix::process::setpriority_process(None, 19);
}

/// Returns the root digest of model signing: over the digests, in order of the parts of the paths.
fn oms(files: &BTreeMap<String, (Digest, u64)>) -> Digest {
    let mut ordered: Vec<(Vec<&str>, &Digest)> =
        files.iter().map(|(path, (digest, _))| (path.split('/').collect(), digest)).collect();
    ordered.sort();
    let mut hasher = Sha256::new();
    for (_, digest) in ordered {
        hasher.update(digest.bytes());
    }
    Digest::from_bytes(hasher.finalize().into())
}

/// Returns `dirHash`, as in-toto has it from the Go modules (`Hash1`).
fn dir_hash(files: &BTreeMap<String, (Digest, u64)>) -> Digest {
    let mut hasher = Sha256::new();
    for (path, (digest, _)) in files {
        hasher.update(digest.hex());
        hasher.update("  ");
        hasher.update(path);
        hasher.update("\n");
    }
    Digest::from_bytes(hasher.finalize().into())
}

/// Returns every file by its name, and where it is: elsewhere if the name is that of a link.
fn list(root: &Path, gently: &Gently<'_>) -> Result<BTreeMap<String, String>, TreeError> {
    let mut files = BTreeMap::new();
    let mut next = vec![(String::new(), 0)];
    while let Some((folder, depth)) = next.pop() {
        let entries = fs::read_dir(root.join(&folder));
        for entry in entries.map_err(|source| unreadable(&folder, source))? {
            if gently.stop.load(Ordering::Relaxed) {
                return Err(TreeError::Stopped);
            }
            let entry = entry.map_err(|source| unreadable(&folder, source))?;
            let name = entry.file_name();
            let name = name.to_str().filter(|name| !name.contains('\n'));
            let name = name.ok_or_else(|| TreeError::Name(folder.clone()))?;
            let path = if folder.is_empty() { name.to_owned() } else { format!("{folder}/{name}") };
            if is_left_out(&path, gently) {
                continue;
            }
            let kind = entry.file_type().map_err(|source| unreadable(&path, source))?;
            if kind.is_symlink() {
                files.insert(path.clone(), behind_link(root, &path, gently)?);
            } else if kind.is_dir() && depth < DEEPEST {
                next.push((path, depth + 1));
            } else if kind.is_dir() {
                return Err(TreeError::TooLarge("the folders within folders that are read"));
            } else if kind.is_file() {
                files.insert(path.clone(), path);
            } else {
                return Err(TreeError::Special(path));
            }
            if files.len() > MOST_FILES {
                return Err(TreeError::TooLarge("the files that are read"));
            }
        }
    }
    Ok(files)
}

/// Returns whether a file is none of a model: what belongs to git, and the signature.
pub(super) fn is_left_out(path: &str, gently: &Gently<'_>) -> bool {
    OF_GIT.contains(&path) || path == SIGNATURE || gently.left_out.iter().any(|one| one == path)
}

/// Returns the file of the same folder that a link leads to.
fn behind_link(root: &Path, path: &str, gently: &Gently<'_>) -> Result<String, TreeError> {
    let refused = || TreeError::Link(path.to_owned());
    if gently.links == Links::Refuse {
        return Err(refused());
    }
    let target: PathBuf = root.join(path).canonicalize().map_err(|_| refused())?;
    let inside = target.strip_prefix(root).ok().filter(|_| target.is_file());
    inside.and_then(Path::to_str).map(str::to_owned).ok_or_else(refused)
}

/// Returns digest and size of the file at `target` within `inner`, which goes by `name`.
fn digest_of(
    root: &Path,
    inner: &str,
    name: &str,
    target: &str,
    gently: &Gently<'_>,
) -> Result<(Digest, u64), TreeError> {
    let failed = |source: io::Error| unreadable(name, source);
    let target = if inner.is_empty() { target.to_owned() } else { format!("{inner}/{target}") };
    let mut file = open_within(root, &target).map_err(failed)?;
    let before = file.metadata().map_err(failed)?;
    if !before.is_file() {
        return Err(TreeError::Changed(name.to_owned()));
    }
    read_once(&file);
    let mut hasher = Sha256::new();
    let mut buffer = vec![0; STEP.min(usize::try_from(before.len()).unwrap_or(STEP).max(4096))];
    let mut size = 0;
    loop {
        if gently.stop.load(Ordering::Relaxed) {
            return Err(TreeError::Stopped);
        }
        let count = file.read(&mut buffer).map_err(failed)?;
        if count == 0 {
            break;
        }
        hasher.update(buffer.get(..count).unwrap_or_default());
        size += count as u64;
        (gently.pace)(count);
    }
    let after = file.metadata().map_err(failed)?;
    if size != before.len() || state(&before) != state(&after) {
        return Err(TreeError::Changed(name.to_owned()));
    }
    Ok((Digest::from_bytes(hasher.finalize().into()), size))
}

fn state(metadata: &Metadata) -> (u64, i64, i64, i64, i64) {
    let (modified, changed) = (metadata.mtime(), metadata.ctime());
    (metadata.len(), modified, metadata.mtime_nsec(), changed, metadata.ctime_nsec())
}

/// Opens a file of the folder, part by part: no link is followed on the way, also not one that was put there since.
fn open_within(root: &Path, path: &str) -> io::Result<File> {
    let folder = OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    // a pipe is not waited for
    let plain = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::CLOEXEC;
    let mut at: OwnedFd = rustix::fs::open(root, folder, Mode::empty())?;
    let mut parts = path.split('/').peekable();
    while let Some(part) = parts.next() {
        if matches!(part, "" | "." | "..") {
            return Err(io::ErrorKind::InvalidInput.into());
        }
        let flags = if parts.peek().is_some() { folder } else { plain };
        at = rustix::fs::openat(&at, part, flags, Mode::empty())?;
    }
    Ok(File::from(at))
}

/// Tells the system that the file is read once, from front to back: what others read stays in its cache.
#[cfg(target_os = "linux")]
fn read_once(file: &File) {
    for advice in [rustix::fs::Advice::Sequential, rustix::fs::Advice::NoReuse] {
        let _ = rustix::fs::fadvise(file, 0, None, advice);
    }
}

#[cfg(not(target_os = "linux"))]
fn read_once(_: &File) {}

fn unreadable(path: &str, source: io::Error) -> TreeError {
    TreeError::Unreadable { path: path.to_owned(), source }
}

// === impl Gently ===

impl<'g> Gently<'g> {
    /// Makes one with a single thread, at full speed, until `stop`.
    pub fn new(stop: &'g AtomicBool) -> Self {
        let (left_out, links) = (Vec::new(), Links::Refuse);
        Self { threads: 1, stop, pace: &|_| {}, left_out, links }
    }
}

// === impl Hashed ===

impl Hashed {
    /// Takes the digests and sizes of all files.
    pub(super) fn of(files: BTreeMap<String, (Digest, u64)>, grade: Grade) -> Self {
        Self { oms: oms(&files), dir_hash: dir_hash(&files), files, grade }
    }

    /// Returns what the directory is called.
    pub fn id(&self) -> EntityId {
        EntityId::tree(self.dir_hash)
    }

    /// Returns the bytes of all files.
    pub fn bytes(&self) -> u64 {
        self.files.values().map(|(_, size)| size).sum()
    }

    /// Returns the list of files as lines of `sha256sum`, whose digest is `dirHash`: `sha256sum -c` reads it.
    pub fn manifest(&self) -> String {
        let line =
            |(path, (digest, _)): (&String, &(Digest, u64))| format!("{}  {path}\n", digest.hex());
        self.files.iter().map(line).collect()
    }

    /// Returns what there is to say of it, and that `name` led to it at `now`.
    pub fn statements(&self, name: &EntityId, now: Timestamp) -> Vec<Statement> {
        let (id, grade, source) = (self.id(), self.grade, Source::rule("hashed by the recorder"));
        let fact = |field: &str, value: String| Statement::fact(&id, field, value, grade, &source);
        let mut said = vec![
            fact("dirHash", self.dir_hash.to_string()),
            fact("oms", self.oms.to_string()),
            fact("files", self.files.len().to_string()),
            fact("bytes", self.bytes().to_string()),
        ];
        if name.kind() == EntityKind::Ref {
            said.push(fact("uri", shown(&crate::url::public(name.rest()))));
            let last = name.rest().trim_end_matches('/').rsplit('/').next();
            said.extend(last.map(|last| fact("name", shown(last))));
        }
        let then = Source::rule(format!("hashed by the recorder at {now}"));
        said.push(Statement::edge(name, Relation::LedTo, &id, grade, &then));
        said
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::symlink;

    use super::*;

    fn write(folder: &Path, path: &str, text: &str) {
        let path = folder.join(path);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, text).unwrap();
    }

    fn hashed(folder: &Path) -> Result<Hashed, TreeError> {
        hash(folder, &Gently::new(&AtomicBool::new(false)))
    }

    #[test]
    fn names_are_bound_by_the_one_digest_and_not_by_the_other() {
        let (one, other) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        write(one.path(), "a", "x");
        write(other.path(), "b", "x");
        let (one, other) = (hashed(one.path()).unwrap(), hashed(other.path()).unwrap());
        assert_eq!(one.oms, other.oms);
        assert_ne!(one.id(), other.id());
        assert_eq!(Digest::of(one.manifest()), one.dir_hash);
    }

    #[test]
    fn links_are_refused_or_stay_inside_and_nothing_else_is_read() {
        let folder = tempfile::tempdir().unwrap();
        write(folder.path(), "a", "x");
        symlink("a", folder.path().join("b")).unwrap();
        assert!(matches!(hashed(folder.path()), Err(TreeError::Link(path)) if path == "b"));
        let stop = AtomicBool::new(false);
        let inside = || Gently { links: Links::Inside, ..Gently::new(&stop) };
        assert_eq!(hash(folder.path(), &inside()).unwrap().files.len(), 2);
        symlink("/etc/hostname", folder.path().join("c")).unwrap();
        assert!(
            matches!(hash(folder.path(), &inside()), Err(TreeError::Link(path)) if path == "c")
        );
        let within = hash_within(folder.path(), "c", &inside());
        assert!(matches!(within, Err(TreeError::Link(path)) if path == "c"));
        assert_eq!(hash_within(folder.path(), "a", &inside()).unwrap().files.len(), 1);
        assert!(open_within(folder.path(), "c").is_err());
        assert!(open_within(folder.path(), "../x").is_err());
    }

    #[test]
    fn it_ends_when_it_is_told_to_and_paces_itself() {
        let folder = tempfile::tempdir().unwrap();
        write(folder.path(), "a", &"x".repeat(5 * STEP));
        let stop = AtomicBool::new(false);
        let pace = |_| stop.store(true, Ordering::Relaxed);
        let gently = Gently { pace: &pace, ..Gently::new(&stop) };
        assert!(matches!(hash(folder.path(), &gently), Err(TreeError::Stopped)));
    }

    #[test]
    fn what_changes_while_it_is_read_has_no_digest() {
        let folder = tempfile::tempdir().unwrap();
        write(folder.path(), "a", &"x".repeat(2 * STEP));
        let path = folder.path().join("a");
        let pace = |_| fs::write(&path, "y").unwrap();
        let stop = AtomicBool::new(false);
        let gently = Gently { pace: &pace, ..Gently::new(&stop) };
        assert!(matches!(hash(folder.path(), &gently), Err(TreeError::Changed(_))));
    }
}
