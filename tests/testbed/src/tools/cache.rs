//! Where built programs are kept: one folder each in the user cache, named by version and digest.

use std::{
    fs::{self, File},
    path::{Path, PathBuf},
};

use anyhow::{Context, Result};

use super::{Tool, build};

/// The testbed's folder in the user cache: `$XDG_CACHE_HOME/sitewright`, or `~/.cache/sitewright`.
///
/// # Errors
/// Neither `XDG_CACHE_HOME` nor `HOME` is set.
pub fn cache_dir() -> Result<PathBuf> {
    let root = std::env::var_os("XDG_CACHE_HOME")
        .filter(|value| !value.is_empty())
        .map(PathBuf::from)
        .or_else(|| std::env::home_dir().map(|home| home.join(".cache")))
        .context("neither XDG_CACHE_HOME nor HOME is set, so there is no place to keep tools")?;
    Ok(root.join("sitewright"))
}

/// The cache folder of one program at one version.
pub(super) struct Home {
    tool: Tool,
    folder: PathBuf,
}

impl Home {
    pub(super) fn of(tool: Tool) -> Result<Self> {
        let version = tool.version()?;
        let digest = tool.module().digest(&build::flags(tool)?)?;
        let folder = cache_dir()?.join("tools").join(format!("{tool}-{version}-{digest}"));
        Ok(Self { tool, folder })
    }

    /// Where a released program of another version than the pinned one is kept.
    pub(super) fn of_release(tool: Tool, version: &str) -> Result<Self> {
        let folder = cache_dir()?.join("tools").join(format!("{tool}-{version}-envtest"));
        Ok(Self { tool, folder })
    }

    fn program(&self) -> PathBuf {
        self.folder.join(self.tool.name())
    }

    /// The program, which `make` puts there if nobody has yet.
    pub(super) fn fill(self, make: impl FnOnce(&Locked) -> Result<()>) -> Result<PathBuf> {
        let program = self.program();
        if program.is_file() {
            return Ok(program);
        }
        let locked = self.lock()?;
        // Whoever held the lock before may have made it.
        if !program.is_file() {
            make(&locked)?;
        }
        Ok(program)
    }

    /// Waits until no other process fills this folder.
    fn lock(self) -> Result<Locked> {
        fs::create_dir_all(&self.folder)
            .with_context(|| format!("cannot make {}", self.folder.display()))?;
        let file = File::create(self.folder.join(".lock"))?;
        if file.try_lock().is_err() {
            progress(&format!("waiting for another build of {}", self.tool));
            file.lock()?;
        }
        Ok(Locked { home: self, _file: file })
    }
}

/// The cache folder while this process alone may fill it.
pub(super) struct Locked {
    home: Home,
    _file: File,
}

impl Locked {
    /// Where to build; [`Locked::keep`] moves the result into place.
    pub(super) fn scratch(&self) -> PathBuf {
        self.home.folder.join(format!(".building-{}", std::process::id()))
    }

    /// Puts a finished program into the cache, whole or not at all.
    pub(super) fn keep(&self, built: &Path) -> Result<()> {
        fs::rename(built, self.home.program())
            .with_context(|| format!("cannot put {} into the tool cache", self.home.tool))
    }
}

/// One line about work that takes long.
#[expect(clippy::print_stderr, reason = "a first build takes minutes; whoever waits must see why")]
pub(super) fn progress(line: &str) {
    eprintln!("{line}");
}
