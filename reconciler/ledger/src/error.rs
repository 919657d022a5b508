//! What can go wrong with the log.

use std::path::PathBuf;

use sitewright_model::{
    code::{self, Code},
    diagnostic::Diagnostic,
};

/// Why the log could not be written, read or asked.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The database cannot be used.
    #[error("the lineage log at {} cannot be used: {why}", place.display())]
    Database {
        /// Where it is.
        place: PathBuf,
        /// What the database said.
        why: String,
    },
    /// The disk is full.
    #[error("no space is left for the lineage log at {}", place.display())]
    Full {
        /// Where it is.
        place: PathBuf,
    },
    /// It is no log, or of another form.
    #[error("{} is not a lineage log of this form: {why}", place.display())]
    NotALog {
        /// Where it is.
        place: PathBuf,
        /// What is wrong.
        why: String,
    },
    /// Another process writes it.
    #[error("the lineage log at {} is written by another process", place.display())]
    Busy {
        /// Where it is.
        place: PathBuf,
    },
    /// A key cannot be read, or is not the log's.
    #[error("the key cannot be used: {why}")]
    Key {
        /// What is wrong; never the key.
        why: String,
    },
    /// What is kept is not what was recorded.
    #[error("the lineage log does not hold what was recorded: {why}")]
    Tampered {
        /// What differs, and where.
        why: String,
    },
    /// Nothing in the log is called so.
    #[error("nothing in the log is called `{asked}`")]
    Nothing {
        /// What was asked for.
        asked: String,
        /// Things with similar names.
        near: Vec<String>,
    },
    /// Several things are called so.
    #[error("`{asked}` may be {} things", found.len())]
    Several {
        /// What was asked for.
        asked: String,
        /// Some of them.
        found: Vec<String>,
    },
    /// The time for the answer is over.
    #[error("the answer takes too long")]
    Slow,
    /// A file cannot be read or written.
    #[error("{}: {why}", path.display())]
    File {
        /// The file.
        path: PathBuf,
        /// Why.
        why: String,
    },
}

impl Error {
    /// Returns the number of the error.
    pub fn code(&self) -> Code {
        match self {
            Self::Database { .. } => code::lineage::UNUSABLE,
            Self::Full { .. } => code::lineage::FULL,
            Self::NotALog { .. } => code::lineage::NOT_A_LOG,
            Self::Busy { .. } => code::lineage::BUSY,
            Self::Key { .. } => code::lineage::KEY,
            Self::Tampered { .. } => code::lineage::TAMPERED,
            Self::Nothing { .. } => code::lineage::NOTHING,
            Self::Several { .. } => code::lineage::SEVERAL,
            Self::Slow => code::lineage::SLOW,
            Self::File { .. } => code::lineage::FILE,
        }
    }

    /// Returns the error as it is shown, with a way out.
    pub fn diagnostic(&self) -> Diagnostic {
        let diagnostic = Diagnostic::error(self.code(), self.to_string());
        match self {
            Self::Database { .. } => diagnostic.help("look at the disk and at who may read and write there; reconciling goes on without the log"),
            Self::Full { .. } => diagnostic.help("make room or enlarge the volume; what was missed meanwhile is recorded as a blind interval"),
            Self::NotALog { .. } => diagnostic.help("name the folder that `agent --lineage` writes, or an export"),
            Self::Busy { .. } => diagnostic.help("one agent writes a log; give this one a folder of its own"),
            Self::Key { .. } => diagnostic.help("make a pair with `sitewright lineage key NAME`"),
            Self::Tampered { .. } => diagnostic.help("keep the folder as it is, compare its checkpoint with those that witnesses hold, and restore the log from a mirror"),
            Self::Nothing { near, .. } if near.is_empty() => diagnostic.help("ask by digest, reference, URI, commit, or namespace/name"),
            Self::Nothing { near, .. } => diagnostic.help(format!("there is {}", near.join(", "))),
            Self::Several { found, .. } => diagnostic.help(format!("say which: {}", found.join(", "))),
            Self::Slow => diagnostic.help("ask about less: one run instead of a node, or with a better grade"),
            Self::File { .. } => diagnostic.help("look at the path and at its rights"),
        }
    }
}
