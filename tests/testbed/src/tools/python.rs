//! Python programs, each set in a virtual environment of its own from a file that pins every byte of it.

use std::{
    fs::{self, File},
    path::{Path, PathBuf},
    process::Command,
    time::Instant,
};

use anyhow::{Context, Result, bail, ensure};
use sha2::{Digest, Sha256};

use super::cache::{cache_dir, progress};
use crate::hex;

/// A set of Python programs, pinned with hashes in `tests/tools/python/NAME.txt`.
///
/// `NAME.in` says what is wanted; the other file is made from it by
/// `uv pip compile --python-version 3.11 --generate-hashes --no-annotate --no-header NAME.in -o NAME.txt`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PythonTools {
    /// OpenLineage's client, `roc-validator`, `prov`, `securesystemslib`, `in-toto-attestation`, `openapi-spec-validator`: they
    /// judge exports.
    Judges,
    /// `dvc`, `datalad` and `git-annex`: what keeps data beside git.
    Data,
    /// `model_signing` and `securesystemslib`: signatures of models, and of envelopes.
    Signing,
    /// `boto3` and `pyiceberg`: clients of stores.
    Stores,
    /// `jupyterhub`, `kubespawner`, `oauthenticator`, `ldapauthenticator`: the hub of the blueprint jupyterhub.
    Notebooks,
}

impl PythonTools {
    /// Every set.
    pub const ALL: [Self; 5] =
        [Self::Judges, Self::Data, Self::Signing, Self::Stores, Self::Notebooks];

    const fn name(self) -> &'static str {
        match self {
            Self::Judges => "judges",
            Self::Data => "data",
            Self::Signing => "signing",
            Self::Stores => "stores",
            Self::Notebooks => "notebooks",
        }
    }

    fn requirements(self) -> PathBuf {
        let folder = Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/../tools/python"));
        folder.join(self.name()).with_extension("txt")
    }

    /// The folder with the programs, `bin` of the virtual environment; makes it on the first call ever.
    ///
    /// # Errors
    /// There is no Python 3.11 or newer, or a package cannot be had, or it is not the one that is pinned.
    pub fn find(self) -> Result<PathBuf> {
        let pinned = fs::read(self.requirements())?;
        let digest: String = hex(&Sha256::digest(&pinned)).chars().take(12).collect();
        let name = format!("python-{}-{digest}", self.name());
        let folder = cache_dir()?.join("tools").join(name);
        let programs = folder.join("venv/bin");
        let done = folder.join("done");
        if done.is_file() {
            return Ok(programs);
        }
        fs::create_dir_all(&folder)?;
        let lock = File::create(folder.join(".lock"))?;
        lock.lock()?;
        // Whoever held the lock before may have made it.
        if !done.is_file() {
            self.make(&folder)?;
            File::create(&done)?;
        }
        Ok(programs)
    }

    fn make(self, folder: &Path) -> Result<()> {
        let started = Instant::now();
        progress(&format!("installing the Python tools `{}`, once; about a minute", self.name()));
        let venv = folder.join("venv");
        // What a killed run left is half a set.
        let _ = fs::remove_dir_all(&venv);
        run(Command::new("python3").args(["-m", "venv"]).arg(&venv))?;
        run(Command::new(venv.join("bin/python"))
            .args(["-m", "pip", "install", "--quiet", "--no-deps", "--require-hashes", "-r"])
            .arg(self.requirements()))?;
        ensure!(venv.join("bin").is_dir(), "python made no virtual environment");
        progress(&format!("installed them in {} s", started.elapsed().as_secs()));
        Ok(())
    }
}

fn run(command: &mut Command) -> Result<()> {
    let output = command.output().with_context(|| format!("cannot run {command:?}"))?;
    if !output.status.success() {
        bail!("{command:?} failed:\n{}", String::from_utf8_lossy(&output.stderr));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_package_is_pinned_with_hashes() {
        for tools in PythonTools::ALL {
            let text = fs::read_to_string(tools.requirements()).unwrap();
            let pins = text.lines().filter(|line| line.contains("=="));
            assert!(pins.clone().count() > 1);
            assert!(pins.into_iter().all(|line| line.ends_with('\\')), "{tools:?}");
            assert!(text.contains("--hash=sha256:"));
        }
    }
}
