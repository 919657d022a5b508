//! How two things are tied.

use std::{fmt, str::FromStr};

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// How one thing depends on another. An edge always leads from what came later to what it came from.
#[derive(
    Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema,
)]
#[serde(rename_all = "camelCase")]
pub enum Relation {
    /// A run ran the code of a commit.
    RanCode,
    /// A run or attempt used an artifact.
    Used,
    /// A run had an artifact within reach: mounted, in its bucket; whether it was read is not known.
    MayHaveRead,
    /// What a run used says that it needs an artifact: a lock file at its commit.
    Expected,
    /// An artifact was made by a run.
    GeneratedBy,
    /// A run consists of an attempt; the pods of the attempt did the work.
    Tried,
    /// A run or attempt executed in an image.
    ExecutedIn,
    /// A run was under a configuration of the cluster.
    ConfiguredBy,
    /// An attempt ran on a node in a state.
    RanOn,
    /// A state is one of a node.
    StateOf,
    /// A state of a node holds a driver, a runtime or a kernel.
    Holds,
    /// An epoch puts a commit in force.
    PutInForce,
    /// An epoch follows another one of the same site.
    Follows,
    /// An artifact was derived from another: a model from its base model.
    DerivedFrom,
    /// A run went on from what another one had left.
    ContinuedFrom,
    /// A service serves a model.
    Serves,
    /// A mutable name led to an artifact.
    LedTo,
    /// An image index has a manifest, a manifest a config; a dataset has a file.
    PartOf,
    /// An artifact was signed by an identity.
    SignedBy,
    /// A run belongs to a person, by pseudonym.
    OwnedBy,
}

/// The text is no relation.
#[derive(Debug, thiserror::Error)]
#[error("`{0}` is no relation")]
pub struct NotARelation(String);

impl Relation {
    /// All of them.
    pub const ALL: [Self; 20] = [
        Self::RanCode,
        Self::Used,
        Self::MayHaveRead,
        Self::Expected,
        Self::GeneratedBy,
        Self::Tried,
        Self::ExecutedIn,
        Self::ConfiguredBy,
        Self::RanOn,
        Self::StateOf,
        Self::Holds,
        Self::PutInForce,
        Self::Follows,
        Self::DerivedFrom,
        Self::ContinuedFrom,
        Self::Serves,
        Self::LedTo,
        Self::PartOf,
        Self::SignedBy,
        Self::OwnedBy,
    ];

    /// Returns the word for it.
    pub fn word(self) -> &'static str {
        match self {
            Self::RanCode => "ranCode",
            Self::Used => "used",
            Self::MayHaveRead => "mayHaveRead",
            Self::Expected => "expected",
            Self::GeneratedBy => "generatedBy",
            Self::Tried => "tried",
            Self::ExecutedIn => "executedIn",
            Self::ConfiguredBy => "configuredBy",
            Self::RanOn => "ranOn",
            Self::StateOf => "stateOf",
            Self::Holds => "holds",
            Self::PutInForce => "putInForce",
            Self::Follows => "follows",
            Self::DerivedFrom => "derivedFrom",
            Self::ContinuedFrom => "continuedFrom",
            Self::Serves => "serves",
            Self::LedTo => "ledTo",
            Self::PartOf => "partOf",
            Self::SignedBy => "signedBy",
            Self::OwnedBy => "ownedBy",
        }
    }

    /// Returns whether a question about causes goes along it. What was in force before, or who owned a run, made nothing.
    pub fn is_cause(self) -> bool {
        !matches!(self, Self::Follows | Self::OwnedBy | Self::SignedBy)
    }
}

impl fmt::Display for Relation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.word())
    }
}

impl FromStr for Relation {
    type Err = NotARelation;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let found = Self::ALL.into_iter().find(|relation| relation.word() == text);
        found.ok_or_else(|| NotARelation(text.to_owned()))
    }
}
