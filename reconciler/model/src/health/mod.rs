//! Whether a live object has become what was asked for.
//!
//! Comes in: a live object and the blueprint's [`HealthRule`]s.
//! Goes out: a [`Health`]. Never: asks the cluster; further objects that a verdict needs are arguments.
//!
//! A rule of the blueprint decides where there is one for the kind; else the built-in rules of
//! kstatus do. An object under deletion, or one whose controller has not seen its newest
//! generation, is never healthy, whatever its status says.

pub mod finalizers;
mod kinds;
mod rule;
pub(crate) mod scope;

use std::time::Duration;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::Value;

pub use rule::{RuleError, Rules};

use crate::{format::blueprint::HealthRule, managed::ManagerEntry, object::ObjectId};

/// How long to wait for an object whose rule names no deadline.
pub const DEFAULT_DEADLINE: Duration = Duration::from_secs(5 * 60);

/// Whether a live object has become what was asked for; the words are kstatus's
/// (sigs.k8s.io/cli-utils `pkg/kstatus`).
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", tag = "is")]
pub enum Health {
    /// It is as asked for.
    Current,
    /// It is on its way.
    InProgress {
        /// What it waits for.
        why: String,
    },
    /// It failed and will not get there by waiting.
    Failed {
        /// Why.
        why: String,
    },
    /// It is being deleted.
    Terminating {
        /// Which finalizers hold it, and who serves them.
        why: String,
    },
    /// It is not there.
    Missing,
    /// Nothing can be said.
    Unknown {
        /// Why.
        why: String,
    },
}

impl Health {
    /// Returns whether the object is as asked for.
    pub fn is_current(&self) -> bool {
        matches!(self, Self::Current)
    }

    /// Returns the reason, where there is one.
    pub fn why(&self) -> Option<&str> {
        match self {
            Self::Current | Self::Missing => None,
            Self::InProgress { why }
            | Self::Failed { why }
            | Self::Terminating { why }
            | Self::Unknown { why } => Some(why),
        }
    }

    fn in_progress(why: impl Into<String>) -> Self {
        Self::InProgress { why: why.into() }
    }

    fn failed(why: impl Into<String>) -> Self {
        Self::Failed { why: why.into() }
    }
}

/// Returns the health of `live` (the whole body, status included) under `rules`.
pub fn assess(live: &Value, rules: &Rules) -> Health {
    if let Some(health) = deletion(live, &[]) {
        return health;
    }
    if let Some(health) = unseen_generation(live) {
        return health;
    }
    rules.assess(live).unwrap_or_else(|| kinds::assess(live, rules))
}

/// Returns how long to wait for `live` to become healthy.
pub fn deadline(live: &Value, rules: &[HealthRule]) -> Duration {
    rules
        .iter()
        .find(|rule| rule::fits(rule, live))
        .and_then(|rule| rule.deadline.as_deref())
        .map_or(DEFAULT_DEADLINE, |text| parse_duration(text).unwrap_or(DEFAULT_DEADLINE))
}

/// Reads a duration such as `90s`, `20m` or `1h30m`; none for anything else or anything negative.
pub fn parse_duration(text: &str) -> Option<Duration> {
    text.parse::<jiff::SignedDuration>().ok().and_then(|duration| Duration::try_from(duration).ok())
}

/// Returns the health of an object under deletion, which no rule changes; none where it is not.
///
/// `managers` tell who added a finalizer that is not known; they may be empty.
pub fn deletion(live: &Value, managers: &[ManagerEntry]) -> Option<Health> {
    let since = live.pointer("/metadata/deletionTimestamp")?.as_str().unwrap_or_default();
    let why = match finalizers::held_by(live, managers) {
        None => format!("is being deleted since {since}"),
        Some(held) => format!("is being deleted since {since}; held by {held}"),
    };
    Some(Health::Terminating { why })
}

/// Returns whether the body that a write was answered with can tell the health that it led to. Of a custom
/// object whose status does not say which generation it speaks of, it is the status of before.
pub fn is_telling(id: &ObjectId, answer: &Value) -> bool {
    !id.kind.is_custom() || observed_generation(answer).is_some()
}

/// A status that speaks of an older generation says nothing about the present one. Where it has no
/// `observedGeneration` of its own, the newest of its conditions tells (KEP-1623): they are written
/// together, and one that did not change may keep an older number.
fn unseen_generation(live: &Value) -> Option<Health> {
    let generation = live.pointer("/metadata/generation")?.as_i64()?;
    let observed = observed_generation(live)?;
    (observed < generation).then(|| {
        Health::in_progress(format!(
            "its controller has seen generation {observed} of {generation}"
        ))
    })
}

fn observed_generation(live: &Value) -> Option<i64> {
    let number = |value: &Value| value.get("observedGeneration").and_then(Value::as_i64);
    let status = live.get("status")?;
    let conditions = status.get("conditions").and_then(Value::as_array).into_iter().flatten();
    number(status).or_else(|| conditions.filter_map(number).max())
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn rules(list: &[(&str, &str)]) -> Rules {
        let list: Vec<_> = list
            .iter()
            .map(|(kind, ready)| {
                serde_json::from_value(json!({ "kind": kind, "ready": ready })).unwrap()
            })
            .collect();
        Rules::compile(&list).unwrap()
    }

    const ACTIVE: &str = "status.conditions.exists(c, c.type == 'Active' && c.status == 'True')";

    #[test]
    fn a_rule_decides_for_its_kind() {
        let rules = rules(&[("ClusterQueue.kueue.x-k8s.io", ACTIVE)]);
        let queue = |status: Value| {
            json!({ "apiVersion": "kueue.x-k8s.io/v1beta2", "kind": "ClusterQueue",
                    "metadata": { "name": "q", "generation": 1 }, "status": status })
        };
        let active = json!({ "conditions": [{ "type": "Active", "status": "True" }] });
        let stopped = json!({ "conditions": [
            { "type": "Active", "status": "False", "reason": "FlavorNotFound", "message": "flavor a100 is missing" }
        ] });
        assert_eq!(assess(&queue(active), &rules), Health::Current);
        let Health::InProgress { why } = assess(&queue(stopped), &rules) else {
            panic!("not in progress")
        };
        assert_eq!(why, "Active is False: FlavorNotFound: flavor a100 is missing");
        assert_eq!(
            assess(&queue(json!({})), &rules),
            Health::in_progress("its controller has not reported a status yet")
        );
    }

    #[test]
    fn an_old_generation_is_never_healthy() {
        let rules = rules(&[("ClusterQueue", ACTIVE)]);
        let live = json!({ "apiVersion": "kueue.x-k8s.io/v1beta2", "kind": "ClusterQueue",
            "metadata": { "name": "q", "generation": 2 },
            "status": { "observedGeneration": 1, "conditions": [{ "type": "Active", "status": "True" }] } });
        assert_eq!(
            assess(&live, &rules),
            Health::in_progress("its controller has seen generation 1 of 2")
        );
    }

    #[test]
    fn conditions_of_an_old_generation_are_not_believed() {
        let rules = rules(&[("ClusterQueue", ACTIVE)]);
        let queue = |seen: i64| {
            json!({ "apiVersion": "kueue.x-k8s.io/v1beta2", "kind": "ClusterQueue",
                "metadata": { "name": "q", "generation": 2 },
                "status": { "conditions": [
                    { "type": "Old", "status": "True", "observedGeneration": 1 },
                    { "type": "Active", "status": "True", "observedGeneration": seen },
                ] } })
        };
        assert_eq!(assess(&queue(2), &rules), Health::Current);
        assert!(matches!(assess(&queue(1), &rules), Health::InProgress { .. }));
        let stalled = json!({ "apiVersion": "x.io/v1", "kind": "Thing",
            "metadata": { "name": "t", "generation": 2 },
            "status": { "conditions": [{ "type": "Stalled", "status": "True", "observedGeneration": 1 }] } });
        assert!(matches!(assess(&stalled, &Rules::default()), Health::InProgress { .. }));
    }

    #[test]
    fn a_claim_that_waits_for_its_first_consumer_is_as_it_should_be() {
        let claim = |class: &str, annotations: Value| {
            json!({ "apiVersion": "v1", "kind": "PersistentVolumeClaim",
                "metadata": { "name": "c", "annotations": annotations },
                "spec": { "storageClassName": class }, "status": { "phase": "Pending" } })
        };
        let rules = Rules::default().with_late_binding(["late".to_owned()].into());
        assert_eq!(assess(&claim("late", json!({})), &rules), Health::Current);
        assert!(!assess(&claim("at-once", json!({})), &rules).is_current());
        let chosen = json!({ "volume.kubernetes.io/selected-node": "gpu-1" });
        assert!(!assess(&claim("late", chosen), &rules).is_current());
    }

    #[test]
    fn deletion_names_the_finalizers_and_who_serves_them() {
        let live = json!({ "apiVersion": "v1", "kind": "ConfigMap", "metadata": { "name": "c",
            "deletionTimestamp": "2026-11-22T10:00:00Z", "finalizers": ["example.org/hold"] } });
        let Health::Terminating { why } = assess(&live, &Rules::default()) else {
            panic!("not terminating")
        };
        assert_eq!(
            why,
            "is being deleted since 2026-11-22T10:00:00Z; held by finalizer example.org/hold \
             (by its name, a controller of example.org)"
        );
    }

    #[test]
    fn whole_numbers_compare_as_cel_integers() {
        let rules = rules(&[(
            "Thing",
            "status.ready == 3 && status.ready >= spec.wanted && status.ready > -1",
        )]);
        let live = json!({ "apiVersion": "x.io/v1", "kind": "Thing", "metadata": { "name": "t" },
            "spec": { "wanted": 3 }, "status": { "ready": 3 } });
        assert_eq!(assess(&live, &rules), Health::Current);
    }

    #[test]
    fn a_rule_that_does_not_compile_is_reported() {
        let rule = serde_json::from_value(json!({ "kind": "X", "ready": "status.(" })).unwrap();
        assert!(Rules::compile(&[rule]).is_err());
    }

    #[test]
    fn durations() {
        assert_eq!(parse_duration("20m"), Some(Duration::from_secs(1200)));
        assert_eq!(parse_duration("-1s"), None);
        assert_eq!(parse_duration("soon"), None);
    }
}
