//! How a fact is known.

use std::{fmt, str::FromStr};

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// How a fact or an edge is known; the best first.
///
/// A grade belongs to a statement and stays with it: that something claimed turns out to exist is another statement.
#[derive(
    Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema,
)]
#[serde(rename_all = "camelCase")]
pub enum Grade {
    /// The recorder hashed the bytes, or read a field that only the control plane or the kubelet writes.
    Observed,
    /// The recorder derived it from an immutable id that it fetched and checked.
    Resolved,
    /// A claim with a verified signature of a named identity other than the workload.
    Attested,
    /// Said by the user or the workload.
    Claimed,
    /// Follows from a rule.
    Inferred,
    /// Nobody said.
    Unknown,
    /// Two sources differ; both are kept.
    Conflict,
}

/// The text is no grade.
#[derive(Debug, thiserror::Error)]
#[error("`{0}` is no grade: observed, resolved, attested, claimed, inferred, unknown or conflict")]
pub struct NotAGrade(String);

impl Grade {
    /// All of them, the best first.
    pub const ALL: [Self; 7] = [
        Self::Observed,
        Self::Resolved,
        Self::Attested,
        Self::Claimed,
        Self::Inferred,
        Self::Unknown,
        Self::Conflict,
    ];

    /// Returns the word for it.
    pub fn word(self) -> &'static str {
        match self {
            Self::Observed => "observed",
            Self::Resolved => "resolved",
            Self::Attested => "attested",
            Self::Claimed => "claimed",
            Self::Inferred => "inferred",
            Self::Unknown => "unknown",
            Self::Conflict => "conflict",
        }
    }

    /// Returns whether it is as good as `limit`, or better.
    pub fn reaches(self, limit: Self) -> bool {
        self <= limit
    }
}

impl fmt::Display for Grade {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.word())
    }
}

impl FromStr for Grade {
    type Err = NotAGrade;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let found = Self::ALL.into_iter().find(|grade| grade.word() == text);
        found.ok_or_else(|| NotAGrade(text.to_owned()))
    }
}
