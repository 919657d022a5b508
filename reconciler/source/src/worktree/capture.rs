//! A working tree as it is, as a commit beside all branches.
//!
//! Not a patch in a ConfigMap: that has an end at 1 MiB and with the namespace, and what was captured would be read by
//! none of the ways that lead to code. A commit whose parent is the one that is checked out can be looked up, fetched,
//! compared and cloned as any other, and its reference keeps it on the server. It holds nobody's name and no time of its
//! own, so that the same tree is the same commit, however often it is submitted.

use std::{path::Path, time::Duration};

use git2::{Oid, Signature, Time, Tree};
use sitewright_model::{digest::Digest, terminal};

use super::{Difference, How, Remote, WorkTree, WorkTreeError};
use crate::process::{self, Program};

/// Bytes of one file that are captured; data and models belong elsewhere.
const FILE_BYTES: u64 = 16 * 1024 * 1024;

/// Bytes that are captured.
const BYTES: u64 = 64 * 1024 * 1024;

/// How long a push may take.
const PUSH: Duration = Duration::from_secs(300);

/// What git says of a push that is read.
const SAID: u64 = 64 * 1024;

/// What names of files that hold secrets look like: what was pushed by mistake is known to everybody.
const SECRETS: [&str; 12] = [
    ".env",
    ".netrc",
    ".pypirc",
    "id_rsa",
    "id_ed25519",
    "id_ecdsa",
    "kubeconfig",
    "credentials",
    "credentials.json",
    "secrets.yaml",
    "secrets.yml",
    "secrets.json",
];

/// Ends of such names.
const SECRET_ENDS: [&str; 5] = [".pem", ".key", ".p12", ".pfx", ".kdbx"];

/// A working tree as a commit.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Captured {
    /// The commit; its parent is the one that is checked out.
    pub commit: String,
    /// The digest of a list of the files that differ, with the digest of each, as `sha256sum` writes it. It is in the
    /// message of the commit too, so that more than SHA-1 binds them.
    pub files: Digest,
}

impl WorkTree {
    /// Makes a commit of the tree as it is, and a reference that keeps it here. No branch, index or file changes.
    ///
    /// # Errors
    /// A file is too large, looks like a secret, or belongs to a submodule, Git LFS or git-annex.
    pub fn capture(&self, differences: &[Difference]) -> Result<Captured, WorkTreeError> {
        let base = self.repository.head()?.peel_to_commit()?;
        let tree = self.repository.find_tree(self.tree(differences)?)?;
        let files = self.list(&base.tree()?, &tree)?;
        let message = format!(
            "A working tree as it was submitted\n\nThe list of the files that differ is {files}.\n"
        );
        let nobody = Signature::new(
            "sitewright",
            "sitewright@localhost",
            &Time::new(base.time().seconds(), 0),
        )?;
        let id = self.repository.commit(None, &nobody, &nobody, &message, &tree, &[&base])?;
        let commit = id.to_string();
        self.repository.reference(&reference(&commit), id, true, "captured")?;
        Ok(Captured { commit, files })
    }

    /// Writes the tree as it is into the store of objects.
    fn tree(&self, differences: &[Difference]) -> Result<Oid, WorkTreeError> {
        // the index of the commit, and not the one on disk, which is left alone
        let mut index = git2::Index::new()?;
        index.read_tree(&self.repository.head()?.peel_to_tree()?)?;
        let is_gone = |one: &&Difference| one.how == How::Deleted;
        // first: a file may be where a folder was
        for Difference { path, .. } in differences.iter().filter(is_gone) {
            index.remove(Path::new(path), 0)?;
        }
        let mut total = 0;
        for Difference { path, .. } in differences.iter().filter(|one| !is_gone(one)) {
            total += self.check(path)?;
            if total > BYTES {
                return Err(not(path, "all files together have more than 64 MiB"));
            }
            self.add(&mut index, path)?;
        }
        Ok(index.write_tree_to(&self.repository)?)
    }

    fn add(&self, index: &mut git2::Index, path: &str) -> Result<(), WorkTreeError> {
        let file = self.top.join(path);
        let metadata = file.symlink_metadata().map_err(|_| not(path, "it cannot be read"))?;
        let is_link = metadata.is_symlink();
        let id = if is_link {
            let target = file.read_link().map_err(|_| not(path, "it cannot be read"))?;
            self.repository.blob(target.as_os_str().as_encoded_bytes())?
        } else {
            // as git would commit it: ends of lines too
            self.repository.blob_path(&file)?
        };
        let mode = match (is_link, is_executable(&metadata)) {
            (true, _) => 0o120_000,
            (false, true) => 0o100_755,
            (false, false) => 0o100_644,
        };
        let none = git2::IndexTime::new(0, 0);
        let entry = git2::IndexEntry {
            ctime: none,
            mtime: none,
            dev: 0,
            ino: 0,
            mode,
            uid: 0,
            gid: 0,
            file_size: 0,
            id,
            flags: 0,
            flags_extended: 0,
            path: path.as_bytes().to_owned(),
        };
        Ok(index.add(&entry)?)
    }

    /// Returns the size of what is captured of a file.
    fn check(&self, path: &str) -> Result<u64, WorkTreeError> {
        let name = path.trim_end_matches('/').rsplit('/').next().unwrap_or_default();
        let lower = name.to_ascii_lowercase();
        if SECRETS.contains(&&*lower) || SECRET_ENDS.iter().any(|end| lower.ends_with(end)) {
            return Err(not(path, "its name is that of a file with secrets"));
        }
        let metadata = self.top.join(path).symlink_metadata();
        let metadata = metadata.map_err(|_| not(path, "it cannot be read"))?;
        if metadata.is_dir() {
            return Err(not(path, "it is a repository of its own"));
        }
        if !metadata.is_file() && !metadata.is_symlink() {
            return Err(not(path, "it is no file"));
        }
        if metadata.len() > FILE_BYTES {
            return Err(not(path, "it has more than 16 MiB"));
        }
        let is_pointer = |bytes: Vec<u8>| {
            use crate::resolve::annex::{key_of_pointer, lfs_pointer};
            lfs_pointer(&bytes).is_some() || key_of_pointer(&bytes).is_some()
        };
        if self.committed(path).is_some_and(is_pointer) {
            return Err(not(
                path,
                "its content is kept by Git LFS or git-annex, and has to be committed by them",
            ));
        }
        Ok(metadata.len())
    }

    /// Returns the digest of a list of the files that differ, as `sha256sum` writes it; of those that are gone, a dash.
    ///
    /// Not of a patch: of a binary file that holds what a compressor made of it, which differs from one to the next.
    fn list(&self, from: &Tree<'_>, to: &Tree<'_>) -> Result<Digest, WorkTreeError> {
        let diff = self.repository.diff_tree_to_tree(Some(from), Some(to), None)?;
        let mut lines = Vec::new();
        for delta in diff.deltas() {
            let file = delta.new_file();
            let digest = match file.exists() {
                true => Digest::of(self.repository.find_blob(file.id())?.content()).hex(),
                false => "-".to_owned(),
            };
            lines.extend_from_slice(format!("{digest}  ").as_bytes());
            lines.extend_from_slice(file.path_bytes().unwrap_or_default());
            lines.push(b'\n');
        }
        Ok(Digest::of(lines))
    }

    /// Pushes a commit to a reference of its own, by the program git, which knows the researcher's logins and hooks.
    ///
    /// # Errors
    /// There is no git, or the server does not take it.
    pub fn push(&self, remote: &Remote, commit: &str) -> Result<(), WorkTreeError> {
        let mut git = Program::new("git");
        let wish = format!("{commit}:{}", reference(commit));
        git.command
            .arg("-C")
            .arg(&self.top)
            .args(["push", "--quiet", "--", &remote.name, &wish])
            .env("GIT_TERMINAL_PROMPT", "0");
        let done = process::run(git, Vec::new(), PUSH, SAID)
            .map_err(|stopped| WorkTreeError::Program(stopped.to_string()))?;
        if done.status.success() {
            return Ok(());
        }
        let lines = done.stderr.lines().map(str::trim).filter(|line| !line.is_empty());
        // git shows addresses with the login that they hold
        let words = lines.take(3).collect::<Vec<_>>().join("; ");
        let words: Vec<String> = words.split(' ').map(crate::url::public).collect();
        let why = terminal::clean(&words.join(" "));
        Err(WorkTreeError::NotPushed {
            remote: remote.name.clone(),
            commit: commit.to_owned(),
            why,
        })
    }
}

/// Returns the reference that keeps a commit, here and where it was pushed.
pub fn reference(commit: &str) -> String {
    format!("refs/sitewright/{commit}")
}

fn not(path: &str, why: &'static str) -> WorkTreeError {
    WorkTreeError::NotCaptured { path: terminal::clean(path).clone(), why }
}

fn is_executable(metadata: &std::fs::Metadata) -> bool {
    use std::os::unix::fs::PermissionsExt as _;
    metadata.permissions().mode() & 0o100 != 0
}
