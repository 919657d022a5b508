//! What to do about a revision that makes a healthy component unhealthy, as a site writes it.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::blueprint::Hazard;

/// What to do about a revision that turns a healthy component unhealthy past its deadline.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(untagged)]
pub enum UnhealthyPolicy {
    /// `hold` (default) or `rollback`.
    Word(UnhealthyWord),
    /// Go back, where the way back does no more than this.
    Limit(RollbackLimit),
}

/// What to do about a bad revision.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum UnhealthyWord {
    /// It is told, and stays.
    Hold,
    /// The agent goes back to the last healthy revision of the component, where the way back does no more than restart
    /// pods.
    Rollback,
}

/// How much the way back may do.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct RollbackLimit {
    /// The worst hazard of the way back, for example `evicts-jobs`.
    pub rollback: Hazard,
}

impl UnhealthyPolicy {
    /// Returns the worst that a way back may do; none: there is no way back.
    pub fn limit(&self) -> Option<Hazard> {
        match self {
            Self::Word(UnhealthyWord::Hold) => None,
            Self::Word(UnhealthyWord::Rollback) => Some(Hazard::RestartsPods),
            Self::Limit(limit) => Some(limit.rollback),
        }
    }
}
