//! What can be wrong with a place to read from.

use sitewright_model::code::{self, Code};

use super::Kind;
use crate::{error::Numbered, nearest::did_you_mean};

/// What can be wrong with a place to read from. Paths are relative to the top of the repository.
#[derive(Debug, thiserror::Error)]
pub enum SnapshotError {
    /// There is no such folder on disk.
    #[error("there is no folder `{0}`")]
    NoFolder(String),
    /// A file on disk where a folder was asked for.
    #[error("`{0}` is a file, not a folder")]
    NotAFolder(String),
    /// There is no git repository at a path.
    #[error("there is no git repository at `{path}`")]
    NotARepository {
        /// The path on disk.
        path: String,
        /// What git says.
        source: git2::Error,
    },
    /// The repository has no working tree to read.
    #[error("`{0}` is a bare repository: it has no working tree to read")]
    Bare(String),
    /// The repository belongs to another user, which git takes for a danger.
    #[error("the repository at `{0}` belongs to another user")]
    ForeignOwner(String),
    /// The repository has no commit yet.
    #[error("the repository `{0}` has no commit yet")]
    Empty(String),
    /// No such branch, tag or commit.
    #[error("`{reference}` is no branch, tag or commit of `{repository}`")]
    UnknownReference {
        /// What was asked for.
        reference: String,
        /// The repository, without credentials.
        repository: String,
        /// Branches and tags that are alike.
        nearest: Vec<String>,
    },
    /// No tag in the range.
    #[error("no tag of `{repository}` is a version in `{range}`")]
    NoVersion {
        /// The range as it was written.
        range: String,
        /// The repository, without credentials.
        repository: String,
        /// The highest version that there is.
        highest: Option<String>,
    },
    /// The beginning of a commit id that fits several objects.
    #[error("`{reference}` is the beginning of more than one commit id in `{repository}`")]
    Ambiguous {
        /// What was asked for.
        reference: String,
        /// The repository, without credentials.
        repository: String,
    },
    /// There is nothing at the path.
    #[error("there is no `{path}`")]
    Missing {
        /// The path.
        path: String,
        /// The folder that was reached; empty for the top.
        folder: String,
        /// Names in that folder that are alike, as paths.
        nearest: Vec<String>,
        /// Whether it is on disk, but left out by `.gitignore`.
        ignored: bool,
    },
    /// A file where a folder is needed, or the reverse, or something that is neither.
    #[error("`{path}` is {}, not {}", found.words(), wanted.words())]
    WrongKind {
        /// The path.
        path: String,
        /// What it is.
        found: Kind,
        /// What is needed.
        wanted: Kind,
    },
    /// A path with `..` that goes above the top.
    #[error("`{0}` leaves the repository")]
    Escapes(String),
    /// A link whose target is above the top, or absolute.
    #[error("`{path}` is a symbolic link to `{target}`, which is outside the repository")]
    LinkEscapes {
        /// The path of the link.
        path: String,
        /// What it says.
        target: String,
    },
    /// A link whose target is not there.
    #[error("`{path}` is a symbolic link to `{target}`, which is not there")]
    LinkDangles {
        /// The path of the link.
        path: String,
        /// What it says.
        target: String,
    },
    /// Links that lead to each other, or more than the bound.
    #[error("`{0}` leads through symbolic links that come back to themselves")]
    LinkLoop(String),
    /// Another repository within this one.
    #[error("`{0}` is a submodule")]
    Submodule(String),
    /// The content is elsewhere.
    #[error("`{0}` is a pointer to a file in Git LFS")]
    LfsPointer(String),
    /// A name that no folder may hold.
    #[error("folder `{folder}` holds the name `{name}`, which {problem}")]
    Name {
        /// The folder.
        folder: String,
        /// The name, with control characters escaped.
        name: String,
        /// What is wrong with it.
        problem: &'static str,
    },
    /// A file beyond the bound.
    #[error("`{path}` has {bytes} bytes, more than the {limit} that are read of one file")]
    FileTooLarge {
        /// The path.
        path: String,
        /// Its size.
        bytes: u64,
        /// The bound.
        limit: u64,
    },
    /// A folder beyond a bound.
    #[error("`{path}` has more than {limit} {what}")]
    FolderTooLarge {
        /// The path.
        path: String,
        /// The bound.
        limit: u64,
        /// What there is too much of.
        what: &'static str,
    },
    /// An object of the repository is missing or damaged.
    #[error("git cannot read `{path}` of this repository")]
    Broken {
        /// The path.
        path: String,
        /// What git says.
        source: git2::Error,
    },
    /// The operating system does not let us read.
    #[error("`{path}` cannot be read")]
    Unreadable {
        /// The path.
        path: String,
        /// What the system says.
        source: std::io::Error,
    },
}

impl Numbered for SnapshotError {
    fn code(&self) -> Code {
        use code::source as codes;
        match self {
            Self::NotARepository { .. } | Self::Bare(_) | Self::ForeignOwner(_) => {
                codes::NOT_A_REPOSITORY
            }
            Self::Empty(_) => codes::EMPTY_REPOSITORY,
            Self::UnknownReference { .. } | Self::NoVersion { .. } | Self::Ambiguous { .. } => {
                codes::UNKNOWN_REFERENCE
            }
            Self::NoFolder(_) | Self::Missing { .. } | Self::LinkDangles { .. } => {
                codes::MISSING_PATH
            }
            Self::WrongKind { .. } | Self::NotAFolder(_) => codes::WRONG_KIND,
            Self::Escapes(_) | Self::LinkEscapes { .. } => codes::PATH_ESCAPES,
            Self::LinkLoop(_) => codes::LINK_LOOP,
            Self::Submodule(_) => codes::SUBMODULE,
            Self::LfsPointer(_) => codes::LFS_POINTER,
            Self::Name { .. } => codes::HOSTILE_NAME,
            Self::FileTooLarge { .. } | Self::FolderTooLarge { .. } => codes::TOO_LARGE,
            Self::Broken { .. } => codes::BROKEN_REPOSITORY,
            Self::Unreadable { .. } => codes::UNREADABLE,
        }
    }

    fn help(&self) -> Option<String> {
        let fixed = match self {
            Self::UnknownReference { nearest, .. } => {
                return did_you_mean(nearest)
                    .or_else(|| Some("`git ls-remote` lists what there is".to_owned()));
            }
            Self::NoVersion { highest: Some(tag), .. } => {
                return Some(format!("the highest version is `{tag}`; widen the range to take it"));
            }
            Self::Missing { ignored: true, .. } => {
                "it is on disk, but `.gitignore` leaves it out of the repository; add it with `git add -f`, or change `.gitignore`"
            }
            Self::Missing { nearest, folder, .. } => {
                let place = if folder.is_empty() { "the top of the repository" } else { folder };
                return Some(did_you_mean(nearest).unwrap_or_else(|| format!("look into {place}")));
            }
            Self::ForeignOwner(path) => {
                return Some(format!(
                    "if you trust it: `git config --global --add safe.directory {path}`"
                ));
            }
            Self::NotAFolder(_) => "name the folder that holds `site.yaml`, not the file",
            Self::NoFolder(_) => {
                "write a folder that exists, or `REPOSITORY//folder@reference` for one in git"
            }
            Self::NotARepository { .. } => "give a folder that is a git repository, or an address",
            Self::Bare(_) => "write `REPOSITORY//folder@reference` to read a commit of it",
            Self::Empty(_) => "make a first commit",
            Self::NoVersion { .. } => "tag a commit with a version, such as `v1.0.0`",
            Self::Ambiguous { .. } => "write more of the commit id",
            Self::WrongKind { wanted: Kind::Folder, .. } => "name the folder that holds it",
            Self::WrongKind { .. } => "name a file",
            Self::Escapes(_) => "name a path below the top of the repository",
            Self::LinkEscapes { .. } => {
                "copy what it leads to into the repository, or let it lead to a path inside"
            }
            Self::LinkDangles { .. } => "add what it leads to, or remove the link",
            Self::LinkLoop(_) => "let one of the links lead to a file or folder",
            Self::Submodule(_) => {
                "copy its files into the repository, or name that repository itself: as a blueprint library, or as `git` of a source"
            }
            Self::LfsPointer(_) => {
                "keep the file in git itself: `git lfs migrate export --include=FILE`"
            }
            Self::Name { .. } => "rename it",
            Self::FileTooLarge { .. } | Self::FolderTooLarge { .. } => {
                "keep data out of the folders of sites and blueprints"
            }
            Self::Broken { .. } => {
                "`git fsck` shows what is missing; a shallow or partial clone may lack it: `git fetch --unshallow`"
            }
            Self::Unreadable { .. } => "check its permissions",
        };
        Some(fixed.to_owned())
    }
}
