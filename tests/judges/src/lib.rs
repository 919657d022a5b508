//! Programs that others wrote judge what we export.
//!
//! They are Python packages, pinned with hashes in `tests/tools/judges/requirements.txt`, and kept in the tool cache once
//! they are there. Without the network a judge works all the same, and fails if it asks for it.

use std::{
    fs::{self, File},
    path::{Path, PathBuf},
    process::Command,
};

use anyhow::{Context, Result, bail, ensure};
use sha2::{Digest, Sha256};
use sitewright_testbed::tools::cache_dir;

/// Returns the folder with the pins and the script.
fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../tools/judges")
}

/// Returns what a judge complains of in each of `files`; nothing where it is content.
///
/// # Errors
/// The judges are not there, or one broke down.
pub fn complaints(kind: &str, options: &[&str], files: &[PathBuf]) -> Result<Vec<Vec<String>>> {
    let output = Command::new(python()?)
        .arg(folder().join("judge.py"))
        .arg(kind)
        .args(options)
        .arg("--")
        .args(files)
        .env("PYTHONDONTWRITEBYTECODE", "1")
        .output()
        .with_context(|| format!("cannot ask the judge {kind}"))?;
    let said = String::from_utf8_lossy(&output.stdout);
    let mut complaints = vec![Vec::new(); files.len()];
    for line in said.lines() {
        let Some((at, text)) = line.split_once(' ') else { continue };
        let file = at.parse().ok().and_then(|at: usize| complaints.get_mut(at));
        file.into_iter().for_each(|file| file.push(text.to_owned()));
    }
    let is_content = complaints.iter().all(Vec::is_empty);
    match output.status.code() {
        Some(0) if is_content => Ok(complaints),
        Some(1) if !is_content => Ok(complaints),
        code => bail!(
            "the judge {kind} broke down ({code:?}):\n{}",
            String::from_utf8_lossy(&output.stderr)
        ),
    }
}

/// Returns the Python of the judges; installs them on the first call ever.
///
/// # Errors
/// There is no Python, or the packages cannot be had.
fn python() -> Result<PathBuf> {
    let requirements = folder().join("requirements.txt");
    let pins = fs::read(&requirements)
        .with_context(|| format!("cannot read {}", requirements.display()))?;
    let version = run(Command::new("python3").arg("--version"))
        .context("the judges need Python 3.11 or newer (`python3`) on PATH")?;
    let digest = Sha256::new().chain_update(pins).chain_update(version).finalize();
    let digest: String = digest.iter().take(6).map(|byte| format!("{byte:02x}")).collect();
    let home = cache_dir()?.join("tools").join(format!("judges-{digest}"));
    let (python, is_whole) = (home.join("bin/python"), home.join(".whole"));
    if is_whole.is_file() {
        return Ok(python);
    }
    fs::create_dir_all(&home)?;
    let lock = File::create(home.join(".lock"))?;
    lock.lock()?;
    // whoever held the lock before may have done it
    if !is_whole.is_file() {
        run(Command::new("python3").args(["-m", "venv"]).arg(&home))?;
        let mut pip = Command::new(&python);
        pip.args(["-m", "pip", "install", "--quiet", "--require-hashes", "--no-deps", "-r"]);
        run(pip.arg(&requirements)).context("cannot install the judges")?;
        File::create(&is_whole)?;
    }
    Ok(python)
}

fn run(command: &mut Command) -> Result<String> {
    let output = command.output().with_context(|| format!("cannot run {command:?}"))?;
    let error = String::from_utf8_lossy(&output.stderr);
    ensure!(output.status.success(), "{command:?} failed:\n{error}");
    Ok(String::from_utf8_lossy(&output.stdout).into_owned())
}
