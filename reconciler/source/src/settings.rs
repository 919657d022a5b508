//! What the caller decides: where the cache is, mirrors, whether the network may be used, bounds.

use std::{
    fmt, fs,
    io::{self, Read as _},
    path::{Path, PathBuf},
};

use serde::Deserialize;
use sitewright_model::{
    code::{self, Code},
    diagnostic::Diagnostics,
    yaml,
};

use crate::{
    error::Numbered,
    url::{Url, public},
};

/// Bytes of a file of mirrors; real ones have a few lines.
const MIRRORS_BYTES: u64 = 1024 * 1024;

/// What the caller decides about reading sources.
#[derive(Clone, Debug)]
pub struct Settings {
    /// The folder for mirrored repositories and cached content; made when it is needed.
    pub cache_dir: PathBuf,
    /// Addresses that are read from another place.
    pub mirrors: Vec<Mirror>,
    /// Whether the network is left alone: only what is on this machine already can be read.
    pub offline: bool,
    /// The helm program; else the environment variable `SITEWRIGHT_HELM`, else `helm` on the PATH.
    pub helm: Option<PathBuf>,
    /// How much is read at most.
    pub limits: Limits,
}

impl Settings {
    /// Makes settings with this cache, no mirrors, the network allowed, and the default bounds.
    pub fn new(cache_dir: impl Into<PathBuf>) -> Self {
        Self {
            cache_dir: cache_dir.into(),
            mirrors: Vec::new(),
            offline: false,
            helm: None,
            limits: Limits::default(),
        }
    }
}

/// An address that is read from another place, as with git's `url.<base>.insteadOf`.
#[derive(Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Mirror {
    /// The beginning of the addresses, for example `https://github.com/`.
    pub from: String,
    /// What to read instead of it, for example `https://mirror.example.edu/github/`.
    pub to: String,
}

/// Where a mirror leads may hold credentials, so they are left out.
impl fmt::Debug for Mirror {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Mirror({} -> {})", public(&self.from), public(&self.to))
    }
}

/// The file of mirrors.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct MirrorFile {
    mirrors: Vec<Mirror>,
}

impl Mirror {
    /// Reads a file of mirrors: `mirrors: [{from: …, to: …}]`.
    pub fn read_file(path: &Path) -> Result<Vec<Self>, Diagnostics> {
        let name = path.display().to_string();
        let mut bytes = Vec::new();
        fs::File::open(path)
            .and_then(|file| file.take(MIRRORS_BYTES + 1).read_to_end(&mut bytes))
            .map_err(|source| MirrorError::Unreadable { path: name.clone(), source })?;
        let wrong = |problem: String| MirrorError::File { path: name.clone(), problem };
        if bytes.len() as u64 > MIRRORS_BYTES {
            return Err(wrong(format!("it has more than {MIRRORS_BYTES} bytes")).into());
        }
        let document = yaml::parse_values(yaml::text_of(&name, &bytes)?)
            // The text is not shown: addresses of mirrors may hold credentials.
            .map_err(|mistake| mistake.at(&name, "".into()))?
            .pop()
            .ok_or_else(|| wrong("it is empty".to_owned()))?;
        // Nor is what the reader says of it, which may quote it.
        let file = MirrorFile::deserialize(&document)
            .map_err(|_| wrong("`mirrors` is no list of `from` and `to`".to_owned()))?;
        for mirror in &file.mirrors {
            if mirror.from.is_empty() || Url::parse(&mirror.to).is_err() {
                let (from, to) = (public(&mirror.from), public(&mirror.to));
                return Err(MirrorError::Target { from, to }.into());
            }
        }
        Ok(file.mirrors)
    }
}

/// How much is read at most. The defaults leave room for what is real and stop what is not.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Bytes of one file. The largest file of CRDs in use is about 7 MB (KServe).
    pub file_bytes: u64,
    /// Bytes of one folder. The largest chart in use unpacks to about 10 MB.
    pub folder_bytes: u64,
    /// Files of one folder.
    pub folder_files: usize,
    /// Folders within folders.
    pub depth: usize,
    /// Symbolic links on the way to one file; the number that Linux allows.
    pub links: usize,
    /// Bytes of one fetch from a git server. A first fetch takes every file of one commit.
    pub fetch_bytes: u64,
    /// Bytes of one object of a fetch; GitHub takes files of up to 100 MiB. A delta takes twice as much memory.
    pub object_bytes: u64,
    /// Bytes of all objects of a fetch, inflated.
    pub inflated_bytes: u64,
    /// Bytes of all mirrors of git repositories together; the one that was not used for longest goes first.
    pub mirrors_bytes: u64,
    /// Seconds of one fetch from a git server, from the first byte to the last.
    pub fetch_seconds: u64,
    /// Bytes of one download. The index of a large chart repository reaches 30 MB.
    pub download_bytes: u64,
    /// Seconds of one download.
    pub download_seconds: u64,
    /// Seconds that helm may take for one chart.
    pub helm_seconds: u64,
    /// Bytes that helm may print for one chart.
    pub helm_bytes: u64,
}

impl Default for Limits {
    fn default() -> Self {
        const MIB: u64 = 1024 * 1024;
        Self {
            file_bytes: 16 * MIB,
            folder_bytes: 64 * MIB,
            folder_files: 10_000,
            depth: 32,
            links: 40,
            fetch_bytes: 1024 * MIB,
            object_bytes: 128 * MIB,
            inflated_bytes: 8 * 1024 * MIB,
            mirrors_bytes: 4 * 1024 * MIB,
            fetch_seconds: 600,
            download_bytes: 64 * MIB,
            download_seconds: 300,
            helm_seconds: 60,
            helm_bytes: 64 * MIB,
        }
    }
}

/// The file of mirrors cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum MirrorError {
    /// The file cannot be read.
    #[error("the file of mirrors `{path}` cannot be read")]
    Unreadable {
        /// The file.
        path: String,
        /// What the system says.
        source: io::Error,
    },
    /// The file does not have the form that it must have.
    #[error("the file of mirrors `{path}` is not as it must be: {problem}")]
    File {
        /// The file.
        path: String,
        /// What is wrong.
        problem: String,
    },
    /// A mirror leads to something that is not an address.
    #[error("mirror of `{from}` leads to `{to}`, which is not an address")]
    Target {
        /// The address that is mirrored.
        from: String,
        /// Where to, without credentials.
        to: String,
    },
}

impl Settings {
    /// Returns where `url` is read from: the mirror with the longest fitting beginning, else `url` itself.
    pub fn mirrored(&self, url: &Url) -> Result<Url, MirrorError> {
        let address = url.address();
        let best = self
            .mirrors
            .iter()
            .filter_map(|mirror| Some((mirror, address.strip_prefix(&mirror.from)?)))
            .max_by_key(|(mirror, _)| mirror.from.len());
        let Some((mirror, rest)) = best else { return Ok(url.clone()) };
        Url::parse(&format!("{}{rest}", mirror.to))
            .map_err(|_| MirrorError::Target { from: public(&mirror.from), to: public(&mirror.to) })
    }
}

impl Numbered for MirrorError {
    fn code(&self) -> Code {
        code::source::BAD_MIRRORS
    }

    fn help(&self) -> Option<String> {
        Some(
            "write `mirrors: [{from: https://github.com/, to: https://mirror.example.edu/github/}]`"
                .to_owned(),
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_longest_beginning_wins() {
        let mut settings = Settings::new("cache");
        let mirror = |from: &str, to: &str| Mirror { from: from.into(), to: to.into() };
        settings.mirrors = vec![
            mirror("https://h/", "https://m/all/"),
            mirror("https://h/lab/", "file:///srv/lab/"),
        ];
        let to = |text: &str| settings.mirrored(&Url::parse(text).unwrap()).unwrap().to_string();
        assert_eq!(to("https://h/x.git"), "https://m/all/x.git");
        assert_eq!(to("https://u:p@h/lab/x.git"), "file:///srv/lab/x.git");
        assert_eq!(to("https://other/x.git"), "https://other/x.git");
    }

    #[test]
    fn a_file_of_mirrors_is_read_and_its_mistakes_are_named() {
        let file = tempfile::NamedTempFile::new().unwrap();
        let read = |text: &str| {
            fs::write(file.path(), text).unwrap();
            Mirror::read_file(file.path())
        };
        let mirrors =
            read("mirrors:\n  - { from: \"https://h/\", to: \"file:///srv/h/\" }\n").unwrap();
        assert_eq!(mirrors[0].to, "file:///srv/h/");
        for text in [
            "",
            "mirrors: 3",
            "mirror: []",
            "mirrors: [{from: x}]",
            "mirrors: [{from: x, to: y}]",
            "a: [",
        ] {
            assert!(read(text).is_err(), "{text}");
        }
        let error = read("mirrors: [{from: x, to: 'https://u:canary@h h/'}]").unwrap_err();
        assert!(!format!("{error:?}").contains("canary"), "{error:?}");
        for text in [
            "mirrors: 'https://u:canary@h/'",
            "mirrors: [{from: x, to: y, 'https://u:canary@h/': 1}]",
        ] {
            let error = read(text).unwrap_err();
            assert!(!format!("{error:?}").contains("canary"), "{error:?}");
        }
        read(&format!("mirrors: []\n#{}", "x".repeat(1 << 20))).unwrap_err();
        assert!(Mirror::read_file(Path::new("/no/such")).is_err());
    }
}
