//! Why a working tree is not a commit that others can get.

use sitewright_model::code::{self, Code};

use super::Difference;
use crate::{error::Numbered, url::NotAUrl};

/// Files that are named in one message.
const SHOWN: usize = 12;

/// Why a working tree is not a commit that others can get. Addresses are shown without credentials.
#[derive(Debug, thiserror::Error)]
pub enum WorkTreeError {
    /// There is no working tree of git.
    #[error("{folder} is in no working tree of git")]
    NoRepository {
        /// Where it was looked for.
        folder: String,
    },
    /// Nothing was committed.
    #[error("nothing is committed here yet")]
    NoCommit,
    /// It is not clear where others get the code.
    #[error("{}", match known.as_slice() {
        [] => "this repository has no remote, so nobody else can get the code".to_owned(),
        known => format!("it is not clear from which remote others get the code: {}", known.join(", ")),
    })]
    NoRemote {
        /// The remotes that there are.
        known: Vec<String>,
    },
    /// The address of a remote is none.
    #[error("the address of remote `{name}` is none: {why}")]
    BadRemote {
        /// The remote.
        name: String,
        /// What is wrong with it.
        why: NotAUrl,
    },
    /// Files differ from the commit.
    #[error("{} from commit {}", count(differences.len()), commit.get(..12).unwrap_or(commit))]
    Dirty {
        /// The commit.
        commit: String,
        /// The files.
        differences: Vec<Difference>,
    },
    /// Something cannot be captured.
    #[error("`{path}` cannot be captured: {why}")]
    NotCaptured {
        /// What.
        path: String,
        /// Why not.
        why: &'static str,
    },
    /// The server did not take it.
    #[error("remote `{remote}` did not take commit {}: {why}", commit.get(..12).unwrap_or(commit))]
    NotPushed {
        /// The remote.
        remote: String,
        /// The commit.
        commit: String,
        /// What git said.
        why: String,
    },
    /// The program git did not run to its end.
    #[error("the program git cannot be used: {0}")]
    Program(String),
    /// Git itself.
    #[error("the working tree cannot be read")]
    Git(#[from] git2::Error),
}

fn count(files: usize) -> String {
    match files {
        1 => "1 file differs".to_owned(),
        files => format!("{files} files differ"),
    }
}

impl Numbered for WorkTreeError {
    fn code(&self) -> Code {
        match self {
            Self::Program(_) => code::machine::PROGRAM_MISSING,
            _ => code::lineage::UNCOMMITTED,
        }
    }

    fn help(&self) -> Option<String> {
        let help = match self {
            Self::NoRepository { .. } => {
                "go to the folder of your code; `git init` makes a repository of it"
            }
            Self::NoCommit => "commit and push your code first",
            Self::NoRemote { known } if known.is_empty() => {
                "make a repository on your git server, then `git remote add origin URL` and `git push -u origin HEAD`"
            }
            Self::NoRemote { .. } => "say which one it is, with --remote NAME",
            Self::BadRemote { .. } => "mend it with `git remote set-url NAME URL`",
            Self::Dirty { differences, .. } => {
                let is_new = differences.iter().all(|one| one.how == super::How::Untracked);
                if is_new {
                    "commit and push them; or list them in .gitignore, or say --ignore-untracked, where no run \
                     needs them; or say --capture-dirty --push to keep the tree as it is on the server"
                } else {
                    "commit and push them; or say --capture-dirty --push to keep the tree as it is on the server, \
                     beside all branches"
                }
            }
            Self::NotCaptured { .. } => {
                "list it in .gitignore, or commit it where git is the place for it; then submit again"
            }
            Self::NotPushed { .. } => {
                "push to a branch of your own and submit again; the server may allow branches and tags alone"
            }
            Self::Program(_) => "install git, or push by yourself and leave --push out",
            Self::Git(_) => "see whether `git status` works here",
        };
        Some(help.to_owned())
    }

    fn notes(&self) -> Vec<String> {
        let Self::Dirty { differences, .. } = self else { return Vec::new() };
        let mut notes: Vec<String> =
            differences.iter().take(SHOWN).map(ToString::to_string).collect();
        let more = differences.len().saturating_sub(SHOWN);
        if more > 0 {
            notes.push(format!("and {more} more: `git status` has them all"));
        }
        notes
    }
}
