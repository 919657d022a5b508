//! A bare git repository with one commit, the same every time.

use std::{collections::BTreeMap, fs, path::Path, process::Command};

use anyhow::{Context, Result};

use super::{Upstream, module::Entry};

/// Author and committer of every mirror: the commit must not depend on who makes it, or when.
const SIGNATURE: &str = "Sitewright Testbed <testbed@sitewright.dev> 1767225600 +0000";

/// Writes a bare repository at `path` with `entries` on `main` and under the upstream tag.
pub(super) fn write(
    path: &Path,
    upstream: &Upstream,
    entries: &BTreeMap<String, Entry>,
) -> Result<()> {
    fs::create_dir_all(path)?;
    git(path, &["init", "--quiet", "--bare", "--initial-branch=main", "--template=", "."], b"")?;
    // As the forges have it: any commit can be asked for, and blobs can be left out.
    git(path, &["config", "uploadpack.allowAnySHA1InWant", "true"], b"")?;
    git(path, &["config", "uploadpack.allowFilter", "true"], b"")?;
    let tag = upstream.tag()?;
    let message = format!("Charts of {} at {tag}\n", upstream.url);
    let stream = import_stream(&message, &tag, entries);
    git(path, &["-c", "fastimport.unpackLimit=1", "fast-import", "--quiet", "--done"], &stream)?;
    // For clients of the dumb protocol, which only read files.
    git(path, &["update-server-info"], b"")?;
    Ok(())
}

/// Writes the files of `tag` into `work_tree`.
pub(super) fn checkout(path: &Path, work_tree: &str, tag: &str) -> Result<()> {
    let index = format!("{work_tree}/.git-index");
    let git_index = [("GIT_INDEX_FILE", index.as_str())];
    git_with(
        path,
        &["--work-tree", work_tree, "checkout", "--quiet", tag, "--", "."],
        b"",
        &git_index,
    )?;
    Ok(fs::remove_file(index)?)
}

/// The commit in the language of `git fast-import`.
fn import_stream(message: &str, tag: &str, entries: &BTreeMap<String, Entry>) -> Vec<u8> {
    let mut stream = format!(
        "commit refs/heads/main\nmark :1\nauthor {SIGNATURE}\ncommitter {SIGNATURE}\ndata {}\n{message}\n",
        message.len()
    )
    .into_bytes();
    for (path, entry) in entries {
        let (mode, bytes) = match entry {
            Entry::File(bytes) => ("100644", bytes.as_slice()),
            Entry::Link(target) => ("120000", target.as_bytes()),
        };
        stream.extend(format!("M {mode} inline {path}\ndata {}\n", bytes.len()).bytes());
        stream.extend(bytes);
        stream.push(b'\n');
    }
    stream.extend(format!("reset refs/tags/{tag}\nfrom :1\n\ndone\n").bytes());
    stream
}

/// Runs git in `folder`, away from the user's own settings.
fn git(folder: &Path, arguments: &[&str], input: &[u8]) -> Result<String> {
    git_with(folder, arguments, input, &[])
}

fn git_with(
    folder: &Path,
    arguments: &[&str],
    input: &[u8],
    environment: &[(&str, &str)],
) -> Result<String> {
    let mut command = Command::new("git");
    command
        .args(arguments)
        .current_dir(folder)
        .env("GIT_CONFIG_GLOBAL", "/dev/null")
        .env("GIT_CONFIG_NOSYSTEM", "1")
        .env_remove("GIT_DIR")
        .env_remove("GIT_WORK_TREE")
        .env_remove("GIT_INDEX_FILE")
        .envs(environment.iter().copied());
    crate::process::output(&mut command, input).context("mirrors are made with git: install it")
}
