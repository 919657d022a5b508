//! Waves whose selectors match nothing now: right on a cluster without such nodes, and a slip on any other.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::waves::View;
use crate::{desired::Desired, format::drain::labels, name::ComponentName, work::Running};

/// A wave that takes no node, whatever changes.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Unmatched {
    /// The component.
    pub component: ComponentName,
    /// The wave.
    pub wave: String,
    /// What matches nothing now.
    pub why: String,
}

/// Returns the waves that match nothing now; none where it could not be seen what there is.
pub fn unmatched(desired: &Desired, running: &Running) -> Vec<Unmatched> {
    if !running.missing.is_empty() {
        return Vec::new();
    }
    let waves = desired.components.iter().flat_map(|component| {
        component.waves.iter().map(move |wave| View { component, wave, running })
    });
    let unmatched = waves.filter_map(|view| {
        let (component, wave) = (view.component.name.clone(), view.wave.rule.name.clone());
        Some(Unmatched { component, wave, why: why(view)? })
    });
    unmatched.collect()
}

fn why(view: View<'_>) -> Option<String> {
    let rule = &view.wave.rule;
    if view.nodes().next().is_none() {
        let wanted = labels(&rule.hits.nodes);
        return Some(if wanted.is_empty() {
            "there is no node now".to_owned()
        } else {
            format!("matches no node now: none has {wanted}")
        });
    }
    let restart = rule.restart.as_ref()?;
    let wanted = labels(&restart.daemon_sets);
    if view.daemon_sets().next().is_none() {
        let namespace = &restart.namespace;
        return Some(format!("matches no DaemonSet in {namespace} now: none has {wanted}"));
    }
    let has_pods = view.nodes().any(|node| !view.pods(node).is_empty());
    (!has_pods)
        .then(|| format!("matches no pod now: no DaemonSet with {wanted} has one on its nodes"))
}
