//! Programs that others wrote judge what we export.
//!
//! They are Python packages, pinned with hashes in `tests/tools/python/judges.txt` and kept in the tool cache. A judge that
//! asks for the network fails.

use std::{
    path::{Path, PathBuf},
    process::Command,
};

use anyhow::{Context, Result, bail};
use sitewright_testbed::tools::PythonTools;

/// Returns what a judge complains of in each of `files`; nothing where it is content.
///
/// # Errors
/// The judges are not there, or one broke down.
pub fn complaints(kind: &str, options: &[&str], files: &[PathBuf]) -> Result<Vec<Vec<String>>> {
    let output = Command::new(PythonTools::Judges.find()?.join("python"))
        .arg(Path::new(env!("CARGO_MANIFEST_DIR")).join("judge.py"))
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
