//! The rendered objects of a site, by component, with their digests.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

use serde::{Deserialize, Serialize};

use crate::{
    digest::Digest,
    format::{
        blueprint::{HazardRule, HealthRule},
        drain::Wave,
        site::{ComponentPolicy, DriftPolicy, IgnoreRule, SitePolicy, Tombstone},
    },
    name::{BlueprintName, ComponentName, SiteName},
    object::{Object, ObjectId},
    revision::Revision,
};

/// What the cluster should hold.
#[derive(Clone, Debug)]
pub struct Desired {
    /// The site.
    pub site: SiteName,
    /// What it was rendered from.
    pub revision: Revision,
    /// The site's rules for changes.
    pub policy: SitePolicy,
    /// The site's tombstones.
    pub tombstones: Vec<Tombstone>,
    /// The components, in the order of the site file.
    pub components: Vec<DesiredComponent>,
    /// The digest of all objects, rules, policies and tombstones.
    pub digest: Digest,
}

/// The rendered objects of one component and the rules that its blueprint brings.
#[derive(Clone, Debug)]
pub struct DesiredComponent {
    /// The name.
    pub name: ComponentName,
    /// The blueprint's name.
    pub blueprint: BlueprintName,
    /// The blueprint's version.
    pub version: semver::Version,
    /// Components that must be healthy first: `dependsOn` and what `requires` resolved to.
    pub depends_on: Vec<ComponentName>,
    /// The objects, in order of identity, each once in the whole site.
    pub objects: Vec<DesiredObject>,
    /// When objects count as healthy.
    pub health: Vec<HealthRule>,
    /// What changes do to running work.
    pub hazards: Vec<HazardRule>,
    /// What is taken node by node once the objects are applied.
    pub waves: Vec<DesiredWave>,
    /// Fields that another controller may own: the blueprint's and the component's own.
    pub ignore: Vec<IgnoreRule>,
    /// The component's rules for changes.
    pub policy: ComponentPolicy,
}

/// A wave of a component, with what its values say.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct DesiredWave {
    /// The rule.
    pub rule: Wave,
    /// The value of the label that it sets, where it sets one and the values have it.
    pub label: Option<String>,
}

/// One rendered object.
#[derive(Clone, Debug)]
pub struct DesiredObject {
    /// The object as it is to be applied, labels of ownership included.
    pub object: Object,
    /// Where it was declared, for people: `templates/queues.yaml.j2`, `chart kueue: templates/deployment.yaml`.
    pub origin: Arc<str>,
    /// The digest of the body.
    pub digest: Digest,
}

impl DesiredComponent {
    /// Returns the component with other objects under the same rules.
    fn with_objects(&self, objects: Vec<DesiredObject>) -> Self {
        Self {
            name: self.name.clone(),
            blueprint: self.blueprint.clone(),
            version: self.version.clone(),
            depends_on: self.depends_on.clone(),
            objects,
            health: self.health.clone(),
            hazards: self.hazards.clone(),
            waves: self.waves.clone(),
            ignore: self.ignore.clone(),
            policy: self.policy.clone(),
        }
    }
}

impl DesiredComponent {
    /// Returns whether all but the objects is the same.
    fn has_rules_of(&self, other: &Self) -> bool {
        let Self {
            name,
            blueprint,
            version,
            depends_on,
            objects: _,
            health,
            hazards,
            waves,
            ignore,
            policy,
        } = self;
        *name == other.name
            && *blueprint == other.blueprint
            && *version == other.version
            && *depends_on == other.depends_on
            && *health == other.health
            && *hazards == other.hazards
            && *waves == other.waves
            && *ignore == other.ignore
            && *policy == other.policy
    }
}

impl Desired {
    /// Returns every object with its component, in the order of the site file.
    pub fn objects(&self) -> impl Iterator<Item = (&DesiredComponent, &DesiredObject)> {
        self.components
            .iter()
            .flat_map(|component| component.objects.iter().map(move |object| (component, object)))
    }

    /// Returns the part of it that is about the objects in `ids`, under the same rules and the same digest.
    #[must_use]
    pub fn only(&self, ids: &BTreeSet<ObjectId>) -> Self {
        let part = |component: &DesiredComponent| {
            let is_asked = |object: &&DesiredObject| ids.contains(object.object.id());
            let objects: Vec<_> = component.objects.iter().filter(is_asked).cloned().collect();
            (!objects.is_empty()).then(|| component.with_objects(objects))
        };
        Self {
            site: self.site.clone(),
            revision: self.revision.clone(),
            policy: self.policy.clone(),
            tombstones: self.tombstones.clone(),
            components: self.components.iter().filter_map(part).collect(),
            digest: self.digest,
        }
    }

    /// Returns the same with another rule for drift where a component has none of its own: another desire, by its digest too.
    #[must_use]
    pub fn with_drift(mut self, drift: DriftPolicy) -> Self {
        if self.policy.drift != drift {
            self.policy.drift = drift;
            self.digest = Digest::of_parts([self.digest.to_string(), format!("{drift:?}")]);
        }
        self
    }

    /// Returns the objects that are new or other than in `before`, where that is all that differs: the same components
    /// under the same rules, and no object that is gone. None where anything else differs.
    pub fn touched_since(&self, before: &Self) -> Option<BTreeSet<ObjectId>> {
        let is_same_site = self.site == before.site
            && self.policy == before.policy
            && self.tombstones == before.tombstones
            && self.components.len() == before.components.len();
        if !is_same_site {
            return None;
        }
        let mut touched = BTreeSet::new();
        for (now, before) in self.components.iter().zip(&before.components) {
            if !now.has_rules_of(before) {
                return None;
            }
            let mut known: BTreeMap<&ObjectId, &DesiredObject> =
                before.objects.iter().map(|object| (object.object.id(), object)).collect();
            for object in &now.objects {
                let id = object.object.id();
                let is_same = |known: &DesiredObject| {
                    known.digest == object.digest
                        && known.object.sensitive() == object.object.sensitive()
                };
                if !known.remove(id).is_some_and(is_same) {
                    touched.insert(id.clone());
                }
            }
            if !known.is_empty() {
                return None;
            }
        }
        Some(touched)
    }

    /// Folds every object ([`Object::folded`]): a site at rest is text, of which some objects are looked at now and then.
    pub fn fold(&mut self) {
        for object in self.components.iter_mut().flat_map(|component| &mut component.objects) {
            if !object.object.is_folded() {
                object.object = object.object.folded();
            }
        }
    }

    /// Returns whether every object is folded.
    pub fn is_folded(&self) -> bool {
        self.objects().all(|(_, object)| object.object.is_folded())
    }

    /// Returns every object by identity.
    pub fn by_id(&self) -> BTreeMap<&ObjectId, (&DesiredComponent, &DesiredObject)> {
        self.objects()
            .map(|(component, object)| (object.object.id(), (component, object)))
            .collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn component(name: &str, objects: &[(&str, &str)]) -> DesiredComponent {
        let object = |(name, color): &(&str, &str)| {
            let body = json!({ "apiVersion": "v1", "kind": "ConfigMap",
                "metadata": { "name": name, "namespace": "ns" }, "data": { "color": color } });
            let object = Object::new(body).unwrap();
            DesiredObject { digest: object.digest(), object, origin: "t".into() }
        };
        DesiredComponent {
            name: name.parse().unwrap(),
            blueprint: "b".parse().unwrap(),
            version: semver::Version::new(1, 0, 0),
            depends_on: Vec::new(),
            objects: objects.iter().map(object).collect(),
            health: Vec::new(),
            hazards: Vec::new(),
            waves: Vec::new(),
            ignore: Vec::new(),
            policy: ComponentPolicy::default(),
        }
    }

    fn desired(components: Vec<DesiredComponent>) -> Desired {
        Desired {
            site: "lab".parse().unwrap(),
            revision: Revision {
                repository: String::new(),
                path: String::new(),
                reference: None,
                commit: None,
                dirty: false,
                inputs: Digest::of(""),
            },
            policy: SitePolicy::default(),
            tombstones: Vec::new(),
            components,
            digest: Digest::of(""),
        }
    }

    #[test]
    fn what_a_commit_touched_is_told_only_where_nothing_else_differs() {
        let before =
            desired(vec![component("a", &[("one", "blue"), ("two", "blue")]), component("b", &[])]);
        let names = |now: &Desired| {
            let touched = now.touched_since(&before)?;
            Some(touched.into_iter().map(|id| id.name).collect::<Vec<_>>())
        };
        assert_eq!(names(&before), Some(Vec::new()));
        let objects = [("new", "blue"), ("one", "red"), ("two", "blue")];
        let now = desired(vec![component("a", &objects), component("b", &[])]);
        assert_eq!(names(&now), Some(vec!["new".to_owned(), "one".to_owned()]));
        let gone = desired(vec![component("a", &[("one", "red")]), component("b", &[])]);
        assert_eq!(names(&gone), None);
        let moved =
            desired(vec![component("a", &[("one", "blue")]), component("b", &[("two", "blue")])]);
        assert_eq!(names(&moved), None);
        let mut ruled = now.clone();
        ruled.components[0].policy.drift = Some(DriftPolicy::Report);
        assert_eq!(names(&ruled), None);
        assert_eq!(names(&desired(vec![component("a", &objects)])), None);
    }
}
