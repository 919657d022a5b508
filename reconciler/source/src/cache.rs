//! A store of content on disk by digest: what can be had or made again, kept to save the time.
//!
//! Losing it costs time and nothing else, so it never fails: what cannot be written is not kept, what
//! cannot be read is not there. Entries may hold secret values, so folders are 0700 and files 0600.

use std::{
    fs::{self, DirBuilder, File},
    io::{self, Read as _, Write as _},
    os::unix::fs::{DirBuilderExt as _, MetadataExt as _},
    path::{Path, PathBuf},
    sync::{
        Mutex, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
    time::{Duration, SystemTime},
};

use sitewright_model::{code, diagnostic::Diagnostic, digest::Digest};

/// Bytes of all entries together, unless the caller says otherwise: some hundred charts and renderings.
pub const DEFAULT_BYTES: u64 = 2 * 1024 * 1024 * 1024;

/// Bytes of one entry; larger content is not kept. Twice the largest folder that is read.
const ENTRY_BYTES: u64 = 128 * 1024 * 1024;

/// The first bytes of an entry; the last one counts changes of the format.
const MARK: &[u8; 8] = b"sitewr\0\x01";

/// The length of a digest as text.
const DIGEST_TEXT: usize = "sha256:".len() + 64;

/// How old a time of last use may be before reading renews it: most reads then write nothing.
const RENEWED_AFTER: Duration = Duration::from_secs(3600);

/// A file that a killed process left half written is removed after this time.
const ABANDONED_AFTER: Duration = Duration::from_secs(24 * 3600);

/// What an entry is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// The files of an upstream artifact, by the digest of its content.
    Artifact,
    /// What a renderer printed, by the digest of its input.
    Render,
}

/// A store of content on disk by digest.
pub struct Cache {
    folder: PathBuf,
    limit: u64,
    /// Bytes written since the store was last counted; at the limit's tenth it is counted again.
    written: AtomicU64,
    state: Mutex<State>,
}

/// Whether the store is of use.
enum State {
    /// Nothing has been written yet.
    Untried,
    /// It works.
    Works,
    /// It does not; the warning waits to be taken.
    Failed(Option<Diagnostic>),
}

impl Cache {
    /// Makes a store below `folder` of at most `limit` bytes; touches nothing yet.
    pub fn new(folder: impl Into<PathBuf>, limit: u64) -> Self {
        let (written, state) = (AtomicU64::new(0), Mutex::new(State::Untried));
        Self { folder: folder.into(), limit, written, state }
    }

    /// Returns the entry, or none. An entry that is damaged is removed.
    pub fn get(&self, kind: Kind, key: &Digest) -> Option<Vec<u8>> {
        if !is_ours(&self.folder_of(kind)) {
            return None;
        }
        let path = self.path(kind, key);
        let mut file = File::open(&path).ok()?;
        match read_entry(&mut file) {
            Ok(content) => {
                renew(&file);
                Some(content)
            }
            Err(error) => {
                tracing::debug!(path = %path.display(), %error, "a damaged entry of the cache is dropped");
                let _ = fs::remove_file(&path);
                None
            }
        }
    }

    /// Keeps `content`, if it can: the first time that it cannot, [`Cache::take_warning`] says why.
    pub fn put(&self, kind: Kind, key: &Digest, content: &[u8]) {
        if content.len() as u64 > ENTRY_BYTES.min(self.limit) || self.has_failed() {
            return;
        }
        match self.write(kind, key, content) {
            Ok(()) => self.count(content.len() as u64),
            Err(error) => self.fail(&error),
        }
    }

    /// Removes an entry whose content turned out not to be what its key says.
    pub fn remove(&self, kind: Kind, key: &Digest) {
        let _ = fs::remove_file(self.path(kind, key));
    }

    /// Returns the warning that nothing is kept any more, once.
    pub fn take_warning(&self) -> Option<Diagnostic> {
        match &mut *self.lock() {
            State::Failed(warning) => warning.take(),
            State::Untried | State::Works => None,
        }
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, State> {
        // The state is replaced as a whole, so a panic elsewhere cannot have left half of it.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn has_failed(&self) -> bool {
        matches!(&*self.lock(), State::Failed(_))
    }

    fn fail(&self, error: &io::Error) {
        let message = format!("the cache in `{}` cannot be used: {error}", self.folder.display());
        let warning = Diagnostic::warning(code::source::CACHE_UNUSABLE, message)
            .note("nothing is kept from now on, so everything takes the time of the first run")
            .help("free some space, or name a folder of your own with `--cache-dir`");
        let mut state = self.lock();
        if !matches!(&*state, State::Failed(_)) {
            *state = State::Failed(Some(warning));
        }
    }

    fn folder_of(&self, kind: Kind) -> PathBuf {
        self.folder.join(match kind {
            Kind::Artifact => "artifact",
            Kind::Render => "render",
        })
    }

    fn path(&self, kind: Kind, key: &Digest) -> PathBuf {
        self.folder_of(kind).join(key.hex())
    }

    /// Writes an entry beside its place and moves it there, so that nobody sees a part of it.
    ///
    /// Nothing is flushed to the disk: after a power cut an entry may be empty, and then its own
    /// digest tells.
    fn write(&self, kind: Kind, key: &Digest, content: &[u8]) -> io::Result<()> {
        let folder = self.folder_of(kind);
        DirBuilder::new().recursive(true).mode(0o700).create(&folder)?;
        if !is_ours(&folder) {
            return Err(io::Error::other(
                "its folder belongs to another user, or others may write to it",
            ));
        }
        let mut file = tempfile::Builder::new().prefix(".new-").tempfile_in(&folder)?;
        file.write_all(MARK)?;
        file.write_all(Digest::of(content).to_string().as_bytes())?;
        file.write_all(content)?;
        file.persist(self.path(kind, key)).map_err(|error| error.error)?;
        Ok(())
    }

    /// Counts what was written; now and then makes room.
    fn count(&self, bytes: u64) {
        let mut state = self.lock();
        let is_first = matches!(&*state, State::Untried);
        if is_first {
            *state = State::Works;
        }
        let written = self.written.fetch_add(bytes, Ordering::Relaxed).saturating_add(bytes);
        if is_first || written > self.limit / 10 {
            self.written.store(0, Ordering::Relaxed);
            self.make_room();
        }
    }

    /// Removes what was not used for the longest time until nine tenths of the limit are left.
    fn make_room(&self) {
        let mut entries = Vec::new();
        for kind in [Kind::Artifact, Kind::Render] {
            entries.extend(files_in(&self.folder_of(kind)));
        }
        let mut total: u64 = entries.iter().map(|entry| entry.bytes).sum();
        let enough = self.limit / 10 * 9;
        if total <= enough {
            return;
        }
        entries.sort_by_key(|entry| entry.used);
        for entry in entries {
            if total <= enough {
                return;
            }
            if fs::remove_file(&entry.path).is_ok() {
                total = total.saturating_sub(entry.bytes);
            }
        }
    }
}

/// One file of the store.
struct Entry {
    path: PathBuf,
    bytes: u64,
    used: SystemTime,
}

/// Returns the entries in a folder; removes what a killed process left half written.
fn files_in(folder: &Path) -> Vec<Entry> {
    let Ok(found) = fs::read_dir(folder) else { return Vec::new() };
    let mut entries = Vec::new();
    for file in found.flatten() {
        let Ok(metadata) = file.metadata() else { continue };
        let used = metadata.modified().unwrap_or(SystemTime::UNIX_EPOCH);
        if file.file_name().as_encoded_bytes().starts_with(b".new-") {
            if used.elapsed().is_ok_and(|age| age > ABANDONED_AFTER) {
                let _ = fs::remove_file(file.path());
            }
            continue;
        }
        entries.push(Entry { path: file.path(), bytes: metadata.len(), used });
    }
    entries
}

/// Returns whether nobody else can have written to the folder: what is in it decides what is applied.
fn is_ours(folder: &Path) -> bool {
    let Ok(metadata) = fs::symlink_metadata(folder) else { return false };
    let is_mine = metadata.uid() == rustix::process::geteuid().as_raw();
    metadata.is_dir() && is_mine && metadata.mode() & 0o022 == 0
}

fn read_entry(file: &mut File) -> io::Result<Vec<u8>> {
    let damaged = || io::Error::from(io::ErrorKind::InvalidData);
    let mut mark = [0; MARK.len()];
    let mut digest = [0; DIGEST_TEXT];
    file.read_exact(&mut mark)?;
    file.read_exact(&mut digest)?;
    let length = file.metadata()?.len().min(ENTRY_BYTES);
    let mut content = Vec::with_capacity(usize::try_from(length).unwrap_or_default());
    file.take(ENTRY_BYTES + 1).read_to_end(&mut content)?;
    if mark != *MARK || digest != *Digest::of(&content).to_string().as_bytes() {
        return Err(damaged());
    }
    Ok(content)
}

/// Notes that an entry was used.
fn renew(file: &File) {
    let modified = file.metadata().and_then(|metadata| metadata.modified());
    let is_old = modified.is_ok_and(|time| time.elapsed().is_ok_and(|age| age > RENEWED_AFTER));
    if is_old {
        let _ = file.set_modified(SystemTime::now());
    }
}

/// Returns how many bytes of files are in a folder and those within it; what cannot be read counts for nothing.
pub fn bytes_of(folder: &Path) -> u64 {
    let Ok(entries) = fs::read_dir(folder) else { return 0 };
    let bytes = entries.flatten().map(|entry| match entry.metadata() {
        Ok(metadata) if metadata.is_dir() => bytes_of(&entry.path()),
        Ok(metadata) => metadata.len(),
        Err(_) => 0,
    });
    bytes.sum()
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt as _;

    use super::*;

    fn cache(limit: u64) -> (tempfile::TempDir, Cache) {
        let folder = tempfile::tempdir().unwrap();
        let cache = Cache::new(folder.path().join("cache"), limit);
        (folder, cache)
    }

    fn key(text: &str) -> Digest {
        Digest::of(text)
    }

    #[test]
    fn what_is_put_is_got_by_kind_and_key() {
        let (_folder, cache) = cache(DEFAULT_BYTES);
        assert_eq!(cache.get(Kind::Render, &key("a")), None);
        cache.put(Kind::Render, &key("a"), b"content");
        assert_eq!(cache.get(Kind::Render, &key("a")).unwrap(), b"content");
        assert_eq!(cache.get(Kind::Artifact, &key("a")), None);
        assert_eq!(cache.get(Kind::Render, &key("b")), None);
        cache.remove(Kind::Render, &key("a"));
        assert_eq!(cache.get(Kind::Render, &key("a")), None);
        assert_eq!(cache.take_warning(), None);
    }

    #[test]
    fn others_can_read_nothing() {
        let (_folder, cache) = cache(DEFAULT_BYTES);
        cache.put(Kind::Render, &key("a"), b"content");
        let mode = |path: &Path| fs::metadata(path).unwrap().permissions().mode() & 0o777;
        assert_eq!(mode(&cache.folder_of(Kind::Render)), 0o700);
        assert_eq!(mode(&cache.path(Kind::Render, &key("a"))), 0o600);
    }

    #[test]
    fn damaged_entries_are_dropped() {
        let (_folder, cache) = cache(DEFAULT_BYTES);
        let path = cache.path(Kind::Render, &key("a"));
        let damages: [fn(&mut Vec<u8>); 4] = [
            |bytes| bytes.clear(),
            |bytes| bytes.truncate(100),
            |bytes| *bytes.last_mut().unwrap() ^= 1,
            |bytes| bytes[7] = 9,
        ];
        for damage in damages {
            cache.put(Kind::Render, &key("a"), &[7; 500]);
            let mut bytes = fs::read(&path).unwrap();
            damage(&mut bytes);
            fs::write(&path, bytes).unwrap();
            assert_eq!(cache.get(Kind::Render, &key("a")), None);
            assert!(!path.exists());
        }
    }

    #[test]
    fn what_was_not_used_for_longest_makes_room() {
        let (_folder, cache) = cache(10_000);
        let names: Vec<String> = (0..30).map(|number| number.to_string()).collect();
        for (age, name) in names.iter().rev().enumerate() {
            cache.put(Kind::Artifact, &key(name), &[0; 1000]);
            if let Ok(file) = File::open(cache.path(Kind::Artifact, &key(name))) {
                let used = SystemTime::now() - Duration::from_secs(60 * (age as u64 + 1));
                file.set_modified(used).unwrap();
            }
        }
        cache.make_room();
        let total: u64 = files_in(&cache.folder_of(Kind::Artifact)).iter().map(|e| e.bytes).sum();
        assert!(total <= 9_000, "{total}");
        assert!(cache.get(Kind::Artifact, &key("29")).is_some(), "the one used last stays");
        cache.put(Kind::Artifact, &key("large"), &[0; 20_000]);
        assert_eq!(cache.get(Kind::Artifact, &key("large")), None, "beyond the limit on its own");
    }

    #[test]
    fn a_folder_that_cannot_be_written_costs_one_warning() {
        let cache = Cache::new("/dev/null/cache", DEFAULT_BYTES);
        cache.put(Kind::Render, &key("a"), b"content");
        cache.put(Kind::Render, &key("b"), b"content");
        assert_eq!(cache.get(Kind::Render, &key("a")), None);
        let warning = cache.take_warning().unwrap();
        assert_eq!(warning.code, code::source::CACHE_UNUSABLE);
        assert_eq!(warning.severity, sitewright_model::diagnostic::Severity::Warning);
        assert_eq!(cache.take_warning(), None);
    }

    #[test]
    fn a_full_disk_leaves_nothing_half_written() {
        // /dev/full answers every write with ENOSPC; a folder cannot be on it, so the error itself is given.
        let (_folder, cache) = cache(DEFAULT_BYTES);
        cache.put(Kind::Render, &key("a"), b"content");
        cache.fail(&io::Error::from_raw_os_error(28));
        cache.put(Kind::Render, &key("b"), b"content");
        assert_eq!(
            cache.get(Kind::Render, &key("a")).unwrap(),
            b"content",
            "what is there is read"
        );
        assert_eq!(cache.get(Kind::Render, &key("b")), None);
        assert!(cache.take_warning().unwrap().message.contains("No space left"));
    }

    #[test]
    fn a_folder_that_others_may_write_to_is_not_believed() {
        let (_folder, cache) = cache(DEFAULT_BYTES);
        cache.put(Kind::Render, &key("a"), b"content");
        let folder = cache.folder_of(Kind::Render);
        fs::set_permissions(&folder, fs::Permissions::from_mode(0o777)).unwrap();
        assert_eq!(cache.get(Kind::Render, &key("a")), None);
        cache.put(Kind::Render, &key("b"), b"content");
        assert!(cache.take_warning().is_some());
    }

    #[test]
    fn writers_in_parallel_never_show_a_part() {
        let (_folder, cache) = cache(DEFAULT_BYTES);
        std::thread::scope(|scope| {
            for byte in 0..4_u8 {
                let cache = &cache;
                scope.spawn(move || {
                    for _ in 0..50 {
                        cache.put(Kind::Render, &key("same"), &vec![byte; 10_000]);
                        let content = cache.get(Kind::Render, &key("same")).unwrap();
                        assert!(content.iter().all(|found| *found == content[0]));
                    }
                });
            }
        });
    }
}
