//! Approvals in git: which of the files beside a site opens gates of its plan, and which.
//!
//! Comes in: a [`Plan`] and the approval files of its revision. Goes out: the same plan, with what a file opens
//! moved from each change's gates to what was approved. The digest stays: an approval must not change what it approves.
//!
//! A file opens what waits for consent to the plan as a whole: approval, blast radius and draining. It does not open a maintenance
//! window: it is written days ahead, and the window says when. A tombstone, a conflict or a refusal it opens no more than
//! any digest does.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{Gate, Plan, PlanDigest};
use crate::format::approval::ApprovalSpec;

/// An approval file as it was found beside a site.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ApprovalFile {
    /// The file, from the top of the repository.
    pub file: String,
    /// Whether the commit that the site was read from holds it as it is.
    pub is_committed: bool,
    /// What it says.
    pub spec: ApprovalSpec,
}

/// An approval file, as the plan sees it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct SeenApproval {
    /// The file, from the top of the repository.
    pub file: String,
    /// Whether the commit that the site was read from holds it as it is.
    pub committed: bool,
    /// What it means for this plan.
    pub standing: Standing,
}

/// What an approval file means for a plan.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", tag = "is")]
pub enum Standing {
    /// It approves this plan.
    Approves,
    /// It approved this plan, and has ended.
    Expired {
        /// When it ended, as it is written.
        until: String,
    },
    /// It is for this plan on another cluster.
    OtherCluster,
    /// It is for another plan.
    OtherPlan {
        /// Which.
        plan: PlanDigest,
    },
}

impl Gate {
    /// Returns whether an approval of the plan by a file in git opens this gate.
    pub fn opens_by_approval(&self) -> bool {
        matches!(self, Self::Approval { .. } | Self::BlastRadius { .. } | Self::Drain { .. })
    }
}

impl Plan {
    /// Returns the plan with the gates opened that one of `files` opens, and with what each of them means for it.
    #[must_use]
    pub fn with_approvals(mut self, files: &[ApprovalFile]) -> Self {
        let seen = |file: &ApprovalFile| SeenApproval {
            file: file.file.clone(),
            committed: file.is_committed,
            standing: self.standing(&file.spec),
        };
        self.approvals = files.iter().map(seen).collect();
        if self.approval().is_some() {
            let changes = self.components.iter_mut().flat_map(|component| &mut component.changes);
            for change in changes {
                change
                    .approved
                    .extend(change.gates.extract_if(.., |gate| gate.opens_by_approval()));
            }
        }
        self
    }

    /// Returns the file that approves the plan, if one does: one of the commit before one that is not in it.
    pub fn approval(&self) -> Option<&SeenApproval> {
        let mut approving: Vec<&SeenApproval> =
            self.approvals.iter().filter(|seen| seen.standing == Standing::Approves).collect();
        approving.sort_by_key(|seen| !seen.committed);
        approving.first().copied()
    }

    fn standing(&self, spec: &ApprovalSpec) -> Standing {
        if spec.plan != self.digest.0 {
            return Standing::OtherPlan { plan: PlanDigest(spec.plan) };
        }
        if spec.cluster != self.cluster.uid {
            return Standing::OtherCluster;
        }
        match &spec.until {
            Some(until) if until.end() <= self.made => {
                Standing::Expired { until: until.to_string() }
            }
            _ => Standing::Approves,
        }
    }
}
