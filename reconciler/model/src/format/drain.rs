//! Draining as sites and blueprints write it: whom a change waits for, and what is taken node by node.

use std::{collections::BTreeMap, time::Duration};

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::health::parse_duration;

pub(super) const DURATION: &str =
    r"^(?:[1-9][0-9]{0,3}h)?(?:[1-9][0-9]{0,3}m)?(?:[1-9][0-9]{0,3}s)?$";
pub(super) const DURATION_IN_WORDS: &str =
    "hours, minutes and seconds, for example `72h`, `20m` or `1h30m`";
const RESOURCE: &str =
    r"^[a-z0-9]([-a-z0-9.]*[a-z0-9])?/(\*|[A-Za-z0-9]([-A-Za-z0-9_.]*[A-Za-z0-9])?)$";
const RESOURCE_IN_WORDS: &str =
    "an extended resource, for example `nvidia.com/gpu`, or all of a vendor: `nvidia.com/*`";

/// How long a wave waits for one node where it names no deadline.
const NODE: Duration = Duration::from_secs(30 * 60);

/// What a change that hurts running jobs does about them: `wait`, or the rules of the wait.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(untagged)]
pub enum DrainPolicy {
    /// Running jobs and notebooks finish first, however long they take.
    Word(DrainWord),
    /// They finish first, by these rules.
    Rules(DrainRules),
}

/// The short form of a drain policy.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum DrainWord {
    /// Running jobs and notebooks finish first, however long they take.
    Wait,
}

/// How long running jobs are waited for, and what comes then.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct DrainRules {
    /// How long running jobs and notebooks are waited for, for example `72h`; default without end.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(
        regex(pattern = DURATION),
        length(min = 2),
        extend("patternErrorMessage" = DURATION_IN_WORDS)
    )]
    pub deadline: Option<String>,
    /// What happens at the deadline. Default `hold`.
    #[serde(default, skip_serializing_if = "AtDeadline::is_hold")]
    pub then: AtDeadline,
    /// How long before a maintenance window opens the draining begins, for example `24h`; default once it is open.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(
        regex(pattern = DURATION),
        length(min = 2),
        extend("patternErrorMessage" = DURATION_IN_WORDS)
    )]
    pub ahead: Option<String>,
    /// How many nodes a wave takes at once. Default 1.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1, max = 1000))]
    pub at_once: Option<u32>,
}

/// What happens when a drain's deadline is over and jobs still run.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum AtDeadline {
    /// Queues and nodes are given back, and the change is held until a person approves the plan (default).
    #[default]
    Hold,
    /// The change is done, and what still runs is hit.
    GoAhead,
}

impl AtDeadline {
    fn is_hold(&self) -> bool {
        *self == Self::Hold
    }
}

impl DrainPolicy {
    /// Returns the rules, also of the short form.
    pub fn rules(&self) -> DrainRules {
        match self {
            Self::Word(DrainWord::Wait) => DrainRules::default(),
            Self::Rules(rules) => rules.clone(),
        }
    }
}

impl DrainRules {
    /// Returns how long jobs are waited for; none: without end.
    pub fn deadline(&self) -> Option<Duration> {
        self.deadline.as_deref().and_then(parse_duration)
    }

    /// Returns how long before a window the draining begins.
    pub fn ahead(&self) -> Duration {
        self.ahead.as_deref().and_then(parse_duration).unwrap_or_default()
    }

    /// Returns how many nodes a wave takes at once.
    pub fn at_once(&self) -> usize {
        usize::try_from(self.at_once.unwrap_or(1)).unwrap_or(1).max(1)
    }
}

/// Where the work is that a change hits.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
#[schemars(extend("examples" = [{
    "nodes": { "nvidia.com/gpu.present": "true" }, "uses": "nvidia.com/*",
}]))]
pub struct HitsRule {
    /// On nodes with all of these labels; `*` stands for any value. Empty: on every node.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub nodes: BTreeMap<String, String>,
    /// Only pods that ask for this resource; default every pod there.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(
        regex(pattern = RESOURCE),
        extend("patternErrorMessage" = RESOURCE_IN_WORDS)
    )]
    pub uses: Option<String>,
}

/// What has to be taken node by node once the objects are applied: a driver that each node loads anew.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
#[schemars(extend("oneOf" = [{ "required": ["restart"] }, { "required": ["label"] }]))]
pub struct Wave {
    /// The name, unique within the blueprint: `driver`, `mig`.
    #[schemars(length(min = 1, max = 63), regex(pattern = "^[a-z0-9]([-a-z0-9]*[a-z0-9])?$"))]
    pub name: String,
    /// The nodes that it takes, and the work on them that has to be over first.
    #[serde(default)]
    pub hits: HitsRule,
    /// Restarts the node's pod of a DaemonSet with `updateStrategy: OnDelete`, where it is outdated.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub restart: Option<WavePods>,
    /// Sets a label of the node, where it has another value.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub label: Option<WaveLabel>,
    /// A CEL expression over the node (`metadata`, `spec`, `status`): it has come back when true. Its Ready condition
    /// and the restarted pod are looked at in any case.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(extend("examples" = ["metadata.labels['nvidia.com/mig.config.state'] == 'success'"]))]
    pub ready: Option<String>,
    /// How long a node may take to come back, for example `45m`; default 30 minutes. Then the wave stops there.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(
        regex(pattern = DURATION),
        length(min = 2),
        extend("patternErrorMessage" = DURATION_IN_WORDS)
    )]
    pub deadline: Option<String>,
}

/// A DaemonSet whose pods a wave restarts.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct WavePods {
    /// Its namespace.
    #[schemars(length(min = 1, max = 63))]
    pub namespace: String,
    /// Labels of the DaemonSet itself; there may be one for each kernel or pool.
    #[schemars(extend("minProperties" = 1))]
    pub daemon_sets: BTreeMap<String, String>,
}

/// A label that a wave sets.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct WaveLabel {
    /// The key, for example `nvidia.com/mig.config`.
    #[schemars(length(min = 1))]
    pub key: String,
    /// Where its value stands in the component's values, for example `sharing.mig`; without one there the wave has
    /// nothing to do.
    #[schemars(length(min = 1), extend("examples" = ["sharing.mig"]))]
    pub from: String,
}

impl HitsRule {
    /// Returns whether a node with `labels` is one of those that are hit.
    pub fn is_on(&self, labels: &BTreeMap<String, String>) -> bool {
        fits(&self.nodes, labels)
    }
}

/// Returns whether `resource` is what `uses` names: itself, or all of a vendor, written `nvidia.com/*`.
pub fn is_of(uses: &str, resource: &str) -> bool {
    match uses.strip_suffix('*') {
        Some(vendor) => resource.starts_with(vendor),
        None => resource == uses,
    }
}

impl Wave {
    /// Returns how long a node may take to come back.
    pub fn deadline(&self) -> Duration {
        self.deadline.as_deref().and_then(parse_duration).unwrap_or(NODE)
    }
}

/// Returns whether `labels` has all of `wanted`; `*` stands for any value.
pub fn fits(wanted: &BTreeMap<String, String>, labels: &BTreeMap<String, String>) -> bool {
    wanted
        .iter()
        .all(|(key, value)| labels.get(key).is_some_and(|has| value == "*" || has == value))
}

/// Returns labels as a selector writes them: `a=b, c`; without a value where any is right.
pub fn labels(wanted: &BTreeMap<String, String>) -> String {
    let one = |(key, value): (&String, &String)| match value.as_str() {
        "*" => key.clone(),
        value => format!("{key}={value}"),
    };
    wanted.iter().map(one).collect::<Vec<_>>().join(", ")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn labels(pairs: &[(&str, &str)]) -> BTreeMap<String, String> {
        pairs.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect()
    }

    #[test]
    fn a_node_is_hit_by_all_labels_and_a_star_is_any_value() {
        let rule = HitsRule { nodes: labels(&[("gpu", "true"), ("pool", "*")]), uses: None };
        assert!(rule.is_on(&labels(&[("gpu", "true"), ("pool", "a"), ("more", "x")])));
        assert!(!rule.is_on(&labels(&[("gpu", "true")])));
        assert!(!rule.is_on(&labels(&[("gpu", "false"), ("pool", "a")])));
        assert!(HitsRule::default().is_on(&labels(&[])));
    }

    #[test]
    fn a_resource_is_named_or_all_of_a_vendor_are() {
        assert!(is_of("nvidia.com/*", "nvidia.com/mig-1g.5gb"));
        assert!(!is_of("nvidia.com/*", "amd.com/gpu"));
        assert!(is_of("nvidia.com/gpu", "nvidia.com/gpu"));
        assert!(!is_of("nvidia.com/gpu", "nvidia.com/gpu.shared"));
    }

    #[test]
    fn the_short_form_waits_without_end_and_takes_one_node_at_once() {
        let policy: DrainPolicy = serde_json::from_str("\"wait\"").unwrap();
        assert_eq!(policy.rules().deadline(), None);
        assert_eq!(policy.rules().at_once(), 1);
        let policy: DrainPolicy =
            serde_json::from_str(r#"{ "deadline": "72h", "then": "go-ahead", "atOnce": 4 }"#)
                .unwrap();
        let rules = policy.rules();
        assert_eq!(rules.deadline(), Some(Duration::from_secs(72 * 3600)));
        assert_eq!((rules.then, rules.at_once()), (AtDeadline::GoAhead, 4));
    }
}
