//! What came of an apply, for people and, as versioned JSON, for programs.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use sitewright_model::{
    health::Health,
    name::{ComponentName, SiteName},
    object::ObjectId,
    plan::{Gate, PlanDigest, PlannedCluster},
    revision::Revision,
};

use crate::{Error, Requests};

/// The name and version of the JSON form of a report.
pub const FORMAT: &str = "sitewright.dev/report/v1";

/// What came of an apply.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Report {
    /// Always [`FORMAT`].
    pub format: String,
    /// The site.
    pub site: SiteName,
    /// What was applied.
    pub revision: Revision,
    /// To which cluster.
    pub cluster: PlannedCluster,
    /// The plan that was done.
    pub plan: PlanDigest,
    /// How it ended.
    pub end: End,
    /// What went wrong beside single objects: the lock, the inventory, the connection.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub troubles: Vec<Trouble>,
    /// By component, in the order of the plan.
    pub components: Vec<ComponentReport>,
    /// How many requests it took.
    pub requests: Requests,
}

impl Report {
    /// Adds a trouble that came after the end, unless it is told already.
    pub(super) fn add(&mut self, trouble: Trouble) {
        if self.troubles.iter().all(|told| told.code != trouble.code) {
            self.troubles.push(trouble);
        }
    }
}

/// How an apply ended; the worst that holds.
#[derive(
    Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, JsonSchema,
)]
#[serde(rename_all = "camelCase")]
pub enum End {
    /// Everything is as desired, and healthy.
    Converged,
    /// What may go ahead went ahead; the rest waits at its gates.
    Held,
    /// Something failed, or did not become healthy in time; or nothing further could be done.
    Failed,
    /// It was stopped before the end.
    Stopped,
}

/// What went wrong beside single objects.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Trouble {
    /// The number of the error, for example `SW0505`.
    pub code: String,
    /// What went wrong.
    pub message: String,
    /// The way out.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub help: Option<String>,
}

impl From<&Error> for Trouble {
    fn from(error: &Error) -> Self {
        Self {
            code: error.code().to_string(),
            message: error.to_string(),
            help: error.help().into(),
        }
    }
}

/// What came of one component.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct ComponentReport {
    /// The component.
    pub name: ComponentName,
    /// Whether it is healthy as a whole: the worst of its objects; none where nobody asked.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub health: Option<Health>,
    /// How many of its objects were as desired all along.
    pub unchanged: u64,
    /// Its other objects, in order of identity.
    pub objects: Vec<ObjectReport>,
}

/// What came of one object.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct ObjectReport {
    /// The object.
    pub id: ObjectId,
    /// What came of it.
    pub outcome: ObjectOutcome,
    /// Whether it is healthy; none where nobody asked.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub health: Option<Health>,
    /// What its pods and events tell, one sentence each; only where it is not healthy.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub reasons: Vec<String>,
    /// What the server warned of.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub warnings: Vec<String>,
}

/// What came of one object.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", tag = "is")]
pub enum ObjectOutcome {
    /// It was as desired, and still is.
    Unchanged,
    /// It was created.
    Created,
    /// It was updated.
    Updated,
    /// It was there, and is now ours.
    Adopted,
    /// It was deleted and created anew.
    Replaced,
    /// It was deleted, and is confirmed gone.
    Deleted,
    /// Our labels were taken off; it stays.
    Released,
    /// It was gone already; the inventory no longer names it.
    Forgotten,
    /// Only the inventory's record of it was renewed.
    Recorded,
    /// It waits at its gates.
    Held {
        /// The gates.
        gates: Vec<Gate>,
    },
    /// Something that it needs failed, is held, or is not healthy.
    Blocked {
        /// What it needs, and what is the matter with that.
        by: String,
    },
    /// It failed.
    Failed {
        /// The number of the error, for example `SW0506`.
        code: String,
        /// What went wrong; secrets already taken out.
        message: String,
        /// The way out.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        help: Option<String>,
    },
    /// It was not reached: the apply was stopped before.
    NotReached,
}

impl From<Trouble> for ObjectOutcome {
    fn from(Trouble { code, message, help }: Trouble) -> Self {
        Self::Failed { code, message, help }
    }
}
