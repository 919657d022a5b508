//! Which state of the repository a rendering came from.

use serde::{Deserialize, Serialize};

use crate::digest::Digest;

/// The commit, and the digests of everything that went into the rendering.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Revision {
    /// The repository as people know it; never with credentials.
    pub repository: String,
    /// The folder of the site within the repository.
    pub path: String,
    /// What was asked for: a branch, tag, range or commit; none for a working tree.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reference: Option<String>,
    /// The commit id; none outside a repository or before the first commit.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub commit: Option<String>,
    /// Whether files that were read differ from the commit.
    pub dirty: bool,
    /// The digest of the site's folder, of every blueprint it uses, and of its lock.
    pub inputs: Digest,
}

impl Revision {
    /// Returns the revision in one short phrase, for example `main@1f3c9e2a01bc (dirty)`.
    pub fn short(&self) -> String {
        let commit =
            self.commit.as_deref().map(|commit| commit.chars().take(12).collect::<String>());
        let mut text = match (&self.reference, commit) {
            (Some(reference), Some(commit)) if *reference != commit => {
                format!("{reference}@{commit}")
            }
            (_, Some(commit)) => commit,
            (_, None) => "working tree".to_owned(),
        };
        if self.dirty {
            text.push_str(" (dirty)");
        }
        text
    }
}
