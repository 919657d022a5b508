//! The blast radius: how much one plan may delete and replace.
//!
//! Incidents: an empty or half-rendered source that deleted everything it once held
//! (argoproj/argo-cd#9227, argoproj/argo-cd#18780; Config Sync's KNV2006 guards against the empty case
//! only); argoproj/argo-cd#3484 asks for the limit. A renamed folder that was taken for a removal
//! (fluxcd/flux2#3316, fluxcd/flux2#338) is caught by it too.

use crate::format::site::{Limit, Limits};

/// How much a plan would delete or replace beyond what it may.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Reach {
    pub(crate) wanted: u64,
    pub(crate) allowed: u64,
}

/// Returns the limit that the plan exceeds, if one; deletes are looked at first.
pub(crate) fn reach(limits: &Limits, owned: u64, deletes: u64, replaces: u64) -> Option<Reach> {
    let over = |limit: &Limit, wanted: u64| {
        let allowed = allowed(limit, owned);
        (wanted > allowed).then_some(Reach { wanted, allowed })
    };
    over(&limits.deletes, deletes).or_else(|| over(&limits.replaces, replaces))
}

fn allowed(limit: &Limit, owned: u64) -> u64 {
    match limit {
        Limit::Count(count) => u64::from(*count),
        Limit::Share(_) => owned * share(limit).unwrap_or(0) / 100,
    }
}

/// Returns the share in percent; a text that is none allows nothing.
fn share(limit: &Limit) -> Option<u64> {
    match limit {
        Limit::Count(_) => None,
        Limit::Share(text) => {
            text.strip_suffix('%')?.trim().parse().ok().filter(|share| *share <= 100)
        }
    }
}

/// Returns whether an empty rendering would delete what the site owns without its saying so: the only
/// way to say it is `policy.limits.deletes: "100%"`. A number is a limit, never a wish.
pub(crate) fn is_empty_rendering(limits: &Limits, desired: u64, owned: u64) -> bool {
    desired == 0 && owned > 0 && share(&limits.deletes) != Some(100)
}
