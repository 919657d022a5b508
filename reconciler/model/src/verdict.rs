//! What became of each component: the last content with which it was healthy, and the one that made it unhealthy.
//!
//! Comes in: what was applied, and how it did. Goes out: [`Verdicts`], which outlive the agent. Never: I/O or a clock.

use std::collections::BTreeMap;

use jiff::Timestamp;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::{
    desired::{Desired, DesiredComponent},
    digest::Digest,
    name::ComponentName,
    object::ObjectId,
};

/// The name and version of the form in which verdicts are stored.
pub const FORMAT: &str = "sitewright.dev/verdicts/v1";

/// What became of each component of a site.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Verdicts {
    /// By component.
    pub components: BTreeMap<ComponentName, Verdict>,
}

/// What became of a component.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Verdict {
    /// The last content with which it was healthy.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub good: Option<Good>,
    /// The content that made it unhealthy, until git has another.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub bad: Option<Bad>,
}

/// A content with which a component was healthy.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Good {
    /// The commit that it was rendered from; none where it was a working tree.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub commit: Option<String>,
    /// [`DesiredComponent::content`].
    pub content: Digest,
}

/// A content that made a healthy component unhealthy.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Bad {
    /// The revision that brought it, for people.
    pub revision: String,
    /// [`DesiredComponent::content`].
    pub content: Digest,
    /// What was unhealthy.
    pub why: String,
    /// Since when it is known.
    pub since: Timestamp,
    /// What became of it.
    pub fate: Fate,
}

/// What became of a bad content.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", tag = "is")]
pub enum Fate {
    /// It stays: why.
    Held {
        /// Why.
        why: String,
    },
    /// The last healthy content took its place.
    RolledBack,
}

impl Verdicts {
    /// Takes that `component` is healthy as it is; returns whether that was news.
    pub fn healthy(&mut self, component: &DesiredComponent, commit: Option<&str>) -> bool {
        let content = component.content();
        let verdict = self.components.entry(component.name.clone()).or_default();
        let is_known = verdict.good.as_ref().is_some_and(|good| good.content == content);
        let is_cleared = verdict.bad.as_ref().is_none_or(|bad| bad.content != content);
        if is_known && is_cleared {
            return false;
        }
        if !is_known {
            verdict.good = Some(Good { commit: commit.map(str::to_owned), content });
        }
        // it came to itself after all
        verdict.bad = verdict.bad.take().filter(|bad| bad.content != content);
        true
    }

    /// Returns the last healthy content of a component, where what it is now is another: what an unhealthy one may go back to.
    pub fn before(&self, component: &DesiredComponent) -> Option<&Good> {
        let good = self.components.get(&component.name)?.good.as_ref()?;
        (good.content != component.content()).then_some(good)
    }

    /// Returns what is known against the content of a component.
    pub fn against(&self, component: &DesiredComponent) -> Option<&Bad> {
        let bad = self.components.get(&component.name)?.bad.as_ref()?;
        (bad.content == component.content()).then_some(bad)
    }

    /// Forgets components that are no longer in the site, and what is known against contents that git no longer has; returns
    /// whether there were any.
    pub fn keep_to(&mut self, desired: &Desired) -> bool {
        let before = self.clone();
        let find = |name: &ComponentName| desired.components.iter().find(|one| one.name == *name);
        self.components.retain(|name, _| find(name).is_some());
        for (name, verdict) in &mut self.components {
            let content = find(name).map(DesiredComponent::content);
            verdict.bad = verdict.bad.take().filter(|bad| Some(bad.content) == content);
        }
        *self != before
    }
}

impl DesiredComponent {
    /// Returns the digest of what it puts on the cluster, and nothing of the rules beside it.
    pub fn content(&self) -> Digest {
        let part = |object: &crate::desired::DesiredObject| {
            format!("{} {}", object.object.id(), object.digest)
        };
        Digest::of_parts(self.objects.iter().map(part))
    }
}

impl Desired {
    /// Returns the same with an earlier content of one component, under the rules of now: another desire, by its digest too.
    ///
    /// # Errors
    /// An object of the earlier content belongs to another component by now.
    pub fn with_earlier(&self, earlier: &DesiredComponent) -> Result<Self, ObjectId> {
        let taken = self
            .objects()
            .filter(|(component, _)| component.name != earlier.name)
            .map(|(_, object)| object.object.id())
            .find(|id| earlier.objects.iter().any(|object| object.object.id() == *id));
        if let Some(taken) = taken {
            return Err(taken.clone());
        }
        let mut desired = self.clone();
        for component in desired.components.iter_mut().filter(|one| one.name == earlier.name) {
            component.objects.clone_from(&earlier.objects);
        }
        let parts =
            [self.digest.to_string(), earlier.name.to_string(), earlier.content().to_string()];
        desired.digest = Digest::of_parts(parts);
        Ok(desired)
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::plan::tests::world::{World, config_map};

    fn desired(version: u64) -> Desired {
        World::with([config_map("a", json!({ "version": version }))]).desired()
    }

    #[test]
    fn what_was_healthy_before_is_what_there_is_to_go_back_to() {
        let (one, two) = (desired(1), desired(2));
        let mut verdicts = Verdicts::default();
        assert_eq!(verdicts.before(&two.components[0]), None, "nothing is known");
        assert!(verdicts.healthy(&one.components[0], Some("c1")));
        assert!(!verdicts.healthy(&one.components[0], Some("c2")), "known");
        assert_eq!(verdicts.before(&one.components[0]), None, "it is that");
        let good = verdicts.before(&two.components[0]).unwrap();
        assert_eq!(good.commit.as_deref(), Some("c1"));
    }

    #[test]
    fn a_bad_content_is_remembered_until_git_has_another_or_it_heals() {
        let (one, two, three) = (desired(1), desired(2), desired(3));
        let mut verdicts = Verdicts::default();
        verdicts.healthy(&one.components[0], None);
        let bad = Bad {
            revision: "main@2".into(),
            content: two.components[0].content(),
            why: "x".into(),
            since: crate::plan::tests::world::now(),
            fate: Fate::RolledBack,
        };
        verdicts.components.get_mut(&one.components[0].name).unwrap().bad = Some(bad);
        assert!(!verdicts.keep_to(&two));
        assert!(verdicts.against(&two.components[0]).is_some());
        let mut healed = verdicts.clone();
        assert!(healed.healthy(&two.components[0], None));
        assert!(healed.against(&two.components[0]).is_none());
        assert!(verdicts.keep_to(&three));
        assert!(verdicts.components.values().all(|verdict| verdict.bad.is_none()));
    }

    #[test]
    fn an_earlier_content_takes_the_place_and_is_another_desire() {
        let (one, two) = (desired(1), desired(2));
        let back = two.with_earlier(&one.components[0]).unwrap();
        assert_eq!(back.components[0].content(), one.components[0].content());
        assert_ne!(back.digest, two.digest);
        let mut world = World::with([]);
        world.put("other", [config_map("a", json!({}))]);
        assert!(world.desired().with_earlier(&one.components[0]).is_err());
    }
}
