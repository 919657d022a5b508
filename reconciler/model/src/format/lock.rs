//! `site.lock`: the exact blueprints and sources that a site was last resolved to.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{Located, site::API_VERSION};
use crate::{diagnostic::Diagnostics, digest::Digest, yaml};

const KIND_OF_LOCK: &str = "Lock";
/// What the first line of a lock says.
const HEADER: &str = "# Written by `sitewright lock`. Review it like code; do not edit it.\n";

/// Reads a lock file; returns every mistake in it at once.
pub fn parse(file: &str, text: &str) -> Result<Located<Lock>, Diagnostics> {
    super::parse(&super::LOCK, file, text)
}

/// Returns `lock` as the text of a lock file; equal locks give equal text.
pub fn print(lock: &Lock) -> String {
    let value = serde_json::to_value(lock).expect("a lock is made of text-keyed maps and text");
    format!("{HEADER}{}", yaml::to_yaml(&value))
}

/// The exact blueprints and sources that a site was last resolved to; written by `sitewright lock`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Lock {
    /// Always `sitewright.dev/v1alpha1`.
    #[schemars(extend("const" = API_VERSION))]
    pub api_version: String,
    /// Always `Lock`.
    #[schemars(extend("const" = KIND_OF_LOCK))]
    pub kind: String,
    /// Blueprint libraries in git, by `URL@ref`.
    #[serde(default)]
    pub libraries: BTreeMap<String, LockedLibrary>,
    /// Sources without a digest of their own, by `blueprint/source`; where a site uses several versions of a
    /// blueprint, by `blueprint@version/source`.
    #[serde(default)]
    pub sources: BTreeMap<String, LockedSource>,
}

/// A blueprint library at a commit.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct LockedLibrary {
    /// The commit id.
    #[schemars(
        regex(pattern = "^([0-9a-f]{40}|[0-9a-f]{64})$"),
        extend("patternErrorMessage" = "a whole commit id: 40 or 64 hexadecimal digits")
    )]
    pub commit: String,
}

/// An upstream artifact by content.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct LockedSource {
    /// Where it came from, for people.
    pub from: String,
    /// The version that was found there.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub version: Option<String>,
    /// The digest of its content.
    pub digest: Digest,
}

impl Default for Lock {
    fn default() -> Self {
        Self {
            api_version: API_VERSION.to_owned(),
            kind: KIND_OF_LOCK.to_owned(),
            libraries: BTreeMap::new(),
            sources: BTreeMap::new(),
        }
    }
}
